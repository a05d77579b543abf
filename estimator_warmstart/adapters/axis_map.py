"""Where each position of a new axis comes from, as plain data.

An `AxisMap` is a tuple of segments that covers the new axis from 0 on. Each segment says which old positions it takes, or what
fills it. Maps compose, and a window of a map is a map: a part of a partitioned variable takes only its share.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

from estimator_warmstart.adapters.vocabulary import VocabRemapping

# What a position without an old value takes: "initial", "zeros", "mean", a number, or an initializer, which is called with a
# shape and a dtype.
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


class Averaged(NamedTuple):
    """`length` positions that are means of old ones: the first of the first positions of all `runs`, and so on.

    Attributes:
      runs: each of `length`; the same position may be in several.
    """

    length: int
    runs: Tuple[Kept, ...]


class Remapped(NamedTuple):
    """`length` positions of a remapped vocabulary, `start, start + step, ...`; a session finds out which old ones they are.

    Attributes:
      remapping: the two vocabularies.
      fill: what tokens without an old row take.
      inner: maps the old rows to the positions of an older axis; `None` where nothing comes before the remapping.
    """

    length: int
    start: int
    step: int
    remapping: VocabRemapping
    fill: Fill
    inner: Optional[AxisMap] = None


Segment = Union[Kept, Filled, Averaged, Remapped]
AxisMap = Tuple[Segment, ...]


def identity_map(length: int) -> AxisMap:
    """Returns the map that takes every position from itself."""
    return (Kept(length, 0),)


def is_identity_map(axis_map: AxisMap, old_length: int) -> bool:
    """Whether `axis_map` leaves an axis of `old_length` as it is."""
    return axis_map == identity_map(old_length)


def map_length(axis_map: AxisMap) -> int:
    """Returns the length of the new axis."""
    return sum(segment.length for segment in axis_map)


def kept_length(axis_map: AxisMap) -> int:
    """Returns how many new positions have an old value."""
    return sum(segment.length for segment in axis_map if isinstance(segment, (Kept, Averaged))) + _remapped_length(axis_map)


def _remapped_length(axis_map: AxisMap) -> int:
    """Returns how many remapped positions have an old value: exact for whole remappings, an upper bound for windows of them."""
    lengths: Dict[VocabRemapping, int] = {}
    for segment in axis_map:
        if isinstance(segment, Remapped):
            lengths[segment.remapping] = lengths.get(segment.remapping, 0) + segment.length
    return sum(min(length, remapping.kept) for remapping, length in lengths.items())


def taken_length(axis_map: AxisMap, old_length: int) -> int:
    """Returns how many old positions are taken, each counted once. Where tokens are remapped, this is an upper bound."""
    runs = {run for run in runs_of(axis_map) if run.length}
    ends = sorted((min(first, last), max(first, last)) for first, last in map(_ends_of, runs))
    if all(before[1] < after[0] for before, after in zip(ends, ends[1:])):
        taken = sum(run.length for run in runs)
    elif all(abs(run.step) == 1 for run in runs):
        taken = _union_length(ends)
    else:  # Runs that interlock.
        taken = len({run.start + run.step * number for run in runs for number in range(run.length)})
    return min(taken + _remapped_length(axis_map), old_length)


def _ends_of(run: Kept) -> Tuple[int, int]:
    return run.start, run.start + run.step * (run.length - 1)


def _union_length(ends: List[Tuple[int, int]]) -> int:
    """Returns how many positions the ranges between `ends`, which are sorted, have together."""
    count, behind = 0, 0
    for first, last in ends:
        count += max(0, last + 1 - max(first, behind))
        behind = max(behind, last + 1)
    return count


def runs_of(axis_map: AxisMap) -> Iterator[Kept]:
    """Yields the runs of old positions that are known before a session is: kept ones and those of means."""
    for segment in axis_map:
        if isinstance(segment, Kept):
            yield segment
        elif isinstance(segment, Averaged):
            yield from segment.runs


def has_means(axis_map: AxisMap) -> bool:
    """Whether `axis_map` takes means of old positions."""
    return any(isinstance(segment, Averaged) for segment in axis_map)


def has_remappings(axis_map: AxisMap) -> bool:
    """Whether only a session knows all positions of `axis_map`."""
    return any(isinstance(segment, Remapped) for segment in axis_map)


def fills_of(axis_map: AxisMap) -> List[Fill]:
    """Returns the fills that `axis_map` needs, each once."""
    fills: List[Fill] = []
    for segment in axis_map:
        if isinstance(segment, Remapped) and segment.inner is not None:
            fills += fills_of(segment.inner)
        if isinstance(segment, (Filled, Remapped)):
            fills.append(segment.fill)
    return list(dict.fromkeys(fills))


def map_window(axis_map: AxisMap, start: int, length: int, step: int = 1) -> AxisMap:
    """Returns the map of the positions `start, start + step, ...` of what `axis_map` makes.

    Example:
      >>> map_window((Kept(3, 10), Filled(2, "initial")), 2, 2)
      (Kept(length=1, start=12, step=1), Filled(length=1, fill='initial'))
    """
    if step < 0:
        last = start + step * (length - 1)
        return tuple(_reversed_segment(segment) for segment in reversed(map_window(axis_map, last, length, -step)))
    return merge_segments(_window_segments(axis_map, start, length, step))


def _window_segments(axis_map: AxisMap, start: int, length: int, step: int) -> Iterator[Segment]:
    begin, position, left = 0, start, length
    for segment in axis_map:
        end = begin + segment.length
        if left and begin <= position < end:
            count = min(left, -(-(end - position) // step))
            yield _segment_part(segment, position - begin, count, step)
            position, left = position + count * step, left - count
        begin = end


def _segment_part(segment: Segment, offset: int, count: int, step: int) -> Segment:
    if isinstance(segment, Filled):
        return segment._replace(length=count)
    if isinstance(segment, Averaged):
        return Averaged(count, tuple(_run_part(run, offset, count, step) for run in segment.runs))
    return segment._replace(length=count, start=segment.start + offset * segment.step, step=segment.step * step)


def _run_part(run: Kept, offset: int, count: int, step: int) -> Kept:
    return Kept(count, run.start + offset * run.step, run.step * step if count > 1 else 1)


def _reversed_segment(segment: Segment) -> Segment:
    if isinstance(segment, Filled):
        return segment
    if isinstance(segment, Averaged):
        return Averaged(segment.length, tuple(_run_part(run, run.length - 1, run.length, -1) for run in segment.runs))
    return segment._replace(start=segment.start + segment.step * (segment.length - 1), step=-segment.step)


def merge_segments(segments: Iterable[Segment]) -> AxisMap:
    """Returns the map in which neighbours that continue each other are one segment, so that equal maps look equal."""
    merged: List[Segment] = []
    for segment in segments:
        if segment.length == 0:
            continue
        if isinstance(segment, Averaged) and len(segment.runs) == 1:
            segment = segment.runs[0]
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


def compose_maps(outer: AxisMap, inner: AxisMap) -> AxisMap:
    """Returns the map that does `inner` first and `outer` on its result.

    Example:
      >>> compose_maps((Kept(2, 1),), (Kept(2, 5), Filled(3, 0.0)))
      (Kept(length=1, start=6, step=1), Filled(length=1, fill=0.0))
    """
    if outer == identity_map(map_length(inner)):
        return inner
    if inner == identity_map(map_length(inner)):
        return outer
    segments: List[Segment] = []
    for segment in outer:
        if isinstance(segment, Filled):
            segments.append(segment)
        elif isinstance(segment, Remapped):
            segments.append(segment._replace(inner=inner if segment.inner is None else compose_maps(segment.inner, inner)))
        elif isinstance(segment, Averaged):
            # `transforms.check_means` refuses it: a mean of what is not known, or not yet there, is not plain data.
            raise ValueError("a mean of positions that are mapped already")
        else:
            segments.extend(map_window(inner, segment.start, segment.length, segment.step))
    return merge_segments(segments)


def old_range(axis_map: AxisMap, old_length: int) -> Tuple[int, int]:
    """Returns the half-open range of old positions that `axis_map` takes anything from; `(0, 0)` where it takes nothing."""
    low, high = old_length, 0
    for segment in axis_map:
        if isinstance(segment, Remapped) or (isinstance(segment, Filled) and segment.fill == "mean"):
            return 0, old_length
    for run in runs_of(axis_map):
        ends = _ends_of(run)
        low, high = min(low, *ends), max(high, max(ends) + 1)
    return (low, high) if high else (0, 0)


def shift_map(axis_map: AxisMap, by: int) -> AxisMap:
    """Returns the map for an old axis whose first `by` positions were not read."""
    return tuple(_shifted(segment, by) for segment in axis_map)


def _shifted(segment: Segment, by: int) -> Segment:
    if isinstance(segment, Averaged):
        return segment._replace(runs=tuple(run._replace(start=run.start - by) for run in segment.runs))
    return segment._replace(start=segment.start - by) if isinstance(segment, Kept) else segment
