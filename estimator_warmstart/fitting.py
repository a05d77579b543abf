"""Whether an old value can become a new one, and by which steps. Pure.

Enters: an old variable, a new one, perhaps an adapter. Leaves: the steps, or a sentence on why not and what to change.
"""
from __future__ import annotations

from typing import Tuple

from estimator_warmstart.checkpoints import OldVariable
from estimator_warmstart.steps import Adapter, Misfit, Step, check_fills, result_shape
from estimator_warmstart.variables import NewVariable


def steps_between(old: OldVariable, new: NewVariable, adapter: Adapter) -> Tuple[Step, ...]:
    """The steps of `adapter` from the old shape to the new one.

    Raises:
      Misfit: with a sentence that names both variables, both shapes, the axis and the adapter.
    """
    check_dtype(old, new)
    try:
        steps = adapter.steps(old.shape, new.shape, new.dtype)
        check_fills(steps, new.dtype)
    except Misfit as reason:
        raise Misfit(
            f"{adapter.label} cannot make the new {new.name!r} {list(new.shape)} of the old {old.name!r} "
            f"{list(old.shape)}: {reason}"
        ) from reason
    made = result_shape(old.shape, steps)
    if made != new.shape:
        raise Misfit(
            f"{adapter.label} makes {list(made)} of the old {old.name!r} {list(old.shape)}, but the new {new.name!r} has "
            f"shape {list(new.shape)}: {_difference(made, new.shape)}"
        )
    return steps


def check_dtype(old: OldVariable, new: NewVariable) -> None:
    """Raises `Misfit` where no adapter could make the new value of the old one."""
    if not new.has_static_shape:
        raise Misfit(
            f"the graph does not know the shape of the new {new.name!r} (validate_shape=False); give it a static shape"
        )
    if old.dtype != new.dtype:
        raise Misfit(f"the new {new.name!r} is {new.dtype}, the old {old.name!r} is {old.dtype}; make the dtypes the same")


def check_same_shape(old: OldVariable, new: NewVariable) -> None:
    """Raises `Misfit` where the old value cannot be the new one as it is."""
    check_dtype(old, new)
    if old.shape != new.shape:
        raise Misfit(
            f"the new {new.name!r} has shape {list(new.shape)}, the old {old.name!r} {list(old.shape)}; "
            "adapters={} (or ShapeAdaptingRecoverHook) takes what fits of the old value"
        )


def _difference(made: Tuple[int, ...], wanted: Tuple[int, ...]) -> str:
    if len(made) != len(wanted):
        return f"{len(made)} axes instead of {len(wanted)}"
    axis = next(axis for axis, (length, other) in enumerate(zip(made, wanted)) if length != other)
    return f"{made[axis]:,} instead of {wanted[axis]:,} on axis {axis}"
