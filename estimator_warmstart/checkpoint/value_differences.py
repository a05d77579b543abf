"""Compares the values of variables of two checkpoints, a few MB at a time, however large they are."""

from __future__ import annotations

import math
from contextlib import closing
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.row_windows import row_windows
from estimator_warmstart.checkpoint.statistics import Reader, has_statistics, value_reader
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.progress import Progress


class ValueDifference(NamedTuple):
    """How the values of two variables differ.

    Attributes:
      size: the number of values of each.
      differing: how many differ; NaN is equal to NaN.
      largest: the largest absolute difference, in float64; NaN on one side only is infinite. `None`: not numbers.
      mean: the mean absolute difference, `None` likewise.
      not_compared: why values are not compared; otherwise empty.
    """

    size: int
    differing: int
    largest: Optional[float] = None
    mean: Optional[float] = None
    not_compared: str = ""

    @property
    def is_identical(self) -> bool:
        """Whether all values are equal."""
        return not self.differing and not self.not_compared

    def __str__(self) -> str:
        if self.not_compared:
            return f"not compared: {self.not_compared}"
        if not self.differing:
            return "identical"
        count = f"{self.differing:,} of {self.size:,} values differ"
        if self.largest is None or self.mean is None:
            return count
        return f"{count}, by {self.largest:.6g} at most, {self.mean:.6g} on average"


def compare_values(
    old: Checkpoint, new: Checkpoint, pairs: Sequence[Tuple[OldVariable, OldVariable]], progress: Progress
) -> Dict[str, ValueDifference]:
    """Returns {new name: difference} of pairs of variables.

    Args:
      old: the checkpoint of the first of each pair.
      new: that of the second.
      pairs: variables of any shapes and dtypes; only those of equal ones are compared.
      progress: is called with the bytes done and the bytes in all.

    Raises:
      CheckpointError: listing each variable that cannot be read or is damaged.
    """
    found: Dict[str, ValueDifference] = {}
    problems: List[str] = []
    done, total = 0, sum(after.nbytes for _, after in pairs)
    with closing(value_reader(old)) as old_reader, closing(value_reader(new)) as new_reader:
        for before, after in pairs:
            try:
                found[after.name] = _compare(old_reader, before, new_reader, after)
            except CheckpointError as error:
                problems.append(f"{after.name!r}: {error}")
            done += after.nbytes
            progress(done, total)
    if problems:
        raise CheckpointError(f"the values of {old.prefix} and {new.prefix} cannot be compared", problems)
    return found


def _compare(old_reader: Reader, old: OldVariable, new_reader: Reader, new: OldVariable) -> ValueDifference:
    if old.shape != new.shape:
        return ValueDifference(0, 0, not_compared="shapes differ")
    if old.dtype != new.dtype:
        return ValueDifference(0, 0, not_compared="dtypes differ")
    if old.dtype == "string":
        return _compare_strings(old_reader, old, new_reader, new)
    if not has_statistics(old) and not old.dtype.startswith("complex"):
        return ValueDifference(0, 0, not_compared=f"values of dtype {old.dtype}")
    size = differing = 0
    largest = total = 0.0
    for before, after in zip(row_windows(old_reader, old), row_windows(new_reader, new)):
        size += before.size
        unequal = (before != after) & ~((before != before) & (after != after))
        differing += int(unequal.sum())
        if unequal.any():
            gaps = _gaps(before[unequal], after[unequal])
            largest, total = max(largest, float(gaps.max())), total + float(gaps.sum())
    return ValueDifference(size, differing, largest, total / size if size else 0.0)


def _gaps(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    wide = np.complex128 if before.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        if before.dtype.kind in "iu":  # The difference of two large integers is exact, and may be one that float64 cannot tell.
            greater, less = np.maximum(before, after).astype(np.uint64), np.minimum(before, after).astype(np.uint64)
            return (greater - less).astype(np.float64)
        gaps = np.abs(after.astype(wide) - before.astype(wide))
    return np.where(np.isnan(gaps), math.inf, gaps)


def _compare_strings(old_reader: Reader, old: OldVariable, new_reader: Reader, new: OldVariable) -> ValueDifference:
    values = []
    for reader, variable in ((old_reader, old), (new_reader, new)):
        reader.check_strings(variable.key)  # Before TensorFlow reserves memory for them.
        values.append(np.array(tf.train.load_checkpoint(variable.prefix).get_tensor(variable.key), object))
    return ValueDifference(values[0].size, int(np.sum(values[0] != values[1])))


def difference_as_dict(difference: ValueDifference) -> Dict[str, object]:
    """Returns a difference for JSON, which has no infinity: that becomes the text `inf`."""
    plain = {name: str(value) if value == math.inf else value for name, value in difference._asdict().items()}
    return {"identical": difference.is_identical, **plain, "not_compared": difference.not_compared or None}
