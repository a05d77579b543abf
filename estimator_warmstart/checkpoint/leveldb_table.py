"""Reads and writes LevelDB tables: the index of a V2 checkpoint is one, and each file of a V1 checkpoint.

TensorFlow's own reader trusts what a table says. A damaged or hostile file must neither end the process nor take more memory
than a table that TensorFlow wrote, so everything is checked here first.

Source: tensorflow/core/lib/io/table_builder.cc, block_builder.cc, format.cc. TensorFlow writes the tables of checkpoints
uncompressed (tensor_bundle.cc, tensor_slice_writer.cc).
"""

from __future__ import annotations

import struct
from typing import IO, Iterator, List, Mapping, NamedTuple, Tuple

from estimator_warmstart.checkpoint import crc32c as checksums

_MAGIC = 0xDB4775248B80FB57
_HANDLES_SIZE = 40
_FOOTER_SIZE = _HANDLES_SIZE + 8
_UNCOMPRESSED = b"\0"
_BLOCK_TRAILER_SIZE = 5
# One restart and their number.
_SMALLEST_BLOCK = 8
_BLOCK_SIZE = 1 << 16
_MOST_BYTES_OF_A_VARINT = 10


class TableBlock(NamedTuple):
    """Where a block of a table is.

    Attributes:
      last_key: not before any key of the block, and before each key of the blocks after it.
      offset: of its first byte.
      size: in bytes, without its trailer.
    """

    last_key: bytes
    offset: int
    size: int


def is_table(last_bytes: bytes) -> bool:
    """Returns whether a file that ends in these eight bytes is a LevelDB table."""
    return len(last_bytes) == 8 and struct.unpack("<Q", last_bytes)[0] == _MAGIC


def table_blocks(file: IO[bytes], length: int) -> List[TableBlock]:
    """Reads where the blocks of a table are, in order; raises what damaged bytes make it raise.

    Args:
      file: the table, open for reading. Only what is needed is read, since the values may be large.
      length: the size of the file.
    """
    if length < _FOOTER_SIZE:
        raise ValueError("it is cut short")
    file.seek(length - _FOOTER_SIZE)
    footer = file.read(_FOOTER_SIZE)
    if not is_table(footer[-8:]):
        raise ValueError("it does not end as it should")
    _, _, position = _decode_handle(footer, 0)
    offset, size, _ = _decode_handle(footer, position)
    blocks: List[TableBlock] = []
    for last_key, handle in block_entries(file, length, TableBlock(b"", offset, size)):
        block = TableBlock(last_key, *_decode_handle(handle, 0)[:2])
        if blocks and blocks[-1].offset + blocks[-1].size > block.offset:
            raise ValueError("its blocks overlap")  # Otherwise a small file could hold a large block many times.
        if blocks and blocks[-1].last_key > last_key:
            raise ValueError("its blocks are not in order")
        blocks.append(block)
    return blocks


def block_entries(file: IO[bytes], length: int, block: TableBlock) -> Iterator[Tuple[bytes, bytes]]:
    """Reads a block of a table and verifies its checksum; returns an iterator of its keys and values."""
    if block.offset + block.size + _BLOCK_TRAILER_SIZE > length or block.size < _SMALLEST_BLOCK:
        raise ValueError("it is cut short")
    file.seek(block.offset)
    stored = file.read(block.size + _BLOCK_TRAILER_SIZE)
    content, trailer = stored[: block.size], stored[block.size :]
    if len(trailer) < _BLOCK_TRAILER_SIZE:
        raise ValueError("it is cut short")
    if trailer[:1] != _UNCOMPRESSED:
        raise ValueError("its blocks are compressed, which TensorFlow does not do")
    if checksums.mask(checksums.extend(0, content + trailer[:1])) != struct.unpack("<I", trailer[1:])[0]:
        raise ValueError("a block does not have the checksum that was stored with it")
    return _decode_block(content)


def _decode_block(block: bytes) -> Iterator[Tuple[bytes, bytes]]:
    restart_count = struct.unpack("<I", block[-4:])[0]
    end = len(block) - 4 * (restart_count + 1)
    if end < 0:
        raise ValueError("a block lists more restarts than it has")
    restarts = struct.unpack(f"<{restart_count}I", block[end:-4])
    position, key, passed = 0, b"", 0
    while position < end:
        is_restart = passed < restart_count and position == restarts[passed]
        passed += is_restart
        shared, position = _decode_varint(block, position)
        unshared, position = _decode_varint(block, position)
        length, position = _decode_varint(block, position)
        if shared > len(key) or position + unshared + length > end:
            raise ValueError("an entry goes beyond its block")
        if (shared and is_restart) or not passed:
            raise ValueError("a block does not begin with a whole key")
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length
    if passed < restart_count and restarts != (0,):  # A block without entries has this one.
        raise ValueError("a block lists a restart that is not there")


def encode_table(entries: Mapping[bytes, bytes]) -> bytes:
    """Returns the bytes of a table that holds `entries`, {key: value}."""
    content = bytearray()
    handles: List[Tuple[bytes, bytes]] = []
    block: List[Tuple[bytes, bytes]] = []
    size = 0
    for key in sorted(entries):
        block.append((key, entries[key]))
        size += len(key) + len(entries[key])
        if size >= _BLOCK_SIZE:
            handles.append((key, _append_block(content, block)))
            block, size = [], 0
    if block:
        handles.append((block[-1][0], _append_block(content, block)))
    footer = _append_block(content, []) + _append_block(content, handles)
    return bytes(content) + footer.ljust(_HANDLES_SIZE, b"\0") + struct.pack("<Q", _MAGIC)


def _append_block(content: bytearray, entries: List[Tuple[bytes, bytes]]) -> bytes:
    """Appends a block and its checksum to `content`; returns its handle, which says where it is.

    Every key is written whole, so a reader may start at each of them.
    """
    block, restarts = bytearray(), []
    for key, value in entries:
        restarts.append(len(block))
        block += _encode_varint(0) + _encode_varint(len(key)) + _encode_varint(len(value)) + key + value
    restarts = restarts or [0]
    block += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    handle = _encode_varint(len(content)) + _encode_varint(len(block))
    checksum = checksums.mask(checksums.extend(0, bytes(block) + _UNCOMPRESSED))
    content += block + _UNCOMPRESSED + struct.pack("<I", checksum)
    return handle


def _decode_handle(data: bytes, position: int) -> Tuple[int, int, int]:
    """Returns offset and size of a block, and the position after its handle."""
    offset, position = _decode_varint(data, position)
    size, position = _decode_varint(data, position)
    return offset, size, position


def _decode_varint(data: bytes, position: int) -> Tuple[int, int]:
    """Returns the number, and the position after it."""
    value = 0
    for place in range(_MOST_BYTES_OF_A_VARINT):
        byte = data[position + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, position + place + 1
    raise ValueError("a number has more than 64 bits")


def _encode_varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
