"""Histograms of old values against those of the new model's own checkpoint, streamed: a few MB are in memory at a time.

Both are read twice: for their range first, then to be counted in bins that they share.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.statistics import Statistics, as_plain, value_reader, value_statistics, values_in_pieces
from estimator_warmstart.progress import progress_line, tally

_BINS = 24
# A bar's height is one digit of them.
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

Pair = Tuple[Optional[OldVariable], Optional[OldVariable]]


class _Span(NamedTuple):
    low: float
    high: float


def histograms(old: Sequence[Checkpoint], new: Optional[Checkpoint], pairs: Sequence[Pair]) -> List[Dict[str, Any]]:
    """Returns a description of the values of each pair.

    Args:
      old: the old models.
      new: a checkpoint of the new model; `None` if there is none.
      pairs: a variable of one of `old` and one of `new`, or `None` in place of either.

    Returns:
      For each pair: `old_minimum`, `old_maximum`, `old_mean`, `old_nan_count` and the same of `new`, `None` where there is no
      such value. `bars` has a digit (0 to z) for the height of each of 24 equal bins from the least to the greatest value of
      both, those of the old values, a blank, those of the new ones. There are none where values are infinite, or all the same.

    Raises:
      CheckpointError: listing each variable that cannot be read or is damaged.
    """
    sides = [(old, [pair[0] for pair in pairs]), ([new] if new else [], [pair[1] if new else None for pair in pairs])]
    statistics = [_statistics_of(checkpoints, variables) for checkpoints, variables in sides]
    spans = [_span_of([each for each in both if each]) for both in zip(*statistics)]
    counts = [_counts_of(checkpoints, variables, spans) for checkpoints, variables in sides]
    return [_described(*each) for each in zip(zip(*statistics), zip(*counts))]


def _statistics_of(checkpoints: Sequence[Checkpoint], variables: Sequence[Optional[OldVariable]]) -> List[Optional[Statistics]]:
    found: Dict[Tuple[str, str], Statistics] = {}
    for checkpoint in checkpoints:
        chosen = dict.fromkeys(each for each in variables if each is not None and each.prefix == checkpoint.prefix)
        with progress_line("Reading values") as progress:
            known = value_statistics(checkpoint, chosen, progress)
        found.update(((checkpoint.prefix, name), each) for name, each in known.items())
    return [None if variable is None else found.get((variable.prefix, variable.name)) for variable in variables]


def _span_of(both: Sequence[Statistics]) -> Optional[_Span]:
    """Returns the range of the values of both sides; `None` where it has no width or no end."""
    ends = [float(end) for each in both for end in (each.minimum, each.maximum) if end is not None]
    if not ends or not math.isfinite(max(ends) - min(ends)) or min(ends) == max(ends):
        return None
    return _Span(min(ends), max(ends))


def _counts_of(
    checkpoints: Sequence[Checkpoint], variables: Sequence[Optional[OldVariable]], spans: Sequence[Optional[_Span]]
) -> List[Optional[np.ndarray]]:
    total = sum(variable.nbytes for variable, span in zip(variables, spans) if variable is not None and span is not None)
    counted: List[Optional[np.ndarray]] = []
    with contextlib.ExitStack() as opened, tally("Counting values", total) as count:
        readers = {each.prefix: opened.enter_context(contextlib.closing(value_reader(each))) for each in checkpoints}
        for variable, span in zip(variables, spans):
            counts = None
            if variable is not None and span is not None:
                counts = np.zeros(_BINS, np.int64)
                for values in values_in_pieces(readers[variable.prefix], variable):
                    counts += np.histogram(values[~np.isnan(values)].astype(np.float64), _BINS, (span.low, span.high))[0]
                count(variable.nbytes)
            counted.append(counts)
    return counted


def _described(statistics: Sequence[Optional[Statistics]], counts: Sequence[Optional[np.ndarray]]) -> Dict[str, Any]:
    shares = [count / max(count.sum(), 1) if count is not None else np.array([]) for count in counts]
    highest = max((share.max() for share in shares if share.size), default=0)
    described: Dict[str, Any] = {}
    for name, each in zip(("old", "new"), statistics):
        plain = as_plain(each) or {}
        described.update((f"{name}_{key}", _short(plain.get(key))) for key in ("minimum", "maximum", "mean", "nan_count"))
    # One text, since each of ten thousand takes its room.
    described["bars"] = " ".join(
        "".join(_DIGITS[math.ceil(part / highest * 35)] for part in share.tolist()) for share in shares
    )
    return described


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value
