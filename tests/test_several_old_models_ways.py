"""A list of old models by every way in, in every report, and every list that is refused."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from eager import eagerly
from estimator_warmstart import (
    VariableRecoverHook,
    WarmStartError,
    format_report,
    hooks_from_params,
    match_variables,
    plan_recovery,
    recover_into,
    recover_scaffold,
    recover_variables,
    report_as_json,
    warm_start_settings,
    warm_started,
)
from estimator_warmstart.cli import main
from estimator_warmstart.errors import CheckpointError
from shared_models import adagrad, one_row, taken, value_at, zeros

tf1 = tf.compat.v1


def save(folder, values, **options):
    folder.mkdir()
    return save_checkpoint(folder, values, **options)


@pytest.fixture
def first(tmp_path):
    """The model that is named first: a, b."""
    return save(tmp_path / "first", {"a": np.float32([1, 1]), "b": np.float32([2, 2])}, step=5)


@pytest.fixture
def second(tmp_path):
    """The model that is named second: b, c."""
    return save(tmp_path / "second", {"b": np.float32([-3, -3]), "c": np.float32([-4, -4])})


def new_model():
    return [zeros(name, (2,)) for name in "abc"]


BOTH = {"a": [1, 1], "b": [2, 2], "c": [-4, -4]}


def values_in(session):
    return {each.op.name: session.run(each).tolist() for each in tf1.global_variables() if each.op.name in BOTH}


def model_fn(features, labels, mode, params):
    a, b, c = new_model()
    train_op = tf1.assign_add(tf1.train.get_or_create_global_step(), 1)
    hooks = params["hooks"](params) if params and mode == "train" else ()
    scaffold = params["scaffold"]() if params and "scaffold" in params else None
    return tf.estimator.EstimatorSpec(
        mode,
        predictions={"c": tf.expand_dims(c, 0)},
        loss=tf.reduce_sum(a) + tf.reduce_sum(b),
        train_op=train_op,
        training_hooks=hooks,
        scaffold=scaffold,
    )


class TestWays:
    def test_recover_variables(self, first, second, new_graph):
        new_model()
        with tf1.Session() as session:
            plan = recover_variables(session, [first, second])
            session.run(tf1.global_variables_initializer())
            assert values_in(session) == BOTH and plan.coverage == 1.0

    def test_scaffold(self, first, second, new_graph):
        new_model()
        creator = tf1.train.ChiefSessionCreator(recover_scaffold([first, second]))
        with tf1.train.MonitoredSession(creator) as session:
            assert values_in(session) == BOTH

    def test_params(self, first, second, new_graph):
        params = json.loads(json.dumps({"warm_start": {"ckp_dir": [first, second], "rename": [{}, {"b": "x"}]}}))
        new_model()
        x = zeros("x", (2,))
        with tf1.train.MonitoredSession(hooks=hooks_from_params(params)) as session:
            assert (values_in(session), session.run(x).tolist()) == (BOTH, [-3, -3])

    @pytest.mark.parametrize(
        "rename",
        [[None, {"b": "x"}], [[], [["b", "x"]]], [[], {"b": ["x"]}]],
        ids=["null and a mapping", "lists of pairs", "both"],
    )
    def test_renames_of_params(self, first, second, new_graph, rename):
        (hook,) = hooks_from_params({"warm_start": {"ckp_dir": [first, second], "rename": rename}})
        zeros("x", (2,)), zeros("a", (2,))
        assert taken(hook.plan_for(tf1.get_default_graph())) == {"a": "a", "x": "b"}

    @eagerly
    def test_recover_into(self, first, second):
        model = {name: tf.Variable([0.0, 0.0]) for name in BOTH}
        plan = recover_into(model, [first, second])
        assert {name: each.numpy().tolist() for name, each in model.items()} == BOTH and plan.coverage == 1.0

    @eagerly
    def test_recover_into_with_adapters(self, first, second):
        model = {name: tf.Variable([[0.0, 0.0, 7.0]] if name == "x" else [0.0, 0.0, 7.0]) for name in BOTH}
        recover_into(model, [first, second], adapters={}, check_finite=True)
        assert {name: each.numpy().tolist() for name, each in model.items()} == {
            name: [*value, 7] for name, value in BOTH.items()
        }

    @needs_estimator
    def test_a_hook_in_an_estimator(self, first, second, tmp_path):
        params = {"hooks": lambda params: [VariableRecoverHook([first, second], model_dir=str(tmp_path / "new"))]}
        estimator = tf.estimator.Estimator(model_fn, str(tmp_path / "new"), params=params)
        estimator.train(one_row, steps=1)
        assert {name: value_at(tmp_path / "new", 0, name) for name in BOTH} == BOTH

    @needs_estimator
    def test_warm_started(self, first, second, tmp_path):
        estimator = warm_started(tf.estimator.Estimator(model_fn, str(tmp_path / "new")), [first, second])
        assert next(estimator.predict(one_row))["c"].tolist() == [-4, -4]
        estimator.train(one_row, steps=1)
        assert {name: value_at(tmp_path / "new", 0, name) for name in BOTH} == BOTH
        # A resumed run keeps its own values, whatever became of the old models.
        for prefix in (first, second):
            os.remove(prefix + ".index")
        estimator.train(one_row, steps=1)

    def test_variables_that_are_made_later(self, first, second, new_graph):
        """They come from the same checkpoints, although each directory has a newer one by then."""
        zeros("a", (2,))
        hook = VariableRecoverHook([os.path.dirname(first), os.path.dirname(second)])
        hook.begin()
        save_checkpoint(os.path.dirname(second), {"c": np.float32([-9, -9])}, step=9)
        c = zeros("c", (2,))
        with tf1.train.MonitoredSession() as session:
            hook.after_create_session(session._tf_sess(), None)
            assert session.run(c).tolist() == [-4, -4]
        assert taken(hook.plan) == {"a": "a", "c": "c"}

    def test_match_variables(self, first, second, new_graph):
        a, b, c = new_model()
        found = match_variables([first, second])
        assert found == {"a": a, "b": b, "c": c}
        assert taken(plan_recovery([first, second], found)) == {"a": "a", "b": "b", "c": "c"}

    def test_match_variables_that_recover_vars_would_take_elsewhere(self, first, second, new_graph):
        new_model(), zeros("x", (2,))
        with pytest.raises(WarmStartError) as caught:
            match_variables([first, second], rename=[{}, {"b": "x"}])
        assert str(caught.value) == (
            f"the variables cannot be matched: the old 'b' for the new 'x' is that of {second}, but recover_vars would "
            f"take the one of {first}, which comes first; give rename to the hook instead"
        )

    @needs_estimator
    def test_warm_start_settings_take_one(self, first, second):
        with pytest.raises(WarmStartError, match="WarmStartSettings know one old model; VariableRecoverHook takes a list"):
            warm_start_settings([first, second], {"a": "a"})

    def test_the_command_plan(self, first, second, tmp_path, capsys):
        with tf.Graph().as_default(), tf1.Session() as session:
            new_model()
            session.run(tf1.global_variables_initializer())
            meta = tf1.train.Saver().save(session, str(tmp_path / "new" / "model.ckpt")) + ".meta"
        params = tmp_path / "params.json"
        params.write_text(json.dumps({"warm_start": {"ckp_dir": [first, second]}}))
        assert main(["plan", str(params), "--graph", meta, "--require-coverage", "1"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[:3] == [
            "Warm start from 2 old models",
            f"  1: {first} (name-based): 2 new variables, 16 bytes",
            f"  2: {second} (name-based): 1 new variable, 8 bytes",
        ]
        params.write_text(json.dumps({"warm_start": {"ckp_dir": [first, str(tmp_path / "gone"), first]}}))
        assert main(["plan", str(params), "--graph", meta]) == 2
        told = capsys.readouterr().err
        assert "2 old models cannot be used" in told and "gone" in told and "twice" in told


class TestReports:
    def test_text(self, first, second, new_graph):
        new_model()
        adagrad(*tf1.trainable_variables())
        lines = format_report(plan_recovery([first, second])).replace(first, "FIRST").replace(second, "SECOND").split("\n")
        assert [line.rstrip() for line in lines] == [
            "Warm start from 2 old models",
            "  1: FIRST (name-based): 2 new variables, 16 bytes",
            "  2: SECOND (name-based): 1 new variable, 8 bytes",
            "  old variable  shape  of  new variable  shape  bytes  what happens",
            "  ------------  -----  --  ------------  -----  -----  ------------",
            "  a             [2]    1   a             [2]        8  restored",
            "  b             [2]    1   b             [2]        8  restored",
            "  c             [2]    2   c             [2]        8  restored",
            *[
                f"  -                        {name}/Adagrad     [2]        8  as initialized: slot of '{name}', "
                "with_slots=True would recover it"
                for name in "abc"
            ],
            "Recovered: 3 of 6 new variables, 24 of 48 bytes; 100.0 % of the model's parameters (24 of 24 bytes), 0.0 % of its "
            "optimizer's state (0 of 24 bytes)",
            "Old variables not used: 1",
            "  b [2] of 2",
        ]

    def test_rows_of_two_models_are_not_folded_together(self, tmp_path, new_graph):
        odd = save(tmp_path / "odd", {f"l{number}/k": np.float32([1]) for number in (1, 3)})
        even = save(tmp_path / "even", {f"l{number}/k": np.float32([1]) for number in (0, 2)})
        for number in range(4):
            zeros(f"l{number}/k")
        report = format_report(plan_recovery([odd, even]))
        assert sorted(line.split()[:3] for line in report.splitlines()[5:9]) == [
            [f"l{number}/k", "[1]", "1" if number % 2 else "2"] for number in range(4)
        ]

    def test_json(self, first, second, new_graph):
        new_model()
        found = json.loads(report_as_json(plan_recovery([first, second])))
        assert [each["checkpoint"] for each in found["variables"]] == [first, first, second]
        assert found["unused"] == [{"name": "b", "shape": [2], "dtype": "float32", "checkpoint": second}]
        assert found["checkpoints"] == [
            {"checkpoint": first, "format": "name-based", "is_saved_model": False, "recovered_bytes": 16},
            {"checkpoint": second, "format": "name-based", "is_saved_model": False, "recovered_bytes": 8},
        ]
        assert found["checkpoint"] == first

    @needs_estimator
    def test_what_stays_next_to_the_new_model(self, tmp_path, first, second, caplog):
        stepped = save(tmp_path / "stepped", {"c": np.float32([5, 5]), "global_step": np.int64(7)})
        estimator = warm_started(tf.estimator.Estimator(model_fn, str(tmp_path / "new")), [first, stepped])
        with caplog.at_level("INFO"):
            estimator.train(one_row, steps=1)
        trace = json.loads((tmp_path / "new" / "warm_start.json").read_text())
        assert [each["checkpoint"] for each in trace["checkpoints"]] == [first, stepped]
        assert [each["source_step"] for each in trace["checkpoints"]] == [None, 7]
        fingerprints = [each["index_sha256"] for each in trace["checkpoints"]]
        assert trace["index_sha256"] == fingerprints[0] != fingerprints[1] and trace["source_step"] is None
        assert "Warm start from 2 old models" in caplog.text

    def test_a_model_that_gives_nothing_is_warned_of(self, first, tmp_path, new_graph):
        hidden = save(tmp_path / "hidden", {"a": np.float32([5, 5])})
        new_model()
        assert plan_recovery([first, hidden]).warnings == (f"no new variable takes a value from {hidden}",)


class TestOneModelInAList:
    @pytest.mark.parametrize("kind", [list, tuple])
    def test_is_as_that_model_itself(self, first, new_graph, kind):
        new_model()
        adagrad(*tf1.trainable_variables())
        one, listed = plan_recovery(first, with_slots=True), plan_recovery(kind([first]), with_slots=True)
        assert listed == one
        assert format_report(listed) == format_report(one) and report_as_json(listed) == report_as_json(one)

    @pytest.mark.parametrize(
        "asked",
        [{"rename": {"x": "y"}}, {"recover_vars": {"x": "a"}}, {"include": "c"}, {"min_coverage": 1.0}, {"include": "x"}],
        ids=str,
    )
    def test_has_the_same_errors(self, first, new_graph, asked):
        new_model()
        messages = []
        for ckp_dir in (first, [first]):
            with pytest.raises(WarmStartError) as caught:
                plan_recovery(ckp_dir, **asked)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]

    def test_that_does_not_exist(self, tmp_path, new_graph):
        messages = []
        for ckp_dir in (str(tmp_path / "gone"), [str(tmp_path / "gone")]):
            with pytest.raises(CheckpointError) as caught:
                plan_recovery(ckp_dir)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


class TestHalves:
    """A list of disjoint parts of a model is as the whole model."""

    NAMES = (
        *(f"{name}{slot}" for name in ("e/w", "f/w", "g") for slot in ("", "/Adam", "/Adam_1")),
        "beta1_power",
        "beta2_power",
    )

    @pytest.mark.parametrize("owners", [(0, 0, 1), (0, 1, 2), (2, 0, 0), (1, 2, 1)], ids=str)
    @pytest.mark.parametrize("parts", [1, 3])
    @pytest.mark.parametrize("with_slots", [True, False])
    def test_make_the_whole(self, tmp_path, owners, with_slots, parts):
        values = {
            name: np.float32(0.5 + number / 100 if "power" in name else [number, -number, 0, 1])
            for number, name in enumerate(self.NAMES)
        }
        owner_of = dict(zip(("e", "f", "g"), owners))
        halves = [
            {name: value for name, value in values.items() if owner_of.get(name[0], 0) == half or "power" in name}
            for half in range(3)
        ]
        prefixes = [
            save(tmp_path / str(half), held, partitions={name: 2 for name in held if name == "g"})
            for half, held in enumerate(halves)
        ]
        whole = save(tmp_path / "whole", values)
        results = [self.recovered(ckp_dir, with_slots, parts) for ckp_dir in (whole, prefixes)]
        assert results[0] == results[1]

    def recovered(self, ckp_dir, with_slots, parts):
        with tf.Graph().as_default():
            variables = [
                zeros(name, (4,), partitioner=tf1.fixed_size_partitioner(parts) if parts > 1 else None)
                for name in ("e/w", "f/w", "g")
            ]
            loss = tf.add_n([tf.reduce_sum(tf.convert_to_tensor(each)) for each in variables])
            tf1.train.AdamOptimizer().minimize(loss)
            hook = VariableRecoverHook(ckp_dir, with_slots=with_slots)
            with tf1.train.MonitoredSession(hooks=[hook]) as session:
                values = {each.op.name: session.run(each).tolist() for each in tf1.global_variables()}
            decided = [(each.new.name, each.action, each.old and each.old.name, each.reason) for each in hook.plan.variables]
            return values, decided, hook.plan.coverage, hook.plan.slot_coverage


GONE = "nothing/is/here"


class TestBadInput:
    @pytest.mark.parametrize(
        "ckp_dir, told",
        [
            ([], ["ckp_dir is an empty list"]),
            ((), ["ckp_dir is an empty list"]),
            (["a", None], ["ckp_dir[1] must be a directory or a checkpoint prefix, got None"]),
            (["a", ["b", "c"]], ["ckp_dir[1] must be a directory or a checkpoint prefix, got ['b', 'c']"]),
            ([None, 3, "a", ""], ["ckp_dir[0] must", "ckp_dir[1] must", "ckp_dir[3] must"]),
        ],
        ids=["empty list", "empty tuple", "None", "a list within", "several"],
    )
    def test_is_refused_at_once(self, ckp_dir, told):
        for make in (
            lambda: VariableRecoverHook(ckp_dir),
            lambda: recover_scaffold(ckp_dir),
            lambda: match_variables(ckp_dir),
            lambda: plan_recovery(ckp_dir),
        ):
            with pytest.raises(WarmStartError) as caught:
                make()
            assert len(caught.value.problems) == len(told)
            assert all(text in problem for text, problem in zip(told, caught.value.problems))

    @pytest.mark.parametrize("ckp_dir", [[], [["a"]], [None], ["a", 1]], ids=str)
    def test_in_params(self, ckp_dir):
        with pytest.raises(WarmStartError, match=r"warm_start\.ckp_dir"):
            hooks_from_params({"warm_start": {"ckp_dir": ckp_dir}})

    def test_the_same_model_twice(self, first, second, new_graph):
        new_model()
        folder = os.path.dirname(first)
        with pytest.raises(WarmStartError) as caught:
            plan_recovery([folder, second, first, second])
        assert list(caught.value.problems) == [
            f"ckp_dir has {first} twice, as {folder!r} and as {first!r}; keep one",
            f"ckp_dir has {second} twice, as {second!r} and as {second!r}; keep one",
        ]

    def test_every_model_that_cannot_be_read(self, first, tmp_path, new_graph):
        new_model()
        with pytest.raises(CheckpointError) as caught:
            plan_recovery([str(tmp_path / "one"), first, str(tmp_path / "two")])
        assert "one" in caught.value.problems[0] and "two" in caught.value.problems[1]
        assert len(caught.value.problems) == 2

    @pytest.mark.parametrize("place", [0, 1])
    def test_the_model_dir_of_its_own(self, first, second, new_graph, place):
        new_model()
        own = os.path.dirname([first, second][place])
        with pytest.raises(WarmStartError, match=r"ckp_dir has .*, which is in the new model's own model_dir"):
            VariableRecoverHook([first, second], model_dir=own).begin()

    @needs_estimator
    def test_the_model_dir_of_a_wrapped_estimator(self, first, second):
        estimator = tf.estimator.Estimator(model_fn, os.path.dirname(second))
        with pytest.raises(WarmStartError, match="which is in the new model's own model_dir"):
            warm_started(estimator, [first, second])

    def test_values_that_are_not_finite(self, tmp_path, second, new_graph):
        bad = save(tmp_path / "bad", {"a": np.float32([np.nan, 1])})
        worse = save(tmp_path / "worse", {"b": np.float32([np.inf, np.inf]), "a": np.float32([np.nan, np.nan])})
        new_model()
        # What is not taken is not looked at: a of the third.
        with pytest.raises(WarmStartError) as caught:
            VariableRecoverHook([bad, worse, second], check_finite=True).begin()
        assert list(caught.value.problems) == [
            f"the old model {prefix} is not finite: the old {name!r} [2] has {nans} NaN and {infinities} infinite values; "
            "leave it out of recover_vars, or take an older checkpoint"
            for prefix, name, nans, infinities in ((bad, "a", 1, 0), (worse, "b", 0, 2))
        ]
        VariableRecoverHook([second], check_finite=True).begin()

    def test_a_model_that_is_lost_between_the_plan_and_the_session(self, first, second, new_graph):
        new_model()
        hook = VariableRecoverHook([first, second])
        hook.begin()
        os.remove(second + ".data-00000-of-00001")
        with tf1.Session() as session, pytest.raises(WarmStartError, match=r"recovering from .*first.* and .*second.* failed"):
            hook.after_create_session(session, None)
