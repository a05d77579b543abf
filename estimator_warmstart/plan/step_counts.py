"""Plans a new Adam's count of steps, or powers of its betas, from what an old Adam has.

TensorFlow 1's Adam has `beta1_power` and `beta2_power`, which are `beta ** (t + 1)` after `t` updates. Keras's Adam has `t`.
"""

from __future__ import annotations

from typing import List, Mapping, Optional

from estimator_warmstart._tf import tf1
from estimator_warmstart.adapters.transforms import Cast, CountSteps, PowerOfSteps
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.graph.bias_correction import betas_of
from estimator_warmstart.graph.initial_values import known_initial
from estimator_warmstart.graph.variables import NewVariable
from estimator_warmstart.plan.plan import PlannedVariable, recovered
from estimator_warmstart.slots import bias_correction

_STEP_COUNT, _BETA_POWERS = "iter", ("beta2_power", "beta1_power")


def planned_count(
    checkpoint: Checkpoint, new: Mapping[str, NewVariable], power: NewVariable, moments: List[str]
) -> Optional[PlannedVariable]:
    """Plans `power`, a new power or count; returns `None` if the checkpoint does not have what it needs.

    Args:
      checkpoint: the old model.
      new: the graph's logical variables.
      power: the new power or count.
      moments: the names of the old moments that are recovered with it.
    """
    kind = bias_correction(power.name, power.shape)
    same = _old_of_kind(checkpoint, kind, power.name, moments)
    if same is not None and same.dtype == power.dtype:
        return recovered(power, same)
    if same is not None and kind == _STEP_COUNT:
        return recovered(power, same, (Cast(power.dtype),), "steps")
    if kind == _STEP_COUNT:
        return _count_from_power(checkpoint, new, power, moments)
    return _power_from_count(checkpoint, power, moments) if kind in _BETA_POWERS else None


def _count_from_power(
    checkpoint: Checkpoint, new: Mapping[str, NewVariable], count: NewVariable, moments: List[str]
) -> Optional[PlannedVariable]:
    """Plans a count from an old power. The second power underflows last."""
    betas = betas_of(count.name, {name: variable.parts[0].copies[0] for name, variable in new.items()})
    for kind in _BETA_POWERS:
        old, beta = _old_of_kind(checkpoint, kind, kind, moments), betas.get(kind)
        if old is not None and beta is not None and 0 < beta < 1:
            return recovered(count, old, (CountSteps(beta, count.dtype),), f"steps, counted with beta = {beta:.6g}")
    return None


def _power_from_count(checkpoint: Checkpoint, power: NewVariable, moments: List[str]) -> Optional[PlannedVariable]:
    """Plans a power from an old count."""
    old = _old_of_kind(checkpoint, _STEP_COUNT, "", moments)
    beta = known_initial(power.parts[0].copies[0])
    if old is None or beta is None:
        return None
    return recovered(power, old, (PowerOfSteps(beta, power.dtype),), f"{beta:.6g} ** (steps + 1)")


def _old_of_kind(checkpoint: Checkpoint, kind: str, same_name: str, moments: List[str]) -> Optional[OldVariable]:
    """Finds the old power or count of this kind that belongs to the old `moments`."""
    variables, slots_by_name = checkpoint.variables, checkpoint.slots_by_name
    of_kind = {name: old for name, old in variables.items() if bias_correction(name, old.shape) == kind}
    mine = {slots_by_name[moment].prefix for moment in moments if moment in slots_by_name}
    below = [old for prefix in mine for name, old in of_kind.items() if prefix and name == f"{prefix}{kind}"]
    if len(below) == 1:
        return below[0]
    if same_name in of_kind:
        return of_kind[same_name]
    others = {slot_of.prefix for slot_of in slots_by_name.values() if slot_of.prefix} - mine
    left = [old for name, old in of_kind.items() if f"{name.rpartition('/')[0]}/" not in others]
    if kind == _STEP_COUNT and not left and any(mine):
        return _old_global_step(variables)
    return left[0] if len(left) == 1 else None


def _old_global_step(variables: Mapping[str, OldVariable]) -> Optional[OldVariable]:
    """Returns the count of Keras's optimizers in canned Estimators and in those of `model_to_estimator`."""
    step = variables.get(tf1.GraphKeys.GLOBAL_STEP)
    return step if step is not None and step.shape == () else None
