"""Where a new checkpoint goes: checked first, written next to its place, moved there when it is whole.

Enters: the prefix that the user named. Leaves: a directory to write to, and in the end either a whole checkpoint at that
prefix or nothing; what is removed was made here, in this call. This module must not know what is written.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import contextmanager
from typing import Any, Iterator, List, Sequence

from estimator_warmstart._tf import logger, tf
from estimator_warmstart.convert.placing import INDEX, move_into_place
from estimator_warmstart.errors import DestinationExistsError, WarmStartError
from estimator_warmstart.files import FILE_ERRORS, checked_path, error_text, is_local

_UNFINISHED = ".converting-"
# Another call may remove a directory that it made in the moment before this one makes its own in it.
_ATTEMPTS = 10


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
    if not overwrite:
        refuse_existing(path)
    return path


def refuse_existing(destination: str) -> None:
    """Raises `DestinationExistsError` if there is a checkpoint."""
    if tf.io.gfile.exists(destination + INDEX):
        raise DestinationExistsError(destination)


@contextmanager
def staged(destination: str, overwrite: bool) -> Iterator[str]:
    """A context with an empty directory, where `new.index` and its data file are to be written; they are then moved.

    Whatever ends it, the directory is gone afterwards, unless the process is killed. At no moment is half a checkpoint at
    `destination`: the old one, if there is one, is whole until the new one is.

    Raises:
      WarmStartError: where nothing can be written, or, without `overwrite`, a checkpoint has appeared meanwhile.
    """
    made: List[str] = []
    try:
        _make_directory(f"{destination}{_UNFINISHED}{uuid.uuid4().hex[:8]}", made)
        yield made[-1]
        try:
            move_into_place(os.path.join(made[-1], "new"), destination, overwrite)
        except (FileExistsError, tf.errors.AlreadyExistsError):
            refuse_existing(destination)
            raise
    except BaseException as error:  # An interruption from the keyboard too.
        for directory in reversed(made):
            # Somebody else may have put something into the outer ones by now.
            _remove(directory, only_empty=_UNFINISHED not in os.path.basename(directory))
        if isinstance(error, FILE_ERRORS):
            raise WarmStartError(f"{destination} cannot be written, and nothing of it is left: {error_text(error)}") from error
        raise
    _remove(made[-1])


def _make_directory(directory: str, made: List[str]) -> None:
    """Makes `directory` and what is missing above it; notes in `made` what it made itself, the outermost first."""
    for attempt in range(_ATTEMPTS):
        try:
            for folder in reversed([directory, *_missing(os.path.dirname(directory))]):
                _make(folder, made)
            return
        except (FileNotFoundError, tf.errors.NotFoundError):
            if attempt == _ATTEMPTS - 1:
                raise


def _make(folder: str, made: List[str]) -> None:
    if not is_local(folder):
        tf.io.gfile.makedirs(folder)
        made.append(folder)
        return
    try:
        os.mkdir(folder)
        made.append(folder)
    except FileExistsError:  # Made meanwhile by somebody else, whose it is.
        if not os.path.isdir(folder):
            raise


def _remove(folder: str, only_empty: bool = False) -> None:
    try:
        if is_local(folder):
            # Never what a symbolic link leads to.
            if only_empty:
                os.rmdir(folder)
            else:
                shutil.rmtree(folder)
        elif not (only_empty and tf.io.gfile.listdir(folder)):
            tf.io.gfile.rmtree(folder)
    except FILE_ERRORS as error:  # What went wrong before is what the user must hear of.
        if not only_empty:
            logger.warning("%s could not be removed: %s", folder, error_text(error))


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
