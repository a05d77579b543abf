"""The book's case on its real checkpoint and on real digits: five hidden layers that were trained by someone else."""

import gzip

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator
from estimator_warmstart import VariableRecoverHook, match_variables, recover_variables

tf1 = tf.compat.v1

SIZES = {"hidden1": 300, "hidden2": 50, "hidden3": 50, "hidden4": 50, "hidden5": 50, "outputs": 10}


@pytest.fixture
def book(real_data_dir):
    """The prefix of the book's checkpoint."""
    return str(real_data_dir / "handson_ml" / "my_model_final.ckpt")


@pytest.fixture
def digits(real_data_dir):
    """The 10,000 test digits, [10000, 784] in 0..1, and what they are, [10000]."""
    folder = real_data_dir / "mnist"
    with gzip.open(str(folder / "t10k-images-idx3-ubyte.gz")) as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(10000, 784)
    with gzip.open(str(folder / "t10k-labels-idx1-ubyte.gz")) as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images.astype(np.float32) / 255, labels.astype(np.int32)


def in_numpy(book, images):
    """The logits of the old weights, [10000, 10], without any graph."""
    values = images
    for layer in SIZES:
        kernel, bias = (tf.train.load_variable(book, f"{layer}/{part}") for part in ("kernel", "bias"))
        values = values @ kernel + bias
        if layer != "outputs":
            values = np.maximum(values, 0)
    return values


def network(images, sizes=SIZES):
    """The book's model on a tensor of images: its logits."""
    values = images
    for layer, size in sizes.items():
        with tf1.variable_scope(layer):
            kernel = tf1.get_variable("kernel", [values.shape.as_list()[1], size])
            bias = tf1.get_variable("bias", [size], initializer=tf1.zeros_initializer())
        values = tf.matmul(values, kernel) + bias
        if layer != "outputs":
            values = tf.nn.relu(values)
    return values


def share_right(logits, labels):
    return np.mean(np.argmax(logits, axis=1) == labels)


ALL_LAYERS = {
    "by pattern": lambda book: match_variables(book, include=["hidden[12345]", "outputs"]),
    "by collection": lambda book: match_variables(book, collection=tf1.GraphKeys.TRAINABLE_VARIABLES),
    "by collection and scope": lambda book: match_variables(
        book, include=r"hidden\d|outputs", collection=tf1.GraphKeys.TRAINABLE_VARIABLES
    ),
    "by default": lambda book: None,
}


@pytest.mark.parametrize("choose", list(ALL_LAYERS.values()), ids=list(ALL_LAYERS))
def test_all_layers_score_what_the_old_weights_score(book, digits, new_graph, choose):
    images, labels = digits
    logits = network(tf1.placeholder(tf.float32, [None, 784], "images"))
    hook = VariableRecoverHook(ckp_dir=book, recover_vars=choose(book))
    with tf1.train.MonitoredSession(hooks=[hook]) as session:
        found = session.run(logits, {"images:0": images})
    assert share_right(found, labels) == 0.9557
    np.testing.assert_allclose(found, in_numpy(book, images), rtol=1e-3, atol=1e-3)
    assert hook.plan.coverage == 1.0
    assert len(hook.plan.recovered) == 12


def test_the_old_weights_are_the_ones_that_the_book_tells_of(book, digits):
    images, labels = digits
    assert share_right(in_numpy(book, images), labels) == 0.9557
    assert dict(tf.train.list_variables(book))["hidden1/kernel"] == [784, 300]


def test_cold_layers_know_nothing(digits, new_graph):
    images, labels = digits
    logits = network(tf1.placeholder(tf.float32, [None, 784], "images"))
    with tf1.train.MonitoredSession() as session:
        assert share_right(session.run(logits, {"images:0": images}), labels) < 0.5


def digits_model(book, smaller, recorded):
    """The book's transfer: hidden1 to hidden3 of the old model, then new layers; `recorded` takes the losses."""

    def model_fn(features, labels, mode):
        logits = network(features["image"], smaller)
        loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        train_op = tf1.train.MomentumOptimizer(0.02, 0.9).minimize(loss, tf1.train.get_global_step())
        hook = VariableRecoverHook(ckp_dir=book, recover_vars=match_variables(book, include="hidden[123]"))
        recorded.append(hook)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, training_hooks=[hook])

    return model_fn


class Losses(tf1.train.SessionRunHook):
    """Collects the loss of each step."""

    def __init__(self):
        self.values = []

    def before_run(self, run_context):
        return tf1.train.SessionRunArgs(run_context.session.graph.get_collection(tf1.GraphKeys.LOSSES)[0])

    def after_run(self, run_context, run_values):
        self.values.append(float(run_values.results))


@needs_estimator
def test_three_layers_train_on_below_a_smaller_fourth(book, digits, tmp_path):
    images, labels = digits
    smaller = {"hidden1": 300, "hidden2": 50, "hidden3": 50, "hidden4": 20, "outputs": 10}
    hooks, losses = [], Losses()
    estimator = tf.estimator.Estimator(
        digits_model(book, smaller, hooks), config=tf.estimator.RunConfig(str(tmp_path), tf_random_seed=1)
    )

    def input_fn():
        rows = tf.data.Dataset.from_tensor_slices(({"image": images[:5000]}, labels[:5000]))
        return rows.shuffle(5000, seed=1).repeat().batch(100)

    estimator.train(input_fn, steps=100, hooks=[losses])
    for layer in ("hidden1", "hidden2", "hidden3"):
        for part in ("kernel", "bias"):
            name = f"{layer}/{part}"
            old = tf.train.load_variable(book, name)
            assert (tf.train.load_variable(str(tmp_path / "model.ckpt-0"), name) == old).all()
    assert (estimator.get_variable_value("hidden1/kernel") != tf.train.load_variable(book, "hidden1/kernel")).any()
    assert estimator.get_variable_value("hidden4/kernel").shape == (50, 20)
    # Ten digits unknown to the new layers cost ln 10 = 2.3 each at first.
    assert losses.values[0] > 1.5
    assert np.mean(losses.values[-10:]) < losses.values[0] / 2
    left = [planned.new.name for planned in hooks[0].plan.variables if planned.old is None and planned.new.is_parameter]
    assert left == ["hidden4/kernel", "hidden4/bias", "outputs/kernel", "outputs/bias"]


def test_the_low_level_way(book, digits, new_graph):
    images, labels = digits
    logits = network(tf1.placeholder(tf.float32, [None, 784], "images"))
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        recover_variables(session, book)
        assert share_right(session.run(logits, {"images:0": images}), labels) == 0.9557
