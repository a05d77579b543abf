"""The article's collision: the old model has an A; the new one has an A of its own, and its B is to take the old A."""

import json

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import (
    VariableRecoverHook,
    hooks_from_params,
    recover_scaffold,
    warm_start_settings,
    warm_started,
)

pytestmark = needs_estimator
tf1 = tf.compat.v1


def model_fn(features, labels, mode, params):
    a = tf1.get_variable("A", [2], initializer=tf1.constant_initializer(7.0))
    b = tf1.get_variable("B", [2], initializer=tf1.zeros_initializer())
    loss = -tf.reduce_sum(a) - tf.reduce_sum(b)
    train_op = tf1.train.GradientDescentOptimizer(1.0).minimize(loss, tf1.train.get_global_step())
    hooks = hooks_from_params(params)
    if params.get("hook") is not None:
        hooks += (VariableRecoverHook(params["hook"], {"A": b}),)
    scaffold = recover_scaffold(params["scaffold"], {"A": b}) if params.get("scaffold") else None
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, training_hooks=hooks, scaffold=scaffold)


def by_hook(old, new_dir):
    return tf.estimator.Estimator(model_fn, new_dir, params={"hook": old})


def by_scaffold(old, new_dir):
    return tf.estimator.Estimator(model_fn, new_dir, params={"scaffold": old})


def by_params(old, new_dir):
    params = json.loads(json.dumps({"warm_start": {"ckp_dir": old, "recover_vars": {"A": "B"}}}))
    return tf.estimator.Estimator(model_fn, new_dir, params=params)


def by_settings(old, new_dir):
    return tf.estimator.Estimator(model_fn, new_dir, params={}, warm_start_from=warm_start_settings(old, {"A": "B"}))


def by_wrapper(old, new_dir):
    return warm_started(tf.estimator.Estimator(model_fn, new_dir, params={}), old, {"A": "B"})


@pytest.mark.parametrize("way", [by_hook, by_scaffold, by_params, by_settings, by_wrapper])
def test_new_a_keeps_its_initialization_and_new_b_has_old_a(way, old_dir, tmp_path):
    save_checkpoint(old_dir, {"A": np.float32([3, 4])})
    new_dir = str(tmp_path / "new")
    way(str(old_dir), new_dir).train(lambda: tf.data.Dataset.from_tensors(({"x": [0.0]}, [0.0])), steps=1)
    assert tf.train.load_variable(new_dir + "/model.ckpt-0", "A").tolist() == [7, 7]
    assert tf.train.load_variable(new_dir + "/model.ckpt-0", "B").tolist() == [3, 4]
