"""What a command of the command line is, and what several commands share: exit codes, options, types of arguments."""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from typing import Callable, NamedTuple, NoReturn, Tuple

from estimator_warmstart.printable import printable
from estimator_warmstart.text_output import PROGRAM

SUCCEEDED, DIFFERS = 0, 1

OLD_MODEL = (
    "a directory with a `checkpoint` file (its latest checkpoint is used), a checkpoint's prefix, or a SavedModel's directory"
)


class Parser(argparse.ArgumentParser):
    """Escapes control characters in messages, which quote the arguments."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with the usage and a message on stderr."""
        super().error(printable(message))


class Command(NamedTuple):
    """One command.

    Attributes:
      name: what the user types.
      says: what it does, without a full stop.
      add_arguments: adds its arguments to a parser of its own.
      run: passes the arguments on, prints the result, returns the exit code.
      examples: command lines for `--help`, without the program's name.
    """

    name: str
    says: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Namespace], int]
    examples: Tuple[str, str]


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds the option that `list`, `diff` and `plan` share."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def complain(problem: str) -> int:
    """Says on stderr why the exit code is not 0, after what is on stdout, and returns that code."""
    sys.stdout.flush()
    print(f"{PROGRAM}: {problem}", file=sys.stderr)
    return DIFFERS


def rename_pair(text: str) -> Tuple[str, str]:
    """Returns the two halves of `OLD=NEW`."""
    old, equals, new = text.rpartition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be OLD=NEW, got {text!r}")
    return old, new
