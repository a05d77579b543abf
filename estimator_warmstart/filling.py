"""What stands where there is no old value: initial values, numbers, means.

Enters: a fill, and what it is a fill of. Leaves: tensors. This module must not know how positions are mapped.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.axis_maps import Fill
from estimator_warmstart.initial_values import draw_initial


def new_values(fill: Fill, shape: Any, initial: Any, place: Any, axis: int) -> Any:
    """New values of `shape` for the positions `place` of `axis`."""
    if fill != "initial":
        return tf.fill(shape, constant_of(fill, initial.dtype))
    drawn = draw_initial(initial, shape)
    return tf.gather(initial, place, axis=axis) if drawn is None else drawn


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
