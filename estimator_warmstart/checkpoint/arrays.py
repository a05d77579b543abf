"""What `.npz` and `.safetensors` files share: where the bytes of an array lie, what no variable can be, and their reader.

The values are read in pieces of a few MB, however large an array is. Only one in Fortran order is read as a whole.
"""

from __future__ import annotations

import zlib
from typing import IO, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from estimator_warmstart._tf import tensor_bundle_pb2, tf
from estimator_warmstart.checkpoint.crc32c import mask
from estimator_warmstart.checkpoint.object_graph import OBJECT_GRAPH_KEY
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, error_text, open_file
from estimator_warmstart.slots import LONGEST_NAME
from estimator_warmstart.tensors import Shape, TensorSlice, count_bytes, count_elements, swap_bytes, whole_slice

NPZ, SAFETENSORS = "npz", "safetensors"
ARRAY_FORMATS = (NPZ, SAFETENSORS)

_CHUNK_SIZE = 1 << 22
_MOST_DIMENSIONS = 254
_LARGEST_INT64 = 2**63 - 1
# One message lists so many problems at most.
_MOST_LISTED_PROBLEMS = 20


class StoredArray(NamedTuple):
    """Where the bytes of an array lie in a file.

    Attributes:
      path: of the file.
      file_size: of the file, in bytes.
      shape: of the array.
      dtype: TensorFlow's name of its dtype.
      begin: where its member of the file begins; in a `.safetensors` file, its values.
      header_size: the bytes of the member that come before the values.
      compressed_size: of the member in the file if it is deflated; else 0.
      crc32: the checksum of the member, if the file has one.
      byte_order: NumPy's sign, `"<"` or `">"`.
      is_fortran: whether the values are in Fortran order.
    """

    path: str
    file_size: int
    shape: Shape
    dtype: str
    begin: int
    header_size: int = 0
    compressed_size: int = 0
    crc32: Optional[int] = None
    byte_order: str = "<"
    is_fortran: bool = False

    @property
    def size(self) -> int:
        """The bytes of the member: those of the header and of the values."""
        return self.header_size + count_bytes(self.shape, self.dtype)

    @property
    def end(self) -> int:
        """Where its member of the file ends."""
        return self.begin + (self.compressed_size or self.size)

    @property
    def has_rows(self) -> bool:
        """Whether its rows lie in the file one after the other, so that some of them can be read alone."""
        return bool(self.shape) and not self.compressed_size and not self.is_fortran


def array_format(path: str) -> str:
    """Returns the format that a file of this name has: `"npz"`, `"safetensors"`, or an empty string for neither."""
    return next((each for each in ARRAY_FORMATS if path.lower().endswith(f".{each}")), "")


def name_problem(name: str) -> Optional[str]:
    """Returns why no variable can have this name, or `None`."""
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "is a name that is not UTF-8"
    if length > LONGEST_NAME:
        return f"is the beginning of a name of {length:,} bytes"
    if not name or "\0" in name:
        return "is not a name: it has a NUL in it" if name else "is not a name"
    return "is a name that TensorFlow keeps for itself" if name == OBJECT_GRAPH_KEY else None


def shape_problem(shape: object) -> Optional[str]:
    """Returns why no array can have this shape, as it was read from a file, or `None`."""
    if not isinstance(shape, (list, tuple)) or not all(type(length) is int and length >= 0 for length in shape):
        return f"has the shape {str(shape)[:100]}"
    if len(shape) > _MOST_DIMENSIONS:
        return f"has {len(shape):,} dimensions"
    if count_elements(max(length, 1) for length in shape) > _LARGEST_INT64 // 16:  # No value has more than 16 bytes.
        return f"has too many elements, {' * '.join(map(str, shape[:5]))}"
    return None


def in_order(arrays: Mapping[str, Tuple[Shape, str]]) -> List[str]:
    """Returns the names in the order in which their arrays are written: the widest values first, which aligns all."""
    return sorted(arrays, key=lambda name: (-tf.as_dtype(arrays[name][1]).size, name))


def raise_if_damaged(path: str, problems: Sequence[str]) -> None:
    """Raises `CheckpointError` if there are `problems` with what the file lists."""
    if problems:
        more = len(problems) - _MOST_LISTED_PROBLEMS
        shown = [*problems[:_MOST_LISTED_PROBLEMS], *([f"and {more:,} more"] if more > 0 else [])]
        raise CheckpointError(f"{path} lists what cannot be read, or is damaged", shown)


class ArrayReader:
    """Reads the values of a `.npz` or `.safetensors` file, as a `BundleReader` reads those of a V2 checkpoint.

    Args:
      arrays: {name: where it lies}, all in one file.
    """

    # NumPy's sign of the byte order in which the values are returned.
    byte_order = "<"

    def __init__(self, arrays: Mapping[str, StoredArray]):
        self._arrays = arrays
        self._file: Optional[IO[bytes]] = None

    def stored_slices(self, key: str) -> List[Tuple[TensorSlice, Iterator[bytes]]]:
        """Returns the whole array with its bytes in pieces: these files have no slices."""
        return [(whole_slice(self._arrays[key].shape), self.read_tensor(key))]

    def read_tensor(self, key: str) -> Iterator[bytes]:
        """Yields the values of an array as bytes, in C order and little endian, in pieces of whole values.

        Raises:
          CheckpointError: if they cannot be read, or, after the last piece, if they do not have the file's checksum.
        """
        stored = self._arrays[key]
        pieces = _in_chunks(self._values(key, stored))
        if stored.is_fortran:
            dtype = np.dtype((np.void, tf.as_dtype(stored.dtype).size))
            array = np.frombuffer(b"".join(pieces), dtype).reshape(stored.shape, order="F")
            pieces = _in_chunks([array.tobytes()])
        for piece in pieces:
            yield little_endian(piece, stored.dtype, stored.byte_order)

    def entries(self, key: str, new_key: str) -> Iterator[Tuple[bytes, tensor_bundle_pb2.BundleEntryProto]]:
        """Yields the entry that the array would have in the index of a checkpoint, as a `BundleReader` does."""
        stored = self._arrays[key]
        shape, size = tf.TensorShape(stored.shape).as_proto(), stored.size - stored.header_size
        dtype = tf.as_dtype(stored.dtype).as_datatype_enum
        entry = tensor_bundle_pb2.BundleEntryProto(dtype=dtype, shape=shape, size=size, offset=stored.begin, crc32c=mask(0))
        yield new_key.encode("utf-8"), entry

    def read_entry(self, key: str, entry: tensor_bundle_pb2.BundleEntryProto) -> Iterator[bytes]:
        """Yields the bytes of the array that the only entry of `key` stands for; raises as `read_tensor` does."""
        return self.read_tensor(key)

    def check_strings(self, key: str) -> None:
        """Does nothing: these files have no strings."""

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _values(self, key: str, stored: StoredArray) -> Iterator[bytes]:
        """Yields the bytes of the values as they are stored, in pieces; verifies the checksum after the last."""
        checksum = size = 0
        try:
            pieces = self._stored_bytes(stored)
            for piece in _inflated(pieces, stored.size) if stored.compressed_size else pieces:
                if stored.crc32 is not None:
                    checksum = zlib.crc32(piece, checksum)
                yield piece[max(stored.header_size - size, 0) :]
                size += len(piece)
            if size != stored.size:
                raise OSError(f"it has {size:,} bytes where {stored.size:,} are needed")
        except FILE_ERRORS + (zlib.error,) as error:
            raise CheckpointError(f"{key!r} cannot be read from {stored.path}: {error_text(error)}") from error
        if stored.crc32 is not None and checksum != stored.crc32:
            raise CheckpointError(
                f"{key!r} in {stored.path} is damaged: its bytes do not have the checksum that was stored with them"
            )

    def _stored_bytes(self, stored: StoredArray) -> Iterator[bytes]:
        if self._file is None:
            self._file = open_file(stored.path, "rb")
        size = stored.compressed_size or stored.size
        for start in range(0, size, _CHUNK_SIZE):
            wanted = min(_CHUNK_SIZE, size - start)
            if self._file.tell() != stored.begin + start:
                self._file.seek(stored.begin + start)
            piece = self._file.read(wanted)
            if len(piece) < wanted:
                raise OSError("it is cut short")
            yield piece


def little_endian(values: bytes, dtype: str, byte_order: str) -> bytes:
    """Returns the bytes of whole values in little endian.

    Args:
      values: their bytes.
      dtype: TensorFlow's name of it.
      byte_order: NumPy's sign of the order that they have.
    """
    return values if byte_order == "<" or tf.as_dtype(dtype).size == 1 else swap_bytes(values, dtype)


def _inflated(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yields what was deflated, in pieces; no more than `size` bytes and a piece are made of any input."""
    inflater, made = zlib.decompressobj(-zlib.MAX_WBITS), 0
    for piece in pieces:
        while piece and made <= size:
            inflated = inflater.decompress(piece, _CHUNK_SIZE)
            made += len(inflated)
            yield inflated
            piece = inflater.unconsumed_tail
        if inflater.unused_data:
            raise OSError("it goes on after its end")
    yield inflater.flush()
    if not inflater.eof:
        raise OSError("it is cut short")


def _in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the same bytes in pieces of one size, but for the last one: each holds whole values."""
    left = b""
    for piece in pieces:
        left = left + piece if left else piece
        end = len(left) - len(left) % _CHUNK_SIZE
        for start in range(0, end, _CHUNK_SIZE):
            yield left[start : start + _CHUNK_SIZE]
        left = left[end:]
    if left:
        yield left
