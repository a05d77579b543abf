"""Where each position of a new axis comes from. Pure.

Enters: lengths and runs of positions. Leaves: an `AxisMap`, a tuple of segments that covers the new axis from 0 on; each
says which old positions it takes, or what fills it. Maps compose, and a window of a map is a map: that is how a part of a
partitioned variable gets only its share. This module knows neither variables nor TensorFlow.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Tuple, Union

from estimator_warmstart.adapters.vocabulary import VocabRemapping

# Of what has no old value: "initial", "zeros", "mean", a number, or an initializer, called with a shape and a dtype.
Fill = Union[str, float, int, Callable[..., Any]]


class Kept(NamedTuple):
    """`length` positions taken from the old ones `start, start + step, ...`."""

    length: int
    start: int
    step: int = 1


class Filled(NamedTuple):
    """`length` positions that have no old value: `"initial"`, `"zeros"`, `"mean"`, a number or an initializer."""

    length: int
    fill: Fill


class Remapped(NamedTuple):
    """`length` positions of a vocabulary join's result, from `start` on; which old ones they are is known at run time.

    Attributes:
      join: what makes the index, for `adapting.py`; its misses take `fill`.
      inner: maps the join's old positions to older ones, or `None` where nothing came before it.
    """

    length: int
    start: int
    step: int
    remapping: VocabRemapping
    fill: Fill
    inner: Optional[AxisMap] = None


Segment = Union[Kept, Filled, Remapped]
AxisMap = Tuple[Segment, ...]


def identity(length: int) -> AxisMap:
    """The map that takes every position from itself."""
    return (Kept(length, 0),)


def is_identity(axis_map: AxisMap, old_length: int) -> bool:
    """Whether `axis_map` leaves an axis of `old_length` as it is."""
    return axis_map == identity(old_length)


def map_length(axis_map: AxisMap) -> int:
    """The length of the new axis."""
    return sum(segment.length for segment in axis_map)


def kept_length(axis_map: AxisMap) -> int:
    """How many new positions have an old value."""
    return sum(_kept_in(segment) for segment in axis_map)


def _kept_in(segment: Segment) -> int:
    if isinstance(segment, Remapped):
        # Exact for the whole of a join, as large as it can be for a window of it.
        return min(segment.length, segment.remapping.kept)
    return segment.length if isinstance(segment, Kept) else 0


def taken_length(axis_map: AxisMap, old_length: int) -> int:
    """How many old positions a new one takes, each counted once; at most where a join's rows are not known yet."""
    runs = [segment for segment in axis_map if isinstance(segment, Kept) and segment.length]
    ends = sorted(sorted((run.start, run.start + run.step * (run.length - 1))) for run in runs)
    if all(before[1] < after[0] for before, after in zip(ends, ends[1:])):
        taken = sum(run.length for run in runs)
    else:  # Runs that overlap, or interlock.
        taken = len({run.start + run.step * number for run in runs for number in range(run.length)})
    joined = sum(_kept_in(segment) for segment in axis_map if isinstance(segment, Remapped))
    return min(taken + joined, old_length)


def fills_of(axis_map: AxisMap) -> List[Fill]:
    """The fills that `axis_map` needs, each once."""
    fills: List[Fill] = []
    for segment in axis_map:
        if isinstance(segment, Remapped) and segment.inner is not None:
            fills += fills_of(segment.inner)
        if not isinstance(segment, Kept):
            fills.append(segment.fill)
    return list(dict.fromkeys(fills))


def window(axis_map: AxisMap, start: int, length: int, step: int = 1) -> AxisMap:
    """The map of the positions `start, start + step, ...` of what `axis_map` makes.

    Example:
      >>> window((Kept(3, 10), Filled(2, "initial")), 2, 2)
      (Kept(length=1, start=12, step=1), Filled(length=1, fill='initial'))
    """
    if step < 0:
        last = start + step * (length - 1)
        return tuple(_reverse(segment) for segment in reversed(window(axis_map, last, length, -step)))
    return merge(_windows(axis_map, start, length, step))


def _windows(axis_map: AxisMap, start: int, length: int, step: int) -> Iterator[Segment]:
    begin, position, left = 0, start, length
    for segment in axis_map:
        end = begin + segment.length
        if left and begin <= position < end:
            count = min(left, -(-(end - position) // step))
            yield _cut(segment, position - begin, count, step)
            position, left = position + count * step, left - count
        begin = end


def _cut(segment: Segment, offset: int, count: int, step: int) -> Segment:
    if isinstance(segment, Filled):
        return segment._replace(length=count)
    return segment._replace(length=count, start=segment.start + offset * segment.step, step=segment.step * step)


def _reverse(segment: Segment) -> Segment:
    if isinstance(segment, Filled):
        return segment
    return segment._replace(start=segment.start + segment.step * (segment.length - 1), step=-segment.step)


def merge(segments: Iterator[Segment]) -> AxisMap:
    """The same map with neighbours that continue each other joined, so that equal maps look equal."""
    merged: List[Segment] = []
    for segment in segments:
        if segment.length == 0:
            continue
        if isinstance(segment, Kept) and segment.length == 1:
            segment = segment._replace(step=1)
        if merged and _continues(merged[-1], segment):
            previous = merged.pop()
            segment = previous._replace(length=previous.length + segment.length)
        merged.append(segment)
    return tuple(merged)


def _continues(first: Segment, second: Segment) -> bool:
    if isinstance(first, Filled) and isinstance(second, Filled):
        return first.fill == second.fill
    if isinstance(first, Kept) and isinstance(second, Kept):
        return first.step == second.step and second.start == first.start + first.step * first.length
    return False


def compose(outer: AxisMap, inner: AxisMap) -> AxisMap:
    """The map that does `inner` first and `outer` on its result.

    Example:
      >>> compose((Kept(2, 1),), (Kept(2, 5), Filled(3, 0.0)))
      (Kept(length=1, start=6, step=1), Filled(length=1, fill=0.0))
    """
    if outer == identity(map_length(inner)):
        return inner
    if inner == identity(map_length(inner)):
        return outer
    segments: List[Segment] = []
    for segment in outer:
        if isinstance(segment, Filled):
            segments.append(segment)
        elif isinstance(segment, Remapped):
            segments.append(segment._replace(inner=inner if segment.inner is None else compose(segment.inner, inner)))
        else:
            segments.extend(window(inner, segment.start, segment.length, segment.step))
    return merge(iter(segments))


def old_range(axis_map: AxisMap, old_length: int) -> Tuple[int, int]:
    """The half-open range of old positions that `axis_map` takes anything from; `(0, 0)` where it takes nothing."""
    low, high = old_length, 0
    for segment in axis_map:
        if isinstance(segment, Remapped) or (isinstance(segment, Filled) and segment.fill == "mean"):
            return 0, old_length
        if isinstance(segment, Kept):
            ends = (segment.start, segment.start + segment.step * (segment.length - 1))
            low, high = min(low, *ends), max(high, max(ends) + 1)
    return (low, high) if high else (0, 0)


def shift(axis_map: AxisMap, by: int) -> AxisMap:
    """The map for an old side whose first `by` positions were not read."""
    return tuple(segment._replace(start=segment.start - by) if isinstance(segment, Kept) else segment for segment in axis_map)
