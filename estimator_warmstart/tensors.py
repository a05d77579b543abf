"""Shapes, slices and sizes of tensors, as plain data: what the old side and the new side both speak of."""

from __future__ import annotations

from typing import Iterable, NamedTuple, Tuple

from estimator_warmstart._tf import tf

Shape = Tuple[int, ...]


class TensorSlice(NamedTuple):
    """A box of a tensor, as TensorFlow's `TensorSliceProto` has it.

    Attributes:
      offset: where it begins, one number for each axis.
      shape: its own.
    """

    offset: Shape
    shape: Shape


def whole_slice(shape: Shape) -> TensorSlice:
    """The slice that is all of a tensor."""
    return TensorSlice((0,) * len(shape), tuple(shape))


def count_elements(shape: Iterable[int]) -> int:
    """The number of elements of a tensor."""
    count = 1
    for length in shape:
        count *= length
    return count


def count_bytes(shape: Shape, dtype: str) -> int:
    """The bytes of a dense tensor; 0 for dtypes without a fixed size."""
    size = tf.as_dtype(dtype).size if dtype not in ("string", "resource", "variant") else 0
    return size * count_elements(shape)
