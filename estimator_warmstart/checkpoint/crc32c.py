"""CRC32C, the checksum that a checkpoint has of each tensor, computed of bytes that come in pieces.

TensorFlow's own reader verifies a tensor only while it holds all of it in memory. google-crc32c does this at 25 GB/s where it
is installed, the NumPy code here at 2.5 to 4 GB/s; of a small piece google-crc32c is 40 to 300 times as fast.

A CRC is the remainder of a polynomial, whose first coefficient is the first byte's lowest bit. Let x^d + x^a + x^b + 1 be a
multiple of the divisor. Then a coefficient may be removed if it is added (exclusive or) to those that are d - a, d - b and d
places further on. A square modulo 2 is the sum of the squares, so the same holds for whole bytes and words.

Source: the polynomial is Castagnoli's (RFC 3720); how TensorFlow masks what it stores: tensorflow/core/lib/hash/crc32c.h.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

try:
    import google_crc32c as _google
except ImportError:
    _google = None
if getattr(_google, "implementation", None) != "c":  # Its Python code is slower than the NumPy code here.
    _google = None

_POLYNOMIAL = 0x82F63B78
_ALL_ONES = 0xFFFFFFFF
# Exponents of multiples of the divisor: few terms and a wide gap after the first are fast, a low degree leaves few bytes.
_FAST: Tuple[int, ...] = (5685, 1362, 426, 0)
_SHORT: Tuple[int, ...] = (209, 144, 54, 39, 14, 0)
_FOLDS = ((np.uint64, _FAST), (np.uint8, _FAST), (np.uint64, _SHORT), (np.uint16, _SHORT))


def extend(checksum: int, data: bytes) -> int:
    """Returns the checksum of some bytes followed by `data`.

    Args:
      checksum: that of the bytes before; 0 if there are none.
      data: what follows them.
    """
    if _google is not None:
        return int(_google.extend(checksum, data))
    register = checksum ^ _ALL_ONES
    if len(data) > 1024:
        left = np.frombuffer(data, np.uint8).copy()
        left[:4] ^= np.array([register], "<u4").view(np.uint8)
        register = 0
        for dtype, exponents in _FOLDS:
            left = _shorten(left, dtype, exponents)
        data = left.tobytes()
    for byte in data:
        register = _REGISTER_AFTER_BYTE[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register ^ _ALL_ONES


def mask(checksum: int) -> int:
    """Returns what a checkpoint stores in place of `checksum`."""
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & _ALL_ONES


def _shorten(data: np.ndarray, dtype: type, exponents: Tuple[int, ...]) -> np.ndarray:
    """Returns fewer bytes that have the same checksum from a register of 0 on; overwrites `data`."""
    unit = np.dtype(dtype).itemsize
    words: np.ndarray = data[: len(data) // unit * unit].view(dtype)
    degree, gap = exponents[0], exponents[0] - exponents[1]
    end = max(len(words) - degree, 0)
    for start in range(0, end, gap):
        block = words[start : min(start + gap, end)]
        for exponent in exponents[1:]:
            place = start + degree - exponent
            words[place : place + len(block)] ^= block
    return data[end * unit :].copy()


def _shift_out_byte(register: int) -> int:
    for _ in range(8):
        register = (register >> 1) ^ (_POLYNOMIAL if register & 1 else 0)
    return register


_REGISTER_AFTER_BYTE = [_shift_out_byte(byte) for byte in range(256)]
