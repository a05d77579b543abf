"""The command line `estimator-warmstart`: parses arguments, runs a command, turns errors into messages and exit codes.

Source: the exit codes are those of diff(1), and 128 plus the number of a signal.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import warnings
from typing import Iterator, NoReturn, Optional, Sequence, Tuple

from estimator_warmstart._tf import logger, tf
from estimator_warmstart.cli.commands import COMMANDS
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.printable import printable, printable_lines
from estimator_warmstart.text_output import PROGRAM
from estimator_warmstart.version import VERSION

_FAILED, _INTERRUPTED, _PIPE_CLOSED = 2, 130, 141

_OLD_MODEL = (
    "a directory with a `checkpoint` file (its latest checkpoint is used), a checkpoint's prefix, or a SavedModel's directory"
)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs one command.

    Args:
      arguments: without the program's name; `None`: those of this process.

    Returns:
      The exit code: 0 for success; 1 if `diff` finds differences, `plan` finds too little coverage or nothing to recover, or
      `list` finds that data files are missing; 2 for an error.

    Raises:
      SystemExit: for `--help`, `--version` and invalid arguments.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # For names that the terminal cannot show.
    try:
        try:
            return _run_command(argument_parser().parse_args(arguments))
        finally:
            sys.stdout.flush()  # A closed pipe raises here; later, it would be a traceback.
    except BrokenPipeError:
        _forget_output()
        return _PIPE_CLOSED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (WarmStartError, OSError) as error:
        _forget_output()  # The disk may be full.
        print(f"{PROGRAM}: error: {printable_lines(str(error))}", file=sys.stderr)
        return _FAILED


def _run_command(arguments: argparse.Namespace) -> int:
    with _quiet_tensorflow():
        try:
            return COMMANDS[arguments.command](arguments)
        except tf.errors.OpError as error:
            raise WarmStartError(error.message) from error


@contextlib.contextmanager
def _quiet_tensorflow() -> Iterator[None]:
    """Silences TensorFlow's own log messages; warnings of this package are shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loggers = {tf.get_logger(): logging.ERROR, logger: logging.WARNING}
        levels = {each: each.level for each in loggers}
        for each, level in loggers.items():
            each.setLevel(level)
        try:
            yield
        finally:
            for each, level in levels.items():
                each.setLevel(level)


def _forget_output() -> None:
    """Drops output that cannot be written: the interpreter would try again when it exits, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _coverage(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number from 0 to 1 (0.9 for 90 %), got {text!r}")


class _PrintableErrors(argparse.ArgumentParser):
    """Escapes control characters in messages, which quote the arguments."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _rename_pair(text: str) -> Tuple[str, str]:
    old, equals, new = text.rpartition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be OLD=NEW, got {text!r}")
    return old, new


def argument_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands and their options."""
    parser = _PrintableErrors(
        prog=PROGRAM,
        description="Shows what is in old checkpoints, and what a warm start from them would do.",
        epilog="Exit codes: 0; 1 if diff finds differences, plan too little coverage or nothing to recover, or list that data "
        "files are missing; 2 after an error.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    commands.required = True
    json_option = _PrintableErrors(add_help=False)
    json_option.add_argument("--json", action="store_true", help="print JSON")

    def add(name: str, says: str, *parents: _PrintableErrors) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=says, description=f"{says[0].upper()}{says[1:]}.", parents=parents)

    listing = add("list", "list what a checkpoint holds", json_option)
    listing.add_argument("checkpoint", metavar="CKPT", help=_OLD_MODEL)
    listing.add_argument(
        "--pattern",
        action="append",
        help="list only variables and scopes whose whole name this regular expression matches; may be given several times",
    )
    listing.add_argument(
        "--stats", action="store_true", help="read all values: show min, max, mean, norm and the number of NaN"
    )

    _add_diff_arguments(
        add("diff", "compare two checkpoints: what differs for a warm start of the new model from the old one", json_option)
    )

    _add_plan_arguments(add("plan", "show what training with these params would recover; no session is made", json_option))

    _add_convert_arguments(add("convert", "write a whole checkpoint in the other format"))
    return parser


def _add_diff_arguments(comparison: argparse.ArgumentParser) -> None:
    comparison.add_argument("old", metavar="OLD", help=_OLD_MODEL)
    comparison.add_argument(
        "new", metavar="NEW", help="the same for a checkpoint of the new model; or its .weights.h5, .h5 or .keras file"
    )
    comparison.add_argument(
        "--write-params",
        metavar="FILE",
        help="write the params of such a warm start, with the guessed renames, to a new file, ready to edit: YAML if its name "
        "ends in .yaml or .yml, else JSON",
    )


def _add_convert_arguments(convert: argparse.ArgumentParser) -> None:
    convert.add_argument("source", metavar="SOURCE", help=_OLD_MODEL)
    convert.add_argument("destination", metavar="DESTINATION", help="the new checkpoint's prefix, such as new/model.ckpt")
    convert.add_argument(
        "--to",
        choices=["name", "object"],
        default="object",
        help="the new format: for tf.compat.v1.train.Saver, or for tf.train.Checkpoint (default: %(default)s)",
    )
    convert.add_argument(
        "--rename",
        action="append",
        type=_rename_pair,
        metavar="OLD=NEW",
        help="give variables other names: a pattern of old names, and the new name or scope; may be given several times",
    )
    convert.add_argument("--overwrite", action="store_true", help="replace a checkpoint that exists at DESTINATION")


def _add_plan_arguments(plan: argparse.ArgumentParser) -> None:
    plan.add_argument("config", metavar="CONFIG", help="a JSON or YAML file: params with the key, or only the value of the key")
    plan.add_argument(
        "--graph",
        required=True,
        metavar="META_OR_MODEL_DIR",
        help="the new model: a .meta file, or a directory whose latest checkpoint has one",
    )
    plan.add_argument("--key", default="warm_start", help="the key in the params (default: %(default)s)")
    plan.add_argument(
        "--require-coverage",
        type=_coverage,
        metavar="SHARE",
        help="exit with 1 if old values fill less than this share, 0 to 1, of the new model's bytes",
    )
