"""Steps that change values, not positions, as tensors: a function of the user's, a cast.

They are apart from `adapting.py`, which knows where each value goes.
"""
from __future__ import annotations

from typing import Any

from estimator_warmstart._tf import tf
from estimator_warmstart.errors import RecoveryError
from estimator_warmstart.steps import Apply, Elementwise


def apply_function(step: Apply, value: Any) -> Any:
    """What the user's function makes of `value`.

    Raises:
      RecoveryError: if it is of another dtype than when the warm start was planned.
    """
    planned, made = step.dtype or value.dtype.name, tf.convert_to_tensor(step.fn(value))
    if made.dtype.name != planned:
        raise RecoveryError(
            f"a function of adapters.transform made {made.dtype.name} of {value.dtype.name} now, and {planned} when the warm "
            "start was planned; let it return one dtype"
        )
    return made


def apply_elementwise(step: Elementwise, value: Any) -> Any:
    """`value` with every element changed as `step` says."""
    return tf.cast(value, step.dtype)
