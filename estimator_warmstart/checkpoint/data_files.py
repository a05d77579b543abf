"""Reads the data files of V2 checkpoints: the bytes of the tensors, whose checksums are verified.

A few MB are in memory at a time, however large a tensor is.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc. The entry of a tensor in slices only lists them; each slice has an
entry of its own.
"""

from __future__ import annotations

import struct
from typing import IO, Iterator, List, Optional, Tuple

from estimator_warmstart._tf import tensor_bundle_pb2, tf
from estimator_warmstart.checkpoint import crc32c as checksums
from estimator_warmstart.checkpoint.index_checks import entry_shape, slice_key, tensor_slice_of
from estimator_warmstart.checkpoint.index_file import BundleIndex, read_index
from estimator_warmstart.checkpoint.string_lengths import DAMAGED_LENGTHS, decode_lengths, encode_lengths
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, error_text, open_file
from estimator_warmstart.tensors import TensorSlice, count_elements, whole_slice

_CHUNK_SIZE = 1 << 22
_LENGTHS_CHUNK_SIZE = 1 << 16
_CHECKSUM_SIZE = 4


def data_file(prefix: str, number: int, count: int) -> str:
    """Returns the path of a data file of the checkpoint `prefix`, which has `count` of them."""
    return f"{prefix}.data-{number:05d}-of-{count:05d}"


class BundleReader:
    """Reads the values of one V2 checkpoint.

    Args:
      prefix: of the checkpoint.
      index: of the checkpoint, if it has been read already.

    Attributes:
      prefix: the same.
      index: what the checkpoint holds.
    """

    def __init__(self, prefix: str, index: Optional[BundleIndex] = None):
        self.prefix = prefix
        self.index = read_index(prefix) if index is None else index
        self._path = ""
        self._file: Optional[IO[bytes]] = None

    @property
    def byte_order(self) -> str:
        """NumPy's sign of the byte order of the values."""
        return ">" if self.index.header.endianness == tensor_bundle_pb2.BundleHeaderProto.BIG else "<"

    def entries(self, key: str, new_key: str) -> Iterator[Tuple[bytes, tensor_bundle_pb2.BundleEntryProto]]:
        """Yields the entries of a tensor and of its slices, each with the key that it gets if the tensor becomes `new_key`."""
        entry = self.index.entries[key.encode("utf-8")]
        yield new_key.encode("utf-8"), entry
        for part in entry.slices:
            yield slice_key(new_key.encode("utf-8"), part), self.index.entries[slice_key(key.encode("utf-8"), part)]

    def stored_slices(self, key: str) -> List[Tuple[TensorSlice, Iterator[bytes]]]:
        """Returns the slices that a tensor is stored in, or the whole, each with its bytes in pieces, as `read_entry` does."""
        entries = [entry for _, entry in self.entries(key, key)]
        boxes = self.boxes(key) or [whole_slice(entry_shape(entries[0]))]
        return [(box, self.read_entry(key, entry)) for box, entry in zip(boxes, entries[1:] or entries)]

    def boxes(self, key: str) -> List[TensorSlice]:
        """Returns the slices that a tensor is stored in; none if it is stored whole."""
        entry = self.index.entries[key.encode("utf-8")]
        return [tensor_slice_of(part, entry_shape(entry)) for part in entry.slices]

    def read_tensor(self, key: str) -> Iterator[bytes]:
        """Yields the stored bytes of a tensor in pieces, its slices one after the other; raises as `read_entry` does."""
        for _, entry in self.entries(key, key):
            yield from self.read_entry(key, entry)

    def read_entry(self, key: str, entry: tensor_bundle_pb2.BundleEntryProto) -> Iterator[bytes]:
        """Yields the stored bytes of one of a tensor's entries in pieces.

        Raises:
          CheckpointError: if they cannot be read, or, after the last piece, if their checksum is not the index's.
        """
        path = self._data_file_of(entry)
        # The checksum of strings is of their decoded lengths and of what follows these.
        checksum, header_size = 0, 0
        try:
            if entry.dtype == tf.string.as_datatype_enum and entry.size:
                checksum, header_size = self._check_string_lengths(entry)
            elif entry.dtype == tf.variant.as_datatype_enum:
                raise OSError("it is a variant, which cannot be copied")
            for start in range(0, entry.size, _CHUNK_SIZE):
                wanted = min(_CHUNK_SIZE, entry.size - start)
                chunk = self._opened(path, entry.offset + start).read(wanted)
                if len(chunk) < wanted:
                    raise OSError("it is cut short")
                checksum = checksums.extend(checksum, chunk[max(header_size - start, 0) :])
                yield chunk
        except FILE_ERRORS as error:
            raise CheckpointError(f"{key!r} cannot be read from {path}: {error_text(error)}") from error
        if entry.size and checksums.mask(checksum) != entry.crc32c:
            raise CheckpointError(f"{key!r} in {path} is damaged: its bytes do not have the checksum that was stored with them")

    def read_string(self, key: str) -> bytes:
        """Reads a tensor that is one string.

        Raises:
          CheckpointError: if it is anything else, cannot be read or is damaged.
        """
        entry = self.index.entries[key.encode("utf-8")]
        if entry.dtype != tf.string.as_datatype_enum or entry.shape.dim or entry.slices:
            raise CheckpointError(f"{key!r} in {self.prefix} is not one string")
        stored = b"".join(self.read_entry(key, entry))
        length_size = next((place for place, byte in enumerate(stored, 1) if byte < 0x80), 0)
        return stored[length_size + _CHECKSUM_SIZE :]

    def check_strings(self, key: str) -> None:
        """Raises `CheckpointError` if the tensor has strings and they are not as long as its entries say."""
        for _, entry in self.entries(key, key):
            if entry.dtype == tf.string.as_datatype_enum and entry.size:
                try:
                    self._check_string_lengths(entry)
                except FILE_ERRORS as error:
                    raise CheckpointError(
                        f"{key!r} cannot be read from {self._data_file_of(entry)}: {error_text(error)}"
                    ) from error

    def _check_string_lengths(self, entry: tensor_bundle_pb2.BundleEntryProto) -> Tuple[int, int]:
        """Returns the checksum of the lengths, with which that of the strings begins, and the bytes that they take.

        TensorFlow allocates as much memory as the lengths say, and ends the process where it is not there.

        Raises:
          OSError: if the lengths do not add up to the size of the entry, or are damaged.
        """
        path, left = self._data_file_of(entry), count_elements(entry_shape(entry))
        checksum, size, header_size = 0, 0, 0
        while left:
            wanted = min(_LENGTHS_CHUNK_SIZE, entry.size - header_size)
            lengths, used = decode_lengths(self._opened(path, entry.offset + header_size).read(wanted), left)
            checksum = checksums.extend(checksum, encode_lengths(lengths, self.byte_order))
            left, size, header_size = left - len(lengths), size + int(lengths.sum()), header_size + used
        stored = self._opened(path, entry.offset + header_size).read(_CHECKSUM_SIZE)
        header_size += _CHECKSUM_SIZE
        if header_size + size != entry.size or stored != struct.pack(self.byte_order + "I", checksums.mask(checksum)):
            raise OSError(DAMAGED_LENGTHS)
        return checksums.extend(checksum, stored), header_size

    def _data_file_of(self, entry: tensor_bundle_pb2.BundleEntryProto) -> str:
        return data_file(self.prefix, entry.shard_id, self.index.header.num_shards)

    def _opened(self, path: str, offset: int) -> IO[bytes]:
        """Returns the data file at `path`, to be read from `offset` on."""
        if self._file is None or path != self._path:
            self.close()
            self._path, self._file = path, open_file(path, "rb")
        if self._file.tell() != offset:  # Seeking throws away what was read ahead.
            self._file.seek(offset)
        return self._file

    def close(self) -> None:
        """Closes the data file that was read last."""
        if self._file is not None:
            self._file.close()
        self._path, self._file = "", None
