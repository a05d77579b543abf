"""Keras optimizers in a graph: their count of steps goes with their moments, their hyperparameters stay the new ones."""

import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_keras_2, save_checkpoint
from estimator_warmstart import plan_recovery, recover_variables

pytestmark = needs_keras_2

tf1 = tf.compat.v1
Adam = getattr(tf.keras.optimizers, "legacy", tf.keras.optimizers).Adam


def model(learning_rate, name="w"):
    w = tf1.get_variable(name, initializer=tf.constant([1.0, 2.0]), use_resource=True)
    return w, Adam(learning_rate).apply_gradients([(tf.ones([2]), w)])


def values():
    return {variable.op.name: variable for variable in tf1.global_variables()}


@pytest.fixture
def trained(old_dir):
    """The old model after three steps of Adam with a learning rate of 0.5."""
    with tf.Graph().as_default(), tf1.Session() as session:
        _, step = model(0.5)
        session.run(tf1.global_variables_initializer())
        for _ in range(3):
            session.run(step)
        tf1.train.Saver().save(session, os.path.join(str(old_dir), "model.ckpt"))
    return str(old_dir)


@pytest.fixture
def trained_objects(old_dir):
    """The same, saved as objects."""
    with tf.Graph().as_default(), tf1.Session() as session:
        _, step = model(0.5)
        session.run(tf1.global_variables_initializer())
        for _ in range(3):
            session.run(step)
        tf.train.Checkpoint(**{name.replace("/", "_"): value for name, value in values().items()}).save(
            os.path.join(str(old_dir), "objects")
        )
    return str(old_dir)


@pytest.mark.parametrize("fixture", ["trained", "trained_objects"])
def test_the_count_of_steps_goes_with_the_moments(fixture, request, new_graph):
    old = request.getfixturevalue(fixture)
    model(0.001)
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        recover_variables(session, old, with_slots=True)
        new = {name: session.run(variable).tolist() for name, variable in values().items()}
    assert new["Adam/iter"] == 3
    assert new["Adam/w/m"] == pytest.approx([1 - 0.9**3] * 2)
    assert new["Adam/learning_rate"] == pytest.approx(0.001)


def test_below_another_scope_and_beside_another_adam(trained, new_graph):
    with tf1.name_scope("training"):
        model(0.001)
    tf1.train.AdamOptimizer().minimize(tf.reduce_sum(tf1.get_variable("v", [2])))
    sources = {planned.new.name: planned.old.name for planned in plan_recovery(trained, with_slots=True).recovered}
    assert sources == {
        "w": "w",
        "training/Adam/iter": "Adam/iter",
        "training/Adam/w/m": "Adam/w/m",
        "training/Adam/w/v": "Adam/w/v",
    }


def test_without_slots_the_count_begins_anew(trained, new_graph):
    model(0.001)
    fates = {planned.new.name: planned for planned in plan_recovery(trained).fates}
    assert [name for name, planned in fates.items() if planned.old] == ["w"]
    assert fates["Adam/learning_rate"].reason == "the new optimizer's own setting"
    assert fates["Adam/iter"].reason == "goes with Adam's moments, of which none is recovered"


def test_hyperparameters_do_not_count_as_parameters(trained, new_graph):
    model(0.001)
    assert plan_recovery(trained).coverage == 1.0


def test_a_hyperparameter_is_recovered_where_it_is_named(trained, new_graph):
    model(0.001)
    (plan,) = plan_recovery(trained, {"Adam/learning_rate": "Adam/learning_rate"}).recovered
    assert plan.old.name == "Adam/learning_rate"


OPTIMIZERS = {
    "legacy": (
        getattr(tf.keras.optimizers, "legacy", tf.keras.optimizers),
        [
            "SGD/iter",
            "SGD/decay",
            "SGD/learning_rate",
            "SGD/momentum",
        ],
    ),
    "since 2.11": (tf.keras.optimizers, ["iteration", "learning_rate"]),
}
if not hasattr(tf.keras.optimizers, "legacy"):
    del OPTIMIZERS["since 2.11"]


def sgd(generation, learning_rate, scope=None, value=(0.0, 0.0)):
    """A variable of the model's and a step of plain SGD: with nothing but scalars to know the optimizer by."""
    w = tf1.get_variable("w", initializer=tf.constant(value), use_resource=True)
    optimizer = OPTIMIZERS[generation][0].SGD(learning_rate)
    with tf1.name_scope(scope):
        return optimizer.apply_gradients([(tf.ones([2]), w)])


def save_initialized(old_dir, make):
    with tf.Graph().as_default(), tf1.Session() as session:
        make()
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, os.path.join(str(old_dir), "model.ckpt"))
    return str(old_dir)


def hyperparameters_of_plan(plan):
    return [planned.new.name for planned in plan.variables if planned.new.is_hyperparameter]


@pytest.mark.parametrize("with_slots", [False, True], ids=["", "with slots"])
@pytest.mark.parametrize("generation", OPTIMIZERS)
def test_plain_sgd_keeps_its_own_learning_rate(old_dir, new_graph, generation, with_slots):
    old = save_initialized(old_dir, lambda: sgd(generation, 0.5, value=(3.0, 4.0)))
    sgd(generation, 0.001)
    plan = plan_recovery(old, with_slots=with_slots)
    scalars = OPTIMIZERS[generation][1]
    assert [planned.new.name for planned in plan.recovered if planned.new.name in scalars] == []
    assert hyperparameters_of_plan(plan) == scalars
    assert plan.coverage == 1.0
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        recover_variables(session, old, with_slots=with_slots)
        new = {name: session.run(variable).tolist() for name, variable in values().items()}
    assert new["w"] == [3.0, 4.0]
    assert [new[name] for name in scalars if "learning_rate" in name] == [pytest.approx(0.001)]


@pytest.mark.parametrize("generation", OPTIMIZERS)
def test_plain_sgd_in_a_scope_or_twice(old_dir, new_graph, generation):
    old = save_initialized(old_dir, lambda: sgd(generation, 0.5, "training"))
    sgd(generation, 0.1, "training")
    with tf1.variable_scope("", reuse=True):
        sgd(generation, 0.2, "training")
    plan = plan_recovery(old)
    assert [planned.new.name for planned in plan.recovered if planned.new.shape == ()] == []
    assert len(hyperparameters_of_plan(plan)) == 2 * len(OPTIMIZERS[generation][1])


@pytest.mark.parametrize(
    "generation, left",
    [("legacy", ["SGD/iter", "SGD/decay", "SGD/momentum"]), ("since 2.11", ["iteration", "current_learning_rate"])],
)
def test_plain_sgd_with_a_schedule(fm_checkpoint, new_graph, generation, left):
    if generation not in OPTIMIZERS:
        pytest.skip("this TensorFlow has one generation of Keras optimizers")
    tf1.get_variable("fm/w", [3, 1])
    sgd(generation, tf.keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5))
    assert hyperparameters_of_plan(plan_recovery(fm_checkpoint)) == left


def test_plain_sgd_of_an_imported_graph(fm_checkpoint, new_graph):
    with tf.Graph().as_default():
        tf1.get_variable("fm/w", [3, 1])
        sgd("legacy", 0.1)
        exported = tf1.train.export_meta_graph()
    tf1.train.import_meta_graph(exported)
    assert hyperparameters_of_plan(plan_recovery(fm_checkpoint)) == OPTIMIZERS["legacy"][1]


def test_a_hyperparameter_of_a_users_own_optimizer(fm_checkpoint, new_graph):
    class Clipped(OPTIMIZERS["legacy"][0].SGD):
        def __init__(self, clip, **options):
            super().__init__(**options)
            self._set_hyper("clip", clip)

    tf1.get_variable("fm/w", [3, 1])
    w = tf1.get_variable("w", [2], use_resource=True)
    Clipped(5.0, name="Clipped").apply_gradients([(tf.ones([2]), w)])
    assert "Clipped/clip" in hyperparameters_of_plan(plan_recovery(fm_checkpoint))


def test_plain_sgd_of_a_mirrored_model(fm_checkpoint, new_graph):
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        tf1.get_variable("fm/w", [3, 1])
        sgd_itself = OPTIMIZERS["legacy"][0].SGD(0.1)
        w = tf1.get_variable("w", [2])
        strategy = tf.distribute.get_strategy()
        getattr(strategy, "run", getattr(strategy, "experimental_run_v2", None))(step, (sgd_itself, w))
    names = hyperparameters_of_plan(plan_recovery(fm_checkpoint))
    assert sorted(name.rsplit("/", 1)[-1] for name in names) == ["decay", "iter", "learning_rate", "momentum"]


def step(optimizer, variable):
    return optimizer.apply_gradients([(tf.ones([2]), variable)])


class TestScalarsOfTheModelsOwn:
    """Called as an optimizer's are, and recovered as any other."""

    @pytest.mark.parametrize(
        "names",
        [
            ["model/learning_rate"],
            ["scope/momentum"],
            ["scope/learning_rate", "scope/decay"],
            ["learning_rate", "iteration"],
            ["iteration", "learning_rate"],
            ["SGD/momentum", "SGD/decay"],
            ["good_steps"],
        ],
        ids=lambda names: " ".join(names),
    )
    @pytest.mark.parametrize("trainable", [False, True], ids=["", "trainable"])
    def test_alone(self, old_dir, new_graph, names, trainable):
        save_checkpoint(old_dir, {name: np.float32(7) for name in names})
        for name in names:
            tf1.get_variable(name, [], trainable=trainable, use_resource=True)
        assert [planned.new.name for planned in plan_recovery(str(old_dir)).recovered] == names

    @pytest.mark.parametrize("first", OPTIMIZERS)
    def test_with_an_optimizer_in_the_same_graph(self, old_dir, new_graph, first):
        old = {"w": np.zeros(2, np.float32), "model/learning_rate": np.float32(7), "momentum": np.float32(8)}
        save_checkpoint(old_dir, old)
        tf1.get_variable("model/learning_rate", [], trainable=False, use_resource=True)
        sgd(first, 0.1)
        tf1.get_variable("momentum", [], trainable=False, use_resource=True)
        assert [planned.new.name for planned in plan_recovery(str(old_dir)).recovered] == [
            "model/learning_rate",
            "w",
            "momentum",
        ]

    def test_in_the_scope_of_slots(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"dnn/momentum": np.float32(7)})
        with tf1.variable_scope("dnn"):
            w = tf1.get_variable("w", [2])
            tf1.get_variable("momentum", [], trainable=False)
        with tf1.variable_scope("dnn/"):
            tf1.train.AdagradOptimizer(0.1).minimize(tf.reduce_sum(w))
        assert [planned.new.name for planned in plan_recovery(str(old_dir)).recovered] == ["dnn/momentum"]

    def test_a_rate_and_a_count_of_ones_own_that_an_optimizer_of_tensorflow_1_uses(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"learning_rate": np.float32(7), "iteration": np.int64(8)})
        rate = tf1.get_variable("learning_rate", [], trainable=False, use_resource=True)
        count = tf1.get_variable("iteration", [], tf.int64, trainable=False, use_resource=True)
        tf1.train.GradientDescentOptimizer(rate).minimize(tf.reduce_sum(tf1.get_variable("w", [2])), count)
        assert [planned.new.name for planned in plan_recovery(str(old_dir)).recovered] == ["learning_rate", "iteration"]


def test_the_scale_of_a_loss_stays_the_new_optimizers_own(old_dir, new_graph):
    save_checkpoint(old_dir, {"w": np.zeros(2, np.float32), "current_loss_scale": np.float32(2), "good_steps": np.int64(3)})
    tf1.get_variable("w", [2])
    tf1.get_variable("current_loss_scale", [], trainable=False)
    tf1.get_variable("good_steps", [], tf.int64, trainable=False)
    assert hyperparameters_of_plan(plan_recovery(str(old_dir))) == ["current_loss_scale", "good_steps"]


def test_nadams_product_of_momenta_goes_with_its_moments(old_dir, new_graph):
    def nadam(learning_rate):
        w = tf1.get_variable("w", initializer=tf.constant([1.0, 2.0]), use_resource=True)
        return OPTIMIZERS["legacy"][0].Nadam(learning_rate).apply_gradients([(tf.ones([2]), w)])

    old = save_initialized(old_dir, lambda: nadam(0.5))
    nadam(0.1)
    assert [planned.new.name for planned in plan_recovery(old).recovered] == ["w"]
    assert {planned.new.name for planned in plan_recovery(old, with_slots=True).recovered} == {
        "w",
        "Nadam/w/m",
        "Nadam/w/v",
        "Nadam/iter",
        "Nadam/momentum_cache",
    }
