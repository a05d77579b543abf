"""Prints JSON, and tables that fit a terminal."""

from __future__ import annotations

import json
import sys
from typing import Sequence

from estimator_warmstart.text_output import format_table, is_coloured, paint, width_of


def print_json(value: object) -> None:
    """Prints plain dicts and lists."""
    print(json.dumps(value, indent=2))


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], colours: Sequence[str], right: Sequence[str] = ()
) -> None:
    """Prints a table, each row in its colour where stdout shows colours.

    Args:
      header: the names of the columns.
      rows: a cell for each column.
      colours: a colour for each row, or an empty text.
      right: the names of the columns that are aligned to the right.
    """
    lines = format_table(header, rows, right, width_of(sys.stdout))
    painted = is_coloured(sys.stdout)
    for line, colour in zip(lines, ["", "", *colours]):
        print(paint(line, colour) if painted else line)
