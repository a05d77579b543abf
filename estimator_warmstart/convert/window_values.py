"""Carries out a resolved value in numpy, a few rows at a time: for values that are larger than the memory.

It does what `restore/adapted_values.py` does in a graph, and a property test holds both to the same bits. What is drawn is
drawn by the same operations, since the bits of a draw depend on how much is drawn at once.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from estimator_warmstart._tf import tf, tf1
from estimator_warmstart.adapters.axis_map import (
    Averaged,
    AxisMap,
    Fill,
    Filled,
    Kept,
    fills_of,
    has_remappings,
    map_length,
    map_window,
)
from estimator_warmstart.adapters.resolved import ResolvedValue
from estimator_warmstart.adapters.transforms import Cast
from estimator_warmstart.checkpoint.row_windows import numpy_dtype, rows_per_window
from estimator_warmstart.convert.row_sources import RowsInAnyOrder, RowsInOrder
from estimator_warmstart.graph.initial_values import same_everywhere
from estimator_warmstart.restore.axis_indices import MEAN_CODE, AxisIndices
from estimator_warmstart.restore.new_values import fill_constant, fill_tensor, from_initializer

Rows = Union[RowsInOrder, RowsInAnyOrder]
Run = Callable[..., Any]


def can_be_windowed(resolved: ResolvedValue) -> bool:
    """Whether the value can be made a few rows at a time."""
    if resolved.slice_to_read is None or resolved.whole_stages or 0 in resolved.shape or not resolved.shape:
        return False
    return (
        all(isinstance(transform, Cast) for transform in resolved.elementwise)
        and "mean" not in resolved.fills
        and not any(callable(fill) for axis_map in resolved.axis_maps[1:] for fill in fills_of(axis_map))
        and not any(_has_means(axis_map) for axis_map in resolved.axis_maps[1:])
    )


def takes_rows_in_order(resolved: Sequence[ResolvedValue]) -> bool:
    """Whether the old rows that these values take one after the other never go back."""
    at = 0
    for value in resolved:
        if value.slice_to_read is None:
            continue
        for segment in value.axis_maps[0]:
            if isinstance(segment, Filled):
                continue
            begin = value.slice_to_read.offset[0] + getattr(segment, "start", 0)
            if not isinstance(segment, Kept) or segment.step < 0 or begin < at:
                return False
            at = begin + segment.step * (segment.length - 1)
    return True


class _NewCells(NamedTuple):
    """What the cells without an old value take.

    Attributes:
      constants: {fill: the number that it stands for}.
      rows: {fill: the rows that it fills, in order}, of axis 0.
      columns: the initial values of the new positions of the only axis that changes, which is not the first.
      whole: the initial values of all cells.
    """

    constants: Dict[Fill, Any]
    rows: Dict[Fill, np.ndarray]
    columns: Optional[np.ndarray] = None
    whole: Optional[np.ndarray] = None


class WindowedValue:
    """One part of a new value, made a few rows at a time.

    Args:
      resolved: what it is made of.
      dtype: TensorFlow's name of the new dtype.
      initial: the part's own initial value, a tensor in a graph.
      run: runs a session of that graph.
    """

    def __init__(self, resolved: ResolvedValue, dtype: str, initial: tf.Tensor, run: Run):
        self._resolved, self._dtype = resolved, numpy_dtype(dtype)
        self._rows = rows_per_window(resolved.shape, dtype)
        with initial.graph.as_default(), tf.device("/cpu:0"):
            self._indices = {
                axis: _index(axis_map, run)
                for axis, axis_map in enumerate(resolved.axis_maps)
                if has_remappings(axis_map) or (axis and axis in resolved.changed_axes)
            }
            self._cells = self._new_cells(initial, run)
        self._used = dict.fromkeys(self._cells.rows, 0)

    def windows(self, rows: Rows) -> Iterator[np.ndarray]:
        """Yields the value in windows of rows; `rows` are those of the old value."""
        for start in range(0, self._resolved.shape[0], self._rows):
            yield self._window(start, min(self._rows, self._resolved.shape[0] - start), rows)

    def _window(self, start: int, count: int, rows: Rows) -> np.ndarray:
        maps = (map_window(self._resolved.axis_maps[0], start, count), *self._resolved.axis_maps[1:])
        index = (
            self._indices[0][start : start + count]
            if 0 in self._indices
            else _arithmetic_index(maps[0], fills_of(self._resolved.axis_maps[0]))
        )
        value = self._old_rows(maps[0], index, rows)
        masks: List[Tuple[int, Fill, np.ndarray]] = []
        for axis in reversed(range(len(maps))):
            at = index if axis == 0 else self._indices.get(axis)
            if at is None:
                continue
            if axis:
                value = np.take(_not_empty(value, axis), np.maximum(at, 0), axis)
            for code, fill in enumerate(fills_of(self._resolved.axis_maps[axis])):
                place = (slice(None),) * axis + (at == -1 - code,)
                if not place[-1].any():
                    continue
                value = value if value.flags.writeable and value.flags.owndata else value.copy()
                masks.append((axis, fill, place[-1]))
                if fill in self._cells.constants:
                    value[place] = self._cells.constants[fill]
                elif fill in self._cells.rows:
                    value[place] = self._next_rows(fill, int(place[-1].sum()))
                elif self._cells.columns is not None:
                    value[place] = self._cells.columns[start : start + count]
        if self._cells.whole is not None:
            _put_initial(value, self._cells.whole[start : start + count], masks)
        return value

    def _next_rows(self, fill: Fill, count: int) -> np.ndarray:
        begin = self._used[fill]
        self._used[fill] = begin + count
        return self._cells.rows[fill][begin : begin + count]

    def _old_rows(self, axis_map: AxisMap, index: np.ndarray, rows: Rows) -> np.ndarray:
        """Returns the old rows of a window; anything where there are none."""
        box = self._resolved.slice_to_read
        assert box is not None
        offset, others = box.offset[0], tuple(slice(at, at + length) for at, length in zip(*box))[1:]

        def taken(positions: np.ndarray) -> np.ndarray:
            value = rows.take(positions + offset)[(slice(None), *others)]
            for transform in self._resolved.elementwise:
                value = value.astype(numpy_dtype(transform.dtype))
            return value

        kept = index >= 0
        if kept.all():
            return taken(index)
        value = np.zeros((len(index), *box.shape[1:]), self._dtype)
        if kept.any():
            value[kept] = taken(index[kept])
        at = 0
        for segment in axis_map:
            if isinstance(segment, Averaged):
                value[at : at + segment.length] = _mean_of_runs(segment, taken)
            at += segment.length
        return value

    def _new_cells(self, initial: tf.Tensor, run: Run) -> _NewCells:
        """Draws what is drawn, by the operations that the graph of a session would have."""
        resolved, changed = self._resolved, self._resolved.changed_axes
        constants: Dict[Fill, Any] = {}
        for fill in resolved.fills:
            same = same_everywhere(initial) if fill == "initial" else None
            if same is not None:
                constants[fill] = run(same)
            elif fill != "initial" and not callable(fill):
                constants[fill] = run(fill_constant(fill, initial.dtype))
        drawn = [fill for fill in resolved.fills if fill not in constants]
        remapped = any(map(has_remappings, resolved.axis_maps))
        if not drawn:
            return _NewCells(constants, {})
        if changed == (0,):
            return _NewCells(constants, {fill: self._drawn_rows(fill, initial, run, remapped) for fill in drawn})
        if len(changed) == 1 and not remapped:
            axis = changed[0]
            place = np.flatnonzero(self._indices[axis] < 0)
            shape = [len(place) if other == axis else length for other, length in enumerate(resolved.shape)]
            filler = fill_tensor("initial", tf.constant(shape, tf.int32), initial, tf.constant(place), axis)
            return _NewCells(constants, {}, columns=run(filler))
        rows: Dict[Fill, np.ndarray] = {fill: self._drawn_rows(fill, initial, run, True) for fill in drawn if callable(fill)}
        return _NewCells(constants, rows, whole=run(initial) if "initial" in drawn else None)

    def _drawn_rows(self, fill: Fill, initial: tf.Tensor, run: Run, is_found_in_session: bool) -> np.ndarray:
        """Returns what `fill` makes for the new positions of axis 0."""
        axis_map = self._resolved.axis_maps[0]
        index = self._indices[0] if 0 in self._indices else _arithmetic_index(axis_map, fills_of(axis_map))
        place = np.flatnonzero(index == -1 - fills_of(axis_map).index(fill))
        others = list(self._resolved.shape[1:])
        if not is_found_in_session:
            shape, at, feed = tf.constant([len(place), *others], tf.int32), tf.constant(place), {}
        else:  # The number of rows is not known where the operations are made, and the initializer may depend on that.
            at = tf1.placeholder(tf.int64, [None])
            shape, feed = tf.concat([tf.shape(at), tf.constant(others, tf.int32)], 0), {at: place}
        if callable(fill):
            return run(from_initializer(fill, shape, initial.dtype, at, 0, list(self._resolved.shape)), feed)
        return run(fill_tensor(fill, shape, initial, at, 0), feed)


def _has_means(axis_map: AxisMap) -> bool:
    return any(isinstance(segment, Averaged) for segment in axis_map)


def _put_initial(value: np.ndarray, initial: np.ndarray, masks: Sequence[Tuple[int, Fill, np.ndarray]]) -> None:
    """Puts initial values where a cell is new and no earlier axis fills it with something else."""
    before = np.zeros([1] * value.ndim, bool)
    for axis in range(value.ndim):
        shape = [-1 if other == axis else 1 for other in range(value.ndim)]
        for at, fill, mask in masks:
            if at == axis and fill == "initial":
                np.copyto(value, initial, where=mask.reshape(shape) & ~before)
        for at, fill, mask in masks:
            if at == axis and fill != "initial":
                before = before | mask.reshape(shape)


def _index(axis_map: AxisMap, run: Run) -> np.ndarray:
    """Returns the old position of each new one: `-1 - i` where the fill `i` belongs, `MEAN_CODE` where a mean does."""
    if has_remappings(axis_map):
        return run(AxisIndices().of(axis_map, fills_of(axis_map)))
    return _arithmetic_index(axis_map, fills_of(axis_map))


def _arithmetic_index(axis_map: AxisMap, fills: Sequence[Fill]) -> np.ndarray:
    index, at = np.empty(map_length(axis_map), np.int64), 0
    for segment in axis_map:
        places = slice(at, at + segment.length)
        if isinstance(segment, Kept):
            index[places] = segment.start + segment.step * np.arange(segment.length)
        else:
            index[places] = -1 - fills.index(segment.fill) if isinstance(segment, Filled) else MEAN_CODE
        at += segment.length
    return index


def _mean_of_runs(averaged: Averaged, taken: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Returns the means of rows, added up one after the other as in a graph; integers are rounded to the nearest."""
    total: Any = None
    for run in averaged.runs:
        rows = taken(run.start + run.step * np.arange(run.length))
        dtype = rows.dtype
        is_exact = dtype.kind in "fc" and dtype.itemsize >= 4
        rows = rows.astype(dtype if is_exact else np.float64 if dtype.kind in "iub" else np.float32)
        total = rows if total is None else total + rows
    mean = total / total.dtype.type(len(averaged.runs))
    return (np.rint(mean) if dtype.kind in "iub" else mean).astype(dtype)


def _not_empty(value: np.ndarray, axis: int) -> np.ndarray:
    """Returns `value` with at least one position on `axis`, where something must be pointed at."""
    if value.shape[axis]:
        return value
    return np.zeros([1 if other == axis else length for other, length in enumerate(value.shape)], value.dtype)
