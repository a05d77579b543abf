"""What stands where there is no old value: initial values, numbers, means, what an initializer makes.

Enters: a fill, and what it is a fill of. Leaves: tensors. This module must not know of old values.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence, Tuple

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.axis_map import AxisMap, Fill, Filled, Joined
from estimator_warmstart.graph.initial_values import call_initializer, draw_initial


def new_values(fill: Fill, shape: Any, initial: Any, place: Any, axis: int) -> Any:
    """New values of `shape` for the positions `place` of `axis`."""
    if callable(fill):
        return from_initializer(fill, shape, initial.dtype, place, axis, initial.shape.as_list())
    if fill != "initial":
        return tf.fill(shape, constant_of(fill, initial.dtype))
    drawn = draw_initial(initial, shape)
    return tf.gather(initial, place, axis=axis) if drawn is None else drawn


def from_initializer(
    initializer: Callable[..., Any], shape: Any, dtype: Any, place: Any, axis: int, whole_shape: Sequence[int]
) -> Any:
    """What `initializer` makes for the positions `place` of `axis` in a tensor of `whole_shape`; `shape` is of these alone."""
    static = tf.get_static_value(shape)
    try:
        return call_initializer(initializer, shape if static is None else static.tolist(), dtype)
    except Exception:  # Whatever it raises at a shape that is a tensor.
        if static is not None:
            raise
        return tf.gather(call_initializer(initializer, list(whole_shape), dtype), place, axis=axis)


def constant_of(fill: Fill, dtype: Any) -> Any:
    """A scalar of `dtype`, as exact as that is."""
    # The mean of no rows at all: nothing to take it of.
    return tf.constant(np.asarray(0 if fill in ("zeros", "mean") else fill).astype(dtype.as_numpy_dtype), dtype)


def mean_along(value: Any, axis: int) -> Any:
    """The mean along `axis`, that axis kept with length 1; integers are rounded to the nearest."""
    if value.shape.as_list()[axis] == 0:
        return tf.zeros([1 if other == axis else length for other, length in enumerate(value.shape.as_list())], value.dtype)
    if value.dtype.is_floating or value.dtype.is_complex:
        exact = tf.cast(value, tf.float32) if value.dtype.size < 4 else value
        return tf.cast(tf.reduce_mean(exact, axis, keepdims=True), value.dtype)
    return tf.cast(tf.round(tf.reduce_mean(tf.cast(value, tf.float64), axis, keepdims=True)), value.dtype)


def where(condition: Any, positive: Any, negative: Any) -> Any:
    """`positive` where `condition` is true, else `negative`, all of them broadcast."""
    return tf.compat.v2.where(condition, positive, negative)


def known_count(axis_map: AxisMap, fill: Fill) -> Optional[int]:
    """How many positions take `fill`; `None` where that is known at run time only."""
    if any(isinstance(segment, Joined) for segment in axis_map):
        return None
    return sum(segment.length for segment in axis_map if isinstance(segment, Filled) and segment.fill == fill)


def with_drawn(value: Any, index: Any, axis: int, initializer: Callable[..., Any], code: int) -> Tuple[Any, Any]:
    """`value` with what an initializer makes for the positions with `code` behind it, and the index that points there."""
    value = not_empty(value, axis)
    is_new = tf.equal(index, tf.constant(code, index.dtype))
    place = tf.reshape(tf.where(is_new), [-1])
    lengths = value.shape.as_list()
    whole = lengths[:axis] + index.shape.as_list() + lengths[axis + 1 :]
    shape = tf.concat([tf.shape(value)[:axis], tf.shape(place), tf.shape(value)[axis + 1 :]], 0)
    drawn = from_initializer(initializer, shape, value.dtype, place, axis, whole)
    behind = tf.shape(value, out_type=tf.int64)[axis] + tf.cumsum(tf.cast(is_new, tf.int64)) - 1
    return tf.concat([value, drawn], axis), where(is_new, behind, index)


def not_empty(value: Any, axis: int) -> Any:
    """`value` with at least one position on `axis`."""
    if value.shape.as_list()[axis] == 0:  # There is nothing to point at, and yet something must be.
        value = tf.pad(value, [[0, int(other == axis)] for other in range(value.shape.rank)])
    return value
