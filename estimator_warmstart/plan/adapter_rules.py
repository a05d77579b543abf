"""Chooses the adapter for each new variable, and checks that it makes the old value fit.

Everything is checked here on names, shapes and dtypes, so that a plan fails before any value is read.
"""

from __future__ import annotations

import numbers
from typing import Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

import numpy as np

from estimator_warmstart._tf import is_variable, tf
from estimator_warmstart.adapters.basic import as_adapter, crop_or_pad
from estimator_warmstart.adapters.dtypes import why_no_cast
from estimator_warmstart.adapters.perturb import for_variable
from estimator_warmstart.adapters.transforms import (
    Adapter,
    Misfit,
    Transform,
    check_fills,
    check_means,
    fill_text,
    fills_with_dtypes,
    initializers_of,
    result_dtype,
    result_shape,
)
from estimator_warmstart.checkpoint.checkpoint import OldVariable
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.graph.initial_values import why_no_initializer
from estimator_warmstart.graph.variables import NewVariable, logical_name
from estimator_warmstart.patterns import Pattern, compile_pattern, fits_nothing
from estimator_warmstart.tensors import Shape, TensorSlice, whole_slice

# What a user gives as `adapters`.
AdaptersArgument = Mapping[Union[str, "tf.Variable"], Union[Adapter, Sequence[Adapter]]]

# What TensorFlow's kernels cut, pad, gather and join. Other dtypes (quantized, 8-bit and 4-bit floats, variants) are only
# restored as they are.
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


class AdapterRule(NamedTuple):
    """An adapter and the new variables that it is for."""

    pattern: Pattern
    adapter: Adapter


class AdapterRules:
    """The adapters of one plan, and which of them were used: the first that fits a new variable wins.

    Args:
      rules: in the user's order; `None` where shapes must be the same.
    """

    def __init__(self, rules: Optional[Tuple[AdapterRule, ...]]):
        self._may_differ = rules is not None
        self._rules = rules or ()
        self._used: Set[Pattern] = set()

    def adapter_for(self, new: NewVariable) -> Optional[Adapter]:
        """Returns the adapter for `new`, or `None` if no key of `adapters` fits it.

        The adapter of a scope is for its variables, and their slots follow them. Only its full name fits a slot itself.
        """
        for rule in self._rules:
            if rule.pattern.fits(new.name) and (new.slot_of is None or rule.pattern.text == new.name):
                self._used.add(rule.pattern)
                return rule.adapter
        return None

    def default_for(self, old_shape: Shape, new: NewVariable) -> Optional[Adapter]:
        """Returns the adapter to use if no key fits; `None` if the value is taken as it is."""
        return crop_or_pad() if self._may_differ and old_shape != new.shape else None

    def problems(self, recovered: Iterable[str]) -> List[str]:
        """Returns the problems of adapters that none of the `recovered` variables used."""
        recovered = list(recovered)
        return [
            fits_nothing(rule.pattern, "the adapter for", "new variable that is recovered", recovered)
            or f"the adapter for {rule.pattern.text!r} is never used: an earlier one fits all that it fits"
            for rule in self._rules
            if rule.pattern not in self._used
        ]


def compile_adapters(adapters: Optional[AdaptersArgument]) -> Optional[Tuple[AdapterRule, ...]]:
    """Compiles `{new variable, its name or a pattern: adapter or list of adapters}`.

    A variable may be a partitioned one, or one of its parts, which stands for the whole. `None` stays `None`.

    Raises:
      WarmStartError: for anything that is not a dict, a pattern or an adapter.
    """
    if adapters is None:
        return None
    if not isinstance(adapters, Mapping):
        raise WarmStartError(f"adapters must be a dict {{new variable: adapter}} or None, got {type(adapters).__name__}")
    rules = []
    for key, adapter in adapters.items():
        if type(key).__name__ == "PartitionedVariable":
            key = next(iter(key))  # Each part knows the whole.
        name = logical_name(key) if not isinstance(key, str) and is_variable(key) else key
        rules.append(AdapterRule(compile_pattern(name, "adapters"), as_adapter(adapter)))
    return tuple(rules)


def transforms_between(old: OldVariable, new: NewVariable, adapter: Adapter) -> Tuple[Transform, ...]:
    """Returns the transforms that `adapter` makes from the old shape and dtype to the new ones.

    Raises:
      Misfit: with a sentence that names both variables, both shapes, the axis and the adapter.
    """
    check_static_shape(new)
    try:
        transforms = for_variable(adapter.steps(old.shape, new.shape, old.dtype, new.dtype), new.name)
        check_fills(transforms, old.dtype)
        check_means(transforms, old.dtype)
        _check_initializers(transforms, new)
        _check_kernels(transforms, old.dtype, new.dtype)
    except Misfit as reason:
        raise Misfit(
            f"{adapter.label} cannot turn the old {old.name!r} {list(old.shape)} into the new {new.name!r} "
            f"{list(new.shape)}: {reason}"
        ) from reason
    made = result_shape(old.shape, transforms)
    if made != new.shape:
        raise Misfit(
            f"{adapter.label} turns the old {old.name!r} {list(old.shape)} into {list(made)}, but the new {new.name!r} has "
            f"shape {list(new.shape)}: {_difference_of_shapes(made, new.shape)}"
        )
    dtype = result_dtype(old.dtype, transforms)
    if dtype not in (old.dtype, new.dtype):
        raise Misfit(
            f"{adapter.label} turns {old.dtype}, the dtype of the old {old.name!r}, into {dtype}, but the new {new.name!r} is "
            f"{new.dtype}; let adapters.cast() follow it in a list, or return {new.dtype}"
        )
    if dtype != new.dtype:
        check_dtype(old, new)
    return transforms


def _check_initializers(transforms: Tuple[Transform, ...], new: NewVariable) -> None:
    """Raises `Misfit` for initializers among the fills whose values are not what the new variable needs."""
    for initializer in initializers_of(transforms):
        reason = why_no_initializer(initializer, new.shape, new.dtype)
        if reason:
            raise Misfit(f"the initializer {fill_text(initializer)} {reason}")


def check_static_shape(new: NewVariable) -> None:
    """Raises `Misfit` if the graph does not know the new variable's shape."""
    if not new.has_static_shape:
        raise Misfit(
            f"the graph does not know the shape of the new {new.name!r} (validate_shape=False); give it a static shape"
        )


def check_dtype(old: OldVariable, new: NewVariable) -> None:
    """Raises `Misfit` if the dtypes of the old and the new variable differ, and says what would change that."""
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
    """Raises `Misfit` if the new variable cannot take the old value as it is."""
    check_dtype(old, new)
    if old.shape != new.shape:
        raise Misfit(
            f"the new {new.name!r} has shape {list(new.shape)}, the old {old.name!r} {list(old.shape)}; "
            "adapters={} (or ShapeAdaptingRecoverHook) takes what fits of the old value"
        )
    slices = [TensorSlice(part.offset, part.shape) for part in new.parts]
    if new.dtype not in MOVABLE and slices != list(old.slices or [whole_slice(old.shape)]):
        raise Misfit(
            f"the new {new.name!r} has {len(slices)} parts, the old {old.name!r} is stored in {max(len(old.slices), 1)}, and "
            f"TensorFlow cannot cut or join {new.dtype}; make the parts the same"
        )


def _check_kernels(transforms: Tuple[Transform, ...], old_dtype: str, new_dtype: str) -> None:
    """Raises `Misfit` for what TensorFlow's kernels cannot do, or do wrongly, with values of these dtypes."""
    for dtype in (old_dtype, new_dtype):
        if transforms and dtype not in MOVABLE:
            raise Misfit(f"TensorFlow cannot cut, pad or move {dtype}; keep the shape, or leave the variable out")
    for fill, dtype in fills_with_dtypes(transforms, old_dtype):
        if not isinstance(fill, (str, numbers.Real)):
            continue  # An initializer: `_check_initializers` calls it.
        if dtype == "string" and fill != "initial":
            raise Misfit(f"the fill {fill!r} is not a string; 'initial' takes the new variable's own")
        if dtype == "bool" and fill not in ("initial", "zeros", 0, 1):
            raise Misfit(f"the fill {fill!r} is not a bool; use 'initial', 'zeros', 0 or 1")
        if not isinstance(fill, str) and not _is_in_range(tf.as_dtype(dtype), fill):
            raise Misfit(f"the fill {fill!r} is out of the range of {dtype}")


def _is_in_range(dtype: tf.DType, number: float) -> bool:
    """Whether a number is in the range of a dtype, rounded if need be."""
    if dtype.is_complex or dtype in (tf.bool, tf.string):
        return True
    # As Python's numbers: numpy 2 would round `number` to the dtype before it compares.
    return bool(np.asarray(dtype.min).item() <= number <= np.asarray(dtype.max).item())


def _difference_of_shapes(made: Shape, wanted: Shape) -> str:
    if len(made) != len(wanted):
        return f"{len(made)} axes instead of {len(wanted)}"
    axis = next(axis for axis, (length, other) in enumerate(zip(made, wanted)) if length != other)
    return f"{made[axis]:,} instead of {wanted[axis]:,} on axis {axis}"
