"""Looks at old values before they are used: at numbers if that is asked for, at strings and at files of arrays always.

No other part of a recovery reads values in the client. Here it is a few MB at a time.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import Callable, ContextManager, List, Sequence

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.statistics import count_not_finite, value_reader, values_in_pieces
from estimator_warmstart.errors import CheckpointError, WarmStartError, raise_together
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.progress import tally

# DecodeCompressed makes no more bytes of one string.
_MOST_INFLATED = 2**31 - 1


def check_old_values(plan: Plan, check_finite: bool) -> None:
    """Raises if an old value that is to be recovered must not be taken.

    Args:
      plan: what is to be recovered.
      check_finite: whether to read every number and refuse NaN and infinity.

    Raises:
      WarmStartError: listing the old variables with NaN or infinity, with how many of each.
      CheckpointError: if a value cannot be read, strings are not as long as the file says, or an array is damaged.
    """
    errors: List[WarmStartError] = []
    for checkpoint, taken in plan.sources:
        try:
            if check_finite:
                _refuse_not_finite(checkpoint, taken)
            _refuse_damaged_strings(checkpoint, taken)
            refuse_damaged_arrays(checkpoint, taken)
        except WarmStartError as error:
            errors.append(error)
    raise_together(errors)


def _checking(checkpoint: Checkpoint, variables: Sequence[OldVariable]) -> ContextManager[Callable[[int], None]]:
    return tally(f"Checking {os.path.basename(checkpoint.prefix)}", sum(old.nbytes for old in variables))


def _refuse_not_finite(checkpoint: Checkpoint, taken: Sequence[OldVariable]) -> None:
    """Raises if an old value that is to be recovered is not finite.

    Raises:
      WarmStartError: listing the old variables with NaN or infinity, with how many of each.
      CheckpointError: if a value cannot be read.
    """
    numbers = [old for old in taken if tf.as_dtype(old.dtype).is_floating]
    if not numbers:
        return
    problems: List[str] = []
    with closing(value_reader(checkpoint)) as reader, _checking(checkpoint, numbers) as count:
        for old in numbers:
            nans = infinities = 0
            try:
                for values in values_in_pieces(reader, old):
                    more_nans, more_infinities = count_not_finite(values)
                    nans, infinities = nans + more_nans, infinities + more_infinities
                    count(values.size * tf.as_dtype(old.dtype).size)
            except CheckpointError as error:
                raise CheckpointError(f"the old {old.name!r} cannot be read from {checkpoint.prefix}: {error}") from error
            if nans or infinities:
                problems.append(
                    f"the old {old.name!r} {list(old.shape)} has {nans:,} NaN and {infinities:,} infinite values; leave it out "
                    "of recover_vars, or take an older checkpoint"
                )
    if problems:
        raise WarmStartError(f"the old model {checkpoint.prefix} is not finite", problems)


def _refuse_damaged_strings(checkpoint: Checkpoint, taken: Sequence[OldVariable]) -> None:
    """Raises if old strings that are to be recovered are not as long as the file says: TensorFlow would end the process.

    Raises:
      CheckpointError: listing them.
    """
    strings = [old for old in taken if old.dtype == "string"]
    if not strings:
        return
    problems: List[str] = []
    with closing(value_reader(checkpoint)) as reader:
        for old in strings:
            try:
                reader.check_strings(old.key)
            except CheckpointError as error:
                problems.append(str(error))
    if problems:
        raise CheckpointError(f"the checkpoint {checkpoint.prefix} is not whole", problems)


def refuse_damaged_arrays(checkpoint: Checkpoint, taken: Sequence[OldVariable]) -> None:
    """Raises if arrays of an `.npz` file that are to be recovered are damaged: the operations that read them verify nothing.

    Raises:
      CheckpointError: listing them.
    """
    arrays = [old for old in taken if old.stored is not None and old.stored.crc32 is not None]
    if not arrays:
        return
    problems: List[str] = [
        f"{old.name!r} has {old.stored.size:,} bytes and is compressed, more than TensorFlow inflates; convert the file first"
        for old in arrays
        if old.stored and old.stored.compressed_size and old.stored.size > _MOST_INFLATED
    ]
    with closing(value_reader(checkpoint)) as reader, _checking(checkpoint, arrays) as count:
        for old in arrays:
            try:
                for piece in reader.read_tensor(old.key):
                    count(len(piece))
            except CheckpointError as error:
                problems.append(str(error))
    if problems:
        raise CheckpointError(f"the arrays of {checkpoint.prefix} cannot be recovered", problems)
