"""`plan_recovery`: what becomes of each new variable, and all that is wrong in one message."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import WarmStartError, adapters, match_variables, plan_recovery, recover_variables
from shared_models import adagrad, taken, zeros

tf1 = tf.compat.v1


def ones(*names, shape=(1,)):
    """{name: ones of `shape`}, the powers of an Adam as scalars."""
    return {name: np.float32(0.5) if "_power" in name else np.ones(shape, np.float32) for name in names}


def adam(*variables):
    """Minimizes the sum of `variables`."""
    tf1.train.AdamOptimizer(0.1).minimize(tf.add_n([tf.reduce_sum(variable) for variable in variables]))


def left(plan):
    """{new name: reason} of all that stays as initialized."""
    return {planned.new.name: planned.reason for planned in plan.variables if planned.old is None}


class TestEveryNewVariable:
    def test_has_one_fate_in_the_graphs_order(self, fm_checkpoint, new_graph):
        w = zeros("new/w", [3, 1])
        zeros("fm/v", [3, 2], partitioner=tf1.fixed_size_partitioner(2))
        zeros("tower/kernel", [2, 2])
        tf1.train.get_or_create_global_step()
        adagrad(w)
        plan = plan_recovery(fm_checkpoint, {"fm/w": w, "fm/v": "fm/v"})
        assert [
            (planned.new.name, planned.action, planned.old.name if planned.old else None) for planned in plan.variables
        ] == [
            ("new/w", "restored", "fm/w"),
            ("fm/v", "restored", "fm/v"),
            ("tower/kernel", "initialized", None),
            ("global_step", "initialized", None),
            ("new/w/Adagrad", "initialized", None),
        ]

    @pytest.mark.parametrize("with_slots", [False, True])
    def test_that_is_left_has_a_reason(self, fm_checkpoint, new_graph, with_slots):
        v, tower = zeros("v", [3, 2]), zeros("tower", [2])
        tf1.train.get_or_create_global_step()
        adagrad(tower)
        adam(v)
        plan = plan_recovery(fm_checkpoint, {"fm/v": v}, with_slots=with_slots)
        not_asked_for = "slot of 'v', with_slots=True would recover it"
        no_slot = "the checkpoint has no slot {} of 'fm/v', only those of Adagrad, which have no counterpart in Adam"
        why_no_moments = no_slot if with_slots else not_asked_for
        assert left(plan) == {
            "tower": "not in recover_vars",
            "global_step": "the global step is not carried over",
            "tower/Adagrad": "slot of 'tower', which is not recovered",
            "v/Adam": why_no_moments.format("'Adam'"),
            "v/Adam_1": why_no_moments.format("'Adam_1'"),
            "beta1_power": "goes with Adam's moments, of which none is recovered",
            "beta2_power": "goes with Adam's moments, of which none is recovered",
        }

    def test_of_the_same_name_when_nothing_is_asked_for(self, fm_checkpoint, new_graph):
        w = zeros("fm/w", [3, 1])
        zeros("fm/b", [])
        tf1.train.get_or_create_global_step()
        adagrad(w)
        plan = plan_recovery(fm_checkpoint)
        assert taken(plan) == {"fm/w": "fm/w"}
        assert left(plan) == {
            "fm/b": "the checkpoint has no variable of this name",
            "global_step": "the global step is not carried over",
            "fm/w/Adagrad": "slot of 'fm/w', with_slots=True would recover it",
        }

    def test_the_global_step_can_be_asked_for(self, fm_checkpoint, new_graph):
        step = tf1.train.get_or_create_global_step()
        assert taken(plan_recovery(fm_checkpoint, {"global_step": step})) == {"global_step": "global_step"}

    def test_one_old_for_several_new(self, fm_checkpoint, new_graph):
        zeros("a", [3, 1]), zeros("b", [3, 1])
        assert taken(plan_recovery(fm_checkpoint, {"fm/w": ["a", "b"]})) == {"a": "fm/w", "b": "fm/w"}

    def test_only_new_b_takes_old_a(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("A"))
        zeros("A"), zeros("B")
        plan = plan_recovery(str(old_dir), {"A": "B"})
        assert taken(plan) == {"B": "A"}
        assert left(plan) == {"A": "not in recover_vars"}

    def test_of_another_graph(self, fm_checkpoint, new_graph):
        zeros("here", [3, 1])
        with tf.Graph().as_default() as other:
            zeros("there", [3, 1])
        assert taken(plan_recovery(fm_checkpoint, {"fm/w": "there"}, graph=other)) == {"there": "fm/w"}


class TestTouchesNothing:
    def test_the_graph_stays_as_it_is(self, fm_checkpoint, new_graph):
        w = zeros("fm/w", [3, 1])
        v = zeros("fm/v", [3, 2], partitioner=tf1.fixed_size_partitioner(2))
        adagrad(w), adagrad(v)
        before = new_graph.as_graph_def().SerializeToString(deterministic=True)
        collections = {key: new_graph.get_collection(key) for key in new_graph.get_all_collection_keys()}
        initializers = [variable.initializer for variable in tf1.global_variables()]
        plan_recovery(fm_checkpoint, with_slots=True)
        plan_recovery(fm_checkpoint, match_variables(fm_checkpoint), with_slots=True)
        assert new_graph.as_graph_def().SerializeToString(deterministic=True) == before
        assert {key: new_graph.get_collection(key) for key in new_graph.get_all_collection_keys()} == collections
        assert [variable.initializer for variable in tf1.global_variables()] == initializers

    def test_a_finalized_graph_will_do(self, fm_checkpoint, new_graph):
        zeros("fm/w", [3, 1])
        new_graph.finalize()
        assert taken(plan_recovery(fm_checkpoint)) == {"fm/w": "fm/w"}

    def test_no_session_is_made(self, fm_checkpoint, new_graph, monkeypatch):
        def no_session(self, *args, **kwargs):
            self._session = None  # What __del__ looks at.
            raise AssertionError("a session was made")

        for kind in (tf1.Session, tf1.InteractiveSession):
            monkeypatch.setattr(kind, "__init__", no_session)
        w = zeros("fm/w", [3, 1])
        adagrad(w)
        assert sorted(taken(plan_recovery(fm_checkpoint, with_slots=True))) == ["fm/w", "fm/w/Adagrad"]
        with pytest.raises(AssertionError):
            tf1.Session()

    def test_the_same_plan_again(self, fm_checkpoint, new_graph):
        zeros("fm/w", [3, 1])
        assert plan_recovery(fm_checkpoint) == plan_recovery(fm_checkpoint)


class TestProblems:
    @pytest.mark.parametrize(
        "recover_vars, words",
        [
            pytest.param(
                {"fm/ww": "w"}, ["the checkpoint has no 'fm/ww' (did you mean 'fm/w'", "missing='keep'"], id="old name"
            ),
            pytest.param({"w": "w"}, ["the checkpoint has no 'w' (did you mean 'fm/w'"], id="old name without its scope"),
            pytest.param({"fm/w": "vv"}, ["'fm/w': the graph has no new variable 'vv' (did you mean 'v'?)"], id="new name"),
            pytest.param(
                {"fm/w": "v"}, ["the new 'v' has shape [3, 2], the old 'fm/w' [3, 1]", "adapters={} (or Shape"], id="shape"
            ),
            pytest.param({"fm/w": "scalar"}, ["the new 'scalar' has shape [], the old 'fm/w' [3, 1]"], id="rank"),
            pytest.param(
                {"fm/w": "wide"},
                ["the new 'wide' is float64, the old 'fm/w' is float32", "{'wide': adapters.cast()}"],
                id="dtype",
            ),
            pytest.param({"fm/w": "part"}, ["the new 'part' has shape [4, 1], the old 'fm/w' [3, 1]"], id="shape in parts"),
            pytest.param(
                {"fm/w": "free"}, ["does not know the shape of the new 'free'", "validate_shape=False"], id="no shape"
            ),
            pytest.param(
                {"fm/w": "w", "fm/w/Adagrad": "w"},
                ["the new 'w' is given 2 old values: 'fm/w', 'fm/w/Adagrad'; keep one"],
                id="two for one",
            ),
            pytest.param({"fm/w": 3}, ["'fm/w': 3 is not a variable"], id="not a variable"),
        ],
    )
    def test_one_problem(self, fm_checkpoint, new_graph, recover_vars, words):
        zeros("w", [3, 1]), zeros("v", [3, 2]), zeros("scalar", []), zeros("wide", [3, 1], tf.float64)
        zeros("part", [4, 1], partitioner=tf1.fixed_size_partitioner(2))
        tf1.get_variable("free", initializer=tf1.placeholder(tf.float32), validate_shape=False)
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(fm_checkpoint, recover_vars)
        assert len(caught.value.problems) == 1
        for word in [fm_checkpoint, *words]:
            assert word in str(caught.value)

    def test_all_problems_in_one_message(self, fm_checkpoint, new_graph):
        zeros("w", [3, 1]), zeros("v", [3, 2]), zeros("wide", [3, 1], tf.float64)
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(
                fm_checkpoint,
                {
                    "fm/ww": "w",
                    "fm/w": ["v", "nowhere", 3, "wide"],
                    "fm/v": "w",
                    "gone": "w",
                },
            )
        message = str(caught.value)
        for word in (
            "8 problems",
            "has no 'fm/ww'",
            "has no 'gone'",
            "no new variable 'nowhere'",
            "3 is not a variable",
            "the new 'v' has shape [3, 2], the old 'fm/w' [3, 1]",
            "the new 'w' has shape [3, 1], the old 'fm/v' [3, 2]",
            "the new 'wide' is float64",
            "the new 'w' is given 3 old values: 'fm/ww', 'fm/v', 'gone'",
        ):
            assert word in message
        assert len(caught.value.problems) == 8
        assert message.count("\n  * ") == 8

    def test_nothing_in_common(self, fm_checkpoint, new_graph):
        zeros("other/w", [3, 1])
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(fm_checkpoint)
        for word in ("no new variable has a name that the checkpoint has", "fm/w", "other/w", "recover_vars={old name: "):
            assert word in str(caught.value)

    def test_nothing_but_the_step_in_common(self, fm_checkpoint, new_graph):
        tf1.train.get_or_create_global_step()
        with pytest.raises(WarmStartError, match="no new variable has a name"):
            plan_recovery(fm_checkpoint)

    def test_a_graph_without_variables(self, fm_checkpoint, new_graph):
        with pytest.raises(WarmStartError, match="no new variable"):
            plan_recovery(fm_checkpoint)

    def test_shapes_are_checked_without_a_dict_too(self, fm_checkpoint, new_graph):
        zeros("fm/w", [4, 1]), zeros("fm/v", [3, 2], tf.float16)
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(fm_checkpoint)
        assert len(caught.value.problems) == 2

    @pytest.mark.parametrize(
        "recover_vars, words",
        [
            (["fm/w"], "recover_vars must be a dict .* got list"),
            ("fm/w", "recover_vars must be a dict .* got str"),
            ({}, "recover_vars is empty"),
            ({7: "w"}, "an old name is a string, got 7"),
        ],
        ids=["list", "string", "empty", "number as old name"],
    )
    def test_what_is_no_dict_of_names(self, recover_vars, words):
        with pytest.raises(WarmStartError, match=words):
            plan_recovery("anywhere", recover_vars)

    def test_it_is_a_value_error(self):
        assert issubclass(WarmStartError, ValueError)


class TestMissingKeep:
    def test_leaves_what_the_checkpoint_does_not_have(self, fm_checkpoint, new_graph):
        w, tower = zeros("w", [3, 1]), zeros("tower", [2])
        adagrad(tower)
        plan = plan_recovery(fm_checkpoint, {"fm/w": w, "fm/tower": tower}, missing="keep", with_slots=True)
        assert taken(plan) == {"w": "fm/w"}
        assert left(plan) == {
            "tower": "the checkpoint has no 'fm/tower' (missing='keep')",
            "tower/Adagrad": "slot of 'tower', which is not recovered",
        }

    def test_forgives_nothing_else(self, fm_checkpoint, new_graph):
        zeros("w", [4, 1])
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(fm_checkpoint, {"gone": "w", "fm/w": "w", "fm/v": "nowhere"}, missing="keep")
        assert len(caught.value.problems) == 3  # Two for one, a shape, and a new name.

    def test_even_with_nothing_in_common(self, fm_checkpoint, new_graph):
        zeros("other")
        assert left(plan_recovery(fm_checkpoint, missing="keep")) == {"other": "the checkpoint has no variable of this name"}


class TestSlots:
    def test_follow_their_variable(self, fm_checkpoint, new_graph):
        adagrad(zeros("fm/w", [3, 1])), adagrad(zeros("fm/v", [3, 2], partitioner=tf1.fixed_size_partitioner(2)))
        assert taken(plan_recovery(fm_checkpoint, with_slots=True)) == {
            name: name for name in ("fm/w", "fm/w/Adagrad", "fm/v", "fm/v/Adagrad")
        }

    def test_follow_a_rename(self, fm_checkpoint, new_graph):
        w = zeros("ranker/table", [3, 1])
        adagrad(w)
        assert taken(plan_recovery(fm_checkpoint, {"fm/w": w}, with_slots=True)) == {
            "ranker/table": "fm/w",
            "ranker/table/Adagrad": "fm/w/Adagrad",
        }

    def test_follow_to_each_of_several(self, fm_checkpoint, new_graph):
        adagrad(zeros("a", [3, 1])), adagrad(zeros("b", [3, 1]))
        assert taken(plan_recovery(fm_checkpoint, {"fm/w": ["a", "b"]}, with_slots=True)) == {
            "a": "fm/w",
            "b": "fm/w",
            "a/Adagrad": "fm/w/Adagrad",
            "b/Adagrad": "fm/w/Adagrad",
        }

    @pytest.mark.parametrize(
        "old_slot, new_scope",
        [
            ("training/fm/w/Adagrad", ""),
            ("fm/w/Adagrad", "training/"),
            ("old/scope/fm/w/Adagrad", "new_scope/"),
        ],
        ids=["only the old in a scope", "only the new in a scope", "each in its own"],
    )
    def test_follow_whatever_scope_the_optimizers_were_in(self, old_dir, new_graph, old_slot, new_scope):
        save_checkpoint(old_dir, ones("fm/w", old_slot))
        w = zeros("fm/w")
        with tf1.variable_scope(new_scope.rstrip("/")):
            adagrad(w)
        assert taken(plan_recovery(str(old_dir), with_slots=True)) == {"fm/w": "fm/w", f"{new_scope}fm/w/Adagrad": old_slot}

    def test_follow_to_the_same_scope_first(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("w", "w/Adagrad", "one/w/Adagrad", "second/w/Adagrad"))
        w = zeros("w")
        with tf1.variable_scope("second"):
            adagrad(w)
        assert taken(plan_recovery(str(old_dir), with_slots=True))["second/w/Adagrad"] == "second/w/Adagrad"

    def test_follow_from_the_one_without_a_scope_next(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("w", "w/Adagrad", "a/w/Adagrad"))
        w = zeros("w")
        with tf1.variable_scope("second"):
            adagrad(w)
        assert taken(plan_recovery(str(old_dir), with_slots=True))["second/w/Adagrad"] == "w/Adagrad"

    def test_of_another_optimizer_start_fresh(self, fm_checkpoint, new_graph):
        w = zeros("fm/w", [3, 1])
        tf1.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_sum(w))
        plan = plan_recovery(fm_checkpoint, with_slots=True)
        assert left(plan) == {
            "fm/w/Momentum": "the checkpoint has no slot 'Momentum' of 'fm/w', only those of Adagrad, which have no "
            "counterpart in Momentum",
        }
        assert "fm/w/Adagrad" in [old.name for old in plan.unused]

    def test_of_another_kind_of_the_same_optimizer_are_taken_by_what_they_are(self, old_dir, new_graph):
        # Centered, RMSProp_1 is the mean gradient and RMSProp_2 the momentum; not centered, RMSProp_1 is the momentum.
        save_checkpoint(old_dir, ones("w", "w/RMSProp", "w/RMSProp_1", "w/RMSProp_2"))
        tf1.train.RMSPropOptimizer(0.1).minimize(tf.reduce_sum(zeros("w")))
        plan = plan_recovery(str(old_dir), with_slots=True)
        assert taken(plan) == {"w": "w", "w/RMSProp": "w/RMSProp", "w/RMSProp_1": "w/RMSProp_2"}

    @pytest.mark.parametrize(
        "value, word",
        [
            (np.ones([3, 2], np.float32), "shape"),
            (np.ones([3, 1], np.float64), "float64"),
        ],
        ids=["shape", "dtype"],
    )
    def test_that_do_not_fit_start_fresh(self, old_dir, new_graph, value, word):
        save_checkpoint(old_dir, {**ones("w", shape=(3, 1)), "w/Adagrad": value})
        adagrad(zeros("w", [3, 1]))
        plan = plan_recovery(str(old_dir), with_slots=True)
        assert taken(plan) == {"w": "w"}
        assert word in left(plan)["w/Adagrad"] or "no slot" in left(plan)["w/Adagrad"]

    def test_can_be_asked_for_by_name(self, fm_checkpoint, new_graph):
        adagrad(zeros("fm/w", [3, 1]))
        plan = plan_recovery(fm_checkpoint, {"fm/w/Adagrad": "fm/w/Adagrad"})
        assert taken(plan) == {"fm/w/Adagrad": "fm/w/Adagrad"}

    @pytest.mark.parametrize(
        "value, words",
        [
            (np.ones([3], np.float32), "'w/Adagrad' has shape .2., the old 'x' .3."),
            (np.ones([2], np.float64), "'w/Adagrad' is float32, the old 'x' is float64"),
        ],
        ids=["shape", "dtype"],
    )
    @pytest.mark.parametrize("more", [{}, {"w": "w"}], ids=["alone", "with the variable"])
    def test_asked_for_by_name_must_fit(self, old_dir, new_graph, value, words, more):
        save_checkpoint(old_dir, {"w": np.ones([2], np.float32), "x": value})
        adagrad(zeros("w", [2]))
        with pytest.raises(WarmStartError, match=words):
            plan_recovery(str(old_dir), {"x": "w/Adagrad", **more})

    @pytest.mark.parametrize("names", [["w", "w/Adagrad"], ["w/Adagrad", "w"]], ids=["variable first", "slot first"])
    def test_asked_for_by_name_are_adapted_as_their_variable(self, old_dir, new_graph, names):
        save_checkpoint(old_dir, ones("w", "w/Adagrad", shape=(2,)))
        adagrad(zeros("w", [2]))
        plan = plan_recovery(str(old_dir), {name: name for name in names}, {"w": adapters.take(np.s_[::-1])})
        assert [(planned.new.name, planned.action) for planned in plan.variables] == [
            ("w", "adapted"),
            ("w/Adagrad", "adapted"),
        ]

    def test_asked_for_by_name_beats_following(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("w", "w/Adagrad", "better"))
        adagrad(zeros("w"))
        plan = plan_recovery(str(old_dir), {"w": "w", "better": "w/Adagrad"}, with_slots=True)
        assert taken(plan) == {"w": "w", "w/Adagrad": "better"}

    def test_moving_averages_follow_too(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("old", "old/ExponentialMovingAverage"))
        w = zeros("w", use_resource=True)
        tf1.train.ExponentialMovingAverage(0.9).apply([w])
        assert taken(plan_recovery(str(old_dir), {"old": w}, with_slots=True)) == {
            "w": "old",
            "w/ExponentialMovingAverage": "old/ExponentialMovingAverage",
        }

    @pytest.mark.parametrize("with_slots", [False, True])
    def test_of_partitioned_variables_below_a_scope(self, tmp_path, new_graph, with_slots):
        """TensorFlow gives each part of such a slot a name of its own (slot_creator.py); training must not end there."""

        def model():
            with tf1.variable_scope("model"):
                v = zeros("v", [4, 2], partitioner=tf1.fixed_size_partitioner(2))
                adagrad(v)
            return v

        with tf.Graph().as_default(), tf1.Session() as session:
            model()
            session.run(tf1.global_variables_initializer())
            prefix = tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        plan = plan_recovery(prefix, {"model/v": model()}, with_slots=with_slots)
        assert taken(plan)["model/v"] == "model/v"
        assert taken(plan_recovery(prefix)) == {"model/v": "model/v"}
        for planned in plan.recovered:  # A slot that is recovered at all has all of its values.
            assert sum(np.prod(part.shape) for part in planned.new.parts) == np.prod(planned.new.shape)
        with tf1.Session() as session:
            recover_variables(session, prefix, with_slots=with_slots)

    def test_of_a_whole_variable_follow_to_parts_below_a_scope(self, tmp_path, new_graph):
        def model(**options):
            with tf1.variable_scope("model"):
                v = tf1.get_variable("v", [4], initializer=tf1.ones_initializer(), **options)
                adagrad(v)

        with tf.Graph().as_default(), tf1.Session() as session:
            model()
            old = {variable.op.name: variable for variable in tf1.global_variables()}
            session.run([old["model/v"].initializer, tf1.assign(old["model/model/v/Adagrad"], [1, 2, 3, 4])])
            prefix = tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        model(partitioner=tf1.fixed_size_partitioner(2))
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            recover_variables(session, prefix, with_slots=True)
            slots = {variable.op.name: variable for variable in tf1.global_variables()}
            assert session.run(slots["model/model/v/part_0/Adagrad"]).tolist() == [1, 2]
            assert session.run(slots["model/model/v/part_1/Adagrad"]).tolist() == [3, 4]


MOMENTS, POWERS = ["w/Adam", "w/Adam_1"], ["beta1_power", "beta2_power"]


class TestPowers:
    def test_travel_with_the_moments(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("w", *MOMENTS, *POWERS))
        adam(zeros("w"))
        plan = plan_recovery(str(old_dir), with_slots=True)
        assert taken(plan) == {name: name for name in ["w", *MOMENTS, *POWERS]}
        assert plan.notes == () and plan.unused == ()

    def test_stay_when_the_moments_stay(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("w", *MOMENTS, *POWERS))
        adam(zeros("w"))
        plan = plan_recovery(str(old_dir))
        assert taken(plan) == {"w": "w"}
        assert sorted(left(plan)) == sorted(MOMENTS + POWERS)

    @pytest.mark.parametrize("there", [[], ["beta1_power"], ["beta2_power"]], ids=["none", "only beta1", "only beta2"])
    def test_that_are_missing_leave_the_moments_fresh(self, old_dir, new_graph, there):
        save_checkpoint(old_dir, ones("w", *MOMENTS, *there))
        adam(zeros("w"))
        plan = plan_recovery(str(old_dir), with_slots=True)
        assert taken(plan) == {"w": "w"}
        absent = "beta1_power" if "beta1_power" not in there else "beta2_power"
        assert absent in left(plan)["w/Adam"] and absent in left(plan)["w/Adam_1"]

    def test_of_the_wrong_dtype_leave_the_moments_fresh(self, old_dir, new_graph):
        save_checkpoint(old_dir, {**ones("w", *MOMENTS, "beta1_power"), "beta2_power": np.float64(0.5)})
        adam(zeros("w"))
        assert taken(plan_recovery(str(old_dir), with_slots=True)) == {"w": "w"}

    def test_travel_with_some_of_the_moments_and_a_note(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("w", *MOMENTS, *POWERS))
        adam(zeros("w"), zeros("tower"))
        plan = plan_recovery(str(old_dir), {"w": "w"}, with_slots=True)
        assert taken(plan) == {name: name for name in ["w", *MOMENTS, *POWERS]}
        (note,) = plan.notes
        for word in ("beta1_power and beta2_power", "2 of 4 moments", "tower/Adam, tower/Adam_1"):
            assert word in note

    @pytest.mark.parametrize("asked", [POWERS, POWERS[:1]], ids=["both", "one"])
    @pytest.mark.parametrize("more", [[], ["w"]], ids=["alone", "with the variable"])
    def test_asked_for_alone_are_refused(self, old_dir, new_graph, asked, more):
        save_checkpoint(old_dir, ones("w", *MOMENTS, *POWERS))
        adam(zeros("w"))
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(str(old_dir), {name: name for name in asked + more})
        assert len(caught.value.problems) == len(asked)
        assert "'beta1_power' is asked for without the moments it belongs to ('w/Adam', ...)" in str(caught.value)
        assert "with_slots=True" in str(caught.value)

    def test_asked_for_with_the_moments(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("w", *MOMENTS, *POWERS))
        adam(zeros("w"))
        names = MOMENTS + POWERS
        assert taken(plan_recovery(str(old_dir), {name: name for name in names})) == {name: name for name in names}

    def test_come_along_when_the_moments_are_asked_for(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("w", *MOMENTS, *POWERS))
        adam(zeros("w"))
        assert sorted(taken(plan_recovery(str(old_dir), {name: name for name in MOMENTS}))) == sorted(MOMENTS + POWERS)

    def test_that_are_missing_are_an_error_when_the_moments_are_asked_for(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("w", *MOMENTS))
        adam(zeros("w"))
        with pytest.raises(WarmStartError, match="beta1_power"):
            plan_recovery(str(old_dir), {name: name for name in MOMENTS})

    def test_by_another_name_are_taken_as_asked(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("w", *MOMENTS, *POWERS, "beta1_power_1", "beta2_power_1"))
        adam(zeros("w"))
        asked = {"w": "w", "beta1_power_1": "beta1_power", "beta2_power_1": "beta2_power"}
        found = taken(plan_recovery(str(old_dir), asked, with_slots=True))
        assert {name: found[name] for name in POWERS} == {"beta1_power": "beta1_power_1", "beta2_power": "beta2_power_1"}

    @pytest.mark.parametrize(
        "old_scope, new_scope",
        [("training/", ""), ("", "training/"), ("a/", "b/")],
        ids=["out of a scope", "into a scope", "to another scope"],
    )
    def test_are_found_in_another_scope(self, old_dir, new_graph, old_scope, new_scope):
        save_checkpoint(old_dir, ones("w", *[old_scope + name for name in MOMENTS + POWERS]))
        w = zeros("w")
        with tf1.variable_scope(new_scope.rstrip("/")):
            adam(w)
        assert taken(plan_recovery(str(old_dir), with_slots=True)) == {
            "w": "w",
            **{new_scope + name: old_scope + name for name in MOMENTS + POWERS},
        }

    def test_are_found_in_another_name_scope(self, old_dir, new_graph):
        """A name scope is before the powers alone."""
        save_checkpoint(old_dir, ones("w", *MOMENTS, "loss/beta1_power", "loss/beta2_power"))
        with tf1.name_scope("train"):
            adam(zeros("w"))
        assert taken(plan_recovery(str(old_dir), with_slots=True)) == {
            "w": "w",
            **{name: name for name in MOMENTS},
            **{f"train/{name}": f"loss/{name}" for name in POWERS},
        }

    def test_of_two_optimizers_travel_with_their_own(self, old_dir, new_graph):
        names = ["a", "a/Adam", "a/Adam_1", "b", "b/Adam", "b/Adam_1", *POWERS, "beta1_power_1", "beta2_power_1"]
        save_checkpoint(old_dir, ones(*names))
        adam(zeros("a")), adam(zeros("b"))
        plan = plan_recovery(str(old_dir), {"b": "b"}, with_slots=True)
        assert taken(plan) == {name: name for name in ("b", "b/Adam", "b/Adam_1", "beta1_power_1", "beta2_power_1")}
        assert sorted(left(plan)) == ["a", "a/Adam", "a/Adam_1", "beta1_power", "beta2_power"]
        assert plan.notes == ()

    def test_that_could_be_either_of_two_are_not_guessed(self, old_dir, new_graph):
        save_checkpoint(old_dir, ones("w", *MOMENTS, *[f"{scope}/{power}" for scope in ("x", "y") for power in POWERS]))
        w = zeros("w")
        with tf1.variable_scope("z"):
            adam(w)
        plan = plan_recovery(str(old_dir), with_slots=True)
        assert taken(plan) == {"w": "w"}


class TestUnused:
    def test_old_variables_that_nobody_takes(self, fm_checkpoint, new_graph):
        zeros("new/w", [3, 1])
        plan = plan_recovery(fm_checkpoint, {"fm/w": "new/w"})
        assert [old.name for old in plan.unused] == ["fm/v", "fm/v/Adagrad", "fm/w/Adagrad", "global_step"]


class TestCoverage:
    def test_in_bytes_of_the_model_and_of_its_optimizer(self, old_dir, new_graph):
        save_checkpoint(old_dir, {**ones("a", "a/Adagrad", shape=(4,)), "b": np.float64([1])})
        a, b, c = zeros("a", [4]), zeros("b", [1], tf.float64), zeros("c", [2, 2])
        tf1.train.get_or_create_global_step()
        adagrad(a), adagrad(b), adagrad(c)
        plan = plan_recovery(str(old_dir), with_slots=True)
        assert plan.coverage == 24 / 40  # 16 of a and 8 of b are recovered, 16 of c are not; the step does not count.
        assert plan.slot_coverage == 16 / 40
        assert "3 of 7 new variables" in str(plan) and "coverage 60.0 %" in str(plan)

    def test_of_a_partitioned_table_is_of_the_whole(self, fm_checkpoint, new_graph):
        zeros("v", [3, 2], partitioner=tf1.fixed_size_partitioner(3)), zeros("w", [3, 1])
        assert plan_recovery(fm_checkpoint, {"fm/v": "v"}).coverage == 24 / 36

    def test_of_nothing(self, fm_checkpoint, new_graph):
        zeros("w")
        plan = plan_recovery(fm_checkpoint, missing="keep")
        assert (plan.coverage, plan.slot_coverage) == (0.0, 0.0)

    def test_of_an_empty_variable(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"empty": np.zeros([0, 2], np.float32)})
        zeros("empty", [0, 2])
        plan = plan_recovery(str(old_dir))
        assert taken(plan) == {"empty": "empty"}
        assert plan.coverage == 0.0
