"""The values of an old variable as numpy arrays, a few rows at a time: for what is larger than the memory.

A checksum is that of a whole tensor, or of a whole slice of one. So the rows come in order, and the last ones only after the
checksums of all that was read are verified.
"""

from __future__ import annotations

from typing import Iterator, List, Optional, Union

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.checkpoint import OldVariable
from estimator_warmstart.checkpoint.statistics import Reader
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.tensors import NATIVE_ORDER, Shape, TensorSlice, count_bytes, count_elements, swap_bytes

WINDOW_BYTES = 1 << 22


def row_windows(reader: Reader, old: OldVariable, nbytes: Optional[int] = None) -> Iterator[np.ndarray]:
    """Yields all rows of `old` in order, in windows. Where they begin depends on the shape, the dtype and `nbytes` only.

    Args:
      reader: of the checkpoint that `old` is in (`statistics.value_reader`).
      old: any variable but one of strings or variants. It may be stored in slices.
      nbytes: of a window, at most, unless a single row has more; `None`: `WINDOW_BYTES`. As much
        again is in memory; of a V1 checkpoint the tensor.

    Yields:
      Arrays `[rows, ...]` of the variable's dtype, not to be written to. A scalar is one row of shape [].

    Raises:
      CheckpointError: if the values cannot be read, are damaged, or are not all there. What came before must not be used then.
    """
    if not old.is_whole:
        raise CheckpointError(f"{old.name!r} {list(old.shape)} is stored in part only")
    shape = old.shape or (1,)
    streams = [
        _SliceStream(TensorSlice(box.offset or (0,), box.shape or (1,)), chunks, old.dtype, reader.byte_order)
        for box, chunks in reader.stored_slices(old.key)
    ]
    rows = rows_per_window(shape, old.dtype, nbytes)
    for start in range(0, shape[0], rows):
        stop = min(start + rows, shape[0])
        if len(streams) == 1:
            yield streams[0].rows(start, stop)
            continue
        window = np.empty((stop - start, *shape[1:]), numpy_dtype(old.dtype))
        for stream in streams:
            stream.copy_rows(start, stop, window)
        yield window


def rows_per_window(shape: Shape, dtype: str, nbytes: Optional[int] = None) -> int:
    """Returns how many rows of a tensor of this shape have `nbytes` at most; 1 at least."""
    return max(1, (nbytes or WINDOW_BYTES) // max(1, count_elements(shape[1:]) * tf.as_dtype(dtype).size))


def numpy_dtype(dtype: str) -> np.dtype:
    """Returns NumPy's dtype for TensorFlow's name of one; bfloat16 is the one that comes with TensorFlow."""
    return np.dtype(tf.as_dtype(dtype).as_numpy_dtype)


class _SliceStream:
    """The rows of one stored slice, read in order; after the last of them its checksum has been verified."""

    def __init__(self, box: TensorSlice, chunks: Iterator[bytes], dtype: str, byte_order: str):
        self._box, self._chunks, self._dtype = box, chunks, dtype
        self._swaps = byte_order != NATIVE_ORDER
        self._left = memoryview(b"")

    def copy_rows(self, start: int, stop: int, window: np.ndarray) -> None:
        """Copies what the slice has of the rows from `start` to `stop` of the tensor to `window`, which is of these rows."""
        first, last = max(start, self._box.offset[0]), min(stop, self._box.offset[0] + self._box.shape[0])
        if first < last:
            others = tuple(slice(offset, offset + length) for offset, length in zip(*self._box))[1:]
            window[(slice(first - start, last - start), *others)] = self.rows(first, last)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Returns the rows from `start` to `stop` of the tensor, all of which the slice has."""
        shape = (stop - start, *self._box.shape[1:])
        stored = self._take(count_bytes(shape, self._dtype))
        if stop == self._box.offset[0] + self._box.shape[0]:
            for _ in self._chunks:  # There is none: the reader verifies the checksum after the last one.
                raise CheckpointError("a tensor has more values than its shape")
        stored = swap_bytes(stored, self._dtype) if self._swaps else stored
        return np.frombuffer(stored, numpy_dtype(self._dtype)).reshape(shape)

    def _take(self, nbytes: int) -> Union[bytes, memoryview]:
        pieces: List[memoryview] = []
        while nbytes:
            if not len(self._left):
                self._left = memoryview(next(self._chunks, b""))
                if not len(self._left):
                    raise CheckpointError("a tensor has fewer values than its shape")
            pieces.append(self._left[:nbytes])
            nbytes -= len(pieces[-1])
            self._left = self._left[len(pieces[-1]) :]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
