"""Where a new checkpoint goes: checked first, written beside its place, moved there when it is whole.

Enters: the prefix that the user named. Leaves: a directory to write to, and in the end either a whole checkpoint at that
prefix or nothing. This module must not know what is written.
"""
from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import Any, Iterator, List, Sequence

from estimator_warmstart._tf import logger, tf
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import FILE_ERRORS
from estimator_warmstart.locations import checked_path

_DATA = ".data-00000-of-00001"
_INDEX = ".index"
_UNFINISHED = ".converting-"


def checked_destination(destination: Any, sources: Sequence[str], overwrite: bool) -> str:
    """The prefix of the new checkpoint.

    Args:
      destination: what the user named.
      sources: directories that must stay as they are.
      overwrite: whether a checkpoint that is there already may be replaced.

    Raises:
      WarmStartError: if it is no prefix, is below one of `sources`, or may not be replaced.
    """
    path = checked_path("destination", destination, "the prefix of the new checkpoint, such as 'new/model.ckpt'")
    if path.endswith("/") or tf.io.gfile.isdir(path):
        raise WarmStartError(
            f"destination {path!r} is a directory; name the prefix of the files in it: {os.path.join(path, 'model.ckpt')!r}"
        )
    for source in sources:
        if (_absolute(os.path.dirname(path)) + "/").startswith(_absolute(source).rstrip("/") + "/"):
            raise WarmStartError(
                f"destination {path!r} is inside the source's directory {source!r}, which is never written to; name another"
            )
    if tf.io.gfile.exists(path + _INDEX) and not overwrite:
        raise WarmStartError(f"destination {path!r} exists already; name another, or say overwrite=True to replace it")
    return path


@contextmanager
def staged(destination: str) -> Iterator[str]:
    """A context with an empty directory, where `new.index` and its data file are to be written; they are then moved.

    Whatever ends it, the directory is gone afterwards; the next call removes it if the process is killed. The index comes
    to its place last: before, there is nothing that could be taken for a checkpoint.
    """
    folder = f"{destination}{_UNFINISHED}{uuid.uuid4().hex[:8]}"
    missing = _missing(os.path.dirname(destination))
    try:
        _remove_unfinished(destination)
        tf.io.gfile.makedirs(folder)
        yield folder
        _move_into_place(os.path.join(folder, "new"), destination)
    except BaseException as error:  # An interruption from the keyboard too.
        _remove(folder)
        for made in missing:
            _remove(made, only_empty=True)  # Somebody else may have put something there by now.
        if isinstance(error, FILE_ERRORS):
            raise WarmStartError(f"{destination} cannot be written, and nothing of it is left: {error}") from error
        raise
    _remove(folder)


def _move_into_place(new: str, destination: str) -> None:
    if tf.io.gfile.exists(destination + _INDEX):
        _remove_checkpoint(destination)
    tf.io.gfile.rename(new + _DATA, destination + _DATA, overwrite=True)
    try:
        tf.io.gfile.rename(new + _INDEX, destination + _INDEX)
    except BaseException:
        tf.io.gfile.remove(destination + _DATA)
        raise


def _remove_checkpoint(prefix: str) -> None:
    """Removes what a checkpoint's files are, first the index, without which the others are none."""
    folder, base = os.path.split(prefix)
    tf.io.gfile.remove(prefix + _INDEX)
    for name in tf.io.gfile.listdir(folder or "."):
        if name == f"{base}.meta" or name.startswith(f"{base}.data-"):
            tf.io.gfile.remove(os.path.join(folder, name))


def _remove_unfinished(destination: str) -> None:
    folder, base = os.path.split(destination)
    if tf.io.gfile.isdir(folder or "."):
        for name in tf.io.gfile.listdir(folder or "."):
            if name.startswith(base + _UNFINISHED):
                tf.io.gfile.rmtree(os.path.join(folder, name))


def _remove(folder: str, only_empty: bool = False) -> None:
    try:
        if tf.io.gfile.isdir(folder) and not (only_empty and tf.io.gfile.listdir(folder)):
            tf.io.gfile.rmtree(folder)
    except tf.errors.OpError as error:  # What went wrong before is what the user must hear of.
        logger.warning("%s could not be removed: %s", folder, error.message)


def _missing(folder: str) -> List[str]:
    """The directories that must be made to have `folder`, the innermost first."""
    missing = []
    while folder and not tf.io.gfile.exists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
        if folder == missing[-1]:
            break
    return missing


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.realpath(path)
