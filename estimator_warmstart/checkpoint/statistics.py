"""Statistics of the values of old variables: minimum, maximum, mean, norm, the number of NaN.

The values are read in pieces of a few MB, however large a variable is, and their checksums are verified.
"""

from __future__ import annotations

import math
from contextlib import closing
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.arrays import ARRAY_FORMATS, ArrayReader
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.data_files import BundleReader
from estimator_warmstart.checkpoint.v1 import V1Reader
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.progress import Progress

Number = Union[int, float]
Reader = Union[BundleReader, V1Reader, ArrayReader]

# A piece is widened to float64 for its sums: up to eight times its size for a moment.
_PIECE_BYTES = 1 << 20
# NumPy has no bfloat16: its values are the upper halves of float32 values.
_BFLOAT16 = "bfloat16"


class Statistics(NamedTuple):
    """Statistics of the values of one variable. NaN count in `size` and `nan_count` only.

    Attributes:
      size: the number of values, NaN among them.
      nan_count: the number of NaN.
      minimum: the least value, `None` if there is none.
      maximum: the greatest value, `None` if there is none.
      mean: in float64, `None` if there are no values.
      norm: the Euclidean norm, in float64.
    """

    size: int
    nan_count: int
    minimum: Optional[Number]
    maximum: Optional[Number]
    mean: Optional[float]
    norm: float


def has_statistics(old: OldVariable) -> bool:
    """Returns whether the values are numbers that have an order: not strings, complex or quantized ones."""
    dtype = tf.as_dtype(old.dtype)
    return old.dtype == _BFLOAT16 or ((dtype.is_floating or dtype.is_integer or dtype.is_bool) and not dtype.is_quantized)


def value_reader(checkpoint: Checkpoint) -> Reader:
    """Returns a reader of the checkpoint's values, to be closed after use."""
    if checkpoint.format in ARRAY_FORMATS:
        return ArrayReader({old.key: old.stored for old in checkpoint.variables.values() if old.stored is not None})
    return V1Reader(checkpoint.prefix) if checkpoint.files else BundleReader(checkpoint.prefix)


def read_integer(checkpoint: Checkpoint, old: OldVariable) -> int:
    """Returns the value of a variable of shape [] that counts steps; raises as `values_in_pieces` does."""
    with closing(value_reader(checkpoint)) as reader:
        return int(np.concatenate(list(values_in_pieces(reader, old)))[0])  # To the end, where the checksum is verified.


def value_statistics(checkpoint: Checkpoint, variables: Iterable[OldVariable], progress: Progress) -> Dict[str, Statistics]:
    """Returns {name: statistics} of those of `variables` that have any.

    Args:
      checkpoint: the old model.
      variables: variables of it.
      progress: is called with the bytes done and the bytes in all, after each few MB.

    Raises:
      CheckpointError: listing each variable that cannot be read or is damaged.
    """
    chosen = [old for old in variables if has_statistics(old)]
    done, total = 0, sum(old.nbytes for old in chosen)
    found: Dict[str, Statistics] = {}
    problems: List[str] = []
    with closing(value_reader(checkpoint)) as reader:
        for old in chosen:
            sums = _RunningSums()
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


def values_in_pieces(reader: Reader, old: OldVariable) -> Iterator[np.ndarray]:
    """Yields the values of a variable that has statistics, a few MB at a time, its slices one after the other.

    Raises:
      CheckpointError: if they cannot be read or are damaged.
    """
    for chunk in reader.read_tensor(old.key):
        for start in range(0, len(chunk), _PIECE_BYTES):
            yield _decode_values(chunk[start : start + _PIECE_BYTES], old.dtype, reader.byte_order)


def count_not_finite(values: np.ndarray) -> Tuple[int, int]:
    """Returns how many of `values` are NaN, and how many are infinite."""
    if values.dtype.kind != "f":
        return 0, 0
    nan_count = int(np.isnan(values).sum())
    return nan_count, values.size - int(np.isfinite(values).sum()) - nan_count


def _decode_values(stored: bytes, dtype: str, byte_order: str) -> np.ndarray:
    """Returns stored bytes as an array of a dtype that NumPy can compute with."""
    if dtype == _BFLOAT16:
        return (np.frombuffer(stored, byte_order + "u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(stored, byte_order + np.dtype(tf.as_dtype(dtype).as_numpy_dtype).str[1:])


class _RunningSums:
    """Adds up the pieces of one variable."""

    def __init__(self) -> None:
        self._count = self._nan_count = 0
        self._minima: List[Number] = []
        self._maxima: List[Number] = []
        self._sum = self._sum_of_squares = 0.0

    def add(self, values: np.ndarray) -> None:
        self._count += values.size
        nan_count, _ = count_not_finite(values)
        if nan_count:
            self._nan_count += nan_count
            values = values[~np.isnan(values)]
        if not values.size:
            return
        self._minima.append(values.min().item())
        self._maxima.append(values.max().item())
        wide = values.astype(np.float64)
        with np.errstate(all="ignore"):  # Infinities among the values make infinite sums, which is right.
            self._sum += float(wide.sum())
            self._sum_of_squares += float(np.dot(wide, wide))

    def statistics(self) -> Statistics:
        numbers = self._count - self._nan_count
        if not numbers:
            return Statistics(self._count, self._nan_count, None, None, None, 0.0)
        return Statistics(
            self._count,
            self._nan_count,
            min(self._minima),
            max(self._maxima),
            self._sum / numbers,
            math.sqrt(self._sum_of_squares),
        )


def pool_statistics(members: Sequence[Statistics]) -> Statistics:
    """Returns the statistics of the values of several variables, one or more, together."""
    if len(members) == 1:
        return members[0]
    counts = [each.size - each.nan_count for each in members]
    numbers = sum(counts)
    minima = [each.minimum for each in members if each.minimum is not None]
    maxima = [each.maximum for each in members if each.maximum is not None]
    return Statistics(
        sum(each.size for each in members),
        sum(each.nan_count for each in members),
        min(minima, default=None),
        max(maxima, default=None),
        sum(each.mean * count for each, count in zip(members, counts) if each.mean is not None) / numbers if numbers else None,
        math.sqrt(sum(each.norm * each.norm for each in members)),
    )


def as_plain(statistics: Optional[Statistics]) -> Optional[Dict[str, Union[Number, str, None]]]:
    """Returns statistics for JSON, which has no infinity: that becomes the text `inf`."""
    if statistics is None:
        return None
    return {
        name: value if value is None or math.isfinite(value) else str(value) for name, value in statistics._asdict().items()
    }
