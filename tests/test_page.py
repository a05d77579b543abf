"""The page of a report: its contents as plain data, what of it is escaped, how large it is, and the file it is written to."""

import json
import re

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

import plans
from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import VariableRecoverHook, WarmStartError, adapters, recover_scaffold, warm_started
from estimator_warmstart.adapters.axis_map import Filled, Kept
from estimator_warmstart.adapters.transforms import MapAxis, Reshape
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.page.contents import contents_of_differences, contents_of_plans
from estimator_warmstart.page.histograms import histograms
from estimator_warmstart.page.packed import pack
from estimator_warmstart.page.page import check_page_path, html_of, write_page
from estimator_warmstart.page.strips import strips_of
from estimator_warmstart.plan.differences import find_differences
from estimator_warmstart.plan.plan import recovered
from estimator_warmstart.plan.report import report_as_dict
from shared_models import one_row, save_raw

tf1 = tf.compat.v1
NAMES = st.text(alphabet=st.sampled_from(["a", "b", "/", '"', "<", "\\", "é", "😀"]), max_size=6)


def unpack(packed):
    """What page.js does."""
    texts, before = [], ""
    for shared, rest in zip(packed["texts"][::2], packed["texts"][1::2]):
        before = before.encode("utf-16-le")[: 2 * shared].decode("utf-16-le") + rest
        texts.append(json.loads(before))
    columns = {
        key: [texts[value] if key in packed["keys"] and value is not None else value for value in values]
        for key, values in packed["columns"].items()
    }
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def contents_in(page):
    """The contents that a page has, as its script reads them."""
    return json.loads(re.search(r'<script type="application/json" id="contents">(.*?)</script>', page, re.DOTALL).group(1))


class TestPack:
    @hypothesis.given(st.lists(st.fixed_dictionaries({"name": NAMES, "old": st.none() | NAMES, "bytes": st.integers(0, 9)})))
    def test_nothing_is_lost(self, records):
        assert unpack(json.loads(json.dumps(pack(records)))) == records

    def test_of_nothing(self):
        assert pack([]) == {"keys": [], "columns": {}, "texts": []}

    def test_shapes_flags_and_shares(self):
        records = [{"shape": [3, 2], "share": 0.5, "whole": True}, {"shape": None, "share": 1, "whole": False}]
        assert unpack(pack(records)) == records


# The rows of the new matrix, and the rows of the old one: how many of them share a fate, in order.
STRIPS = {
    "grown": (
        adapters.crop_or_pad(),
        (3, 2),
        (5, 2),
        [["kept", 3, 0, 1], ["new", 2, -1, 1]],
        [["kept", 3]],
        "rows: 3 → 5: 3 in place, 2 new ('initial')",
    ),
    "cropped": (
        adapters.crop_or_pad(),
        (5, 2),
        (3, 2),
        [["kept", 3, 0, 1]],
        [["kept", 3], ["gone", 2]],
        "rows: 5 → 3: 3 in place, 2 gone",
    ),
    "moved": (
        adapters.take(np.s_[2:]),
        (6, 2),
        (4, 2),
        [["moved", 4, 2, 1]],
        [["gone", 2], ["moved", 4]],
        "rows: 6 → 4: 4 moved, 2 gone",
    ),
    "reversed": (
        adapters.take(np.s_[::-1]),
        (4, 2),
        (4, 2),
        [["moved", 4, 3, -1]],
        [["moved", 4]],
        "rows: 4 → 4: 4 moved",
    ),
    "every second one": (
        adapters.take(np.s_[::2]),
        (6, 2),
        (3, 2),
        [["moved", 3, 0, 2]],
        [["moved", 5], ["gone", 1]],
        "rows: 6 → 3: 3 moved, 3 gone",
    ),
    "by vocabulary": (
        adapters.remap_rows(["a", "b", "c"], ["c", "x"]),
        (3, 2),
        (2, 2),
        [["vocabulary", 2, -1, 1]],
        [["vocabulary", 3]],
        "rows: 3 → 2: 2 by vocabulary (at most 1 of them old), 2 gone at least",
    ),
    "twice": (
        adapters.rehash_rows(2, 4),
        (2, 2),
        (4, 2),
        [["kept", 2, 0, 1], ["moved", 2, 0, 1]],
        [["kept", 2]],
        "rows: 2 → 4: 2 in place, 2 moved",
    ),
}


class TestStrips:
    @pytest.mark.parametrize("adapter, old_shape, new_shape, new, old, text", STRIPS.values(), ids=list(STRIPS))
    def test_of_rows(self, adapter, old_shape, new_shape, new, old, text):
        (strip,) = strips_of(plans.adapted("w", old_shape, new_shape, adapter))
        assert strip == {"new": new, "old": old, "text": text, "coarse": False}

    def test_of_both_axes(self):
        rows, columns = strips_of(plans.adapted("w", (3, 4), (2, 5), adapters.crop_or_pad()))
        assert rows["text"] == "rows: 3 → 2: 2 in place, 1 gone"
        assert columns["text"] == "columns: 4 → 5: 4 in place, 1 new ('initial')"

    def test_of_other_ranks(self):
        (strip,) = strips_of(plans.adapted("w", (3, 4, 5), (3, 6, 5), adapters.crop_or_pad(fill="zeros")))
        assert strip["text"] == "axis 1: 4 → 6: 4 in place, 2 new ('zeros')"

    def test_after_a_reshape(self):
        steps = (Reshape((3, 2)), MapAxis(0, (Kept(3, 0), Filled(1, "zeros"))))
        (strip,) = strips_of(recovered(plans.new_variable("w", (4, 2)), plans.old_variable("w", (6,)), steps, "by hand"))
        assert strip["text"] == "after a reshape, rows: 3 → 4: 3 in place, 1 new ('zeros')"

    def test_a_thousand_runs_are_drawn_coarsely(self):
        features = [f"feature{number}" for number in range(1000)]
        # Every second one of the last 500 is new; the others come in the opposite order.
        after = [f"{name}{'x' * (at >= 500 and at % 2)}" for at, name in enumerate(reversed(features))]
        adapter = adapters.remap_segments(dict.fromkeys(features, 1), dict.fromkeys(after, 1))
        (strip,) = strips_of(plans.adapted("w", (1000, 1), (1000, 1), adapter))
        assert strip["coarse"] and strip["text"] == "rows: 1,000 → 1,000: 750 moved, 250 new ('initial'), 250 gone"
        assert [sum(run[1] for run in strip[side]) for side in ("old", "new")] == [1000, 1000]
        assert len(strip["new"]) == len(strip["old"]) == 64
        assert {run[0] for run in strip["new"][:30]} == {"moved"}

    def test_none_where_nothing_is_adapted(self):
        assert strips_of(plans.restored("w", (3, 2))) == []
        assert strips_of(plans.initialized(plans.new_variable("w", (3, 2)), "not matched")) == []


class TestHistograms:
    def described(self, tmp_path, old, new=None):
        old = open_checkpoint(save_raw(tmp_path, old)) if isinstance(old, dict) else old
        (tmp_path / "new").mkdir()
        new = None if new is None else open_checkpoint(save_raw(tmp_path / "new", new))
        return histograms([old], new, [(old.variables["w"], new and new.variables["w"])])[0]

    def test_both_sides_share_their_range(self, tmp_path):
        found = self.described(tmp_path, {"w": np.float32([0, 24, 24, 24])}, {"w": np.float32([12.5, 12.5])})
        # A quarter and three quarters of the old values; all of the new ones, which is the highest bar: z.
        assert found.pop("bars") == "9" + 22 * "0" + "r" + " " + 12 * "0" + "z" + 11 * "0"
        assert found == {
            "old_minimum": 0,
            "old_maximum": 24,
            "old_mean": 18,
            "old_nan_count": 0,
            "new_minimum": 12.5,
            "new_maximum": 12.5,
            "new_mean": 12.5,
            "new_nan_count": 0,
        }

    def test_of_the_old_side_alone(self, tmp_path):
        found = self.described(tmp_path, {"w": np.float32([1, 2])})
        assert found["new_nan_count"] is None and found["bars"] == "z" + 22 * "0" + "z "

    @pytest.mark.parametrize(
        "values",
        [np.float32([3, 3]), np.float32([np.nan]), np.float32([1, np.inf]), np.float32([]), np.float64([-1e308, 1e308])],
        ids=["all the same", "NaN", "infinity", "none", "too far apart"],
    )
    def test_no_bars_where_there_is_no_range(self, tmp_path, values):
        found = self.described(tmp_path, {"w": values})
        assert found["bars"] == " " and found["old_nan_count"] == int(np.isnan(values).sum())
        json.dumps(found, allow_nan=False)

    @pytest.mark.parametrize("values", [np.array([True, False]), np.int64([-5, 2**62])], ids=["bool", "int64"])
    def test_of_other_dtypes(self, tmp_path, values):
        assert self.described(tmp_path, {"w": values})["bars"] == "z" + 22 * "0" + "z "

    def test_strings_have_none(self, tmp_path):
        assert self.described(tmp_path, {"w": np.array([b"a"])})["old_nan_count"] is None

    def test_nan_is_left_out(self, tmp_path):
        found = self.described(tmp_path, {"w": np.float32([0, np.nan, 1])})
        assert found["bars"] == "z" + 22 * "0" + "z " and found["old_nan_count"] == 1


class TestContents:
    def test_are_those_of_the_json(self):
        plan = plans.plan_of(
            plans.restored("ranker/w", (3,), "w"),
            plans.adapted("v", (3, 2), (4, 2), adapters.crop_or_pad()),
            unused=(plans.old_variable("x", (1,)),),
            notes=("a note",),
            warnings=("a warning",),
        )
        (shown,) = contents_in(html_of(contents_of_plans([plan])))["reports"]
        rows, report = unpack(shown.pop("variables")), report_as_dict(plan)
        assert [{key: row[key] for key in report["variables"][0]} for row in rows] == report.pop("variables")
        assert unpack(shown.pop("unused")) == report.pop("unused")
        assert {key: shown[key] for key in report} == report

    def test_of_several_old_models(self):
        plan = plans.plan_of(plans.restored("w", (3,)))
        (other,) = plan._replace(checkpoints=(plan.checkpoint._replace(prefix="other/model.ckpt"),)).checkpoints
        (shown,) = contents_of_plans([plan._replace(checkpoints=(plan.checkpoint, other))])["reports"]
        assert shown["old_models"] == ["old/model.ckpt-7", "other/model.ckpt"]
        assert unpack(shown["variables"])[0]["source"] == "old/model.ckpt-7"

    def test_of_differences(self, tmp_path):
        (tmp_path / "new").mkdir()
        old = save_raw(tmp_path, {"same": np.float32([1]), "gone": np.float32([1, 2]), "grown": np.float32([1])})
        new = save_raw(tmp_path / "new", {"same": np.float32([2]), "grown": np.float32([1, 2]), "added": np.float64([1])})
        contents = contents_of_differences(find_differences(open_checkpoint(old), open_checkpoint(new)), with_values=True)
        rows = unpack(contents["reports"][0]["variables"])
        assert {row["new"] or row["old"]: (row["action"], row["bytes"]) for row in rows} == {
            "same": ("same", 4),
            "gone": ("only old", 0),
            "grown": ("shape changed", 8),
            "added": ("only new", 8),
        }
        (same,) = [row for row in rows if row["new"] == "same"]
        assert (same["old_mean"], same["new_mean"]) == (1, 2)


HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>&lt;&amp;'\"",
    "\x1b[31m\u202e\u2028",
    "__proto__/constructor",
]


class TestFile:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_name_ends_no_element(self, name):
        harmless = html_of(contents_of_plans([plans.plan_of(plans.restored("w", (1,)))]))
        page = html_of(contents_of_plans([plans.plan_of(plans.restored(name, (1,)), notes=(name,), warnings=(name,))]))
        for mark in ("<", ">", "<script", "</script", "<!--"):
            assert page.count(mark) == harmless.count(mark)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u2028\u202e]", page)

    def test_the_prefix_in_the_title_is_escaped(self):
        plan = plans.plan_of()
        plan = plan._replace(checkpoints=(plan.checkpoint._replace(prefix="</title><script>"),))
        assert "<title>Warm start: &lt;/title&gt;&lt;script&gt;</title>" in html_of(contents_of_plans([plan]))

    def test_nothing_comes_from_elsewhere(self):
        page = html_of(contents_of_plans([plans.plan_of()]))
        assert re.search(
            r"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'", page
        )
        assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}  # The name of SVG, no address.
        assert not re.search(r"\b(src|href)=|@import|url\(|innerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(", page)

    def test_ten_thousand_variables_are_less_than_2_mb(self):
        assert len(html_of(contents_of_plans([plans.large_plan()])).encode()) < 2_000_000

    @pytest.mark.slow
    def test_with_values_too(self, tmp_path):
        sides = []
        for seed in (1, 2):
            rows = np.random.RandomState(seed).normal(size=(10_000, 64)).astype(np.float32)
            values = {f"encoder_{number % 50}/layer_{number}/kernel": row for number, row in enumerate(rows)}
            (tmp_path / str(seed)).mkdir()
            sides.append(open_checkpoint(save_raw(tmp_path / str(seed), values)))
        page = html_of(contents_of_differences(find_differences(*sides), with_values=True))
        assert len(contents_in(page)["reports"][0]["variables"]["columns"]["new"]) == 10_000
        assert len(page.encode()) < 2_000_000

    def test_replaces_a_page_only(self, tmp_path):
        path = tmp_path / "page.html"
        write_page(check_page_path("--html", str(path)), contents_of_plans([plans.plan_of()]))
        check_page_path("--html", str(path))
        assert [each.name for each in tmp_path.iterdir()] == ["page.html"]
        (tmp_path / "params.json").write_text("{}")
        with pytest.raises(WarmStartError, match=r"--html: .*params.json exists already and is not a page of this program"):
            check_page_path("--html", str(tmp_path / "params.json"))
        with pytest.raises(WarmStartError, match=r"--html: .* cannot be written"):
            check_page_path("--html", str(tmp_path))


class TestOfATraining:
    """`html=True`: `warm_start.html` next to `warm_start.json`."""

    @pytest.fixture
    def old(self, old_dir):
        save_checkpoint(old_dir, {"new/w": np.float32([5])}, step=3)
        return str(old_dir)

    def shown(self, folder):
        page = (folder / "warm_start.html").read_text(encoding="utf-8")
        contents, record = contents_in(page), json.loads((folder / "warm_start.json").read_text())
        assert {key: record[key] for key in contents["made"]} == contents["made"]
        assert sorted(each.name for each in folder.iterdir() if "warm_start" in each.name) == [
            "warm_start.html",
            "warm_start.json",
        ]
        return [(row["new"], row["action"]) for row in unpack(contents["reports"][0]["variables"])]

    def test_by_a_hook(self, old, tmp_path):
        with tf.Graph().as_default():
            tf1.get_variable("new/w", [1])
            hook = VariableRecoverHook(old, model_dir=str(tmp_path / "new"), html=True)
            with tf1.train.MonitoredSession(hooks=[hook]):
                pass
        assert self.shown(tmp_path / "new") == [("new/w", "restored")]

    def test_by_a_scaffold(self, old, tmp_path):
        with tf.Graph().as_default():
            tf1.get_variable("new/w", [1])
            scaffold = recover_scaffold(old, model_dir=str(tmp_path / "new"), html=True)
            with tf1.train.MonitoredSession(tf1.train.ChiefSessionCreator(scaffold)):
                pass
        assert self.shown(tmp_path / "new") == [("new/w", "restored")]

    @needs_estimator
    def test_by_a_wrapped_estimator(self, old, tmp_path):
        def model_fn(features, labels, mode):
            w = tf1.get_variable("new/w", [1])
            loss = tf.reduce_sum(w)
            train_op = tf1.train.GradientDescentOptimizer(0.1).minimize(loss, tf1.train.get_or_create_global_step())
            return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

        estimator = warm_started(tf.estimator.Estimator(model_fn, str(tmp_path / "new")), old, html=True)
        estimator.train(one_row, steps=1)
        assert ("new/w", "restored") in self.shown(tmp_path / "new")

    def test_without_it_there_is_none(self, old, tmp_path):
        with tf.Graph().as_default():
            tf1.get_variable("new/w", [1])
            with tf1.train.MonitoredSession(hooks=[VariableRecoverHook(old, model_dir=str(tmp_path / "new"))]):
                pass
        assert not (tmp_path / "new" / "warm_start.html").exists()

    def test_needs_a_place(self):
        with pytest.raises(WarmStartError, match=r"html=True writes warm_start.html to model_dir, which is not known"):
            VariableRecoverHook("old", html=True)
