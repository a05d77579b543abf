"""The FM example's models and curves are right, and whole runs show what a warm start gains."""

from __future__ import annotations

import importlib.util
import re
import sys

import numpy as np
import pytest
import tensorflow as tf

import fm_example
from conftest import save_checkpoint
from fm_example import CATEGORIES, criteo_line, run_example, run_examples, write_ratings

example = fm_example.example


# The model


def test_the_model_is_rendles_equation_and_a_dense_layer(example, new_graph, tmp_path):
    (tmp_path / "vocabulary.txt").write_text("a\nb\n")
    params = {
        "dense_widths": [("price", 1), ("place", 2)],
        "vocabulary_file": str(tmp_path / "vocabulary.txt"),
        "hash_buckets": None,
        "factors": 2,
    }
    features = {
        "tokens": tf.constant([["b", "a", "nobody"]]),
        "price": tf.constant([[3.0]]),
        "place": tf.constant([[0.0, 1.0]]),
    }
    fm = example("models").factorization_machine(features, params)
    values = (
        [[1.0], [10.0], [100.0]],  # of a, b and what is not in the vocabulary
        [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        [1000.0],
        [[0.1], [0.2], [0.3]],
    )
    with tf.compat.v1.Session(graph=new_graph) as session:
        session.run(tf.compat.v1.tables_initializer())
        for variable, value in zip(fm.variables, values):
            variable.load(value, session)
        logits = session.run(fm.logits)

    # Pairs: ab 3 + 8, a? 5 + 12, b? 15 + 24. Dense: 3 * 0.1 + 0.3.
    np.testing.assert_allclose(logits, [1000 + 111 + 11 + 17 + 39 + 0.6], rtol=1e-6)
    assert [variable.op.name for variable in fm.variables] == ["fm/w", "fm/v", "fm/b", "dense/kernel"]


# The warm start of a model whose vocabulary and dense layer have changed


@pytest.mark.parametrize("with_slots", [True, False])
def test_rows_follow_their_tokens_and_weights_their_features(example, new_graph, old_dir, tmp_path, with_slots):
    # Rows of a, b and what is not in the vocabulary.
    old = {
        "fm/w": [[1], [2], [3]],
        "fm/v": [[1, 2], [3, 4], [5, 6]],
        "fm/b": [7],
        "dense/kernel": [[8], [9]],
        "fm/w/Adagrad": [[10], [20], [30]],
        "fm/v/Adagrad": [[10, 20], [30, 40], [50, 60]],
        "fm/b/Adagrad": [70],
        "dense/kernel/Adagrad": [[80], [90]],
    }
    save_checkpoint(old_dir, {name: np.float32(value) for name, value in old.items()})
    (old_dir / "vocabulary.txt").write_text("a\nb\n")
    (tmp_path / "vocabulary.txt").write_text("b\nc\na\n")
    params = {
        "task": "click",
        "factors": 2,
        "hash_buckets": None,
        "learning_rate": 0.1,
        "l2": 0.0,
        "initial_accumulator": 0.5,
        "old_model_dir": str(old_dir),
        "with_slots": with_slots,
        "old_vocabulary_file": str(old_dir / "vocabulary.txt"),
        "vocabulary_file": str(tmp_path / "vocabulary.txt"),
        "old_dense_widths": [("price", 1), ("place", 1)],
        "dense_widths": [("price", 1), ("hour", 2), ("place", 1)],
    }
    features = {
        "tokens": tf.constant([["a", "b"]]),
        "price": tf.constant([[0.0]]),
        "hour": tf.constant([[0.0, 0.0]]),
        "place": tf.constant([[0.0]]),
    }
    spec = example("warm").adapting_model_fn(features, tf.constant([1.0]), tf.estimator.ModeKeys.TRAIN, params)

    variables = {variable.op.name: variable for variable in tf.compat.v1.global_variables()}

    with tf.compat.v1.train.MonitoredSession(hooks=spec.training_hooks) as session:
        new = {name: session.run(variables[f"ranker/{name}"]).tolist() for name in old}

    assert new["fm/w"] == [[2], [0], [1], [3]]
    assert [new["fm/v"][row] for row in (0, 2, 3)] == [[3, 4], [1, 2], [5, 6]]
    assert 0 < np.abs(new["fm/v"][1]).max() <= 0.1  # c's: drawn as for a cold start
    assert new["fm/b"] == [7]
    assert new["dense/kernel"] == [[8], [0], [0], [9]]
    if with_slots:
        assert new["fm/w/Adagrad"] == [[20], [0.5], [10], [30]]
        assert new["fm/v/Adagrad"] == [[30, 40], [0.5, 0.5], [10, 20], [50, 60]]
        assert new["fm/b/Adagrad"] == [70]
        assert new["dense/kernel/Adagrad"] == [[80], [0.5], [0.5], [90]]
    else:
        assert {np.unique(new[name]).tolist() == [0.5] for name in new if name.endswith("/Adagrad")} == {True}


# The curves


@pytest.fixture
def points(example):
    point = example("curves").Point
    return lambda *values: [point(10 * number, {"RMSE": value}) for number, value in enumerate(values)]


def test_the_verdict_says_when_cold_training_is_as_good_as_the_warm_start(example, points):
    verdict = example("curves").verdict(points(1.5, 1.2, 1.0, 0.9), points(1.0, 0.9, 0.8, 0.7), "RMSE")

    assert re.findall(r"\d\.\d{4}", verdict) == ["1.0000", "1.5000"]
    assert "needs 20 steps" in verdict and "every 10" in verdict


def test_the_verdict_says_that_cold_training_did_not_get_there(example, points):
    verdict = example("curves").verdict(points(1.5, 1.1, 1.2), points(1.0, 0.9, 0.8), "RMSE")

    assert "did not get there within 20 steps" in verdict and "best is 1.1000" in verdict


def test_more_is_better_for_auc(example):
    curves = example("curves")
    curve = [curves.Point(step, {"AUC": value}) for step, value in ((0, 0.5), (5, 0.8), (10, 0.7))]

    assert curves.steps_to_reach(curve, "AUC", 0.75) == 5
    assert curves.steps_to_reach(curve, "AUC", 0.85) is None


def test_curves_stand_side_by_side_in_print(example):
    curves = example("curves")
    named = {name: [curves.Point(0, {"log loss": 2 * auc, "AUC": auc})] for name, auc in (("cold", 0.25), ("no slots", 0.375))}

    assert curves.table(named).splitlines() == [
        "                 AUC                 log loss",
        "    step       cold   no slots       cold   no slots",
        "       0     0.2500     0.3750     0.5000     0.7500",
    ]


@pytest.mark.parametrize(("metric", "sign"), [("RMSE", -1), ("AUC", 1)])
def test_slots_are_worth_what_the_model_without_them_lacks(example, metric, sign):
    curves = example("curves")

    def curve(*values):
        return [curves.Point(10 * number, {metric: 0.5 + sign * value}) for number, value in enumerate(values)]

    # That both begin alike says nothing about slots, and does not count.
    sentence = curves.worth_of_slots(curve(0, 0.3, 0.2, 0.4), curve(0, 0.31, 0.1, 0.37), metric)

    for said in (metric, "+0.0400 on average", "-0.0100 at the least (step 10)", "+0.1000 at the most (step 20)"):
        assert said in sentence
    assert "+0.0300 at the end" in sentence


def test_without_matplotlib_there_is_no_picture_and_no_error(example, points, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    assert not example("curves").write_png(str(tmp_path / "c.png"), "title", "RMSE", {"warm": points(1.0)})
    assert list(tmp_path.iterdir()) == []


# The whole


def test_the_steps_are_evaluated_at_even_distances_and_no_checkpoint_is_lost(example, tmp_path):
    model_fn = example("models").old_model_fn
    config = example("runs").make_estimator(model_fn, str(tmp_path), {}, steps=25, evaluations=10, seed=1).config

    assert config.save_checkpoints_steps == 3  # 0, 3, ... 24, 25: ten of them
    assert config.keep_checkpoint_max >= 10


def curve_of(output):
    """The printed table's rows: {step: (cold, warm) of the first metric}."""
    lines = re.findall(r"^ +(\d+) +([\d.]+) +([\d.]+)", output, re.MULTILINE)
    return {int(step): (float(cold), float(warm)) for step, cold, warm in lines}


@pytest.mark.slow
def test_a_whole_run_shows_the_warm_model_ahead_from_step_0(tmp_path):
    arguments = ["--rows", "20000", "--old-steps", "300", "--steps", "2", "--seed", "5"]

    ended = run_example(*arguments, "--output-dir", tmp_path / "first")

    assert ended.returncode == 0, ended.stderr
    curve = curve_of(ended.stdout)
    assert list(curve) == [0, 1, 2]
    cold, warm = curve[0]
    assert 0.4 < cold < 0.6
    assert warm > cold + 0.05
    # The tower adds nothing yet: the warm model is the old one.
    assert re.search(r"^The proof holds: .*model\.ckpt-300; .*\n.*\n.*\nprediction +free +\d", ended.stdout, re.MULTILINE)
    assert f"AUC {warm:.4f}\n" in ended.stdout
    assert re.search(r"^ *fm/v/Adagrad .* ranker/fm/v/Adagrad .* restored$", ended.stdout, re.MULTILINE)
    assert re.search(r"Cold training (needs \d+ steps|did not get there within 2 steps)", ended.stdout)
    for name in ("old/model.ckpt-300.index", "cold/model.ckpt-0.index", "warm/model.ckpt-0.index"):
        assert (tmp_path / "first" / name).is_file()
    drawn = importlib.util.find_spec("matplotlib") is not None
    assert (tmp_path / "first" / "curves.png").is_file() == drawn
    assert ("No picture: matplotlib is not installed" in ended.stdout) != drawn

    again = run_example(*arguments, "--output-dir", tmp_path / "second")
    assert again.stdout.replace("second", "first") == ended.stdout


@pytest.mark.slow
def test_a_whole_run_on_ratings(tmp_path):
    """Film n has the rating n % 5 + 1: a model of the old days knows it, a cold model does not."""
    random = np.random.RandomState(2)
    films = random.randint(0, 40, 4000)
    lines = [
        f"{random.randint(0, 50)}\t{film}\t{film % 5 + 1}\t{880000000 + number * 3600}" for number, film in enumerate(films)
    ]
    write_ratings(tmp_path, lines)
    arguments = ["--old-steps", "400", "--steps", "1", "--output-dir", tmp_path / "out"]

    ended = run_example("--movielens", tmp_path, *arguments)

    assert ended.returncode == 0, ended.stderr
    cold, warm = curve_of(ended.stdout)[0]
    assert cold == pytest.approx(np.sqrt(2), abs=0.1)  # predicts 3 of five equally likely ratings
    assert warm < cold - 0.3


@pytest.mark.slow
def test_a_whole_run_with_a_changed_vocabulary(tmp_path):
    """As above, but with more users and films every day."""
    random = np.random.RandomState(2)
    lines = []
    for number in range(4000):
        user, film = random.randint(0, 50 + number // 100), random.randint(0, 40 + number // 200)
        lines.append(f"{user}\t{film}\t{film % 5 + 1}\t{880000000 + number * 3600}")
    write_ratings(tmp_path, lines)
    out = tmp_path / "out"

    ended = run_example(
        "--case",
        "vocabulary",
        "--movielens",
        tmp_path,
        "--old-steps",
        "400",
        "--steps",
        "2",
        "--output-dir",
        out,
        "--initial-accumulator",
        "0.001",
    )

    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^    step +cold +warm +no slots$", ended.stdout, re.MULTILINE)
    curve = curve_of(ended.stdout)
    assert list(curve) == [0, 1, 2]
    assert curve[0][1] < curve[0][0] - 0.3
    assert re.search(r"^What slots were worth, in RMSE .* at the end\.$", ended.stdout, re.MULTILINE)
    assert "The proof holds: " in ended.stdout  # On the rows of which yesterday's model knows every token.

    old, old_rows = model_of(out / "old" / "model.ckpt-400", out / "old" / "vocabulary.txt")
    new, new_rows = model_of(out / "warm" / "model.ckpt-0", out / "vocabulary.txt")
    assert set(old_rows) < set(new_rows)
    assert sum(old_rows[token] != new_rows[token] for token in old_rows) > len(old_rows) / 2
    for name in ("fm/w", "fm/v", "fm/w/Adagrad", "fm/v/Adagrad"):
        before, after = old.get_tensor(name), new.get_tensor(f"ranker/{name}")
        np.testing.assert_array_equal(
            [after[new_rows[token]] for token in old_rows], [before[row] for row in old_rows.values()]
        )
    np.testing.assert_array_equal(
        new.get_tensor("ranker/dense/kernel"), np.concatenate([np.zeros((7, 1)), old.get_tensor("dense/kernel")])
    )
    without, _ = model_of(out / "no_slots" / "model.ckpt-0", out / "vocabulary.txt")
    np.testing.assert_array_equal(without.get_tensor("ranker/fm/w"), new.get_tensor("ranker/fm/w"))
    np.testing.assert_array_equal(without.get_tensor("ranker/fm/w/Adagrad"), np.full((len(new_rows) + 1, 1), 0.001, np.float32))


def model_of(prefix, vocabulary):
    """A checkpoint's reader, and {token: row}."""
    tokens = vocabulary.read_text().splitlines()
    return tf.train.load_checkpoint(str(prefix)), {token: row for row, token in enumerate(tokens)}


@pytest.mark.slow
def test_a_whole_run_on_a_criteo_file(tmp_path):
    """The category C1 says whether it was clicked."""
    random = np.random.RandomState(2)
    path = tmp_path / "train.txt"
    path.write_text(
        "".join(
            criteo_line(label, categories=[f"{label}{random.randint(0, 10)}"] + CATEGORIES[1:]) + "\n"
            for label in random.randint(0, 2, 400)
        )
    )
    ended = run_example("--criteo", path, "--old-steps", "30", "--steps", "1", "--output-dir", tmp_path / "out")

    assert ended.returncode == 0, ended.stderr
    cold, warm = curve_of(ended.stdout)[0]
    assert warm > max(cold, 0.9)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["renamed", "vocabulary"])
def test_all_ways_to_warm_start_come_to_the_same(case, tmp_path):
    ways = ("hook", "params", "wrapper")
    common = ["--case", case, "--rows", "3000", "--old-steps", "20", "--steps", "2"]

    ended = run_examples(*([*common, "--via", way, "--output-dir", tmp_path / way] for way in ways))

    assert ended.returncode == 0, ended.stderr
    rows = re.findall(r"^ +\d+ .*\d\.\d{4}$", ended.stdout, re.MULTILINE)
    assert len(rows) == 3 * len(ways)
    assert rows[:3] == rows[3:6] == rows[6:]
    # The pictures of the report's page are taken of it.
    page = (tmp_path / "wrapper" / "warm" / "warm_start.html").read_text("utf-8")
    assert re.search(r"<title>Warm start: .*/old/model.ckpt-20</title>", page)
