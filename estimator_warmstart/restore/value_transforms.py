"""Steps that change values, not positions, as tensors: a function of the user's, a cast, another optimizer's convention.

They are apart from `adapting.py`, which knows where each value goes.
"""

from __future__ import annotations

import math
from typing import Any, Callable

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.transforms import Apply, Cast, CountSteps, Elementwise, ProductOfMomenta, Scale
from estimator_warmstart.errors import WarmStartError


def apply_function(step: Apply, value: Any) -> Any:
    """What the user's function makes of `value`.

    Raises:
      WarmStartError: if it is of another dtype than when the warm start was planned.
    """
    planned, made = step.dtype or value.dtype.name, tf.convert_to_tensor(step.fn(value))
    if made.dtype.name != planned:
        raise WarmStartError(
            f"a function of adapters.transform made {made.dtype.name} of {value.dtype.name} now, and {planned} when the warm "
            "start was planned; let it return one dtype"
        )
    return made


def apply_elementwise(step: Elementwise, value: Any, read_scalar: Callable[[str], Any]) -> Any:
    """`value` with every element changed as `step` says.

    Args:
      step: what is done to each element.
      value: a tensor.
      read_scalar: makes a tensor of the old variable of that name, whose shape is [].
    """
    if isinstance(step, Cast):
        return tf.cast(value, step.dtype)
    if isinstance(step, Scale):
        return _scaled(step, value, read_scalar)
    exact = tf.cast(value, tf.float64)
    if isinstance(step, CountSteps):
        return _counted(step, exact, read_scalar)
    if isinstance(step, ProductOfMomenta):
        # Long before that many steps the product is 0.
        steps = tf.cast(tf.range(1, tf.minimum(value, _MOST_MOMENTA) + 1), tf.float64)
        return tf.cast(tf.reduce_prod(step.beta * (1 - 0.5 * 0.96 ** (step.decay * steps))), step.dtype)
    return tf.cast(tf.constant(_as_multiplied(step.beta), tf.float64) ** (exact + 1), step.dtype)


_MOST_MOMENTA = 10**6
# Below it TensorFlow's powers, which are float32, are rounded to few digits or to 0.
_LEAST_POWER = float(np.finfo(np.float32).tiny)


def _counted(step: CountSteps, power: Any, read_scalar: Callable[[str], Any]) -> Any:
    least = tf.constant(_LEAST_POWER, tf.float64)
    count = tf.maximum(tf.round(tf.math.log(tf.maximum(power, least)) / math.log(_as_multiplied(step.beta))) - 1, 0)
    if step.otherwise:
        count = tf.compat.v2.where(power > least, count, tf.cast(read_scalar(step.otherwise), tf.float64))
    return tf.cast(count, step.dtype)


def _as_multiplied(beta: float) -> float:
    """The beta that a float32 power was multiplied by."""
    return float(np.float32(beta))


def _scaled(step: Scale, value: Any, read_scalar: Callable[[str], Any]) -> Any:
    scaled = value * tf.cast(step.factor, value.dtype)
    if not step.divisor:
        return scaled
    return tf.math.divide_no_nan(scaled, tf.cast(read_scalar(step.divisor), value.dtype))
