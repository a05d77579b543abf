"""The benchmark of scale runs and prints a line for every point."""

import pathlib
import subprocess
import sys

SCALE = pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "scale.py"


def lines_of(*arguments):
    """The rows of the printed tables, as lists of cells."""
    ended = subprocess.run(
        [sys.executable, str(SCALE), "--rounds", "1", *arguments],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    rows = [line.strip("| ").split(" | ") for line in ended.stdout.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0].replace(",", "").isdigit()]


def test_servers():
    # 100,000 rows of 16 floats, and their slot: 12.8 MB.
    rows = lines_of("--only", "servers", "--rows", "100000", "--servers", "2")
    assert [row[:3] for row in rows] == [["1", "1", "13"], ["2", "1", "13"], ["2", "2", "13"]]
    assert [round(float(row[6]) / 13, 1) for row in rows] == [1, 1, 0.5]


def test_rows_and_variables():
    assert [row[0] for row in lines_of("--only", "rows", "--rows", "1000")] == ["1,000"]
    ways = ["cold", "`VariableRecoverHook`", "`tf.compat.v1.train.warm_start`", "a hook with `Saver.restore`"]
    assert [row[:2] for row in lines_of("--only", "variables", "--variables", "10")] == [["10", way] for way in ways]
