"""Tables and colours: text for terminals, files and logs.

A table is as wide as it needs to be; `tables.py` makes one that fits a terminal.
"""

from __future__ import annotations

import os
import shutil
from typing import Dict, List, NamedTuple, Optional, Sequence, TextIO

from estimator_warmstart.printable import printable

PROGRAM = "estimator-warmstart"

_CODES: Dict[str, str] = {"red": "31", "green": "32", "yellow": "33"}


def is_coloured(stream: TextIO) -> bool:
    """Returns whether `stream` shows colours and the user has not turned them off (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str) -> str:
    """Returns `text` in one of the colours red, green and yellow, or as it is if `colour` is empty."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if colour else text


class Screen(NamedTuple):
    """The size of a terminal, in characters."""

    width: int
    height: int


def screen_of(stream: TextIO) -> Optional[Screen]:
    """Returns the size of the terminal `stream`; `None` if it is not a terminal."""
    return Screen(*shutil.get_terminal_size()) if stream.isatty() else None


def format_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = (), ends_with_text: bool = False
) -> List[str]:
    r"""Returns aligned lines of any length: the header, a rule, and a line for each of `rows`.

    Args:
      header: the names of the columns.
      rows: a cell for each column.
      right: the names of the columns that are aligned to the right.
      ends_with_text: whether the last column holds sentences: its rule is as long as its header, whatever their length.

    Example:
      >>> print("\n".join(format_table(["name", "bytes"], [["w", "8"], ["layer/kernel", "1,024"]], right=["bytes"])))
      name          bytes
      ------------  -----
      w                 8
      layer/kernel  1,024
    """
    cells = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    rules = [*widths[:-1], len(header[-1])] if ends_with_text else widths
    cells.insert(1, ["-" * length for length in rules])
    lines = []
    for line in cells:
        padded = [
            cell.rjust(length) if name in right else cell.ljust(length) for name, cell, length in zip(header, line, widths)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines
