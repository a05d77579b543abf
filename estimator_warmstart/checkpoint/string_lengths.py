"""Decodes the lengths of a tensor's strings, which a checkpoint stores before the strings, and encodes them for the checksum.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc, `WriteStringTensor`.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

DAMAGED_LENGTHS = "the lengths of its strings are damaged"
# They are varints; those of more than 42 bits are not believed.
_MOST_BYTES_OF_A_LENGTH = 6
_LARGEST_UINT32 = 2**32 - 1


def decode_lengths(stored: bytes, most: int) -> Tuple[np.ndarray, int]:
    """Returns the numbers that `stored` begins with, `most` of them at most, and the bytes that they take."""
    data = np.frombuffer(stored, np.uint8)
    ends = np.flatnonzero(data < 0x80)[:most]
    if not len(ends):
        raise OSError(DAMAGED_LENGTHS)
    data = data[: ends[-1] + 1]
    starts = np.concatenate([[0], ends[:-1] + 1])
    places = np.arange(len(data)) - np.repeat(starts, ends - starts + 1)
    if places.max() >= _MOST_BYTES_OF_A_LENGTH:
        raise OSError(DAMAGED_LENGTHS)
    return np.add.reduceat((data & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64), starts), len(data)


def encode_lengths(lengths: np.ndarray, byte_order: str) -> bytes:
    """Returns the lengths of strings as their checksum takes them: in four bytes, in eight only where they need them."""
    if lengths.max() <= _LARGEST_UINT32:
        return lengths.astype(byte_order + "u4").tobytes()
    return b"".join(
        np.array([length], byte_order + ("u4" if length <= _LARGEST_UINT32 else "u8")).tobytes() for length in lengths
    )
