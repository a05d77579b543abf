"""Finds the files of an old model at `ckp_dir`, or says what is there instead and what to give."""

from __future__ import annotations

import os
import re
from typing import Dict, List, NamedTuple, Optional

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.arrays import array_format
from estimator_warmstart.checkpoint.index_file import INDEX_SUFFIX
from estimator_warmstart.checkpoint.v1 import v1_prefix
from estimator_warmstart.errors import CheckpointError, did_you_mean, first_few
from estimator_warmstart.files import FILE_ERRORS, PathArgument, check_regular, checked_path, error_text, open_file

_SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
_SAVE_WEIGHTS = (
    'save it as a checkpoint instead: model.save_weights("DIRECTORY/weights", save_format="tf"), or '
    'tf.train.Checkpoint(model=model, optimizer=model.optimizer).save("DIRECTORY/model.ckpt") to keep the optimizer too'
)
# {what a file begins with: what it is, and what to do about it}.
_SIGNATURES: Dict[bytes, str] = {
    b"\x89HDF\r\n\x1a\n": f"a Keras HDF5 file (.h5), not a checkpoint; {_SAVE_WEIGHTS}",
    b"PK\x03\x04": f"a Keras file (.keras), not a checkpoint; {_SAVE_WEIGHTS}",
}
# Names that are never offered as a close spelling of `ckp_dir`.
_PART_OF_CHECKPOINT = re.compile(r"\.(index|meta|data-\d+-of-\d+)$|^checkpoint$|^events\.|\.pbtxt$")
_KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")


class Location(NamedTuple):
    """Where a checkpoint is.

    Attributes:
      prefix: its files are `PREFIX.index` and `PREFIX.data-*`; for a V1 checkpoint see `v1_prefix`; else the file itself.
      is_saved_model: whether it is part of a SavedModel.
      is_v1: whether it is a V1 checkpoint.
      array_format: `"npz"` or `"safetensors"` for a file of arrays; else empty.
    """

    prefix: str
    is_saved_model: bool = False
    is_v1: bool = False
    array_format: str = ""


def find_checkpoint(ckp_dir: PathArgument) -> Location:
    """Finds the checkpoint at `ckp_dir`: a directory's latest, the variables of a SavedModel, a prefix, or a file of arrays.

    Raises:
      CheckpointError: if there is none; the message says what is there instead.
    """
    path = checked_path("ckp_dir", ckp_dir, "a directory, a checkpoint prefix or an .npz or .safetensors file")
    try:
        location = _at_prefix(path)
        if tf.io.gfile.isdir(path):
            return _in_or_next_to(path, location)
        location = location or _named_by_its_index(path)
        if location is not None:
            return location
        problem = _explain_nothing_at(path)
    except FILE_ERRORS as error:
        raise CheckpointError(f"ckp_dir {path!r} cannot be read: {error_text(error)}") from error
    raise CheckpointError(problem)


def last_checkpoints(directory: PathArgument, count: int) -> List[str]:
    """Returns the prefixes of the last `count` checkpoints that the file `checkpoint` of a run lists, the latest last.

    Raises:
      CheckpointError: if there are not so many, or one is not there any more.
    """
    path = checked_path("directory", directory, "the directory of a run")
    try:
        check_regular(os.path.join(path, "checkpoint"))
        state = tf.train.get_checkpoint_state(path)
    except FILE_ERRORS + (ValueError,) as error:
        raise CheckpointError(f"{path}/checkpoint cannot be read: {error_text(error)}") from error
    if state is None:
        raise CheckpointError(f"{path} has no file `checkpoint`, which lists the checkpoints of a run; name each of them")
    known = list(state.all_model_checkpoint_paths)
    if count > len(known):
        raise CheckpointError(f"{path}/checkpoint lists {len(known)} checkpoints, not {count}: {first_few(known)}")
    gone = [prefix for prefix in known[-count:] if _at_prefix(prefix) is None]
    if gone:
        raise CheckpointError(f"{path}/checkpoint lists {first_few(gone)}, and it is not there (was the directory moved?)")
    return known[-count:]


def _at_prefix(prefix: str) -> Optional[Location]:
    """Returns the checkpoint that has this prefix, or `None`."""
    if prefix.endswith("/"):
        return None
    if tf.io.gfile.exists(prefix + INDEX_SUFFIX):
        return Location(prefix)
    v1 = v1_prefix(prefix) if not prefix.endswith(INDEX_SUFFIX) else ""  # An index ends as V1 files do.
    if not v1 and array_format(prefix) and tf.io.gfile.exists(prefix) and not tf.io.gfile.isdir(prefix):
        return Location(prefix, array_format=array_format(prefix))
    return Location(v1, is_v1=True) if v1 else None


def _in_or_next_to(directory: str, next_to: Optional[Location]) -> Location:
    """Returns the checkpoint in a directory, or the one next to it: `model.ckpt.index` is next to `model.ckpt/`."""
    if next_to is None:
        return _in_directory(directory)
    try:
        inside = _in_directory(directory)
    except CheckpointError:
        return next_to
    raise CheckpointError(
        f"ckp_dir {directory!r} is a directory with a checkpoint in it, {inside.prefix}, and the prefix of another next to it; "
        f"name {directory}/ for the former, {directory}.index for the latter"
    )


def _named_by_its_index(path: str) -> Optional[Location]:
    """Returns the checkpoint that `PREFIX.index` names, if `PREFIX` alone is the name of a directory too; otherwise `None`."""
    prefix = path[: -len(INDEX_SUFFIX)] if path.endswith(INDEX_SUFFIX) else ""
    return Location(prefix) if prefix and tf.io.gfile.exists(path) and tf.io.gfile.isdir(prefix) else None


def _in_directory(directory: str) -> Location:
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(directory)]
    check_regular(os.path.join(directory, "checkpoint"))
    try:
        state = tf.train.get_checkpoint_state(directory)
    except ValueError:  # Empty, or not text.
        state = None
    if state is not None and state.model_checkpoint_path:
        prefix = state.model_checkpoint_path
        named = _at_prefix(prefix)
        if named is not None:
            return named
        if tf.io.gfile.exists(prefix) and not tf.io.gfile.isdir(prefix):
            return Location(prefix, is_v1=True)  # Reading it says how it is damaged.
        raise CheckpointError(
            f"{directory}/checkpoint names {prefix!r} as the latest, but {prefix}.index is not there (was the directory "
            f"moved or cleaned up?); name one as ckp_dir: {_first_prefixes(directory, names) or 'the directory holds none'}"
        )
    if any(name in names for name in _SAVED_MODEL_FILES):
        prefix = os.path.join(directory, "variables", "variables")
        if not tf.io.gfile.exists(prefix + INDEX_SUFFIX):
            raise CheckpointError(f"the SavedModel {directory} has no variables ({prefix}.index is not there)")
        return Location(prefix, is_saved_model=True)
    there = _first_prefixes(directory, names)
    if there:
        raise CheckpointError(
            f"{directory} has no readable file `checkpoint` that names its latest; name one as ckp_dir: {there}"
        )
    raise CheckpointError(_explain_nothing_in(directory, names))


def _explain_nothing_in(directory: str, names: List[str]) -> str:
    if not names:
        return f"ckp_dir {directory!r} is a directory with nothing in it"
    problem = f"ckp_dir {directory!r} is a directory with no checkpoint in it"
    keras = sorted(name for name in names if name.endswith(_KERAS_SUFFIXES))
    if keras:
        return f"{problem} but a Keras file, {keras[0]}; {_SAVE_WEIGHTS}"
    arrays = sorted(name for name in names if array_format(name))
    if arrays:
        paths = [os.path.join(directory, name) for name in arrays]
        return f"{problem} but a file of arrays; name it as ckp_dir: {first_few(paths)}"
    inside = [
        name
        for name in sorted(names)
        if any(tf.io.gfile.exists(os.path.join(directory, name, file)) for file in _SAVED_MODEL_FILES + ("checkpoint",))
    ]
    return f"{problem}; name one of the directories in it: {first_few(inside)}" if inside else problem


def _first_prefixes(directory: str, names: List[str], most: int = 5) -> str:
    stems = sorted(
        {
            os.path.splitext(name)[0]
            for name in names
            if name.endswith(INDEX_SUFFIX)
            or (name.endswith(".meta") and _at_prefix(os.path.join(directory, name[: -len(".meta")])))
        }
    )
    return ", ".join(os.path.join(directory, stem) for stem in stems[:most])


def _explain_nothing_at(path: str) -> str:
    """Returns a message that there is no checkpoint at `path`; it names the nearest one."""
    for suffix in (INDEX_SUFFIX, ".meta", ".data-"):
        stem = path.rpartition(suffix)[0] if suffix in os.path.basename(path) else ""
        if stem and tf.io.gfile.exists(stem + INDEX_SUFFIX):
            return f"ckp_dir {path!r} is one file of a checkpoint; name its prefix: {stem}"
    if path.endswith(".meta") and _at_prefix(path[: -len(".meta")]):
        return f"ckp_dir {path!r} is one file of a checkpoint; name its prefix: {path[: -len('.meta')]}"
    if os.path.basename(path) in _SAVED_MODEL_FILES:
        return f"ckp_dir {path!r} is one file of a SavedModel; name its directory: {os.path.dirname(path) or '.'}"
    if tf.io.gfile.exists(path):
        return f"ckp_dir {path!r} is {_describe_file(path)}"
    parent = os.path.dirname(path) or "."
    if not tf.io.gfile.isdir(parent):
        return f"ckp_dir {path!r} does not exist, nor does {parent!r}"
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(parent)]
    near = [name for name in names if not _PART_OF_CHECKPOINT.search(name)]
    near += [name[: -len(INDEX_SUFFIX)] for name in names if name.endswith(INDEX_SUFFIX)]
    hint = did_you_mean(path, [os.path.join(os.path.dirname(path), name) for name in near])
    return f"ckp_dir {path!r} does not exist: neither as a directory nor as {path}.index{hint}"


def _describe_file(path: str) -> str:
    """Returns what the file at `path` is, by its first bytes."""
    with open_file(path, "rb") as file:
        begin = file.read(max(map(len, _SIGNATURES)))
    for signature, what in _SIGNATURES.items():
        if begin.startswith(signature):
            is_other_zip = signature == b"PK\x03\x04" and not path.endswith(".keras")
            return "a zip archive that is not named .npz" if is_other_zip else what
    return "a file, not a checkpoint; give a directory or a prefix, for which there is a file PREFIX.index"
