"""Parses the index file of a V2 checkpoint: the entry of each tensor, its slices, which shard holds how many bytes.

Enters: the path of `PREFIX.index`. Leaves: entries that TensorFlow can read, or an error: its own reader ends the process
where a shape is negative. Nothing but the index is read, and not more of it is kept than TensorFlow itself could have written.

Source: the file is a LevelDB table (tensorflow/core/lib/io/table_builder.cc, format.cc) of `BundleEntryProto`
(tensorflow/core/protobuf/tensor_bundle.proto); TensorFlow never writes it compressed (tensor_bundle.cc).
"""

from __future__ import annotations

import struct
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import tensor_bundle_pb2
from estimator_warmstart.checkpoint import crc32c as checksums
from estimator_warmstart.checkpoint.index_checks import box_of, check_entries, check_header, shown_key
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, error_text, open_file
from estimator_warmstart.tensors import TensorSlice

# After _tf, which says what to install where there is no TensorFlow; protobuf comes with it.
from google.protobuf.message import DecodeError  # isort: skip

_FOOTER_SIZE = 48
_MAGIC = 0xDB4775248B80FB57
_BLOCK_TRAILER_SIZE = 5
_MOST_BYTES_OF_A_VARINT = 10
# A byte of a key is shared by as many keys at most (table_options.h, block_restart_interval).
_RESTART_INTERVAL = 16


class BundleIndex(NamedTuple):
    """What an index file says beyond names, shapes and dtypes.

    Attributes:
      slices: {tensor name: ((offset, shape), ...)}, only for tensors stored in slices (partitioned variables).
      shard_sizes: {number: bytes that the data shard must at least have}, of the shards that hold something.
      num_shards: how many there are.
    """

    slices: Dict[str, Tuple[TensorSlice, ...]]
    shard_sizes: Dict[int, int]
    num_shards: int


def read_bundle_index(path: str) -> BundleIndex:
    """Parses the index file at `path`.

    Raises:
      CheckpointError: if it is no index file, or TensorFlow could not read all that it lists.
    """
    header, entries = read_entries(path)
    slices: Dict[str, Tuple[TensorSlice, ...]] = {}
    sizes: Dict[int, int] = {}
    for key, entry in entries.items():
        if entry.slices:
            shape = tuple(dim.size for dim in entry.shape.dim)
            slices[key.decode("utf-8")] = tuple(box_of(part, shape) for part in entry.slices)
        else:
            sizes[entry.shard_id] = max(sizes.get(entry.shard_id, 0), entry.offset + entry.size)
    return BundleIndex(slices, sizes, header.num_shards)


def read_entries(path: str) -> Tuple[Any, Dict[bytes, Any]]:
    """The `BundleHeaderProto` of the index file at `path`, and {key: `BundleEntryProto`} in order.

    Raises:
      CheckpointError: as `read_bundle_index` does; listing every entry that is not right.
    """
    try:
        with open_file(path, "rb") as file:
            content = file.read()
    except FILE_ERRORS as error:
        raise CheckpointError(f"{path} cannot be read: {error_text(error)}") from error
    try:
        raw = dict(index_entries(content))
        if b"" not in raw:
            raise ValueError("it has no header")
        header = tensor_bundle_pb2.BundleHeaderProto.FromString(raw.pop(b""))
        check_header(header)
        entries = {key: tensor_bundle_pb2.BundleEntryProto.FromString(value) for key, value in raw.items()}
    except (struct.error, IndexError, ValueError, DecodeError) as error:
        raise CheckpointError(f"{path} is not the index of a checkpoint, or is damaged: {error}") from error
    check_entries(path, header, entries)
    return header, entries


def index_entries(content: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """The keys and values in the bytes of an index file, in order; raises what damaged bytes make it raise."""
    if len(content) < _FOOTER_SIZE or struct.unpack("<Q", content[-8:])[0] != _MAGIC:
        raise ValueError("it does not end as an index does")
    footer = content[-_FOOTER_SIZE:]
    _, at = _handle(footer, 0)
    (offset, size), _ = _handle(footer, at)
    before: Optional[bytes] = None
    end_of_block, length = 0, 0
    for last_key, value in _block(content, offset, size):
        (data_offset, data_size), _ = _handle(value, 0)
        if data_offset < end_of_block:  # Else a small file could hold a large block many times.
            raise ValueError("its blocks overlap")
        end_of_block = data_offset + data_size
        for key, entry in _block(content, data_offset, data_size):
            length += len(key)
            if length > _RESTART_INTERVAL * len(content):
                raise ValueError("its keys are longer than the file can hold")
            if before is not None and key <= before:
                raise ValueError(f"its keys are not in order, or one is there twice: {shown_key(key)}")
            before = key
            yield key, entry
        if before is not None and before > last_key:
            raise ValueError(f"its blocks are not in order at {shown_key(last_key)}")
        before = last_key  # Which is before the first key of the next block, or a reader looks for that in this one.


def _block(content: bytes, offset: int, size: int) -> Iterator[Tuple[bytes, bytes]]:
    if len(content) < offset + size + _BLOCK_TRAILER_SIZE or size < 8:
        raise ValueError("it is cut short")
    block = content[offset : offset + size]
    trailer = content[offset + size : offset + size + _BLOCK_TRAILER_SIZE]
    if trailer[0] != 0:
        raise ValueError("its blocks are compressed, which no TensorFlow writes")
    if checksums.mask(checksums.extend(0, block + trailer[:1])) != struct.unpack("<I", trailer[1:])[0]:
        raise ValueError("a block does not have the checksum that was stored with it")
    restarts = struct.unpack("<I", block[-4:])[0]
    end = size - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block lists more restarts than it has")
    begins = struct.unpack(f"<{restarts}I", block[end:-4])
    at, key, passed = 0, b"", 0
    while at < end:
        is_begin = passed < restarts and at == begins[passed]
        passed += is_begin
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared > len(key) or at + unshared + length > end:
            raise ValueError("an entry goes beyond its block")
        if (shared and is_begin) or not passed:
            raise ValueError("a block does not begin with a whole key")
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length
    if passed < restarts and begins != (0,):  # A block without entries has this one.
        raise ValueError("a block lists a restart that is not there")


def _handle(data: bytes, at: int) -> Tuple[Tuple[int, int], int]:
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def is_table(end: bytes) -> bool:
    """Whether a file with these last eight bytes is a LevelDB table: an index, or a file of a V1 checkpoint."""
    return len(end) == 8 and struct.unpack("<Q", end)[0] == _MAGIC


class TableBlock(NamedTuple):
    """A block of a table: where it is, and a key that is none of its keys' successor nor any later block's key."""

    last_key: bytes
    offset: int
    size: int


def table_blocks(file: Any, length: int) -> List[TableBlock]:
    """The blocks of a table of `length` bytes, in order; raises what damaged bytes make it raise.

    Args:
      file: the table, open for reading; only what is asked for is read, since the values may be large.
      length: of it.
    """
    if length < _FOOTER_SIZE:
        raise ValueError("it is cut short")
    file.seek(length - _FOOTER_SIZE)
    footer = file.read(_FOOTER_SIZE)
    if not is_table(footer[-8:]):
        raise ValueError("it does not end as it should")
    _, at = _handle(footer, 0)
    offset, size = _handle(footer, at)[0]
    blocks: List[TableBlock] = []
    for last_key, value in block_entries(file, length, TableBlock(b"", offset, size)):
        blocks.append(TableBlock(last_key, *_handle(value, 0)[0]))
        if len(blocks) > 1 and (blocks[-2].offset + blocks[-2].size > blocks[-1].offset or blocks[-2].last_key > last_key):
            raise ValueError("its blocks are not in order")
    return blocks


def block_entries(file: Any, length: int, block: TableBlock) -> Iterator[Tuple[bytes, bytes]]:
    """The keys and values of one block of a table, its checksum verified."""
    if block.offset + block.size + _BLOCK_TRAILER_SIZE > length or block.size < _BLOCK_TRAILER_SIZE:
        raise ValueError("it is cut short")
    file.seek(block.offset)
    stored = file.read(block.size + _BLOCK_TRAILER_SIZE)
    return _block(stored, 0, block.size)


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    value = 0
    for place in range(_MOST_BYTES_OF_A_VARINT):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number has more than 64 bits")
