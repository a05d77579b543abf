"""Opens files, local or on any filesystem of `tf.io.gfile`.

What is no regular file is refused: a pipe would hang whoever reads it, a device may never end.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Union

from estimator_warmstart._tf import tf
from estimator_warmstart.errors import WarmStartError

# What a user gives as a path.
PathArgument = Union[str, bytes, "os.PathLike[str]"]

FILE_ERRORS = (OSError, tf.errors.OpError)
_KINDS = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"), (stat.S_ISSOCK, "a socket"))


def is_local(path: str) -> bool:
    """Whether Python's own functions reach `path`."""
    return "://" not in path


def checked_path(argument: str, value: object, what: str) -> str:
    """`value` as text, with `~` and environment variables expanded.

    Raises:
      WarmStartError: if it is no path; the message names `argument` and says `what` it must be.
    """
    try:
        path = os.fsdecode(os.fspath(value))  # type: ignore[call-overload]
        path.encode("utf-8")  # Bytes that are no UTF-8 are no path to TensorFlow's filesystems.
    except (TypeError, UnicodeEncodeError) as error:
        raise WarmStartError(f"{argument} must be {what}, got {value!r}") from error
    if not path or "\0" in path:
        raise WarmStartError(f"{argument} must be {what}, got {path!r}")
    return os.path.expanduser(os.path.expandvars(path))


def open_file(path: str, mode: str) -> Any:
    """Opens a file of bytes; errors are among `FILE_ERRORS`."""
    if "\0" in path:
        raise OSError("its path has a NUL in it")
    check_regular(path)
    # Python reads a local file several times faster than GFile does.
    return open(path, mode) if is_local(path) else tf.io.gfile.GFile(path, mode)


def check_regular(path: str) -> None:
    """Raises `OSError` if a local `path` is there and is a pipe, a device or a socket."""
    try:
        mode = os.stat(path).st_mode if is_local(path) else 0
    except (OSError, ValueError):  # To open it will tell.
        return
    for is_kind, what in _KINDS:
        if is_kind(mode):
            raise OSError(f"it is {what}, not a file")


def sync(file: Any) -> None:
    """Has what was written into the open `file` on the disk, before it is given its name."""
    file.flush()
    if not isinstance(file, tf.io.gfile.GFile):
        os.fsync(file.fileno())


def sync_directory(folder: str) -> None:
    """The same of the names in a local directory, where the system can."""
    try:
        descriptor = os.open(folder or ".", os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def error_text(error: BaseException) -> str:
    """What `error` says, without what the message around it says already: the path, or TensorFlow's operation."""
    return str(getattr(error, "message", None) or getattr(error, "strerror", None) or error)
