"""Slots from one generation of optimizers to another: the next steps are those that the old optimizer would have made.

The generations: TensorFlow 1's (`tf.compat.v1.train`), Keras's until 2.10 ("legacy"), Keras's since 2.11 ("new").
"""

import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, needs_keras_2, save_checkpoint
from estimator_warmstart import VariableRecoverHook, adapters, format_report, plan_recovery, recover_variables

pytestmark = needs_keras_2

tf1 = tf.compat.v1
LEGACY = getattr(tf.keras.optimizers, "legacy", tf.keras.optimizers)
GENERATIONS = {"TensorFlow 1": tf1.train, "legacy Keras": LEGACY}
if LEGACY is not tf.keras.optimizers:
    GENERATIONS["new Keras"] = tf.keras.optimizers
PAIRS = [(old, new) for old in GENERATIONS for new in GENERATIONS if old != new]


def tf1_or_keras(tf1_name, keras_name=None, tf1_options=None, **options):
    """Makes an optimizer with a rate of 0.1 and the same options, of either generation."""

    def make(module):
        if module is tf1.train:
            return getattr(module, f"{tf1_name}Optimizer")(0.1, **{**options, **(tf1_options or {})})
        renamed = {
            {"beta1": "beta_1", "beta2": "beta_2", "decay": "rho", "use_nesterov": "nesterov"}.get(name, name): value
            for name, value in options.items()
        }
        return getattr(module, keras_name or tf1_name)(0.1, **renamed)

    return make


OPTIMIZERS = {
    "Adagrad": tf1_or_keras("Adagrad"),
    "Adam": tf1_or_keras("Adam", beta1=0.8, beta2=0.95, epsilon=1e-7),
    "Momentum": tf1_or_keras("Momentum", "SGD", momentum=0.9),
    "Nesterov": tf1_or_keras("Momentum", "SGD", momentum=0.9, use_nesterov=True),
    "RMSProp": tf1_or_keras("RMSProp", "RMSprop", decay=0.9, momentum=0.5, epsilon=1e-7),
    "centered RMSProp": tf1_or_keras("RMSProp", "RMSprop", decay=0.9, momentum=0.5, epsilon=1e-7, centered=True),
    "Ftrl": tf1_or_keras("Ftrl", l1_regularization_strength=0.01, l2_regularization_strength=0.02),
    "Adadelta": tf1_or_keras("Adadelta", epsilon=1e-2),
}
FEATURES = np.float32([[1, 2], [3, -1], [0.5, 0.25]])
LABELS = np.float32([[1], [-1], [0.5]])


def build(make, module, scope="", name="w"):
    """A linear model `FEATURES @ w` and a step of its training."""
    w = tf1.get_variable(name, initializer=tf.constant([[0.5], [-0.25]]), use_resource=True)
    optimizer = make(module)
    with tf1.name_scope(scope or None):
        (gradient,) = tf.gradients(tf.reduce_mean((FEATURES @ w - LABELS) ** 2), w)
        if LEGACY is tf.keras.optimizers or not isinstance(optimizer, tf.keras.optimizers.Optimizer):
            return w, optimizer.apply_gradients([(gradient, w)])
        # In a graph the new ones leave it to tf.function that each assignment is made, and in its order.
        with tf1.name_scope(optimizer.name if scope else None):  # As `apply_gradients` would.
            optimizer.build([w])
        return w, tf.function(lambda: [optimizer.apply_gradients([(gradient, w)]), tf.constant(0)][1])()


def trained(folder, make, module, steps=5, as_objects=False, scope=""):
    """Trains, saves, trains on; returns the values of `w` after each of the further steps."""
    with tf.Graph().as_default(), tf1.Session() as session:
        w, step = build(make, module, scope)
        session.run(tf1.global_variables_initializer())
        for _ in range(steps):
            session.run(step)
        path = os.path.join(str(folder), "model.ckpt")
        if as_objects:
            variables = {variable.op.name.replace("/", "_"): variable for variable in tf1.global_variables()}
            tf.train.Checkpoint(**variables).save(path)
        else:
            tf1.train.Saver().save(session, path)
        return after_steps(session, step, w)


def after_steps(session, step, w):
    return np.array([(session.run(step), session.run(w))[1] for _ in range(3)])


def warm_started(folder, make, module, scope="", **options):
    with tf.Graph().as_default(), tf1.Session() as session:
        w, step = build(make, module, scope)
        session.run(tf1.global_variables_initializer())
        plan = recover_variables(session, str(folder), with_slots=True, **options)
        return plan, after_steps(session, step, w)


# Keras's Adagrad adds an epsilon of 1e-7, TensorFlow 1's none; RMSprop's two are at other places.
@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize(("old", "new"), PAIRS, ids=[f"{old} to {new}" for old, new in PAIRS])
def test_the_next_steps_are_the_old_optimizers(old_dir, name, old, new):
    expected = trained(old_dir, OPTIMIZERS[name], GENERATIONS[old])
    plan, found = warm_started(old_dir, OPTIMIZERS[name], GENERATIONS[new])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    left = {planned.new.name: planned.reason for planned in plan.variables if planned.old is None}
    assert not any(slot.slot_of and slot.name in left for slot in (planned.new for planned in plan.variables)), left


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_without_them_they_are_others(old_dir, name):
    """What the test above would not see if nothing were recovered."""
    expected = trained(old_dir, OPTIMIZERS[name], tf1.train)
    with tf.Graph().as_default(), tf1.Session() as session:
        w, step = build(OPTIMIZERS[name], LEGACY)
        session.run(tf1.global_variables_initializer())
        recover_variables(session, str(old_dir))
        found = after_steps(session, step, w)
    assert np.max(np.abs(found - expected)) > 1e-4


@pytest.mark.parametrize("name", ["Adam", "Momentum"])
@pytest.mark.parametrize(("old", "new"), PAIRS, ids=[f"{old} to {new}" for old, new in PAIRS])
def test_from_objects_and_below_scopes(old_dir, name, old, new):
    expected = trained(old_dir, OPTIMIZERS[name], GENERATIONS[old], as_objects=True, scope="before")
    _, found = warm_started(old_dir, OPTIMIZERS[name], GENERATIONS[new], scope="training")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def values_of(session):
    return {variable.op.name: session.run(variable) for variable in tf1.global_variables()}


def recovered_values(folder, make, module, **options):
    with tf.Graph().as_default(), tf1.Session() as session:
        build(make, module)
        session.run(tf1.global_variables_initializer())
        recover_variables(session, str(folder), with_slots=True, **options)
        return values_of(session)


def adam_of_tf1(folder, power1, power2, **more):
    moments = {"w/Adam": np.float32([[1], [2]]), "w/Adam_1": np.float32([[3], [4]])}
    save_checkpoint(
        folder,
        {
            "w": np.float32([[1], [1]]),
            **moments,
            "beta1_power": np.float32(power1),
            "beta2_power": np.float32(power2),
            **more,
        },
    )


adam = tf1_or_keras("Adam")
KERAS = [(name, module) for name, module in GENERATIONS.items() if module is not tf1.train]


@pytest.mark.parametrize("module", [module for _, module in KERAS], ids=[name for name, _ in KERAS])
class TestStepsFromPowers:
    @pytest.mark.parametrize("steps", [0, 1, 7, 100, 1000, 5000])
    def test_are_counted(self, old_dir, module, steps):
        power1, power2 = np.float32(0.9), np.float32(0.999)
        for _ in range(steps):  # As TensorFlow multiplies them.
            power1, power2 = power1 * np.float32(0.9), power2 * np.float32(0.999)
        adam_of_tf1(old_dir, power1, power2)
        values = recovered_values(old_dir, adam, module)
        (count,) = (value for name, value in values.items() if name.endswith(("iter", "iteration")))
        assert count == steps and count.dtype == np.int64

    def test_of_underflow_are_many(self, old_dir, module):
        adam_of_tf1(old_dir, 0, 0)
        values = recovered_values(old_dir, adam, module)
        (count,) = (value for name, value in values.items() if name.endswith(("iter", "iteration")))
        # 0.999 ** 87300 is the least float32 with all its digits: by then no bias is left to correct.
        assert 87000 < count < 88000

    def test_are_counted_with_the_new_optimizers_betas(self, old_dir, module):
        adam_of_tf1(old_dir, 0.5**4, 0.75**4)
        values = recovered_values(old_dir, tf1_or_keras("Adam", beta1=0.5, beta2=0.75), module)
        (count,) = (value for name, value in values.items() if name.endswith(("iter", "iteration")))
        assert count == 3

    def test_are_in_the_report(self, old_dir, module, new_graph):
        adam_of_tf1(old_dir, 0.9, 0.999)
        build(adam, module)
        report = format_report(plan_recovery(old_dir, with_slots=True))
        assert "adapted, 100 % old, 100 % of the old kept: steps, counted with beta = 0.999" in report

    def test_absent_leave_the_moments_fresh(self, old_dir, module, new_graph):
        save_checkpoint(old_dir, {name: np.ones([2, 1], np.float32) for name in ("w", "w/Adam", "w/Adam_1")})
        build(adam, module)
        reasons = [planned.reason for planned in plan_recovery(old_dir, with_slots=True).variables if planned.new.slot_of]
        assert len(reasons) == 2 and all("Adam's moment, and the checkpoint has no" in reason for reason in reasons)


class TestPowersFromSteps:
    @pytest.mark.parametrize("steps, power1, power2", [(0, 0.9, 0.999), (3, 0.9**4, 0.999**4), (10**6, 0, 0)])
    def test_are_computed(self, old_dir, steps, power1, power2):
        slot = np.ones([2, 1], np.float32)
        save_checkpoint(old_dir, {"w": slot, "Adam/w/m": slot, "Adam/w/v": slot, "Adam/iter": np.int64(steps)})
        values = recovered_values(old_dir, adam, tf1.train)
        assert values["beta1_power"] == pytest.approx(power1) and values["beta2_power"] == pytest.approx(power2)

    @pytest.mark.parametrize("with_another", [False, True], ids=["alone", "with an optimizer that has a count of its own"])
    def test_of_a_canned_estimator_are_global_steps(self, old_dir, with_another):
        """Its Keras optimizer counts by the global step, and has no count of its own."""
        slot = np.ones([2, 1], np.float32)
        other = {
            "training/Ftrl/iter": np.int64(9),
            "u": slot,
            "training/Ftrl/u/accumulator": slot,
            "training/Ftrl/u/linear": slot,
        }
        save_checkpoint(
            old_dir,
            {
                "w": slot,
                "training/Adam/w/m": slot,
                "training/Adam/w/v": slot,
                "global_step": np.int64(3),
                **(other if with_another else {}),
            },
        )
        assert recovered_values(old_dir, adam, tf1.train)["beta2_power"] == pytest.approx(0.999**4)
        assert recovered_values(old_dir, adam, LEGACY)["Adam/iter"] == 3


class TestMomentum:
    make = staticmethod(tf1_or_keras("Momentum", "SGD", momentum=0.9))

    def test_is_multiplied_by_the_new_rate(self, old_dir):
        save_checkpoint(old_dir, {"w": np.ones([2, 1], np.float32), "w/Momentum": np.float32([[10], [-20]])})
        assert recovered_values(old_dir, self.make, LEGACY)["SGD/w/momentum"].tolist() == [[-1], [2]]

    def test_is_divided_by_the_old_rate(self, old_dir, new_graph):
        save_checkpoint(
            old_dir,
            {
                "w": np.ones([2, 1], np.float32),
                "SGD/w/momentum": np.float32([[1], [-2]]),
                "SGD/learning_rate": np.float32(0.5),
            },
        )
        assert recovered_values(old_dir, self.make, tf1.train)["w/Momentum"].tolist() == [[-2], [4]]
        build(self.make, tf1.train)
        report = format_report(plan_recovery(old_dir, with_slots=True))
        assert "as 'w', times -1 / 'SGD/learning_rate'" in report

    def test_of_an_unknown_old_rate_begins_anew(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"w": np.ones([2, 1], np.float32), "SGD/w/momentum": np.float32([[1], [-2]])})
        build(self.make, tf1.train)
        (planned,) = (planned for planned in plan_recovery(old_dir, with_slots=True).variables if planned.new.slot_of)
        assert planned.old is None and "the checkpoint has no learning rate to divide by" in planned.reason

    @pytest.mark.parametrize(
        "rate",
        [
            lambda: tf.keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5),
            lambda: tf1.placeholder_with_default(0.1, []),
        ],
        ids=["schedule", "tensor"],
    )
    def test_of_an_unknown_new_rate_begins_anew(self, old_dir, new_graph, rate):
        save_checkpoint(old_dir, {"w": np.ones([2, 1], np.float32), "w/Momentum": np.float32([[1], [-2]])})
        build(lambda module: LEGACY.SGD(rate(), momentum=0.9), None)
        (planned,) = (planned for planned in plan_recovery(old_dir, with_slots=True).variables if planned.new.slot_of)
        assert planned.old is None and "the graph does not tell the learning rate" in planned.reason

    def test_in_a_zero_rate_is_zero(self, old_dir):
        save_checkpoint(
            old_dir,
            {
                "w": np.ones([2, 1], np.float32),
                "SGD/w/momentum": np.float32([[1], [-2]]),
                "SGD/learning_rate": np.float32(0),
            },
        )
        assert recovered_values(old_dir, self.make, tf1.train)["w/Momentum"].tolist() == [[0], [0]]

    def test_follows_the_rows_of_its_variable(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"w": np.float32([[1], [2]]), "w/Momentum": np.float32([[10], [-20]])})
        w = tf1.get_variable("w", [3, 1], use_resource=True)
        LEGACY.SGD(0.1, momentum=0.9).apply_gradients([(tf.ones([3, 1]), w)])
        rows = adapters.remap_rows(["a", "b"], ["b", "n", "a"])
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            recover_variables(session, str(old_dir), None, {"w": rows})
            assert values_of(session)["SGD/w/momentum"].tolist() == [[2], [0], [-1]]

    def test_is_cast_with_its_variable(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"w": np.float32([1, 2]), "w/Momentum": np.float32([10, -20])})
        w = tf1.get_variable("w", [2], tf.float64, use_resource=True)
        LEGACY.SGD(0.1, momentum=0.9).apply_gradients([(tf.ones([2], tf.float64), w)])
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            recover_variables(session, str(old_dir), None, {"w": adapters.cast()})
            value = values_of(session)["SGD/w/momentum"]
        assert value.dtype == np.float64 and value.tolist() == pytest.approx([-1, 2])


SLOT = np.ones([2, 1], np.float32)


class TestWithoutACounterpart:
    @pytest.mark.parametrize(
        "old, make, reason",
        [
            (
                ["w/Adagrad"],
                tf1_or_keras("Adam"),
                "no slot 'm' of 'w', only those of Adagrad, which have no counterpart in Adam",
            ),
            (
                ["Adagrad/w/accumulator"],
                tf1_or_keras("Ftrl"),
                "no slot 'accumulator' of 'w', only those of Adagrad, which have no counterpart in Ftrl",
            ),
            (
                ["w/Momentum"],
                tf1_or_keras("Adagrad"),
                "'accumulator' of 'w', only those of Momentum, which have no counterpart",
            ),
            (["SGD/m/w"], tf1_or_keras("Adam"), "no slot 'm' of 'w', only those of SGD, which have no counterpart in Adam"),
            (
                ["w/Adam", "w/Adam_1"],
                lambda module: module.Adamax(0.1),
                "only those of Adam, which have no counterpart in Adamax",
            ),
            (["w/Mine"], tf1_or_keras("Adagrad"), "the checkpoint has no slot 'accumulator' of 'w'"),
            ([], tf1_or_keras("Adagrad"), "the checkpoint has no slot 'accumulator' of 'w'"),
        ],
        ids=["another optimizer", "the same name", "Momentum", "new Keras", "Adamax", "a name of its own", "no slots"],
    )
    def test_the_reason_is_said(self, old_dir, new_graph, old, make, reason):
        save_checkpoint(
            old_dir, {"w": SLOT, "beta1_power": np.float32(1), "beta2_power": np.float32(1), **dict.fromkeys(old, SLOT)}
        )
        build(make, LEGACY)
        fates = [planned for planned in plan_recovery(old_dir, with_slots=True).variables if planned.new.slot_of]
        assert [planned.old for planned in fates] == [None] * len(fates)
        assert reason in fates[0].reason

    def test_one_slot_of_several(self, old_dir, new_graph):
        """Keras's RMSprop without momentum has no slot for it; TensorFlow 1's has one of zeros."""
        save_checkpoint(old_dir, {"w": SLOT, "RMSprop/w/rms": SLOT})
        build(tf1_or_keras("RMSProp", "RMSprop"), tf1.train)
        fates = {planned.new.name: planned for planned in plan_recovery(old_dir, with_slots=True).variables}
        assert fates["w/RMSProp"].old.name == "RMSprop/w/rms"
        assert fates["w/RMSProp_1"].reason == "the checkpoint has no slot 'RMSProp_1' of 'w'"


class TestFtrlAlone:
    @pytest.mark.parametrize("module", [tf1.train, LEGACY], ids=["TensorFlow 1", "legacy Keras"])
    def test_forgets_its_weights_and_a_note_says_so(self, old_dir, new_graph, module):
        best = np.linalg.lstsq(FEATURES, LABELS, rcond=None)[0]
        save_checkpoint(old_dir, {"w": best})
        w, step = build(tf1_or_keras("Ftrl"), module)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            plan = recover_variables(session, str(old_dir))
            session.run(step)
            np.testing.assert_allclose(session.run(w), np.zeros_like(best), atol=1e-4)
            assert np.max(np.abs(best)) > 0.3
        assert any("forget the recovered values of 'w'" in note for note in plan.notes)

    def test_no_note_with_its_slots(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"w": SLOT, "w/Ftrl": SLOT, "w/Ftrl_1": SLOT})
        build(tf1_or_keras("Ftrl"), LEGACY)
        assert plan_recovery(old_dir, with_slots=True).notes == ()
        assert len(plan_recovery(old_dir).notes) == 1


def input_fn():
    features = {"x": np.float32([[1], [2], [3]]), "c": np.array([["a"], ["b"], ["a"]])}
    return tf.data.Dataset.from_tensors((features, np.int64([[0], [1], [1]]))).repeat()


@needs_estimator
class TestCannedEstimators:
    """From `tf.compat.v1.estimator` to what is `tf.estimator` in TensorFlow 2: the commonest migration of all."""

    x = tf.feature_column.numeric_column("x")
    c = tf.feature_column.categorical_column_with_vocabulary_list("c", ["a", "b"])

    @pytest.mark.parametrize(
        "kind, options, optimizers",
        [
            ("DNNClassifier", dict(hidden_units=[3], feature_columns=[x]), {"optimizer": "Adagrad"}),
            ("LinearClassifier", dict(feature_columns=[x, c]), {"optimizer": "Ftrl"}),
            (
                "DNNLinearCombinedClassifier",
                dict(linear_feature_columns=[c], dnn_feature_columns=[x], dnn_hidden_units=[3]),
                {"dnn_optimizer": "Adagrad", "linear_optimizer": "Ftrl"},
            ),
        ],
        ids=["DNN with Adagrad", "linear with Ftrl", "both"],
    )
    def test_trains_on_as_the_old_one(self, tmp_path, kind, options, optimizers):
        # Version 1 sums the loss of a batch if it is not told otherwise; its optimizers' rates are others by default.
        old_options = {name: getattr(tf1.train, f"{optimizer}Optimizer")(0.1) for name, optimizer in optimizers.items()}
        new_options = {name: getattr(LEGACY, optimizer)(0.1) for name, optimizer in optimizers.items()}
        old_options["loss_reduction"] = tf1.losses.Reduction.SUM_OVER_BATCH_SIZE
        old = getattr(tf1.estimator, kind)(model_dir=str(tmp_path / "old"), **options, **old_options)
        old.train(input_fn, steps=3)
        new = getattr(tf.compat.v2.estimator, kind)(model_dir=str(tmp_path / "new"), **options, **new_options)
        hook = VariableRecoverHook(str(tmp_path / "old"), with_slots=True)
        new.train(input_fn, steps=2, hooks=[hook])
        old.train(input_fn, steps=2)
        assert hook.plan.coverage == 1.0
        assert [planned.new.name for planned in hook.plan.variables if planned.new.slot_of and not planned.old] == []
        for name in [planned.new.name for planned in hook.plan.variables if planned.new.is_parameter]:
            np.testing.assert_allclose(
                new.get_variable_value(name), old.get_variable_value(name), rtol=1e-5, atol=1e-5, err_msg=name
            )
