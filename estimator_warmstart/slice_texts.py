"""Slices as text: `[:-1, :]` in plain data for `np.s_[:-1, :]` in Python. Pure.

Enters: a string. Leaves: the index, put together from ints and colons; nothing is evaluated.
"""

from __future__ import annotations

import re
from typing import Any, Optional

from estimator_warmstart.errors import WarmStartError

_INT = "[+-]?[0-9]+"
_STEP = "[+-]?0*[1-9][0-9]*"  # Not 0.
_ITEM = rf"\s*(?:\.\.\.|newaxis|{_INT}|(?:{_INT})?\s*:\s*(?:{_INT})?\s*(?::\s*(?:{_STEP})?)?)\s*"
_ITEMS = f"{_ITEM}(?:,{_ITEM})*"
# As JSON Schema searches with it; the brackets may be left out.
SLICE_PATTERN = rf"^\s*(?:\[{_ITEMS}\]|{_ITEMS})\s*$"

_BLANKS = re.compile(r"\s+")
_LONG_NUMBER = re.compile("[0-9]{19}")  # No axis is as long.
_MOST_SHOWN = 100


def parse_slices(text: str, argument: str) -> Any:
    """The index that `text` stands for: a tuple of ints, slices, `...` and `None` (for `newaxis`).

    Raises:
      WarmStartError: for what is nothing of the kind; the message begins with `argument`.
    """
    text = _BLANKS.sub(" ", text)  # The pattern would try each way to share out many of them.
    if _LONG_NUMBER.search(text) or not re.search(SLICE_PATTERN, text):
        raise WarmStartError(
            f"{argument} must be what stands between numpy's brackets: integers, slices, '...' and 'newaxis', such as "
            f"'[:-1, :]' or '..., ::2'; got {text[:_MOST_SHOWN]!r}"
        )
    return tuple(_item(item.strip()) for item in text.strip().strip("[]").split(","))


def _item(text: str) -> Any:
    if text == "...":
        return Ellipsis
    if text == "newaxis":
        return None
    numbers = [_number(piece) for piece in text.split(":")]
    return numbers[0] if len(numbers) == 1 else slice(*numbers)


def _number(text: str) -> Optional[int]:
    return int(text) if text.strip() else None
