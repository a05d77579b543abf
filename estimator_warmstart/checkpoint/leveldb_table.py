"""Writes the index file of a V2 checkpoint.

Enters: the index's entries. Leaves: the bytes of the file. This module must not know what an entry says.

Source: the file is a LevelDB table (tensorflow/core/lib/io/table_builder.cc, block_builder.cc, format.cc), uncompressed as
TensorFlow writes it. Every key is written whole, so that each is a point where a reader may start.
"""

from __future__ import annotations

import struct
from typing import List, Mapping, Tuple

from estimator_warmstart.checkpoint import crc32c as checksums

_BLOCK_SIZE = 1 << 16
_HANDLES_SIZE = 40
_MAGIC = 0xDB4775248B80FB57
_UNCOMPRESSED = b"\0"


def index_file(entries: Mapping[bytes, bytes]) -> bytes:
    """The file that holds `entries`, {key: value}."""
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
    """Appends one block and its checksum to `content`; returns its handle, which says where it is."""
    block, starts = bytearray(), []
    for key, value in entries:
        starts.append(len(block))
        block += _varint(0) + _varint(len(key)) + _varint(len(value)) + key + value
    starts = starts or [0]
    block += struct.pack(f"<{len(starts) + 1}I", *starts, len(starts))
    handle = _varint(len(content)) + _varint(len(block))
    checksum = checksums.mask(checksums.extend(0, bytes(block) + _UNCOMPRESSED))
    content += block + _UNCOMPRESSED + struct.pack("<I", checksum)
    return handle


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
