"""Reads which variables a Keras file has: `.weights.h5`, `.keras` or Keras 2's `.h5`. Needs h5py, and no Keras.

Nothing in the file is run, unpacked or unpickled, and no values are read. Variables have the names that `recover_into` gives.
"""

from __future__ import annotations

import importlib
import io
import json
import struct
import zipfile
from typing import IO, Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.keras_layers import KerasLayer, layers_of_config, path_in_model, variable_names
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, PathArgument, checked_path, error_text, open_file

KERAS_FILE = "Keras weights"

_SUFFIXES = (".keras", ".h5", ".hdf5")
_WEIGHTS, _CONFIG, _METADATA = "model.weights.h5", "config.json", "metadata.json"
_HDF5_MAGIC, _ZIP_MAGIC = b"\x89HDF\r\n\x1a\n", b"PK"
_MOST_JSON_BYTES = 64 << 20
_LOCAL_HEADER = struct.Struct("<26xHH")
_IS_ENCRYPTED = 1


class _Array(NamedTuple):
    """One dataset of the file, without its values."""

    shape: Tuple[int, ...]
    dtype: str


class _Contents(NamedTuple):
    """What an HDF5 file holds: `{path: array}`, and `{path of a group: its attributes}`. No link is followed out of it."""

    arrays: Dict[str, _Array]
    attributes: Dict[str, Mapping[str, Any]]


class _Window(io.RawIOBase):
    """A part of an open file, as a file: HDF5 reads out of an archive without a copy."""

    def __init__(self, file: IO[bytes], begin: int, size: int):
        self._file, self._begin, self._size, self._at = file, begin, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._begin + self._at)
        data = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def is_keras_file(path: PathArgument) -> bool:
    """Whether `path` is a file with a name as Keras gives it, not the prefix of a checkpoint."""
    name = checked_path("path", path, "the path of a model")
    return name.lower().endswith(_SUFFIXES) and tf.io.gfile.exists(name) and not tf.io.gfile.isdir(name)


def open_keras_file(path: PathArgument) -> Checkpoint:
    """Returns the model's variables, without the optimizer's, by the names that `recover_into` gives them.

    Raises:
      CheckpointError: if h5py is missing, or the file is damaged or not Keras's.
    """
    name = checked_path("path", path, "the path of a Keras file")
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError as error:
        raise CheckpointError(f"{name} is a Keras file, which needs h5py: pip install h5py") from error
    try:
        with open_file(name, "rb") as file:
            return _read(h5py, name, file)
    except CheckpointError:
        raise
    except FILE_ERRORS as error:
        raise CheckpointError(f"{name} cannot be read as a Keras file: {error_text(error)}") from error
    except Exception as error:  # A damaged file makes HDF5 and zipfile raise errors of any type.
        raise CheckpointError(f"{name} cannot be read as a Keras file: {type(error).__name__}: {error}") from error


def _read(h5py: Any, path: str, file: IO[bytes]) -> Checkpoint:
    start = file.read(len(_HDF5_MAGIC))
    config: object = None
    is_keras_2 = False
    if start == _HDF5_MAGIC:
        window = _Window(file, 0, file.seek(0, io.SEEK_END) or file.tell())
    elif start.startswith(_ZIP_MAGIC):
        with zipfile.ZipFile(file) as archive:
            _check_entries(path, archive)
            config, metadata = _read_json(path, archive, _CONFIG), _read_json(path, archive, _METADATA)
            window = _stored_entry(path, archive, file)
        is_keras_2 = isinstance(metadata, dict) and str(metadata.get("keras_version")).startswith("2.")
    else:
        raise CheckpointError(f"{path} is not a Keras file: it is neither HDF5 nor an archive of .keras")
    with h5py.File(window, "r") as opened:
        contents = _contents_of(h5py, opened)
    weights = next((root for root in ("", "model_weights") if "layer_names" in _attributes_at(contents, root)), None)
    if weights is not None:
        return _checkpoint(path, _named_weights(path, contents, weights))
    return _checkpoint(path, _numbered_weights(contents, layers_of_config(config), is_keras_2))


def _check_entries(path: str, archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    strange = [name for name in names if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/")]
    problems = [f"the entry {name!r} leads out of the archive" for name in strange[:3]]
    problems += [f"it has {names.count(name)} entries {name}" for name in (_WEIGHTS, _CONFIG) if names.count(name) > 1]
    if _WEIGHTS not in names:
        problems.append(f"it has no {_WEIGHTS}")
    if problems:
        raise CheckpointError(f"{path} is not an archive that Keras has written", problems)


def _read_json(path: str, archive: zipfile.ZipFile, name: str) -> object:
    if name not in archive.namelist():
        return None
    with archive.open(name) as entry:
        text = entry.read(_MOST_JSON_BYTES + 1)
    if len(text) > _MOST_JSON_BYTES:
        raise CheckpointError(f"{path}: its {name} has more than {_MOST_JSON_BYTES:,} bytes")
    return _parsed(path, name, text)


def _parsed(path: str, name: str, text: bytes) -> object:
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its {name} is not JSON: {error}") from error


def _stored_entry(path: str, archive: zipfile.ZipFile, file: IO[bytes]) -> _Window:
    """Returns the weights where they lie in the archive. Keras compresses nothing, so nothing can swell."""
    entry = archive.getinfo(_WEIGHTS)
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _IS_ENCRYPTED:
        raise CheckpointError(f"{path}: its {_WEIGHTS} is compressed or encrypted, and Keras stores it as it is: save it anew")
    file.seek(entry.header_offset)
    name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return _Window(file, entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length, entry.file_size)


def _contents_of(h5py: Any, opened: Any) -> _Contents:
    contents = _Contents({}, {"": dict(opened.attrs)})

    def visit(name: str, held: Any) -> None:
        attributes = dict(held.attrs)
        if isinstance(held, h5py.Dataset):
            contents.arrays[name] = _Array(tuple(held.shape or ()), _dtype_name(held.dtype, attributes))
        else:
            contents.attributes[name] = attributes

    opened.visititems(visit)  # Visits each object once, and follows no soft or external link.
    return contents


def _dtype_name(dtype: Any, attributes: Mapping[str, Any]) -> str:
    said = _text(attributes.get("dtype", ""))
    if said == "bfloat16":  # HDF5 has no such type.
        return said
    try:
        return str(tf.as_dtype(dtype).name)
    except TypeError:
        return str(dtype)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _attributes_at(contents: _Contents, group: str) -> Mapping[str, Any]:
    return contents.attributes.get(group, {})


def _names_in(attributes: Mapping[str, Any], key: str) -> List[str]:
    """Returns a list of names; Keras splits one that is too long for an attribute: `weight_names0`, `weight_names1`."""
    if key in attributes:
        return [_text(each) for each in attributes[key]]
    names: List[str] = []
    while f"{key}{len(names)}" in attributes:
        names.append(f"{key}{len(names)}")
    return [_text(each) for name in names for each in attributes[name]]


def _named_weights(path: str, contents: _Contents, root: str) -> Dict[str, Tuple[str, _Array]]:
    """Returns {path in the file: (name, array)} of a file in which each layer lists its weights by name."""
    found: Dict[str, Tuple[str, _Array]] = {}
    model = _attributes_at(contents, "").get("model_config")
    in_front = f"{_model_name(_parsed(path, 'model_config', _text(model).encode('utf-8')))}/" if model is not None else "/"
    layers = _names_in(_attributes_at(contents, root), "layer_names")
    for layer in [*layers, "top_level_model_weights"]:
        group = f"{root}/{layer}".strip("/")
        for weight in _names_in(_attributes_at(contents, group), "weight_names"):
            place = f"{group}/{weight}"
            if place in contents.arrays:
                name = weight[:-2] if weight.endswith(":0") else weight
                found[place] = (name[len(in_front) :] if name.startswith(in_front) else name, contents.arrays[place])
    return found


def _model_name(config: object) -> str:
    inner = config.get("config") if isinstance(config, dict) else None
    return str(inner.get("name", "")) if isinstance(inner, dict) else ""


def _numbered_weights(contents: _Contents, layers: Mapping[str, KerasLayer], is_keras_2: bool) -> Dict[str, Tuple[str, _Array]]:
    """Returns {path in the file: (name, array)} of a file in which each layer numbers its weights."""
    said = {group[: -len("/vars")]: _said_name(each) for group, each in contents.attributes.items() if group.endswith("/vars")}
    owned: Dict[str, List[str]] = {}
    for place in contents.arrays:
        group, _, number = place.rpartition("/")
        if group == "vars" or group.endswith("/vars"):
            owned.setdefault(group[: -len("vars")].rstrip("/"), []).append(number)
    found: Dict[str, Tuple[str, _Array]] = {}
    for owner, numbers in owned.items():
        scope = path_in_model(owner, layers, said)
        if scope is not None:
            names = variable_names(owner, sorted(numbers, key=lambda text: (len(text), text)), layers, said, is_keras_2)
            for number, name in names.items():
                place = f"{owner}/vars/{number}".strip("/")
                found[place] = (f"{scope}/{name}".strip("/"), contents.arrays[place])
    return found


def _said_name(attributes: Mapping[str, Any]) -> Optional[str]:
    return _text(attributes["name"]) if "name" in attributes else None


def _checkpoint(path: str, found: Mapping[str, Tuple[str, _Array]]) -> Checkpoint:
    if not found:
        raise CheckpointError(f"{path} has no weights as Keras writes them")
    places: Dict[str, List[str]] = {}
    for place, (name, _) in found.items():
        places.setdefault(name, []).append(place)
    shared = {name: held for name, held in places.items() if len(held) > 1}
    variables = {}
    for place, (name, array) in found.items():
        name = place if name in shared else name
        variables[name] = OldVariable(name, array.shape, array.dtype, place, prefix=path)
    return Checkpoint(path, KERAS_FILE, dict(sorted(variables.items())), {}, shared)
