"""What adapters and the planner agree on: steps from an old shape to a new one. Pure.

Enters: shapes. Leaves: `MapAxis` and `Apply` records, in order, and the shapes that they make. This module must not know
which adapters there are, nor how a tensor is made of a step.
"""
from __future__ import annotations

import math
import numbers
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from estimator_warmstart.axis_maps import (
    AxisMap,
    Fill,
    Filled,
    Joined,
    compose,
    fills_of,
    identity,
    kept_length,
    map_length,
    taken_length,
)
from estimator_warmstart.errors import WarmStartError, check_choice
from estimator_warmstart.vocabularies import Vocabulary

Shape = Tuple[int, ...]


class AdapterError(WarmStartError):
    """An adapter given arguments that no variable could make right."""


class Misfit(Exception):
    """Why an adapter cannot turn one shape into another; the planner says of which variable."""


class MapAxis(NamedTuple):
    """One step: new positions of `axis` come from old ones by `axis_map`."""

    axis: int
    axis_map: AxisMap


class Apply(NamedTuple):
    """One step: the whole tensor goes through `fn`, which makes `shape` of it and may pad it with zeros."""

    fn: Callable[[Any], Any]
    shape: Shape
    may_pad: bool = True


Step = Union[MapAxis, Apply]


class Adapter(NamedTuple):
    """What a factory of `adapters.py` returns.

    Attributes:
      label: how reports and messages call it, such as `crop_or_pad(fill='initial')`.
      steps: `steps(old_shape, new_shape, dtype)` -> the steps from one to the other; raises `Misfit`.
    """

    label: str
    steps: Callable[[Shape, Shape, str], Tuple[Step, ...]]

    def __repr__(self) -> str:
        return self.label


class Join(NamedTuple):
    """How new tokens find their old rows.

    Attributes:
      old: the old vocabulary.
      new: the new vocabulary.
      kept: new rows that have an old one.
      buckets: out-of-vocabulary rows after the new tokens.
      old_buckets: the old rows after the old tokens that are kept as new buckets: as many, or none.
      aliases: ((new token, old token), ...): new tokens that take another old token's row.
    """

    old: Vocabulary
    new: Vocabulary
    kept: int
    buckets: int
    old_buckets: int
    aliases: Tuple[Tuple[bytes, bytes], ...]


def check_fill(fill: Any) -> None:
    """Raises `AdapterError` for what is no fill."""
    if isinstance(fill, str):
        check_choice("fill", fill, ("initial", "zeros", "mean"))
    elif isinstance(fill, bool) or not isinstance(fill, numbers.Real) or not math.isfinite(fill):
        raise AdapterError(f"fill must be 'initial', 'zeros', 'mean' or a finite number, got {fill!r}")


def result_shape(shape: Shape, steps: Sequence[Step]) -> Shape:
    """The shape that `steps` make of `shape`."""
    for step in steps:
        if isinstance(step, Apply):
            shape = step.shape
        else:
            shape = shape[:step.axis] + (map_length(step.axis_map),) + shape[step.axis + 1:]
    return shape


def for_slot(steps: Sequence[Step]) -> Tuple[Step, ...]:
    """The same steps for a slot: what is new takes the slot's own initial value, whatever the fill.

    A padded zero is not neutral in a slot: an Adagrad accumulator of 0 makes NaN of a zero gradient. Before a function there
    are no initial values of that shape: zeros hold their place, and become initial values after it.
    """
    head, tail = split_at_last_apply(steps)
    return _filled(head, "zeros") + _filled(tail, "initial")


def _filled(steps: Sequence[Step], fill: Fill) -> Tuple[Step, ...]:
    return tuple(
        step if isinstance(step, Apply) else step._replace(axis_map=tuple(
            segment._replace(fill=fill) if isinstance(segment, (Filled, Joined)) else segment for segment in step.axis_map
        )) for step in steps
    )


def axis_maps_of(shape: Shape, steps: Sequence[Step]) -> List[AxisMap]:
    """One map for each axis of what the `MapAxis` among `steps` make of `shape`."""
    maps: Dict[int, AxisMap] = {}
    for step in steps:
        if isinstance(step, MapAxis):
            maps[step.axis] = compose(step.axis_map, maps.get(step.axis, identity(shape[step.axis])))
    return [maps.get(axis, identity(length)) for axis, length in enumerate(shape)]


def split_at_last_apply(steps: Sequence[Step]) -> Tuple[Tuple[Step, ...], Tuple[Step, ...]]:
    """The steps up to and with the last `Apply`, which need the whole tensor, and those after it."""
    at = max((number + 1 for number, step in enumerate(steps) if isinstance(step, Apply)), default=0)
    return tuple(steps[:at]), tuple(steps[at:])


def check_fills(steps: Sequence[Step], dtype: str) -> None:
    """Raises `Misfit` for initial values where the shape is not yet the new variable's, and for half numbers among ints."""
    head, _ = split_at_last_apply(steps)
    for fill in (fill for step in steps if isinstance(step, MapAxis) for fill in fills_of(step.axis_map)):
        if "int" in dtype and not isinstance(fill, str) and fill != int(fill):
            raise Misfit(f"the fill {fill!r} is no {dtype}")
    for step in head:
        if isinstance(step, MapAxis) and "initial" in fills_of(step.axis_map):
            raise Misfit("fill='initial' before a transform is not possible, since only the new shape has initial values; "
                         "use 'zeros', 'mean' or a number there")


def count_kept(shape: Shape, steps: Sequence[Step]) -> int:
    """How many values of the result come from the old value, at most where aliases share tokens."""
    head, tail = split_at_last_apply(steps)
    count = 1
    for axis_map in axis_maps_of(result_shape(shape, head), tail):
        count *= kept_length(axis_map)
    return count


def kept_share(shape: Shape, steps: Sequence[Step]) -> Optional[float]:
    """The share, 0 to 1, of the old values that are in the result; `None` where a function decides that."""
    head, tail = split_at_last_apply(steps)
    if head:
        return None
    share = 1.0
    for axis_map, length in zip(axis_maps_of(shape, tail), shape):
        share *= taken_length(axis_map, length) / length if length else 1.0
    return share
