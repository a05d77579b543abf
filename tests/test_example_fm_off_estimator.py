"""The example's road off the Estimator: yesterday's model goes on in Keras, from a checkpoint or from its weights as text."""

import re

import numpy as np
import pytest
import tensorflow as tf

import fm_example
from conftest import needs_estimator, save_checkpoint
from fm_example import FOLDER, run_example, run_python

example = fm_example.example

PROGRAM = str(FOLDER / "off_estimator.py")
BEFORE_2_2 = tuple(map(int, tf.__version__.split(".")[:2])) < (2, 2)
needs_2_2 = pytest.mark.skipif(BEFORE_2_2, reason=f"the example needs TensorFlow 2.2, and this is {tf.__version__}")


def values_of(model_dir):
    reader = tf.train.load_checkpoint(str(model_dir))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def old_model(yesterday, folder):
    """The source, and the params of yesterday's model, whose vocabulary is in the folder."""
    folder.mkdir()
    source = yesterday.load()
    return source, yesterday.old_params(source, str(folder))


@needs_2_2
def test_keras_begins_where_yesterdays_model_ended_and_goes_on(tmp_path):
    ended = run_python(PROGRAM, "--weights", FOLDER / "yesterday.txt", "--steps", "10")

    assert ended.returncode == 0, ended.stderr
    before, after = re.findall(r"^In (?:its graph|Keras, at step 0): AUC (\d\.\d{6})$", ended.stdout, re.MULTILINE)
    assert before == after
    assert "Recovered: 9 of 9 new variables" in ended.stdout
    assert re.search(r"^ *fm/v/Adagrad .* restored$", ended.stdout, re.MULTILINE)
    rows = re.findall(r"^ +(\d+) +([\d.]+) +([\d.]+) +([\d.]+) ", ended.stdout, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(11))
    cold, warm, no_slots = ([float(value) for value in column] for column in list(zip(*rows))[1:])
    assert warm[0] == no_slots[0] == round(float(before), 4) > cold[0] + 0.1
    assert warm[10] > warm[0]


@pytest.mark.skipif(not BEFORE_2_2, reason="for a TensorFlow before 2.2")
def test_an_older_tensorflow_is_refused_in_one_sentence():
    ended = run_python(PROGRAM)

    assert ended.returncode == 2
    (line,) = (line for line in ended.stderr.splitlines() if line.startswith("off_estimator.py: "))
    assert line.endswith(f"this example needs TensorFlow 2.2 or later, and this is TensorFlow {tf.__version__}")
    assert "Traceback" not in ended.stderr


def test_weights_as_text_are_exactly_those_of_the_checkpoint(example, old_dir, tmp_path):
    # 1/3 and the float32 next to it, the smallest float32, a step beyond float32, and each rank.
    third = np.float32(1 / 3)
    old = {
        "fm/v": np.array([[third, np.nextafter(third, np.float32(1))], [1e-45, -3.4028235e38]], np.float32),
        "fm/b": np.float32([0.1]),
        "global_step": np.int64(123456789),
    }
    save_checkpoint(old_dir, old)
    yesterday, text, again = example("yesterday"), str(tmp_path / "weights.txt"), tmp_path / "again"
    yesterday.write_text(str(old_dir), text)
    yesterday.read_text(text, str(again))

    found = values_of(again)
    assert set(found) == set(old)
    for name, value in old.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize(
    "text", [None, "fm/b float32 1\n", "fm/b float32 1\none\n", "fm/b\n", "fm/b float32 1\n1 2\n", "\n", ""]
)
def test_a_text_of_another_kind_is_refused_in_one_sentence(example, tmp_path, text):
    path = tmp_path / "weights.txt"
    if text is not None:
        path.write_text(text)

    with pytest.raises(example("source").BadInput, match=r"^--weights .*weights.txt: (No such file|not a file that --write)"):
        example("yesterday").read_text(str(path), str(tmp_path))


@needs_estimator
@needs_2_2
@pytest.mark.slow
def test_the_committed_text_is_what_an_estimator_trains(example, tmp_path):
    yesterday = example("yesterday")
    source, params = old_model(yesterday, tmp_path / "trained")
    yesterday.train(source, params, str(tmp_path / "trained"))
    yesterday.read_text(yesterday.TEXT, str(tmp_path / "read"))

    trained, read = values_of(tmp_path / "trained"), values_of(tmp_path / "read")
    assert set(read) == set(trained)
    # Not exactly: another processor rounds otherwise on the way. TensorFlow 1.15 shuffles in another order.
    for name, value in trained.items():
        np.testing.assert_allclose(read[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
    aucs = [yesterday.evaluate(source.evaluation, params, str(tmp_path / name))["AUC"] for name in ("trained", "read")]
    assert aucs[0] == pytest.approx(aucs[1], abs=1e-5)


@needs_estimator
@needs_2_2
@pytest.mark.slow
def test_keras_trains_as_the_estimator_would_have_gone_on(example, tmp_path):
    """Each batch has all rows of a small part. So the order, which the two shuffle differently, does not matter."""
    yesterday, off_estimator = example("yesterday"), example("off_estimator")
    model_dir = tmp_path / "old"
    source, params = old_model(yesterday, model_dir)
    chunks = source.train.chunks
    few = source.train._replace(rows=64, chunks=lambda: chunks().take(1).map(first_rows))
    source = source._replace(old=few, train=few, settings=source.settings._replace(batch_rows=64, old_steps=5))
    yesterday.train(source, params, str(model_dir))
    model = off_estimator.new_model(source, seed=2)
    off_estimator.recover_into(model, str(model_dir), with_slots=True)
    train, _ = off_estimator.keras_datasets(source, params["vocabulary_file"], seed=1)

    model.fit(train, steps_per_epoch=5, verbose=0)
    yesterday.train(source, params, str(model_dir))

    old = values_of(model_dir)
    assert old["global_step"] == 10
    fm, dense = model.get_layer("fm"), model.get_layer("dense")
    for name, variable in {"fm/w": fm.w, "fm/v": fm.v, "fm/b": fm.b, "dense/kernel": dense.kernel}.items():
        np.testing.assert_allclose(variable.numpy(), old[name], atol=1e-5, err_msg=name)


def first_rows(features, labels):
    return {name: column[:64] for name, column in features.items()}, labels[:64]


@pytest.mark.skipif(hasattr(tf, "estimator"), reason=f"TensorFlow {tf.__version__} has tf.estimator")
def test_the_other_example_names_this_one_where_there_is_no_estimator():
    done = run_example()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith("has no Estimator; off_estimator.py shows how its models go on in Keras")
