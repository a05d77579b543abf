"""Parses slices that are written as text, such as `[:-1, :]` for `np.s_[:-1, :]`. Nothing is evaluated."""

from __future__ import annotations

import re
from typing import Optional, Tuple

from estimator_warmstart.errors import WarmStartError

_INT = "[+-]?[0-9]+"
_NOT_ZERO = "[+-]?0*[1-9][0-9]*"
_ONE_ENTRY = rf"\s*(?:\.\.\.|newaxis|{_INT}|(?:{_INT})?\s*:\s*(?:{_INT})?\s*(?::\s*(?:{_NOT_ZERO})?)?)\s*"
_ALL_ENTRIES = f"{_ONE_ENTRY}(?:,{_ONE_ENTRY})*"
# Also in the JSON Schema. The brackets may be left out.
SLICE_PATTERN = rf"^\s*(?:\[{_ALL_ENTRIES}\]|{_ALL_ENTRIES})\s*$"

_BLANKS = re.compile(r"\s+")
_LONG_NUMBER = re.compile("[0-9]{19}")  # No axis is that long.
_LONGEST_QUOTE = 100


def parse_slices(text: str, argument: str) -> Tuple[object, ...]:
    """Returns the index that `text` describes: ints, slices, `...`, and `None` for `newaxis`.

    Raises:
      WarmStartError: if `text` is not an index; the message begins with `argument`.
    """
    text = _BLANKS.sub(" ", text)  # Many blanks would take the pattern very long: it tries each way to divide them.
    if _LONG_NUMBER.search(text) or not re.search(SLICE_PATTERN, text):
        raise WarmStartError(
            f"{argument} must be what stands between numpy's brackets: integers, slices, '...' and 'newaxis', such as "
            f"'[:-1, :]' or '..., ::2'; got {text[:_LONGEST_QUOTE]!r}"
        )
    return tuple(_parse_entry(entry.strip()) for entry in text.strip().strip("[]").split(","))


def _parse_entry(text: str) -> object:
    if text == "...":
        return Ellipsis
    if text == "newaxis":
        return None
    numbers = [_int_or_none(piece) for piece in text.split(":")]
    return numbers[0] if len(numbers) == 1 else slice(*numbers)


def _int_or_none(text: str) -> Optional[int]:
    return int(text) if text.strip() else None
