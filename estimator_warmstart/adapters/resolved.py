"""What a slice of a new variable is made of, settled before anything is read.

`resolve` turns transforms, the old shape and a slice of the new value into plain data. Whatever carries a value out (a graph,
eager variables, a file written piece by piece) follows the same description.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart.adapters.axis_map import (
    AxisMap,
    Fill,
    Remapped,
    fills_of,
    identity_map,
    is_identity_map,
    map_length,
    map_window,
    old_range,
    shift_map,
)
from estimator_warmstart.adapters.transforms import (
    Apply,
    Elementwise,
    MapAxis,
    Reshape,
    ShrinkPerturb,
    Transform,
    axis_maps_of,
    result_shape,
    split_at_last_apply,
)
from estimator_warmstart.adapters.vocabulary import VocabRemapping
from estimator_warmstart.tensors import Shape, TensorSlice, whole_slice


class ResolvedValue(NamedTuple):
    """A slice of a new value: what is read for it, and what happens to that, in the order of the attributes.

    Attributes:
      source_shape: the shape of the whole old value.
      slice_to_read: the slice of the old value to read; `None` where the slice of the new value takes nothing old.
      whole_stages: the transforms up to the last user function or reshape, one by one. They need the whole old value, which is
        then what is read. They are not composed: a mean is a mean of what the stage before has made.
      elementwise: what happens to each element then. What is filled in has the new dtype already.
      mapped_shape: the shape of what `axis_maps` map: of the slice that was read, or of what `whole_stages` make. Where nothing
        is read it is the shape of a stand-in.
      axis_maps: one for each axis of the new value. Their positions count from the beginning of what is mapped. A cell that is
        new on several axes takes the fill of the first of them; where that is a mean of cells with initial values, those.
      remappings: the vocabularies that positions depend on, each once, in any of the transforms.
      pads_zeros: whether a zero, after the last user function, may be padding rather than an old value. A slot then takes its
        own initial value there.
    """

    source_shape: Shape
    slice_to_read: Optional[TensorSlice]
    whole_stages: Tuple[Transform, ...]
    elementwise: Tuple[Elementwise, ...]
    mapped_shape: Shape
    axis_maps: Tuple[AxisMap, ...]
    remappings: Tuple[VocabRemapping, ...]
    pads_zeros: bool

    @property
    def shape(self) -> Shape:
        """The shape of the slice of the new value."""
        return tuple(map_length(axis_map) for axis_map in self.axis_maps)

    @property
    def fills(self) -> Tuple[Fill, ...]:
        """The fills of `axis_maps`, each once."""
        return tuple(dict.fromkeys(fill for axis_map in self.axis_maps for fill in fills_of(axis_map)))

    @property
    def changed_axes(self) -> Tuple[int, ...]:
        """The axes that `axis_maps` do not leave as they are."""
        pairs = enumerate(zip(self.axis_maps, self.mapped_shape))
        return tuple(axis for axis, (axis_map, length) in pairs if not is_identity_map(axis_map, length))

    @property
    def slice_as_it_is(self) -> Optional[TensorSlice]:
        """The slice to read, where that is the new value already; `None` where something happens to it."""
        return None if self.whole_stages or self.elementwise or self.changed_axes else self.slice_to_read


def resolve(transforms: Sequence[Transform], old_shape: Shape, target_slice: TensorSlice) -> ResolvedValue:
    """Resolves what a slice of a new value is made of.

    Args:
      transforms: from the whole old value to the whole new one.
      old_shape: the shape of the whole old value.
      target_slice: the slice of the new value.

    Example:
      >>> from estimator_warmstart import adapters
      >>> grown = resolve(adapters.crop_or_pad().steps((4, 2), (7, 2), "float32"), (4, 2), TensorSlice((3, 0), (4, 2)))
      >>> grown.slice_to_read
      TensorSlice(offset=(3, 0), shape=(1, 2))
      >>> grown.axis_maps[0]
      (Kept(length=1, start=0, step=1), Filled(length=3, fill='initial'))
    """
    if not transforms:
        maps = tuple(identity_map(length) for length in target_slice.shape)
        return ResolvedValue(old_shape, target_slice, (), (), target_slice.shape, maps, (), False)
    whole_stages, others = split_at_last_apply(transforms)
    elementwise = tuple(transform for transform in others if not isinstance(transform, (MapAxis, Apply, Reshape)))
    stage_shape = result_shape(old_shape, whole_stages)
    maps = tuple(
        map_window(axis_map, offset, length)
        for axis_map, offset, length in zip(axis_maps_of(stage_shape, others), target_slice.offset, target_slice.shape)
    )
    slice_to_read, mapped_shape = _read_for(whole_stages, old_shape, stage_shape, maps)
    if not whole_stages:
        maps = tuple(shift_map(axis_map, old_range(axis_map, length)[0]) for axis_map, length in zip(maps, old_shape))
    return ResolvedValue(
        old_shape,
        slice_to_read if 0 not in target_slice.shape else None,
        whole_stages,
        tuple(_at_slice(transform, slice_to_read) for transform in elementwise),
        mapped_shape,
        maps,
        _remappings_of(transforms),
        any(_may_pad_zeros(transform) for transform in whole_stages),
    )


def _at_slice(transform: Elementwise, slice_to_read: Optional[TensorSlice]) -> Elementwise:
    """Returns `transform` such that the noise of two slices differs."""
    if slice_to_read is None or not any(slice_to_read.offset) or not isinstance(transform, ShrinkPerturb):
        return transform
    return transform._replace(place=zlib.crc32(repr(slice_to_read.offset).encode()))


def _read_for(
    whole_stages: Sequence[Transform], old_shape: Shape, stage_shape: Shape, maps: Sequence[AxisMap]
) -> Tuple[Optional[TensorSlice], Shape]:
    """Returns the slice to read, and the shape of what `maps` map then."""
    if whole_stages:
        return whole_slice(old_shape), stage_shape
    ranges = [old_range(axis_map, length) for axis_map, length in zip(maps, old_shape)]
    lengths = tuple(high - low for low, high in ranges)
    if 0 not in lengths:
        return TensorSlice(tuple(low for low, _ in ranges), lengths), lengths
    # Something to gather from: one position where nothing old is taken, though there is something.
    return None, tuple(max(length, min(old_length, 1)) for length, old_length in zip(lengths, old_shape))


def _remappings_of(transforms: Sequence[Transform]) -> Tuple[VocabRemapping, ...]:
    segments = [segment for transform in transforms if isinstance(transform, MapAxis) for segment in transform.axis_map]
    return tuple(dict.fromkeys(segment.remapping for segment in segments if isinstance(segment, Remapped)))


def _may_pad_zeros(transform: Transform) -> bool:
    """Whether zeros that are not old values may be in what `transform` makes."""
    if isinstance(transform, Apply):
        return transform.may_pad
    return isinstance(transform, MapAxis) and bool(fills_of(transform.axis_map))
