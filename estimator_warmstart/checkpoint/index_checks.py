"""What an entry of a checkpoint's index must say so that TensorFlow can read the tensor.

TensorFlow's own reader ends the process, or hands out what is not there, where these do not hold; so they are checked before
it looks.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc and tensorflow/c/checkpoint_reader.cc (`CHECK`s), the keys of
slices: tensorflow/core/util/saved_tensor_slice_util.cc and tensorflow/core/lib/strings/ordered_code.cc.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart._tf import tensor_bundle_pb2, tf
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.slots import LONGEST_NAME
from estimator_warmstart.tensors import TensorSlice, count_elements, whole_slice

_MOST_DIMENSIONS = 254
# As many as their names have digits for: `.data-00000-of-99999`.
_MOST_SHARDS = 99_999
_LARGEST = 2**63 - 1
_VERSION = 1
# Problems that one message lists: an index may have millions of entries.
_MOST_PROBLEMS = 20
# Corners are counted to see that slices fit together: 2 to the number of axes that are partitioned.
_MOST_PARTITIONED_AXES = 8
# Slices of a tensor that is stored in part only are compared each with each.
_MOST_SLICES_OF_A_PART = 64
_SLICE_KEY = b"\0"
_VARIABLE_SIZE = (tf.string, tf.variant)


class _Slice(NamedTuple):
    """A slice that the entry of its tensor lists."""

    name: bytes
    full: Any
    box: TensorSlice


def check_header(header: Any) -> None:
    """Raises `ValueError` for a `BundleHeaderProto` that is not one."""
    if not 1 <= header.num_shards <= _MOST_SHARDS:
        raise ValueError(f"it says that there are {header.num_shards} data files")
    if header.endianness not in tensor_bundle_pb2.BundleHeaderProto.Endianness.values():
        raise ValueError(f"it says that the byte order is {header.endianness}")
    if header.version.min_consumer > _VERSION or _VERSION in header.version.bad_consumers:
        raise ValueError(f"it needs a reader of version {header.version.min_consumer}, this is {_VERSION}")


def check_entries(path: str, header: Any, entries: Mapping[bytes, Any]) -> None:
    """Checks each of the index's entries, {key: `BundleEntryProto`}.

    Raises:
      CheckpointError: listing those that TensorFlow could not read.
    """
    listed: Dict[bytes, _Slice] = {}
    problems: List[str] = []
    for key, entry in entries.items():
        if key.startswith(_SLICE_KEY):
            continue
        problem = _problem_of_name(key) or _problem_of(entry, header.num_shards)
        if problem is None and entry.slices:
            boxes = [box_of(part, _shape(entry)) for part in entry.slices]
            problem = _problem_of_slices(entry, boxes)
            if problem is None:
                listed.update((slice_key(key, part), _Slice(key, entry, box)) for part, box in zip(entry.slices, boxes))
        if problem is not None:
            problems.append(f"{shown_key(key)} {problem}")
    if not problems:  # Else a slice may only be missing since its tensor is wrong.
        problems += _problems_of_stored_slices(header.num_shards, entries, listed)
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        shown = problems[:_MOST_PROBLEMS] + ([f"and {more:,} more"] if more > 0 else [])
        raise CheckpointError(f"{path} lists what cannot be read, or is damaged", shown)


def box_of(part: Any, shape: Tuple[int, ...]) -> TensorSlice:
    """(offset, shape) of a `TensorSliceProto`: an extent without a length is the whole dimension (tensor_slice.proto)."""
    lengths = tuple(extent.length if extent.HasField("length") else size for extent, size in zip(part.extent, shape))
    return TensorSlice(tuple(extent.start for extent in part.extent), lengths)


def slice_key(key: bytes, part: Any) -> bytes:
    """The key under which a slice of the tensor `key` is stored."""
    encoded = begin_of_slice_keys(key) + _ordered_unsigned(len(part.extent))
    for extent in part.extent:
        has_length = extent.HasField("length")
        encoded += _ordered(extent.start if has_length else 0) + _ordered(extent.length if has_length else -1)
    return encoded


def begin_of_slice_keys(key: bytes) -> bytes:
    """How the keys of a tensor's slices begin (ordered_code.cc, `WriteString`)."""
    return _SLICE_KEY + key.replace(b"\0", b"\0\xff").replace(b"\xff", b"\xff\0") + b"\0\1"


def shown_key(key: bytes, most: int = 100) -> str:
    """The begin of a key, in quotes."""
    try:
        return repr(key.decode("utf-8")[:most])
    except UnicodeDecodeError:
        return repr(key[:most])[1:]


def _problem_of_name(key: bytes) -> Optional[str]:
    if len(key) > LONGEST_NAME:
        return f"is the begin of a name of {len(key):,} bytes"
    try:
        key.decode("utf-8")
    except UnicodeDecodeError:
        return "is a name that is not UTF-8"
    return None


def _problem_of(entry: Any, num_shards: int) -> Optional[str]:
    """What is wrong with the entry of a tensor or a slice; `None`: nothing."""
    problem = _problem_of_shape(entry.shape)
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
    if entry.offset < 0 or entry.size < 0 or entry.offset + entry.size > _LARGEST:
        return f"is said to be at {entry.offset} and to have {entry.size} bytes"
    if entry.slices:
        return f"has slices and {entry.size:,} bytes besides" if entry.size else None
    count = count_elements(_shape(entry))
    if dtype in _VARIABLE_SIZE:
        return f"has {entry.size:,} bytes, too few for {count:,} values" if entry.size < count else None
    if entry.size != count * dtype.size:
        return f"has {entry.size:,} bytes, {count * dtype.size:,} by its shape {list(_shape(entry))} and dtype {dtype.name}"
    return None


def _problem_of_shape(shape: Any) -> Optional[str]:
    if shape.unknown_rank:
        return "has no shape"
    if len(shape.dim) > _MOST_DIMENSIONS:
        return f"has {len(shape.dim):,} dimensions"
    count = 1
    for dim in shape.dim:
        if dim.size < 0:
            return f"has a negative dimension, {dim.size}"
        count *= dim.size
        if count > _LARGEST:
            return f"has too many elements, {' * '.join(str(each.size) for each in shape.dim[:5])}"
    return None


def _problem_of_slices(entry: Any, boxes: Sequence[TensorSlice]) -> Optional[str]:
    shape = _shape(entry)
    for part, (start, lengths) in zip(entry.slices, boxes):
        if len(part.extent) != len(shape):
            return f"has a slice of {len(part.extent)} dimensions, its shape is {list(shape)}"
        if any(at < 0 or length < 0 or at + length > size for at, length, size in zip(start, lengths, shape)):
            return f"has a slice of shape {list(lengths)} at {list(start)}, its shape is {list(shape)}"
    if len({slice_key(b"", part) for part in entry.slices}) < len(boxes):
        return "has a slice that is listed twice"
    covered = sum(count_elements(lengths) for _, lengths in boxes)
    if covered == count_elements(shape):
        return None if _fit_together(shape, boxes) else "has slices that overlap"
    if covered > count_elements(shape) or len(boxes) > _MOST_SLICES_OF_A_PART:
        return f"has slices of {covered:,} elements, its shape is {list(shape)}"
    return "has slices that overlap" if any(_overlap(*pair) for pair in itertools.combinations(boxes, 2)) else None


def _fit_together(shape: Tuple[int, ...], boxes: Sequence[TensorSlice]) -> bool:
    """Whether `boxes` cover each place of `shape` once.

    They do if the corners of all of them, those with an odd number of ends counted as less, are together those of the whole:
    a sum of boxes is told by its corners.
    """
    whole = whole_slice(shape)
    axes = [axis for axis, size in enumerate(shape) if any(box[1][axis] != size for box in boxes)]
    if len(axes) > _MOST_PARTITIONED_AXES:
        return False
    corners: Dict[Tuple[int, ...], int] = Counter()
    for box, sign in [*((box, 1) for box in boxes), (whole, -1)]:
        if count_elements(box[1]):
            for corner, parity in _corners(box, axes):
                corners[corner] += sign * parity
    return not any(corners.values())


def _corners(box: TensorSlice, axes: Sequence[int]) -> Iterator[Tuple[Tuple[int, ...], int]]:
    start, lengths = box
    for ends in itertools.product((0, 1), repeat=len(axes)):
        corner = tuple(start[axis] + end * lengths[axis] for axis, end in zip(axes, ends))
        yield corner, -1 if sum(ends) % 2 else 1


def _overlap(one: TensorSlice, other: TensorSlice) -> bool:
    return all(
        max(start, other_start) < min(start + length, other_start + other_length)
        for start, length, other_start, other_length in zip(*one, *other)
    )


def _problems_of_stored_slices(num_shards: int, entries: Mapping[bytes, Any], listed: Mapping[bytes, _Slice]) -> Iterator[str]:
    for key, (name, full, (start, lengths)) in listed.items():
        what = f"{shown_key(name)}: the slice of shape {list(lengths)} at {list(start)}"
        entry = entries.get(key)
        if entry is None:
            yield f"{what} is not there"
        elif entry.dtype != full.dtype or _shape(entry) != lengths or entry.slices:
            yield f"{what} is another tensor, of shape {list(_shape(entry))}"
        else:
            problem = _problem_of(entry, num_shards)
            if problem is not None:
                yield f"{what} {problem}"
    for key in entries:
        if key.startswith(_SLICE_KEY) and key not in listed:
            yield f"{shown_key(key)} is a slice that no tensor lists"


def _shape(entry: Any) -> Tuple[int, ...]:
    return tuple(dim.size for dim in entry.shape.dim)


def _ordered_unsigned(number: int) -> bytes:
    encoded = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([len(encoded)]) + encoded


def _ordered(number: int) -> bytes:
    """`WriteSignedNumIncreasing`: as many leading ones as bytes, their complement where the number is negative."""
    length = (number if number >= 0 else ~number).bit_length() // 7 + 1
    header = ((1 << length) - 1) << (8 * length - length)
    return ((number & ((1 << 8 * length) - 1)) ^ header).to_bytes(length, "big")
