"""What the command line shows of a large table: the variables that are asked for, in an order, as many as a screen holds.

All of it is plain data; the command line prints it.
"""

from __future__ import annotations

from typing import Any, Iterable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.patterns import compile_patterns, fits_any, fits_nothing
from estimator_warmstart.plan.plan import ADAPTED, INITIALIZED, RESTORED, Plan, PlannedVariable, percent
from estimator_warmstart.scopes import Counted, ScopeTotal, total_scopes
from estimator_warmstart.tables import NAME, NUMBER, SENTENCE, Column, Table

BY_BYTES, BY_NAME, BY_CHANGE = "bytes", "name", "change"
COLD, UNUSED = "cold", "unused"
KINDS_OF_PLANNED = (RESTORED, ADAPTED, COLD, UNUSED)

# A row of any table, with the attribute `nbytes`.
_Row = TypeVar("_Row", bound=Any)


class Shown(NamedTuple):
    """Rows for which there is room, and those for which there is none."""

    rows: Tuple[Any, ...]
    hidden: Tuple[Any, ...] = ()


def choose_planned(plan: Plan, kinds: Sequence[str], patterns: Optional[Sequence[str]]) -> Plan:
    """Returns `plan` with some of its variables only.

    Args:
      plan: the whole plan.
      kinds: of `KINDS_OF_PLANNED`; empty: all.
      patterns: of names, old or new, or of scopes; `None`: all.

    Raises:
      WarmStartError: if a pattern is not a regular expression or fits nothing.
    """
    names = [(planned.old.name if planned.old else "", planned.new.name) for planned in plan.variables]
    fits = fitting(names + [(old.name, "") for old in plan.unused], patterns)
    kinds = kinds or KINDS_OF_PLANNED
    variables = [planned for planned, fit in zip(plan.variables, fits) if fit and kind_of_planned(planned) in kinds]
    unused = [old for old, fit in zip(plan.unused, fits[len(names) :]) if fit and UNUSED in kinds]
    return plan._replace(variables=tuple(variables), unused=tuple(unused))


def kind_of_planned(planned: PlannedVariable) -> str:
    """Returns what `--only` calls what is planned for a variable."""
    return COLD if planned.action == INITIALIZED else planned.action


def fitting(names: Sequence[Tuple[str, str]], patterns: Optional[Sequence[str]]) -> List[bool]:
    """Returns for each pair of an old and a new name, of which one may be empty, whether a pattern fits either.

    Raises:
      WarmStartError: if a pattern is not a regular expression or fits nothing.
    """
    compiled = compile_patterns(patterns, "--pattern")
    if compiled is None:
        return [True] * len(names)
    known = [name for pair in names for name in pair if name]
    problems = [fits_nothing(pattern, "--pattern", "variable", known) for pattern in compiled]
    if any(problems):
        raise WarmStartError("nothing can be shown by that", [problem for problem in problems if problem])
    return [any(name and fits_any(compiled, name) for name in pair) for pair in names]


def total_planned(plan: Plan, depth: int, folded: bool = True) -> List[ScopeTotal]:
    """Returns the totals of the scopes of the new model; a slot counts to the scope of its variable."""
    return total_scopes(
        (
            Counted(
                planned.new.slot_of.primary if planned.new.slot_of else planned.new.name,
                kind_of_planned(planned),
                planned.new.nbytes,
                planned.new.nbytes - planned.recovered_bytes,
            )
            for planned in plan.variables
        ),
        depth,
        folded,
    )


def sort_rows(rows: Iterable[_Row], by: Optional[str]) -> List[_Row]:
    """Returns rows in an order.

    Args:
      rows: with the attribute that is needed: `nbytes`, `changed`, or `name` or `new` and `old`.
      by: `"bytes"` or `"change"` (in a plan: the bytes that no old value fills), the most first; `"name"`; `None`: as they are.
    """
    if by == BY_NAME:
        return sorted(rows, key=lambda row: row.name)
    if by == BY_BYTES:
        return sorted(rows, key=lambda row: -row.nbytes)
    return sorted(rows, key=lambda row: (-row.changed, -row.nbytes)) if by == BY_CHANGE else list(rows)


def first_rows(rows: Sequence[_Row], count: int, by: Optional[str]) -> Shown:
    """Returns the `count` rows with the most bytes, in the order that they have; the first ones if that order was asked for."""
    ranked = range(len(rows)) if by else sorted(range(len(rows)), key=lambda place: -rows[place].nbytes)
    chosen = {*ranked[:count]}
    return Shown(
        tuple(row for place, row in enumerate(rows) if place in chosen),
        tuple(row for place, row in enumerate(rows) if place not in chosen),
    )


def hidden_line(shown: Shown) -> str:
    """Returns what is said of the rows for which there was no room."""
    nbytes = sum(row.nbytes for row in shown.hidden)
    return f"... and {len(shown.hidden):,} more lines, {nbytes:,} bytes; --all shows them"


def scopes_table(totals: Sequence[ScopeTotal], with_changed: bool = False) -> Table:
    """Returns the totals of scopes as a table.

    Args:
      totals: from `total_planned` and the like.
      with_changed: whether to say which share of the bytes is old.
    """
    columns = [Column("scope", NAME), Column("variables", NUMBER), Column("bytes", NUMBER), Column("of which", SENTENCE)]
    return Table(
        columns,
        [[total.name, f"{total.number:,}", f"{total.nbytes:,}", _of_which(total, with_changed)] for total in totals],
    )


def _of_which(total: ScopeTotal, with_changed: bool) -> str:
    share = [f"{percent((total.nbytes - total.changed) / total.nbytes)} old"] if with_changed and total.nbytes else []
    return "; ".join([*share, *(f"{kind}: {count:,}" for kind, (count, _) in total.counts.items())])
