"""Writes a V2 checkpoint of values that come as numpy arrays, a window at a time: one data file and the index.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc.
"""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from estimator_warmstart._tf import tensor_bundle_pb2, tf
from estimator_warmstart.checkpoint import crc32c as checksums
from estimator_warmstart.checkpoint.data_files import data_file
from estimator_warmstart.checkpoint.index_checks import slice_key
from estimator_warmstart.checkpoint.index_file import BundleIndex, new_header, write_index
from estimator_warmstart.checkpoint.string_lengths import encode_lengths
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import open_file, sync
from estimator_warmstart.progress import Progress
from estimator_warmstart.tensors import NATIVE_ORDER, Shape, TensorSlice


class NewTensor(NamedTuple):
    """A tensor, or one slice of a tensor, of a new checkpoint.

    Attributes:
      key: of the tensor.
      dtype: TensorFlow's name of it.
      shape: of the whole tensor.
      box: the slice that this is; `None` for a tensor that is stored whole.
      windows: its values in C order, in arrays of any shapes; strings in one array of bytes. With `crc32c`, pieces of bytes.
      nbytes: how many these are, for the progress.
      crc32c: for bytes that are stored as they come, what the index says of them.
    """

    key: str
    dtype: str
    shape: Shape
    box: Optional[TensorSlice]
    windows: Iterator[Any]
    nbytes: int = 0
    crc32c: Optional[int] = None


def write_tensors(
    prefix: str, tensors: Iterable[NewTensor], progress: Progress, total: int = 0, byte_order: str = NATIVE_ORDER
) -> None:
    """Writes the checkpoint `prefix`; each window is made while the one before is written.

    Args:
      prefix: of the new checkpoint, in a directory that exists.
      tensors: what goes into it, in the order of the data file. The slices of one tensor need not follow each other.
      progress: is called with the bytes done and `total`, after each window.
      total: the bytes in all.
      byte_order: NumPy's sign of that of the values.

    Raises:
      CheckpointError: listing each old value that could not be read.
      FILE_ERRORS: if the new files cannot be written.
    """
    entries: Dict[bytes, tensor_bundle_pb2.BundleEntryProto] = {}
    problems: List[str] = []
    offset = done = 0
    with open_file(data_file(prefix, 0, 1), "wb") as file, ThreadPoolExecutor(1) as writer:
        written = writer.submit(file.write, b"")
        for tensor in tensors:
            entry = _add_entry(entries, tensor, offset)
            try:
                for piece in _stored_pieces(tensor, entry):
                    written.result()
                    written = writer.submit(file.write, piece)
                    progress(done + entry.size, total)
            except CheckpointError as error:
                problems.append(str(error))
            offset += entry.size
            done += tensor.nbytes
        written.result()
        sync(file)
    if problems:
        raise CheckpointError("what is to be written cannot be read whole", list(dict.fromkeys(problems)))
    write_index(prefix, BundleIndex(new_header(byte_order), entries))


def _add_entry(
    entries: Dict[bytes, tensor_bundle_pb2.BundleEntryProto], tensor: NewTensor, offset: int
) -> tensor_bundle_pb2.BundleEntryProto:
    """Adds the entry for what is written next, and for a first slice the entry of its tensor, which lists the slices."""
    key, dtype = tensor.key.encode("utf-8"), tf.as_dtype(tensor.dtype).as_datatype_enum
    entry, shape = tensor_bundle_pb2.BundleEntryProto(dtype=dtype, offset=offset), tensor.shape
    if tensor.box is not None:
        whole = entries.setdefault(
            key, tensor_bundle_pb2.BundleEntryProto(dtype=dtype, shape=tf.TensorShape(tensor.shape).as_proto())
        )
        part = whole.slices.add()
        for start, length in zip(*tensor.box):
            part.extent.add(start=start, length=length)
        key, shape = slice_key(key, part), tensor.box.shape
    entry.shape.CopyFrom(tf.TensorShape(shape).as_proto())
    entries[key] = entry
    return entry


def _stored_pieces(tensor: NewTensor, entry: tensor_bundle_pb2.BundleEntryProto) -> Iterator[bytes]:
    """Yields the bytes to be stored; sets their size and their checksum in `entry`."""
    checksum = 0
    for window in tensor.windows:
        if tensor.crc32c is not None:
            entry.size += len(window)
            yield window
            continue
        if tensor.dtype == "string":
            header, checksum = _string_header(window)
            entry.size += len(header)
            yield header
            window = np.frombuffer(b"".join(window.ravel()), np.uint8)
        if not window.size:
            continue
        piece = window.tobytes()
        checksum = checksums.extend(checksum, piece)
        entry.size += len(piece)
        yield piece
    entry.crc32c = checksums.mask(checksum) if tensor.crc32c is None else tensor.crc32c


def _string_header(strings: np.ndarray) -> Tuple[bytes, int]:
    """Returns what is stored before strings, their lengths and a checksum of these, and the checksum so far."""
    if not strings.size:
        return b"", 0
    lengths = np.array([len(string) for string in strings.ravel()], np.int64)
    checksum = checksums.extend(0, encode_lengths(lengths, NATIVE_ORDER))
    stored = struct.pack(NATIVE_ORDER + "I", checksums.mask(checksum))
    return b"".join(map(_varint, lengths.tolist())) + stored, checksums.extend(checksum, stored)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
