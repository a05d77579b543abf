"""Where the rows and columns of an adapted variable come from, as runs to be drawn: old, moved, new or gone."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from estimator_warmstart.adapters.axis_map import (
    Averaged,
    AxisMap,
    Filled,
    Kept,
    Remapped,
    is_identity_map,
    map_length,
    runs_of,
    shift_map,
    taken_length,
)
from estimator_warmstart.adapters.resolved import ResolvedValue, resolve
from estimator_warmstart.adapters.transforms import Reshape, fill_text
from estimator_warmstart.plan.plan import PlannedVariable
from estimator_warmstart.tensors import whole_slice

KEPT, MOVED, NEW, MEAN, VOCABULARY, GONE = "kept", "moved", "new", "mean", "vocabulary", "gone"
# More runs than these are narrower than a line.
_MOST_RUNS = 64
# One axis of any other rank is called by its number.
_AXES_OF_A_MATRIX = ("rows", "columns")


class Run(NamedTuple):
    """Neighbouring positions of an axis that share a fate.

    Attributes:
      kind: one of the words above.
      length: how many positions.
      start: the first old position that is taken, where that is known; else -1.
      step: from one old position to the next.
    """

    kind: str
    length: int
    start: int = -1
    step: int = 1


def strips_of(planned: PlannedVariable) -> List[Dict[str, Any]]:
    """Returns what is to be drawn of each axis that an adapted variable changes, as plain data.

    Returns:
      For each changed axis: `old` and `new`, the runs of the old and of the new axis; `text`, which says the same in words, and
      `coarse`, whether there were too many runs, so that each stands for what most of its positions are.
    """
    if planned.old is None or not planned.steps or not planned.new.has_static_shape:
        return []
    resolved = resolve(planned.steps, planned.old.shape, whole_slice(planned.new.shape))
    axis_maps, lengths = _whole_maps(resolved)
    before = "".join(f"after {'a reshape' if isinstance(each, Reshape) else 'a function'}, " for each in _whole_steps(resolved))
    return [
        _strip_of(axis_map, length, before + _axis_name(axis, len(axis_maps)))
        for axis, (axis_map, length) in enumerate(zip(axis_maps, lengths))
        if not is_identity_map(axis_map, length)
    ]


def _whole_steps(resolved: ResolvedValue) -> Sequence[Any]:
    return resolved.whole_stages[-1:]


def _whole_maps(resolved: ResolvedValue) -> Tuple[List[AxisMap], Sequence[int]]:
    """Returns the axis maps, counted from the beginning of the whole old axes, and the lengths of those."""
    if resolved.whole_stages:
        return list(resolved.axis_maps), resolved.mapped_shape
    offsets = resolved.slice_to_read.offset if resolved.slice_to_read else [0] * len(resolved.axis_maps)
    return [shift_map(axis_map, -offset) for axis_map, offset in zip(resolved.axis_maps, offsets)], resolved.source_shape


def _axis_name(axis: int, rank: int) -> str:
    return _AXES_OF_A_MATRIX[axis] if rank == 2 else f"axis {axis}"


def _strip_of(axis_map: AxisMap, old_length: int, name: str) -> Dict[str, Any]:
    new, old = _new_runs(axis_map), _old_runs(axis_map, old_length)
    return {
        "old": [list(run[:2]) for run in _coarse(old)],
        "new": [list(run) for run in _coarse(new)],
        "text": f"{name}: {old_length:,} → {map_length(axis_map):,}: {_in_words(axis_map, new, old_length)}",
        "coarse": max(len(new), len(old)) > _MOST_RUNS,
    }


def _new_runs(axis_map: AxisMap) -> List[Run]:
    runs: List[Run] = []
    position = 0
    for segment in axis_map:
        if isinstance(segment, Kept):
            kind = KEPT if segment.start == position and (segment.step == 1 or segment.length == 1) else MOVED
            runs.append(Run(kind, segment.length, segment.start, segment.step))
        elif isinstance(segment, Filled):
            runs.append(Run(NEW, segment.length))
        else:
            runs.append(Run(MEAN if isinstance(segment, Averaged) else VOCABULARY, segment.length))
        position += segment.length
    return runs


def _old_runs(axis_map: AxisMap, old_length: int) -> List[Run]:
    """Returns what becomes of the old positions. Between the ends of a run that takes every second one, all count as taken."""
    if any(isinstance(segment, Remapped) for segment in axis_map):
        return [Run(VOCABULARY, old_length)]
    kept = [(run.start, run.start + run.length) for run in _new_runs(axis_map) if run.kind == KEPT]
    taken = [(run.start, run.start + run.step * (run.length - 1)) for run in runs_of(axis_map) if run.length]
    taken = [(min(ends), max(ends) + 1) for ends in taken]
    bounds = np.unique(np.array([0, old_length, *(end for ends in kept + taken for end in ends)], np.int64))
    kinds = np.where(_covered(bounds, kept), KEPT, np.where(_covered(bounds, taken), MOVED, GONE))
    runs: List[Run] = []
    for kind, length in zip(kinds.tolist(), np.diff(bounds).tolist()):
        if runs and runs[-1].kind == kind:
            length += runs.pop().length
        runs.append(Run(kind, length))
    return runs


def _covered(bounds: np.ndarray, ranges: Sequence[Tuple[int, int]]) -> np.ndarray:
    """Returns which of the intervals between `bounds` are in one of `ranges`, which begin and end at bounds."""
    changes = np.zeros(len(bounds), np.int64)
    for column, change in enumerate((1, -1)):
        np.add.at(changes, np.searchsorted(bounds, np.array([ends[column] for ends in ranges], np.int64)), change)
    return np.cumsum(changes)[:-1] > 0


def _coarse(runs: Sequence[Run]) -> List[Run]:
    """Returns `runs`, or, where they are too many, as many equal ones: each is of the kind that most of its positions are."""
    if len(runs) <= _MOST_RUNS:
        return list(runs)
    ends = np.cumsum([run.length for run in runs])
    bounds = np.linspace(0, ends[-1], _MOST_RUNS + 1).astype(np.int64)
    kinds = sorted({run.kind for run in runs})
    shares = []
    for kind in kinds:
        counts = np.concatenate([[0], np.cumsum([run.length if run.kind == kind else 0 for run in runs])])
        shares.append(np.diff(np.interp(bounds, np.concatenate([[0], ends]), counts)))
    most = np.argmax(shares, axis=0)
    return [Run(kinds[which], length) for which, length in zip(most.tolist(), np.diff(bounds).tolist())]


def _in_words(axis_map: AxisMap, new: Sequence[Run], old_length: int) -> str:
    counts = {kind: sum(run.length for run in new if run.kind == kind) for kind in (KEPT, MOVED, MEAN, VOCABULARY, NEW)}
    fills = ", ".join(dict.fromkeys(fill_text(segment.fill) for segment in axis_map if isinstance(segment, Filled)))
    remappings = dict.fromkeys(segment.remapping for segment in axis_map if isinstance(segment, Remapped))
    found = min(counts[VOCABULARY], sum(remapping.kept for remapping in remappings))
    gone = old_length - taken_length(axis_map, old_length)
    says = [
        (counts[KEPT], "in place"),
        (counts[MOVED], "moved"),
        (counts[MEAN], "means of old ones"),
        (counts[VOCABULARY], f"by vocabulary (at most {found:,} of them old)"),
        (counts[NEW], f"new ({fills})"),
        (gone, "gone" if not remappings else "gone at least"),
    ]
    return ", ".join(f"{count:,} {what}" for count, what in says if count)
