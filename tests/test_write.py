"""`write_checkpoint` and the command `write`: what is in the new directory, who resumes from it, and what is refused."""

import json

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import (
    ShapeAdaptingRecoverHook,
    WarmStartError,
    adapters,
    convert_checkpoint,
    plan_recovery,
    write_checkpoint,
)
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.cli import main
from estimator_warmstart.convert import partitions as partitioning
from estimator_warmstart.convert import planned_values

tf1 = tf.compat.v1
OLD = {"w": np.float32([[1, 2], [3, 4], [5, 6]]), "w/Adagrad": np.float32([[7, 7], [8, 8], [9, 9]]), "global_step": np.int64(9)}


@pytest.fixture(params=[0, 1 << 22], ids=["in windows", "together"], autouse=True)
def small(request, monkeypatch):
    """Values are made by numpy, or by operations."""
    monkeypatch.setattr(planned_values, "SMALL_BYTES", request.param)


@pytest.fixture
def old(old_dir):
    return save_checkpoint(old_dir, OLD)


def values_in(prefix):
    return {name: tf.train.load_variable(str(prefix), name).tolist() for name, _ in tf.train.list_variables(str(prefix))}


def grown_model(rows=4, partitioner=None):
    """A model with one more row, a slot, a bias that is drawn with a seed, and what is made of that."""
    w = tf1.get_variable("w", [rows, 2], initializer=tf1.zeros_initializer(), partitioner=partitioner)
    tf1.train.AdagradOptimizer(1.0, 0.5).minimize(sum(tf.reduce_sum(part) for part in (list(w) if partitioner else [w])))
    bias = tf1.get_variable("bias", [2], initializer=tf1.random_normal_initializer(seed=1), trainable=False)
    begun = tf1.cond(tf1.is_variable_initialized(bias), lambda: tf.identity(bias), lambda: bias.initial_value)
    tf1.get_variable("twice", initializer=begun * 2)
    tf1.train.get_or_create_global_step()


def test_the_new_directory(old, tmp_path):
    with tf.Graph().as_default() as graph:
        grown_model()
        count = len(graph.get_operations())
        prefix = write_checkpoint(plan_recovery(old, adapters={}), tmp_path / "new" / "model.ckpt-0")
        assert len(graph.get_operations()) == count
        with tf1.Session() as session:
            drawn = session.run(graph.get_tensor_by_name("bias/Initializer/random_normal:0"))
    assert prefix == str(tmp_path / "new" / "model.ckpt-0")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "checkpoint",
        "model.ckpt-0.data-00000-of-00001",
        "model.ckpt-0.index",
        "warm_start.json",
    ]
    assert tf.train.latest_checkpoint(str(tmp_path / "new")) == prefix
    assert values_in(prefix) == {
        "w": [[1, 2], [3, 4], [5, 6], [0, 0]],
        "w/Adagrad": [[7, 7], [8, 8], [9, 9], [0.5, 0.5]],
        "bias": drawn.tolist(),
        "twice": (drawn * 2).tolist(),
        "global_step": 0,
    }


def test_what_is_made_of_recovered_values(old_dir, tmp_path):
    old = save_checkpoint(old_dir, {"bias": np.float32([1, 2])})
    with tf.Graph().as_default():
        grown_model()
        prefix = write_checkpoint(plan_recovery(old), tmp_path / "new" / "model.ckpt-0")
    assert values_in(prefix)["twice"] == [2, 4]


def test_a_saver_of_partitions_reads_its_slices(old, tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        grown_model(partitioner=tf1.fixed_size_partitioner(2))
        prefix = write_checkpoint(plan_recovery(old, adapters={}), tmp_path / "new" / "model.ckpt-0")
        tf1.train.Saver().restore(session, prefix)
        first, second, _, accumulator = tf1.global_variables()[:4]
        found = session.run([first, second, accumulator])
    assert [value.tolist() for value in found] == [[[1, 2], [3, 4]], [[5, 6], [0, 0]], [[9, 9], [0.5, 0.5]]]
    assert len(open_checkpoint(prefix).variables["w"].slices) == 2


@pytest.mark.parametrize("parts_in_graph", [1, 2])
@pytest.mark.parametrize("parts, lengths", [(1, []), (2, [3, 2]), (3, [2, 2, 1]), (5, [1] * 5)], ids=str)
def test_partitions(old, tmp_path, parts, lengths, parts_in_graph):
    with tf.Graph().as_default():
        grown_model(5, tf1.fixed_size_partitioner(2) if parts_in_graph > 1 else None)
        plan = plan_recovery(old, adapters={})
        prefix = write_checkpoint(plan, tmp_path / "new" / "model.ckpt-0", partitions={"w": parts})
    held = open_checkpoint(prefix).variables
    for name in ("w", "w/Adagrad"):
        assert [box.shape[0] for box in held[name].slices] == lengths
    assert values_in(prefix)["w"] == [[1, 2], [3, 4], [5, 6], [0, 0], [0, 0]]


def test_a_number_of_parts_is_for_large_variables(old, tmp_path, monkeypatch):
    monkeypatch.setattr(partitioning, "LARGE_BYTES", 12)
    with tf.Graph().as_default():
        grown_model()
        prefix = write_checkpoint(plan_recovery(old, adapters={}), tmp_path / "new" / "model.ckpt-0", partitions=50)
    held = open_checkpoint(prefix).variables
    assert {name: len(each.slices) for name, each in held.items() if each.slices} == {"w": 4, "w/Adagrad": 4}


@pytest.mark.parametrize(
    "partitions, says",
    [
        (0, "a number of parts, 1 or more, for every variable above 64 MB, got 0"),
        (True, "got True"),
        ("w=2", "got 'w=2'"),
        ({"w": 0, "(": 2}, "2 problems:\n.*partitions.'w'. must be a number .* got 0\n.*not a regular expression"),
        ({"v": 2, "bias": 3}, r"2 problems:\n.*'v' fits no variable.*\n.*'bias' \[2\] cannot be in 3 parts"),
    ],
    ids=["zero", "bool", "text", "counts", "names"],
)
def test_partitions_that_cannot_be_made(old, tmp_path, partitions, says):
    with tf.Graph().as_default(), pytest.raises(WarmStartError, match=says):
        grown_model()
        write_checkpoint(plan_recovery(old, adapters={}), tmp_path / "new" / "model.ckpt-0", partitions=partitions)
    assert not (tmp_path / "new").exists()
    if "v" not in str(partitions):
        with pytest.raises(WarmStartError, match=says.split("\n")[0]):
            convert_checkpoint(old, tmp_path / "new" / "model.ckpt", to="name", partitions=partitions)


class TestRefused:
    def write(self, old, place, **options):
        with tf.Graph().as_default():
            grown_model()
            return write_checkpoint(plan_recovery(old, adapters={}), place, **options)

    def test_a_model_dir(self, old, tmp_path):
        self.write(old, tmp_path / "new" / "model.ckpt-0")
        before = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
        with pytest.raises(WarmStartError, match=r"is a model_dir already.* or say overwrite=True"):
            self.write(old, tmp_path / "new" / "model.ckpt-1")
        with pytest.raises(WarmStartError, match="exists already"):
            self.write(old, tmp_path / "new" / "model.ckpt-0")
        assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == before
        other = self.write(old, tmp_path / "new" / "model.ckpt-1", overwrite=True)
        assert tf.train.latest_checkpoint(str(tmp_path / "new")) == other

    def test_the_old_directory(self, old, old_dir):
        with pytest.raises(WarmStartError, match="is inside the source's directory"):
            self.write(old, old_dir / "new" / "model.ckpt-0")

    def test_two_plans_for_one_variable(self, old, tmp_path):
        with tf.Graph().as_default():
            grown_model()
            plans = [plan_recovery(old, adapters={}), plan_recovery(old, adapters={})]
            both = r"2 problems:\n.*'w' takes its value from .* in one plan only\n.*'w/Adagrad'"
            with pytest.raises(WarmStartError, match=both):
                write_checkpoint(plans, tmp_path / "new" / "model.ckpt-0")
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("plan", [[], None, ["plan"]], ids=str)
    def test_what_is_not_a_plan(self, tmp_path, plan):
        with pytest.raises(WarmStartError, match="plan"):
            write_checkpoint(plan, tmp_path / "new" / "model.ckpt-0")

    def test_a_damaged_old_value(self, old, tmp_path):
        with open(old + ".data-00000-of-00001", "r+b") as file:
            content = file.read().replace(OLD["w"].tobytes(), OLD["w"].tobytes()[:-1] + b"\1")
            file.seek(0)
            file.write(content)
        with pytest.raises(WarmStartError, match=r"(?s)'w'.*[Cc]hecksum"):
            self.write(old, tmp_path / "new" / "model.ckpt-0")
        assert not (tmp_path / "new").exists()


def test_two_plans_in_one_checkpoint(old, tmp_path):
    other = save_checkpoint(tmp_path / "other", {"b": np.float32([3, 4])})
    with tf.Graph().as_default():
        grown_model()
        plans = [plan_recovery(old, adapters={}), plan_recovery(other, {"b": "bias"})]
        prefix = write_checkpoint(plans, tmp_path / "new" / "model.ckpt-0")
    assert values_in(prefix)["w"][0] == [1, 2] and values_in(prefix)["bias"] == [3, 4]


def test_random_values_that_are_averaged_or_moved(old_dir, tmp_path):
    table = np.random.RandomState(0).randn(24, 3).astype(np.float32) * 1e3
    old = save_checkpoint(old_dir, {"a": table, "b": table, "c": table, "d": table.astype(np.float16)}, {"b": 3})
    tokens = [f"t{number}" for number in range(24)]
    chosen = {
        "a": adapters.rehash_rows(24, 2),
        "b": adapters.rehash_rows(24, 8),
        "c": adapters.remap_rows(tokens, ["new", *tokens[::-1]], similar={"new": tokens[3:14]}),
        "d": adapters.rehash_rows(24, 3),
    }
    rows = {"a": 2, "b": 8, "c": 25, "d": 3}
    with tf.Graph().as_default(), tf1.Session() as session:
        variables = {
            name: tf1.get_variable(name, [count, 3], tf.float16 if name == "d" else tf.float32) for name, count in rows.items()
        }
        prefix = write_checkpoint(plan_recovery(old, adapters=chosen), tmp_path / "new" / "model.ckpt-0")
        hook = ShapeAdaptingRecoverHook(old, adapters=chosen)
        init = tf1.global_variables_initializer()
        hook.begin()
        session.run(init)
        for name, value in session.run(variables).items():
            assert value.tobytes() == tf.train.load_variable(prefix, name).tobytes(), name


@needs_estimator
class TestEstimator:
    def model_fn(self, features, labels, mode, params):
        w = tf1.get_variable("w", [4, 2], initializer=tf1.random_normal_initializer())
        loss = tf.reduce_sum(w * w)
        train = tf1.train.AdagradOptimizer(0.125).minimize(loss, tf1.train.get_global_step())
        hook = [ShapeAdaptingRecoverHook(params["old"])] if params.get("old") else []
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train, training_hooks=hook)

    def train(self, folder, steps, old=None):
        config = tf.estimator.RunConfig(save_summary_steps=1000, log_step_count_steps=1000)
        estimator = tf.estimator.Estimator(self.model_fn, str(folder), config, {"old": old})
        estimator.train(lambda: tf.data.Dataset.from_tensors(({"x": [1.0]}, [1.0])).repeat(), steps=steps)
        return tf.train.load_variable(str(folder), "w")

    def test_it_resumes_and_no_hook_recovers_again(self, old, old_dir, tmp_path):
        with tf.Graph().as_default():
            tf1.train.create_global_step()
            self.model_fn(None, None, "train", {})
            prefix = write_checkpoint(plan_recovery(old, adapters={}), tmp_path / "new" / "model.ckpt-0")
        first = tf.train.load_variable(prefix, "w")
        assert first[:3].tolist() == OLD["w"].tolist()
        trained = self.train(tmp_path / "new", 1)
        assert tf.train.load_variable(str(tmp_path / "new"), "global_step") == 1
        # With the accumulators of the old model: 7 of the first row.
        assert np.allclose(trained[0], [1 - 0.125 * 2 / 11**0.5, 2 - 0.125 * 4 / 23**0.5])
        with tf.Graph().as_default():
            tf1.train.create_global_step()
            self.model_fn(None, None, "train", {})
            write_checkpoint(plan_recovery(old, adapters={}), tmp_path / "hooked" / "model.ckpt-0")
        first = tf.train.load_variable(str(tmp_path / "hooked"), "w")
        save_checkpoint(old_dir, {**OLD, "w": OLD["w"] + 100})  # What a hook would recover now.
        trained = self.train(tmp_path / "hooked", 1, old)
        assert (abs(trained - first) < 1).all()


class TestCommand:
    @pytest.fixture
    def meta(self, tmp_path):
        with tf.Graph().as_default():
            grown_model()
            tf1.train.export_meta_graph(str(tmp_path / "new.meta"))
        return str(tmp_path / "new.meta")

    def params(self, tmp_path, value):
        path = tmp_path / "params.json"
        path.write_text(json.dumps({"warm_start": value}))
        return str(path)

    def test_write(self, old, meta, tmp_path, capsys):
        params = self.params(tmp_path, {"ckp_dir": old, "adapters": {}})
        place = str(tmp_path / "new" / "model.ckpt-0")
        assert main(["write", params, "--graph", meta, "--to", place, "--partitions", "w=2"]) == 0
        assert capsys.readouterr().out == place + "\n"
        assert values_in(place)["w"] == [[1, 2], [3, 4], [5, 6], [0, 0]]
        assert len(open_checkpoint(place).variables["w/Adagrad"].slices) == 2
        assert main(["write", params, "--graph", meta, "--to", place]) == 2
        assert "give --overwrite" in capsys.readouterr().err
        assert main(["write", params, "--graph", meta, "--to", place, "--overwrite"]) == 0

    def test_a_warm_start_that_nobody_asks_for(self, meta, tmp_path, capsys):
        assert main(["write", self.params(tmp_path, None), "--graph", meta, "--to", str(tmp_path / "new" / "m")]) == 2
        assert "asks for none" in capsys.readouterr().err

    def test_convert_in_parts(self, old, tmp_path, capsys):
        place = str(tmp_path / "parts" / "model.ckpt")
        assert main(["convert", old, place, "--to", "name", "--partitions", "w=2"]) == 0
        held = open_checkpoint(place).variables
        assert {name: len(each.slices) for name, each in held.items()} == {"global_step": 0, "w": 2, "w/Adagrad": 2}
        assert values_in(place) == {name: value.tolist() for name, value in OLD.items()}

    @pytest.mark.parametrize("text", ["w", "w=", "w=0", "0", "w=-1"])
    def test_partitions_that_are_no_number(self, old, tmp_path, capsys, text):
        with pytest.raises(SystemExit):
            main(["convert", old, str(tmp_path / "parts" / "m"), "--partitions", text])
        assert "must be PATTERN=PARTS or PARTS" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["name", "object"])
def test_a_conversion_in_parts_keeps_everything(old_dir, tmp_path, to):
    half = tf.bfloat16.as_numpy_dtype
    values = {"w": OLD["w"], "half": np.arange(5).astype(half), "words": np.array([b"a", b"bc"]), "b": np.arange(6.0)}
    old = save_checkpoint(old_dir, values, {"b": 3})
    new = convert_checkpoint(old, tmp_path / "new" / "model.ckpt", to=to, partitions={"w": 3, "half": 2, "b": 2})
    held = open_checkpoint(new).variables
    assert {name: len(each.slices) for name, each in held.items()} == {"b": 2, "half": 2, "w": 3, "words": 0}
    with tf.Graph().as_default(), tf1.Session() as session:
        keys, dtypes = [held[name].key for name in values], [tf.as_dtype(held[name].dtype) for name in values]
        specs = ["" if name != "half" else "5 0,3" for name in values]
        found = session.run(tf.raw_ops.RestoreV2(prefix=new, tensor_names=keys, shape_and_slices=specs, dtypes=dtypes))
    assert [each.tolist() for each in found] == [OLD["w"].tolist(), [0, 1, 2], [b"a", b"bc"], list(range(6))]
