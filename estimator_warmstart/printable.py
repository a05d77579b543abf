"""Escapes control characters in text that people read.

Names, keys and versions come from files that anybody may have written. A name that moves the cursor or changes the colour or
the reading direction could falsify a report.
"""

from __future__ import annotations

import re
from typing import Match

# C0 and C1 controls, line and paragraph separators, bidirectional marks, halves of surrogate pairs.
_CONTROLS = "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff"
_IN_A_LINE = re.compile(f"[{_CONTROLS}]")
_IN_A_TEXT = re.compile(f"(?!\n)[{_CONTROLS}]")


def printable(text: str) -> str:
    r"""Returns `text` as one line, with control characters escaped as in Python.

    Example:
      >>> print(printable("w\x1b[31m\n"))
      w\x1b[31m\n
    """
    return _IN_A_LINE.sub(_escape_control, text)


def printable_lines(text: str) -> str:
    """Returns `text` with control characters escaped; it may have several lines."""
    return _IN_A_TEXT.sub(_escape_control, text)


def _escape_control(match: Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
