"""Writes a V2 checkpoint tensor after tensor, from arrays that are a few rows each or from entries of other checkpoints.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc.
"""

from __future__ import annotations

import struct
import sys
from typing import Dict, Iterable, List

import numpy as np

from estimator_warmstart._tf import tensor_bundle_pb2, tf
from estimator_warmstart.checkpoint import crc32c as checksums
from estimator_warmstart.checkpoint.data_files import BundleReader, data_file
from estimator_warmstart.checkpoint.index_checks import slice_key
from estimator_warmstart.checkpoint.index_file import BundleIndex, StoredTensor, write_index
from estimator_warmstart.checkpoint.string_lengths import encode_lengths
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import open_file, sync
from estimator_warmstart.tensors import Shape, TensorSlice, whole_slice

_BIG, _LITTLE = tensor_bundle_pb2.BundleHeaderProto.BIG, tensor_bundle_pb2.BundleHeaderProto.LITTLE


class BundleWriter:
    """Writes one checkpoint of one data file. Its index is written by `finish`: until then there is none.

    Its methods raise `FILE_ERRORS` if a file cannot be written.

    Args:
      prefix: of the new checkpoint, in a directory that exists.
    """

    def __init__(self, prefix: str):
        self._prefix = prefix
        self._file = open_file(data_file(prefix, 0, 1), "wb")
        self._offset = 0
        self._entries: Dict[bytes, tensor_bundle_pb2.BundleEntryProto] = {}

    def write(self, key: str, stored: StoredTensor, pieces: Iterable[np.ndarray]) -> None:
        """Writes a tensor.

        Args:
          key: of the tensor.
          stored: its shape and dtype, and the slices that it is to be stored in, all of whole rows (`has_whole_rows`).
          pieces: arrays `[rows, ...]` of its dtype that make up all rows, in order.
        """
        entry = _new_entry(stored.shape, stored.dtype)
        rows = _Rows(pieces)
        if not stored.slices:
            self._write_rows(key.encode("utf-8"), entry, rows, (stored.shape or (1,))[0])
            return
        for box in sorted(stored.slices):
            part = entry.slices.add()
            for start, length in zip(*box):
                part.extent.add(start=start, length=length)
            new_key = slice_key(key.encode("utf-8"), part)
            self._write_rows(new_key, _new_entry(box.shape, stored.dtype), rows, box.shape[0])
        self._entries[key.encode("utf-8")] = entry

    def write_string(self, key: str, text: bytes) -> None:
        """Writes a tensor that is one string."""
        order = ">" if sys.byteorder == "big" else "<"
        checksum = checksums.extend(0, encode_lengths(np.array([len(text)]), order))
        stored_checksum = struct.pack(order + "I", checksums.mask(checksum))
        entry = _new_entry((), "string")
        entry.crc32c = checksums.mask(checksums.extend(checksum, stored_checksum + text))
        self._write_bytes(key.encode("utf-8"), entry, [_varint(len(text)) + stored_checksum + text])

    def copy(self, reader: BundleReader, key: str) -> None:
        """Writes a tensor of another checkpoint bit for bit, under the same key and in the same slices.

        Raises:
          CheckpointError: if it cannot be read, is damaged, or is of another byte order.
        """
        if reader.index.header.endianness != _header().endianness:
            raise CheckpointError(f"{reader.prefix} was written on a machine of another byte order; copy it on such a machine")
        for new_key, entry in reader.entries(key, key):
            new_entry = tensor_bundle_pb2.BundleEntryProto()
            new_entry.CopyFrom(entry)
            self._write_bytes(new_key, new_entry, reader.read_entry(key, entry))

    def finish(self) -> None:
        """Writes the index."""
        sync(self._file)
        write_index(self._prefix, BundleIndex(_header(), self._entries))

    def close(self) -> None:
        """Closes the data file."""
        self._file.close()

    def _write_rows(self, key: bytes, entry: tensor_bundle_pb2.BundleEntryProto, rows: _Rows, count: int) -> None:
        checksum = 0

        def stored() -> Iterable[bytes]:
            nonlocal checksum
            for piece in rows.take(count):
                chunk = piece.tobytes()
                checksum = checksums.extend(checksum, chunk)
                yield chunk

        self._write_bytes(key, entry, stored())
        entry.crc32c = checksums.mask(checksum)

    def _write_bytes(self, key: bytes, entry: tensor_bundle_pb2.BundleEntryProto, chunks: Iterable[bytes]) -> None:
        entry.shard_id, entry.offset, entry.size = 0, self._offset, 0
        for chunk in chunks:
            self._file.write(chunk)
            entry.size += len(chunk)
        self._offset += entry.size
        self._entries[key] = entry


def has_whole_rows(shape: Shape, slices: Iterable[TensorSlice]) -> bool:
    """Whether all of `slices` are of whole rows, as those of a variable are that is partitioned along its first axis."""
    return all((offset[1:], length[1:]) == whole_slice(shape[1:]) for offset, length in slices)


class _Rows:
    """Cuts pieces of several rows where it is asked to."""

    def __init__(self, pieces: Iterable[np.ndarray]):
        self._pieces = iter(pieces)
        self._left: List[np.ndarray] = []

    def take(self, count: int) -> Iterable[np.ndarray]:
        """Yields the next `count` rows."""
        while count:
            piece = self._left.pop() if self._left else next(self._pieces)
            if len(piece) > count:
                self._left.append(piece[count:])
            yield piece[:count]
            count -= min(count, len(piece))


def _header() -> tensor_bundle_pb2.BundleHeaderProto:
    header = tensor_bundle_pb2.BundleHeaderProto(num_shards=1, endianness=_BIG if sys.byteorder == "big" else _LITTLE)
    header.version.producer = 1
    return header


def _new_entry(shape: Shape, dtype: str) -> tensor_bundle_pb2.BundleEntryProto:
    entry = tensor_bundle_pb2.BundleEntryProto(dtype=tf.as_dtype(dtype).as_datatype_enum)
    entry.shape.CopyFrom(tf.TensorShape(shape).as_proto())
    return entry


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(encoded + bytes([number]))
