"""Plans a new Adam's count of steps, or powers of its betas, from what an old Adam has.

TensorFlow 1's Adam has `beta1_power` and `beta2_power`, which are `beta ** (t + 1)` after `t` updates. Keras's Adam has `t`.
"""

from __future__ import annotations

from typing import List, Mapping, Optional

from estimator_warmstart._tf import tf1
from estimator_warmstart.adapters.transforms import Cast, CountSteps, PowerOfSteps, ProductOfMomenta
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.graph.bias_correction import betas_of
from estimator_warmstart.graph.initial_values import known_initial
from estimator_warmstart.graph.variables import NewVariable, OptimizerSettings
from estimator_warmstart.plan.plan import PlannedVariable, recovered
from estimator_warmstart.slots import MOMENTUM_CACHE, bias_correction

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
    if kind == MOMENTUM_CACHE and power.settings is not None:
        return _product(checkpoint, power, power.settings, moments)
    same = _old_of_kind(checkpoint, kind, power.name, moments)
    if same is not None and same.dtype == power.dtype:
        return recovered(power, same)
    if same is not None and kind == _STEP_COUNT:
        return recovered(power, same, (Cast(power.dtype),), "steps")
    if kind == _STEP_COUNT:
        counted = _count_from_power(checkpoint, new, power, moments)
        return counted or (_count_from_global_step(checkpoint, power) if power.settings else None)
    return _power_from_count(checkpoint, power, moments) if kind in _BETA_POWERS else None


def planned_iterations(checkpoint: Checkpoint, count: NewVariable, slots: List[str]) -> Optional[PlannedVariable]:
    """Plans the count of an optimizer that corrects no bias, from the old optimizer's own count or from the global step.

    Args:
      checkpoint: the old model.
      count: the new optimizer's count.
      slots: the names of the old slots that are recovered with it.
    """
    same = _old_of_kind(checkpoint, _STEP_COUNT, count.name, slots)
    if same is None:
        return _count_from_global_step(checkpoint, count)
    return recovered(count, same, () if same.dtype == count.dtype else (Cast(count.dtype),), "steps")


def _count_from_global_step(checkpoint: Checkpoint, count: NewVariable) -> Optional[PlannedVariable]:
    step = _old_global_step(checkpoint.variables)
    if step is None:
        return None
    return recovered(count, step, () if step.dtype == count.dtype else (Cast(count.dtype),), "steps")


def _count_from_power(
    checkpoint: Checkpoint, new: Mapping[str, NewVariable], count: NewVariable, moments: List[str]
) -> Optional[PlannedVariable]:
    """Plans a count from an old power. The second power underflows last."""
    if count.settings is not None:
        betas = count.settings.betas
    else:
        betas = betas_of(count.name, {name: variable.parts[0].copies[0] for name, variable in new.items()})
    for kind in _BETA_POWERS:
        old, beta = _old_of_kind(checkpoint, kind, kind, moments), betas.get(kind)
        if old is not None and beta is not None and 0 < beta < 1:
            step = _old_global_step(checkpoint.variables) if count.settings is not None else None
            how = f"steps, counted with beta = {beta:.6g}" + (f", or of {step.name!r} if that has underflowed" if step else "")
            return recovered(count, old, (CountSteps(beta, count.dtype, step.name if step else ""),), how)
    return None


def _product(
    checkpoint: Checkpoint, product: NewVariable, settings: OptimizerSettings, moments: List[str]
) -> Optional[PlannedVariable]:
    """Plans the product of Nadam's momenta from an old count: it is made anew, since the generations' momenta differ."""
    old, beta = _old_of_kind(checkpoint, _STEP_COUNT, "", moments), settings.betas.get("beta1_power")
    if old is None or beta is None:
        return None
    return recovered(
        product, old, (ProductOfMomenta(beta, settings.momentum_decay, product.dtype),), "the product of its momenta"
    )


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
