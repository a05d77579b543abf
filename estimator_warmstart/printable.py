"""Text for people, with what a terminal would obey shown in its place.

Names, keys and versions come from files that anybody may have written. A name that moves the cursor, changes the colour or
the reading direction would make a report say what is not so.
"""

from __future__ import annotations

import re
from typing import Match

# C0 and C1 controls, line and paragraph separators, marks of the reading direction, halves of surrogate pairs.
_CONTROLS = "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff"
_IN_A_LINE = re.compile(f"[{_CONTROLS}]")
_IN_A_TEXT = re.compile(f"(?!\n)[{_CONTROLS}]")


def printable(text: str) -> str:
    r"""`text` in one line, its control characters escaped as Python does it.

    Example:
      >>> print(printable("w\x1b[31m\n"))
      w\x1b[31m\n
    """
    return _IN_A_LINE.sub(_escaped, text)


def printable_lines(text: str) -> str:
    """The same of a text of several lines: those stay."""
    return _IN_A_TEXT.sub(_escaped, text)


def _escaped(match: Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
