"""Reads slices that params give as text: `[:-1, :]` for `np.s_[:-1, :]`. Nothing is evaluated."""

from __future__ import annotations

import re
from typing import Optional, Tuple

from estimator_warmstart.errors import WarmStartError

_INT = "[+-]?[0-9]+"
_STRIDE = "[+-]?0*[1-9][0-9]*"  # Not 0.
_ITEM_PATTERN = rf"\s*(?:\.\.\.|newaxis|{_INT}|(?:{_INT})?\s*:\s*(?:{_INT})?\s*(?::\s*(?:{_STRIDE})?)?)\s*"
_ITEMS_PATTERN = f"{_ITEM_PATTERN}(?:,{_ITEM_PATTERN})*"
# Also in the JSON Schema of params. The brackets may be left out.
SLICE_PATTERN = rf"^\s*(?:\[{_ITEMS_PATTERN}\]|{_ITEMS_PATTERN})\s*$"

_BLANKS = re.compile(r"\s+")
_LONG_NUMBER = re.compile("[0-9]{19}")  # Longer than any axis.
_MOST_CHARACTERS = 100


def parse_slices(text: str, argument: str) -> Tuple[object, ...]:
    """Returns the index that `text` stands for: a tuple of ints, slices, `...` and `None` (for `newaxis`).

    Raises:
      WarmStartError: for any other text. The message begins with `argument`.
    """
    text = _BLANKS.sub(" ", text)  # The pattern would try each way to split up a long run of blanks.
    if _LONG_NUMBER.search(text) or not re.search(SLICE_PATTERN, text):
        raise WarmStartError(
            f"{argument} must be what stands between numpy's brackets: integers, slices, '...' and 'newaxis', such as "
            f"'[:-1, :]' or '..., ::2'; got {text[:_MOST_CHARACTERS]!r}"
        )
    return tuple(_parse_item(item.strip()) for item in text.strip().strip("[]").split(","))


def _parse_item(text: str) -> object:
    if text == "...":
        return Ellipsis
    if text == "newaxis":
        return None
    numbers = [_int_or_none(piece) for piece in text.split(":")]
    return numbers[0] if len(numbers) == 1 else slice(*numbers)


def _int_or_none(text: str) -> Optional[int]:
    return int(text) if text.strip() else None
