"""How many steps an old Adam made, and what a new one keeps of that: a count, or powers of its betas. Pure.

TensorFlow 1's Adam has `beta1_power` and `beta2_power`, which after `t` updates are `beta ** (t + 1)`. Keras's has `t` itself.
"""

from __future__ import annotations

from typing import List, Mapping, Optional

from estimator_warmstart.adapters.transforms import Cast, CountSteps, PowerOfSteps, ProductOfMomenta
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.graph.bias_correction import betas_of
from estimator_warmstart.graph.initial_values import known_initial
from estimator_warmstart.graph.variables import NewVariable, OptimizerSettings
from estimator_warmstart.plan.plan import PlannedVariable, recovered
from estimator_warmstart.slots import MOMENTUM_CACHE, bias_correction

_COUNT, _POWERS = "iter", ("beta2_power", "beta1_power")
_GLOBAL_STEP = "global_step"


def planned_count(
    checkpoint: Checkpoint, new: Mapping[str, NewVariable], power: NewVariable, moments: List[str]
) -> Optional[PlannedVariable]:
    """What `power`, a new power or count, takes from the old optimizer; `None` where the checkpoint does not tell.

    Args:
      checkpoint: the old model.
      new: the graph's logical variables.
      power: the one that is to be filled.
      moments: names of the old moments that are recovered with it.
    """
    kind = bias_correction(power.name, power.shape)
    if kind == MOMENTUM_CACHE and power.settings is not None:
        return _product(checkpoint, power, power.settings, moments)
    same = _old_of_kind(checkpoint, kind, power.name, moments)
    if same is not None and same.dtype == power.dtype:
        return recovered(power, same)
    if same is not None and kind == _COUNT:
        return recovered(power, same, (Cast(power.dtype),), "steps")
    if kind == _COUNT:
        return _counted(checkpoint, new, power, moments) or (_of_global_step(checkpoint, power) if power.settings else None)
    return _raised(checkpoint, power, moments) if kind in _POWERS else None


def planned_iterations(checkpoint: Checkpoint, count: NewVariable, slots: List[str]) -> Optional[PlannedVariable]:
    """What the count of an optimizer that corrects no bias takes: the old optimizer's own count, else the global step.

    Args:
      checkpoint: the old model.
      count: the new optimizer's.
      slots: names of the old slots that are recovered with it.
    """
    same = _old_of_kind(checkpoint, _COUNT, count.name, slots)
    if same is None:
        return _of_global_step(checkpoint, count)
    return recovered(count, same, () if same.dtype == count.dtype else (Cast(count.dtype),), "steps")


def _of_global_step(checkpoint: Checkpoint, count: NewVariable) -> Optional[PlannedVariable]:
    step = _global_step(checkpoint.variables)
    if step is None:
        return None
    return recovered(count, step, () if step.dtype == count.dtype else (Cast(count.dtype),), "steps")


def _counted(
    checkpoint: Checkpoint, new: Mapping[str, NewVariable], count: NewVariable, moments: List[str]
) -> Optional[PlannedVariable]:
    """A count from an old power. The second one is the last to underflow."""
    betas = (
        count.settings.betas
        if count.settings is not None
        else betas_of(count.name, {name: variable.parts[0].copies[0] for name, variable in new.items()})
    )
    for kind in _POWERS:
        old, beta = _old_of_kind(checkpoint, kind, kind, moments), betas.get(kind)
        if old is not None and beta is not None and 0 < beta < 1:
            step = _global_step(checkpoint.variables) if count.settings is not None else None
            how = f"steps, counted with beta = {beta:.6g}" + (f", or of {step.name!r} if that has underflowed" if step else "")
            return recovered(count, old, (CountSteps(beta, count.dtype, step.name if step else ""),), how)
    return None


def _product(
    checkpoint: Checkpoint, product: NewVariable, settings: OptimizerSettings, moments: List[str]
) -> Optional[PlannedVariable]:
    """The product of Nadam's momenta from an old count: the generations of Nadam have other momenta, so it is made anew."""
    old, beta = _old_of_kind(checkpoint, _COUNT, "", moments), settings.betas.get("beta1_power")
    if old is None or beta is None:
        return None
    return recovered(
        product, old, (ProductOfMomenta(beta, settings.momentum_decay, product.dtype),), "the product of its momenta"
    )


def _raised(checkpoint: Checkpoint, power: NewVariable, moments: List[str]) -> Optional[PlannedVariable]:
    """A power from an old count."""
    old = _old_of_kind(checkpoint, _COUNT, "", moments)
    beta = known_initial(power.parts[0].copies[0])
    if old is None or beta is None:
        return None
    return recovered(power, old, (PowerOfSteps(beta, power.dtype),), f"{beta:.6g} ** (steps + 1)")


def _old_of_kind(checkpoint: Checkpoint, kind: str, same_name: str, moments: List[str]) -> Optional[OldVariable]:
    """The old power or count of that kind that belongs to the old `moments`."""
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
    if kind == _COUNT and not left and any(mine):
        return _global_step(variables)
    return left[0] if len(left) == 1 else None


def _global_step(variables: Mapping[str, OldVariable]) -> Optional[OldVariable]:
    """What Keras's optimizers count by in canned Estimators and in those of `model_to_estimator`."""
    step = variables.get(_GLOBAL_STEP)
    return step if step is not None and step.shape == () else None
