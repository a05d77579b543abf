"""Shapes, slices and sizes of tensors as plain data, for old and new variables alike."""

from __future__ import annotations

import sys
from typing import Iterable, NamedTuple, Tuple, Union

import numpy as np

from estimator_warmstart._tf import tf

Shape = Tuple[int, ...]

# NumPy's sign of this machine's byte order.
NATIVE_ORDER = ">" if sys.byteorder == "big" else "<"


class TensorSlice(NamedTuple):
    """A rectangular part of a tensor, like TensorFlow's `TensorSliceProto`.

    Attributes:
      offset: where the slice begins on each axis.
      shape: the shape of the slice.
    """

    offset: Shape
    shape: Shape


def whole_slice(shape: Shape) -> TensorSlice:
    """Returns the slice that holds the whole tensor."""
    return TensorSlice((0,) * len(shape), tuple(shape))


def count_elements(shape: Iterable[int]) -> int:
    """Returns the number of elements of a tensor."""
    count = 1
    for length in shape:
        count *= length
    return count


def count_bytes(shape: Shape, dtype: str) -> int:
    """Returns the size of a dense tensor in bytes; 0 for dtypes without a fixed size."""
    size = tf.as_dtype(dtype).size if dtype not in ("string", "resource", "variant") else 0
    return size * count_elements(shape)


def swap_bytes(values: Union[bytes, memoryview], dtype: str) -> bytes:
    """Returns the bytes of whole values of TensorFlow's `dtype` in the other byte order; a complex one is two numbers."""
    unit = tf.as_dtype(dtype).size // (2 if dtype.startswith("complex") else 1)
    return np.frombuffer(values, f"u{unit}").byteswap().tobytes()
