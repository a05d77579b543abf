"""Reads V1 checkpoints, which `Saver(write_version=SaverDef.V1)` writes: one file or several, and no index.

TensorFlow restores them, but its readers end the process where a file lists an impossible shape, and they do not return the
values of partitioned variables. So all that a file lists is checked here before TensorFlow reads it.

Source: each file is a LevelDB table of `SavedTensorSlices` (tensorflow/core/util/tensor_slice_writer.cc,
saved_tensor_slice.proto). Its first entry lists the others.
"""

from __future__ import annotations

import bisect
import os
import re
import struct
from typing import IO, Callable, Dict, Iterator, List, Tuple, TypeVar

import numpy as np

from estimator_warmstart._tf import saved_tensor_slice_pb2, tf
from estimator_warmstart.checkpoint.index_checks import shape_problem, slice_key_prefix, slice_problem, tensor_slice_of
from estimator_warmstart.checkpoint.index_file import StoredTensor
from estimator_warmstart.checkpoint.leveldb_table import block_entries, is_table, table_blocks
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, open_file
from estimator_warmstart.tensors import NATIVE_ORDER, TensorSlice, count_elements

# After _tf, which says what to install where there is no TensorFlow; protobuf comes with it.
from google.protobuf.message import DecodeError  # isort: skip

_NUMBERED_FILE = re.compile(r"-(\d{5})-of-(\d{5})")
_ANY_NUMBER = "-?????-of-"
_DAMAGED = (struct.error, IndexError, ValueError, TypeError, DecodeError, *FILE_ERRORS)
_Item = TypeVar("_Item")


def v1_prefix(path: str) -> str:
    """Returns what TensorFlow calls the V1 checkpoint at `path`: `PATH`, or `PATH-?????-of-00002` if it has two files.

    Returns:
      That name, or an empty string if there is no such checkpoint.

    Raises:
      CheckpointError: if there are files of several checkpoints, or not all files of one.
    """
    if tf.io.gfile.exists(path) and not tf.io.gfile.isdir(path):
        return path if _ends_as_table(path) else ""
    folder, name = os.path.split(path)
    name = re.sub(r"-\?{5}-of-(\?{5}|\d{5})$", "", name)
    if not name or not tf.io.gfile.isdir(folder or "."):
        return ""
    numbers: Dict[str, List[str]] = {}
    for other in tf.io.gfile.listdir(folder or "."):
        found = _NUMBERED_FILE.fullmatch(other[len(name) :]) if other.startswith(name) else None
        if found and int(found.group(2)):
            numbers.setdefault(found.group(2), []).append(found.group(1))
    prefix = os.path.join(folder, name)
    patterns = [f"{prefix}{_ANY_NUMBER}{count}" for count in sorted(numbers)]
    if path in patterns:
        patterns = [path]
    if len(patterns) > 1:
        raise CheckpointError(f"ckp_dir {path!r} may be one of several V1 checkpoints; name one: {', '.join(patterns)}")
    for pattern in patterns:
        there = set(numbers[pattern[-5:]])
        for number, file_path in enumerate(v1_files(pattern)):
            if f"{number:05d}" not in there:
                raise CheckpointError(f"the checkpoint {pattern} is not whole: {file_path} is missing")
    return patterns[0] if patterns else ""


def v1_files(prefix: str) -> List[str]:
    """Returns the files of the V1 checkpoint that TensorFlow calls `prefix`."""
    if _ANY_NUMBER not in os.path.basename(prefix):
        return [prefix]
    begin, _, count = prefix.rpartition(_ANY_NUMBER)
    return [f"{begin}-{number:05d}-of-{count}" for number in range(int(count))]


def read_v1_tensors(prefix: str) -> Dict[str, StoredTensor]:
    """Reads which tensors a V1 checkpoint holds, and checks them.

    Raises:
      CheckpointError: if a file cannot be read, is damaged, or lists what TensorFlow could not read.
    """
    if set("[]*\\") & set(prefix) or "?" in prefix.replace(_ANY_NUMBER, ""):
        raise CheckpointError(
            f"{prefix} is a V1 checkpoint, whose path TensorFlow reads as a pattern; move it to one without any of []*?\\"
        )
    found: Dict[str, StoredTensor] = {}
    for path in v1_files(prefix):
        for name, tensor in _read_table(path, _listed_tensors):
            before = found.get(name, tensor._replace(slices=()))
            if before[:2] != tensor[:2]:
                raise CheckpointError(f"{path} is damaged: {name!r} is {tensor[:2]} there and {before[:2]} in another file")
            found[name] = tensor._replace(slices=tuple(sorted(before.slices + tensor.slices)))
    for name, tensor in found.items():
        count = sum(count_elements(box.shape) for box in tensor.slices)
        if len(set(tensor.slices)) < len(tensor.slices) or count != count_elements(tensor.shape):
            raise CheckpointError(f"the checkpoint {prefix} is not whole: its slices of {name!r} do not cover all of it")
    return {name: tensor if len(tensor.slices) > 1 else tensor._replace(slices=()) for name, tensor in found.items()}


class V1Reader:
    """Reads the values of a V1 checkpoint, as a `BundleReader` reads those of a V2 checkpoint.

    Args:
      prefix: what TensorFlow calls the checkpoint.
    """

    # NumPy's sign of the byte order of the values: TensorFlow decodes them.
    byte_order = NATIVE_ORDER

    def __init__(self, prefix: str):
        self._prefix, self._tensors = prefix, read_v1_tensors(prefix)

    def stored_slices(self, key: str) -> List[Tuple[TensorSlice, Iterator[bytes]]]:
        """Returns the slices that a tensor is stored in, or the whole, each with its bytes; all of it is in memory."""
        return [(box, iter([values.tobytes()])) for box, values in self._read_slices(key)]

    def read_tensor(self, key: str) -> Iterator[bytes]:
        """Yields the values of a tensor as bytes, its slices one after the other.

        Raises:
          CheckpointError: if they cannot be read or are damaged.
        """
        return (values.tobytes() for _, values in self._read_slices(key))

    def _read_slices(self, key: str) -> Iterator[Tuple[TensorSlice, np.ndarray]]:
        size = 0
        begin, tensor = slice_key_prefix(key.encode("utf-8")), self._tensors[key]
        for path in v1_files(self._prefix):
            for box, values in _read_table(path, lambda file, length: _stored_values(file, length, begin, tensor)):
                size += values.size
                yield box, values
        if size != count_elements(tensor.shape):
            raise CheckpointError(
                f"{key!r} in {self._prefix} is damaged: {size:,} of its {count_elements(tensor.shape):,} values are there"
            )

    def check_strings(self, key: str) -> None:
        """Does nothing: TensorFlow checks the lengths of these strings when it reads them."""

    def close(self) -> None:
        """Does nothing: no file is kept open."""


def _read_table(path: str, read_items: Callable[[IO[bytes], int], Iterator[_Item]]) -> Iterator[_Item]:
    """Yields what `read_items` finds in the open file and its length."""
    try:
        with open_file(path, "rb") as file:
            yield from read_items(file, tf.io.gfile.stat(path).length)
    except _DAMAGED as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is not a file of a V1 checkpoint, or is damaged: {error}") from error


def _ends_as_table(path: str) -> bool:
    """Returns whether the file at `path` ends as a file of a V1 checkpoint does."""
    length = tf.io.gfile.stat(path).length
    if length < 8:
        return False
    with open_file(path, "rb") as file:
        file.seek(length - 8)
        return is_table(file.read(8))


def _listed_tensors(file: IO[bytes], length: int) -> Iterator[Tuple[str, StoredTensor]]:
    blocks = table_blocks(file, length)
    key, value = next(block_entries(file, length, blocks[0])) if blocks else (b"nothing", b"")
    if key:
        raise ValueError("it does not begin with a list of its tensors")
    seen = set()
    for tensor in saved_tensor_slice_pb2.SavedTensorSlices.FromString(value).meta.tensor:
        shape = tuple(dim.size for dim in tensor.shape.dim)
        problem = shape_problem(tensor.shape)
        problem = problem or next(filter(None, (slice_problem(part, shape) for part in tensor.slice)), None)
        if problem is not None:
            raise ValueError(f"{tensor.name!r} {problem}")
        if not tensor.name or tensor.name in seen:
            raise ValueError(f"it lists {tensor.name!r} twice, or without a name")
        seen.add(tensor.name)
        slices = tuple(tensor_slice_of(part, shape) for part in tensor.slice)
        yield tensor.name, StoredTensor(shape, tf.as_dtype(tensor.type).name, slices)


def _stored_values(
    file: IO[bytes], length: int, begin: bytes, tensor: StoredTensor
) -> Iterator[Tuple[TensorSlice, np.ndarray]]:
    """Yields the slice and its values under each key that begins with `begin`."""
    blocks = table_blocks(file, length)
    first = bisect.bisect_left([block.last_key for block in blocks], begin)
    for number, block in enumerate(blocks[first:], first):
        if number > first and blocks[number - 1].last_key[: len(begin)] > begin:
            break
        for key, value in block_entries(file, length, block):
            if key.startswith(begin):
                yield _decode_slice(value, tensor)


def _decode_slice(value: bytes, tensor: StoredTensor) -> Tuple[TensorSlice, np.ndarray]:
    stored = saved_tensor_slice_pb2.SavedTensorSlices.FromString(value).data
    problem = slice_problem(stored.slice, tensor.shape)
    if problem is not None:
        raise ValueError(f"{stored.name!r} {problem}")
    proto, box = stored.data, tensor_slice_of(stored.slice, tensor.shape)
    # TensorFlow itself only fills in the values.
    proto.dtype = tf.as_dtype(tensor.dtype).as_datatype_enum
    proto.tensor_shape.CopyFrom(tf.TensorShape(box.shape).as_proto())
    count = sum(len(values) for field, values in proto.ListFields() if field.name.endswith("_val"))
    if count != count_elements(box.shape) * (2 if tensor.dtype.startswith("complex") else 1):
        raise ValueError(f"{stored.name!r} has {count:,} values where {count_elements(box.shape):,} are needed")
    return box, tf.make_ndarray(proto)
