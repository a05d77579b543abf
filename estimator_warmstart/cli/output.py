"""Prints JSON, and tables that fit a terminal."""

from __future__ import annotations

import json
import sys
from typing import Any, Callable, List, Sequence

from estimator_warmstart.cli.command import View
from estimator_warmstart.plan.views import Shown, first_rows, hidden_line, sort_rows
from estimator_warmstart.tables import Table, fit_first
from estimator_warmstart.text_output import is_coloured, paint, screen_of

TablesOf = Callable[[Sequence[Any]], Sequence[Table]]

# Of a screen, what is not for tables: the lines above and below them, and the next prompt.
_OTHER_LINES = 8
_FEWEST_LINES = 5


def print_json(value: object) -> None:
    """Prints plain dicts and lists."""
    print(json.dumps(value, indent=2))


def is_folded(view: View) -> bool:
    """Whether rows are folded: a terminal shows them to people; a file or a pipe has a line for each variable."""
    return screen_of(sys.stdout) is not None and not view.all


def print_rows(rows: Sequence[Any], tables_of: TablesOf, view: View, share: float = 1.0, indent: str = "") -> None:
    """Prints a table of rows: all of them, or those that a terminal has lines for.

    Args:
      rows: what `sort_rows` can sort.
      tables_of: makes tables of the same rows; the later ones have fewer columns.
      view: has the order of the rows, and whether all are shown.
      share: of the lines of a terminal, 0 to 1, for this table.
      indent: what is in front of each line.
    """
    screen = screen_of(sys.stdout)
    shown = Shown(tuple(sort_rows(rows, view.sort)))
    if screen is not None and not view.all:
        room = max(_FEWEST_LINES, int(share * (screen.height - _OTHER_LINES)))
        shown = _fill(shown.rows, tables_of, view, room)
    for line in _lines_of(shown.rows, tables_of, indent):
        print(line)
    if shown.hidden:
        print(f"{indent}{hidden_line(shown)}")


def _fill(rows: Sequence[Any], tables_of: TablesOf, view: View, room: int) -> Shown:
    """Returns as many of `rows` as are shown in `room` lines, and the header; a row may take several lines."""
    count = room
    while True:
        shown = first_rows(rows, count, view.sort)
        lines = len(_lines_of(shown.rows, tables_of, ""))
        if lines <= room or count == 1:
            return shown
        count = max(1, min(count - 1, count * room // lines))


def _lines_of(rows: Sequence[Any], tables_of: TablesOf, indent: str) -> List[str]:
    screen, painted = screen_of(sys.stdout), is_coloured(sys.stdout)
    tables = tables_of(rows)
    texts = fit_first(tables, screen.width - len(indent) if screen else None)
    colours = ["", "", *(tables[-1].colours or [""] * len(texts))]
    lines = []
    for text, colour in list(zip(texts, colours))[0 if texts[0] else 2 :]:  # A table without a header has no rule.
        found = [f"{indent}{line}" for line in text.split("\n")]
        lines += [paint(line, colour) for line in found] if painted else found
    return lines
