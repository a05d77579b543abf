"""The adapter that shrinks and perturbs parameters, so that a warm start on new data generalizes as a cold one."""

from __future__ import annotations

import math
import zlib
from typing import Optional, Sequence, Tuple

from estimator_warmstart.adapters.transforms import Adapter, Apply, Misfit, ShrinkPerturb, Transform
from estimator_warmstart.arguments import is_integer, is_number
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.tensors import Shape


def shrink_perturb(shrink: float, noise_stddev: float, *, seed: Optional[int] = None) -> Adapter:
    """Multiplies the old values by a number and adds noise.

    Use it where a model is trained again and again as data arrive, and generalizes worse than one that is trained from scratch.
    The paper reports such a gap for warm starts even where the final training losses are similar, and that shrinking the old
    weights toward zero and adding a little noise before each round overcomes it in several important situations. It measured
    image classifiers that are trained to the end on data that grow; for other models, compare with a cold start of your own.
    The predictions change: do not use it to continue a model.

    Args:
      shrink: the factor, from 0 to 1.
      noise_stddev: the standard deviation of the normally distributed noise, 0 or more.
      seed: of the noise; `None` stands for 0. Each variable draws its own noise from it, the same in each process and run, so
        that the workers of a job and the copies of a mirrored variable agree.

    Returns:
      An adapter that keeps the shape. It is for parameters: their slots are recovered as they are. In a list, name it before
      adapters that add new positions: what is new is not perturbed. Name the layers that it is for, not the moving statistics
      of batch normalization.

    Raises:
      WarmStartError: for arguments that are out of range.

    Example:
      >>> from estimator_warmstart import adapters
      >>> adapters.shrink_perturb(0.5, 0.01)
      shrink_perturb(0.5, 0.01)

    Source: J. T. Ash and R. P. Adams, "On Warm-Starting Neural Network Training", arXiv 1910.08475.
    """
    if not (is_number(shrink) and 0 <= shrink <= 1):
        raise WarmStartError(f"shrink_perturb: shrink must be a number from 0 to 1, got {shrink!r}")
    if not (is_number(noise_stddev) and 0 <= noise_stddev < math.inf):
        raise WarmStartError(f"shrink_perturb: noise_stddev must be a finite number of 0 or more, got {noise_stddev!r}")
    if seed is not None and not is_integer(seed):
        raise WarmStartError(f"shrink_perturb: seed must be an int or None, got {seed!r}")
    label = f"shrink_perturb({shrink:g}, {noise_stddev:g})"

    def steps(old: Shape, new: Shape, dtype: str, new_dtype: str = "") -> Tuple[Transform, ...]:
        if "float" not in dtype:
            raise Misfit(f"noise is for floats, and the values are {dtype}")
        return (ShrinkPerturb(float(shrink), float(noise_stddev), int(seed or 0)),)

    return Adapter(label, steps)


def for_variable(transforms: Sequence[Transform], name: str) -> Tuple[Transform, ...]:
    """Returns `transforms` with what the new variable `name` decides: the seed of its noise, and what messages call it."""
    return tuple(_for_variable(transform, name) for transform in transforms)


def _for_variable(transform: Transform, name: str) -> Transform:
    if isinstance(transform, ShrinkPerturb):
        return transform._replace(seed=zlib.crc32(f"{transform.seed} {name}".encode()))
    return transform._replace(variable=name) if isinstance(transform, Apply) else transform
