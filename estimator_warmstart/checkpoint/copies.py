"""Copies tensors of checkpoints and of files of arrays into a new V2 checkpoint, a few MB at a time, however large they are.

TensorFlow's own `RestoreV2`, `SaveV2` and `MergeV2Checkpoints` could copy them too, but hold each tensor whole, so their memory
grows with the largest one.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Union

import numpy as np

from estimator_warmstart._tf import tensor_bundle_pb2, tf
from estimator_warmstart.checkpoint.arrays import ArrayReader, StoredArray
from estimator_warmstart.checkpoint.bundle_writer import NewTensor, write_tensors
from estimator_warmstart.checkpoint.data_files import BundleReader
from estimator_warmstart.checkpoint.index_checks import entry_shape, tensor_slice_of
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.progress import Progress
from estimator_warmstart.tensors import TensorSlice

# What is done to each value of a tensor; the result may have another dtype.
ElementwiseFn = Callable[[np.ndarray], np.ndarray]

Reader = Union[BundleReader, ArrayReader]


class TensorCopy(NamedTuple):
    """A tensor that is copied from one checkpoint into another.

    Attributes:
      prefix: of the checkpoint that it comes from.
      key: its key there.
      new_key: its key in the new checkpoint.
      change: what is done to its values; `None`: they stay as they are.
      stored: where it lies, if `prefix` is a file of arrays.
    """

    prefix: str
    key: str
    new_key: str
    change: Optional[ElementwiseFn] = None
    stored: Optional[StoredArray] = None


def copied(reader: Reader, copy: TensorCopy) -> Iterator[NewTensor]:
    """Yields a tensor, or each of its slices: with the bytes and the checksum that it has, if nothing is done to its values."""
    entries = [entry for _, entry in reader.entries(copy.key, copy.key)]
    shape, dtype = entry_shape(entries[0]), tf.as_dtype(entries[0].dtype)
    boxes: List[Optional[TensorSlice]] = [tensor_slice_of(part, shape) for part in entries[0].slices]
    change, new_dtype = copy.change, dtype
    if change is not None:
        new_dtype = tf.as_dtype(change(np.zeros(0, dtype.as_numpy_dtype)).dtype)
    for entry, box in zip(entries[1:] or entries, boxes or [None]):
        chunks = reader.read_entry(copy.key, entry)
        windows: Iterator[Any] = chunks
        checksum = None
        if change is not None:
            windows = (change(np.frombuffer(chunk, dtype.as_numpy_dtype)) for chunk in chunks)
        elif copy.stored is not None:
            windows = (np.frombuffer(chunk, np.uint8) for chunk in chunks)
        else:
            checksum = entry.crc32c
        yield NewTensor(copy.new_key, new_dtype.name, shape, box, windows, entry.size, checksum)


def write_copies(
    prefix: str,
    copies: Sequence[TensorCopy],
    progress: Progress,
    tensors_of: Callable[[Reader, TensorCopy], Iterator[NewTensor]] = copied,
) -> None:
    """Writes a checkpoint of tensors of other checkpoints.

    Args:
      prefix: of the new checkpoint, in a directory that exists.
      copies: the tensors that go into it, at least one.
      progress: is called with the bytes done and the bytes in all, after each few MB.
      tensors_of: what a tensor is stored as.

    Raises:
      CheckpointError: listing each tensor that cannot be read or does not have the checksum that its index says.
      FILE_ERRORS: if the new files cannot be written.
    """
    with ExitStack() as opened:
        readers = {source: opened.enter_context(closing(reader)) for source, reader in _readers_of(copies).items()}
        byte_order = readers[copies[0].prefix].byte_order
        if any(reader.byte_order != byte_order for reader in readers.values()):
            raise CheckpointError(
                f"{copies[0].prefix} was written on a machine of another byte order; convert it on such a machine"
            )
        stored = [(copy, _data_entries(readers[copy.prefix], copy)) for copy in copies]
        # Files are read from their beginning to their end.
        stored.sort(key=lambda each: (each[0].prefix, each[1][0].shard_id, each[1][0].offset))
        total = sum(entry.size for _, entries in stored for entry in entries)
        tensors = (tensor for copy, _ in stored for tensor in tensors_of(readers[copy.prefix], copy))
        write_tensors(prefix, tensors, progress, total, byte_order)


def _readers_of(copies: Sequence[TensorCopy]) -> Dict[str, Reader]:
    """Returns a reader of each source, to be closed after use."""
    arrays: Dict[str, Dict[str, StoredArray]] = {}
    for copy in copies:
        if copy.stored is not None:
            arrays.setdefault(copy.prefix, {})[copy.key] = copy.stored
    sources = dict.fromkeys(copy.prefix for copy in copies)
    return {source: ArrayReader(arrays[source]) if source in arrays else BundleReader(source) for source in sources}


def _data_entries(reader: Reader, copy: TensorCopy) -> List[tensor_bundle_pb2.BundleEntryProto]:
    """Returns the entries whose bytes are those of the tensor: its own, or those of its slices."""
    entries = [entry for _, entry in reader.entries(copy.key, copy.key)]
    return entries[1:] or entries
