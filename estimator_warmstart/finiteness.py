"""Looks at old values before they are used: is there a NaN or an infinity among them?

Enters: a plan. Leaves: nothing, or one error that lists every old variable with such values. No other part of a recovery
reads values in the client; here it is one variable at a time, and only if it is asked for.
"""
from __future__ import annotations

import numpy as np

from estimator_warmstart._tf import tf, tf1
from estimator_warmstart.checkpoints import OldVariable
from estimator_warmstart.errors import CheckpointError, PlanError
from estimator_warmstart.plan import Plan
from estimator_warmstart.v1_files import V1Reader


def check_finite(plan: Plan) -> None:
    """Raises if an old value that is to be recovered is not finite.

    Raises:
      PlanError: listing the old variables with NaN or infinity, with how many of each.
      CheckpointError: if a value cannot be read.
    """
    reader = None if plan.checkpoint.files else tf1.train.NewCheckpointReader(plan.checkpoint.prefix)
    problems = []
    for old in dict.fromkeys(fate.source for fate in plan.recovered):
        if not tf.as_dtype(old.dtype).is_floating:
            continue
        try:
            value = reader.get_tensor(old.key) if reader is not None else _value_of_v1(plan.checkpoint.prefix, old)
            value = value.astype(np.float64 if old.dtype == "float64" else np.float32, copy=False)
        except (tf.errors.OpError, RuntimeError) as error:
            raise CheckpointError(f"the old {old.name!r} cannot be read from {plan.checkpoint.prefix}: {error}") from error
        nans, infinities = int(np.isnan(value).sum()), int(np.isinf(value).sum())
        if nans or infinities:
            problems.append(
                f"the old {old.name!r} {list(old.shape)} has {nans:,} NaN and {infinities:,} infinite values; leave it out of "
                "recover_vars, or take an older checkpoint"
            )
    if problems:
        raise PlanError(f"the old model {plan.checkpoint.prefix} is not finite", problems)


def _value_of_v1(prefix: str, old: OldVariable) -> np.ndarray:
    stored = b"".join(V1Reader(prefix).read(old.key, None))
    return np.frombuffer(stored, tf.as_dtype(old.dtype).as_numpy_dtype)
