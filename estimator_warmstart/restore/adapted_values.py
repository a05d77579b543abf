"""Steps -> tensors: the old value on its way into one part of a new variable.

Enters: the steps of a fate, a way to read the old value, one part of the new variable. Leaves: a tensor of the part's
shape. Only what the part needs is read; beside the result at most the old value is in memory, which is why new rows are
put in place after the old value is done with, and few initial values are drawn instead of all. This module must not know
about plans, checkpoints or hooks.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.axis_map import (
    AxisMap,
    Fill,
    Filled,
    Joined,
    Kept,
    fills_of,
    is_identity,
    old_range,
    shift,
    window,
)
from estimator_warmstart.adapters.transforms import Apply, MapAxis, Transform, axis_maps_of, result_shape, split_at_last_apply
from estimator_warmstart.graph.initial_values import same_everywhere
from estimator_warmstart.restore.axis_indices import Indices
from estimator_warmstart.restore.new_values import (
    constant_of,
    from_initializer,
    known_count,
    mean_along,
    new_values,
    not_empty,
    where,
    with_drawn,
)
from estimator_warmstart.restore.value_transforms import apply_elementwise, apply_function
from estimator_warmstart.tensors import TensorSlice, whole_slice


class Target(NamedTuple):
    """The part of a new variable that a value is for.

    Attributes:
      offset: where the part begins in the whole variable.
      shape: of the part.
      initial: the part's own initial value, a tensor.
      is_slot: whether the variable is an optimizer's slot.
    """

    offset: Tuple[int, ...]
    shape: Tuple[int, ...]
    initial: Any
    is_slot: bool


def needed_box(old_shape: Tuple[int, ...], steps: Sequence[Transform], target: Target) -> Optional[TensorSlice]:
    """The (offset, shape) of the old value that `target` takes anything from; `None` where that is nothing."""
    head, tail = split_at_last_apply(steps)
    if head:
        return whole_slice(old_shape)
    ranges = [old_range(axis_map, length) for axis_map, length in zip(_windows(old_shape, tail, target), old_shape)]
    if any(low == high for low, high in ranges) and old_shape:
        return None
    return TensorSlice(tuple(low for low, _ in ranges), tuple(high - low for low, high in ranges))


def adapt(
    read: Callable[[TensorSlice], Any],
    old_shape: Tuple[int, ...],
    steps: Sequence[Transform],
    target: Target,
    joins: Any,
    read_scalar: Callable[[str], Any],
) -> Any:
    """The value for `target`.

    Args:
      read: makes a tensor of a box of the old value.
      old_shape: of the whole old value.
      steps: from the old shape to the whole new one.
      target: the part.
      joins: a dict in which the index vectors of joins are kept, one dict for each device.
      read_scalar: makes a tensor of another old variable, of shape [], that a step names.

    Returns:
      A tensor of `target.shape`.
    """
    indices = Indices(joins)
    head, tail = split_at_last_apply(steps)
    box = needed_box(old_shape, steps, target)
    if 0 in target.shape:
        return tf.zeros(target.shape, target.initial.dtype)
    if box is None:
        return _all_new(old_shape, _windows(old_shape, tail, target), target, indices)
    with tf.control_dependencies(_joined(indices, steps)):  # The tables of a join are gone before the value is there.
        value = read(box)
    shape = old_shape
    for step in head:
        value = _after(step, value, shape, indices, read_scalar)
        shape = result_shape(shape, [step])
    for step in tail:
        # What is new has the new dtype already.
        value = value if isinstance(step, MapAxis) else _after(step, value, shape, indices, read_scalar)
    if target.is_slot and any(_may_pad(step) for step in head):
        return _without_zeros(value, shape, tail, target, indices)
    offsets = (0,) * len(shape) if head else box[0]
    maps = [shift(axis_map, by) for axis_map, by in zip(_windows(shape, tail, target), offsets)]
    return _mapped(value, shape if head else box[1], maps, target, indices)


def _after(step: Transform, value: Any, shape: Tuple[int, ...], indices: Indices, read_scalar: Callable[[str], Any]) -> Any:
    """`value`, whole and of `shape`, after one step without initial values."""
    if isinstance(step, MapAxis):
        return _general(value, axis_maps_of(shape, [step]), indices, None)
    return apply_function(step, value) if isinstance(step, Apply) else apply_elementwise(step, value, read_scalar)


def _may_pad(step: Transform) -> bool:
    """Whether there may be zeros after the step that are no old values."""
    return step.may_pad if isinstance(step, Apply) else isinstance(step, MapAxis) and bool(fills_of(step.axis_map))


def _windows(shape: Tuple[int, ...], steps: Sequence[Transform], target: Target) -> List[AxisMap]:
    return [
        window(axis_map, offset, length)
        for axis_map, offset, length in zip(axis_maps_of(shape, steps), target.offset, target.shape)
    ]


def _joined(indices: Indices, steps: Sequence[Transform]) -> List[Any]:
    return [
        indices.join(segment.join)
        for step in steps
        if isinstance(step, MapAxis)
        for segment in step.axis_map
        if isinstance(segment, Joined)
    ]


def _without_zeros(value: Any, shape: Tuple[int, ...], tail: Sequence[Transform], target: Target, indices: Indices) -> Any:
    """A slot's value where a user's function may have padded zeros: they take the slot's own initial value."""
    maps = _windows(shape, tail, target)
    moved = _mapped(value, shape, maps, target, indices)
    return where(tf.equal(moved, tf.zeros([], moved.dtype)), target.initial, moved)


def _mapped(value: Any, shape: Tuple[int, ...], maps: List[AxisMap], target: Target, indices: Indices) -> Any:
    changed = [axis for axis, axis_map in enumerate(maps) if not is_identity(axis_map, shape[axis])]
    if not changed:
        return value
    if changed == [0]:
        return _rows(value, maps[0], target, indices)
    if len(changed) == 1 and not any(isinstance(segment, Joined) for segment in maps[changed[0]]):
        return _pieces(value, changed[0], maps[changed[0]], target)
    return _general(value, maps, indices, target.initial)


def _all_new(old_shape: Tuple[int, ...], maps: List[AxisMap], target: Target, indices: Indices) -> Any:
    """The value of a part that no old position reaches: a partition of new rows only."""
    fills = list(dict.fromkeys(fill for axis_map in maps for fill in fills_of(axis_map)))
    if fills == ["initial"]:
        return tf.identity(target.initial)
    if len(fills) == 1 and callable(fills[0]):
        shape = tf.constant(target.shape, tf.int32)
        return from_initializer(fills[0], shape, target.initial.dtype, None, 0, target.shape)
    if len(fills) == 1:
        return tf.fill(target.shape, constant_of(fills[0], target.initial.dtype))
    # Something to fill into, one position long where nothing old is taken, though there is something.
    ranges = [old_range(axis_map, length) for axis_map, length in zip(maps, old_shape)]
    lengths = [max(high - low, min(length, 1)) for (low, high), length in zip(ranges, old_shape)]
    nothing = tf.zeros(lengths, target.initial.dtype)
    return _general(nothing, [shift(axis_map, low) for axis_map, (low, _) in zip(maps, ranges)], indices, target.initial)


def _rows(value: Any, axis_map: AxisMap, target: Target, indices: Indices) -> Any:
    """Axis 0 alone changes: move the rows, let go of the old value, then put the new rows in place."""
    if _is_prefix(axis_map):
        return _prefix(value, axis_map, target)
    fills = fills_of(axis_map)
    means = {fill: mean_along(value, 0) for fill in fills if fill == "mean"}
    index = indices.of(axis_map, fills)
    moved = _gather(value, index, 0)
    for code, fill in enumerate(fills):
        place = tf.reshape(tf.where(tf.equal(index, -1 - code)), [-1])
        place.set_shape([known_count(axis_map, fill)])
        with tf.control_dependencies([moved]):
            shape = tf.concat([tf.shape(place), tf.constant(target.shape[1:], tf.int32)], 0)
        rows = tf.broadcast_to(means[fill], shape) if fill in means else new_values(fill, shape, target.initial, place, 0)
        moved = tf.tensor_scatter_nd_update(moved, place[:, tf.newaxis], rows)
    return moved


def _pieces(value: Any, axis: int, axis_map: AxisMap, target: Target) -> Any:
    """One axis other than the first changes, by runs known beforehand: kept runs and new ones side by side."""
    position = 0
    places: Dict[Fill, List[Any]] = {}
    for segment in axis_map:
        if isinstance(segment, Filled):
            places.setdefault(segment.fill, []).append(tf.range(position, position + segment.length))
        position += segment.length
    # One draw for all new runs: two of a seeded initializer would be alike.
    fillers = {fill: iter(_split(fill, runs, value, axis, target)) for fill, runs in places.items()}
    pieces = [_run(value, axis, run) if isinstance(run, Kept) else next(fillers[run.fill]) for run in axis_map]
    return tf.concat(pieces, axis) if len(pieces) > 1 else pieces[0]


def _split(fill: Fill, runs: List[Any], value: Any, axis: int, target: Target) -> List[Any]:
    """The new values for `runs`, which are ranges of positions of `axis`."""
    lengths = [run.shape.as_list()[0] for run in runs]
    shape = target.shape[:axis] + (sum(lengths),) + target.shape[axis + 1 :]
    if fill == "mean":
        filler = tf.broadcast_to(mean_along(value, axis), shape)
    else:
        filler = new_values(fill, tf.constant(shape, tf.int32), target.initial, tf.concat(runs, 0), axis)
    return tf.split(tf.ensure_shape(filler, shape), lengths, axis) if len(runs) > 1 else [filler]


def _general(value: Any, maps: List[AxisMap], indices: Indices, initial: Any) -> Any:
    """Any axes change in any way. A cell that is new on two axes takes "initial" if either says so, else the first's fill."""
    rank = len(maps)
    is_initial = []
    for axis in reversed(range(rank)):
        fills = fills_of(maps[axis])
        if not fills and all(isinstance(segment, Kept) for segment in maps[axis]):
            if is_identity(maps[axis], value.shape.as_list()[axis]):
                continue
            pieces = [_run(value, axis, segment) for segment in maps[axis] or (Kept(0, 0),)]
            value = tf.concat(pieces, axis) if len(pieces) > 1 else pieces[0]
            continue
        index = indices.of(maps[axis], fills)
        mean = mean_along(value, axis) if "mean" in fills else None
        for code, fill in enumerate(fills):
            if callable(fill):
                value, index = with_drawn(value, index, axis, fill, -1 - code)
        value = _gather(value, index, axis)
        for code, fill in enumerate(fills):
            if callable(fill):
                continue
            mask = tf.reshape(tf.equal(index, -1 - code), [-1] + [1] * (rank - 1 - axis))
            if fill == "initial":
                is_initial.append(mask)
            else:
                value = where(mask, mean if fill == "mean" else constant_of(fill, value.dtype), value)
    for mask in is_initial:
        value = where(mask, initial, value)
    return value


def _is_prefix(axis_map: AxisMap) -> bool:
    """Whether the new axis is one run of old positions in order, then new ones of one fill."""
    kept = isinstance(axis_map[0], Kept) and axis_map[0].step == 1
    return kept and (len(axis_map) == 1 or (len(axis_map) == 2 and isinstance(axis_map[1], Filled)))


def _prefix(value: Any, axis_map: AxisMap, target: Target) -> Any:
    rows = _run(value, 0, axis_map[0])
    if len(axis_map) == 1:
        return rows
    (fill,) = fills_of(axis_map)
    if callable(fill) or fill == "mean":
        return _pieces(value, 0, axis_map, target)
    same = same_everywhere(target.initial) if fill == "initial" else constant_of(fill, value.dtype)
    if same is None:
        return _pieces(value, 0, axis_map, target)
    # Nothing but the old value and the new one is in memory: no tensor of new rows.
    return tf.pad(rows, [[0, axis_map[1].length]] + [[0, 0]] * (value.shape.rank - 1), constant_values=same)


def _run(value: Any, axis: int, run: Any) -> Any:
    stop: Optional[int] = run.start + run.step * run.length
    # A negative stop would count from the end.
    stop = None if stop is not None and stop < 0 else stop
    return value[(slice(None),) * axis + (slice(run.start, stop, run.step),)]


def _gather(value: Any, index: Any, axis: int) -> Any:
    """The positions `index` of `axis`; anything where that is negative."""
    return tf.gather(not_empty(value, axis), tf.maximum(index, 0), axis=axis)
