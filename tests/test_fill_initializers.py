"""Initializers as the fill of what is new: what they are asked for, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import ShapeAdaptingRecoverHook, WarmStartError, adapters

tf1 = tf.compat.v1

OLD = np.float32([[1, 2], [3, 4], [5, 6]])
SLOT = OLD * 10


class Counting:
    """Makes ones, and keeps what shapes it was asked for; `None` for a length that is known at run time only."""

    def __init__(self):
        self.asked = []

    def __call__(self, shape, dtype=None):
        self.asked.append(shape if isinstance(shape, list) else "tensor")
        return tf.ones(shape, dtype)


class NeedsList(Counting):
    """Counts in Python: takes no tensor for a shape."""

    def __call__(self, shape, dtype=None):
        self.asked.append([int(length) for length in shape])
        return tf.reshape(tf.range(int(np.prod(shape)), dtype=dtype), shape) + 100


@pytest.fixture
def grown(old_dir, new_graph):
    """Recovers v [3, 2] and its Adagrad slot by an adapter; returns v, the slot, and the new slot's graph."""

    def run(adapter, shape, parts=None):
        save_checkpoint(old_dir, {"v": OLD, "v/Adagrad": SLOT})
        partitioner = tf1.fixed_size_partitioner(parts) if parts else None
        v = tf1.get_variable("v", shape, initializer=tf1.constant_initializer(-1.0), partitioner=partitioner)
        tf1.train.AdagradOptimizer(0.1, initial_accumulator_value=0.5).minimize(tf.reduce_sum(tf.convert_to_tensor(v)))
        slots = [each for each in tf1.global_variables() if "Adagrad" in each.name]
        with tf1.train.MonitoredSession(hooks=[ShapeAdaptingRecoverHook(str(old_dir), None, {v: adapter})]) as session:
            return np.concatenate(session.run(list(v) if parts else [v])), np.concatenate(session.run(slots))

    return run


@pytest.mark.parametrize(
    "adapter, shape, expected, asked",
    [
        pytest.param(
            lambda fill: adapters.crop_or_pad(fill), [5, 2], [[1, 2], [3, 4], [5, 6], [1, 1], [1, 1]], [2, 2], id="rows"
        ),
        pytest.param(
            lambda fill: adapters.crop_or_pad(fill), [3, 4], [[1, 2, 1, 1], [3, 4, 1, 1], [5, 6, 1, 1]], [3, 2], id="columns"
        ),
        pytest.param(
            lambda fill: adapters.remap_segments({"x": 1, "y": 2}, {"y": 2, "z": 1, "x": 2}, fill=fill),
            [5, 2],
            [[3, 4], [5, 6], [1, 1], [1, 2], [1, 1]],
            [2, 2],
            id="segments",
        ),
        pytest.param(
            lambda fill: adapters.remap_rows(list("abc"), list("xcya"), fill=fill),
            [4, 2],
            [[1, 1], [5, 6], [1, 1], [1, 2]],
            "tensor",
            id="tokens",
        ),
        pytest.param(
            lambda fill: [adapters.take(np.s_[::-1]), adapters.crop_or_pad(fill)],
            [4, 2],
            [[5, 6], [3, 4], [1, 2], [1, 1]],
            [1, 2],
            id="reversed",
        ),
    ],
)
def test_makes_the_new_positions_only(grown, adapter, shape, expected, asked):
    fill = Counting()
    value, slot = grown(adapter(fill), shape)
    assert value.tolist() == expected
    assert fill.asked == [shape, asked]  # The first is the check while planning, in a graph of its own.
    is_old = value != 1
    is_old[(value == 1) & (slot == 10)] = True  # The old v has one 1 itself.
    assert slot[is_old].tolist() == (value[is_old] * 10).tolist() and set(slot[~is_old].tolist()) == {0.5}


def test_rows_and_columns(grown):
    value, slot = grown(adapters.crop_or_pad(tf1.constant_initializer(7.0)), [4, 3])
    assert value.tolist() == [[1, 2, 7], [3, 4, 7], [5, 6, 7], [7, 7, 7]]
    assert slot.tolist() == [[10, 20, 0.5], [30, 40, 0.5], [50, 60, 0.5], [0.5, 0.5, 0.5]]


def test_each_part_is_asked_for_its_own_rows(grown):
    fill = Counting()
    value, _ = grown(adapters.crop_or_pad(fill), [9, 2], parts=3)
    assert value.tolist() == OLD.tolist() + [[1, 1]] * 6
    assert fill.asked == [[9, 2], [3, 2], [3, 2]]


def test_one_that_takes_no_tensor_makes_the_whole_part(grown):
    value, _ = grown(adapters.remap_rows(list("abc"), list("xcya"), fill=NeedsList()), [4, 2])
    assert value.tolist() == [[100, 101], [5, 6], [104, 105], [1, 2]]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: tf1.random_uniform_initializer(2.0, 3.0, seed=4), id="v1"),
        pytest.param(lambda: tf.random_uniform_initializer(2.0, 3.0, seed=4), id="of this TensorFlow"),
        pytest.param(lambda: tf.keras.initializers.RandomUniform(2.0, 3.0, seed=4), id="Keras"),
    ],
)
@pytest.mark.parametrize("tokens", [False, True], ids=["rows", "tokens"])
def test_tensorflows_own(grown, make, tokens):
    adapter = adapters.remap_rows(list("abc"), list("abcx"), fill=make()) if tokens else adapters.crop_or_pad(make())
    value, _ = grown(adapter, [4, 2])
    assert value[:3].tolist() == OLD.tolist() and ((value[3] >= 2) & (value[3] < 3)).all() and value[3][0] != value[3][1]


def test_one_that_scales_by_the_shape(grown):
    value, _ = grown(adapters.remap_rows(list("abc"), list("abcx"), fill=tf1.glorot_uniform_initializer()), [4, 2])
    assert value[:3].tolist() == OLD.tolist() and (np.abs(value[3]) <= np.sqrt(6 / 3)).all()


def test_a_keras_initializer_without_a_seed_draws_for_each_part(grown):
    value, _ = grown(adapters.crop_or_pad(tf.keras.initializers.RandomNormal()), [9, 2], parts=3)
    assert len(set(value[3:].ravel().tolist())) == 12


@pytest.mark.parametrize(
    "fill, words",
    [
        pytest.param(lambda shape, dtype=None: tf.zeros(shape, tf.float64), ["made float64 (4, 2) where float32"], id="dtype"),
        pytest.param(lambda shape, dtype=None: tf.zeros([7], dtype), ["made float32 (7,) where float32 [4, 2] is"], id="shape"),
        pytest.param(lambda: 3, ["raised TypeError"], id="no initializer"),
    ],
)
def test_what_it_cannot_make_is_said_by_the_plan(grown, fill, words):
    with pytest.raises(WarmStartError) as caught:
        grown(adapters.crop_or_pad(fill), [4, 2])
    for word in ["cannot turn the old 'v' [3, 2] into the new 'v' [4, 2]: the initializer <lambda>"] + words:
        assert word in str(caught.value)


def test_a_class_of_initializers(grown):
    with pytest.raises(WarmStartError, match=r"fill: Zeros is a class; give an initializer of it: Zeros\(\)"):
        adapters.crop_or_pad(tf1.zeros_initializer)


class TestAPartitionedVariableAsAKey:
    @pytest.mark.parametrize(
        "key",
        [
            pytest.param(lambda v: v, id="itself"),
            pytest.param(lambda v: list(v)[-1], id="a part"),
            pytest.param(lambda v: "v", id="its name"),
        ],
    )
    @pytest.mark.parametrize("parts", [1, 2])
    def test_names_the_whole(self, old_dir, new_graph, key, parts):
        save_checkpoint(old_dir, {"v": OLD})
        v = tf1.get_variable("v", [4, 2], initializer=tf1.zeros_initializer(), partitioner=tf1.fixed_size_partitioner(parts))
        hook = ShapeAdaptingRecoverHook(str(old_dir), None, {key(v): adapters.crop_or_pad(7.0)})
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            assert np.concatenate(session.run(list(v))).tolist() == OLD.tolist() + [[7, 7]]
