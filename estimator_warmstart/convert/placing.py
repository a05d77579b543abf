"""Moves a whole new checkpoint to its place, so that whoever is killed in between leaves the old one whole or the new one.

A checkpoint is its index and the data files that the index names, and no file system renames two files at once. So the new
data file gets a name that no other has: the number of data files is part of it, and only those that hold something must be
there. To rename the index over the old one is then the moment at which the new checkpoint is there. Only after it are the old
one's files removed, and the new one gets the usual name, in the same way.
"""

from __future__ import annotations

import importlib
import os
import re
import time
from contextlib import contextmanager
from typing import Iterator, List

from estimator_warmstart._tf import logger, tensor_bundle_pb2, tf
from estimator_warmstart.checkpoint.index_file import index_entries, read_bundle_index
from estimator_warmstart.checkpoint.leveldb_table import index_file
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import FILE_ERRORS, error_text, is_local, open_file, sync, sync_directory

INDEX = ".index"
_MOST_SHARDS = 99_999
_LOCK_SECONDS = 60.0


def data_file(prefix: str, number: int, count: int) -> str:
    """The path of a data file."""
    return f"{prefix}.data-{number:05d}-of-{count:05d}"


def move_into_place(new: str, destination: str, overwrite: bool) -> None:
    """Makes the checkpoint `new`, of one data file, the one at `destination`.

    Raises:
      FileExistsError: if there is one already, and not `overwrite`.
      FILE_ERRORS: where that cannot be written; what was there is there still.
    """
    with _alone_in(os.path.dirname(destination) or "."):
        old_files = _files_of(destination) if overwrite else []
        count = _place_data(new, destination)
        try:
            _place_index(_index_of(new, count), destination, overwrite)
        except BaseException:
            if not _is_named(destination, count):
                _remove(data_file(destination, 0, count))
            raise
        for path in old_files:
            _remove(path)
        if overwrite and count > 1 and is_local(destination) and not _is_there(data_file(destination, 0, 1)):
            _give_usual_name(new, destination, count)


def _give_usual_name(new: str, destination: str, count: int) -> None:
    """Renames the data file of the checkpoint at `destination` as if it had been the first one there."""
    try:
        _link(data_file(destination, 0, count), data_file(destination, 0, 1))
        _place_index(new + INDEX, destination, overwrite=True)
    except FILE_ERRORS as error:
        logger.info("The data file of %s keeps its name: %s", destination, error_text(error))
        return
    _remove(data_file(destination, 0, count))


def _place_data(new: str, destination: str) -> int:
    """Gives the new data file the first free name; returns the number of data files that its name tells."""
    for count in range(1, _MOST_SHARDS + 1):
        path = data_file(destination, 0, count)
        if _is_there(path):
            continue
        try:
            _link(data_file(new, 0, 1), path)
        except FileExistsError:
            continue
        return count
    raise OSError("there are data files of every name")


def _place_index(path: str, destination: str, overwrite: bool) -> None:
    """The moment at which the checkpoint is there."""
    if not is_local(destination):
        tf.io.gfile.rename(path, destination + INDEX, overwrite=overwrite)
        return
    sync_directory(os.path.dirname(destination))  # The data file's name, before the index names it.
    if overwrite:
        os.replace(path, destination + INDEX)
    else:
        _link(path, destination + INDEX)
    sync_directory(os.path.dirname(destination))


def _link(path: str, new_path: str) -> None:
    """Gives a file one more name, or where that cannot be another one, unless there is such a file."""
    if not is_local(new_path):
        tf.io.gfile.rename(path, new_path)
        return
    try:
        os.link(path, new_path)
    except FileExistsError:
        raise
    except OSError:  # A file system without hard links.
        if _is_there(new_path):
            raise FileExistsError(new_path) from None
        os.rename(path, new_path)


def _index_of(new: str, count: int) -> str:
    """The index of `new` that says that there are `count` data files."""
    if count == 1:
        return new + INDEX
    with open_file(new + INDEX, "rb") as file:
        entries = dict(index_entries(file.read()))
    header = tensor_bundle_pb2.BundleHeaderProto.FromString(entries[b""])
    header.num_shards = count
    entries[b""] = header.SerializeToString()
    with open_file(f"{new}-{count}{INDEX}", "wb") as file:
        file.write(index_file(entries))
        sync(file)
    return f"{new}-{count}{INDEX}"


def _files_of(prefix: str) -> List[str]:
    """The files of the checkpoint `prefix`, but for its index; none if there is no such checkpoint."""
    folder, base = os.path.split(prefix)
    if not _is_there(prefix + INDEX):
        return []
    is_of_it = re.compile(re.escape(base) + r"(\.data-\d{5}-of-\d{5}|\.meta)")
    return [os.path.join(folder, name) for name in tf.io.gfile.listdir(folder or ".") if is_of_it.fullmatch(name)]


def _is_named(prefix: str, count: int) -> bool:
    """Whether the index at `prefix` is one of so many data files: no other call has that number."""
    try:
        return _is_there(prefix + INDEX) and read_bundle_index(prefix + INDEX).num_shards == count
    except CheckpointError:
        return False


def _is_there(path: str) -> bool:
    return os.path.lexists(path) if is_local(path) else bool(tf.io.gfile.exists(path))


def _remove(path: str) -> None:
    try:
        tf.io.gfile.remove(path)
    except FILE_ERRORS as error:  # The new checkpoint is there all the same, or another error is on its way.
        logger.warning("%s could not be removed: %s", path, error_text(error))


@contextmanager
def _alone_in(folder: str) -> Iterator[None]:
    """Keeps other calls from moving files in `folder`; the system ends that when the process ends, however it does."""
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
