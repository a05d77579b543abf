"""Reads and writes the index of a V2 checkpoint: which tensors there are, and where their bytes are.

TensorFlow's own reader ends the process where an index lists what cannot be, such as a negative shape. So the index is parsed
and checked here; names, shapes, dtypes, slices and data files all come from this one parse.

Source: the file is a LevelDB table of `BundleEntryProto` (tensorflow/core/protobuf/tensor_bundle.proto).
"""

from __future__ import annotations

import io
import struct
from typing import Dict, Iterator, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import tensor_bundle_pb2, tf
from estimator_warmstart.checkpoint.index_checks import (
    SLICE_KEY_MARK,
    check_entries,
    check_header,
    entry_shape,
    shown_key,
    tensor_slice_of,
)
from estimator_warmstart.checkpoint.leveldb_table import block_entries, encode_table, table_blocks
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, error_text, open_file, sync
from estimator_warmstart.tensors import Shape, TensorSlice

# After _tf, which says what to install where there is no TensorFlow; protobuf comes with it.
from google.protobuf.message import DecodeError  # isort: skip

INDEX_SUFFIX = ".index"
_HEADER_KEY = b""
# A byte of a key is shared by as many keys at most (table_options.h, block_restart_interval).
_RESTART_INTERVAL = 16


class StoredTensor(NamedTuple):
    """What the files of a checkpoint say of one tensor.

    Attributes:
      shape: of the whole tensor.
      dtype: TensorFlow's name of it, such as `"float32"`.
      slices: those in which it is stored; empty if it is stored whole.
    """

    shape: Shape
    dtype: str
    slices: Tuple[TensorSlice, ...] = ()


class BundleIndex(NamedTuple):
    """The index of a V2 checkpoint, checked.

    Attributes:
      header: what holds for the whole checkpoint, such as its byte order and the number of its data files.
      entries: {key: entry} of the tensors and of their slices.
    """

    header: tensor_bundle_pb2.BundleHeaderProto
    entries: Dict[bytes, tensor_bundle_pb2.BundleEntryProto]

    def tensors(self) -> Dict[str, StoredTensor]:
        """Returns {key of a tensor: what the index says of it}, sorted by key."""
        dtypes = {number: tf.as_dtype(number).name for number in {entry.dtype for entry in self.entries.values()}}
        found: Dict[str, StoredTensor] = {}
        for key, entry in sorted(self.entries.items()):
            if not key.startswith(SLICE_KEY_MARK):
                shape = entry_shape(entry)
                slices = tuple(tensor_slice_of(part, shape) for part in entry.slices)
                found[key.decode("utf-8")] = StoredTensor(shape, dtypes[entry.dtype], slices)
        return found

    def data_file_sizes(self) -> Dict[int, int]:
        """Returns {number of a data file: bytes that it has at least}, of the data files that hold something."""
        sizes: Dict[int, int] = {}
        for entry in self.entries.values():
            if not entry.slices:
                sizes[entry.shard_id] = max(sizes.get(entry.shard_id, 0), entry.offset + entry.size)
        return dict(sorted(sizes.items()))


def read_index(prefix: str) -> BundleIndex:
    """Reads and checks the index of the checkpoint `prefix`.

    Raises:
      CheckpointError: if it is not an index, or lists what TensorFlow could not read; the message names every such entry.
    """
    path = prefix + INDEX_SUFFIX
    try:
        with open_file(path, "rb") as file:
            content = file.read()
    except FILE_ERRORS as error:
        raise CheckpointError(f"{path} cannot be read: {error_text(error)}") from error
    try:
        serialized = dict(_index_entries(content))
        if _HEADER_KEY not in serialized:
            raise ValueError("it has no header")
        header = tensor_bundle_pb2.BundleHeaderProto.FromString(serialized.pop(_HEADER_KEY))
        check_header(header)
        entries = {key: tensor_bundle_pb2.BundleEntryProto.FromString(value) for key, value in serialized.items()}
    except (struct.error, IndexError, ValueError, DecodeError) as error:
        raise CheckpointError(f"{path} is not the index of a checkpoint, or is damaged: {error}") from error
    check_entries(path, header, entries)
    return BundleIndex(header, entries)


def new_header(byte_order: str) -> tensor_bundle_pb2.BundleHeaderProto:
    """Returns the header of a checkpoint of one data file, whose values have NumPy's `byte_order`."""
    header = tensor_bundle_pb2.BundleHeaderProto(num_shards=1)
    header.version.producer = 1
    if byte_order == ">":
        header.endianness = tensor_bundle_pb2.BundleHeaderProto.BIG
    return header


def write_index(prefix: str, index: BundleIndex, suffix: str = INDEX_SUFFIX) -> None:
    """Writes the index of the checkpoint `prefix`, to `PREFIX` and `suffix`; errors are among `FILE_ERRORS`."""
    serialized: Dict[bytes, bytes] = {key: entry.SerializeToString() for key, entry in index.entries.items()}
    serialized[_HEADER_KEY] = index.header.SerializeToString()
    with open_file(prefix + suffix, "wb") as file:
        file.write(encode_table(serialized))
        sync(file)


def _index_entries(content: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """Yields the keys and values in the bytes of an index, in order; raises what damaged bytes make it raise."""
    file = io.BytesIO(content)
    before: Optional[bytes] = None
    length_of_keys = 0
    for block in table_blocks(file, len(content)):
        for key, value in block_entries(file, len(content), block):
            length_of_keys += len(key)
            if length_of_keys > _RESTART_INTERVAL * len(content):
                raise ValueError("its keys are longer than the file can hold")
            if before is not None and key <= before:
                raise ValueError(f"its keys are not in order, or one is there twice: {shown_key(key)}")
            before = key
            yield key, value
        if before is not None and before > block.last_key:
            raise ValueError(f"its blocks are not in order at {shown_key(block.last_key)}")
        # It is before the first key of the next block; otherwise a reader looks for that key in this block.
        before = block.last_key
