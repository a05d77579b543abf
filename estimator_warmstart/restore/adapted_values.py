"""Builds the tensor of a resolved value: what is read from the old model, moved to where it belongs, and the rest filled in.

Memory decides how: next to the result, at most the old value is held. So new rows are put in place after the old value is done
with, and only as many initial values are drawn as are needed.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.axis_map import (
    Averaged,
    AxisMap,
    Fill,
    Filled,
    Kept,
    Segment,
    fills_of,
    has_means,
    has_remappings,
    is_identity_map,
)
from estimator_warmstart.adapters.resolved import ResolvedValue
from estimator_warmstart.adapters.transforms import Apply, MapAxis, Reshape, Transform
from estimator_warmstart.graph.initial_values import same_everywhere
from estimator_warmstart.restore.axis_indices import MEAN_CODE, AxisIndices, mean_positions
from estimator_warmstart.restore.new_values import (
    count_filled,
    fill_constant,
    fill_tensor,
    from_initializer,
    kept_run,
    mean_along,
    mean_of_positions,
    mean_of_runs,
    not_empty,
    where,
    with_drawn,
    with_means,
)
from estimator_warmstart.restore.value_transforms import apply_elementwise, apply_function
from estimator_warmstart.tensors import TensorSlice


def build_value(
    resolved: ResolvedValue,
    read_slice: Callable[[TensorSlice], tf.Tensor],
    read_scalar: Callable[[str], tf.Tensor],
    indices: AxisIndices,
    initial: tf.Tensor,
    is_slot: bool,
) -> tf.Tensor:
    """Builds the value of one part of a new variable.

    Args:
      resolved: what the part is made of.
      read_slice: makes a tensor of a slice of the old value.
      read_scalar: makes a tensor of another old variable, of shape [], that a transform names.
      indices: the index vectors that the values on one device share.
      initial: the part's own initial value.
      is_slot: whether the variable is an optimizer's slot.

    Returns:
      A tensor of `resolved.shape`.
    """
    if 0 in resolved.shape:
        return tf.zeros(resolved.shape, initial.dtype)
    if resolved.slice_to_read is None:
        return _fill_all(resolved, initial, indices)
    # The tables of remappings are gone before the value is there.
    with tf.control_dependencies([indices.of_remapping(remapping) for remapping in resolved.remappings]):
        value = read_slice(resolved.slice_to_read)
    for stage in resolved.whole_stages:
        value = _after_stage(stage, value, read_scalar, indices)
    for transform in resolved.elementwise:
        value = apply_elementwise(transform, value, read_scalar)
    value = _map_axes(resolved, value, initial, indices)
    if is_slot and resolved.pads_zeros:
        return where(tf.equal(value, tf.zeros([], value.dtype)), initial, value)
    return value


def _after_stage(
    stage: Transform, value: tf.Tensor, read_scalar: Callable[[str], tf.Tensor], indices: AxisIndices
) -> tf.Tensor:
    """Returns the whole value after one stage, which fills in no initial values."""
    if isinstance(stage, MapAxis):
        return _map_any_axis(value, stage.axis, stage.axis_map, indices)[0]
    if isinstance(stage, Reshape):
        return tf.reshape(value, stage.shape)
    return apply_function(stage, value) if isinstance(stage, Apply) else apply_elementwise(stage, value, read_scalar)


def _map_axes(resolved: ResolvedValue, value: tf.Tensor, initial: tf.Tensor, indices: AxisIndices) -> tf.Tensor:
    changed = resolved.changed_axes
    if not changed:
        return value
    if changed == (0,):
        return _map_rows(resolved, value, initial, indices)
    if len(changed) == 1 and not has_remappings(resolved.axis_maps[changed[0]]):
        return _join_runs(resolved, changed[0], value, initial)
    return _map_any_axes(value, resolved.axis_maps, initial, indices)


def _fill_all(resolved: ResolvedValue, initial: tf.Tensor, indices: AxisIndices) -> tf.Tensor:
    """Returns the value of a part that takes nothing old: a partition of new rows only."""
    fills, shape = resolved.fills, resolved.shape
    if fills == ("initial",):
        return tf.identity(initial)
    if len(fills) == 1 and callable(fills[0]):
        return from_initializer(fills[0], tf.constant(shape, tf.int32), initial.dtype, None, 0, shape)
    if len(fills) == 1:
        return tf.fill(shape, fill_constant(fills[0], initial.dtype))
    return _map_any_axes(tf.zeros(resolved.mapped_shape, initial.dtype), resolved.axis_maps, initial, indices)


def _map_rows(resolved: ResolvedValue, value: tf.Tensor, initial: tf.Tensor, indices: AxisIndices) -> tf.Tensor:
    """Axis 0 alone changes: moves the rows, lets go of the old value, then puts the new rows in place."""
    axis_map = resolved.axis_maps[0]
    if isinstance(axis_map[0], Kept) and axis_map[0].step == 1:
        if len(axis_map) == 1:
            return kept_run(value, 0, axis_map[0])
        if len(axis_map) == 2 and isinstance(axis_map[1], Filled):
            return _pad_rows(resolved, axis_map[0], axis_map[1], value, initial)
    if not has_remappings(axis_map) and (has_means(axis_map) or _are_whole_runs(axis_map)):
        return _join_runs(resolved, 0, value, initial)
    fills = fills_of(axis_map)
    means = {fill: mean_along(value, 0) for fill in fills if fill == "mean"}
    index = indices.of(axis_map, fills)
    moved = _gather_positions(value, index, 0)
    if has_means(axis_map):
        rows = mean_of_positions(value, 0, axis_map)
        moved = tf.tensor_scatter_nd_update(moved, mean_positions(axis_map)[:, np.newaxis], rows)
    for code, fill in enumerate(fills):
        place = tf.reshape(tf.where(tf.equal(index, -1 - code)), [-1])
        place.set_shape([count_filled(axis_map, fill)])
        with tf.control_dependencies([moved]):
            shape = tf.concat([tf.shape(place), tf.constant(resolved.shape[1:], tf.int32)], 0)
        rows = tf.broadcast_to(means[fill], shape) if fill in means else fill_tensor(fill, shape, initial, place, 0)
        moved = tf.tensor_scatter_nd_update(moved, place[:, tf.newaxis], rows)
    return moved


def _are_whole_runs(axis_map: AxisMap) -> bool:
    """Whether `axis_map` copies runs of rows, each in one piece. No index of rows is in memory then."""
    return all(isinstance(segment, Kept) and segment.step == 1 for segment in axis_map)


def _join_runs(resolved: ResolvedValue, axis: int, value: tf.Tensor, initial: tf.Tensor) -> tf.Tensor:
    """One axis changes, by runs known beforehand: puts kept runs and new ones side by side."""
    axis_map, position = resolved.axis_maps[axis], 0
    places: Dict[Fill, List[tf.Tensor]] = {}
    for segment in axis_map:
        if isinstance(segment, Filled):
            places.setdefault(segment.fill, []).append(tf.range(position, position + segment.length))
        position += segment.length
    # One draw for all new runs: two of a seeded initializer would be alike.
    fillers = {fill: iter(_fill_runs(fill, runs, resolved, axis, value, initial)) for fill, runs in places.items()}
    kept = _Pieces(value, axis)
    return _concat([next(fillers[run.fill]) if isinstance(run, Filled) else kept.of(run) for run in axis_map], axis)


class _Pieces:
    """The tensors of runs of old positions, each made once."""

    def __init__(self, value: tf.Tensor, axis: int):
        self._value, self._axis = value, axis
        self._made: Dict[Segment, tf.Tensor] = {}

    def of(self, segment: Segment) -> tf.Tensor:
        """Returns what a kept or an averaged segment takes."""
        if segment not in self._made:
            if isinstance(segment, Averaged):
                self._made[segment] = mean_of_runs(self._value, self._axis, segment)
            elif isinstance(segment, Kept):
                self._made[segment] = kept_run(self._value, self._axis, segment)
        return self._made[segment]


def _fill_runs(
    fill: Fill, runs: List[tf.Tensor], resolved: ResolvedValue, axis: int, value: tf.Tensor, initial: tf.Tensor
) -> List[tf.Tensor]:
    """Returns the new values for each of `runs`, which are ranges of positions of `axis`."""
    lengths = [run.shape.as_list()[0] for run in runs]
    shape = [sum(lengths) if other == axis else length for other, length in enumerate(resolved.shape)]
    if fill == "mean":
        filler = tf.broadcast_to(mean_along(value, axis), shape)
    else:
        filler = fill_tensor(fill, tf.constant(shape, tf.int32), initial, tf.concat(runs, 0), axis)
    return tf.split(tf.ensure_shape(filler, shape), lengths, axis) if len(runs) > 1 else [filler]


def _map_any_axes(value: tf.Tensor, maps: Sequence[AxisMap], initial: tf.Tensor, indices: AxisIndices) -> tf.Tensor:
    """Any axes change in any way. A cell that is new on several axes takes the fill of the first of them."""
    masks = []
    for axis in reversed(range(len(maps))):
        value, is_initial, is_other = _map_any_axis(value, axis, maps[axis], indices)
        masks.append((is_initial, is_other))
    before: Optional[tf.Tensor] = None  # Cells that an earlier axis fills with something else.
    for is_initial, is_other in reversed(masks):
        if is_initial is not None:
            mask = is_initial if before is None else tf.logical_and(is_initial, tf.logical_not(before))
            value = where(mask, initial, value)
        if is_other is not None:
            before = is_other if before is None else tf.logical_or(before, is_other)
    return value


def _map_any_axis(
    value: tf.Tensor, axis: int, axis_map: AxisMap, indices: AxisIndices
) -> Tuple[tf.Tensor, Optional[tf.Tensor], Optional[tf.Tensor]]:
    """Maps one axis of `value`.

    Returns:
      The value, a mask of what is to take initial values, and one of what has taken a number or an initializer's values; `None`
      where there is nothing of that.
    """
    fills = fills_of(axis_map)
    if not fills:
        if is_identity_map(axis_map, value.shape.as_list()[axis]):
            return value, None, None
        pieces = _Pieces(value, axis)
        return _concat([pieces.of(run) for run in axis_map or (Kept(0, 0),)], axis), None, None
    index = indices.of(axis_map, fills)
    masks = [tf.reshape(tf.equal(index, -1 - code), [-1] + [1] * (value.shape.rank - 1 - axis)) for code in range(len(fills))]
    mean = mean_along(value, axis) if "mean" in fills else None
    if has_means(axis_map):
        value, index = with_means(value, index, axis, axis_map, MEAN_CODE)
    for code, fill in enumerate(fills):
        if callable(fill):
            value, index = with_drawn(value, index, axis, fill, -1 - code)
    value, is_initial, is_other = _gather_positions(value, index, axis), None, None
    for mask, fill in zip(masks, fills):
        if fill == "initial":
            is_initial = mask
            continue
        if not callable(fill):
            value = where(mask, mean if fill == "mean" else fill_constant(fill, value.dtype), value)
        if fill != "mean":
            is_other = mask if is_other is None else tf.logical_or(is_other, mask)
    return value, is_initial, is_other


def _pad_rows(resolved: ResolvedValue, kept: Kept, filled: Filled, value: tf.Tensor, initial: tf.Tensor) -> tf.Tensor:
    """Returns a run of old rows, and new rows of one fill behind it."""
    fill = filled.fill
    same = None
    if fill == "initial":
        same = same_everywhere(initial)
    elif not callable(fill) and fill != "mean":
        same = fill_constant(fill, value.dtype)
    if same is None:
        return _join_runs(resolved, 0, value, initial)
    # Nothing but the old value and the new one is in memory: no tensor of new rows.
    widths = [[0, filled.length]] + [[0, 0]] * (value.shape.rank - 1)
    return tf.pad(kept_run(value, 0, kept), widths, constant_values=same)


def _concat(pieces: List[tf.Tensor], axis: int) -> tf.Tensor:
    return tf.concat(pieces, axis) if len(pieces) > 1 else pieces[0]


def _gather_positions(value: tf.Tensor, index: tf.Tensor, axis: int) -> tf.Tensor:
    """Returns the positions `index` of `axis`; anything where that is negative."""
    return tf.gather(not_empty(value, axis), tf.maximum(index, 0), axis=axis)
