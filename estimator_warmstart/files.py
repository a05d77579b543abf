"""Opens files, local or on any filesystem of `tf.io.gfile`.

Only regular files are opened: reading a pipe would hang, and a device may never end.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import IO, Union

from estimator_warmstart._tf import tf
from estimator_warmstart.errors import WarmStartError

# What a user gives as a path.
PathArgument = Union[str, bytes, "os.PathLike[str]"]

FILE_ERRORS = (OSError, tf.errors.OpError)
_IRREGULAR = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"), (stat.S_ISSOCK, "a socket"))


def is_local(path: str) -> bool:
    """Returns whether `path` is on a local filesystem."""
    return "://" not in path


def checked_path(argument: str, value: object, what: str) -> str:
    """Returns `value` as text, with `~` and environment variables expanded.

    Raises:
      WarmStartError: if it is not a path; the message says that `argument` must be `what`.
    """
    try:
        path = os.fsdecode(os.fspath(value))  # type: ignore[call-overload]
        path.encode("utf-8")  # TensorFlow's filesystems take UTF-8 only.
    except (TypeError, UnicodeEncodeError) as error:
        raise WarmStartError(f"{argument} must be {what}, got {value!r}") from error
    if not path or "\0" in path:
        raise WarmStartError(f"{argument} must be {what}, got {path!r}")
    return os.path.expanduser(os.path.expandvars(path))


def open_file(path: str, mode: str) -> IO[bytes]:
    """Opens a binary file; may raise any of `FILE_ERRORS`."""
    if "\0" in path:
        raise OSError("its path has a NUL in it")
    check_regular(path)
    # Python reads a local file several times faster than GFile does.
    return open(path, mode) if is_local(path) else tf.io.gfile.GFile(path, mode)


def check_regular(path: str) -> None:
    """Raises `OSError` if `path` is a local pipe, device or socket."""
    try:
        mode = os.stat(path).st_mode if is_local(path) else 0
    except (OSError, ValueError):  # Opening the file will report it.
        return
    for is_of_type, what in _IRREGULAR:
        if is_of_type(mode):
            raise OSError(f"it is {what}, not a file")


def write_whole(path: str, data: bytes) -> None:
    """Writes a file, or replaces it, such that it is never there in part; may raise any of `FILE_ERRORS`."""
    part = path + ".part"
    try:
        with open_file(part, "wb") as file:
            file.write(data)
        tf.io.gfile.rename(part, path, overwrite=True)
    except BaseException:
        with contextlib.suppress(*FILE_ERRORS):
            tf.io.gfile.remove(part)
        raise


def sync(file: IO[bytes]) -> None:
    """Writes the contents of the open `file` to the disk, before the file gets its name."""
    file.flush()
    if not isinstance(file, tf.io.gfile.GFile):
        os.fsync(file.fileno())


def sync_directory(folder: str) -> None:
    """Writes the names in a local directory to the disk, if the system can do that."""
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


def replace_file(path: str, new_path: str) -> None:
    """Gives a file another name, in place of the file that may have it; the disk knows it then, if it is a local one."""
    if is_local(new_path):
        os.replace(path, new_path)
        sync_directory(os.path.dirname(new_path))
    else:
        tf.io.gfile.rename(path, new_path, overwrite=True)


def error_text(error: BaseException) -> str:
    """Returns the message of `error` without the path or TensorFlow's operation, for use in a message that has these."""
    return str(getattr(error, "message", None) or getattr(error, "strerror", None) or error)
