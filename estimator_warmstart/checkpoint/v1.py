"""Reads the files of V1 checkpoints, which `Saver(write_version=SaverDef.V1)` writes: no index, one file or several.

TensorFlow restores them, but its readers end the process where a file lists a shape that cannot be, and give no values of
partitioned variables: here all that a file lists is checked before TensorFlow sees it.

Source: each file is a LevelDB table of `SavedTensorSlices` (tensorflow/core/util/tensor_slice_writer.cc,
saved_tensor_slice.proto), whose first entry lists the others.
"""

from __future__ import annotations

import bisect
import os
import re
import struct
import sys
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

from estimator_warmstart._tf import saved_tensor_slice_pb2, tensor_bundle_pb2, tf
from estimator_warmstart.checkpoint.data_files import BundleReader
from estimator_warmstart.checkpoint.index_checks import begin_of_slice_keys, box_of
from estimator_warmstart.checkpoint.index_file import block_entries, is_table, table_blocks
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, open_file
from estimator_warmstart.tensors import TensorSlice, count_elements

# After _tf, which says what to install where there is no TensorFlow; protobuf comes with it.
from google.protobuf.message import DecodeError  # isort: skip

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})")
_DAMAGED = (struct.error, IndexError, ValueError, TypeError, DecodeError, *FILE_ERRORS)
_MOST_DIMENSIONS = 254
_MOST_ELEMENTS = 2**63 - 1


class V1Tensor(NamedTuple):
    """One tensor of a V1 checkpoint.

    Attributes:
      shape: of the whole tensor.
      dtype: TensorFlow's name of it.
      slices: ((offset, shape), ...), at least one, in order.
    """

    shape: Tuple[int, ...]
    dtype: str
    slices: Tuple[TensorSlice, ...]


def v1_prefix(path: str) -> str:
    """What TensorFlow calls the V1 checkpoint at the prefix `path`: `PATH`, or `PATH-?????-of-00002` for two shards.

    Returns:
      That name, or an empty string if there is no such checkpoint.

    Raises:
      CheckpointError: where there are shards of several, or not all of them.
    """
    if tf.io.gfile.exists(path) and not tf.io.gfile.isdir(path):
        return path if _is_v1_file(path) else ""
    folder, name = os.path.split(path)
    name = re.sub(r"-\?{5}-of-(\?{5}|\d{5})$", "", name)
    if not name or not tf.io.gfile.isdir(folder or "."):
        return ""
    numbers: Dict[str, List[str]] = {}
    for other in tf.io.gfile.listdir(folder or "."):
        found = _SHARD.fullmatch(other[len(name) :]) if other.startswith(name) else None
        if found and int(found.group(2)):
            numbers.setdefault(found.group(2), []).append(found.group(1))
    prefix = os.path.join(folder, name)
    patterns = [f"{prefix}-?????-of-{count}" for count in sorted(numbers)]
    if path in patterns:
        patterns = [path]
    if len(patterns) > 1:
        raise CheckpointError(f"ckp_dir {path!r} may be one of several V1 checkpoints; name one: {', '.join(patterns)}")
    for pattern in patterns:
        count = pattern[-5:]
        missing = sorted({f"{number:05d}" for number in range(int(count))} - set(numbers[count]))
        if missing:
            raise CheckpointError(f"the checkpoint {pattern} is not whole: {prefix}-{missing[0]}-of-{count} is missing")
    return patterns[0] if patterns else ""


def files_of(prefix: str) -> List[str]:
    """The files of the V1 checkpoint that TensorFlow calls `prefix`."""
    if "-?????-of-" not in os.path.basename(prefix):
        return [prefix]
    begin, count = prefix[: -len("-?????-of-00000")], prefix[-5:]
    return [f"{begin}-{number:05d}-of-{count}" for number in range(int(count))]


def read_v1_tensors(prefix: str) -> Dict[str, V1Tensor]:
    """What a V1 checkpoint holds, checked.

    Raises:
      CheckpointError: if a file cannot be read, is damaged, or lists what TensorFlow could not read.
    """
    if set("[]*\\") & set(prefix) or "?" in prefix.replace("-?????-of-", ""):
        raise CheckpointError(
            f"{prefix} is a V1 checkpoint, whose path TensorFlow reads as a pattern; move it to one without any of []*?\\"
        )
    found: Dict[str, V1Tensor] = {}
    for path in files_of(prefix):
        for name, tensor in _read(path, _tensors):
            before = found.get(name, tensor._replace(slices=()))
            if before[:2] != tensor[:2]:
                raise CheckpointError(f"{path} is damaged: {name!r} is {tensor[:2]} there and {before[:2]} in another file")
            found[name] = tensor._replace(slices=tuple(sorted(before.slices + tensor.slices)))
    for name, tensor in found.items():
        count = sum(count_elements(part.shape) for part in tensor.slices)
        if len(set(tensor.slices)) < len(tensor.slices) or count != count_elements(tensor.shape):
            raise CheckpointError(f"the checkpoint {prefix} is not whole: its slices of {name!r} do not make up the whole")
    return found


class V1Reader:
    """Reads the values of a V1 checkpoint; has the methods of a `BundleReader`.

    Args:
      prefix: what TensorFlow calls the checkpoint.

    Attributes:
      header: the byte order of what is read.
    """

    def __init__(self, prefix: str):
        self._prefix, self._tensors = prefix, read_v1_tensors(prefix)
        self.header = tensor_bundle_pb2.BundleHeaderProto(endianness=int(sys.byteorder == "big"))

    def entries(self, key: str, new_key: str) -> Iterator[Tuple[bytes, Any]]:
        """The tensor itself: what is stored of it needs no entry."""
        yield new_key.encode("utf-8"), self._tensors[key]

    def read(self, key: str, entry: Any) -> Iterator[bytes]:
        """The values of the tensor's slices, one after the other, as bytes.

        Raises:
          CheckpointError: if they cannot be read or are damaged.
        """
        size = 0
        begin = begin_of_slice_keys(key.encode("utf-8"))
        for path in files_of(self._prefix):
            for values in _read(path, lambda file, length: _values(file, length, begin, self._tensors[key])):
                size += values.size
                yield values.tobytes()
        if size != count_elements(self._tensors[key].shape):
            raise CheckpointError(f"{key!r} in {self._prefix} is damaged: {size:,} of its values are there")

    def check_strings(self, key: str) -> None:
        """Does nothing: the lengths of strings are checked by whoever reads them, TensorFlow too."""

    def close(self) -> None:
        """Does nothing: no file is kept open."""


def reader_of(prefix: str, is_v1: bool) -> Union[BundleReader, V1Reader]:
    """A reader of the checkpoint's values."""
    return V1Reader(prefix) if is_v1 else BundleReader(prefix)


def _read(path: str, collect: Callable[[Any, int], Iterator[Any]]) -> Iterator[Any]:
    try:
        with open_file(path, "rb") as file:
            yield from collect(file, tf.io.gfile.stat(path).length)
    except _DAMAGED as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is not a file of a V1 checkpoint, or is damaged: {error}") from error


def _is_v1_file(path: str) -> bool:
    """Whether the file at `path` ends as a V1 checkpoint's does; one that the rest belies is damaged."""
    length = tf.io.gfile.stat(path).length
    if length < 8:
        return False
    with open_file(path, "rb") as file:
        file.seek(length - 8)
        return is_table(file.read(8))


def _tensors(file: Any, length: int) -> Iterator[Tuple[str, V1Tensor]]:
    blocks = table_blocks(file, length)
    key, value = next(block_entries(file, length, blocks[0])) if blocks else (b"nothing", b"")
    if key:
        raise ValueError("it does not begin with a list of its tensors")
    seen = set()
    for tensor in saved_tensor_slice_pb2.SavedTensorSlices.FromString(value).meta.tensor:
        shape = tuple(dim.size for dim in tensor.shape.dim)
        is_right = not tensor.shape.unknown_rank and len(shape) <= _MOST_DIMENSIONS and min(shape, default=0) >= 0
        if not is_right or count_elements(shape) > _MOST_ELEMENTS:
            raise ValueError(f"the shape of {tensor.name!r} cannot be")
        if not tensor.name or tensor.name in seen:
            raise ValueError(f"it lists {tensor.name!r} twice, or without a name")
        seen.add(tensor.name)
        yield tensor.name, V1Tensor(shape, tf.as_dtype(tensor.type).name, tuple(_box(part, shape) for part in tensor.slice))


def _values(file: Any, length: int, begin: bytes, tensor: V1Tensor) -> Iterator[np.ndarray]:
    """The values under the keys that begin so."""
    blocks = table_blocks(file, length)
    first = bisect.bisect_left([block.last_key for block in blocks], begin)
    for number, block in enumerate(blocks[first:], first):
        if number > first and blocks[number - 1].last_key[: len(begin)] > begin:
            break
        for key, value in block_entries(file, length, block):
            if key.startswith(begin):
                yield _values_in(value, tensor)


def _values_in(value: bytes, tensor: V1Tensor) -> np.ndarray:
    stored = saved_tensor_slice_pb2.SavedTensorSlices.FromString(value).data
    proto, shape = stored.data, _box(stored.slice, tensor.shape)[1]
    # TensorFlow itself only fills in the values.
    proto.dtype = tf.as_dtype(tensor.dtype).as_datatype_enum
    proto.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    count = sum(len(values) for field, values in proto.ListFields() if field.name.endswith("_val"))
    if count != count_elements(shape) * (2 if tensor.dtype.startswith("complex") else 1):
        raise ValueError(f"{stored.name!r} has {count:,} values where {count_elements(shape):,} are needed")
    return tf.make_ndarray(proto)


def _box(part: Any, shape: Sequence[int]) -> TensorSlice:
    start, lengths = box_of(part, tuple(shape))
    is_inside = all(at >= 0 and size >= 0 and at + size <= length for at, size, length in zip(start, lengths, shape))
    if len(part.extent) != len(shape) or not is_inside:
        raise ValueError(f"a slice of {list(shape)} cannot be")
    return TensorSlice(start, lengths)
