"""Reads and writes `.npz` files: a zip archive with a file of NumPy's for each array. Nothing is ever unpickled.

A member that is stored as it is lies in the archive byte for byte. A deflated one is inflated while it is read.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, and PKWARE's APPNOTE for the archive.
"""

from __future__ import annotations

import ast
import itertools
import re
import struct
import zipfile
import zlib
from typing import IO, Any, Dict, Iterable, List, Mapping, NamedTuple, Tuple

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.arrays import StoredArray, name_problem, raise_if_damaged, shape_problem
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, error_text, is_local, open_file
from estimator_warmstart.tensors import Shape, count_elements

# NumPy has no bfloat16. This is what it writes for one of TensorFlow's or ml_dtypes': two bytes of no known kind.
_BFLOAT16 = np.dtype("V2")
_KINDS = "biufc"
_SUFFIX = ".npy"
_MAGIC = b"\x93NUMPY"
# NumPy refuses longer headers too.
_LONGEST_HEADER = 10_000
_PLAIN = re.compile(r"""(?:'[^'\\]*'|"[^"\\]*"|[0-9]+L?|True|False|None|[\s{}()\[\],:])*""")
_MOST_NESTED = 20
_MOST_DIMENSIONS = 32
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_IS_ENCRYPTED = 1
# Deflate makes at most 258 bytes of two bits.
_MOST_INFLATED = 1032
_DAMAGED = (ValueError, EOFError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)
_FIRST_DATE = (1980, 1, 1, 0, 0, 0)


class _Header(NamedTuple):
    """What a `.npy` file says of its array."""

    shape: Shape
    dtype: np.dtype
    is_fortran: bool
    size: int


def read_npz(path: str) -> Dict[str, StoredArray]:
    """Reads which arrays a `.npz` file has, and checks them.

    Raises:
      CheckpointError: if it cannot be read or is damaged, or for arrays of Python objects and others that no variable can hold;
        the message names all of them.
    """
    try:
        with open_file(path, "rb") as file, zipfile.ZipFile(file) as archive:
            return _read_members(path, file, archive, int(tf.io.gfile.stat(path).length))
    except CheckpointError:
        raise
    except FILE_ERRORS as error:
        raise CheckpointError(f"{path} cannot be read: {error_text(error)}") from error
    except Exception as error:  # A damaged archive makes zipfile raise errors of any type.
        raise CheckpointError(f"{path} is not an .npz file, or is damaged: {error}") from error


def _read_members(path: str, file: IO[bytes], archive: zipfile.ZipFile, size: int) -> Dict[str, StoredArray]:
    found: Dict[str, StoredArray] = {}
    problems: List[str] = []
    begins: List[int] = []
    for member in archive.infolist():
        name = member.filename[: -len(_SUFFIX)] if member.filename.endswith(_SUFFIX) else member.filename
        try:
            problem = name_problem(name) or ("is there twice" if name in found else None)
            if problem is not None:
                raise ValueError(problem)
            found[name] = _stored_array(path, file, archive, member, size)
            begins.append(member.header_offset)
        except _DAMAGED as error:
            problems.append(f"{name[:100]!r} {error}")
    if not problems:
        problems = _overlaps(found, begins, archive.start_dir)
    raise_if_damaged(path, problems)
    return dict(sorted(found.items()))


def _overlaps(found: Mapping[str, StoredArray], begins: List[int], end: int) -> List[str]:
    """Returns which members overlap the next one, or go beyond the `end` of all."""
    places = sorted(zip(begins, found, found.values()))
    nexts = [begin for begin, _, _ in places[1:]] + [end]
    return [
        f"{name!r} is said to end at byte {stored.end:,}, and what follows begins at byte {following:,}"
        for (_, name, stored), following in zip(places, nexts)
        if stored.end > following
    ]


def _stored_array(path: str, file: IO[bytes], archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> StoredArray:
    """Returns where an array lies; raises `ValueError` with what is wrong with it."""
    is_deflated = member.compress_type == zipfile.ZIP_DEFLATED
    if member.flag_bits & _IS_ENCRYPTED or not (is_deflated or member.compress_type == zipfile.ZIP_STORED):
        raise ValueError(f"is encrypted or compressed by method {member.compress_type}: save it with numpy.savez")
    if member.file_size > (_MOST_INFLATED * member.compress_size + 64 if is_deflated else member.compress_size):
        raise ValueError(f"is said to have {member.file_size:,} bytes, made of {member.compress_size:,}")
    file.seek(member.header_offset)
    signature, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    begin = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if signature != _LOCAL_SIGNATURE or begin + member.compress_size > size:
        raise ValueError("is not where the archive says, or is cut short")
    with archive.open(member) as opened:
        header = _read_header(opened)
    nbytes = header.size + count_elements(header.shape) * header.dtype.itemsize
    if nbytes != member.file_size:
        raise ValueError(
            f"has {member.file_size:,} bytes, {nbytes:,} by its shape {list(header.shape)} and dtype {header.dtype}"
        )
    return StoredArray(
        path,
        size,
        header.shape,
        "bfloat16" if header.dtype == _BFLOAT16 else tf.as_dtype(header.dtype.newbyteorder("=")).name,
        begin,
        header.size,
        member.compress_size if is_deflated else 0,
        member.CRC,
        ">" if header.dtype.str[0] == ">" else "<",
        header.is_fortran and len(header.shape) > 1,
    )


def _read_header(file: IO[bytes]) -> _Header:
    start = file.read(8)
    if not start.startswith(_MAGIC) or len(start) < 8:
        raise ValueError("is not an array of NumPy")
    if start[6] not in (1, 2, 3):
        raise ValueError(f"has the version {start[6]}.{start[7]} of NumPy's format, which is not known")
    length_format = "<H" if start[6] == 1 else "<I"
    length_size = struct.calcsize(length_format)
    (length,) = struct.unpack(length_format, file.read(length_size))
    if length > _LONGEST_HEADER:
        raise ValueError(f"has a header of {length:,} bytes")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("is cut short in its header")
    described = _parsed(text.decode("utf-8" if start[6] == 3 else "latin-1"))
    problem = shape_problem(described["shape"])
    if problem is not None or not isinstance(described["fortran_order"], bool):
        raise ValueError(problem or "has a header with another fortran_order than True or False")
    size = len(start) + length_size + length
    return _Header(described["shape"], _checked_dtype(described["descr"]), described["fortran_order"], size)


def _parsed(text: str) -> Dict[str, Any]:
    """Returns the header, which is a dict as Python writes it."""
    try:
        # Other expressions, and brackets in brackets, may end Python. Python 2 writes long numbers as 3L.
        is_plain = _PLAIN.fullmatch(text) and max(itertools.accumulate(map(_depth, text)), default=0) <= _MOST_NESTED
        described = ast.literal_eval(re.sub(r"(\d)L\b", r"\1", text.strip())) if is_plain else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        described = None
    if not isinstance(described, dict) or set(described) != {"descr", "fortran_order", "shape"}:
        raise ValueError("has a header that is not NumPy's")
    return described


def _depth(character: str) -> int:
    """Returns by how much a character of a header opens brackets."""
    return (character in "([{") - (character in ")]}")


def _checked_dtype(described: object) -> np.dtype:
    """Returns NumPy's dtype for its description, if it is of plain numbers."""
    if not isinstance(described, str):
        raise ValueError(f"has the structured dtype {str(described)[:100]}, which no variable has")
    try:
        dtype = np.dtype(described)
    except (TypeError, ValueError, SyntaxError) as error:
        raise ValueError(f"has the dtype {described[:100]!r}, which is not known") from error
    if dtype.hasobject:
        raise ValueError("holds Python objects, and these are pickled, which is never read: save it as numbers")
    if dtype == _BFLOAT16:
        return dtype
    try:
        is_known = dtype.kind in _KINDS and bool(tf.as_dtype(dtype.newbyteorder("=")))
    except TypeError:
        is_known = False
    if not is_known:
        raise ValueError(f"has the dtype {described[:100]!r}, which no variable here has: save it as numbers")
    return dtype


def what_cannot_be_held(arrays: Mapping[str, Tuple[Shape, str]]) -> List[str]:
    """Returns which of the arrays, {name: (shape, TensorFlow's name of the dtype)}, the format cannot hold, and why."""
    problems = []
    for name, (shape, dtype) in arrays.items():
        if not _descr(dtype):
            problems.append(f"{name!r} is {dtype} {list(shape)}, a dtype that NumPy cannot hold without pickles")
        if len(shape) > _MOST_DIMENSIONS:
            problems.append(f"{name!r} has {len(shape)} dimensions, and NumPy's arrays have {_MOST_DIMENSIONS} at most")
        if name.endswith(_SUFFIX) and name[: -len(_SUFFIX)] in arrays:
            problems.append(f"NumPy would take {name[: -len(_SUFFIX)]!r} for {name!r}; rename one of them")
    return problems


def _descr(dtype: str) -> str:
    """Returns what NumPy calls TensorFlow's dtype of this name, in little endian; empty if it cannot hold it."""
    if dtype == "bfloat16":
        return _BFLOAT16.str
    found = np.dtype(tf.as_dtype(dtype).as_numpy_dtype)
    return str(found.newbyteorder("<").str) if found.kind in _KINDS and found.names is None else ""


class _Unseekable:
    """A file of `tf.io.gfile` that is written: zipfile then writes what it cannot go back for after each member."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def write(self, data: bytes) -> int:
        self._file.write(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()


def write_npz(file: IO[bytes], path: str, arrays: Mapping[str, Tuple[Shape, str]], values: Iterable[Iterable[bytes]]) -> None:
    """Writes a `.npz` file of members that are stored as they are.

    Args:
      file: is written from its beginning on.
      path: of the file.
      arrays: {name: (shape, TensorFlow's name of the dtype)}.
      values: of each array, in the same order, the bytes in pieces: in C order, little endian.

    Raises:
      FILE_ERRORS: if it cannot be written; whatever `values` raises.
    """
    write_header: Any = np.lib.format.write_array_header_1_0
    target: Any = file if is_local(path) else _Unseekable(file)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for (name, (shape, dtype)), pieces in zip(arrays.items(), values):
            # A date of its own would make two files of the same values differ.
            with archive.open(zipfile.ZipInfo(name + _SUFFIX, _FIRST_DATE), "w", force_zip64=True) as member:
                write_header(member, {"descr": _descr(dtype), "fortran_order": False, "shape": shape})
                for piece in pieces:
                    member.write(piece)
