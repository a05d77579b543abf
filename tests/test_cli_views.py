"""What list, diff and plan show of large models: folded, sorted, chosen, totals, one screen; on terminals and in pipes."""

import re

import numpy as np
import pytest

from conftest import save_checkpoint
from estimator_warmstart.cli import main
from estimator_warmstart.plan.report import Row
from estimator_warmstart.plan.views import first_rows, hidden_line, sort_rows
from test_cli import build_new_model, error_of, here, models_of_the_docs, on_terminal, output_of, zeros

__all__ = ["here", "models_of_the_docs", "on_terminal"]  # Fixtures.


def deep_model(layers, width):
    model = {f"encoder/layer{number}/kernel": zeros(2, width) for number in range(layers)}
    model.update({f"encoder/layer{number}/kernel/Adam": zeros(2, width) for number in range(layers)})
    return {**model, "embedding": zeros(9, 2)}


@pytest.fixture
def deep(tmp_path, monkeypatch):
    """The working directory, with three layers in `a`, and in `b`, where they are wider."""
    monkeypatch.chdir(tmp_path)
    save_checkpoint("a", deep_model(3, 2))
    save_checkpoint("b", deep_model(3, 3))
    return tmp_path


@pytest.fixture
def screen(on_terminal, monkeypatch):
    """Runs a command on a terminal of 80 columns and 24 lines without colours; returns the lines that are shown."""
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", "24")
        return on_terminal(*arguments)[1].splitlines()

    return run


class TestFolding:
    def test_on_a_terminal(self, deep, screen):
        assert screen("list", "a")[1:] == [
            "variable                    shape   dtype    bytes  slots",
            "--------------------------  ------  -------  -----  -----",
            "embedding                   [9, 2]  float32     72",
            "encoder/layer{0..2}/kernel  [2, 2]  float32     48  Adam",
            "Variables: 4, 120 bytes; slots: 3, 48 bytes",
        ]
        assert screen("diff", "a", "b")[2:] == [
            "variable                    shape             difference",
            "--------------------------  ----------------  -------------",
            "encoder/layer{0..2}/kernel  [2, 2] -> [2, 3]  shape changed",
            "same: 1; shape changed: 3",
            "Shape changed: adapters={} (or ShapeAdaptingRecoverHook) takes what fits; without, it is an error",
        ]

    def test_a_slot_on_a_terminal_does_not_repeat_the_name_of_its_variable(self, deep, screen, capsys):
        (deep / "params.json").write_text('{"ckp_dir": "a", "adapters": {}}')
        build_new_model(deep / "new")
        save_checkpoint("a", {"ranker/fm/v": zeros(3, 2), "ranker/fm/v/Adagrad": zeros(3, 2)})
        shown = " ".join(" ".join(screen("plan", "params.json", "--graph", "new")).split())
        assert "of the old kept: as its variable" in shown
        assert "of the old kept: as 'ranker/fm/v'\n" in output_of(capsys, "plan", "params.json", "--graph", "new")

    def test_all_unfolds(self, deep, screen):
        assert [line.split()[0] for line in screen("list", "a", "--all")[3:7]] == [
            "embedding",
            *(f"encoder/layer{number}/kernel" for number in range(3)),
        ]

    def test_a_pipe_has_a_line_for_each_variable(self, deep, capsys):
        assert output_of(capsys, "list", "a") == output_of(capsys, "list", "a", "--all")
        assert output_of(capsys, "diff", "a", "b", code=1).count("shape changed\n") == 3

    def test_statistics_of_what_is_folded_are_those_of_all_values(self, deep, screen):
        save_checkpoint("c", {f"l{number}/k": np.float32([3 * number, 4, np.nan]) for number in range(2)})
        assert screen("list", "c", "--stats")[-2].split()[-5:] == ["0", "4", "2.75", "6.40312", "2"]

    def test_other_slots_are_not_folded(self, deep, screen):
        save_checkpoint("c", {"l0/k": zeros(2), "l1/k": zeros(2), "l1/k/Adam": zeros(2)})
        assert [line.split()[0] for line in screen("list", "c")[3:5]] == ["l0/k", "l1/k"]


CANNED = {
    f"linear/linear_model/{column}_bucketized_X_{other}/weights" for column in ("age", "hours") for other in ("job", "race")
}


class TestWidth:
    @pytest.mark.parametrize("columns", [60, 80, 100, 200])
    @pytest.mark.parametrize("command", ["list", "diff"])
    def test_each_row_shows_what_tells_it_apart(self, deep, screen, command, columns):
        for folder, rows in (("old", 5), ("new", 6)):
            save_checkpoint(folder, {name: zeros(rows + len(name), 4) for name in CANNED})
        folders, above = (["old"], 3) if command == "list" else (["old", "new"], 4)
        rows = screen(command, *folders, columns=columns)[above : above + len(CANNED)]
        assert len({row.split()[0] for row in rows}) == len(CANNED)
        assert all(len(row) <= columns and "[" in row for row in rows)


class TestScreen:
    def test_the_largest_are_shown(self, deep, screen):
        save_checkpoint("many", {f"v{number}": zeros(number) for number in range(1, 101)})
        lines = screen("list", "many")
        assert len(lines) <= 24
        assert [line.split()[0] for line in lines[3:-2]] == sorted(
            f"v{number}" for number in range(101 - len(lines[3:-2]), 101)
        )
        assert re.fullmatch(r"\.\.\. and 86 more lines, [0-9,]+ bytes; --all shows them", lines[-2])
        assert len(screen("list", "many", "--all")) == 104

    def test_of_an_order_the_first_are_shown(self, deep, screen):
        save_checkpoint("many", {f"v{number}": zeros(number) for number in range(1, 101)})
        assert screen("list", "many", "--sort", "name")[3].startswith("v1 ")
        assert screen("list", "many", "--sort", "bytes")[3].startswith("v100 ")

    def test_thousands_of_rows(self):
        rows = [Row("-", "", f"scope_{number}/v", "[1]", "", number % 1000) for number in range(10000)]
        shown = first_rows(rows, 20, None)
        assert {row.nbytes for row in shown.rows} == {998, 999} and len(shown.hidden) == 9980
        assert hidden_line(shown) == "... and 9,980 more lines, 4,975,030 bytes; --all shows them"
        assert first_rows(rows, 3, "name").rows == tuple(rows[:3])


class TestSort:
    ROWS = (
        Row("a", "", "c", "", "", 8, changed=0),
        Row("b", "", "-", "", "", 9, changed=1),
        Row("-", "", "a", "", "", 7, changed=7),
    )

    @pytest.mark.parametrize(
        "by, names",
        [(None, "cba"), ("name", "abc"), ("bytes", "bca"), ("change", "abc")],
        ids=["as it is", "name", "bytes", "change"],
    )
    def test_of_rows(self, by, names):
        assert "".join(row.name for row in sort_rows(self.ROWS, by)) == names

    def test_diff_by_change(self, deep, capsys):
        save_checkpoint("x", {"gone": zeros(1), "grown": zeros(1)})
        save_checkpoint("y", {"added": zeros(5), "grown": zeros(2)})
        lines = output_of(capsys, "diff", "x", "y", "--sort", "change", code=1).splitlines()
        assert [line.split("  ")[-1].strip() for line in lines[4:7]] == ["only new", "only old", "shape changed"]


class TestOnly:
    @pytest.mark.parametrize(
        "only, shown",
        [
            (["same"], ["kept"]),
            (["changed"], ["grown"]),
            (["renamed"], ["enc/w", "m/enc/w"]),
            (["old,new"], ["gone", "added"]),
            (["old", "--only", "new"], ["gone", "added"]),
        ],
        ids=["same", "changed", "renamed", "comma", "twice"],
    )
    def test_of_diff(self, deep, capsys, only, shown):
        save_checkpoint("x", {"kept": zeros(1), "grown": zeros(1), "enc/w": zeros(3), "gone": zeros(4)})
        save_checkpoint("y", {"kept": zeros(1), "grown": zeros(2), "m/enc/w": zeros(3), "added": zeros(5)})
        printed = output_of(capsys, "diff", "x", "y", "--only", *only, code=1)
        table = printed[: printed.index("same: 1")].splitlines()[4:]
        found = {name for line in table for name in re.findall(r"[a-z/]{4,}", line.split("  only")[0])}
        assert {*shown} <= found and not {"kept", "grown", "enc/w", "gone", "added"} & found - {*shown}

    @pytest.mark.parametrize(
        "only, shown",
        [
            ("restored", ["fm/w", "fm/w/Adagrad"]),
            ("adapted", ["fm/v", "fm/v/Adagrad"]),
            ("cold", ["-", "-", "-"]),
            ("cold,restored", ["fm/w", "fm/w/Adagrad", "-", "-", "-"]),
        ],
    )
    def test_of_plan(self, models_of_the_docs, capsys, only, shown):
        printed = output_of(capsys, "plan", "params.json", "--graph", "new", "--only", only)
        table = printed[: printed.index("Recovered")].splitlines()[3:]
        assert [line.split()[0] for line in table] == shown

    def test_what_plan_does_not_use(self, models_of_the_docs, capsys):
        lines = output_of(capsys, "plan", "params.json", "--graph", "new", "--only", "unused").splitlines()
        assert lines[1].startswith("Recovered") and lines[2:] == ["Old variables not used: 1", "  global_step []"]

    def test_a_word_that_is_none(self, capsys):
        with pytest.raises(SystemExit):
            main(["diff", "a", "b", "--only", "chaged"])
        said = capsys.readouterr().err
        assert "'chaged' is not one of same, renamed, changed, old, new (did you mean 'changed'?)" in said


class TestPattern:
    def test_diff_compares_what_it_names(self, deep, capsys):
        assert output_of(capsys, "diff", "a", "b", "--pattern", "embedding").splitlines()[-1] == "same: 1"
        assert output_of(capsys, "diff", "a", "b", "--pattern", "encoder/layer[01]", code=1).splitlines()[-2] == (
            "same: 0; shape changed: 2"
        )

    def test_plan_shows_what_it_names(self, models_of_the_docs, capsys):
        printed = output_of(capsys, "plan", "params.json", "--graph", "new", "--pattern", "tower")
        assert "tower/kernel/Adagrad" in printed and "ranker" not in printed
        assert "Recovered: 4 of 7 new variables" in printed

    @pytest.mark.parametrize("command", ["list a", "diff a b"])
    def test_that_fits_nothing_is_an_error(self, deep, capsys, command):
        assert "'encodr' fits no" in error_of(capsys, *command.split(), "--pattern", "encodr")


class TestDepth:
    def test_of_list(self, deep, capsys):
        assert output_of(capsys, "list", "a", "--depth", "1").splitlines()[1:-1] == [
            "scope       variables  bytes  slots  slot bytes",
            "----------  ---------  -----  -----  ----------",
            "(no scope)          1     72      0           0",
            "encoder             3     48      3          48",
        ]

    def test_scopes_are_folded_on_a_terminal(self, deep, screen):
        assert screen("list", "a", "--depth", "2")[4].split() == ["encoder/layer{0..2}", "3", "48", "3", "48"]

    def test_of_diff(self, deep, capsys):
        assert output_of(capsys, "diff", "a", "b", "--depth", "1", code=1).splitlines()[4:6] == [
            "(no scope)          1     72  same: 1",
            "encoder             3     72  shape changed: 3",
        ]

    def test_of_plan(self, models_of_the_docs, capsys):
        assert output_of(capsys, "plan", "params.json", "--graph", "new", "--depth", "1").splitlines()[1:6] == [
            "  scope       variables  bytes  of which",
            "  ----------  ---------  -----  --------",
            "  (no scope)          1      8  0.0 % old; cold: 1",
            "  ranker              4     88  81.8 % old; adapted: 2; restored: 2",
            "  tower               2     32  0.0 % old; cold: 2",
        ]

    @pytest.mark.parametrize("depth", ["0", "-1", "x", "1.5"])
    def test_that_is_none(self, capsys, depth):
        with pytest.raises(SystemExit):
            main(["list", "a", f"--depth={depth}"])
        assert "must be a number of scopes, 1 or more" in capsys.readouterr().err


class TestJson:
    @pytest.mark.parametrize("option", ["--only=same", "--sort=name", "--depth=1", "--all"])
    def test_is_always_whole(self, deep, capsys, option):
        assert f"leave out {option.split('=')[0]}" in error_of(capsys, "diff", "a", "b", "--json", option)
