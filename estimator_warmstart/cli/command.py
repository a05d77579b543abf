"""What a command of the command line is, and what several commands share: exit codes, options, types of arguments."""

from __future__ import annotations

import argparse
import re
import sys
from argparse import Namespace
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, NamedTuple, NoReturn, Optional, Sequence, Tuple, Union

from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.printable import printable
from estimator_warmstart.text_output import PROGRAM

SUCCEEDED, DIFFERS = 0, 1

OLD_MODEL = (
    "a directory with a `checkpoint` file (its latest checkpoint is used), a checkpoint's prefix, a SavedModel's directory, or "
    "an .npz or .safetensors file"
)


class Parser(argparse.ArgumentParser):
    """Escapes control characters in messages, which quote the arguments, and says which arguments there are."""

    @property
    def arguments(self) -> Sequence[argparse.Action]:
        """All arguments, in the order of `--help`'s usage."""
        return tuple(self._actions)

    @property
    def commands(self) -> Mapping[str, Parser]:
        """`{name: parser}` of the commands; none for the parser of a command."""
        choices = (argument.choices for argument in self._actions)
        return next((found for found in choices if isinstance(found, Mapping)), {})

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


@dataclass(frozen=True)
class Kinds:
    """The type of an option that chooses some of several words, with commas between them.

    Attributes:
      words: those that there are.
    """

    words: Tuple[str, ...]

    def __call__(self, text: str) -> List[str]:
        """Returns the words in `text`.

        Raises:
          argparse.ArgumentTypeError: if there is no such word.
        """
        given = [kind.strip() for kind in text.split(",")]
        for kind in given:
            if kind not in self.words:
                hint = did_you_mean(kind, self.words)
                raise argparse.ArgumentTypeError(f"{kind!r} is not one of {', '.join(self.words)}{hint}")
        return given


def a_path(text: str) -> str:
    """The type of an argument that names a file or a directory: the shell completes these."""
    return text


class View(NamedTuple):
    """What of a table is shown, and how.

    Attributes:
      only: the kinds of rows; empty: those that are shown by themselves.
      pattern: patterns of names; `None`: all.
      sort: the order; `None`: that of the table.
      depth: of the scopes of which only totals are shown, or `None`.
      all: whether nothing is folded, and nothing left out for want of room.
    """

    only: Tuple[str, ...] = ()
    pattern: Optional[Tuple[str, ...]] = None
    sort: Optional[str] = None
    depth: Optional[int] = None
    all: bool = False


def add_view(parser: argparse.ArgumentParser, orders: Sequence[str], kinds: Sequence[str] = ()) -> None:
    """Adds the options of what a table shows, and `--json`.

    Args:
      parser: of the command; it has a `--pattern` of its own.
      orders: what the rows can be sorted by.
      kinds: what `--only` can choose; empty: there is no `--only`.
    """
    parser.add_argument("--json", action="store_true", help="print JSON, of everything")
    if kinds:
        parser.add_argument(
            "--only",
            action="append",
            type=Kinds(tuple(kinds)),
            metavar="KIND",
            help=f"show only these rows: {', '.join(kinds)}; several with commas, or by giving it several times",
        )
    parser.add_argument("--sort", choices=orders, help="the order of the rows, the most first")
    parser.add_argument("--depth", type=_depth, metavar="N", help="show the totals of scopes, so many levels of them")
    parser.add_argument("--all", action="store_true", help="show each variable, however many lines that are")


def add_pattern(parser: argparse.ArgumentParser, what_is_done: str) -> None:
    """Adds `--pattern`."""
    parser.add_argument(
        "--pattern",
        action="append",
        help=f"{what_is_done} only variables and scopes whose whole name this regular expression matches; may be given several "
        "times",
    )


def view_of(arguments: Namespace, *others: str) -> View:
    """Returns the view that the options ask for.

    Args:
      arguments: of the command.
      *others: the other options that say what a table shows.

    Raises:
      WarmStartError: if JSON is asked for too, which has everything.
    """
    only = tuple(dict.fromkeys(kind for kinds in getattr(arguments, "only", None) or () for kind in kinds))
    pattern = None if arguments.pattern is None else tuple(arguments.pattern)
    view = View(only, pattern, arguments.sort, arguments.depth, arguments.all)
    given = [f"--{name}" for name in (*others, "only", "sort", "depth", "all") if getattr(view, name) not in ((), None, False)]
    if arguments.json and given:
        raise WarmStartError(f"--json prints everything, in the order of the model; leave out {', '.join(given)}")
    return view


def _depth(text: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"must be a number of scopes, 1 or more, got {text!r}")
    return int(text)


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


def add_partitions(parser: argparse.ArgumentParser) -> None:
    """Adds the option that `convert` and `write` share."""
    parser.add_argument(
        "--partitions",
        action="append",
        type=_partition,
        metavar="PATTERN=PARTS",
        help="store variables of these names in so many parts, and their slots too; may be given several times; or only a "
        "number of parts, for every variable above 64 MB",
    )


def partitions_of(given: Optional[Sequence[Tuple[str, int]]]) -> Union[int, Dict[str, int], None]:
    """Returns what `--partitions` says, as the functions take it."""
    if given and ("", given[0][1]) == given[0] and len(given) == 1:
        return given[0][1]
    return dict(given) if given else None


def _partition(text: str) -> Tuple[str, int]:
    pattern, _, count = text.rpartition("=")
    if not count.isdecimal() or int(count) < 1:
        raise argparse.ArgumentTypeError(f"must be PATTERN=PARTS or PARTS, a number of 1 or more, got {text!r}")
    return pattern, int(count)
