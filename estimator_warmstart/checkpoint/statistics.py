"""What the values of old variables are like: least, greatest, mean, norm, how many are NaN.

Enters: a checkpoint and some of its variables. Leaves: numbers. The values are read in pieces of a few MB, whatever the size
of a variable, and their checksums are verified on the way. This module must not know who asks.
"""

from __future__ import annotations

import math
from contextlib import closing
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from estimator_warmstart._tf import tensor_bundle_pb2, tf
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.data_files import BundleReader
from estimator_warmstart.checkpoint.v1 import V1Reader, reader_of
from estimator_warmstart.errors import CheckpointError

Number = Union[int, float]

# A piece is widened to float64 for its sums: up to eight times its size for a moment.
_PIECE_BYTES = 1 << 20
# NumPy has no bfloat16: these are the upper halves of float32 values.
_BFLOAT16 = "bfloat16"


class Statistics(NamedTuple):
    """Numbers on the values of one variable, those that are NaN left out.

    Attributes:
      size: how many values there are, NaN or not.
      nan_count: how many are NaN.
      minimum: `None` where there is no value; so are the next two.
      maximum: the greatest.
      mean: in float64.
      norm: the Euclidean norm, in float64.
    """

    size: int
    nan_count: int
    minimum: Optional[Number]
    maximum: Optional[Number]
    mean: Optional[float]
    norm: float


def has_statistics(old: OldVariable) -> bool:
    """Whether the values are numbers that have an order: not strings, complex or quantized ones."""
    dtype = tf.as_dtype(old.dtype)
    return old.dtype == _BFLOAT16 or ((dtype.is_floating or dtype.is_integer or dtype.is_bool) and not dtype.is_quantized)


def value_statistics(
    checkpoint: Checkpoint, variables: Iterable[OldVariable], progress: Callable[[int, int], None]
) -> Dict[str, Statistics]:
    """{name: Statistics} of those of `variables` that have any.

    Args:
      checkpoint: the old model.
      variables: of it.
      progress: is told the bytes done and the bytes in all, after each few MB.

    Raises:
      CheckpointError: listing each variable that cannot be read or is damaged.
    """
    chosen = [old for old in variables if has_statistics(old)]
    done, total = 0, sum(old.nbytes for old in chosen)
    found: Dict[str, Statistics] = {}
    problems: List[str] = []
    with closing(reader_of(checkpoint.prefix, bool(checkpoint.files))) as reader:
        for old in chosen:
            sums = _Sums()
            try:
                for values in values_in_pieces(reader, old):
                    sums.add(values)
                    done += values.size * tf.as_dtype(old.dtype).size
                    progress(done, total)
                found[old.name] = sums.statistics()
            except CheckpointError as error:
                problems.append(str(error))
    if problems:
        raise CheckpointError(f"the checkpoint {checkpoint.prefix} is not whole", problems)
    return found


def values_in_pieces(reader: Union[BundleReader, V1Reader], old: OldVariable) -> Iterator[np.ndarray]:
    """The values of a variable that has statistics, a few MB at a time, its slices one after the other.

    Raises:
      CheckpointError: if they cannot be read or are damaged.
    """
    is_big = reader.header.endianness == tensor_bundle_pb2.BundleHeaderProto.BIG
    for _, entry in reader.entries(old.key, old.key):
        for chunk in reader.read(old.key, entry):
            for start in range(0, len(chunk), _PIECE_BYTES):
                yield _values(chunk[start : start + _PIECE_BYTES], old.dtype, ">" if is_big else "<")


def count_not_finite(values: np.ndarray) -> Tuple[int, int]:
    """How many of `values` are NaN, and how many infinite."""
    if values.dtype.kind != "f":
        return 0, 0
    nan_count = int(np.isnan(values).sum())
    return nan_count, values.size - int(np.isfinite(values).sum()) - nan_count


def _values(stored: bytes, dtype: str, byte_order: str) -> np.ndarray:
    """Stored bytes as an array of a dtype that NumPy can count with."""
    if dtype == _BFLOAT16:
        return (np.frombuffer(stored, byte_order + "u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(stored, byte_order + np.dtype(tf.as_dtype(dtype).as_numpy_dtype).str[1:])


class _Sums:
    """The sums of a variable's pieces."""

    def __init__(self) -> None:
        self._count = self._nan_count = 0
        self._least: List[Number] = []
        self._greatest: List[Number] = []
        self._sum = self._squares = 0.0

    def add(self, values: np.ndarray) -> None:
        self._count += values.size
        nan_count, _ = count_not_finite(values)
        if nan_count:
            self._nan_count += nan_count
            values = values[~np.isnan(values)]
        if not values.size:
            return
        self._least.append(values.min().item())
        self._greatest.append(values.max().item())
        wide = values.astype(np.float64)
        with np.errstate(all="ignore"):  # Infinities among the values make infinite sums, which is right.
            self._sum += float(wide.sum())
            self._squares += float(np.dot(wide, wide))

    def statistics(self) -> Statistics:
        numbers = self._count - self._nan_count
        if not numbers:
            return Statistics(self._count, self._nan_count, None, None, None, 0.0)
        return Statistics(
            self._count,
            self._nan_count,
            min(self._least),
            max(self._greatest),
            self._sum / numbers,
            math.sqrt(self._squares),
        )


def as_plain(statistics: Optional[Statistics]) -> Optional[Dict[str, Any]]:
    """For JSON, which knows no infinity: that becomes the text `inf`."""
    if statistics is None:
        return None
    return {
        name: value if value is None or math.isfinite(value) else str(value) for name, value in statistics._asdict().items()
    }
