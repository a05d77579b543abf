"""The adapters that move and cast: `cast`, `crop_or_pad` and `take`, and `compose` for several of any kind.

An adapter is a small record. Its `steps(old_shape, new_shape, ...)` checks shapes and returns transforms, or raises `Misfit`
with the reason. It does not know the variable: a variable's optimizer slots go through the same transforms.
"""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple, Union
from typing import cast as cast_type

import numpy as np

from estimator_warmstart.adapters.axis_map import AxisMap, Fill, Filled, Kept, merge_segments
from estimator_warmstart.adapters.dtypes import why_no_cast
from estimator_warmstart.adapters.transforms import (
    Adapter,
    Apply,
    Cast,
    MapAxis,
    Misfit,
    Transform,
    check_fill,
    fill_text,
    result_dtype,
    result_shape,
)
from estimator_warmstart.arguments import is_integer
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.tensors import Shape


def cast() -> Adapter:
    """Casts the old value to the new variable's dtype.

    Use it where a model is trained on in another precision, or where ids became wider. A dtype changes only if you ask for
    it. A slot is cast where its own dtype has changed. The plan calls a cast that can lose something narrowing: floats are
    rounded, and those beyond float16's range become infinite; fractions are cut off; integers out of range wrap.

    Returns:
      An adapter from any int, float or complex dtype to any other, except from complex to real. It keeps the shape; combine
      it with other adapters in a list to change that too. Fills and means are of the new dtype, wherever in the list the cast
      stands, unless a transform follows. Strings, bools and quantized dtypes are not numbers: use `transform` for them.

    Example:
      >>> from estimator_warmstart import adapters
      >>> adapters.cast().steps((3, 2), (3, 2), "float64", "float32")
      (Cast(dtype='float32'),)
    """

    def steps(old: Shape, new: Shape, dtype: str, new_dtype: str = "") -> Tuple[Transform, ...]:
        if new_dtype in ("", dtype):
            return ()
        reason = why_no_cast(dtype, new_dtype)
        if reason:
            raise Misfit(reason)
        return (Cast(new_dtype),)

    return Adapter("cast()", steps)


def crop_or_pad(fill: Union[Fill, List[Fill], Tuple[Fill, ...]] = "initial") -> Adapter:
    """Keeps what fits of the old value, from the beginning of each axis, and fills the rest.

    Use it where rows or columns were cut off or added at the end: a smaller symbol table, a wider embedding. A fill for each
    axis widens a layer such that the model computes the same: `("zeros", "initial")` for a kernel whose inputs and units both
    grew. The rows that read new inputs are zero, and new units get fresh weights.

    Args:
      fill: the fill value for positions that have no old value. `"initial"`: the new variable's own initial values.
        `"zeros"`. A number. `"mean"`: the mean of the old rows (along the axis that grows). Or an initializer, such as
        `tf.compat.v1.truncated_normal_initializer()`: it is called with `dtype=` and the shape of the new positions only,
        `[new rows, columns]` where rows are new, so that fans count only these. Each part of a partitioned variable draws its
        own new rows; with a seed of the initializer's own, these have the same values. Where only the session knows the number
        of new tokens, the shape is a tensor. If the initializer does not accept that, it draws the whole part, and the new
        rows are taken from it. Slots always take their own initial values: a zero is not neutral there (an Adagrad accumulator
        of 0 turns a zero gradient into NaN). A tuple or list has a fill for each axis. A cell that is new on several axes takes
        the fill of the first of them. A mean is of old values: where the cell is new on a later axis with the fill `"initial"`,
        there are none, and the cell takes its initial value.

    Returns:
      An adapter from any shape to any other of the same rank.

    Raises:
      WarmStartError: for any other fill.

    Example:
      >>> from estimator_warmstart import adapters
      >>> adapters.crop_or_pad().steps((30, 128), (29, 128), "float32")
      (MapAxis(axis=0, axis_map=(Kept(length=29, start=0, step=1),)),)
      >>> wider = adapters.crop_or_pad(("zeros", "initial")).steps((4, 1), (6, 3), "float32")
      >>> [step.axis_map[1] for step in wider]
      [Filled(length=2, fill='zeros'), Filled(length=2, fill='initial')]
    """
    if isinstance(fill, (list, tuple)):
        if not fill:
            raise WarmStartError("crop_or_pad: fill is empty; give one fill, or one for each axis")
        for number, of_axis in enumerate(fill):
            check_fill(of_axis, f"fill[{number}]")
        text = f"({', '.join(map(fill_text, fill))}{',' * (len(fill) == 1)})"
    else:
        check_fill(fill, "fill")
        text = fill_text(fill)

    def steps(old: Shape, new: Shape, dtype: str, new_dtype: str = "") -> Tuple[Transform, ...]:
        if len(old) != len(new):
            raise Misfit(f"crop_or_pad keeps the rank, and {list(old)} has {len(old)} axes, {list(new)} has {len(new)}")
        fills = fill if isinstance(fill, (list, tuple)) else [fill] * len(new)
        if len(fills) != len(new):
            raise Misfit(f"fill has {len(fills)} entries, and {list(new)} has {len(new)} axes; give one fill for each axis")
        return tuple(
            MapAxis(axis, merge_segments((Kept(min(before, after), 0), Filled(max(after - before, 0), of_axis))))
            for axis, (before, after, of_axis) in enumerate(zip(old, new, fills))
            if before != after
        )

    return Adapter(f"crop_or_pad(fill={text})", steps)


def take(index: Any) -> Adapter:
    """Takes a part of the old value by numpy's basic slicing.

    Use it where something other than the end is gone, reversed or thinned out.

    Args:
      index: an index as `np.s_[...]` makes it: ints, slices with steps of either sign, `...` and `np.newaxis`, or a tuple of
        these.

    Returns:
      An adapter to the shape that numpy gives the result.

    Raises:
      WarmStartError: for an index that is not basic slicing.

    Example:
      >>> import numpy as np
      >>> from estimator_warmstart import adapters
      >>> adapters.take(np.s_[:-1, :]).steps((30, 128), (29, 128), "float32")
      (MapAxis(axis=0, axis_map=(Kept(length=29, start=0, step=1),)),)
    """
    items = index if isinstance(index, tuple) else (index,)
    for item in items:
        is_basic = item is None or item is Ellipsis or isinstance(item, slice) or is_integer(item)
        if not is_basic:
            raise WarmStartError(f"take: an index is made of ints, slices, ... and np.newaxis, got {item!r}")
    label = f"take(np.s_[{', '.join(_index_text(item) for item in items)}])"

    def steps(old: Shape, new: Shape, dtype: str, new_dtype: str = "") -> Tuple[Transform, ...]:
        try:
            shape = np.broadcast_to(np.empty(()), old)[index].shape  # No memory behind it.
        except (IndexError, TypeError, ValueError) as error:
            raise Misfit(f"{label} does not fit {list(old)}: {error}") from error
        if any(not isinstance(item, slice) and item is not Ellipsis for item in items):
            return (Apply(lambda tensor: tensor[index], shape, may_pad=False),)
        return tuple(
            MapAxis(axis, _map_of_slice(item, old[axis]))
            for axis, item in enumerate(_without_ellipsis(items, len(old)))
            if item.indices(old[axis]) != (0, old[axis], 1)
        )

    return Adapter(label, steps)


def compose(*parts: Adapter) -> Adapter:
    """Applies several adapters, the first one first.

    Use it where more than one axis changes: rows follow their tokens, then columns are padded. A list of adapters means the
    same as their composition.

    Args:
      *parts: adapters.

    Returns:
      One adapter.

    Raises:
      WarmStartError: for anything that is not an adapter.

    Example:
      >>> from estimator_warmstart import adapters
      >>> both = adapters.compose(adapters.remap_rows(["a", "b"], ["b"]), adapters.crop_or_pad("zeros"))
      >>> [step.axis for step in both.steps((2, 8), (1, 16), "float32")]
      [0, 1]
    """
    if not parts or not all(isinstance(part, Adapter) for part in parts):
        raise WarmStartError(f"compose: adapters are needed, got {list(parts)!r}")

    def steps(old: Shape, new: Shape, dtype: str, new_dtype: str = "") -> Tuple[Transform, ...]:
        done: List[Transform] = []
        shape = old
        for part in parts:
            more = part.steps(shape, new, result_dtype(dtype, done), new_dtype)
            shape = result_shape(shape, more)
            done.extend(more)
        return tuple(done)

    return Adapter(" then ".join(part.label for part in parts), steps)


def as_adapter(value: object) -> Adapter:
    """Returns `value` itself, or the composition of a list of adapters.

    Raises:
      WarmStartError: for anything else.
    """
    if isinstance(value, Adapter):
        return value
    if type(value) in (list, tuple):  # Not a record, which is a tuple too.
        return compose(*cast_type(Sequence[Adapter], value))
    raise WarmStartError(f"an adapter such as adapters.crop_or_pad() is needed, got {value!r}")


def _without_ellipsis(items: Sequence[Any], rank: int) -> List[Any]:
    """Returns one item for each axis."""
    items = list(items)
    if Ellipsis not in items:
        items.append(Ellipsis)
    at = items.index(Ellipsis)
    return items[:at] + [slice(None)] * (rank - len(items) + 1) + items[at + 1 :]


def _map_of_slice(item: slice, length: int) -> AxisMap:
    start, stop, step = item.indices(length)
    return merge_segments((Kept(len(range(start, stop, step)), start, step),))


def _index_text(item: Any) -> str:
    if isinstance(item, slice):
        text = f"{'' if item.start is None else item.start}:{'' if item.stop is None else item.stop}"
        return text if item.step is None else f"{text}:{item.step}"
    return {Ellipsis: "...", None: "np.newaxis"}.get(item, str(item))
