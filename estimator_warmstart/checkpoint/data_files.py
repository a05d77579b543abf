"""Reads the stored bytes of a V2 checkpoint's tensors in small pieces, and verifies their checksums.

Enters: a checkpoint's prefix and the keys of tensors. Leaves: what the index says of each, and its bytes as they are
stored. This module must not know where they go.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc. Of a tensor in slices the entry under its own key only lists
them; each slice has an entry under a key that begins with the tensor's (tensorflow/core/util/saved_tensor_slice_util.cc).
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

from estimator_warmstart._tf import tf, tf1
from estimator_warmstart.checkpoint import crc32c as checksums
from estimator_warmstart.checkpoint.index_checks import begin_of_slice_keys
from estimator_warmstart.checkpoint.index_file import read_entries
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, error_text, open_file
from estimator_warmstart.tensors import count_elements

_CHUNK_SIZE = 1 << 22
_SLICE_KEY = b"\0"
_END_OF_NAME = b"\0\1"
# Of a string, in front of all of them: 42 bits.
_MOST_BYTES_OF_A_LENGTH = 6
_LENGTHS_CHECKSUM = 4


class BundleReader:
    """One checkpoint.

    Args:
      prefix: its files are `PREFIX.index` and `PREFIX.data-*`.

    Attributes:
      prefix: the same.
      header: the index's `BundleHeaderProto`.
    """

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.header, self._entries = read_entries(prefix + ".index")
        self._slices: Dict[bytes, List[bytes]] = {}
        for key in self._entries:
            if key.startswith(_SLICE_KEY):
                end = key.index(_END_OF_NAME, len(_SLICE_KEY)) + len(_END_OF_NAME)
                self._slices.setdefault(key[:end], []).append(key)
        self._path = ""
        self._file: Any = None

    def entries(self, key: str, new_key: str) -> Iterator[Tuple[bytes, Any]]:
        """The `BundleEntryProto` of the tensor and those of its slices, each with its index key if `new_key` is the tensor's.

        What follows the tensor's key in the key of a slice says which slice it is.
        """
        entry = self._entries[key.encode("utf-8")]
        yield new_key.encode("utf-8"), entry
        if entry.slices:
            old, new = begin_of_slice_keys(key.encode("utf-8")), begin_of_slice_keys(new_key.encode("utf-8"))
            for slice_key in self._slices[old]:
                yield new + slice_key[len(old) :], self._entries[slice_key]

    def read(self, key: str, entry: Any) -> Iterator[bytes]:
        """The stored bytes of one of the tensor's entries, in pieces.

        Raises:
          CheckpointError: if they cannot be read, or, after the last piece, if their checksum is another than the index's.
        """
        path = self._path_of(entry)
        is_plain = tf.as_dtype(entry.dtype) not in (tf.string, tf.variant)
        checksum = 0
        try:
            self._go_to(path, entry.offset)
            if not is_plain and entry.size:
                self._check_strings(entry)
                # The checksum is of more than the stored bytes: TensorFlow verifies it.
                tf1.train.NewCheckpointReader(self.prefix).get_tensor(key)
                self._go_to(path, entry.offset)
            for start in range(0, entry.size, _CHUNK_SIZE):
                wanted = min(_CHUNK_SIZE, entry.size - start)
                chunk = self._file.read(wanted)
                if len(chunk) < wanted:
                    raise OSError("it is cut short")
                checksum = checksums.extend(checksum, chunk) if is_plain else checksum
                yield chunk
        except (*FILE_ERRORS, RuntimeError) as error:
            raise CheckpointError(f"{key!r} cannot be read from {path}: {error_text(error)}") from error
        if is_plain and entry.size and checksums.mask(checksum) != entry.crc32c:
            raise CheckpointError(f"{key!r} in {path} is damaged: its bytes do not have the checksum that was stored with them")

    def read_string(self, key: str) -> bytes:
        """The one string that the tensor is.

        Raises:
          CheckpointError: if it is anything else, cannot be read or is damaged.
        """
        entry = self._entries[key.encode("utf-8")]
        if entry.dtype != tf.string.as_datatype_enum or entry.shape.dim or entry.slices:
            raise CheckpointError(f"{key!r} in {self.prefix} is not one string")
        for _ in self.read(key, entry):
            pass
        return bytes(tf1.train.NewCheckpointReader(self.prefix).get_tensor(key))

    def check_strings(self, key: str) -> None:
        """Raises `CheckpointError` if the tensor has strings and they are not as long as its entries say."""
        for _, entry in self.entries(key, key):
            if entry.dtype == tf.string.as_datatype_enum and entry.size:
                path = self._path_of(entry)
                try:
                    self._go_to(path, entry.offset)
                    self._check_strings(entry)
                except FILE_ERRORS as error:
                    raise CheckpointError(f"{key!r} cannot be read from {path}: {error_text(error)}") from error

    def _check_strings(self, entry: Any) -> None:
        """Raises `OSError` where TensorFlow would take as much memory as a false length says, and end the process."""
        count = count_elements(dim.size for dim in entry.shape.dim)
        data = np.frombuffer(self._file.read(min(entry.size, _MOST_BYTES_OF_A_LENGTH * count)), np.uint8)
        ends = np.flatnonzero(data < 0x80)[:count]
        if len(ends) == count and entry.dtype == tf.string.as_datatype_enum:
            data = data[: ends[-1] + 1] if count else data[:0]
            starts = np.concatenate([[0], ends[:-1] + 1]) if count else ends
            places = np.arange(len(data)) - np.repeat(starts, ends - starts + 1)
            total = int(((data & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)).sum())
            if places.max(initial=0) < _MOST_BYTES_OF_A_LENGTH and len(data) + _LENGTHS_CHECKSUM + total == entry.size:
                return
        raise OSError("the lengths of its strings are damaged")

    def _path_of(self, entry: Any) -> str:
        return f"{self.prefix}.data-{entry.shard_id:05d}-of-{self.header.num_shards:05d}"

    def _go_to(self, path: str, offset: int) -> None:
        if path != self._path:
            self.close()
            self._path, self._file = path, open_file(path, "rb")
        if self._file.tell() != offset:  # Seeking throws away what was read ahead.
            self._file.seek(offset)

    def close(self) -> None:
        """Closes the data file that was read last."""
        if self._file is not None:
            self._file.close()
        self._path, self._file = "", None
