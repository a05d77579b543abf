"""`plan --baseline`: what has changed since a plan was saved, as text, as JSON, on the page, and by the exit code."""

import json
import pathlib
import re
import shlex

import numpy as np
import pytest
import tensorflow as tf
import yaml

import plans
from conftest import save_checkpoint
from estimator_warmstart import WarmStartError, adapters
from estimator_warmstart.cli import main
from estimator_warmstart.plan.baseline import changes_since, reports_of_baseline
from estimator_warmstart.plan.report import report_as_dict

tf1 = tf.compat.v1


def changes(before, after):
    """The changes between two plans, saved and read in between, as pairs: kind, text."""
    saved = json.loads(json.dumps([report_as_dict(before)]))
    found = changes_since(reports_of_baseline("plan.json", saved), [report_as_dict(after)])
    return [(change["change"], change["text"]) for change in found]


W = plans.restored("w", (3, 2))
COLD = plans.initialized(plans.new_variable("w", (3, 2)), "not matched")
V = plans.restored("v", (3, 2))
PADDED = plans.adapted("w", (3, 2), (4, 2), adapters.crop_or_pad())

# Each: before, after, and what is said of the variable.
CASES = {
    "cold now": (W, COLD, "not recovered", "w: was restored from 'w'; is left as initialized (not matched) now"),
    "recovered now": (COLD, W, "recovered", "w: was left as initialized (not matched); is restored from 'w' now"),
    "another source": (W, plans.restored("w", (3, 2), "u"), "source", "w: was restored from 'w'; is restored from 'u' now"),
    "adapted now": (
        W,
        PADDED,
        "action",
        "w: was restored from 'w'; is adapted from 'w' (crop_or_pad(fill='initial')) now",
    ),
    "another shape": (
        PADDED,
        plans.adapted("w", (3, 2), (6, 2), adapters.crop_or_pad()),
        "shape",
        "w: its shape was [4, 2]; is [6, 2] now",
    ),
    "another dtype": (
        COLD,
        COLD._replace(new=COLD.new._replace(dtype="float16")),
        "dtype",
        "w: its dtype was float32; is float16 now",
    ),
    "less of it old": (
        PADDED,
        plans.adapted("w", (1, 2), (4, 2), adapters.crop_or_pad()),
        "old share",
        "w: was 75 % old; is 25 % old now",
    ),
    "another adapter": (
        PADDED,
        plans.adapted("w", (3, 2), (4, 2), adapters.crop_or_pad(fill="zeros")),
        "adapter",
        "w: was adapted by crop_or_pad(fill='initial'); is by crop_or_pad(fill='zeros') now",
    ),
}


class TestChanges:
    @pytest.mark.parametrize("before, after, kind, text", CASES.values(), ids=list(CASES))
    def test_of_a_variable(self, before, after, kind, text):
        first = changes(plans.plan_of(before, V), plans.plan_of(after, V))
        assert first[0] == (kind, text)
        assert [each for each, _ in first[1:]] in ([], ["coverage lower"])

    def test_none(self):
        assert changes(plans.plan_of(W, COLD, PADDED), plans.plan_of(W, COLD, PADDED)) == []

    def test_other_words_for_cold_are_none(self):
        assert changes(plans.plan_of(COLD), plans.plan_of(COLD._replace(reason="excluded"))) == []

    def test_the_order_and_the_place_of_the_old_model_are_none(self):
        before, after = plans.plan_of(V, W), plans.plan_of(W, V)
        elsewhere = "/tmp/x/model.ckpt-9"
        moved = tuple(planned._replace(old=planned.source._replace(prefix=elsewhere)) for planned in after.variables)
        after = after._replace(checkpoints=(after.checkpoint._replace(prefix=elsewhere),), variables=moved)
        assert changes(before, after) == []

    def test_a_new_and_a_gone_variable(self):
        assert changes(plans.plan_of(W, V), plans.plan_of(W, plans.restored("x", (3, 2), "v"))) == [
            ("gone", "v: is no longer in the model; was restored from 'v'"),
            ("new", "x: is new in the model; is restored from 'v'"),
        ]

    def test_lower_coverage(self):
        assert changes(plans.plan_of(W, V), plans.plan_of(COLD, V))[1] == (
            "coverage lower",
            "coverage: was 100.0 %; is 50.0 % now",
        )

    def test_lower_coverage_of_the_optimizer(self):
        slot = plans.new_variable("w/Adam", (3, 2), slot_of=plans.SlotOf("", "w", "Adam"))
        before = W._replace(new=slot)
        assert changes(plans.plan_of(W, before), plans.plan_of(W, plans.initialized(slot, "no slots")))[1:] == [
            ("slot_coverage lower", "coverage of the optimizer's state: was 100.0 %; is 0.0 % now")
        ]

    def test_another_of_several_old_models(self):
        def report(folder, number):
            models = [{"checkpoint": f"{folder}/{name}"} for name in ("a", "b")]
            found = report_as_dict(plans.plan_of(W))
            rows = [{**row, "checkpoint": models[number]["checkpoint"]} for row in found["variables"]]
            return {**found, "checkpoints": models, "variables": rows}

        assert changes_since([report("here", 0)], [report("there", 0)]) == []
        (change,) = changes_since([report("here", 0)], [report("there", 1)])
        assert change["change"] == "source"
        assert change["text"] == "w: was restored from 'w' of old model 1; is restored from 'w' of old model 2 now"

    def test_another_number_of_warm_starts(self):
        report = report_as_dict(plans.plan_of(W))
        assert [each["text"] for each in changes_since([report], [report, report])] == ["1 warm starts before, 2 now"]

    def test_of_several_say_which(self):
        before, after = report_as_dict(plans.plan_of(W)), report_as_dict(plans.plan_of(COLD))
        found = changes_since([before, before], [before, after])
        assert [each["plan"] for each in found] == [1, 1]
        assert found[0]["text"].startswith("warm start 2, w: was restored")


GOOD = report_as_dict(plans.plan_of(W))
BAD = {
    "params": ({"ckp_dir": "old"}, "is not what `plan --json` prints"),
    "numbers": ([1, 2], "is not what `plan --json` prints"),
    "text": ("plan", "is not what `plan --json` prints"),
    "an older version": ([{**GOOD, "report_version": 0}], r"is of another version of the report \(0, this one is 1\)"),
    "no version": (
        [{key: value for key, value in GOOD.items() if key != "report_version"}],
        r"is of another version of the report \(None, this one is 1\)",
    ),
    "no coverage": ([{**GOOD, "coverage": None}], "(?s)is damaged.*plan 0: 'coverage' is None"),
    "a coverage that is none": ([{**GOOD, "coverage": 10**399}], "(?s)is damaged.*plan 0: 'coverage' is 1000"),
    "old models of another kind": ([{**GOOD, "checkpoints": 3}], "(?s)is damaged.*plan 0: 'checkpoints' is 3"),
    "variables of another kind": ([{**GOOD, "variables": {}}], "(?s)is damaged.*plan 0: 'variables' is {}"),
    "a variable of another kind": ([{**GOOD, "variables": [3]}], "(?s)is damaged.*plan 0, variable 0: not a mapping"),
    "a variable without an action": (
        [{**GOOD, "variables": [{**GOOD["variables"][0], "action": None}]}],
        "(?s)is damaged.*plan 0, variable 0: 'action' is None",
    ),
}


class TestBadBaseline:
    @pytest.mark.parametrize("saved, message", BAD.values(), ids=list(BAD))
    def test_is_one_error(self, saved, message):
        with pytest.raises(WarmStartError, match=message) as caught:
            reports_of_baseline("plan.json", saved)
        assert str(caught.value).startswith("plan.json ") and "save it again: estimator-warmstart plan" in str(caught.value)


def write_params(folder, **options):
    (folder / "params.json").write_text(json.dumps({"warm_start": {"ckp_dir": str(folder / "old"), **options}}))


def write_models(folder):
    """Writes a model whose `fm/w` and `fm/v` an old model has; returns the arguments of `plan` for it."""
    (folder / "old").mkdir()
    save_checkpoint(folder / "old", {"fm/w": np.float32([[1], [2]]), "fm/v": np.float32([[1, 2]])})
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.get_variable("fm/w", [2, 1]), tf1.get_variable("fm/v", [1, 2])
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(folder / "new" / "model.ckpt"))
    write_params(folder)
    return ["plan", str(folder / "params.json"), "--graph", str(folder / "new")]


class TestCommand:
    @pytest.fixture
    def arguments(self, tmp_path, capsys):
        """Of `plan`, with a baseline of it in `plan.json`."""
        arguments = write_models(tmp_path)
        assert main([*arguments, "--json"]) == 0
        (tmp_path / "plan.json").write_text(capsys.readouterr().out)
        return arguments

    def test_nothing_has_changed(self, arguments, tmp_path, capsys):
        assert main([*arguments, "--baseline", str(tmp_path / "plan.json")]) == 0
        assert capsys.readouterr().err == ""

    def test_a_variable_is_cold_now(self, arguments, tmp_path, capsys):
        write_params(tmp_path, exclude="fm/v")
        assert main([*arguments, "--baseline", str(tmp_path / "plan.json")]) == 1
        printed = capsys.readouterr()
        assert printed.out.startswith("Warm start from ")
        assert printed.err.splitlines() == [
            f"estimator-warmstart: 2 changes since {tmp_path / 'plan.json'}:",
            "  fm/v: was restored from 'fm/v'; is left as initialized (not matched) now",
            "  coverage: was 100.0 %; is 50.0 % now",
        ]

    def test_in_json_which_is_a_baseline_too(self, arguments, tmp_path, capsys):
        write_params(tmp_path, exclude="fm/v")
        assert main([*arguments, "--json", "--baseline", str(tmp_path / "plan.json")]) == 1
        printed = capsys.readouterr().out
        found = json.loads(printed)
        assert [(each["variable"], each["change"], each["before"], each["now"]) for each in found["changes"]] == [
            ("fm/v", "not recovered", "restored", "initialized"),
            (None, "coverage lower", 1.0, 0.5),
        ]
        (tmp_path / "plan.json").write_text(printed)
        assert main([*arguments, "--baseline", str(tmp_path / "plan.json")]) == 0

    def test_all_that_is_too_little_is_said(self, arguments, tmp_path, capsys):
        write_params(tmp_path, exclude="fm/v")
        more = ["--baseline", str(tmp_path / "plan.json"), "--require-coverage", "0.9"]
        assert main([*arguments, *more]) == 1
        said = capsys.readouterr().err
        assert "coverage is 50 %, 90 % is required" in said and "2 changes since" in said

    @pytest.mark.parametrize(
        "text, says", [(None, "cannot be read"), ("{", "is not JSON"), ("{}", "is not what `plan --json` prints")]
    )
    def test_a_bad_baseline_is_one_error(self, arguments, tmp_path, capsys, text, says):
        (tmp_path / "plan.json").unlink()
        if text is not None:
            (tmp_path / "plan.json").write_text(text)
        assert main([*arguments, "--baseline", str(tmp_path / "plan.json")]) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and says in printed.err and "plan.json" in printed.err

    def test_the_page_has_the_changes(self, arguments, tmp_path, capsys):
        write_params(tmp_path, exclude="fm/v")
        page = tmp_path / "page.html"
        assert main([*arguments, "--baseline", str(tmp_path / "plan.json"), "--html", str(page), "--values"]) == 1
        assert capsys.readouterr().out.splitlines()[-1] == f"Page: {page}"
        text = page.read_text(encoding="utf-8")
        assert "fm/v: was restored from 'fm/v'" in text and '"old_mean"' in text

    def test_values_need_a_page(self, arguments, capsys):
        assert main([*arguments, "--values"]) == 2
        assert "--values are shown on the page of --html FILE; give both" in capsys.readouterr().err

    def test_a_page_replaces_nothing_else(self, arguments, tmp_path, capsys):
        before = (tmp_path / "params.json").read_text()
        assert main([*arguments, "--html", str(tmp_path / "params.json")]) == 2
        assert "is not a page of this program" in capsys.readouterr().err
        assert (tmp_path / "params.json").read_text() == before

    def test_json_and_a_page(self, arguments, tmp_path, capsys):
        assert main([*arguments, "--json", "--html", str(tmp_path / "page.html")]) == 0
        assert len(json.loads(capsys.readouterr().out)) == 1 and (tmp_path / "page.html").exists()


class TestDocs:
    """docs/ci.md: what it says of the two commands and what they print."""

    PAGE = (pathlib.Path(__file__).resolve().parents[1] / "docs" / "ci.md").read_text(encoding="utf-8")

    def test_the_lines_of_the_workflow(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        arguments = write_models(tmp_path)
        steps = yaml.safe_load(re.search(r"```yaml\n(.*?)```", self.PAGE, re.DOTALL).group(1))
        assert len(steps) == 4 and steps[3]["with"]["path"] == "plan.html"
        (saving,) = re.findall(r"```sh\n(.*?)\n```", self.PAGE)
        command, _, saved = saving.partition(" > ")
        assert main(shlex.split(command)[1:]) == 0
        (tmp_path / saved).write_text(capsys.readouterr().out)
        comparing = shlex.split(steps[2]["run"])[1:]
        assert main(comparing) == 0 and (tmp_path / "plan.html").exists()
        write_params(tmp_path, exclude="fm/v")
        capsys.readouterr()
        assert main(comparing) == 1
        assert capsys.readouterr().err == re.search(r"```text\n(.*?)```", self.PAGE, re.DOTALL).group(1)
        assert arguments[1] == str(tmp_path / "params.json")
