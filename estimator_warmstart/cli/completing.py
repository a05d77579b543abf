"""The command `completion`: a script with which a shell completes the command line.

The scripts hold all that they offer: asking this program at each press of the key would import TensorFlow each time.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Iterable, Iterator, List, Mapping

from estimator_warmstart.cli.command import SUCCEEDED, Command, Kinds, Parser, a_path
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.text_output import PROGRAM

_BASH, _ZSH, _FISH = "bash", "zsh", "fish"
# shtab has zsh complete one path where several may be given. This closes its quoted text, and adds that more may follow.
_MORE_PATHS = {_ZSH: '_files" "*:path:_files'}


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=(_BASH, _ZSH, _FISH), help="bash, zsh or fish")


def _run(arguments: Namespace) -> int:
    print(_fish_script(arguments.parser) if arguments.shell == _FISH else _script(arguments.parser, arguments.shell))
    return SUCCEEDED


def _script(parser: Parser, shell: str) -> str:
    try:
        import shtab
    except ImportError as error:
        raise WarmStartError(f"the script for {shell} is made with shtab: pip install 'estimator-warmstart[cli]'") from error
    for command in parser.commands.values():
        for argument in command.arguments:
            if isinstance(argument.type, Kinds):
                argument.choices = argument.type.words
            elif argument.type is a_path:
                argument.complete = "file"  # type: ignore[attr-defined]
                if argument.nargs is not None and shell == _ZSH:
                    argument.nargs, argument.complete = None, _MORE_PATHS  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell))


def _fish_script(parser: Parser) -> str:
    """Returns the script for fish, which no release of shtab for Python 3.7 makes."""
    lines = [f"# Completes {PROGRAM} in fish."]
    lines += _fish_lines(parser, "__fish_use_subcommand")
    for name, command in parser.commands.items():
        lines.append(_fish_line("__fish_use_subcommand", ["-a", name, "-d", _quoted(command.description or "")]))
        lines += _fish_lines(command, f"__fish_seen_subcommand_from {name}")
    return "\n".join(lines)


def _fish_lines(parser: Parser, condition: str) -> Iterator[str]:
    """Yields a line for each argument of one parser; where none is a path, no files are offered."""
    if not any(argument.type is a_path for argument in parser.arguments if not argument.option_strings):
        yield _fish_line(condition, ["-f"])
    for argument in parser.arguments:
        words = argument.type.words if isinstance(argument.type, Kinds) else argument.choices or ()
        taken: List[str] = ["-a", _quoted(" ".join(words))] if words else []
        if argument.option_strings:
            if argument.nargs != 0:
                taken += ["-r", "-F"] if argument.type is a_path else ["-x"]
            text = (argument.help or "") % {**vars(argument), "prog": parser.prog}
            yield _fish_line(condition, [*_fish_names(argument.option_strings), *taken, "-d", _quoted(text)])
        elif words and not isinstance(words, Mapping):
            yield _fish_line(condition, taken)


def _fish_line(condition: str, options: Iterable[str]) -> str:
    return " ".join(["complete", "-c", PROGRAM, "-n", _quoted(condition), *options])


def _fish_names(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"


def _quoted(text: str) -> str:
    """Returns `text` as fish reads it between single quotes, in which a backslash is one only before another or a quote."""
    text = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


COMPLETION = Command(
    "completion",
    "print the script with which bash, zsh or fish completes this command line",
    _add_arguments,
    _run,
    ("completion bash", "completion fish"),
)
