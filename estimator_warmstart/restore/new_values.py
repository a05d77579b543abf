"""Tensors for positions that have no old value: initial values, numbers, means, and what an initializer makes."""

from __future__ import annotations

import functools
from typing import Callable, Optional, Sequence, Tuple

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.axis_map import Averaged, AxisMap, Fill, Filled, Kept, Remapped
from estimator_warmstart.graph.initial_values import call_initializer, draw_initial


def fill_tensor(fill: Fill, shape: tf.Tensor, initial: tf.Tensor, place: tf.Tensor, axis: int) -> tf.Tensor:
    """Returns new values of `shape` for the positions `place` of `axis`; `fill` is not `"mean"`."""
    if callable(fill):
        return from_initializer(fill, shape, initial.dtype, place, axis, initial.shape.as_list())
    if fill != "initial":
        return tf.fill(shape, fill_constant(fill, initial.dtype))
    drawn = draw_initial(initial, shape)
    return tf.gather(initial, place, axis=axis) if drawn is None else drawn


def from_initializer(
    initializer: Callable[..., tf.Tensor],
    shape: tf.Tensor,
    dtype: tf.DType,
    place: Optional[tf.Tensor],
    axis: int,
    whole_shape: Sequence[int],
) -> tf.Tensor:
    """Returns what `initializer` makes for the positions `place` of `axis` in a tensor of `whole_shape`.

    `shape` is the shape of these positions alone. An initializer that takes no shape tensor makes the whole.
    """
    static = tf.get_static_value(shape)
    try:
        return call_initializer(initializer, shape if static is None else static.tolist(), dtype)
    except Exception:  # Whatever it raises at a shape that is a tensor.
        if static is not None:
            raise
        return tf.gather(call_initializer(initializer, list(whole_shape), dtype), place, axis=axis)


def fill_constant(fill: Fill, dtype: tf.DType) -> tf.Tensor:
    """Returns a fill as a scalar, as exact as `dtype` is."""
    # The mean of no rows at all is 0.
    return tf.constant(np.asarray(0 if fill in ("zeros", "mean") else fill).astype(dtype.as_numpy_dtype), dtype)


def mean_along(value: tf.Tensor, axis: int) -> tf.Tensor:
    """Returns the mean along `axis`, that axis kept with length 1; integers are rounded to the nearest."""
    if value.shape.as_list()[axis] == 0:
        return tf.zeros([1 if other == axis else length for other, length in enumerate(value.shape.as_list())], value.dtype)
    if value.dtype.is_floating or value.dtype.is_complex:
        exact = tf.cast(value, tf.float32) if value.dtype.size < 4 else value
        return tf.cast(tf.reduce_mean(exact, axis, keepdims=True), value.dtype)
    return tf.cast(tf.round(tf.reduce_mean(tf.cast(value, tf.float64), axis, keepdims=True)), value.dtype)


def mean_of_runs(value: tf.Tensor, axis: int, averaged: Averaged) -> tf.Tensor:
    """Returns the means of `averaged`, by whole runs; integers are rounded to the nearest."""
    exact = _mean_dtype(value.dtype)
    total = functools.reduce(_added, [tf.cast(kept_run(value, axis, run), exact) for run in averaged.runs])
    return _rounded(_divided(total, tf.cast(len(averaged.runs), exact)), value.dtype)


def mean_of_positions(value: tf.Tensor, axis: int, axis_map: AxisMap) -> tf.Tensor:
    """Returns the means of all `Averaged` among `axis_map`, one after the other on `axis`, by one gather."""
    rows = [
        [run.start + run.step * number for run in segment.runs]
        for segment in axis_map
        if isinstance(segment, Averaged)
        for number in range(segment.length)
    ]
    exact = _mean_dtype(value.dtype)
    taken = tf.gather(value, np.concatenate(rows).astype(np.int64), axis=axis)
    first = [axis] + [other for other in range(value.shape.rank) if other != axis]
    owners = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    # The unsorted sum, since it adds up one after the other.
    total = tf.math.unsorted_segment_sum(tf.transpose(tf.cast(taken, exact), first), owners, len(rows))
    counts = np.reshape([len(row) for row in rows], [-1] + [1] * (value.shape.rank - 1))
    return _rounded(tf.transpose(_divided(total, tf.cast(counts, exact)), np.argsort(first)), value.dtype)


def _added(total: tf.Tensor, run: tf.Tensor) -> tf.Tensor:
    # Grappler makes one operation of a chain of additions, in an order of its own; not of these.
    return tf.tensor_scatter_nd_add(total[tf.newaxis], [[0]], run[tf.newaxis])[0]


def _divided(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    # Grappler makes a division by a constant a multiplication by its reciprocal, which has other bits; not of this one.
    return tf.math.divide_no_nan(total, count)


def _mean_dtype(dtype: tf.DType) -> tf.DType:
    if not (dtype.is_floating or dtype.is_complex):
        return tf.float64
    return tf.float32 if dtype.size < 4 else dtype


def _rounded(mean: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.cast(mean if dtype.is_floating or dtype.is_complex else tf.round(mean), dtype)


def kept_run(value: tf.Tensor, axis: int, run: Kept) -> tf.Tensor:
    """Returns the positions of `run` on `axis`."""
    stop: Optional[int] = run.start + run.step * run.length
    # A negative stop would count from the end.
    stop = None if stop is not None and stop < 0 else stop
    return value[(slice(None),) * axis + (slice(run.start, stop, run.step),)]


def where(condition: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """Returns `positive` where `condition` is true, else `negative`, all of them broadcast."""
    return tf.compat.v2.where(condition, positive, negative)


def count_filled(axis_map: AxisMap, fill: Fill) -> Optional[int]:
    """Returns how many positions take `fill`; `None` where that is known at run time only."""
    if any(isinstance(segment, Remapped) for segment in axis_map):
        return None
    return sum(segment.length for segment in axis_map if isinstance(segment, Filled) and segment.fill == fill)


def with_drawn(
    value: tf.Tensor, index: tf.Tensor, axis: int, initializer: Callable[..., tf.Tensor], code: int
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns `value` with what an initializer makes for positions of `code` behind it, and an index that points there."""
    value = not_empty(value, axis)
    place = tf.reshape(tf.where(tf.equal(index, tf.constant(code, index.dtype))), [-1])
    lengths = value.shape.as_list()
    whole = lengths[:axis] + index.shape.as_list() + lengths[axis + 1 :]
    shape = tf.concat([tf.shape(value)[:axis], tf.shape(place), tf.shape(value)[axis + 1 :]], 0)
    drawn = from_initializer(initializer, shape, value.dtype, place, axis, whole)
    return _with_rows_behind(value, index, axis, drawn, code)


def with_means(value: tf.Tensor, index: tf.Tensor, axis: int, axis_map: AxisMap, code: int) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns `value` with the means of `axis_map` behind it, and an index that points there where it has `code`."""
    return _with_rows_behind(value, index, axis, mean_of_positions(value, axis, axis_map), code)


def _with_rows_behind(value: tf.Tensor, index: tf.Tensor, axis: int, rows: tf.Tensor, code: int) -> Tuple[tf.Tensor, tf.Tensor]:
    is_new = tf.equal(index, tf.constant(code, index.dtype))
    behind = tf.shape(value, out_type=tf.int64)[axis] + tf.cumsum(tf.cast(is_new, tf.int64)) - 1
    return tf.concat([value, rows], axis), where(is_new, behind, index)


def not_empty(value: tf.Tensor, axis: int) -> tf.Tensor:
    """Returns `value` with at least one position on `axis`."""
    if value.shape.as_list()[axis] == 0:  # There is nothing to point at, and yet something must be.
        value = tf.pad(value, [[0, int(other == axis)] for other in range(value.shape.rank)])
    return value
