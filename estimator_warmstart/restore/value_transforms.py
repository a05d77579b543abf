"""Transforms that change values, not positions, as tensors: a user's function, a cast, another optimizer's convention.

They are apart from `adapted_values.py`, which knows where each value goes.
"""

from __future__ import annotations

import math
from typing import Callable

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.transforms import Apply, Cast, CountSteps, Elementwise, ProductOfMomenta, Scale, ShrinkPerturb
from estimator_warmstart.errors import WarmStartError

# Below it TensorFlow's powers of Adam's betas, which are float32, are rounded to few digits or to 0.
_LEAST_POWER = float(np.finfo(np.float32).tiny)
# Long before that many steps the product of Nadam's momenta is 0.
_MOST_MOMENTA = 10**6


def apply_function(transform: Apply, value: tf.Tensor) -> tf.Tensor:
    """Returns what the user's function makes of `value`.

    Raises:
      WarmStartError: if its dtype differs from the one made while the warm start was planned.
    """
    if transform.takes_arrays:
        return _numpy_function(transform, value)
    planned, made = transform.dtype or value.dtype.name, tf.convert_to_tensor(transform.fn(value))
    if made.dtype.name != planned:
        raise WarmStartError(
            f"a function of adapters.transform made {made.dtype.name} of {value.dtype.name} now, and {planned} when the warm "
            "start was planned; let it return one dtype"
        )
    return made


def _numpy_function(transform: Apply, value: tf.Tensor) -> tf.Tensor:
    dtype = tf.as_dtype(transform.dtype or value.dtype.name)

    # A session shows the message of what is raised here, and nothing that this package could add.
    def checked(array: np.ndarray) -> np.ndarray:
        function, given = f"the function of adapters.transform(numpy=True) for {transform.variable!r}", _described(array)
        try:
            made = np.asarray(transform.fn(array))
        except Exception as error:
            raise ValueError(
                f"{function} raised {type(error).__name__} for {given}: {error}; mend it, or exclude the variable"
            ) from error
        if made.shape != transform.shape or made.dtype != dtype.as_numpy_dtype:
            raise ValueError(
                f"{function} made {_described(made)} of {given}, and the variable needs {dtype.name} {list(transform.shape)}; "
                "let it return these, or name an adapter after it that makes them"
            )
        return made

    return tf.ensure_shape(tf.numpy_function(checked, [value], dtype), transform.shape)


def _described(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"


def apply_elementwise(transform: Elementwise, value: tf.Tensor, read_scalar: Callable[[str], tf.Tensor]) -> tf.Tensor:
    """Returns `value` with every element changed as `transform` says.

    Args:
      transform: what is done to each element.
      value: a tensor.
      read_scalar: makes a tensor of the old variable of that name, whose shape is [].
    """
    if isinstance(transform, Cast):
        return tf.cast(value, transform.dtype)
    if isinstance(transform, Scale):
        return _scaled(transform, value, read_scalar)
    if isinstance(transform, ShrinkPerturb):
        return _shrunk(transform, value)
    exact, beta = tf.cast(value, tf.float64), _as_multiplied(transform.beta)
    if isinstance(transform, CountSteps):
        return _counted(transform, exact, read_scalar)
    if isinstance(transform, ProductOfMomenta):
        steps = tf.cast(tf.range(1, tf.minimum(value, _MOST_MOMENTA) + 1), tf.float64)
        return tf.cast(tf.reduce_prod(transform.beta * (1 - 0.5 * 0.96 ** (transform.decay * steps))), transform.dtype)
    return tf.cast(tf.constant(beta, tf.float64) ** (exact + 1), transform.dtype)


def _counted(transform: CountSteps, power: tf.Tensor, read_scalar: Callable[[str], tf.Tensor]) -> tf.Tensor:
    least = tf.constant(_LEAST_POWER, tf.float64)
    count = tf.maximum(tf.round(tf.math.log(tf.maximum(power, least)) / math.log(_as_multiplied(transform.beta))) - 1, 0)
    if transform.otherwise:
        count = tf.compat.v2.where(power > least, count, tf.cast(read_scalar(transform.otherwise), tf.float64))
    return tf.cast(count, transform.dtype)


def _as_multiplied(beta: float) -> float:
    """Returns the beta that a float32 power was multiplied by."""
    return float(np.float32(beta))


def _scaled(transform: Scale, value: tf.Tensor, read_scalar: Callable[[str], tf.Tensor]) -> tf.Tensor:
    scaled = value * tf.cast(transform.factor, value.dtype)
    if not transform.divisor:
        return scaled
    return tf.math.divide_no_nan(scaled, tf.cast(read_scalar(transform.divisor), value.dtype))


def _shrunk(transform: ShrinkPerturb, value: tf.Tensor) -> tf.Tensor:
    shrunk = value * tf.cast(transform.shrink, value.dtype)
    if not transform.noise_stddev:
        return shrunk
    drawn_dtype = tf.float64 if value.dtype == tf.float64 else tf.float32
    seed = tf.constant([transform.seed, transform.place], tf.int64)
    # Without a state: all copies of a variable, and all workers, draw the same.
    noise = tf.random.stateless_normal(tf.shape(value), seed, 0.0, transform.noise_stddev, drawn_dtype)
    return shrunk + tf.cast(noise, value.dtype)
