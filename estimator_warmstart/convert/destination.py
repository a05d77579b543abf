"""Where a new checkpoint goes: checked first, written next to its place, moved there when it is whole."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import contextmanager
from typing import Iterator, List

from estimator_warmstart._tf import logger, tf, tf1
from estimator_warmstart.checkpoint.arrays import ARRAY_FORMATS, array_format
from estimator_warmstart.checkpoint.checkpoint import Checkpoint
from estimator_warmstart.checkpoint.index_file import INDEX_SUFFIX
from estimator_warmstart.convert.placing import move_file_into_place, move_into_place
from estimator_warmstart.errors import DestinationExistsError, WarmStartError
from estimator_warmstart.files import (
    FILE_ERRORS,
    PathArgument,
    checked_path,
    error_text,
    is_local,
    open_file,
    replace_file,
    sync,
)

_UNFINISHED = ".converting-"
# Another call may remove a directory that it made in the moment before this one makes its own in it.
_ATTEMPTS = 10


def checked_destination(destination: PathArgument, source: str, overwrite: bool) -> str:
    """Returns the prefix of the new checkpoint.

    Args:
      destination: what the user named.
      source: the directory of the old checkpoint, or the old file of arrays, which must stay as it is.
      overwrite: whether a checkpoint that is there already may be replaced.

    Raises:
      WarmStartError: if it is not a prefix, is below `source`, or may not be replaced.
    """
    path = checked_path("destination", destination, "the prefix of the new checkpoint, such as 'new/model.ckpt'")
    if path.endswith("/") or tf.io.gfile.isdir(path):
        raise WarmStartError(
            f"destination {path!r} is a directory; name the prefix of the files in it: {os.path.join(path, 'model.ckpt')!r}"
        )
    _refuse_source(path, source)
    if not overwrite:
        refuse_existing(path)
    return path


def checked_file(destination: PathArgument, source: str, file_format: str, overwrite: bool) -> str:
    """Returns the path of the new file of arrays; the arguments and errors are those of `checked_destination`.

    Args:
      destination: what the user named.
      source: as there.
      file_format: `"npz"` or `"safetensors"`, in which its name must end: by it the file is recognized.
      overwrite: as there.
    """
    path = checked_path("destination", destination, f"the path of the new file, such as 'new/model.{file_format}'")
    if array_format(path) != file_format:
        raise WarmStartError(f"destination {path!r} must end in .{file_format}")
    if tf.io.gfile.isdir(path) or tf.io.gfile.exists(path + INDEX_SUFFIX):
        raise WarmStartError(f"destination {path!r} is a directory or the prefix of a checkpoint; name another")
    _refuse_source(path, source)
    if not overwrite:
        refuse_existing(path, "")
    return path


def _refuse_source(path: str, source: str) -> None:
    if (_absolute_path(os.path.dirname(path)) + "/").startswith(_absolute_path(source).rstrip("/") + "/"):
        raise WarmStartError(
            f"destination {path!r} is inside the source's directory {source!r}, which is never written to; name another"
        )
    if _absolute_path(path) == _absolute_path(source):
        raise WarmStartError(f"destination {path!r} is the source, which is never written to; name another")


def source_directory(old: Checkpoint) -> str:
    """Returns the directory of a source: a SavedModel has its variables in one of their own. A file of arrays is alone."""
    directory = old.prefix if old.format in ARRAY_FORMATS else os.path.dirname(old.prefix)
    return os.path.dirname(directory) if old.is_saved_model else directory


def refuse_existing(destination: str, suffix: str = INDEX_SUFFIX) -> None:
    """Raises `DestinationExistsError` if there is a checkpoint at `destination`, or, without a `suffix`, that file."""
    if tf.io.gfile.exists(destination + suffix):
        raise DestinationExistsError(destination)


@contextmanager
def staged(destination: str, overwrite: bool, is_file: bool = False) -> Iterator[str]:
    """A context with an empty directory, where `new.index` and its data file are to be written. At its end they are moved.

    However it ends, the directory is removed, unless the process is killed. There is never half a checkpoint at `destination`:
    an old one is whole until the new one is there.

    Args:
      destination: the prefix of the new checkpoint, or the path of the new file.
      overwrite: whether one that is there may be replaced.
      is_file: whether one file, `new`, is to be written.

    Raises:
      WarmStartError: if nothing can be written, or if, without `overwrite`, a checkpoint has appeared meanwhile.
    """
    made: List[str] = []
    try:
        _make_directory(f"{destination}{_UNFINISHED}{uuid.uuid4().hex[:8]}", made)
        yield made[-1]
        try:
            move = move_file_into_place if is_file else move_into_place
            move(os.path.join(made[-1], "new"), destination, overwrite)
        except (FileExistsError, tf.errors.AlreadyExistsError):
            refuse_existing(destination, "" if is_file else INDEX_SUFFIX)
            raise
    except BaseException as error:  # An interruption from the keyboard too.
        for directory in reversed(made):
            # Others may have put something into the outer ones meanwhile.
            _remove_directory(directory, only_empty=_UNFINISHED not in os.path.basename(directory))
        if isinstance(error, FILE_ERRORS):
            raise WarmStartError(f"{destination} cannot be written, and nothing of it is left: {error_text(error)}") from error
        raise
    _remove_directory(made[-1])


def _make_directory(directory: str, made: List[str]) -> None:
    """Makes `directory` and those above it that are missing; adds to `made` each that it made, the outermost first."""
    for attempt in range(_ATTEMPTS):
        try:
            for folder in reversed([directory, *_missing_directories(os.path.dirname(directory))]):
                _make_one_directory(folder, made)
            return
        except (FileNotFoundError, tf.errors.NotFoundError):
            if attempt == _ATTEMPTS - 1:
                raise


def _make_one_directory(folder: str, made: List[str]) -> None:
    if not is_local(folder):
        tf.io.gfile.makedirs(folder)
        made.append(folder)
        return
    try:
        os.mkdir(folder)
        made.append(folder)
    except FileExistsError:  # Another process has made it meanwhile.
        if not os.path.isdir(folder):
            raise


def _remove_directory(folder: str, only_empty: bool = False) -> None:
    try:
        if is_local(folder):
            # shutil.rmtree does not follow symbolic links.
            if only_empty:
                os.rmdir(folder)
            else:
                shutil.rmtree(folder)
        elif not (only_empty and tf.io.gfile.listdir(folder)):
            tf.io.gfile.rmtree(folder)
    except FILE_ERRORS as error:  # The user must hear of the error before this one.
        if not only_empty:
            logger.warning("%s could not be removed: %s", folder, error_text(error))


def _missing_directories(folder: str) -> List[str]:
    """Returns the directories that must be made to have `folder`, the innermost first."""
    missing = []
    while folder and not tf.io.gfile.exists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
        if folder == missing[-1]:
            break
    return missing


def _absolute_path(path: str) -> str:
    return path if "://" in path else os.path.realpath(path)


def write_state(destination: str) -> None:
    """Makes the checkpoint at `destination` the latest one of its directory, for which an Estimator looks.

    Raises:
      WarmStartError: if the file `checkpoint` cannot be written; the one that was there stays.
    """
    folder, name = os.path.split(destination)
    path = os.path.join(folder, "checkpoint")
    # tf.compat.v1.train.update_checkpoint_state would not wait for the disk.
    state = str(tf1.train.generate_checkpoint_state_proto(".", name))
    try:
        with open_file(path + ".part", "wb") as file:
            file.write(state.encode("utf-8"))
            sync(file)
        replace_file(path + ".part", path)
    except FILE_ERRORS as error:
        raise WarmStartError(
            f"{destination} is written, but not {path}, so that training would not resume from it: {error_text(error)}"
        ) from error
