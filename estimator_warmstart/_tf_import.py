"""Imports TensorFlow, or says in one sentence why the package cannot work with what is there and what to install.

A program gets an `ImportError`. The command line has no one to catch it: it prints the sentence and ends with its exit code
for errors.
"""

from __future__ import annotations

import inspect
import os
import sys
from typing import NoReturn, Optional, Tuple

from estimator_warmstart.printable import printable
from estimator_warmstart.text_output import PROGRAM

__all__ = ["tf", "version"]

_EXIT_CODE = 2  # The exit code.
_WORKS_WITH = "estimator_warmstart works with TensorFlow 1.15 and with every TensorFlow 2"
# What a TensorFlow raises whose own metadata allow releases that it does not work with, and what to install instead.
_PINS = (
    ("Descriptors cannot", "protobuf", "protobuf<3.21"),
    ("deprecated alias", "numpy", "numpy<1.24"),  # np.object, np.bool.
    ("numpy", "numpy", "numpy<2"),
    ("Unable to convert function return value", "numpy", "numpy<2"),
)


def _refuse(found: str, cause: Optional[Exception] = None) -> NoReturn:
    message = f"{_WORKS_WITH}. {found}"
    if _is_command_line():
        print(f"{PROGRAM}: error: {printable(message)}", file=sys.stderr)
        sys.exit(_EXIT_CODE)
    raise ImportError(message) from cause


def _is_command_line() -> bool:
    """Whether the package is imported to run its command line: by its script, or by `python -m`."""
    frame = inspect.currentframe()
    while frame is not None:
        importer = str(frame.f_globals.get("__name__"))
        if not importer.startswith(("importlib", "estimator_warmstart")):
            program = os.path.basename(sys.argv[0]) if sys.argv else ""
            return importer == "runpy" or (importer == "__main__" and os.path.splitext(program)[0] == PROGRAM)
        frame = frame.f_back
    return False


def _why(error: Exception) -> str:
    told = (str(error).splitlines() or [type(error).__name__])[0]
    for sign, package, pin in _PINS:
        if sign in str(error) and not isinstance(error, ModuleNotFoundError):
            return f"TensorFlow cannot be imported with this {package}, and pip install '{pin}' is likely to help: {told}"
    return f"TensorFlow cannot be imported here: {told}"


def version(text: str) -> Tuple[int, int]:
    """The first two numbers of a version."""
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


try:
    import tensorflow as tf
except Exception as error:  # A numpy or protobuf that is too new makes it raise TypeError, AttributeError and others.
    _refuse(_why(error), error)
if not hasattr(tf, "__version__"):
    _refuse(f"What is imported as tensorflow here ({tf}) is not TensorFlow, or what is left of one")
if not (1, 15) <= version(tf.__version__) < (3, 0):
    _refuse(f"Found: TensorFlow {tf.__version__}")
