"""Reads the stored bytes of a V2 checkpoint's tensors in small pieces, and verifies their checksums.

Enters: a checkpoint's prefix and the keys of tensors. Leaves: what the index says of each, and its bytes as they are
stored. This module must not know where they go.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc. Of a tensor in slices the entry under its own key only lists
them; each slice has an entry under a key that begins with the tensor's (tensorflow/core/util/saved_tensor_slice_util.cc).
"""
from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

from estimator_warmstart import checksums
from estimator_warmstart._bundle_index import index_entries
from estimator_warmstart._tf import tensor_bundle_pb2, tf, tf1
from estimator_warmstart.errors import CheckpointError

FILE_ERRORS = (OSError, tf.errors.OpError)
_CHUNK_SIZE = 1 << 22
_SLICE_KEY = b"\0"
_END_OF_NAME = b"\0\1"


def open_file(path: str, mode: str) -> Any:
    """Opens a file of bytes on any filesystem; errors are among `FILE_ERRORS`."""
    # Python reads a local file several times faster than GFile does.
    return tf.io.gfile.GFile(path, mode) if "://" in path else open(path, mode)


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
        with open_file(prefix + ".index", "rb") as file:
            raw = dict(index_entries(file.read()))
        self.header = tensor_bundle_pb2.BundleHeaderProto.FromString(raw.pop(b""))
        self._entries = {key: tensor_bundle_pb2.BundleEntryProto.FromString(value) for key, value in raw.items()}
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
            old, new = _begin_of_slice_keys(key), _begin_of_slice_keys(new_key)
            for slice_key in self._slices[old]:
                yield new + slice_key[len(old):], self._entries[slice_key]

    def read(self, key: str, entry: Any) -> Iterator[bytes]:
        """The stored bytes of one of the tensor's entries, in pieces.

        Raises:
          CheckpointError: if they cannot be read, or, after the last piece, if their checksum is another than the index's.
        """
        path = f"{self.prefix}.data-{entry.shard_id:05d}-of-{self.header.num_shards:05d}"
        is_plain = tf.as_dtype(entry.dtype) not in (tf.string, tf.variant)
        checksum = 0
        try:
            if not is_plain:
                # The checksum is of more than the stored bytes: TensorFlow verifies it.
                tf1.train.NewCheckpointReader(self.prefix).get_tensor(key)
            self._go_to(path, entry.offset)
            for start in range(0, entry.size, _CHUNK_SIZE):
                chunk = self._file.read(min(_CHUNK_SIZE, entry.size - start))
                checksum = checksums.extend(checksum, chunk) if is_plain else checksum
                yield chunk
        except (*FILE_ERRORS, RuntimeError) as error:
            raise CheckpointError(f"{key!r} cannot be read from {path}: {error}") from error
        if is_plain and entry.size and checksums.mask(checksum) != entry.crc32c:
            raise CheckpointError(f"{key!r} in {path} is damaged: its bytes do not have the checksum that was stored with them")

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


def _begin_of_slice_keys(key: str) -> bytes:
    """How the keys of a tensor's slices begin (tensorflow/core/lib/strings/ordered_code.cc, `WriteString`)."""
    escaped = key.encode("utf-8").replace(b"\0", b"\0\xff").replace(b"\xff", b"\xff\0")
    return _SLICE_KEY + escaped + _END_OF_NAME
