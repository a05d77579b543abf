"""`recover_into` with an optimizer: the next steps are those that the old optimizer would have made, of any generation.

The old model is trained in a graph by TensorFlow 1's optimizers, or eagerly by a Keras of another generation.
"""

import functools
import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from eager import dense_model, eagerly, generations, is_keras_3
from estimator_warmstart import WarmStartError, recover_into

tf1 = tf.compat.v1
NEW = generations()
FEATURES = np.float32([[1, 2, -1], [3, -1, 0.5], [0.5, 0.25, 1], [-1, 1, 2]])
LABELS = np.float32([[1], [-1], [0.5], [0.25]])
RATE = 0.05
# (TensorFlow 1's name and options, Keras's name and options) of the same optimizer.
OPTIMIZERS = {
    "Adagrad": ("Adagrad", {}, "Adagrad", {"epsilon": 1e-8}),
    "Adam": ("Adam", {"beta2": 0.95}, "Adam", {"beta_2": 0.95, "epsilon": 1e-8}),
    "Momentum": ("Momentum", {"momentum": 0.9}, "SGD", {"momentum": 0.9}),
    "Nesterov": ("Momentum", {"momentum": 0.9, "use_nesterov": True}, "SGD", {"momentum": 0.9, "nesterov": True}),
    "RMSProp": (
        "RMSProp",
        {"momentum": 0.5, "epsilon": 1e-7},
        "RMSprop",
        {"rho": 0.9, "momentum": 0.5, "epsilon": 1e-7},
    ),
    "centered RMSProp": (
        "RMSProp",
        {"momentum": 0.5, "epsilon": 1e-7, "centered": True},
        "RMSprop",
        {"rho": 0.9, "momentum": 0.5, "epsilon": 1e-7, "centered": True},
    ),
    "Ftrl": ("Ftrl", {"l1_regularization_strength": 0.01}, "Ftrl", {"l1_regularization_strength": 0.01}),
    "Adadelta": ("Adadelta", {"rho": 0.95, "epsilon": 1e-2}, "Adadelta", {"rho": 0.95, "epsilon": 1e-2}),
    "plain SGD": ("GradientDescent", {}, "SGD", {}),
}
# Those of Keras alone.
KERAS_OPTIMIZERS = {
    **{title: (keras_name, options) for title, (_, _, keras_name, options) in OPTIMIZERS.items()},
    "AMSGrad": ("Adam", {"amsgrad": True}),
    "Adamax": ("Adamax", {}),
    "AdamW": ("AdamW", {"weight_decay": 0.01}),
    "Nadam": ("Nadam", {}),
}


@functools.lru_cache(maxsize=None)
def old_training(title, folder):
    """Trains in a graph, saves into `folder`, trains on; returns the parameters after five more steps."""
    name, options, _, _ = OPTIMIZERS[title]
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(1)
        weights = [
            tf1.get_variable("hidden/kernel", [3, 2], use_resource=True),
            tf1.get_variable("hidden/bias", [2], initializer=tf1.zeros_initializer(), use_resource=True),
            tf1.get_variable("head/kernel", [2, 1], use_resource=True),
            tf1.get_variable("head/bias", [1], initializer=tf1.zeros_initializer(), use_resource=True),
        ]
        outputs = tf.tanh(tf.matmul(FEATURES, weights[0]) + weights[1])
        outputs = tf.tanh(tf.matmul(outputs, weights[2]) + weights[3])
        optimizer = getattr(tf1.train, f"{name}Optimizer")(RATE, **options)
        step = optimizer.minimize(tf.reduce_mean((outputs - LABELS) ** 2), tf1.train.get_or_create_global_step())
        session.run(tf1.global_variables_initializer())
        for _ in range(7):
            session.run(step)
        tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
        for _ in range(5):
            session.run(step)
        return session.run(weights)


@pytest.fixture(scope="module")
def old_models(tmp_path_factory):
    """{title of an optimizer: the old model's directory}, each trained when it is first asked for."""
    folders = {title: str(tmp_path_factory.mktemp("old")) for title in OPTIMIZERS}
    return lambda title: (folders[title], old_training(title, folders[title]))


def make(keras_and_optimizers, title):
    keras, optimizers = keras_and_optimizers
    name, options = KERAS_OPTIMIZERS[title]
    if not hasattr(optimizers, name):
        pytest.skip(f"this Keras has no {name}")
    model = dense_model(keras, name="net")
    return model, getattr(optimizers, name)(RATE, **options)


def train(model, optimizer, steps=5):
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(FEATURES) - LABELS) ** 2)
        optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
    return [weight.numpy() for weight in model.weights]


def assert_close(found, expected):
    for value, other in zip(found, expected):
        np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("title", list(OPTIMIZERS))
@pytest.mark.parametrize("new", list(NEW))
@eagerly
def test_five_more_steps_are_those_of_tensorflow_1(old_models, new, title):
    folder, expected = old_models(title)
    model, optimizer = make(NEW[new], title)
    plan = recover_into(model, folder, optimizer=optimizer, with_slots=True)
    assert_close(train(model, optimizer), expected)
    assert [planned.new.name for planned in plan.variables if planned.old is None] == []
    assert int(optimizer.iterations) == 12


@eagerly
def test_the_count_says_where_it_is_from(old_models):
    """Adam's is counted from its powers, another optimizer's is the global step."""
    reasons = {}
    for title in ("Adam", "Adagrad"):
        model, optimizer = make(next(iter(NEW.values())), title)
        plan = recover_into(model, old_models(title)[0], optimizer=optimizer, with_slots=True)
        count = next(planned for planned in plan.variables if planned.new.name == f"{title}/iteration")
        reasons[title] = count.old.name, count.reason.partition(", float32")[0]
    assert reasons == {
        "Adam": ("beta2_power", "steps, counted with beta = 0.95, or of 'global_step' if that has underflowed"),
        "Adagrad": ("global_step", ""),
    }


SLOTS = {"hidden/kernel/Adam": np.float32([[1.0], [2.0]]), "hidden/kernel/Adam_1": np.float32([[3.0], [4.0]])}


@pytest.mark.parametrize(
    ("scalars", "count"),
    [
        ({"beta1_power": np.float32(0.9**8), "beta2_power": np.float32(0.999**8), "global_step": np.int64(70)}, 7),
        ({"beta1_power": np.float32(0), "beta2_power": np.float32(0), "global_step": np.int64(200000)}, 200000),
        ({"global_step": np.int64(70)}, 70),
    ],
    ids=["powers", "powers that have underflowed", "global step"],
)
@eagerly
def test_the_count_of_adam(old_dir, scalars, count):
    save_checkpoint(old_dir, {"hidden/kernel": np.float32([[5.0], [6.0]]), **SLOTS, **scalars})
    keras, optimizers = next(iter(NEW.values()))
    model, optimizer = dense_model(keras, (("hidden", 1),), inputs=2, use_bias=False), optimizers.Adam(0.1)
    recover_into(model, str(old_dir), optimizer=optimizer, with_slots=True)
    assert int(optimizer.iterations) == count


@eagerly
def test_without_a_count_moments_are_not_taken(old_dir):
    """Beside a fresh count they would be corrected for a bias that they do not have."""
    save_checkpoint(old_dir, {"hidden/kernel": np.float32([[5.0], [6.0]]), **SLOTS})
    keras, optimizers = next(iter(NEW.values()))
    model, optimizer = dense_model(keras, (("hidden", 1),), inputs=2, use_bias=False), optimizers.Adam(0.1)
    plan = recover_into(model, str(old_dir), optimizer=optimizer, with_slots=True)
    assert [planned.new.name for planned in plan.recovered] == ["hidden/kernel"]
    assert "Adam's moment, and the checkpoint has no 'Adam/iteration' to go with it" in {each.reason for each in plan.variables}


@eagerly
def test_what_has_no_counterpart_is_in_the_report(old_models):
    model, optimizer = make(next(iter(NEW.values())), "Adam")
    plan = recover_into(model, old_models("Adagrad")[0], optimizer=optimizer, with_slots=True)
    reasons = {planned.reason for planned in plan.variables if planned.new.slot_of is not None}
    assert len(reasons) == 8 and all("only those of Adagrad, which have no counterpart in Adam" in each for each in reasons)
    assert plan.coverage == 1.0 and int(optimizer.iterations) == 0


@eagerly
def test_momentum_with_a_rate_that_changes_is_left_with_the_reason(old_models):
    keras, optimizers = next(iter(NEW.values()))
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    model, optimizer = dense_model(keras, name="net"), optimizers.SGD(rate, momentum=0.9)
    plan = recover_into(model, old_models("Momentum")[0], optimizer=optimizer, with_slots=True)
    reasons = {planned.reason for planned in plan.variables if planned.new.slot_of is not None}
    assert len(reasons) == 4 and all("the learning rate between them changes with the steps" in reason for reason in reasons)


@eagerly
def test_the_optimizer_that_the_model_was_compiled_with(old_models):
    folder, expected = old_models("Adagrad")
    model, optimizer = make(next(iter(NEW.values())), "Adagrad")
    model.compile(optimizer, "mse")
    recover_into(model, folder, with_slots=True)
    model.fit(FEATURES, LABELS, batch_size=4, epochs=5, shuffle=False, verbose=0)
    assert_close([weight.numpy() for weight in model.weights], expected)


@eagerly
def test_an_optimizer_within_a_loss_scale_optimizer(old_models):
    keras, optimizers = next(iter(NEW.values()))
    wrapper = getattr(keras.optimizers, "LossScaleOptimizer", None) or getattr(
        getattr(keras, "mixed_precision", None), "LossScaleOptimizer", None
    )
    if wrapper is None:
        pytest.skip("this Keras has no LossScaleOptimizer")
    model, optimizer = make((keras, optimizers), "Adagrad")
    plan = recover_into(model, old_models("Adagrad")[0], optimizer=wrapper(optimizer), with_slots=True)
    assert len(plan.recovered) == 9 and int(optimizer.iterations) == 7


@eagerly
def test_an_optimizer_that_has_trained_already(old_models):
    folder, expected = old_models("Adagrad")
    model, optimizer = make(next(iter(NEW.values())), "Adagrad")
    train(model, optimizer, 3)
    recover_into(model, folder, optimizer=optimizer, with_slots=True)
    assert_close(train(model, optimizer), expected)


@eagerly
def test_slots_follow_their_variable(old_dir):
    """What grows grows in the slot too, where the slot's own initial value, never 0, is in the new rows."""
    save_checkpoint(old_dir, {"hidden/kernel": np.float32([[5.0], [6.0]]), "hidden/kernel/Adagrad": np.float32([[2.0], [3.0]])})
    keras, optimizers = next(iter(NEW.values()))
    model = dense_model(keras, (("hidden", 1),), inputs=3, use_bias=False)
    optimizer = optimizers.Adagrad(0.1, initial_accumulator_value=0.25)
    last = model.weights[0].numpy()[2:]
    plan = recover_into(model, str(old_dir), adapters={}, optimizer=optimizer, with_slots=True)
    assert model.weights[0].numpy().tolist() == [[5.0], [6.0], last[0].tolist()]
    slot = next(planned.new for planned in plan.variables if planned.new.slot_of is not None)
    assert slot.name == "Adagrad/accumulator/hidden/kernel"
    assert slot.target.numpy().tolist() == [[2.0], [3.0], [0.25]]
    assert "remap_segments" in plan.warnings[0] and "'hidden/kernel' (2 -> 3 on axis 0)" in plan.warnings[0]


@eagerly
def test_without_slots_they_are_others(old_models):
    """What the test above would not see if slots were not recovered."""
    folder, expected = old_models("Momentum")
    model, optimizer = make(next(iter(NEW.values())), "Momentum")
    plan = recover_into(model, folder, optimizer=optimizer)
    assert np.max(np.abs(train(model, optimizer)[0] - expected[0])) > 1e-3
    assert plan.coverage == 1.0


def pairs():
    return [(old, new) for old in NEW for new in NEW if old != new or len(NEW) == 1]


@pytest.mark.parametrize("title", list(KERAS_OPTIMIZERS))
@pytest.mark.parametrize(("old", "new"), pairs(), ids=[f"{old} to {new}" for old, new in pairs()])
@eagerly
def test_five_more_steps_are_those_of_another_keras(old_dir, old, new, title):
    if title == "Nadam" and ("legacy" in old) != ("legacy" in new):
        pytest.skip("Nadam's momenta are others since 2.11")
    model, optimizer = make(NEW[old], title)
    train(model, optimizer, 7)
    tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(old_dir / "model.ckpt"))
    expected = train(model, optimizer)
    model, optimizer = make(NEW[new], title)
    rename = {"net": ""} if is_keras_3(NEW[old][0]) else None
    plan = recover_into(model, str(old_dir), optimizer=optimizer, with_slots=True, rename=rename)
    assert_close(train(model, optimizer), expected)
    assert [planned.new.name for planned in plan.variables if planned.old is None] == []
    assert int(optimizer.iterations) == 12


class TestBadOptimizers:
    def problem(self, folder, model, **options):
        with pytest.raises(WarmStartError) as caught:
            recover_into(model, folder, with_slots=True, **options)
        return str(caught.value)

    @eagerly
    def test_none(self, fm_checkpoint):
        model = dense_model(next(iter(NEW.values()))[0], name="net")
        problem = self.problem(fm_checkpoint, model)
        assert problem == (
            "with_slots=True recovers an optimizer's slots, and there is no optimizer: give optimizer=, or compile the model"
        )

    @eagerly
    def test_not_one_of_keras(self, fm_checkpoint):
        model = dense_model(next(iter(NEW.values()))[0], name="net")
        assert "optimizer must be a Keras optimizer, got 'adam'" in self.problem(fm_checkpoint, model, optimizer="adam")

    @eagerly
    def test_another_than_the_compiled_one(self, fm_checkpoint):
        model, optimizer = make(next(iter(NEW.values())), "Adagrad")
        model.compile(optimizer, "mse")
        other = make(next(iter(NEW.values())), "Adagrad")[1]
        assert "compiled with another optimizer than `optimizer`" in self.problem(fm_checkpoint, model, optimizer=other)

    @pytest.mark.parametrize("new", list(NEW))
    @eagerly
    def test_one_that_another_model_has_trained(self, fm_checkpoint, new):
        model, optimizer = make(NEW[new], "Adagrad")
        train(model, optimizer, 1)
        other, _ = make(NEW[new], "Adagrad")
        assert "the optimizer was built for other variables" in self.problem(fm_checkpoint, other, optimizer=optimizer)
