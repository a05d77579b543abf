"""Which dtypes `cast()` turns into which, and what a cast loses.

TensorFlow casts almost anything to anything and reports nothing. Here the plan names a cast that loses something.
"""

from __future__ import annotations

from typing import Dict, NamedTuple


class _FloatBits(NamedTuple):
    """Bits of the significand (the implicit one too) and of the exponent."""

    significand: int
    exponent: int


_FLOATS: Dict[str, _FloatBits] = {
    "bfloat16": _FloatBits(8, 8),
    "float16": _FloatBits(11, 5),
    "float32": _FloatBits(24, 8),
    "float64": _FloatBits(53, 11),
}
_COMPLEX = {"complex64": "float32", "complex128": "float64"}
_INTEGERS = {f"{sign}int{bits}": (sign == "", bits) for sign in ("", "u") for bits in (8, 16, 32, 64)}


def why_no_cast(old: str, new: str) -> str:
    """Returns why `cast()` does not turn `old` into `new`; empty where it does.

    Example:
      >>> why_no_cast("float64", "bfloat16"), why_no_cast("bool", "int32")
      ('', 'cast() is for numbers, and bool is not one; adapters.transform(fn) takes a function from bool to int32')
    """
    for dtype in (old, new):
        if dtype not in _FLOATS and dtype not in _INTEGERS and dtype not in _COMPLEX:
            return f"cast() is for numbers, and {dtype} is not one; adapters.transform(fn) takes a function from {old} to {new}"
    if old in _COMPLEX and new not in _COMPLEX:
        return (
            f"cast() would drop the imaginary part; adapters.transform(tf.math.real) and the like say which part of {old} is "
            "meant"
        )
    return ""


def what_is_lost(old: str, new: str) -> str:
    """Returns what a cast from `old` to `new` loses, in a few words; empty where it loses nothing.

    Example:
      >>> what_is_lost("float32", "float64"), what_is_lost("float64", "float32"), what_is_lost("int64", "int32")
      ('', 'fewer digits, a smaller range', 'a smaller range')
    """
    old, new = _COMPLEX.get(old, old), _COMPLEX.get(new, new)
    if old in _INTEGERS and new in _INTEGERS:
        (old_is_signed, old_bits), (new_is_signed, new_bits) = _INTEGERS[old], _INTEGERS[new]
        fits = new_bits > old_bits or (new_bits == old_bits and new_is_signed == old_is_signed)
        return "" if fits and (new_is_signed or not old_is_signed) else "a smaller range"
    if old in _FLOATS and new in _INTEGERS:
        return "no fractions, a smaller range"
    if new not in _FLOATS:
        return ""
    if old in _INTEGERS:
        is_signed, bits = _INTEGERS[old]
        is_lossy = _FLOATS[new].significand < bits - is_signed
        return f"fewer digits of integers beyond 2 ** {_FLOATS[new].significand}" if is_lossy else ""
    if old not in _FLOATS:
        return ""
    lost_parts = (
        "fewer digits" if _FLOATS[new].significand < _FLOATS[old].significand else "",
        "a smaller range" if _FLOATS[new].exponent < _FLOATS[old].exponent else "",
    )
    return ", ".join(part for part in lost_parts if part)


def describe_cast(old: str, new: str) -> str:
    """Returns a cast as the report has it: from what to what, and what it may lose; empty where nothing is cast.

    Example:
      >>> describe_cast("float32", "float16"), describe_cast("float16", "float32"), describe_cast("int8", "int8")
      ('float32 to float16, narrowing: fewer digits, a smaller range', 'float16 to float32', '')
    """
    if old == new:
        return ""
    lost = what_is_lost(old, new)
    return f"{old} to {new}{f', narrowing: {lost}' if lost else ''}"
