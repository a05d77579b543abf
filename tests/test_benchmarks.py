"""The benchmark script measures every contender, and believes none before it has looked at the values."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator

# Warm starts of Estimators are what others are compared with.
pytestmark = needs_estimator
FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
OLD_SIZE = 60


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a module of the benchmark's folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def run_script(name, *arguments):
    return subprocess.run([sys.executable, str(FOLDER / name), *arguments], capture_output=True, text=True)


def child_of_this_process(command, keys, options, directory):
    """In place of a fresh process for each measurement, which costs as much as loading TensorFlow."""
    child = importlib.import_module("child")
    numbers = {"rows": options.rows, "plan_variables": options.plan_variables}
    measured = child.COMMANDS[command](argparse.Namespace(case=list(keys), directory=directory, **numbers))
    return json.loads(json.dumps(measured))


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """All contenders once, on a table of sixty rows: the exit status, what was printed, and the report."""
    path = tmp_path_factory.mktemp("benchmark") / "runs.json"
    numbers = ["--rows", str(OLD_SIZE), "--rounds", "1", "--plan-variables", "20"]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.syspath_prepend(str(FOLDER))
        run = importlib.import_module("run")
        patch.setattr(run, "_child", child_of_this_process)
        status = run.main([*numbers, "--json", str(path), "--output-markdown"])
    return status, printed.getvalue(), json.loads(path.read_text())


def test_every_contender_verified_its_values(tiny_run, benchmark):
    status, _, report = tiny_run
    assert {key: case["problem"] for key, case in report["cases"].items() if case["problem"]} == {}
    # Each once; in which order is drawn.
    assert sorted(run["case"] for run in report["runs"]) == sorted(case.key for case in benchmark("cases").CASES)
    assert all(run["problems"] == [] for run in report["runs"])
    assert status == 0


@pytest.mark.slow
def test_each_run_is_a_process_of_its_own(benchmark, tmp_path):
    report = tmp_path / "runs.json"
    numbers = ["--rows", str(OLD_SIZE), "--rounds", "1", "--plan-variables", "20"]
    chosen = ["--only", "same-shape/VariableRecoverHook", "--only", "plan/names alone"]
    ended = run_script("run.py", *numbers, *chosen, "--json", str(report))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    runs = {run["case"]: run["problems"] for run in json.loads(report.read_text())["runs"]}
    baseline = benchmark("cases").task_named("same-shape").baseline
    assert runs == {f"same-shape/{baseline}": [], "same-shape/VariableRecoverHook": [], "plan/names alone": []}


def test_table_has_every_row(tiny_run, benchmark):
    cases = benchmark("cases")
    tables = [part for part in tiny_run[1].split("\n\n") if part.startswith("| contender")]
    rows = [[line.split("|")[1].strip() for line in part.splitlines()[2:]] for part in tables]
    assert rows == [[case.name for case in cases.CASES if case.task == task.name] for task in cases.TASKS]
    assert "NOT as expected" not in tiny_run[1]


def test_every_recovery_says_what_it_took(tiny_run):
    quantities = {"prepare_seconds", "session_seconds", "total_seconds", "cpu_seconds", "peak_bytes", "graph_bytes"}
    for key, case in tiny_run[2]["cases"].items():
        if not key.startswith("plan/"):
            assert quantities <= set(case["medians"]), key
            assert case["ratios"]["session_seconds"] > 0, key
            assert case["medians"]["full_collections"] == 0, key


def found_after(known_values, task, new_size):
    """What a right contender leaves in the variables."""
    rows = np.arange(new_size, dtype=np.int64)
    sources = known_values.source_rows(task, rows, OLD_SIZE)
    drawn = np.random.RandomState(7).uniform(-0.02, 0.02, size=(new_size, 16)).astype(np.float32)
    found = {}
    for name, columns in known_values.COLUMNS.items():
        values = np.full((new_size, columns), 0.1, np.float32)
        if not name.endswith("Adagrad"):
            values[:] = drawn[:, :columns]
        kept = sources >= 0
        values[kept] = known_values.old_values(name, sources[kept])
        found[name] = values
    return rows, found


@pytest.mark.parametrize(
    "task, new_size", [("same-shape", 60), ("crop", 50), ("grow", 69), ("vocabulary", 60), ("rehash", 120)]
)
@pytest.mark.parametrize("name", ["fm/w", "fm/w/Adagrad", "fm/v", "fm/v/Adagrad"])
def test_a_wrong_value_is_found(benchmark, task, new_size, name):
    known_values = benchmark("known_values")
    rows, found = found_after(known_values, task, new_size)
    assert known_values.problems(task, True, rows, OLD_SIZE, found) == []
    for row in (0, new_size - 1):
        spoilt = {**found, name: found[name].copy()}
        spoilt[name][row, -1] += 0.25
        (problem,) = known_values.problems(task, True, rows, OLD_SIZE, spoilt)
        assert problem.startswith(f"{name}: ")


@pytest.mark.parametrize("task", ["same-shape", "vocabulary"])
def test_a_cold_table_does_not_pass_for_recovered_nor_the_reverse(benchmark, task):
    known_values = benchmark("known_values")
    rows, found = found_after(known_values, task, 60)
    cold = {name: values.copy() for name, values in found.items()}
    for name, values in cold.items():
        values[:] = 0.1 if name.endswith("Adagrad") else np.linspace(-0.02, 0.02, values.size).reshape(values.shape)
    assert len(known_values.problems(task, True, rows, OLD_SIZE, cold)) == 4
    assert known_values.problems(task, False, rows, OLD_SIZE, cold) == []
    assert len(known_values.problems(task, False, rows, OLD_SIZE, found)) == 4


def test_changed_vocabulary_keeps_nine_tenths_in_another_order(benchmark):
    known_values = benchmark("known_values")
    sources = known_values.source_rows("vocabulary", np.arange(1000), 1000)
    kept = sources[sources >= 0]
    assert len(kept) == len(set(kept)) == 900
    assert np.mean(np.diff(kept) == 1) < 0.01
    old, new = known_values.old_tokens(1000), known_values.new_tokens("vocabulary", 1000, 1000)
    assert len(set(old)) == len(set(new)) == 1000
    assert [old.index(token) if token in old else -1 for token in new] == sources.tolist()


def stand_in_child(broken=None, seconds=(4.0, 1.0, 2.0)):
    """In place of the measured processes: `warm_start` takes half as long; `broken` is one run's own result."""
    rounds = {}

    def child(command, keys, options, directory):
        if command == "idle":
            return {"peak_bytes": 100e6, "tensorflow": "x", "numpy": "x", "python": "x"}
        if command == "prepare":
            return {}
        number = rounds[keys[0]] = rounds.get(keys[0], -1) + 1
        took = seconds[number] / (2 if keys[0].endswith("tf.train.warm_start") else 1)
        result = {
            "total_seconds": took,
            "session_seconds": took,
            "cpu_seconds": took,
            "model_seconds": 0.0,
            "peak_bytes": 300e6,
            "variable_bytes": 50e6,
            "graph_bytes": 1000,
            "problems": [],
        }
        return {**result, **broken} if broken and keys[0] == "same-shape/cold" and number == 1 else result

    return child


@pytest.mark.parametrize(
    "broken, says",
    [
        ({"problems": ["fm/v: 3 of 60 old rows differ"]}, "cold: wrong: fm/v: 3 of 60 old rows differ"),
        ({"error": "exit status 1, killed"}, "cold: failed: exit status 1, killed"),
    ],
    ids=["wrong", "died"],
)
def test_one_bad_round_of_three_is_told_and_fails_the_run(benchmark, monkeypatch, capsys, broken, says):
    run = benchmark("run")
    monkeypatch.setattr(run, "_child", stand_in_child(broken))
    arguments = ["--only", "same-shape/cold", "--rounds", "3"]
    assert run.main(arguments) == 1
    out = capsys.readouterr().out
    assert says in out and "NOT as expected" in out
    monkeypatch.setattr(run, "_child", stand_in_child())
    assert run.main(arguments) == 0


def test_medians_and_ratios(benchmark, monkeypatch, tmp_path, capsys):
    run = benchmark("run")
    monkeypatch.setattr(run, "_child", stand_in_child())
    report = tmp_path / "runs.json"
    run.main(["--only", "same-shape/cold", "--rounds", "3", "--json", str(report), "--output-markdown"])
    written = json.loads(report.read_text())
    assert list(written["cases"]) == ["same-shape/cold", "same-shape/tf.train.warm_start"]
    assert written["cases"]["same-shape/cold"]["medians"]["session_seconds"] == 2.0
    assert written["cases"]["same-shape/cold"]["ratios"]["session_seconds"] == 2.0
    cold = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| cold"))
    cells = [cell.strip() for cell in cold.strip("|").split("|")]
    assert cells[1:5] == ["2.00 (1.00 to 4.00)", "2.00", "2.00 (1.00 to 4.00)", "2.00"]
    assert cells[7:10] == ["300", "200", "150"]


def test_of_any_two_contenders_each_runs_first_equally_often(benchmark, monkeypatch):
    run, order = benchmark("run"), []
    child = stand_in_child(seconds=(1.0,) * 4)

    def watched(command, keys, options, directory):
        order.extend(keys if command == "recover" else [])
        return child(command, keys, options, directory)

    monkeypatch.setattr(run, "_child", watched)
    run.main(["--only", "same-shape/*", "--rounds", "4"])
    width = len(set(order))
    rounds = [order[start : start + width] for start in range(0, len(order), width)]
    assert len(rounds) == 4 and all(len(set(each)) == width for each in rounds)
    for one in rounds[0]:
        for other in rounds[0]:
            assert one == other or sum(each.index(one) < each.index(other) for each in rounds) == 2
        before = {each[each.index(one) - 1] if each.index(one) else None for each in rounds}
        assert len(before) > 1, f"{one} always follows {before}"


def test_unknown_case_is_named(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark("run").main(["--only", "same-shap/*"])
    assert "--only 'same-shap/*' names no case; there are: same-shape/cold, " in capsys.readouterr().err


def test_starting_process_stays_small():
    """Its own peak counts as the measured processes': with TensorFlow or numpy in it, theirs would mean nothing."""
    code = "import sys; import run; sys.exit(bool({'numpy', 'tensorflow', 'estimator_warmstart'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=str(FOLDER)).returncode == 0


@pytest.mark.slow
def test_a_conversion_keeps_every_tensor():
    ended = run_script("conversion.py", "--rows", str(OLD_SIZE), "--rounds", "1")
    assert ended.returncode == 0, ended.stderr
    assert "every tensor as it was" in ended.stdout and "`convert_checkpoint`" in ended.stdout


@pytest.mark.slow
@pytest.mark.skipif(tf.__version__ < "2", reason="eager execution is TensorFlow 2's")
def test_eager_variables_have_the_old_values():
    ended = run_script("into.py", "--rows", str(OLD_SIZE), "--rounds", "1")
    assert ended.returncode == 0, ended.stderr
    assert "every value as it was" in ended.stdout and "`recover_into`, cropped" in ended.stdout


@pytest.mark.slow
def test_misspelt_names_are_found_and_a_renamed_scope_seen():
    ended = run_script("names.py", "--variables", "600", "--renamed", "400", "--rounds", "1")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "every name and rule as expected" in ended.stdout and "`diff` of 400 variables" in ended.stdout
