"""A kernel whose input axis was cropped or padded by default is a warning; a table whose rows were is none."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_keras_2, save_checkpoint
from estimator_warmstart import ShapeAdaptingRecoverHook, adapters, format_report, plan_recovery
from estimator_warmstart.graph.kernels import input_axes
from estimator_warmstart.graph.variables import logical_variables

tf1 = tf.compat.v1


def weights(*shape, name="kernel", **options):
    return tf1.get_variable(name, list(shape), initializer=tf1.zeros_initializer(), **options)


def lookup(table):
    return tf.nn.embedding_lookup(table, tf.constant([1]))


USES = {
    "matmul": (lambda: tf.matmul(tf.ones([1, 4]), weights(4, 3)), {0}),
    "matmul of a reference": (lambda: tf.matmul(tf.ones([1, 4]), weights(4, 3, use_resource=False)), {0}),
    "matmul of a resource": (lambda: tf.matmul(tf.ones([1, 4]), weights(4, 3, use_resource=True)), {0}),
    "matmul from the left": (lambda: tf.matmul(weights(4, 3), tf.ones([3, 1])), {1}),
    "matmul transposed": (lambda: tf.matmul(tf.ones([1, 3]), weights(4, 3), transpose_b=True), {1}),
    "matmul of parts": (
        lambda: tf.matmul(tf.ones([1, 4]), tf.convert_to_tensor(weights(4, 3, partitioner=tf1.fixed_size_partitioner(2)))),
        {0},
    ),
    "batches": (lambda: tf.matmul(tf.ones([2, 1, 4]), weights(2, 4, 3)), {1}),
    "dense": (lambda: tf1.layers.dense(tf.ones([1, 4]), 3), {0}),
    "dense of three axes": (lambda: tf1.layers.dense(tf.ones([1, 2, 4]), 3), {0}),
    "convolution": (lambda: tf1.layers.conv2d(tf.ones([1, 5, 5, 4]), 3, 2), {2}),
    "convolution of one axis": (lambda: tf1.layers.conv1d(tf.ones([1, 5, 4]), 3, 2), {1}),
    "transposed convolution": (lambda: tf1.layers.conv2d_transpose(tf.ones([1, 5, 5, 4]), 3, 2), {3}),
    "scaled": (lambda: tf.matmul(tf.ones([1, 4]), weights(4, 3) * 2.0), {0}),
    "lookup": (lambda: lookup(weights(4, 3)), set()),
    "lookup of parts": (lambda: lookup(weights(4, 3, partitioner=tf1.fixed_size_partitioner(2))), set()),
    "lookup and logits": (lambda: tf.matmul(lookup(weights(4, 3)), weights(4, 3), transpose_b=True), set()),
    "ids": (lambda: tf.matmul(tf.one_hot([1], 4), weights(4, 3)), set()),
    "sparse ids": (
        lambda: tf.sparse.sparse_dense_matmul(tf.sparse.SparseTensor([[0, 1]], [1.0], [1, 4]), weights(4, 3)),
        set(),
    ),
    "a vector": (lambda: weights(4) * 2.0, set()),
    "nothing": (lambda: weights(4, 3), set()),
}
# `tf.compat.v1.layers` are Keras 2's.
LAYERS = ("dense", "dense of three axes", "convolution", "convolution of one axis", "transposed convolution")


@pytest.mark.parametrize("trained", [False, True], ids=["", "trained"])
@pytest.mark.parametrize("use", [pytest.param(use, marks=needs_keras_2 if use in LAYERS else ()) for use in USES])
def test_input_axes(new_graph, use, trained):
    make, axes = USES[use]
    with tf1.variable_scope("m", reuse=tf1.AUTO_REUSE):
        made = make()
    if trained and use != "nothing":
        tf1.train.AdagradOptimizer(0.1).minimize(tf.reduce_sum(made))
    kernel = next(new for name, new in logical_variables(new_graph).items() if name.endswith("kernel"))
    assert input_axes(kernel) == axes


@pytest.mark.parametrize("equation, axes", [("ab,bc->ac", {0}), ("ab,cb->ac", {1}), ("...b,bc->...c", {0})])
def test_input_axes_of_einsum(new_graph, equation, axes):
    if axes == {1} and not tf.__version__.startswith("2"):
        pytest.skip("1.15's einsum transposes before it multiplies")
    kernel = weights(*((4, 3) if 0 in axes else (3, 4)))
    tf.einsum(equation, tf.ones([2, 4]), kernel)
    assert input_axes(logical_variables(new_graph)["kernel"]) == axes


def test_input_axes_of_recurrent_kernels(new_graph):
    tf.keras.layers.LSTM(3)(tf.ones([2, 5, 4]))
    found = [input_axes(new) for new in logical_variables(new_graph).values() if len(new.shape) == 2]
    assert found == [{0}, {0}]


@pytest.mark.parametrize("name, axes", [("kernel", {0}), ("embeddings", set())])
@pytest.mark.skipif(not tf.__version__.startswith("2"), reason="functions capture resources")
def test_input_axes_where_a_function_uses_it(new_graph, name, axes):
    table = weights(4, 3, name=name, use_resource=True)
    tf.function(lambda: tf.reduce_sum(table))()
    assert input_axes(logical_variables(new_graph)[name]) == axes


@pytest.fixture
def census(old_dir, new_graph):
    """An embedding that grew from 2 to 3 columns, in front of a dense layer with a numeric column: [5 + ids], [3, 1]."""
    save_checkpoint(
        old_dir,
        {
            "embeddings": np.zeros([5, 2], np.float32),
            "dense/kernel": np.float32([[1], [2], [3]]),
            "dense/bias": np.zeros(1, np.float32),
        },
    )
    rows = tf.nn.embedding_lookup(weights(6, 3, name="embeddings"), tf.constant([1]))
    kernel, bias = weights(4, 1, name="dense/kernel"), weights(1, name="dense/bias")
    made = tf.matmul(tf.concat([rows, tf.ones([1, 1])], 1), kernel) + bias
    tf1.train.AdagradOptimizer(0.1).minimize(tf.reduce_sum(made))
    return str(old_dir)


def is_the_warning(text):
    return text.startswith("the input axis of 'dense/kernel' (3 -> 4 on axis 0) has another length") and all(
        way_out in text
        for way_out in (
            "adapters.remap_segments(old_widths, new_widths)",
            "adapters.remap_feature_columns(old_columns, new_columns)",
            "adapters.crop_or_pad()",
        )
    )


class TestWarning:
    def test_of_the_kernel_and_not_of_the_table(self, census):
        plan = plan_recovery(census, adapters={})
        assert [is_the_warning(warning) for warning in plan.warnings] == [True]
        assert f"Warning: {plan.warnings[0]}" in format_report(plan).split("\n")

    @pytest.mark.parametrize(
        "adapter",
        [
            adapters.remap_segments({"a": 2, "x": 1}, {"a": 3, "x": 1}),
            adapters.crop_or_pad(),
        ],
        ids=str,
    )
    def test_not_of_a_named_adapter(self, census, adapter):
        assert plan_recovery(census, adapters={"dense/kernel": adapter}).warnings == ()

    def test_is_logged_by_a_training(self, census, caplog):
        with tf1.train.MonitoredTrainingSession(hooks=[ShapeAdaptingRecoverHook(census)]):
            pass
        records = [record for record in caplog.records if "input axis" in record.getMessage()]
        assert [(record.levelno, is_the_warning(record.getMessage())) for record in records] == [(logging.WARNING, True)]
