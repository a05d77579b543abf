"""A plan carried out in eager variables: every value is made first, then all of them are assigned."""

from __future__ import annotations

import functools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from estimator_warmstart._tf import tf, tf1
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.plan.plan import Plan, PlannedVariable
from estimator_warmstart.progress import tally
from estimator_warmstart.restore.finite_check import check_old_values
from estimator_warmstart.restore.graph_progress import describe, is_large
from estimator_warmstart.restore.log import log_recovered
from estimator_warmstart.restore.old_values import OldValues

# Of a large recovery, so many values at a time are read, each few of so many bytes by one operation.
_READERS = 8
_PIECE_BYTES = 64 * 2**20


def recover_eagerly(plan: Plan, check_finite: bool) -> None:
    """Carries out `plan`, whose new variables are eager.

    Raises:
      WarmStartError: before any variable is touched, if an old value cannot be read or is not finite.
    """
    started = time.monotonic()
    check_old_values(plan, check_finite)
    try:
        total = sum(planned.new.nbytes for planned in plan.recovered)
        with tally(describe(plan), total) as count:
            values = _Values(plan, count if is_large(total) else None).all()
    except tf.errors.OpError as error:
        raise WarmStartError(f"recovering from {plan.old_place} failed: {error.message}") from error
    while values:  # Each is let go of as soon as its variable has it.
        variable, value = values.pop()
        variable.assign(value, read_value=False)
    log_recovered(plan, f"Recovered in {time.monotonic() - started:.1f} s.")


class _Values:
    """Makes the values of a plan, and tells how far that is.

    Args:
      plan: the plan.
      count: is called with the bytes of each value that is made, in any thread; `None`: not worth it.
    """

    def __init__(self, plan: Plan, count: Optional[Callable[[int], None]]):
        self._plan, self._count = plan, count

    def all(self) -> List[Tuple[Any, Any]]:
        """Each variable with its value. What is taken as it is is read as `tf.train.Checkpoint` reads it."""
        decided = [each for each in self._plan.recovered if each.steps or each.source.slices or each.source.stored is not None]
        found = self._adapted(decided) if decided else []
        as_it_is: Dict[str, List[PlannedVariable]] = {}
        for planned in self._plan.recovered:
            if not planned.steps and not planned.source.slices and planned.source.stored is None:
                as_it_is.setdefault(planned.source.prefix, []).append(planned)
        for whole in as_it_is.values():
            decided += whole
            found += self._read(whole)
        return [(planned.new.parts[0].variable, value) for planned, value in zip(decided, found)]

    def _read(self, whole: List[PlannedVariable]) -> List[Any]:
        """The values that are taken as they are, read by one operation; if they are large, by one for each few MB."""
        count = self._count
        if count is None:
            return _read_together(whole)

        def read(piece: List[PlannedVariable]) -> List[Any]:
            values = _read_together(piece)
            count(sum(planned.new.nbytes for planned in piece))
            return values

        with ThreadPoolExecutor(_READERS) as pool:
            return [value for values in pool.map(read, _in_pieces(whole)) for value in values]

    def _adapted(self, decided: List[PlannedVariable]) -> List[Any]:
        """The values that are adapted, in a function: there operations wait for each other, as in the graph of a session."""

        def make() -> List[Any]:
            values = OldValues(self._plan.checkpoints, lambda copy: tf.identity(copy))
            made = []
            for planned in decided:
                # Of a mirrored variable that for the first copy: the assignment hands it on.
                made.append(next(values.of(planned))[1])
                if self._count is not None:
                    _call_when_made(made[-1], functools.partial(self._count, planned.new.nbytes))
            return made

        return list(tf.function(make)())


def _call_when_made(value: tf.Tensor, act: Callable[[], None]) -> None:
    """Makes the function that is being built call `act()` once it has made `value`, which Python does not get to see."""

    def called() -> np.bool_:
        act()
        return np.bool_(True)

    with tf.control_dependencies([value]):
        tf1.numpy_function(called, [], tf.bool)


def _in_pieces(whole: List[PlannedVariable]) -> List[List[PlannedVariable]]:
    pieces: List[List[PlannedVariable]] = [[]]
    nbytes = 0
    for planned in whole:
        if nbytes >= _PIECE_BYTES:
            pieces.append([])
            nbytes = 0
        pieces[-1].append(planned)
        nbytes += planned.new.nbytes
    return pieces


def _read_together(whole: Sequence[PlannedVariable]) -> List[Any]:
    with tf.device("/cpu:0"):
        return list(
            tf.raw_ops.RestoreV2(
                prefix=whole[0].source.prefix,
                tensor_names=[planned.source.key for planned in whole],
                shape_and_slices=[""] * len(whole),
                dtypes=[tf.as_dtype(planned.source.dtype) for planned in whole],
            )
        )
