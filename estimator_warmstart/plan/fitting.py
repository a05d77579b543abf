"""Whether an old value can become a new one, and by which steps. Pure.

Enters: an old variable, a new one, perhaps an adapter. Leaves: the steps, or a sentence on why not and what to change.
"""

from __future__ import annotations

import numbers
from typing import Any, Tuple

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.dtypes import why_no_cast
from estimator_warmstart.adapters.transforms import (
    Adapter,
    Misfit,
    Transform,
    check_fills,
    fill_text,
    fills_with_dtypes,
    initializers_of,
    result_dtype,
    result_shape,
)
from estimator_warmstart.checkpoint.checkpoint import OldVariable
from estimator_warmstart.graph.initial_values import why_no_initializer
from estimator_warmstart.graph.variables import NewVariable

# What TensorFlow's kernels cut, pad, gather and join. Others (quantized, of 8 or 4 bits, variants) are restored as they are.
MOVABLE = frozenset(
    (
        "bfloat16",
        "bool",
        "complex64",
        "complex128",
        "float16",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "string",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
    )
)


def steps_between(old: OldVariable, new: NewVariable, adapter: Adapter) -> Tuple[Transform, ...]:
    """The steps of `adapter` from the old shape and dtype to the new ones.

    Raises:
      Misfit: with a sentence that names both variables, both shapes, the axis and the adapter.
    """
    check_static_shape(new)
    try:
        steps = adapter.steps(old.shape, new.shape, old.dtype, new.dtype)
        check_fills(steps, old.dtype)
        _check_initializers(steps, new)
        _check_kernels(steps, old.dtype, new.dtype)
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
    dtype = result_dtype(old.dtype, steps)
    if dtype not in (old.dtype, new.dtype):
        raise Misfit(
            f"{adapter.label} makes {dtype} of {old.dtype}, the dtype of the old {old.name!r}, but the new {new.name!r} is "
            f"{new.dtype}; let adapters.cast() follow it in a list, or return {new.dtype}"
        )
    if dtype != new.dtype:
        check_dtype(old, new)
    return steps


def _check_initializers(steps: Tuple[Transform, ...], new: NewVariable) -> None:
    """Raises `Misfit` for initializers among the fills that make something else than the new variable needs."""
    for initializer in initializers_of(steps):
        reason = why_no_initializer(initializer, new.shape, new.dtype)
        if reason:
            raise Misfit(f"the initializer {fill_text(initializer)} {reason}")


def check_static_shape(new: NewVariable) -> None:
    """Raises `Misfit` where the graph does not know the new variable's shape."""
    if not new.has_static_shape:
        raise Misfit(
            f"the graph does not know the shape of the new {new.name!r} (validate_shape=False); give it a static shape"
        )


def check_dtype(old: OldVariable, new: NewVariable) -> None:
    """Raises `Misfit` where the new variable has another dtype than the old one, and says what would change that."""
    check_static_shape(new)
    if old.dtype == new.dtype:
        return
    if why_no_cast(old.dtype, new.dtype):
        advice = f"adapters.transform(fn)}} with a function from {old.dtype} to {new.dtype} says how"
    elif old.shape == new.shape:
        advice = "adapters.cast()} casts it"
    else:
        advice = "[adapters.cast(), adapters.crop_or_pad()]} casts it and takes what fits"
    raise Misfit(f"the new {new.name!r} is {new.dtype}, the old {old.name!r} is {old.dtype}; adapters={{{new.name!r}: {advice}")


def check_same_shape(old: OldVariable, new: NewVariable) -> None:
    """Raises `Misfit` where the old value cannot be the new one as it is."""
    check_dtype(old, new)
    if old.shape != new.shape:
        raise Misfit(
            f"the new {new.name!r} has shape {list(new.shape)}, the old {old.name!r} {list(old.shape)}; "
            "adapters={} (or ShapeAdaptingRecoverHook) takes what fits of the old value"
        )
    boxes = [(part.offset, part.shape) for part in new.parts]
    if new.dtype not in MOVABLE and boxes != list(old.slices or [((0,) * len(old.shape), old.shape)]):
        raise Misfit(
            f"the new {new.name!r} has {len(boxes)} parts, the old {old.name!r} is stored in {max(len(old.slices), 1)}, and "
            f"TensorFlow cannot cut or join {new.dtype}; make the parts the same"
        )


def _check_kernels(steps: Tuple[Transform, ...], old_dtype: str, new_dtype: str) -> None:
    """Raises `Misfit` for what a session could not do, or not rightly, with values of these dtypes."""
    for dtype in (old_dtype, new_dtype):
        if steps and dtype not in MOVABLE:
            raise Misfit(f"TensorFlow cannot cut, pad or move {dtype}; keep the shape, or leave the variable out")
    for fill, dtype in fills_with_dtypes(steps, old_dtype):
        if not isinstance(fill, (str, numbers.Real)):
            continue  # An initializer, which is called to see what it makes.
        if dtype == "string" and fill != "initial":
            raise Misfit(f"the fill {fill!r} is not a string; 'initial' takes the new variable's own")
        if dtype == "bool" and fill not in ("initial", "zeros", 0, 1):
            raise Misfit(f"the fill {fill!r} is not a bool; use 'initial', 'zeros', 0 or 1")
        if not isinstance(fill, str) and not _holds(tf.as_dtype(dtype), fill):
            raise Misfit(f"the fill {fill!r} is out of the range of {dtype}")


def _holds(dtype: Any, number: Any) -> bool:
    """Whether a number is in the range of a dtype; a fraction that it rounds is."""
    if dtype.is_complex or dtype in (tf.bool, tf.string):
        return True
    # As Python's numbers: numpy 2 would round `number` to the dtype before it compares.
    return bool(np.asarray(dtype.min).item() <= number <= np.asarray(dtype.max).item())


def _difference(made: Tuple[int, ...], wanted: Tuple[int, ...]) -> str:
    if len(made) != len(wanted):
        return f"{len(made)} axes instead of {len(wanted)}"
    axis = next(axis for axis, (length, other) in enumerate(zip(made, wanted)) if length != other)
    return f"{made[axis]:,} instead of {wanted[axis]:,} on axis {axis}"
