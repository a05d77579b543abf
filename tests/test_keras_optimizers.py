"""Keras optimizers in a graph: their count of steps goes with their moments, their hyperparameters stay the new ones."""
import os

import pytest
import tensorflow as tf

from estimator_warmstart import plan_recovery, recover_variables

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
            os.path.join(str(old_dir), "objects"))
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
    assert new["Adam/w/m"] == pytest.approx([1 - 0.9 ** 3] * 2)
    assert new["Adam/learning_rate"] == pytest.approx(0.001)


def test_below_another_scope_and_beside_another_adam(trained, new_graph):
    with tf1.name_scope("training"):
        model(0.001)
    tf1.train.AdamOptimizer().minimize(tf.reduce_sum(tf1.get_variable("v", [2])))
    sources = {fate.new.name: fate.old.name for fate in plan_recovery(trained, with_slots=True).recovered}
    assert sources == {
        "w": "w", "training/Adam/iter": "Adam/iter", "training/Adam/w/m": "Adam/w/m", "training/Adam/w/v": "Adam/w/v",
    }


def test_without_slots_the_count_begins_anew(trained, new_graph):
    model(0.001)
    fates = {fate.new.name: fate for fate in plan_recovery(trained).fates}
    assert [name for name, fate in fates.items() if fate.old] == ["w"]
    assert fates["Adam/learning_rate"].reason == "the new optimizer's own setting"
    assert fates["Adam/iter"].reason == "goes with Adam's moments, of which none is recovered"


def test_hyperparameters_do_not_count_as_parameters(trained, new_graph):
    model(0.001)
    assert plan_recovery(trained).coverage == 1.0


def test_a_hyperparameter_is_recovered_where_it_is_named(trained, new_graph):
    model(0.001)
    plan, = plan_recovery(trained, {"Adam/learning_rate": "Adam/learning_rate"}).recovered
    assert plan.old.name == "Adam/learning_rate"
