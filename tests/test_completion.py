"""Completion in the real shells: commands, options, their words and paths; no option of the parser is forgotten."""

import pathlib
import re
import sys

import pytest

from estimator_warmstart.cli import main
from estimator_warmstart.cli.command import Kinds, a_path
from estimator_warmstart.cli.commands import COMMANDS
from estimator_warmstart.cli.main import argument_parser
from shells import PLACES, offered_by

PROGRAM = "estimator-warmstart"
DOCS = (pathlib.Path(__file__).resolve().parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
SHELLS = ["bash", "zsh", "fish"]
NAMES = [command.name for command in COMMANDS]
PARSERS = argument_parser().commands
# What an argument takes if it is neither a path nor one of some words.
NEITHER = {
    "--atol", "--depth", "--exclude", "--include", "--key", "--last", "--partitions", "--pattern", "--rename",
    "--require-coverage", "--weights", "INPUT_FN", "NEW", "OLD",
}  # fmt: skip
WORDS = {
    "list old --sort": ["bytes", "name"],
    "diff old new --sort": ["bytes", "change", "name"],
    "diff old new --only": ["changed", "new", "old", "renamed", "same"],
    "plan params.json --graph new --only": ["adapted", "cold", "restored", "unused"],
    "convert old new/model.ckpt --to": ["name", "npz", "object", "safetensors"],
    "completion": ["bash", "fish", "zsh"],
}
PATHS = [
    "list",
    "diff old",
    "diff old new --html",
    "diff old new --write-params",
    "plan",
    "plan params.json --graph",
    "plan params.json --baseline",
    "write params.json --graph new --to",
    "convert old",
    "merge old",
    "prove models:yesterdays models:todays models:data --checkpoint",
]
# A pattern, a name in a module, a number: the shell has nothing to offer.
NOTHING = ["list old --pattern", "diff old new --depth", "convert --rename", "prove"]
FILES = ["old_model", "other.json"]


def script_of(shell, capsys):
    capsys.readouterr()
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


@pytest.fixture(scope="module")
def offered(request, tmp_path_factory):
    """{shell: {line: the words that it offers}}, of a folder with a directory and a file; each shell is asked once."""
    known = {}

    def ask(shell, script):
        if shell not in known:
            lines = ["", "l", "pl", "--"] + [f"{name} --" for name in NAMES]
            lines += [f"{line} " for line in (*WORDS, *NOTHING)] + [f"{line} o" for line in PATHS]
            lines += ["convert old new/model.ckpt --to n", "merge old old old o", "list --sort bytes o", "list --json o"]
            folder = tmp_path_factory.mktemp(shell)
            (folder / "old_model").mkdir()
            (folder / "other.json").write_text("{}")
            known[shell] = offered_by(shell, script, [f"{PROGRAM} {line}" for line in lines], folder)
        return known[shell]

    return ask


@pytest.mark.parametrize("shell", SHELLS)
class TestShells:
    @pytest.fixture
    def of(self, shell, offered, capsys):
        answers = offered(shell, script_of(shell, capsys))
        return lambda line: [word.rstrip("/") for word in answers[f"{PROGRAM} {line}"]]

    def test_commands(self, of):
        assert of("") == sorted(NAMES)
        assert (of("l"), of("pl")) == (["list"], ["plan"])

    def test_options_of_the_program(self, of):
        assert of("--") == ["--help", "--version"]

    @pytest.mark.parametrize("name", NAMES)
    def test_every_option_of_a_command(self, of, name):
        options = {option for argument in PARSERS[name].arguments for option in argument.option_strings}
        assert set(of(f"{name} --")) - {"-h"} == options - {"-h"}

    @pytest.mark.parametrize("line", WORDS)
    def test_words(self, of, line):
        assert of(f"{line} ") == WORDS[line]

    def test_the_beginning_of_a_word(self, of):
        assert of("convert old new/model.ckpt --to n") == ["name", "npz"]

    @pytest.mark.parametrize("line", PATHS)
    def test_paths(self, of, line):
        assert of(f"{line} o") == FILES

    @pytest.mark.parametrize("line", ["list --sort bytes", "list --json"])
    def test_paths_after_an_option(self, of, line):
        assert of(f"{line} o") == FILES

    def test_many_paths(self, of):
        assert of("merge old old old o") == FILES

    @pytest.mark.parametrize("line", NOTHING)
    def test_what_only_the_user_knows(self, of, line):
        assert of(f"{line} ") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_docs_put_the_script_where_these_tests_do(shell):
    (command,) = re.findall(rf"`estimator-warmstart completion {shell} > (.*?)`", DOCS)
    assert command.strip('"').replace("~", "").replace("${fpath[1]}", "").strip("/") == PLACES[shell]


def test_each_argument_says_what_it_takes():
    """A path, one of some words, or neither: an argument that is added is put into one of these."""
    neither = set()
    for parser in PARSERS.values():
        for argument in parser.arguments:
            if not (argument.nargs == 0 or argument.choices or argument.type is a_path or isinstance(argument.type, Kinds)):
                neither.add(argument.option_strings[0] if argument.option_strings else argument.metavar)
    assert neither == NEITHER


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_without_the_library(shell, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", shell]) == 2
    told = f"estimator-warmstart: error: the script for {shell} is made with shtab: pip install 'estimator-warmstart[cli]'\n"
    assert capsys.readouterr() == ("", told)


def test_fish_needs_no_library(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert "-a list " in script_of("fish", capsys)


def test_another_shell(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["completion", "tcsh"])
    assert ended.value.code == 2 and "invalid choice: 'tcsh'" in capsys.readouterr().err
