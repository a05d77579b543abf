"""A few of a variable's initial values: of the right kind, and without drawing them all."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import ShapeAdaptingRecoverHook
from estimator_warmstart._tf import initializer_op
from estimator_warmstart.graph.initial_values import draw_initial
from shared_models import needed_by

tf1 = tf.compat.v1

FULL = [2000, 50]


def drawn(initializer, shape=(1000, 50), full=FULL, dtype=tf.float32):
    variable = tf1.get_variable("v", full, dtype=dtype, initializer=initializer)
    tensor = draw_initial(initializer_op(variable).inputs[1], list(shape))
    if tensor is None:
        return None
    assert tensor.dtype == dtype
    with tf1.Session() as session:
        value = session.run(tensor)
    assert value.shape == tuple(shape)
    return value


@pytest.mark.parametrize(
    "initializer, low, high, spread",
    [
        pytest.param(tf1.random_uniform_initializer(-2, 3), -2, 3, 5 / 12**0.5, id="uniform"),
        pytest.param(tf1.random_normal_initializer(1, 0.5), -3, 5, 0.5, id="normal"),
        # A normal cut at two deviations has 0.8796 of its spread.
        pytest.param(tf1.truncated_normal_initializer(1, 0.5), 0, 2, 0.5 * 0.8796, id="truncated normal"),
        pytest.param(tf1.glorot_uniform_initializer(), -0.0542, 0.0542, (2 / 2050) ** 0.5, id="glorot uniform"),
        pytest.param(tf1.glorot_normal_initializer(), -0.072, 0.072, (2 / 2050) ** 0.5, id="glorot normal"),
        pytest.param(tf1.variance_scaling_initializer(2.0, "fan_in"), -0.073, 0.073, (2 / 2000) ** 0.5, id="variance scaling"),
        pytest.param(tf1.uniform_unit_scaling_initializer(), -0.0388, 0.0388, 1 / 2000**0.5, id="unit scaling"),
    ],
)
def test_range_and_spread_are_those_of_the_whole(new_graph, initializer, low, high, spread):
    value = drawn(initializer)
    assert low <= value.min() and value.max() <= high
    assert value.std() == pytest.approx(spread, rel=0.03)
    assert value.mean() == pytest.approx((low + high) / 2, abs=0.03 * spread)
    assert len(np.unique(value)) > 0.9 * value.size


@pytest.mark.parametrize(
    "initializer, expected",
    [
        (tf1.zeros_initializer(), 0),
        (tf1.ones_initializer(), 1),
        (tf1.constant_initializer(0.1), 0.1),
    ],
    ids=["zeros", "ones", "constant"],
)
@pytest.mark.parametrize("full", [[3, 2], FULL, [50, 100]], ids=str)
@pytest.mark.parametrize("dtype", [tf.float16, tf.float32, tf.float64], ids=lambda dtype: dtype.name)
def test_constants(new_graph, initializer, expected, full, dtype):
    value = drawn(initializer, (4, 3), full, dtype)
    assert (value == dtype.as_numpy_dtype(expected)).all()


@pytest.mark.parametrize(
    "initializer",
    [
        pytest.param(tf1.constant_initializer(7), id="constant"),
        pytest.param(tf1.zeros_initializer(), id="zeros"),
    ],
)
@pytest.mark.parametrize("dtype", [tf.int32, tf.int64], ids=lambda dtype: dtype.name)
def test_integers(new_graph, initializer, dtype):
    assert drawn(initializer, (4, 3), [5, 3], dtype).tolist() in ([[7] * 3] * 4, [[0] * 3] * 4)


@pytest.mark.parametrize(
    "initializer",
    [
        pytest.param(tf1.keras.initializers.identity(), id="identity"),
        pytest.param(tf1.orthogonal_initializer(), id="orthogonal"),
        pytest.param(tf1.constant_initializer(np.arange(9).reshape(3, 3)), id="values"),
        pytest.param(lambda shape, dtype=None, partition_info=None: tf.reshape(tf.range(9.0), shape), id="range"),
        pytest.param(
            lambda shape, dtype=None, partition_info=None: tf.random.normal(shape) * tf.constant([1.0, 10.0, 100.0]),
            id="columns",
        ),
        pytest.param(lambda shape, dtype=None, partition_info=None: tf.zeros(shape) + tf.range(3.0), id="a row for all"),
        pytest.param(
            lambda shape, dtype=None, partition_info=None: tf.zeros(shape) + tf.random.normal([3]),
            id="a random row for all",
        ),
        pytest.param(lambda shape, dtype=None, partition_info=None: tf.cumsum(tf.ones(shape)), id="sums"),
    ],
)
def test_no_few_where_the_position_matters(new_graph, initializer):
    assert drawn(initializer, (2, 3), [3, 3]) is None


@pytest.mark.parametrize("parts", [None, 3])
@pytest.mark.parametrize(
    "initializer, random_op",
    [
        (tf1.truncated_normal_initializer(), "TruncatedNormal"),
        (tf1.random_uniform_initializer(), "RandomUniform"),
        (tf1.random_normal_initializer(), "RandomStandardNormal"),
        (tf1.glorot_uniform_initializer(), "RandomUniform"),
    ],
    ids=["truncated_normal", "uniform", "normal", "glorot"],
)
def test_a_grown_table_draws_its_new_rows_only(old_dir, new_graph, initializer, random_op, parts):
    save_checkpoint(old_dir, {"v": np.full([90, 4], 1000, np.float32)})
    partitioner = tf1.fixed_size_partitioner(parts) if parts else None
    v = tf1.get_variable("v", [99, 4], initializer=initializer, partitioner=partitioner)
    pieces = list(v) if parts else [v]
    whole_draws = {op for piece in pieces for op in needed_by(initializer_op(piece)) if op.type == random_op}
    assert len(whole_draws) == len(pieces)
    ShapeAdaptingRecoverHook(str(old_dir)).begin()
    draws = {op for piece in pieces for op in needed_by(initializer_op(piece)) if op.type == random_op}
    assert draws and not draws & whole_draws
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        value = np.concatenate(session.run(pieces))
        assert (value[:90] == 1000).all() and (np.abs(value[90:]) < 10).all() and len(np.unique(value[90:])) > 30
        assert sum(session.run(op.outputs[0]).size for op in draws) == 9 * 4
