"""Writes .npz and .safetensors files as NumPy and others write them, and as a damaged or hostile one may be."""

import json
import struct
import zipfile

import numpy as np


def npy(descr="'<f4'", shape="(2,)", data=b"\0" * 8, fortran="False", version=1, header=None):
    """A `.npy` file with such texts in its header."""
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n" if header is None else header
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode("utf-8") + data


def npz(path, members, compression=zipfile.ZIP_STORED):
    """Writes an archive of `members`, pairs (name in the archive, bytes), and returns its path."""
    with zipfile.ZipFile(str(path), "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return str(path)


def safetensors(path, header, data=b"", length=None):
    """Writes a header, as it is or as JSON, and data; `length` is what the file says of the header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode("utf-8")
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return str(path)


def described(dtype="F32", shape=(2,), begin=0, end=8, **more):
    """What a header says of one array."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


# TensorFlow's dtypes and the format's.
TO_SAFETENSORS = {
    "bfloat16": "BF16",
    "bool": "BOOL",
    "complex64": "C64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "int8": "I8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "uint8": "U8",
}


def save_safetensors(path, values):
    """Saves `values` {name: array} without the library, which has no bfloat16 for NumPy."""
    header, data = {"__metadata__": {"format": "np"}}, b""
    for name, value in values.items():
        value = np.asarray(value)
        stored = value.tobytes()
        header[name] = described(TO_SAFETENSORS[value.dtype.name], value.shape, len(data), len(data) + len(stored))
        data += stored
    return safetensors(path, header, data)


def save_npz(path, values, save=np.savez):
    """Saves `values` {name: array}, whose names may be any."""
    save(str(path), **values)
    return str(path)
