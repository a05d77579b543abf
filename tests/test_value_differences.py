"""`diff --values`: did a fine-tuning change the frozen tower? Of each variable and slot, by how much values differ."""

import json

import numpy as np
import pytest

from conftest import save_checkpoint
from estimator_warmstart.cli import main


def compared(capsys, tmp_path, old, new, *options, code=1, **more):
    """{new name: values} of `diff --values --json`, and the lines without --json."""
    folders = [str(tmp_path / name) for name in ("a", "b")]
    save_checkpoint(folders[0], old), save_checkpoint(folders[1], new, **more)
    assert main(["diff", *folders, "--values", "--json", *options]) == code
    found = json.loads(capsys.readouterr().out)["variables"]
    assert main(["diff", *folders, "--values", *options]) == code
    lines = capsys.readouterr().out.splitlines()
    return {(each["new"] or each["old"])["name"]: each.get("values") for each in found}, lines


def difference_of(capsys, tmp_path, old, new, **options):
    found, lines = compared(capsys, tmp_path, {"w": old}, {"w": new}, **options)
    return found["w"][""], lines[4].split("  ")[-1].strip()


class TestValues:
    @pytest.mark.parametrize(
        "value",
        [
            np.float32([1, 2]),
            np.float32([np.nan, -np.inf]),
            np.array([b"a", b"bc"]),
            np.array([True, False]),
            np.complex64([1j]),
            np.int64([2**62 + 1]),
            np.zeros((0, 3), np.float32),
            np.float32(7),
        ],
        ids=lambda value: f"{value.dtype} {value.shape}",
    )
    def test_that_are_equal_are_identical(self, capsys, tmp_path, value):
        assert difference_of(capsys, tmp_path, value, value, code=0)[1] == "identical"

    @pytest.mark.parametrize(
        "old, new, said",
        [
            (np.float32([1, 2, 3]), np.float32([1, 2.5, 3]), "1 of 3 values differ, by 0.5 at most, 0.166667 on average"),
            (np.float32([1, np.nan]), np.float32([1, 0]), "1 of 2 values differ, by inf at most, inf on average"),
            (np.float32([np.inf]), np.float32([-np.inf]), "1 of 1 values differ, by inf at most, inf on average"),
            (np.int64([2**62]), np.int64([2**62 + 1]), "1 of 1 values differ, by 1 at most, 1 on average"),
            (np.int8([-128]), np.int8([127]), "1 of 1 values differ, by 255 at most, 255 on average"),
            (np.float16([0]), np.float16([2]), "1 of 1 values differ, by 2 at most, 2 on average"),
            (np.complex64([3]), np.complex64([4j]), "1 of 1 values differ, by 5 at most, 5 on average"),
            (np.array([True, False]), np.array([True, True]), "1 of 2 values differ, by 1 at most, 0.5 on average"),
            (np.array([b"a", b"bc"]), np.array([b"a", b"b"]), "1 of 2 values differ"),
            (np.float32([1]), np.float32([1, 2]), "shape changed; not compared: shapes differ"),
            (np.float32([1]), np.float64([1]), "dtype changed float32 -> float64; not compared: dtypes differ"),
        ],
        ids=["float", "NaN", "infinity", "large", "int8", "float16", "complex", "bool", "string", "shape", "dtype"],
    )
    def test_that_differ_are_told(self, capsys, tmp_path, old, new, said):
        assert difference_of(capsys, tmp_path, old, new)[1] == said

    def test_of_a_variable_in_parts_and_of_many_windows(self, capsys, tmp_path):
        value = np.arange(1300 * 1000, dtype=np.float32).reshape(1300, 1000)
        other = value.copy()
        other[0, 0] += 1
        other[-1, -1] += 4
        found, _ = compared(capsys, tmp_path, {"w": value}, {"w": other}, partitions={"w": 3})
        assert (found["w"][""]["differing"], found["w"][""]["largest"]) == (2, 4.0)
        assert found["w"][""]["mean"] == pytest.approx(5 / 1300000)


OLD = {"tower/w": np.float32([1]), "head/w": np.float32([1]), "head/w/Adam": np.float32([1])}


class TestPairs:
    def test_renamed_ones_and_slots_too(self, capsys, tmp_path):
        new = {"m/tower/w": np.float32([1]), "m/head/w": np.float32([2]), "m/head/w/Adam": np.float32([4])}
        old = {**OLD, "tower/w": np.float32([1])}
        _, lines = compared(
            capsys, tmp_path, {**old, "tower/w": np.zeros([2], np.float32)}, {**new, "m/tower/w": np.zeros([2], np.float32)}
        )
        assert lines[4].endswith(
            "renamed?; 1 of 1 values differ, by 1 at most, 1 on average; Adam: 1 of 1 values differ, by 3 at most, 3 on average"
        )
        assert lines[5].endswith("renamed?; identical")

    def test_the_exit_code_is_of_what_is_compared(self, capsys, tmp_path):
        new = {**OLD, "head/w/Adam": np.float32([3])}
        found, lines = compared(capsys, tmp_path, OLD, new)
        assert lines[-1] == "same: 2" and found["tower/w"][""]["identical"] and not found["head/w"]["Adam"]["identical"]
        compared(capsys, tmp_path, OLD, new, "--pattern=tower", code=0)

    def test_damaged_values_are_an_error(self, capsys, tmp_path):
        save_checkpoint(tmp_path / "a", OLD)
        save_checkpoint(tmp_path / "b", OLD)
        (data,) = tmp_path.glob("b/*.data*")
        data.write_bytes(bytes([data.read_bytes()[0] ^ 1]) + data.read_bytes()[1:])
        assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--values"]) == 2
        assert "cannot be compared" in capsys.readouterr().err
