"""A plan carried out in eager variables: every value is made first, then all of them are assigned."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Tuple

from estimator_warmstart._tf import tf
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.plan.plan import Plan, PlannedVariable
from estimator_warmstart.restore.finite_check import check_old_values
from estimator_warmstart.restore.log import log_recovered
from estimator_warmstart.restore.old_values import OldValues


def recover_eagerly(plan: Plan, check_finite: bool) -> None:
    """Carries out `plan`, whose new variables are eager.

    Raises:
      WarmStartError: before any variable is touched, if an old value cannot be read or is not finite.
    """
    started = time.monotonic()
    check_old_values(plan, check_finite)
    try:
        values = _values(plan)
    except tf.errors.OpError as error:
        raise WarmStartError(f"recovering from {plan.old_place} failed: {error.message}") from error
    while values:  # Each is let go of as soon as its variable has it.
        variable, value = values.pop()
        variable.assign(value, read_value=False)
    log_recovered(plan, f"Recovered in {time.monotonic() - started:.1f} s.")


def _values(plan: Plan) -> List[Tuple[Any, Any]]:
    """Each variable with its value. What is taken as it is read by one operation, as `tf.train.Checkpoint` reads it."""
    decided = [each for each in plan.recovered if each.steps or each.source.slices or each.source.stored is not None]
    found = _made(plan, decided) if decided else []
    as_it_is: Dict[str, List[PlannedVariable]] = {}
    for planned in plan.recovered:
        if not planned.steps and not planned.source.slices and planned.source.stored is None:
            as_it_is.setdefault(planned.source.prefix, []).append(planned)
    for prefix, whole in as_it_is.items():
        decided += whole
        with tf.device("/cpu:0"):
            found += tf.raw_ops.RestoreV2(
                prefix=prefix,
                tensor_names=[planned.source.key for planned in whole],
                shape_and_slices=[""] * len(whole),
                dtypes=[tf.as_dtype(planned.source.dtype) for planned in whole],
            )
    return [(planned.new.parts[0].variable, value) for planned, value in zip(decided, found)]


def _made(plan: Plan, decided: List[PlannedVariable]) -> List[Any]:
    """The values that are adapted, in a function: there operations wait for each other, as in the graph of a session."""

    def make() -> List[Any]:
        values = OldValues(plan.checkpoints, lambda copy: tf.identity(copy))
        # Of a mirrored variable that for the first copy: the assignment hands it on.
        return [next(values.of(planned))[1] for planned in decided]

    return list(tf.function(make)())
