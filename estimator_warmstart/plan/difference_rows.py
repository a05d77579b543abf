"""The rows of a comparison: a pair of variables each, or several that are folded into one."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from estimator_warmstart.checkpoint.checkpoint import OldVariable
from estimator_warmstart.plan.differences import (
    ONLY_NEW,
    ONLY_OLD,
    RENAMED,
    RESIZED,
    RETYPED,
    SAME,
    Difference,
    Differences,
)
from estimator_warmstart.plan.report import Row, fold, shape_text
from estimator_warmstart.plan.views import fitting
from estimator_warmstart.scopes import Counted, ScopeTotal, total_scopes

# What --only calls them.
CHANGED, OLD, NEW = "changed", "old", "new"
KINDS_TO_SHOW = (SAME, RENAMED, CHANGED, OLD, NEW)
# From the least change to the greatest.
_BY_CHANGE = (SAME, RENAMED, RESIZED, RETYPED, ONLY_OLD, ONLY_NEW)


def matching_differences(differences: Differences, patterns: Optional[Sequence[str]]) -> Differences:
    """Returns the differences between variables that patterns choose by an old or new name, or a scope; `None`: all.

    Raises:
      WarmStartError: if a pattern is not a regular expression or fits nothing.
    """
    found = differences.found
    fits = fitting([(each.old.name if each.old else "", each.new.name if each.new else "") for each in found], patterns)
    return differences._replace(found=tuple(each for each, fit in zip(found, fits) if fit))


def choose_differences(found: Sequence[Difference], kinds: Sequence[str]) -> List[Difference]:
    """Returns the differences of some of `KINDS_TO_SHOW`; without `kinds` all but `SAME`, or all if they have values."""
    if not kinds and any(each.values for each in found):
        return list(found)  # That values are identical is what is asked for.
    return [each for each in found if not {*_kinds_of(each)}.isdisjoint(kinds or KINDS_TO_SHOW[1:])]


def _kinds_of(difference: Difference) -> Tuple[str, ...]:
    """Returns the words of `--only` that a difference goes by."""
    old, new = difference.old, difference.new
    if old is None or new is None:
        return (NEW,) if old is None else (OLD,)
    differs = (old.shape, old.dtype) != (new.shape, new.dtype) or difference._replace(kind=SAME).differs
    kinds = (RENAMED,) * (difference.kind == RENAMED) + (CHANGED,) * differs
    return kinds or (SAME,)


def difference_rows(found: Sequence[Difference], folded: bool = True) -> List[Row]:
    """Returns the rows of differences; `changed` is greater for a greater change."""
    rows = fold([_row_of(each) for each in found], folded)
    return [row._replace(changed=row.changed // row.folded) for row in rows]  # Those that are folded are of one kind.


def total_differences(found: Sequence[Difference], depth: int, folded: bool = True) -> List[ScopeTotal]:
    """Returns the totals of the scopes, of the new model's and of what is only in the old one, by kind."""
    rows = [(each.kind, _row_of(each)) for each in found]
    counted = [Counted(row.name, kind, row.nbytes, row.nbytes * (kind != SAME)) for kind, row in rows]
    return total_scopes(counted, depth, folded)


def _row_of(difference: Difference) -> Row:
    old, new = difference.old, difference.new
    last = new or old
    return Row(
        *_name_and_shape(old),
        *_name_and_shape(new),
        _in_words(difference),
        last.nbytes if last else 0,
        changed=2 * _BY_CHANGE.index(difference.kind) + difference.differs,
    )


def _in_words(difference: Difference) -> str:
    old, new, words = difference.old, difference.new, difference.kind
    if words == RENAMED:
        words += "?"
        if old and new and old.shape != new.shape:
            words += f", {RESIZED}"
    elif words == RETYPED and old and new:
        words += f" {old.dtype} -> {new.dtype}"
    words += f"; slots: {', '.join(difference.slots)}" if difference.slots else ""
    values = [f"{name}: {value}" if name else f"{value}" for name, value in difference.values.items()]
    return "; ".join([words] * (words != SAME or not values) + values)


def _name_and_shape(variable: Optional[OldVariable]) -> Tuple[str, str]:
    return ("-", "") if variable is None else (variable.name, shape_text(variable.shape))
