"""Parses the index file of a V2 checkpoint: which tensor has which slices, which shard holds how many bytes.

Enters: the path of `PREFIX.index`. Leaves: slices by tensor name and the length that each data shard must have. Nothing
is read but the index. TensorFlow's own reader gives names, shapes and dtypes and verifies the index's checksums; it
does not tell slices and sizes, which is why this module exists.

Source: the file is a LevelDB table (tensorflow/core/lib/io/table_builder.cc, format.cc) of `BundleEntryProto`
(tensorflow/core/protobuf/tensor_bundle.proto); TensorFlow never writes it compressed (tensor_bundle.cc).
"""
from __future__ import annotations

import struct
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from estimator_warmstart import checksums
from estimator_warmstart._tf import tensor_bundle_pb2, tf
from estimator_warmstart.errors import CheckpointError

# After _tf, which says what to install where there is no TensorFlow; protobuf comes with it.
from google.protobuf.message import DecodeError  # isort: skip

_FOOTER_SIZE = 48
_MAGIC = 0xDB4775248B80FB57
_BLOCK_TRAILER_SIZE = 5
Box = Tuple[Tuple[int, ...], Tuple[int, ...]]


class BundleIndex(NamedTuple):
    """What an index file says beyond names, shapes and dtypes.

    Attributes:
      slices: {tensor name: ((offset, shape), ...)}, only for tensors stored in slices (partitioned variables).
      shard_sizes: bytes that each data shard must at least have, by shard number.
    """

    slices: Dict[str, Tuple[Box, ...]]
    shard_sizes: List[int]


def read_bundle_index(path: str) -> BundleIndex:
    """Parses the index file at `path`.

    Raises:
      CheckpointError: if it is no index file.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except tf.errors.OpError as error:
        raise CheckpointError(f"{path} cannot be read: {error.message}") from error
    try:
        return _collect(index_entries(content))
    except (struct.error, IndexError, ValueError, DecodeError) as error:
        raise CheckpointError(f"{path} is not the index of a checkpoint, or is damaged: {error}") from error


def _collect(entries: Iterator[Tuple[bytes, bytes]]) -> BundleIndex:
    slices: Dict[str, Tuple[Box, ...]] = {}
    sizes: List[int] = []
    entry = tensor_bundle_pb2.BundleEntryProto()
    for key, value in entries:
        if not key:
            header = tensor_bundle_pb2.BundleHeaderProto.FromString(value)
            sizes = [0] * header.num_shards
            continue
        entry.ParseFromString(value)
        if entry.slices:
            shape = tuple(dim.size for dim in entry.shape.dim)
            slices[key.decode("utf-8")] = tuple(_box(part, shape) for part in entry.slices)
        else:
            sizes[entry.shard_id] = max(sizes[entry.shard_id], entry.offset + entry.size)
    return BundleIndex(slices, sizes)


def _box(part: Any, shape: Tuple[int, ...]) -> Box:
    # An extent without a length is the whole dimension (tensor_slice.proto).
    lengths = tuple(
        extent.length if extent.HasField("length") else size for extent, size in zip(part.extent, shape)
    )
    return tuple(extent.start for extent in part.extent), lengths


def index_entries(content: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """The keys and values in the bytes of an index file, in order; raises what damaged bytes make it raise."""
    if len(content) < _FOOTER_SIZE or struct.unpack("<Q", content[-8:])[0] != _MAGIC:
        raise ValueError("it does not end as an index does")
    footer = content[-_FOOTER_SIZE:]
    _, at = _handle(footer, 0)
    (offset, size), _ = _handle(footer, at)
    for _, value in _block(content, offset, size):
        (data_offset, data_size), _ = _handle(value, 0)
        yield from _block(content, data_offset, data_size)


def _block(content: bytes, offset: int, size: int) -> Iterator[Tuple[bytes, bytes]]:
    block = content[offset:offset + size]
    if len(content) < offset + size + _BLOCK_TRAILER_SIZE:
        raise ValueError("it is cut short")
    if content[offset + size] != 0:
        raise ValueError("its blocks are compressed, which no TensorFlow writes")
    restarts = struct.unpack("<I", block[-4:])[0]
    end = size - 4 * (restarts + 1)
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at:at + unshared]
        at += unshared
        yield key, block[at:at + length]
        at += length


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
    if checksums.mask(checksums.extend(0, stored[:block.size + 1])) != struct.unpack("<I", stored[block.size + 1:])[0]:
        raise ValueError("a block does not have the checksum that was stored with it")
    return _block(stored, 0, block.size)


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
