"""A plan as a text table and as JSON."""

import json

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import adapters, format_report, plan_recovery, report_as_json
from estimator_warmstart.plan.report import Row, fold
from shared_models import adagrad, zeros

tf1 = tf.compat.v1


def report_of(ckp_dir, *arguments, **options):
    """The report's lines; PREFIX stands for the checkpoint's."""
    plan = plan_recovery(ckp_dir, *arguments, **options)
    return format_report(plan).replace(plan.checkpoint.prefix, "PREFIX").split("\n")


class TestText:
    def test_a_whole_report(self, fm_checkpoint, new_graph):
        w, kernel = zeros("ranker/w", [3, 1]), zeros("tower/kernel", [64, 5])
        tf1.train.get_or_create_global_step()
        adagrad(w, kernel)
        assert report_of(fm_checkpoint, {"fm/w": w}) == [
            "Warm start from PREFIX (name-based)",
            "  old variable  shape   new variable          shape    bytes  what happens",
            "  ------------  ------  --------------------  -------  -----  ------------",
            "  fm/w          [3, 1]  ranker/w              [3, 1]      12  restored",
            "  -                     tower/kernel          [64, 5]  1,280  as initialized: not in recover_vars",
            "  -                     global_step           []           8  as initialized: the global step is not carried over",
            "  -                     ranker/w/Adagrad      [3, 1]      12  as initialized: slot of 'ranker/w',"
            " with_slots=True would recover it",
            "  -                     tower/kernel/Adagrad  [64, 5]  1,280  as initialized: slot of 'tower/kernel',"
            " which is not recovered",
            "Recovered: 1 of 5 new variables, 12 of 2,592 bytes; 0.9 % of the model's parameters (12 of 1,292 bytes),"
            " 0.0 % of its optimizer's state (0 of 1,292 bytes)",
            "Old variables not used: 4",
            "  fm/v [3, 2]",
            "  fm/v/Adagrad [3, 2]",
            "  fm/w/Adagrad [3, 1]",
            "  global_step []",
        ]

    def test_everything_recovered(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"a": np.zeros([2, 2], np.float32), "b": np.float64(0)})
        zeros("a", [2, 2], partitioner=tf1.fixed_size_partitioner(2)), zeros("b", [], tf.float64)
        assert report_of(str(old_dir)) == [
            "Warm start from PREFIX (name-based)",
            "  old variable  shape   new variable  shape   bytes  what happens",
            "  ------------  ------  ------------  ------  -----  ------------",
            "  a             [2, 2]  a             [2, 2]     16  restored",
            "  b             []      b             []          8  restored",
            "Recovered: 2 of 2 new variables, 24 of 24 bytes; 100.0 % of the model's parameters (24 of 24 bytes)",
        ]

    def test_slots(self, fm_checkpoint, new_graph):
        w = zeros("w", [3, 1])
        adagrad(w)
        lines = report_of(fm_checkpoint, {"fm/w": w}, with_slots=True)
        assert lines[4].split()[:8] == ["fm/w/Adagrad", "[3,", "1]", "w/Adagrad", "[3,", "1]", "12", "restored"]
        assert lines[5] == (
            "Recovered: 2 of 2 new variables, 24 of 24 bytes; 100.0 % of the model's parameters (12 of 12 bytes), "
            "100.0 % of its optimizer's state (12 of 12 bytes)"
        )

    def test_what_is_recovered_comes_before_what_is_not(self, fm_checkpoint, new_graph):
        zeros("first", [1]), zeros("fm/w", [3, 1]), zeros("second", [1]), zeros("fm/v", [3, 2])
        assert [line.split()[0] for line in report_of(fm_checkpoint)[3:7]] == ["fm/w", "fm/v", "-", "-"]

    def test_both_shares_of_what_was_adapted(self, old_dir, new_graph):
        names = ("cropped", "grown", "both", "turned")
        save_checkpoint(old_dir, {name: np.zeros([2, 100], np.float32) for name in names})
        for name, columns in (("cropped", 50), ("grown", 400), ("both", 50)):
            zeros(name, [4 if name == "both" else 2, columns])
        zeros("turned", [100, 2])

        def turn(value):
            return tf.transpose(value)

        plan = plan_recovery(str(old_dir), adapters={"turned": adapters.transform(turn)})
        assert [line.split("  ")[-1] for line in format_report(plan).split("\n")[3:7]] == [
            "adapted, 100 % old, 50 % of the old kept: crop_or_pad(fill='initial')",
            "adapted, 25 % old, 100 % of the old kept: crop_or_pad(fill='initial')",
            "adapted, 50 % old, 50 % of the old kept: crop_or_pad(fill='initial')",
            "adapted, 100 % old: transform(turn)",
        ]
        assert [(planned["old_share"], planned["kept_share"]) for planned in json.loads(report_as_json(plan))["variables"]] == [
            (1.0, 0.5),
            (0.25, 1.0),
            (0.5, 0.5),
            (1.0, None),
        ]

    def test_the_share_says_what_it_is_of(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"a": np.zeros([2], np.int8)})
        zeros("a", [2], tf.int8)
        tf1.train.get_or_create_global_step()
        assert report_of(str(old_dir))[-1] == (
            "Recovered: 1 of 2 new variables, 2 of 10 bytes; 100.0 % of the model's parameters (2 of 2 bytes)"
        )

    def test_notes(self, old_dir, new_graph):
        save_checkpoint(
            old_dir,
            {
                **{name: np.zeros([1], np.float32) for name in ("w", "w/Adam", "w/Adam_1")},
                **{name: np.float32(0.5) for name in ("beta1_power", "beta2_power")},
            },
        )
        variables = [zeros("w", [1]), zeros("x", [1])]
        tf1.train.AdamOptimizer(0.1).minimize(tf.add_n([tf.reduce_sum(variable) for variable in variables]))
        plan = plan_recovery(str(old_dir), with_slots=True)
        assert format_report(plan).split("\n")[-1] == "Note: " + plan.notes[0]

    def test_layers_are_folded(self, old_dir, new_graph):
        save_checkpoint(old_dir, {f"enc/layer{number}/kernel": np.zeros([2], np.float32) for number in range(12)})
        for number in range(12):
            zeros(f"layer{number}/kernel", [2])
            zeros(f"new/block_{number}/bias", [4])
        recover_vars = {f"enc/layer{number}/kernel": f"layer{number}/kernel" for number in range(12)}
        assert report_of(str(old_dir), recover_vars)[3:] == [
            "  enc/layer{0..11}/kernel  [2]    layer{0..11}/kernel     [2]       96  restored",
            "  -                               new/block_{0..11}/bias  [4]      192  as initialized: not in recover_vars",
            "Recovered: 12 of 24 new variables, 96 of 288 bytes; 33.3 % of the model's parameters (96 of 288 bytes)",
        ]

    def test_slots_of_layers_are_folded_with_their_reasons(self, old_dir, new_graph):
        numbers = range(4)
        save_checkpoint(old_dir, {f"layer{number}/kernel": np.zeros([2], np.float32) for number in numbers})
        kernels = [zeros(f"layer{number}/kernel", [2]) for number in numbers]
        tf1.train.FtrlOptimizer(0.1).minimize(tf.add_n([tf.reduce_sum(kernel) for kernel in kernels]))
        lines = report_of(str(old_dir), with_slots=True)
        for leaf in ("Ftrl", "Ftrl_1"):
            (line,) = [line for line in lines if f"/kernel/{leaf} " in line]
            assert f"layer{{0..3}}/kernel/{leaf}" in line
            assert line.endswith(f"as initialized: the checkpoint has no slot '{leaf}' of 'layer{{0..3}}/kernel'")

    def test_unused_old_layers_are_folded(self, old_dir, new_graph):
        save_checkpoint(old_dir, {name: np.zeros([2], np.float32) for name in ("w", "a1/k", "a2/k", "a3/k", "a5/k")})
        zeros("w", [2])
        assert report_of(str(old_dir))[-3:] == ["Old variables not used: 4", "  a{1..3}/k [2]", "  a5/k [2]"]


def row(old, new=None, **changes):
    return Row(old, "[2]", old if new is None else new, "[2]", "restored", 8)._replace(**changes)


def folded_names(*rows):
    return [(folded.old, folded.new) for folded in fold(rows)]


class TestFold:
    def test_joins_consecutive_numbers_and_adds_their_bytes(self):
        (folded,) = fold([row("l0/k"), row("l1/k"), row("l2/k")])
        assert (folded.old, folded.new, folded.nbytes) == ("l{0..2}/k", "l{0..2}/k", 24)
        assert (folded.old_shape, folded.new_shape, folded.what) == ("[2]", "[2]", "restored")

    @pytest.mark.parametrize(
        "other",
        [
            row("l1/k", old_shape="[3]"),
            row("l1/k", new_shape="[3]"),
            row("l1/k", what="adapted"),
            row("l1/k", nbytes=9),
            row("l1/b"),
            row("m1/k"),
            row("l1/k", "l2/k"),
            row("l1/k", "m1/k"),
            row("x/l1/k"),
        ],
        ids=["old shape", "new shape", "what", "bytes", "last part", "scope", "new number", "new scope", "depth"],
    )
    def test_keeps_what_differs_in_anything_else(self, other):
        rows = [row("l0/k"), other]
        assert fold(rows) == rows

    def test_does_not_bridge_a_gap(self):
        assert folded_names(*[row(f"l{number}/k") for number in (0, 1, 3, 4, 6)]) == [
            ("l{0..1}/k", "l{0..1}/k"),
            ("l{3..4}/k", "l{3..4}/k"),
            ("l6/k", "l6/k"),
        ]

    def test_takes_numbers_in_any_order(self):
        assert folded_names(*[row(f"l{number}/k") for number in (10, 2, 9, 3)]) == [
            ("l{2..3}/k", "l{2..3}/k"),
            ("l{9..10}/k", "l{9..10}/k"),
        ]

    def test_two_numbers_that_both_run(self):
        rows = [row(f"tower{tower}/layer{layer}/k") for tower in range(2) for layer in range(3)]
        (folded,) = fold(rows)
        assert folded.new == "tower{0..1}/layer{0..2}/k"
        assert folded.nbytes == 48

    def test_two_numbers_of_which_the_outer_runs(self):
        assert folded_names(row("t0/l5/k"), row("t1/l5/k")) == [("t{0..1}/l5/k", "t{0..1}/l5/k")]

    def test_two_numbers_that_are_no_rectangle(self):
        rows = [row("t0/l0/k"), row("t0/l1/k"), row("t1/l0/k")]
        assert folded_names(*rows) in (
            [("t0/l{0..1}/k", "t0/l{0..1}/k"), ("t1/l0/k", "t1/l0/k")],
            [("t{0..1}/l0/k", "t{0..1}/l0/k"), ("t0/l1/k", "t0/l1/k")],
        )

    @pytest.mark.parametrize(
        "names",
        [
            ["l00/k", "l01/k"],
            ["l07/k", "l08/k"],
            ["v1.0/k", "v1.1/k"],
        ],
        ids=["zero", "leading zero", "version"],
    )
    def test_does_not_take_for_a_number_what_is_none(self, names):
        assert folded_names(*map(row, names)) == [(name, name) for name in names]

    def test_leading_zeros_do_not_run_into_plain_numbers(self):
        assert folded_names(row("l01/k"), row("l1/k"), row("l2/k")) == [("l01/k", "l01/k"), ("l{1..2}/k", "l{1..2}/k")]

    def test_a_number_in_the_last_part_is_a_name(self):
        rows = [row("w/Adam_1"), row("w/Adam_2"), row("w0"), row("w1")]
        assert fold(rows) == rows

    def test_the_same_number_at_different_depths(self):
        assert folded_names(row("enc/l0/k", "model/enc/l0/k"), row("enc/l1/k", "model/enc/l1/k")) == [
            ("enc/l{0..1}/k", "model/enc/l{0..1}/k"),
        ]

    def test_a_renumbering_is_not_folded(self):
        rows = [row("l0/k", "l1/k"), row("l1/k", "l2/k")]
        assert fold(rows) == rows

    def test_one_old_for_many_new(self):
        rows = [row("w", "l0/k"), row("w", "l1/k")]
        assert folded_names(*rows) in ([("w", "l{0..1}/k")], [("w", "l0/k"), ("w", "l1/k")])

    def test_the_reason_goes_along(self):
        rows = [row("-", f"l{number}/k", what=f"slot of 'l{number}/w'") for number in range(3)]
        (folded,) = fold(rows)
        assert folded.what == "slot of 'l{0..2}/w'"

    def test_a_number_that_happens_to_be_in_the_reason(self):
        rows = [row("-", f"l{number}/k", what="no slot 'Adam_1'") for number in range(3)]
        assert [folded.new for folded in fold(rows)] == ["l{0..2}/k"]
        assert fold(rows)[0].what == "no slot 'Adam_1'"

    def test_reasons_that_say_different_things(self):
        rows = [row("-", "l1/k", what="shape [1, 4]"), row("-", "l2/k", what="shape [2, 4]")]
        assert fold(rows) == rows

    def test_nothing(self):
        assert fold([]) == []


class TestJson:
    def test_round_trip(self, fm_checkpoint, new_graph):
        w = zeros("new/w", [3, 1])
        tf1.train.get_or_create_global_step()
        adagrad(w)
        plan = plan_recovery(fm_checkpoint, {"fm/w": w})
        found = json.loads(report_as_json(plan))
        first, step, slot = found.pop("variables")
        assert found == {
            "report_version": 1,
            "checkpoint": plan.checkpoint.prefix,
            "format": "name-based",
            "is_saved_model": False,
            "checkpoints": [
                {
                    "checkpoint": plan.checkpoint.prefix,
                    "format": "name-based",
                    "is_saved_model": False,
                    "recovered_bytes": 12,
                }
            ],
            "coverage": 1.0,
            "slot_coverage": 0.0,
            "bytes": {
                "parameters": {"recovered": 12, "total": 12},
                "optimizer": {"recovered": 0, "total": 12},
                "all": {"recovered": 12, "total": 32},
            },
            "unused": [
                {"name": "fm/v", "shape": [3, 2], "dtype": "float32", "checkpoint": plan.checkpoint.prefix},
                {"name": "fm/v/Adagrad", "shape": [3, 2], "dtype": "float32", "checkpoint": plan.checkpoint.prefix},
                {"name": "fm/w/Adagrad", "shape": [3, 1], "dtype": "float32", "checkpoint": plan.checkpoint.prefix},
                {"name": "global_step", "shape": [], "dtype": "int64", "checkpoint": plan.checkpoint.prefix},
            ],
            "notes": [],
            "warnings": [],
        }
        assert first == {
            "new": "new/w",
            "new_shape": [3, 1],
            "dtype": "float32",
            "bytes": 12,
            "action": "restored",
            "old": "fm/w",
            "old_shape": [3, 1],
            "checkpoint": plan.checkpoint.prefix,
            "recovered_bytes": 12,
            "old_share": 1.0,
            "kept_share": 1.0,
            "slot_of": None,
            "reason": "",
        }
        assert step == {
            "new": "global_step",
            "new_shape": [],
            "dtype": "int64",
            "bytes": 8,
            "action": "initialized",
            "old": None,
            "old_shape": None,
            "checkpoint": None,
            "recovered_bytes": 0,
            "old_share": 0.0,
            "kept_share": None,
            "slot_of": None,
            "reason": "the global step is not carried over",
        }
        assert (slot["new"], slot["slot_of"], slot["action"]) == ("new/w/Adagrad", "new/w", "initialized")

    def test_nothing_is_folded(self, old_dir, new_graph):
        save_checkpoint(old_dir, {f"l{number}/k": np.zeros([2], np.float32) for number in range(3)})
        for number in range(3):
            zeros(f"l{number}/k", [2])
        found = json.loads(report_as_json(plan_recovery(str(old_dir))))
        assert [variable["new"] for variable in found["variables"]] == ["l0/k", "l1/k", "l2/k"]

    def test_a_shape_that_is_not_known(self, fm_checkpoint, new_graph):
        zeros("fm/w", [3, 1])
        tf1.get_variable("free", initializer=tf1.placeholder(tf.float32), validate_shape=False)
        plan = plan_recovery(fm_checkpoint)
        assert json.loads(report_as_json(plan))["variables"][1]["new_shape"] is None
        (line,) = [line for line in format_report(plan).split("\n") if "free" in line]
        assert line.split()[:4] == ["-", "free", "[?]", "0"]
