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
from typing import Iterator, Optional, Sequence

from estimator_warmstart._tf import logger, tf
from estimator_warmstart.cli.command import Parser
from estimator_warmstart.cli.commands import COMMANDS
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.printable import printable_lines
from estimator_warmstart.text_output import PROGRAM
from estimator_warmstart.version import VERSION

_FAILED, _INTERRUPTED, _PIPE_CLOSED = 2, 130, 141


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs one command.

    Args:
      arguments: without the program's name; `None`: those of this process.

    Returns:
      The exit code: 0 for success; 1 if `diff` finds differences, `plan` finds too little coverage, nothing to recover or a
      change since its baseline, `prove` that the proof does not hold, or `list` that data files are missing; 2 for an error.

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
            return int(arguments.run(arguments))
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


def argument_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands and their options."""
    parser = Parser(
        prog=PROGRAM,
        description="Shows what is in old checkpoints, and what a warm start from them would do.",
        epilog="Exit codes: 0; 1 if diff finds differences, plan too little coverage, nothing to recover or a change since its "
        "baseline, prove that the proof does not hold, or list that data files are missing; 2 after an error.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    commands.required = True
    for command in COMMANDS:
        added = commands.add_parser(
            command.name,
            help=command.says,
            description=f"{command.says[0].upper()}{command.says[1:]}.",
            epilog="\n".join(["examples:", *(f"  {PROGRAM} {example}" for example in command.examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(added)
        added.set_defaults(run=command.run, parser=parser)
    return parser
