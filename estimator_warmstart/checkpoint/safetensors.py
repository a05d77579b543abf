"""Reads and writes `.safetensors` files: a header of JSON, and after it the bytes of the arrays one after the other.

The package of that name is not needed. It writes from memory only, does not say where the bytes of an array are, reads local
files only, and has no bfloat16 for NumPy.

Source: the format as https://github.com/huggingface/safetensors has it in its README.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.arrays import StoredArray, name_problem, raise_if_damaged, shape_problem
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, error_text, open_file
from estimator_warmstart.tensors import Shape, count_bytes

# {the format's name of a dtype: TensorFlow's}.
DTYPES: Mapping[str, str] = {
    "BF16": "bfloat16",
    "BOOL": "bool",
    "C64": "complex64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "I8": "int8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "U8": "uint8",
}
_NAMES: Mapping[str, str] = {dtype: name for name, dtype in DTYPES.items()}

_LENGTH = struct.Struct("<Q")
# The package of that name refuses longer headers too.
_LONGEST_HEADER = 100_000_000
_METADATA = "__metadata__"
# The values begin at a multiple of it, so that each array is aligned for its dtype.
_ALIGNMENT = 8


def read_safetensors(path: str) -> Dict[str, StoredArray]:
    """Reads which arrays a `.safetensors` file has, and checks that they fill it.

    Raises:
      CheckpointError: if it cannot be read or is damaged; the message names every array that is not right.
    """
    try:
        with open_file(path, "rb") as file:
            size = int(tf.io.gfile.stat(path).length)
            header, begin = _read_header(file, size)
        described = json.loads(header.decode("utf-8"), object_pairs_hook=_unique)
        if not isinstance(described, dict):
            raise ValueError("its header is not an object of JSON")
    except FILE_ERRORS as error:
        raise CheckpointError(f"{path} cannot be read: {error_text(error)}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a .safetensors file, or is damaged: {error}") from error
    described.pop(_METADATA, None)
    problems: List[str] = []
    found: Dict[str, StoredArray] = {}
    for name, value in described.items():
        problem = name_problem(name) or _problem(value)
        if problem is not None:
            problems.append(f"{name[:100]!r} {problem}")
            continue
        shape, dtype = tuple(value["shape"]), DTYPES[value["dtype"]]
        found[name] = StoredArray(path, size, shape, dtype, begin + value["data_offsets"][0])
    if not problems:  # Otherwise a place may be empty only because its array is wrong.
        problems = _place_problems(found, begin, size)
    raise_if_damaged(path, problems)
    return found


def _read_header(file: IO[bytes], size: int) -> Tuple[bytes, int]:
    """Returns the header, and where the values begin."""
    start = file.read(_LENGTH.size)
    if len(start) < _LENGTH.size:
        raise ValueError(f"it has {len(start)} bytes")
    (length,) = _LENGTH.unpack(start)
    if length > min(_LONGEST_HEADER, size - _LENGTH.size):
        raise ValueError(f"its header is said to have {length:,} bytes, and the file has {size:,}")
    header = file.read(length)
    if not header.startswith(b"{"):
        raise ValueError("its header does not begin with a brace")
    return header, _LENGTH.size + length


def _unique(pairs: Sequence[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"its header has {next(name for name in names if names.count(name) > 1)[:100]!r} twice")
    return found


def _problem(value: object) -> Optional[str]:
    """Returns what is wrong with the description of one array, or `None`."""
    if not isinstance(value, dict) or not {"dtype", "shape", "data_offsets"} <= set(value):
        return "is not described by dtype, shape and data_offsets"
    if not isinstance(value["dtype"], str) or value["dtype"] not in DTYPES:
        return f"has the dtype {str(value['dtype'])[:100]}, which no variable here has (known are {', '.join(sorted(DTYPES))})"
    problem = shape_problem(value["shape"])
    if problem is not None:
        return problem
    offsets = value["data_offsets"]
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(each) is int and each >= 0 for each in offsets):
        return f"is said to be at {str(offsets)[:100]}"
    nbytes = count_bytes(tuple(value["shape"]), DTYPES[value["dtype"]])
    if offsets[1] - offsets[0] != nbytes:
        return (
            f"is said to be at {offsets}, which is {offsets[1] - offsets[0]:,} bytes, and has {nbytes:,} by its shape "
            f"{value['shape']} and dtype {value['dtype']}"
        )
    return None


def _place_problems(found: Mapping[str, StoredArray], end: int, size: int) -> List[str]:
    """Returns which arrays do not follow each other from the header's `end` to the file's, as the format demands."""
    problems = []
    for begin, _, name in sorted((each.begin, each.end, name) for name, each in found.items()):
        if begin != end:
            what = "overlaps" if begin < end else "does not follow"
            problems.append(f"{name!r} begins at byte {begin:,}: it {what} what is before it, which ends at byte {end:,}")
        end = max(end, found[name].end)
    if end != size:
        problems.append(f"the arrays end at byte {end:,}, the file at byte {size:,}{': it is cut short' * (end > size)}")
    return problems


def what_cannot_be_held(arrays: Mapping[str, Tuple[Shape, str]]) -> List[str]:
    """Returns which of the arrays, {name: (shape, TensorFlow's name of the dtype)}, the format cannot hold, and why."""
    problems = [
        f"{name!r} is {dtype} {list(shape)}, a dtype that .safetensors files do not have"
        for name, (shape, dtype) in arrays.items()
        if dtype not in _NAMES
    ]
    problems += [f"{_METADATA!r} is what the format calls something else"] if _METADATA in arrays else []
    if not problems and len(_encoded_header(arrays)) > _LONGEST_HEADER:
        problems.append(f"the names of {len(arrays):,} variables take more than {_LONGEST_HEADER:,} bytes")
    return problems


def _encoded_header(arrays: Mapping[str, Tuple[Shape, str]]) -> bytes:
    described: Dict[str, object] = {}
    end = 0
    for name, (shape, dtype) in arrays.items():
        begin, end = end, end + count_bytes(shape, dtype)
        described[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    header = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    return header + b" " * (-len(header) % _ALIGNMENT)


def write_safetensors(file: IO[bytes], arrays: Mapping[str, Tuple[Shape, str]], values: Iterable[Iterable[bytes]]) -> None:
    """Writes a `.safetensors` file.

    Args:
      file: is written from its beginning on.
      arrays: {name: (shape, TensorFlow's name of the dtype)}, as `in_order` sorts them.
      values: of each array, in the same order, the bytes in pieces: in C order, little endian.

    Raises:
      FILE_ERRORS: if it cannot be written; whatever `values` raises.
    """
    header = _encoded_header(arrays)
    file.write(_LENGTH.pack(len(header)) + header)
    for pieces in values:
        for piece in pieces:
            file.write(piece)
