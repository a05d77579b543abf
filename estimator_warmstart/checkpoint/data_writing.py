"""Writes a checkpoint of tensors that are taken from others, each as it is stored there but under a key of its own.

Enters: which tensor of which checkpoint goes under which key. Leaves: a whole checkpoint of one data file. A few MB are in
memory at a time, whatever the size of a tensor; bytes, dtypes and slices stay as they are. This module must not know what
the tensors are to a model.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from estimator_warmstart._tf import tensor_bundle_pb2, tf
from estimator_warmstart.checkpoint import crc32c as checksums
from estimator_warmstart.checkpoint.data_files import BundleReader
from estimator_warmstart.checkpoint.leveldb_table import index_file
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import open_file, sync
from estimator_warmstart.text_output import Progress

Change = Callable[[np.ndarray], np.ndarray]


class Move(NamedTuple):
    """One tensor on its way from one checkpoint to another.

    Attributes:
      prefix: of the checkpoint that it comes from.
      key: its key there.
      new_key: its key in the new checkpoint.
      change: what becomes of its values, one by one; `None`: they stay as they are.
    """

    prefix: str
    key: str
    new_key: str
    change: Optional[Change] = None


class _Entry(NamedTuple):
    """What is stored under one key of an index: a tensor, one slice of it, or only the list of its slices."""

    reader: BundleReader
    move: Move
    new_key: bytes
    proto: Any


def write_bundle(prefix: str, moves: Sequence[Move], progress: Progress) -> None:
    """Writes the checkpoint `prefix`.

    Args:
      prefix: of the new checkpoint; in a directory that is there.
      moves: what goes into it; at least one.
      progress: is told the bytes done and the bytes in all, after each few MB.

    Raises:
      CheckpointError: listing each tensor that cannot be read or has not the checksum that its checkpoint says.
      FILE_ERRORS: where the new files cannot be written.
    """
    with ExitStack() as opened:
        sources = dict.fromkeys(move.prefix for move in moves)
        readers = {source: opened.enter_context(closing(BundleReader(source))) for source in sources}
        header = tensor_bundle_pb2.BundleHeaderProto()
        header.CopyFrom(readers[moves[0].prefix].header)
        if any(reader.header.endianness != header.endianness for reader in readers.values()):
            raise CheckpointError(f"{moves[0].prefix} was written on a machine of another byte order; convert it on such a one")
        header.num_shards = 1
        entries = [
            _Entry(readers[move.prefix], move, new_key, proto)
            for move in moves
            for new_key, proto in readers[move.prefix].entries(move.key, move.new_key)
        ]
        index = _write_data(f"{prefix}.data-00000-of-00001", entries, progress)
    index[b""] = header.SerializeToString()
    with open_file(f"{prefix}.index", "wb") as file:
        file.write(index_file(index))
        sync(file)


def _write_data(path: str, entries: List[_Entry], progress: Progress) -> Dict[bytes, bytes]:
    """Writes the bytes of all `entries`; returns what the index has to say of them."""
    entries.sort(key=lambda entry: (entry.move.prefix, entry.proto.shard_id, entry.proto.offset))
    done, total = 0, sum(entry.proto.size for entry in entries)
    index: Dict[bytes, bytes] = {}
    problems: List[str] = []
    with open_file(path, "wb") as file, ThreadPoolExecutor(1) as writer:
        offset, written = 0, writer.submit(file.write, b"")
        for entry in entries:
            proto = _new_proto(entry, offset)
            try:
                for chunk in _new_values(entry, proto):
                    # One piece is written while the next is read and its checksum computed.
                    written.result()
                    written = writer.submit(file.write, chunk)
                    progress(done + proto.size, total)
            except CheckpointError as error:
                problems.append(str(error))
            offset += proto.size
            done += entry.proto.size
            index[entry.new_key] = proto.SerializeToString()
        written.result()
        sync(file)
    if problems:
        raise CheckpointError("the old checkpoint is not whole", problems)
    return index


def _new_proto(entry: _Entry, offset: int) -> Any:
    """What the new index says of the entry before any of its bytes is written."""
    proto = tensor_bundle_pb2.BundleEntryProto()
    proto.CopyFrom(entry.proto)
    proto.shard_id, proto.offset, proto.size = 0, offset, 0
    if entry.move.change:
        nothing = entry.move.change(np.zeros(0, tf.as_dtype(proto.dtype).as_numpy_dtype))
        proto.dtype = tf.as_dtype(nothing.dtype).as_datatype_enum
    return proto


def _new_values(entry: _Entry, proto: Any) -> Iterator[bytes]:
    """The new bytes in pieces; `proto` learns their size, and their checksum if they are not the old ones."""
    dtype, change = tf.as_dtype(entry.proto.dtype), entry.move.change
    checksum = 0
    for chunk in entry.reader.read(entry.move.key, entry.proto):
        if change:
            chunk = change(np.frombuffer(chunk, dtype.as_numpy_dtype)).tobytes()
            checksum = checksums.extend(checksum, chunk)
            proto.crc32c = checksums.mask(checksum)
        proto.size += len(chunk)
        yield chunk
