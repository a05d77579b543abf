"""CRC32C, the checksum that checkpoints keep of each tensor, of bytes that come in pieces. Pure.

Enters: bytes. Leaves: numbers. TensorFlow's own reader verifies a tensor only by holding all of it in memory.

A CRC is the remainder of a polynomial, whose first coefficient is the first byte's lowest bit. Where x^d + x^a + x^b + 1 is
a multiple of the divisor, a coefficient may be taken away if it is added (exclusive or) to those that are d - a, d - b and d
places further on; as a square modulo 2 is the sum of the squares, so may a whole byte, or a word, to bytes or words.

Source: the polynomial is Castagnoli's (RFC 3720); how TensorFlow masks what it stores: tensorflow/core/lib/hash/crc32c.h.
"""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np

_POLYNOMIAL = 0x82F63B78
_ALL_ONES = 0xFFFFFFFF
# Exponents of multiples of the divisor. Few terms and a wide gap after the first are fast, a low degree leaves little over.
_FAST: Tuple[int, ...] = (5685, 1362, 426, 0)
_SHORT: Tuple[int, ...] = (209, 144, 54, 39, 14, 0)
_FOLDS = ((np.uint64, _FAST), (np.uint8, _FAST), (np.uint64, _SHORT), (np.uint16, _SHORT))


def extend(checksum: int, data: bytes) -> int:
    """The checksum of some bytes and then `data`, when that of the former is `checksum`; begin with 0."""
    register = checksum ^ _ALL_ONES
    if len(data) > 1024:
        left = np.frombuffer(data, np.uint8).copy()
        left[:4] ^= np.array([register], "<u4").view(np.uint8)
        register = 0
        for dtype, exponents in _FOLDS:
            left = _fold(left, dtype, exponents)
        data = left.tobytes()
    for byte in data:
        register = _BYTES[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register ^ _ALL_ONES


def mask(checksum: int) -> int:
    """What a checkpoint stores in place of `checksum`."""
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & _ALL_ONES


def _fold(data: np.ndarray, dtype: type, exponents: Tuple[int, ...]) -> np.ndarray:
    """Fewer bytes that have the same checksum from 0 on; `data` is overwritten."""
    unit = np.dtype(dtype).itemsize
    words: Any = data[: len(data) // unit * unit].view(dtype)
    degree, gap = exponents[0], exponents[0] - exponents[1]
    end = max(len(words) - degree, 0)
    for start in range(0, end, gap):
        block = words[start : min(start + gap, end)]
        for exponent in exponents[1:]:
            place = start + degree - exponent
            words[place : place + len(block)] ^= block
    return data[end * unit :].copy()


def _after_a_byte(register: int) -> int:
    for _ in range(8):
        register = (register >> 1) ^ (_POLYNOMIAL if register & 1 else 0)
    return register


_BYTES = [_after_a_byte(byte) for byte in range(256)]
