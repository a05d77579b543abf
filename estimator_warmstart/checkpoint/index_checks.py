"""Checks the entries of a checkpoint's index before TensorFlow reads the tensors.

Where an entry is wrong, TensorFlow's own reader ends the process or returns values that the file does not have.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc and tensorflow/c/checkpoint_reader.cc (`CHECK`s). The keys of
slices: tensorflow/core/util/saved_tensor_slice_util.cc and tensorflow/core/lib/strings/ordered_code.cc.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart._tf import tensor_bundle_pb2, tf
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.slots import LONGEST_NAME
from estimator_warmstart.tensors import Shape, TensorSlice, count_elements, whole_slice

if TYPE_CHECKING:
    from tensorflow.core.framework import tensor_shape_pb2, tensor_slice_pb2

# Their names have five digits: `.data-00000-of-99999`.
MOST_DATA_FILES = 99_999
# The key of a slice begins with it, the key of a tensor does not.
SLICE_KEY_MARK = b"\0"
_MOST_DIMENSIONS = 254
_LARGEST_INT64 = 2**63 - 1
_BUNDLE_VERSION = 1
# One message lists so many problems at most: an index may have millions of entries.
_MOST_LISTED_PROBLEMS = 20
# Each box has 2 to the number of partitioned axes corners to count.
_MOST_PARTITIONED_AXES = 8
# Slices of a tensor that is stored in part only are compared pair by pair.
_MOST_COMPARED_SLICES = 64
_VARIABLE_SIZE = (tf.string, tf.variant)


class _ListedSlice(NamedTuple):
    """A slice that the entry of its tensor lists."""

    tensor_key: bytes
    tensor_entry: tensor_bundle_pb2.BundleEntryProto
    box: TensorSlice


def check_header(header: tensor_bundle_pb2.BundleHeaderProto) -> None:
    """Raises `ValueError` if TensorFlow could not read a checkpoint with this header."""
    if not 1 <= header.num_shards <= MOST_DATA_FILES:
        raise ValueError(f"it says that there are {header.num_shards} data files")
    if header.endianness not in tensor_bundle_pb2.BundleHeaderProto.Endianness.values():
        raise ValueError(f"it says that the byte order is {header.endianness}")
    if header.version.min_consumer > _BUNDLE_VERSION or _BUNDLE_VERSION in header.version.bad_consumers:
        raise ValueError(f"it needs a reader of version {header.version.min_consumer}, this is {_BUNDLE_VERSION}")


def check_entries(
    path: str, header: tensor_bundle_pb2.BundleHeaderProto, entries: Mapping[bytes, tensor_bundle_pb2.BundleEntryProto]
) -> None:
    """Checks each entry of the index at `path`, {key: entry}.

    Raises:
      CheckpointError: listing the entries that TensorFlow could not read.
    """
    listed: Dict[bytes, _ListedSlice] = {}
    problems: List[str] = []
    for key, entry in entries.items():
        if key.startswith(SLICE_KEY_MARK):
            continue
        problem = _name_problem(key) or _entry_problem(entry, header.num_shards) or _slices_problem(entry)
        if problem is not None:
            problems.append(f"{shown_key(key)} {problem}")
            continue
        for part in entry.slices:
            listed[slice_key(key, part)] = _ListedSlice(key, entry, tensor_slice_of(part, entry_shape(entry)))
    if not problems:  # Otherwise a slice may be missing only because the entry of its tensor is wrong.
        problems += _stored_slice_problems(header.num_shards, entries, listed)
    if problems:
        more = len(problems) - _MOST_LISTED_PROBLEMS
        shown = problems[:_MOST_LISTED_PROBLEMS] + ([f"and {more:,} more"] if more > 0 else [])
        raise CheckpointError(f"{path} lists what cannot be read, or is damaged", shown)


def entry_shape(entry: tensor_bundle_pb2.BundleEntryProto) -> Shape:
    """Returns the shape of the tensor or the slice that an entry describes."""
    return tuple(dim.size for dim in entry.shape.dim)


def tensor_slice_of(part: tensor_slice_pb2.TensorSliceProto, shape: Shape) -> TensorSlice:
    """Returns offset and shape of a slice: an extent without a length is the whole axis (tensor_slice.proto)."""
    lengths = tuple(extent.length if extent.HasField("length") else size for extent, size in zip(part.extent, shape))
    return TensorSlice(tuple(extent.start for extent in part.extent), lengths)


def slice_key(key: bytes, part: tensor_slice_pb2.TensorSliceProto) -> bytes:
    """Returns the key under which a slice of the tensor `key` is stored."""
    encoded = slice_key_prefix(key) + _encode_unsigned(len(part.extent))
    for extent in part.extent:
        has_length = extent.HasField("length")
        encoded += _encode_signed(extent.start if has_length else 0) + _encode_signed(extent.length if has_length else -1)
    return encoded


def slice_key_prefix(key: bytes) -> bytes:
    """Returns what the keys of a tensor's slices begin with (ordered_code.cc, `WriteString`)."""
    return SLICE_KEY_MARK + key.replace(b"\0", b"\0\xff").replace(b"\xff", b"\xff\0") + b"\0\1"


def shown_key(key: bytes, most: int = 100) -> str:
    """Returns the beginning of a key, in quotes."""
    try:
        return repr(key.decode("utf-8")[:most])
    except UnicodeDecodeError:
        return repr(key[:most])[1:]


def shape_problem(shape: tensor_shape_pb2.TensorShapeProto) -> Optional[str]:
    """Returns why no stored tensor can have this shape, or `None`."""
    if shape.unknown_rank:
        return "has no shape"
    if len(shape.dim) > _MOST_DIMENSIONS:
        return f"has {len(shape.dim):,} dimensions"
    count = 1
    for dim in shape.dim:
        if dim.size < 0:
            return f"has a negative dimension, {dim.size}"
        count *= dim.size
        if count > _LARGEST_INT64:
            return f"has too many elements, {' * '.join(str(each.size) for each in shape.dim[:5])}"
    return None


def slice_problem(part: tensor_slice_pb2.TensorSliceProto, shape: Shape) -> Optional[str]:
    """Returns why a tensor of this shape cannot have the slice, or `None`."""
    if len(part.extent) != len(shape):
        return f"has a slice of {len(part.extent)} dimensions, its shape is {list(shape)}"
    offset, lengths = tensor_slice_of(part, shape)
    if any(start < 0 or length < 0 or start + length > size for start, length, size in zip(offset, lengths, shape)):
        return f"has a slice of shape {list(lengths)} at {list(offset)}, its shape is {list(shape)}"
    return None


def _name_problem(key: bytes) -> Optional[str]:
    if len(key) > LONGEST_NAME:
        return f"is the beginning of a name of {len(key):,} bytes"
    try:
        key.decode("utf-8")
    except UnicodeDecodeError:
        return "is a name that is not UTF-8"
    return None


def _entry_problem(entry: tensor_bundle_pb2.BundleEntryProto, num_shards: int) -> Optional[str]:
    """Returns what is wrong with the entry of a tensor or a slice, or `None`."""
    problem = shape_problem(entry.shape)
    if problem is not None:
        return problem
    try:
        dtype = tf.as_dtype(entry.dtype) if entry.dtype else None
    except TypeError:
        dtype = None
    if dtype is None or dtype != dtype.base_dtype or dtype == tf.resource:
        return f"has the dtype {entry.dtype}, which no stored tensor has" if entry.dtype else "has no dtype"
    if not 0 <= entry.shard_id < num_shards:
        return f"is in data file {entry.shard_id}, there are {num_shards}"
    if entry.offset < 0 or entry.size < 0 or entry.offset + entry.size > _LARGEST_INT64:
        return f"is said to be at {entry.offset} and to have {entry.size} bytes"
    if entry.slices:
        return f"has slices and {entry.size:,} bytes besides" if entry.size else None
    shape = entry_shape(entry)
    count = count_elements(shape)
    if dtype in _VARIABLE_SIZE:
        return f"has {entry.size:,} bytes, too few for {count:,} values" if entry.size < count else None
    if entry.size != count * dtype.size:
        return f"has {entry.size:,} bytes, {count * dtype.size:,} by its shape {list(shape)} and dtype {dtype.name}"
    return None


def _slices_problem(entry: tensor_bundle_pb2.BundleEntryProto) -> Optional[str]:
    """Returns what is wrong with the slices that the entry of a tensor lists, or `None`."""
    if not entry.slices:
        return None
    shape = entry_shape(entry)
    problem = next(filter(None, (slice_problem(part, shape) for part in entry.slices)), None)
    if problem is not None:
        return problem
    boxes = [tensor_slice_of(part, shape) for part in entry.slices]
    if len({slice_key(b"", part) for part in entry.slices}) < len(boxes):
        return "has a slice that is listed twice"
    covered = sum(count_elements(box.shape) for box in boxes)
    if covered == count_elements(shape):
        return None if _fit_together(shape, boxes) else "has slices that overlap"
    if covered > count_elements(shape) or len(boxes) > _MOST_COMPARED_SLICES:
        return f"has slices of {covered:,} elements, its shape is {list(shape)}"
    return "has slices that overlap" if any(_overlap(*pair) for pair in itertools.combinations(boxes, 2)) else None


def _fit_together(shape: Shape, boxes: Sequence[TensorSlice]) -> bool:
    """Returns whether `boxes` cover each place of `shape` once.

    A sum of boxes is determined by its corners. A corner counts as -1 if it is at the end of an odd number of axes. So the
    boxes cover the whole once if all their corners add up to the corners of the whole.
    """
    whole = whole_slice(shape)
    axes = [axis for axis, size in enumerate(shape) if any(box.shape[axis] != size for box in boxes)]
    if len(axes) > _MOST_PARTITIONED_AXES:
        return False
    corners: Dict[Tuple[int, ...], int] = Counter()
    for box, sign in [*((box, 1) for box in boxes), (whole, -1)]:
        if count_elements(box.shape):
            for corner, parity in _corners(box, axes):
                corners[corner] += sign * parity
    return not any(corners.values())


def _corners(box: TensorSlice, axes: Sequence[int]) -> Iterator[Tuple[Tuple[int, ...], int]]:
    for ends in itertools.product((0, 1), repeat=len(axes)):
        corner = tuple(box.offset[axis] + end * box.shape[axis] for axis, end in zip(axes, ends))
        yield corner, -1 if sum(ends) % 2 else 1


def _overlap(one: TensorSlice, other: TensorSlice) -> bool:
    return all(
        max(start, other_start) < min(start + length, other_start + other_length)
        for start, length, other_start, other_length in zip(*one, *other)
    )


def _stored_slice_problems(
    num_shards: int,
    entries: Mapping[bytes, tensor_bundle_pb2.BundleEntryProto],
    listed: Mapping[bytes, _ListedSlice],
) -> Iterator[str]:
    for key, (tensor_key, tensor_entry, box) in listed.items():
        what = f"{shown_key(tensor_key)}: the slice of shape {list(box.shape)} at {list(box.offset)}"
        entry = entries.get(key)
        if entry is None:
            yield f"{what} is not there"
        elif entry.dtype != tensor_entry.dtype or entry_shape(entry) != box.shape or entry.slices:
            yield f"{what} is another tensor, of shape {list(entry_shape(entry))}"
        else:
            problem = _entry_problem(entry, num_shards)
            if problem is not None:
                yield f"{what} {problem}"
    for key in entries:
        if key.startswith(SLICE_KEY_MARK) and key not in listed:
            yield f"{shown_key(key)} is a slice that no tensor lists"


def _encode_unsigned(number: int) -> bytes:
    """Encodes as `WriteNumIncreasing` does: the number of bytes, then the bytes."""
    encoded = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([len(encoded)]) + encoded


def _encode_signed(number: int) -> bytes:
    """Encodes as `WriteSignedNumIncreasing` does: first as many ones as bytes, or as many zeros for a negative number."""
    length = (number if number >= 0 else ~number).bit_length() // 7 + 1
    header = ((1 << length) - 1) << (8 * length - length)
    return ((number & ((1 << 8 * length) - 1)) ^ header).to_bytes(length, "big")
