"""`convert_checkpoint(model=..., optimizer=...)`: old values in a model's object paths, TensorFlow 1's slots in Keras's."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_keras_2, needs_keras_3, save_checkpoint
from estimator_warmstart.convert.convert import convert_checkpoint
from estimator_warmstart.errors import WarmStartError

tf1 = tf.compat.v1
old_optimizers = tf1.train

FEATURES = np.float32([[1, 2, 0], [0, -1, 3], [2, 0, 1], [-1, 1, 1]])
LABELS = np.float32([[1, 0], [0, 1], [-1, 2], [3, 1]])
KERNEL = np.float32([[1, -2], [0.5, 3], [-1, 0.25]])
KERAS = [tf.keras.optimizers] + ([tf.keras.optimizers.legacy] if hasattr(tf.keras.optimizers, "legacy") else [])


def train_old(folder, optimizer, steps=5, scope="", partitions=None):
    """Trains `dense` with an optimizer of TensorFlow 1 and saves it; returns the prefix and the weights one step later."""
    with tf.Graph().as_default(), tf1.Session() as session:
        step = tf1.train.get_or_create_global_step()
        partitioner = tf1.fixed_size_partitioner(partitions) if partitions else None
        kernel = tf1.get_variable("dense/kernel", initializer=tf.constant(KERNEL), partitioner=partitioner)
        bias = tf1.get_variable("dense/bias", [2], initializer=tf1.zeros_initializer())
        loss = tf.reduce_mean(tf1.squared_difference(tf.matmul(FEATURES, tf.convert_to_tensor(kernel)) + bias, LABELS))
        with tf1.variable_scope(scope):
            train = optimizer().minimize(loss, global_step=step)
        session.run(tf1.global_variables_initializer())
        for _ in range(steps):
            session.run(train)
        prefix = tf1.train.Saver().save(session, str(folder / "model.ckpt"), global_step=step)
        session.run(train)
        return prefix, session.run([tf.convert_to_tensor(kernel), bias])


def new_model(name="dense"):
    tf.keras.backend.clear_session()
    return tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(3,), name=name)])


def restore(prefix, **objects):
    status = tf.train.Checkpoint(**objects).restore(prefix)
    status.assert_consumed()
    if not tf.executing_eagerly():
        status.run_restore_ops(tf1.keras.backend.get_session())


OPTIMIZERS = {
    "Adam": (lambda: old_optimizers.AdamOptimizer(0.1), lambda keras: keras.Adam(0.1, epsilon=1e-8)),
    "Adagrad": (lambda: old_optimizers.AdagradOptimizer(0.1), lambda keras: keras.Adagrad(0.1)),
    "Ftrl": (lambda: old_optimizers.FtrlOptimizer(0.1), lambda keras: keras.Ftrl(0.1)),
    "Momentum": (lambda: old_optimizers.MomentumOptimizer(0.1, 0.9), lambda keras: keras.SGD(0.1, momentum=0.9)),
    "Nesterov": (
        lambda: old_optimizers.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
        lambda keras: keras.SGD(0.1, momentum=0.9, nesterov=True),
    ),
    "SGD": (lambda: old_optimizers.GradientDescentOptimizer(0.1), lambda keras: keras.SGD(0.1)),
    "RMSProp": (
        lambda: old_optimizers.RMSPropOptimizer(0.01, momentum=0.5),
        lambda keras: keras.RMSprop(0.01, momentum=0.5, epsilon=1e-10),
    ),
    "RMSProp without momentum": (
        lambda: old_optimizers.RMSPropOptimizer(0.01),
        lambda keras: keras.RMSprop(0.01, epsilon=1e-10),
    ),
    "centered RMSProp": (
        lambda: old_optimizers.RMSPropOptimizer(0.01, momentum=0.5, centered=True),
        lambda keras: keras.RMSprop(0.01, momentum=0.5, centered=True, epsilon=1e-10),
    ),
    "Adadelta": (
        lambda: old_optimizers.AdadeltaOptimizer(0.1, epsilon=0.01),
        lambda keras: keras.Adadelta(0.1, epsilon=0.01),
    ),
    "Momentum of a falling rate": (
        lambda: old_optimizers.MomentumOptimizer(tf1.train.exponential_decay(0.1, tf1.train.get_global_step(), 1, 0.5), 0.9),
        lambda keras: keras.SGD(tf.keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5), momentum=0.9),
    ),
}


@needs_keras_2
class TestOptimizers:
    @pytest.mark.parametrize("keras", KERAS, ids=["keras", "legacy"][: len(KERAS)])
    @pytest.mark.parametrize("name", list(OPTIMIZERS))
    def test_the_next_step_is_the_one_that_the_old_model_would_take(self, old_dir, tmp_path, name, keras):
        make_old, make_new = OPTIMIZERS[name]
        old, expected = train_old(old_dir, make_old)
        model, optimizer = new_model(), make_new(keras)
        new = convert_checkpoint(old, tmp_path / "new" / "model.ckpt", model=model, optimizer=optimizer)
        model.compile(optimizer, "mse")
        restore(new, model=model, optimizer=optimizer)
        model.train_on_batch(FEATURES, LABELS)
        for found, value in zip(model.get_weights(), expected):
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)
        assert int(tf.keras.backend.get_value(optimizer.iterations)) == 6

    @pytest.mark.parametrize("keras", KERAS, ids=["keras", "legacy"][: len(KERAS)])
    def test_a_decaying_legacy_rate(self, old_dir, tmp_path, keras):
        if "decay" not in keras.SGD().get_config():
            pytest.skip("this optimizer has no decay")
        old, expected = train_old(
            old_dir,
            lambda: old_optimizers.MomentumOptimizer(
                tf1.train.inverse_time_decay(0.1, tf1.train.get_global_step(), 1, 0.5), 0.9
            ),
        )
        model = new_model()
        config = dict(keras.SGD(0.1, momentum=0.9).get_config(), decay=0.5)
        model.compile(keras.SGD.from_config(config), "mse")
        restore(convert_checkpoint(old, tmp_path / "new" / "x", model=model, optimizer=model.optimizer), model=model)
        model.train_on_batch(FEATURES, LABELS)
        for found, value in zip(model.get_weights(), expected):
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("scope, partitions", [("training", None), ("", 2)], ids=["in a scope", "in slices"])
    def test_slots(self, old_dir, tmp_path, scope, partitions):
        old, expected = train_old(old_dir, OPTIMIZERS["Momentum"][0], scope=scope, partitions=partitions)
        model, optimizer = new_model(), OPTIMIZERS["Momentum"][1](tf.keras.optimizers)
        model.compile(optimizer, "mse")
        restore(convert_checkpoint(old, tmp_path / "new" / "x", model=model, optimizer=optimizer), model=model)
        model.train_on_batch(FEATURES, LABELS)
        for found, value in zip(model.get_weights(), expected):
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)

    def test_slots_of_an_optimizer_with_a_name_of_its_own(self, old_dir, tmp_path):
        old, _ = train_old(old_dir, lambda: old_optimizers.AdamOptimizer(name="Mine"))
        model = new_model()
        says = r"has no slot dense/bias/Adam for Adam's 'm'; of 'dense/bias' it has 'dense/bias/Mine', 'dense/bias/Mine_1'"
        with pytest.raises(WarmStartError, match=says):
            convert_checkpoint(old, tmp_path / "a" / "x", model=model, optimizer=tf.keras.optimizers.Adam())
        optimizer = tf.keras.optimizers.Adam(name="Mine")
        new = convert_checkpoint(old, tmp_path / "b" / "x", model=model, optimizer=optimizer)
        restore(new, model=model, optimizer=optimizer)

    def test_the_optimizer_keeps_its_own_hyperparameters(self, old_dir, tmp_path):
        old, _ = train_old(old_dir, OPTIMIZERS["Adagrad"][0])
        model, optimizer = new_model(), tf.keras.optimizers.Adagrad(0.025)
        restore(
            convert_checkpoint(old, tmp_path / "new" / "x", model=model, optimizer=optimizer), model=model, optimizer=optimizer
        )
        assert tf.keras.backend.get_value(optimizer.learning_rate) == np.float32(0.025)

    @pytest.mark.parametrize(
        "old, new, says",
        [
            ("centered RMSProp", lambda: tf.keras.optimizers.RMSprop(momentum=0.5), "make the optimizer with centered=True"),
            ("RMSProp", lambda: tf.keras.optimizers.RMSprop(centered=True, momentum=0.5), "has no slot .*/RMSProp_2"),
            ("Adam", lambda: tf.keras.optimizers.Adam(amsgrad=True), "'vhat' of 'dense/kernel' has no counterpart"),
            ("Adam", lambda: tf.keras.optimizers.Adagrad(), "has no slot dense/bias/Adagrad"),
            ("Adam", lambda: tf.keras.optimizers.Nadam(), "one of tf.keras.optimizers' Adadelta, Adagrad, Adam, Ftrl, RMSprop"),
            ("Adam", lambda: old_optimizers.AdamOptimizer(), "optimizer must be one of tf.keras.optimizers'"),
        ],
        ids=["was centered", "was not centered", "amsgrad", "another", "not one of the six", "of TensorFlow 1"],
    )
    def test_what_does_not_fit(self, old_dir, tmp_path, old, new, says):
        prefix, _ = train_old(old_dir, OPTIMIZERS[old][0])
        with pytest.raises(WarmStartError, match=says):
            convert_checkpoint(prefix, tmp_path / "new" / "x", model=new_model(), optimizer=new())
        assert not (tmp_path / "new").exists()

    def test_no_step(self, old_dir, tmp_path):
        old = save_checkpoint(old_dir, {"dense/kernel": KERNEL, "dense/bias": np.zeros(2, np.float32)})
        with pytest.raises(WarmStartError, match="has no 'global_step', which the optimizer's step is taken from"):
            convert_checkpoint(old, tmp_path / "new" / "x", model=new_model(), optimizer=tf.keras.optimizers.SGD())

    def test_a_step_of_32_bits(self, old_dir, tmp_path):
        old = save_checkpoint(
            old_dir, {"dense/kernel": KERNEL, "dense/bias": np.zeros(2, np.float32), "global_step": np.int32(7)}
        )
        model, optimizer = new_model(), tf.keras.optimizers.SGD()
        restore(
            convert_checkpoint(old, tmp_path / "new" / "x", model=model, optimizer=optimizer), model=model, optimizer=optimizer
        )
        assert int(tf.keras.backend.get_value(optimizer.iterations)) == 7

    def test_another_optimizer_than_the_model_was_compiled_with(self, old_dir, tmp_path):
        old, _ = train_old(old_dir, OPTIMIZERS["SGD"][0])
        model = new_model()
        model.compile("adam", "mse")
        with pytest.raises(WarmStartError, match="compiled with another optimizer"):
            convert_checkpoint(old, tmp_path / "new" / "x", model=model, optimizer=tf.keras.optimizers.SGD())


class Tables(tf.Module):
    """Variables in attributes, lists and dicts."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.w = self.made("fm/w", [2])
        self.layers = [self.made("tower/kernel", [1, 2])]
        self.by_name = {"a/b": self.made("a/b", [])}

    @staticmethod
    def made(name, shape):
        return tf.Variable(np.zeros(shape, np.float32), name=name)


TABLES = {"fm/w": np.float32([1, 2]), "tower/kernel": np.float32([[3, 4]]), "a/b": np.float32(5)}


class TestModel:
    @pytest.mark.parametrize("compiled", [False, True], ids=["not compiled", "compiled"])
    @needs_keras_2
    def test_keras_loads_the_weights(self, old_dir, tmp_path, compiled):
        old = save_checkpoint(old_dir, {"dense/kernel": KERNEL, "dense/bias": np.float32([7, 8]), "other": np.float32(1)})
        model = new_model()
        if compiled:
            model.compile("adam", "mse")
        before = model.get_weights()
        new = convert_checkpoint(old, tmp_path / "new" / "weights", model=model)
        for found, value in zip(model.get_weights(), before):
            np.testing.assert_array_equal(found, value)
        restore(new, model=model)
        np.testing.assert_array_equal(model.get_weights()[0], KERNEL)
        again = new_model()
        again.load_weights(new)
        np.testing.assert_array_equal(again.get_weights()[0], KERNEL)
        np.testing.assert_array_equal(again.get_weights()[1], [7, 8])

    def test_a_module(self, old_dir, tmp_path):
        old = save_checkpoint(old_dir, TABLES)
        with tf.Graph().as_default(), tf1.Session() as session:
            tables = Tables()
            session.run(tf1.global_variables_initializer())
            new = convert_checkpoint(old, tmp_path / "new" / "x", model=tables)
            tf.train.Checkpoint(model=tables).restore(new).assert_consumed().run_restore_ops()
            found = session.run([tables.w, tables.layers[0], tables.by_name["a/b"]])
        assert [value.tolist() for value in found] == [[1, 2], [[3, 4]], 5]
        assert "model/by_name/a.Sb/.ATTRIBUTES/VARIABLE_VALUE" in dict(tf.train.list_variables(new))

    def test_all_that_does_not_fit_is_told(self, old_dir, tmp_path):
        old = save_checkpoint(old_dir, {"fm/w": np.float32([1]), "towers/kernel": np.float32([[3, 4]]), "a/b": np.int32(5)})
        with tf.Graph().as_default(), tf1.Session() as session:
            tables = Tables()
            session.run(tf1.global_variables_initializer())
            with pytest.raises(WarmStartError) as raised:
                convert_checkpoint(old, tmp_path / "new" / "x", model=tables)
        assert len(raised.value.problems) == 3
        assert "has no 'tower/kernel' (did you mean 'towers/kernel'?)" in str(raised.value)
        assert "the old 'fm/w' is float32 [1], the new one float32 [2]" in str(raised.value)
        assert "the old 'a/b' is int32 [], the new one float32 []" in str(raised.value)
        assert not (tmp_path / "new").exists()

    def test_variables_of_a_graph_that_have_no_values(self, old_dir, tmp_path):
        old = save_checkpoint(old_dir, TABLES)
        with tf.Graph().as_default(), tf1.Session(), pytest.raises(WarmStartError, match="have no values yet; initialize"):
            convert_checkpoint(old, tmp_path / "new" / "x", model=Tables())
        assert not (tmp_path / "new").exists()

    @needs_keras_3
    def test_keras_3_loads_no_checkpoint(self, old_dir, tmp_path):
        old = save_checkpoint(old_dir, TABLES)
        with pytest.raises(WarmStartError, match=r"got <Sequential .*; Keras 3 loads no checkpoint: use recover_into"):
            convert_checkpoint(old, tmp_path / "new" / "x", model=tf.keras.Sequential([tf.keras.layers.Dense(2)], name="dense"))

    @needs_keras_2
    def test_a_keras_model_that_is_not_built(self, old_dir, tmp_path):
        old = save_checkpoint(old_dir, TABLES)
        with pytest.raises(WarmStartError, match="model has no variables yet; build it first"):
            convert_checkpoint(old, tmp_path / "new" / "x", model=tf.keras.Sequential([tf.keras.layers.Dense(2)]))
