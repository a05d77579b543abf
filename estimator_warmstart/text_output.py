"""What the command line looks like: tables, colour, a progress line.

Enters: cells, texts, numbers. Leaves: lines of text; plain ones, of whatever width they need, unless a terminal shows them.
This module must not know what the texts are about, nor of TensorFlow.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from estimator_warmstart.printable import printable

PROGRAM = "estimator-warmstart"

Progress = Callable[[int, int], None]

_CODES: Dict[str, str] = {"red": "31", "green": "32", "yellow": "33"}
# Below this, a cell says nothing any more.
_NARROWEST = 12


def is_coloured(stream: Any) -> bool:
    """Whether `stream` shows colours and the user has not turned them off (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str) -> str:
    """`text` in one of the colours red, green, yellow; as it is if `colour` is empty."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if colour else text


def width_of(stream: Any) -> Optional[int]:
    """The columns that `stream` shows; `None` if it is no terminal, and lines may have any length."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = (), width: Optional[int] = None
) -> List[str]:
    r"""Aligned lines: the header, a rule, and one for each of `rows`.

    Args:
      header: the names of the columns.
      rows: a cell for each column.
      right: the names of the columns that are aligned to the right.
      width: the longest line there may be, if possible: the widest cells are then cut in the middle. `None`: any.

    Example:
      >>> print("\n".join(table(["name", "bytes"], [["w", "8"], ["layer/kernel", "1,024"]], right=["bytes"])))
      name          bytes
      ------------  -----
      w                 8
      layer/kernel  1,024
    """
    cells = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    while width is not None and sum(widths) + 2 * len(widths) - 2 > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    cells.insert(1, ["-" * length for length in widths])
    lines = []
    for line in cells:
        cut = [_cut(cell, length) for cell, length in zip(line, widths)]
        padded = [
            cell.rjust(length) if name in right else cell.ljust(length) for name, cell, length in zip(header, cut, widths)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _cut(text: str, length: int) -> str:
    """`text` without its middle if it is too long: the ends of a variable's name tell most."""
    if len(text) <= length:
        return text
    end = (length - 3) // 2
    return f"{text[: length - 3 - end]}...{text[len(text) - end :]}"


@contextmanager
def progress_line(what: str, is_shown: Optional[bool] = None) -> Iterator[Progress]:
    """A function of the bytes done and the bytes in all that rewrites one line on stderr, once for each percent.

    Args:
      what: is done.
      is_shown: `None`: only on a terminal.
    """
    is_shown = sys.stderr.isatty() if is_shown is None else is_shown
    last = -1

    def show(done: int, total: int) -> None:
        nonlocal last
        percent = 100 * done // total if total else 100
        if is_shown and percent != last:
            last = percent
            bar = "#" * (percent // 5)
            sys.stderr.write(f"\r{printable(what)} [{bar:20}] {done / 1e6:,.1f} of {total / 1e6:,.1f} MB, {percent} %")
            sys.stderr.flush()

    try:
        yield show
    finally:
        if last >= 0:
            sys.stderr.write("\n")
