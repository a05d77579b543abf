"""What adapters and the planner agree on: steps from an old shape to a new one. Pure.

Enters: shapes and dtypes. Leaves: `MapAxis`, `Apply`, `Cast` and other records, in order, and what shapes and dtypes they
make. This module must not know which adapters there are, nor how a tensor is made of a step.
"""

from __future__ import annotations

import math
import numbers
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from estimator_warmstart.adapters.axis_map import (
    AxisMap,
    Fill,
    Filled,
    Remapped,
    compose,
    fills_of,
    identity,
    kept_length,
    map_length,
    taken_length,
)
from estimator_warmstart.arguments import check_choice, is_number
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.tensors import Shape


class Misfit(Exception):
    """Why an adapter cannot turn one shape into another; the planner says of which variable."""


class MapAxis(NamedTuple):
    """One step: new positions of `axis` come from old ones by `axis_map`."""

    axis: int
    axis_map: AxisMap


class Apply(NamedTuple):
    """One step: the whole tensor goes through `fn`, which makes `shape` of it and may pad it with zeros.

    Attributes:
      fn: takes and returns a tensor.
      shape: of what it returns.
      may_pad: whether zeros that it returns may be no old values.
      dtype: of what it returns, if that is another than it takes; else empty.
    """

    fn: Callable[[Any], Any]
    shape: Shape
    may_pad: bool = True
    dtype: str = ""


class Cast(NamedTuple):
    """One step: every element becomes one of `dtype`."""

    dtype: str


class Scale(NamedTuple):
    """One step: every element times `factor`, and divided by the one value of the old variable called `divisor`, if any."""

    factor: float
    divisor: str = ""
    dtype: str = ""


class CountSteps(NamedTuple):
    """One step: the number of Adam's updates after which `beta ** (updates + 1)` is the value, as TensorFlow 1 keeps it.

    A power that has underflowed tells only that there were many: then it is the value of the old variable called `otherwise`,
    or, without one, the least number at which it does.
    """

    beta: float
    dtype: str
    otherwise: str = ""


class PowerOfSteps(NamedTuple):
    """One step: `beta ** (updates + 1)` of a number of updates, as TensorFlow 1's Adam keeps it."""

    beta: float
    dtype: str


class ProductOfMomenta(NamedTuple):
    """One step: the product of Nadam's momenta up to a number of updates.

    At the `t`th update the momentum is `beta * (1 - 0.5 * 0.96 ** (decay * t))`.
    """

    beta: float
    decay: float
    dtype: str


# Steps that change each element, wherever it is.
Elementwise = Union[Cast, Scale, CountSteps, PowerOfSteps, ProductOfMomenta]
Transform = Union[MapAxis, Apply, Elementwise]


class Adapter(NamedTuple):
    """What a factory of `adapters.py` returns.

    Attributes:
      label: how reports and messages call it, such as `crop_or_pad(fill='initial')`.
      steps: `steps(old_shape, new_shape, dtype, new_dtype)` -> the steps from one to the other; raises `Misfit`. Without
        `new_dtype` it is the same as `dtype`.
    """

    label: str
    steps: Callable[..., Tuple[Transform, ...]]

    def __repr__(self) -> str:
        return self.label


def check_fill(fill: Any, place: str = "fill") -> None:
    """Raises `WarmStartError` for what is no fill; the message calls it `place`."""
    if isinstance(fill, str):
        check_choice(place, fill, ("initial", "zeros", "mean"))
    elif isinstance(fill, type):
        raise WarmStartError(f"{place}: {fill.__name__} is a class; give an initializer of it: {fill.__name__}()")
    elif callable(fill):
        return  # Whether it makes what is needed depends on the variable.
    elif not (is_number(fill) and math.isfinite(fill)):
        raise WarmStartError(f"{place} must be 'initial', 'zeros', 'mean', a finite number or an initializer, got {fill!r}")


def fill_text(fill: Fill) -> str:
    """How labels and messages call a fill."""
    return getattr(fill, "__name__", type(fill).__name__) if callable(fill) else repr(fill)


def initializers_of(steps: Sequence[Transform]) -> List[Callable[..., Any]]:
    """The initializers among the fills of `steps`, each once."""
    fills = [fill for step in steps if isinstance(step, MapAxis) for fill in fills_of(step.axis_map)]
    return list(dict.fromkeys(fill for fill in fills if callable(fill)))


def result_shape(shape: Shape, steps: Sequence[Transform]) -> Shape:
    """The shape that `steps` make of `shape`."""
    for step in steps:
        if isinstance(step, Apply):
            shape = step.shape
        elif isinstance(step, MapAxis):
            shape = shape[: step.axis] + (map_length(step.axis_map),) + shape[step.axis + 1 :]
    return shape


def result_dtype(dtype: str, steps: Sequence[Transform]) -> str:
    """The dtype that `steps` make of `dtype`."""
    for step in steps:
        if not isinstance(step, MapAxis):
            dtype = step.dtype or dtype
    return dtype


def for_slot(steps: Sequence[Transform], dtype: str, new_dtype: str) -> Tuple[Transform, ...]:
    """The same steps for a slot: what is new takes the slot's own initial value, whatever the fill.

    A slot is cast to its own `new_dtype`, if its variable is cast to another.

    A padded zero is not neutral in a slot: an Adagrad accumulator of 0 makes NaN of a zero gradient. Before a function there
    are no initial values of that shape: zeros hold their place, and become initial values after it.
    """
    head, tail = split_at_last_apply(steps)
    casts = [step for step in steps if isinstance(step, Cast) or (isinstance(step, Apply) and step.dtype)]
    tail = tuple(step for step in tail if not isinstance(step, Cast))
    done = _filled(head, "zeros")
    if casts and result_dtype(dtype, done) != new_dtype:
        done += (Cast(new_dtype),)
    return done + _filled(tail, "initial")


def _filled(steps: Sequence[Transform], fill: Fill) -> Tuple[Transform, ...]:
    return tuple(
        step
        if not isinstance(step, MapAxis)
        else step._replace(
            axis_map=tuple(
                segment._replace(fill=fill) if isinstance(segment, (Filled, Remapped)) else segment for segment in step.axis_map
            )
        )
        for step in steps
    )


def axis_maps_of(shape: Shape, steps: Sequence[Transform]) -> List[AxisMap]:
    """One map for each axis of what the `MapAxis` among `steps` make of `shape`."""
    maps: Dict[int, AxisMap] = {}
    for step in steps:
        if isinstance(step, MapAxis):
            maps[step.axis] = compose(step.axis_map, maps.get(step.axis, identity(shape[step.axis])))
    return [maps.get(axis, identity(length)) for axis, length in enumerate(shape)]


def split_at_last_apply(steps: Sequence[Transform]) -> Tuple[Tuple[Transform, ...], Tuple[Transform, ...]]:
    """The steps up to and with the last `Apply`, which need the whole tensor, and those after it."""
    at = max((number + 1 for number, step in enumerate(steps) if isinstance(step, Apply)), default=0)
    return tuple(steps[:at]), tuple(steps[at:])


def fills_with_dtypes(steps: Sequence[Transform], dtype: str) -> Iterator[Tuple[Fill, str]]:
    """Each fill with the dtype of what it is filled into; `dtype` is the old value's."""
    head, tail = split_at_last_apply(steps)
    # After the last function, what is cast is cast before anything is filled.
    dtypes = [result_dtype(dtype, head[:at]) for at in range(len(head))] + [result_dtype(dtype, steps)] * len(tail)
    for step, there in zip(steps, dtypes):
        yield from ((fill, there) for fill in (fills_of(step.axis_map) if isinstance(step, MapAxis) else ()))


def check_fills(steps: Sequence[Transform], dtype: str) -> None:
    """Raises `Misfit` for initial values where the shape is not yet the new variable's, and for half numbers among ints."""
    for fill, there in fills_with_dtypes(steps, dtype):
        if "int" in there and isinstance(fill, numbers.Real) and fill != int(fill):
            raise Misfit(f"the fill {fill!r} is not an {there}")
    head, _ = split_at_last_apply(steps)
    for step in head:
        if isinstance(step, MapAxis) and "initial" in fills_of(step.axis_map):
            raise Misfit(
                "fill='initial' before a transform is not possible, since only the new shape has initial values; "
                "use 'zeros', 'mean' or a number there"
            )


def count_kept(shape: Shape, steps: Sequence[Transform]) -> int:
    """How many values of the result come from the old value, at most where aliases share tokens."""
    head, tail = split_at_last_apply(steps)
    count = 1
    for axis_map in axis_maps_of(result_shape(shape, head), tail):
        count *= kept_length(axis_map)
    return count


def kept_share(shape: Shape, steps: Sequence[Transform]) -> Optional[float]:
    """The share, 0 to 1, of the old values that are in the result; `None` where a function decides that."""
    head, tail = split_at_last_apply(steps)
    if head:
        return None
    share = 1.0
    for axis_map, length in zip(axis_maps_of(shape, tail), shape):
        share *= taken_length(axis_map, length) / length if length else 1.0
    return share
