"""Where an old model's files are, or what is there instead.

Enters: what the user gave as `ckp_dir`. Leaves: the prefix of a checkpoint's files and whether a SavedModel holds them; or
an error that says what is there and what to name or save instead. This module must not know what is in a checkpoint.
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.v1 import v1_prefix
from estimator_warmstart.errors import CheckpointError, did_you_mean, first_few
from estimator_warmstart.files import FILE_ERRORS, check_regular, checked_path, error_text, open_file

_SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
_SAVE_WEIGHTS = (
    'save it as a checkpoint instead: model.save_weights("DIRECTORY/weights", save_format="tf"), or '
    'tf.train.Checkpoint(model=model, optimizer=model.optimizer).save("DIRECTORY/model.ckpt") to keep the optimizer too'
)
# What a file begins with, what it then is, and what to do about it.
_SIGNATURES: Dict[bytes, str] = {
    b"\x89HDF\r\n\x1a\n": f"a Keras HDF5 file (.h5), not a checkpoint; {_SAVE_WEIGHTS}",
    b"PK\x03\x04": f"a Keras file (.keras), not a checkpoint; {_SAVE_WEIGHTS}",
}
# Files that are never a `ckp_dir`, though their names look like one.
_PART_OF_CHECKPOINT = re.compile(r"\.(index|meta|data-\d+-of-\d+)$|^checkpoint$|^events\.|\.pbtxt$")
_KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")


class Location(NamedTuple):
    """Where a checkpoint is.

    Attributes:
      prefix: its files are `PREFIX.index` and `PREFIX.data-*`; of a V1 checkpoint `PREFIX`, a pattern if there are several.
      is_saved_model: whether a SavedModel holds it.
      is_v1: whether it is a V1 checkpoint.
    """

    prefix: str
    is_saved_model: bool = False
    is_v1: bool = False


def find_checkpoint(ckp_dir: Any) -> Location:
    """The checkpoint that `ckp_dir` names: a directory's latest, a SavedModel's variables, or a prefix.

    Raises:
      CheckpointError: where there is none; the message says what is there instead.
    """
    path = checked_path("ckp_dir", ckp_dir, "a directory or a checkpoint prefix")
    try:
        location = _at_prefix(path)
        if tf.io.gfile.isdir(path):
            return _in_directory_or_next_to_it(path, location)
        location = location or _named_by_its_index(path)
        if location is not None:
            return location
        problem = _nothing_at(path)
    except FILE_ERRORS as error:
        raise CheckpointError(f"ckp_dir {path!r} cannot be read: {error_text(error)}") from error
    raise CheckpointError(problem)


def _at_prefix(prefix: str) -> Optional[Location]:
    """The checkpoint whose prefix that is, or `None`."""
    if prefix.endswith("/"):
        return None
    if tf.io.gfile.exists(prefix + ".index"):
        return Location(prefix)
    v1 = v1_prefix(prefix) if not prefix.endswith(".index") else ""  # An index ends as V1 files do.
    return Location(v1, is_v1=True) if v1 else None


def _in_directory_or_next_to_it(directory: str, prefix: Optional[Location]) -> Location:
    """A directory's checkpoint, or the one whose prefix has the directory's name: `model.ckpt.index` next to `model.ckpt/`."""
    if prefix is None:
        return _in_directory(directory)
    try:
        inside = _in_directory(directory)
    except CheckpointError:
        return prefix
    raise CheckpointError(
        f"ckp_dir {directory!r} is a directory with a checkpoint in it, {inside.prefix}, and the prefix of another next to it; "
        f"name {directory}/ for the former, {directory}.index for the latter"
    )


def _named_by_its_index(path: str) -> Optional[Location]:
    """The checkpoint that `PREFIX.index` names where `PREFIX` alone is a directory's name too; else `None`."""
    prefix = path[: -len(".index")] if path.endswith(".index") else ""
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
            return Location(prefix, is_v1=True)  # To read it will tell how it is damaged.
        raise CheckpointError(
            f"{directory}/checkpoint names {prefix!r} as the latest, but {prefix}.index is not there (was the directory "
            f"moved or cleaned up?); name one as ckp_dir: {_prefixes(directory, names) or 'the directory holds none'}"
        )
    if any(name in names for name in _SAVED_MODEL_FILES):
        prefix = os.path.join(directory, "variables", "variables")
        if not tf.io.gfile.exists(prefix + ".index"):
            raise CheckpointError(f"the SavedModel {directory} has no variables ({prefix}.index is not there)")
        return Location(prefix, is_saved_model=True)
    there = _prefixes(directory, names)
    if there:
        raise CheckpointError(
            f"{directory} has no readable file `checkpoint` that names its latest; name one as ckp_dir: {there}"
        )
    raise CheckpointError(_what_else_is_in(directory, names))


def _what_else_is_in(directory: str, names: List[str]) -> str:
    if not names:
        return f"ckp_dir {directory!r} is a directory with nothing in it"
    problem = f"ckp_dir {directory!r} is a directory with no checkpoint in it"
    keras = sorted(name for name in names if name.endswith(_KERAS_SUFFIXES))
    if keras:
        return f"{problem} but a Keras file, {keras[0]}; {_SAVE_WEIGHTS}"
    inside = [
        name
        for name in sorted(names)
        if any(tf.io.gfile.exists(os.path.join(directory, name, file)) for file in _SAVED_MODEL_FILES + ("checkpoint",))
    ]
    return f"{problem}; name one of the directories in it: {first_few(inside)}" if inside else problem


def _prefixes(directory: str, names: List[str], most: int = 5) -> str:
    stems = sorted(
        {
            os.path.splitext(name)[0]
            for name in names
            if name.endswith(".index")
            or (name.endswith(".meta") and _at_prefix(os.path.join(directory, name[: -len(".meta")])))
        }
    )
    return ", ".join(os.path.join(directory, stem) for stem in stems[:most])


def _nothing_at(path: str) -> str:
    """Why there is no checkpoint at `path`, with the nearest thing that is one."""
    for suffix in (".index", ".meta", ".data-"):
        stem = path.rpartition(suffix)[0] if suffix in os.path.basename(path) else ""
        if stem and tf.io.gfile.exists(stem + ".index"):
            return f"ckp_dir {path!r} is one file of a checkpoint; name its prefix: {stem}"
    if path.endswith(".meta") and _at_prefix(path[: -len(".meta")]):
        return f"ckp_dir {path!r} is one file of a checkpoint; name its prefix: {path[: -len('.meta')]}"
    if os.path.basename(path) in _SAVED_MODEL_FILES:
        return f"ckp_dir {path!r} is one file of a SavedModel; name its directory: {os.path.dirname(path) or '.'}"
    if tf.io.gfile.exists(path):
        return f"ckp_dir {path!r} is {_kind_of(path)}"
    parent = os.path.dirname(path) or "."
    if not tf.io.gfile.isdir(parent):
        return f"ckp_dir {path!r} does not exist, nor does {parent!r}"
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(parent)]
    near = [name for name in names if not _PART_OF_CHECKPOINT.search(name)]
    near += [name[: -len(".index")] for name in names if name.endswith(".index")]
    hint = did_you_mean(path, [os.path.join(parent, name) for name in near])
    return f"ckp_dir {path!r} does not exist: neither as a directory nor as {path}.index{hint}"


def _kind_of(path: str) -> str:
    """What the file at `path` is, by what it begins with."""
    with open_file(path, "rb") as file:
        begin = file.read(max(map(len, _SIGNATURES)))
    for signature, what in _SIGNATURES.items():
        if begin.startswith(signature):
            return what
    return "a file, not a checkpoint: a directory or a prefix (PREFIX.index beside it) is needed"
