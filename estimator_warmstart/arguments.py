"""Checks single arguments: numbers, flags, words.

To Python `True` is an `int` and NumPy's numbers are not; this module decides for the whole package what is a number.
"""

from __future__ import annotations

import numbers
from typing import Sequence

from estimator_warmstart.errors import WarmStartError, did_you_mean


def is_integer(value: object) -> bool:
    """Returns whether `value` is an integer of Python or NumPy; a bool is not one."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Returns whether `value` is a real number of Python or NumPy, NaN and infinity included; a bool is not one."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_bool(argument: str, value: object) -> None:
    """Raises `WarmStartError` unless `value` is `True` or `False`."""
    if not isinstance(value, bool):
        raise WarmStartError(f"{argument} must be True or False, got {value!r}")


def check_choice(argument: str, value: object, choices: Sequence[str]) -> None:
    """Raises `WarmStartError` unless `value` is one of `choices`."""
    if value not in choices:
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise WarmStartError(f"{argument} must be {' or '.join(repr(choice) for choice in choices)}, got {value!r}{hint}")


def check_share(argument: str, value: object) -> None:
    """Raises `WarmStartError` unless `value` is a number from 0 to 1, or `None`."""
    if value is not None and not (is_number(value) and 0 <= float(value) <= 1):  # type: ignore[arg-type]
        raise WarmStartError(f"{argument} must be a number from 0 to 1 (0.9 for 90 %), got {value!r}")
