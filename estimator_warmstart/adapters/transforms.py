"""Transforms: what adapters and the planner agree on to get from an old value to a new one, as plain data.

A value goes through `MapAxis`, `Apply`, `Cast` and others in order. Here are the shapes, dtypes and fills that they lead to.
"""

from __future__ import annotations

import math
import numbers
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from estimator_warmstart.adapters.axis_map import (
    AxisMap,
    Fill,
    Filled,
    Remapped,
    compose_maps,
    fills_of,
    has_means,
    has_remappings,
    identity_map,
    kept_length,
    map_length,
    taken_length,
)
from estimator_warmstart.arguments import check_choice, is_number
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.tensors import Shape


class Misfit(Exception):
    """Why an adapter cannot turn one shape into another. The planner adds which variable it is."""


class MapAxis(NamedTuple):
    """New positions of `axis` come from old ones by `axis_map`."""

    axis: int
    axis_map: AxisMap


class Apply(NamedTuple):
    """The whole tensor goes through `fn`, which returns `shape` and may pad it with zeros.

    Attributes:
      fn: takes and returns a tensor, or a numpy array if it `takes_arrays`.
      shape: of what it returns.
      may_pad: whether zeros that it returns may be padding rather than old values.
      dtype: of what it returns, if that is not what it takes; else empty.
      variable: the name of the new variable that it is for, for messages.
    """

    fn: Callable[[Any], Any]
    shape: Shape
    may_pad: bool = True
    dtype: str = ""
    takes_arrays: bool = False
    variable: str = ""


class Reshape(NamedTuple):
    """The whole tensor gets another shape; its elements keep their order, the last axis first."""

    shape: Shape
    dtype: str = ""


class Cast(NamedTuple):
    """Every element is cast to `dtype`."""

    dtype: str


class Scale(NamedTuple):
    """Every element is multiplied by `factor`, and divided by the one value of the old variable `divisor`, if that is given."""

    factor: float
    divisor: str = ""
    dtype: str = ""


class ShrinkPerturb(NamedTuple):
    """Every element is multiplied by `shrink`, and normally distributed noise is added.

    Attributes:
      seed: of the noise of one variable: the same in all processes, for all of its copies.
      place: what tells the noise of one slice from that of another.
    """

    shrink: float
    noise_stddev: float
    seed: int
    place: int = 0
    dtype: str = ""


class CountSteps(NamedTuple):
    """The value is `beta ** (updates + 1)`, as TensorFlow 1's Adam keeps it, and becomes the number of updates.

    Of a power that has underflowed, only the least number of updates at which it does is known. Then the value is that of the
    old variable called `otherwise`, or, without one, that number.
    """

    beta: float
    dtype: str
    otherwise: str = ""


class PowerOfSteps(NamedTuple):
    """The value is a number of updates, and becomes `beta ** (updates + 1)`, as TensorFlow 1's Adam keeps it."""

    beta: float
    dtype: str


class ProductOfMomenta(NamedTuple):
    """The value is a number of updates, and becomes the product of Nadam's momenta up to there.

    At the `t`th update the momentum is `beta * (1 - 0.5 * 0.96 ** (decay * t))`.
    """

    beta: float
    decay: float
    dtype: str


# Transforms that change each element, wherever it is.
Elementwise = Union[Cast, Scale, ShrinkPerturb, CountSteps, PowerOfSteps, ProductOfMomenta]
Transform = Union[MapAxis, Apply, Reshape, Elementwise]


class Adapter(NamedTuple):
    """What a factory such as `crop_or_pad` returns.

    Attributes:
      label: its name in reports and messages, such as `crop_or_pad(fill='initial')`.
      steps: `steps(old_shape, new_shape, dtype, new_dtype)` returns the transforms from one to the other, or raises `Misfit`.
        `new_dtype` is `dtype` unless it is given.
    """

    label: str
    steps: Callable[..., Tuple[Transform, ...]]

    def __repr__(self) -> str:
        return self.label


def check_fill(fill: Any, place: str = "fill") -> None:
    """Raises `WarmStartError` for a value that is not a fill; the message calls it `place`."""
    if isinstance(fill, str):
        check_choice(place, fill, ("initial", "zeros", "mean"))
    elif isinstance(fill, type):
        raise WarmStartError(f"{place}: {fill.__name__} is a class; give an initializer of it: {fill.__name__}()")
    elif callable(fill):
        return  # Whether it makes what is needed depends on the variable.
    elif not (is_number(fill) and math.isfinite(fill)):
        raise WarmStartError(f"{place} must be 'initial', 'zeros', 'mean', a finite number or an initializer, got {fill!r}")


def fill_text(fill: Fill) -> str:
    """Returns a fill as labels and messages show it."""
    return getattr(fill, "__name__", type(fill).__name__) if callable(fill) else repr(fill)


def initializers_of(transforms: Sequence[Transform]) -> List[Callable[..., Any]]:
    """Returns the initializers among the fills of `transforms`, each once."""
    fills = [fill for transform in transforms if isinstance(transform, MapAxis) for fill in fills_of(transform.axis_map)]
    return list(dict.fromkeys(fill for fill in fills if callable(fill)))


def result_shape(shape: Shape, transforms: Sequence[Transform]) -> Shape:
    """Returns the shape that `transforms` lead to from `shape`."""
    for transform in transforms:
        if isinstance(transform, (Apply, Reshape)):
            shape = transform.shape
        elif isinstance(transform, MapAxis):
            shape = shape[: transform.axis] + (map_length(transform.axis_map),) + shape[transform.axis + 1 :]
    return shape


def result_dtype(dtype: str, transforms: Sequence[Transform]) -> str:
    """Returns the dtype that `transforms` lead to from `dtype`."""
    for transform in transforms:
        if not isinstance(transform, MapAxis):
            dtype = transform.dtype or dtype
    return dtype


def for_slot(transforms: Sequence[Transform], dtype: str, new_dtype: str) -> Tuple[Transform, ...]:
    """Returns the same transforms for a slot: new cells take the slot's own initial value, not the fill.

    A slot is cast to its own `new_dtype`, if its variable is cast to another.

    A padded zero is not neutral in a slot: an Adagrad accumulator of 0 makes NaN of a zero gradient. New cells before a
    function are zero, because the slot has no initial values of that shape; those after it are initial. Noise is for
    parameters only.
    """
    transforms = [transform for transform in transforms if not isinstance(transform, ShrinkPerturb)]
    head, tail = split_at_last_apply(transforms)
    is_cast = any(isinstance(each, Cast) or (isinstance(each, Apply) and each.dtype) for each in transforms)
    tail = tuple(transform for transform in tail if not isinstance(transform, Cast))
    done = _with_fill(head, "zeros")
    if is_cast and result_dtype(dtype, done) != new_dtype:
        done += (Cast(new_dtype),)
    return done + _with_fill(tail, "initial")


def _with_fill(transforms: Sequence[Transform], fill: Fill) -> Tuple[Transform, ...]:
    def filled_by(axis_map: AxisMap) -> AxisMap:
        return tuple(
            segment._replace(fill=fill) if isinstance(segment, (Filled, Remapped)) else segment for segment in axis_map
        )

    return tuple(
        transform._replace(axis_map=filled_by(transform.axis_map)) if isinstance(transform, MapAxis) else transform
        for transform in transforms
    )


def axis_maps_of(shape: Shape, transforms: Sequence[Transform]) -> List[AxisMap]:
    """Returns one map for each axis: what the `MapAxis` among `transforms` do to `shape`, composed."""
    maps: Dict[int, AxisMap] = {}
    for transform in transforms:
        if isinstance(transform, MapAxis):
            axis = transform.axis
            maps[axis] = compose_maps(transform.axis_map, maps.get(axis, identity_map(shape[axis])))
    return [maps.get(axis, identity_map(length)) for axis, length in enumerate(shape)]


def split_at_last_apply(transforms: Sequence[Transform]) -> Tuple[Tuple[Transform, ...], Tuple[Transform, ...]]:
    """Returns the transforms up to the last `Apply` or `Reshape`, which need the whole tensor, and those after it."""
    needs_whole = (isinstance(transform, (Apply, Reshape)) for transform in transforms)
    at = max((number for number, needs in enumerate(needs_whole, 1) if needs), default=0)
    return tuple(transforms[:at]), tuple(transforms[at:])


def fills_with_dtypes(transforms: Sequence[Transform], dtype: str) -> Iterator[Tuple[Fill, str]]:
    """Yields each fill with the dtype of what it is filled into; `dtype` is the old value's."""
    head, tail = split_at_last_apply(transforms)
    # After the last function, what is cast is cast before anything is filled.
    dtypes = [result_dtype(dtype, head[:at]) for at in range(len(head))] + [result_dtype(dtype, transforms)] * len(tail)
    for transform, filled_dtype in zip(transforms, dtypes):
        yield from ((fill, filled_dtype) for fill in (fills_of(transform.axis_map) if isinstance(transform, MapAxis) else ()))


def check_fills(transforms: Sequence[Transform], dtype: str) -> None:
    """Raises `Misfit` for initial values where the shape is not yet the new variable's, and for fractions among integers."""
    for fill, filled_dtype in fills_with_dtypes(transforms, dtype):
        if "int" in filled_dtype and isinstance(fill, numbers.Real) and fill != int(fill):
            raise Misfit(f"the fill {fill!r} is not an {filled_dtype}")
    head, _ = split_at_last_apply(transforms)
    for transform in head:
        if isinstance(transform, MapAxis) and "initial" in fills_of(transform.axis_map):
            raise Misfit(
                "fill='initial' before a transform is not possible, since only the new shape has initial values; "
                "use 'zeros', 'mean' or a number there"
            )


def check_means(transforms: Sequence[Transform], dtype: str) -> None:
    """Raises `Misfit` for means of rows that are not the old value's own, or not known, or have no mean."""
    mapped: Set[int] = set()
    averaged: Set[int] = set()
    for number, transform in enumerate(transforms):
        if isinstance(transform, MapAxis):
            if has_remappings(transform.axis_map) and transform.axis in averaged:
                raise Misfit("rows cannot be remapped after means of rows on the same axis; let one remap_rows do both")
            if has_means(transform.axis_map):
                if transform.axis in mapped:
                    raise Misfit(
                        "the mean of old rows is not possible after another adapter has changed the same axis; name it first "
                        "in the list"
                    )
                if result_dtype(dtype, transforms[:number]) in ("bool", "string"):
                    raise Misfit(f"{result_dtype(dtype, transforms[:number])} values have no mean")
                averaged.add(transform.axis)
            mapped.add(transform.axis)
        elif isinstance(transform, (Apply, Reshape)):
            mapped.clear()
            averaged.clear()


def count_kept(shape: Shape, transforms: Sequence[Transform]) -> int:
    """Returns how many values of the result are old ones. Where aliases share tokens, this is an upper bound."""
    head, tail = split_at_last_apply(transforms)
    count = 1
    for axis_map in axis_maps_of(result_shape(shape, head), tail):
        count *= kept_length(axis_map)
    return count


def kept_share(shape: Shape, transforms: Sequence[Transform]) -> Optional[float]:
    """Returns the share, 0 to 1, of the old values that are in the result; `None` where a function decides that."""
    head, tail = split_at_last_apply(transforms)
    if head:
        return None
    share = 1.0
    for axis_map, length in zip(axis_maps_of(shape, tail), shape):
        share *= taken_length(axis_map, length) / length if length else 1.0
    return share
