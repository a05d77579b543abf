"""Moves a new checkpoint to its place, so that a process that is killed meanwhile leaves the old one whole or the new one.

A checkpoint is its index and the data files that the index names, and no file system renames two files at once. So the new
data file gets a name that no other file has: the number of data files is part of the name, and only those that hold something
must exist. The new checkpoint is there from the moment at which its index replaces the old one. Only after that are the old
one's files removed, and the new data file is given the usual name, in the same way.
"""

from __future__ import annotations

import importlib
import os
import re
import time
from contextlib import contextmanager
from typing import Iterator, List

from estimator_warmstart._tf import logger, tf
from estimator_warmstart.checkpoint.data_files import data_file
from estimator_warmstart.checkpoint.index_checks import MOST_DATA_FILES
from estimator_warmstart.checkpoint.index_file import INDEX_SUFFIX, read_index, write_index
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, error_text, is_local, replace_file, sync_directory

_LOCK_SECONDS = 60.0


def move_into_place(new: str, destination: str, overwrite: bool) -> None:
    """Moves the checkpoint `new`, which has one data file, to `destination`.

    Raises:
      FileExistsError: if there is a checkpoint already, and `overwrite` is false.
      FILE_ERRORS: if `destination` cannot be written; what was there is still there.
    """
    with _alone_in(os.path.dirname(destination) or "."):
        old_files = _old_files(destination) if overwrite else []
        count = _place_data(new, destination)
        try:
            _place_index(_with_data_files(new, count) + INDEX_SUFFIX, destination, overwrite)
        except BaseException:
            if not _has_data_files(destination, count):
                _remove_file(data_file(destination, 0, count))
            raise
        for path in old_files:
            _remove_file(path)
        if overwrite and count > 1 and is_local(destination) and not _exists(data_file(destination, 0, 1)):
            _give_usual_name(new, destination, count)


def move_file_into_place(new: str, destination: str, overwrite: bool) -> None:
    """Moves the one file `new` to `destination`; raises as `move_into_place` does."""
    with _alone_in(os.path.dirname(destination) or "."):
        _place_file(new, destination, overwrite)


def _give_usual_name(new: str, destination: str, count: int) -> None:
    """Gives the data file of the checkpoint at `destination` the name that it has where no checkpoint was before."""
    try:
        _give_name(data_file(destination, 0, count), data_file(destination, 0, 1))
        _place_index(new + INDEX_SUFFIX, destination, overwrite=True)
    except FILE_ERRORS as error:
        logger.info("The data file of %s keeps its name: %s", destination, error_text(error))
        return
    _remove_file(data_file(destination, 0, count))


def _place_data(new: str, destination: str) -> int:
    """Gives the new data file the first free name; returns the number of data files in that name."""
    for count in range(1, MOST_DATA_FILES + 1):
        path = data_file(destination, 0, count)
        if _exists(path):
            continue
        try:
            _give_name(data_file(new, 0, 1), path)
        except FileExistsError:
            continue
        return count
    raise OSError("there is a data file of every possible name")


def _place_index(path: str, destination: str, overwrite: bool) -> None:
    """Gives the index at `path` its name: from then on the checkpoint is there."""
    if is_local(destination):
        sync_directory(os.path.dirname(destination))  # The data file's name, before the index names it.
    _place_file(path, destination + INDEX_SUFFIX, overwrite)


def _place_file(path: str, new_path: str, overwrite: bool) -> None:
    if overwrite:
        replace_file(path, new_path)
        return
    _give_name(path, new_path)
    if is_local(new_path):
        sync_directory(os.path.dirname(new_path))


def _give_name(path: str, new_path: str) -> None:
    """Links a file to a new name, or renames it where it cannot be linked.

    Raises:
      FileExistsError: if there is a file of that name.
    """
    if not is_local(new_path):
        tf.io.gfile.rename(path, new_path)
        return
    try:
        os.link(path, new_path)
    except FileExistsError:
        raise
    except OSError:  # A file system without hard links.
        if _exists(new_path):
            raise FileExistsError(new_path) from None
        os.rename(path, new_path)


def _with_data_files(new: str, count: int) -> str:
    """Returns the prefix of an index like that of `new` which says that there are `count` data files."""
    if count == 1:
        return new
    index = read_index(new)
    index.header.num_shards = count
    write_index(f"{new}-{count}", index)
    return f"{new}-{count}"


def _old_files(prefix: str) -> List[str]:
    """Returns the files of the checkpoint `prefix` without its index; none if there is no such checkpoint."""
    folder, base = os.path.split(prefix)
    if not _exists(prefix + INDEX_SUFFIX):
        return []
    is_of_it = re.compile(re.escape(base) + r"(\.data-\d{5}-of-\d{5}|\.meta)")
    return [os.path.join(folder, name) for name in tf.io.gfile.listdir(folder or ".") if is_of_it.fullmatch(name)]


def _has_data_files(prefix: str, count: int) -> bool:
    """Returns whether the index at `prefix` has `count` data files: no other call has used that number."""
    try:
        return _exists(prefix + INDEX_SUFFIX) and read_index(prefix).header.num_shards == count
    except CheckpointError:
        return False


def _exists(path: str) -> bool:
    return os.path.lexists(path) if is_local(path) else bool(tf.io.gfile.exists(path))


def _remove_file(path: str) -> None:
    try:
        tf.io.gfile.remove(path)
    except FILE_ERRORS as error:  # The new checkpoint is there all the same, or another error is being raised.
        logger.warning("%s could not be removed: %s", path, error_text(error))


@contextmanager
def _alone_in(folder: str) -> Iterator[None]:
    """Locks `folder` against other calls that move files in it; the system unlocks it when the process ends."""
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError:  # Not on Windows.
        fcntl = None
    if fcntl is None or not is_local(folder):
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
            except OSError:  # A file system without locks.
                break
        yield
    finally:
        os.close(descriptor)
