"""docs/tutorial.md as its reader follows it: the files saved, the commands typed, in order, in one shell on a terminal."""

import contextlib
import os
import pathlib
import pty
import re
import subprocess
import sys
import sysconfig
from typing import NamedTuple

import pytest

from conftest import needs_estimator

PAGE = (pathlib.Path(__file__).resolve().parents[1] / "docs" / "tutorial.md").read_text(encoding="utf-8")
MOST_COMMANDS, MOST_LINES = 15, 100
STARS = re.compile(r"(\w+)/model\.ckpt-(\d+): wrong by (\d\.\d+) stars")
NEAR = 0.05  # Stars: no two versions of TensorFlow draw the same numbers.


class Step(NamedTuple):
    """A file to save or commands to type, with what the page says of these."""

    does: str
    file: str = ""
    output: str = ""
    exit_code: int = 0


def steps_of(page):
    """A name in front of a colon is of the file below. A text block has the output of the commands in front of it."""
    pieces = re.split(r"```(\w+)\n(.*?)```\n", page, flags=re.DOTALL)
    before, blocks, after = pieces[0::3], list(zip(pieces[1::3], pieces[2::3])), pieces[3::3]
    for number, (language, block) in enumerate(blocks):
        if language == "sh":
            has_output = blocks[number + 1 :] and blocks[number + 1][0] == "text"
            told = after[number + 1] if has_output else after[number]
            code = re.search(r"exit code is\s+(\d)", told)
            yield Step(block, "", blocks[number + 1][1] if has_output else "", int(code.group(1)) if code else 0)
        elif language != "text":
            (name,) = re.findall(r"`([\w.]+)`[^`]*:\n\n$", before[number])
            yield Step(block, name)


STEPS = list(steps_of(PAGE))


def script_of(steps, folder):
    """One script for a shell, so that it stays where a step has gone, and a line behind each step that has its exit code."""
    lines = []
    for number, step in enumerate(steps):
        if step.file:
            saved = folder / f"{number}_{step.file}"
            saved.write_text(step.does, encoding="utf-8")
            lines.append(f"cp '{saved}' {step.file}\n")
        else:
            lines.append(step.does)
        lines.append(f'echo "== {number} $?"\n')
    return "".join(lines)


def on_terminal(script, folder):
    """Runs a script with stdout and stderr on a terminal of 100 columns; returns what it shows."""
    scripts = os.pathsep.join([os.path.dirname(sys.executable), sysconfig.get_path("scripts"), os.environ["PATH"]])
    environment = {**os.environ, "PATH": scripts, "COLUMNS": "100", "LINES": "50", "TERM": "xterm", "NO_COLOR": "1"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # Whatever the page does not turn off is seen.
    controller, device = pty.openpty()
    started = subprocess.Popen(
        ["sh", "-c", script], cwd=str(folder), env=environment, stdin=subprocess.DEVNULL, stdout=device, stderr=device
    )
    os.close(device)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says so at the end of what a closed terminal was sent.
        for piece in iter(lambda: os.read(controller, 1 << 16), b""):
            shown += piece
    os.close(controller)
    started.wait(timeout=60)
    return shown.decode(errors="replace").replace("\r\n", "\n")


def is_as_printed(printed, shown):
    """Whether output is what the page has: `...` stands for anything, an error in stars for one near to it; lines may break."""
    pieces = re.split(r"(\.\.\.|\d\.\d+(?= stars))", " ".join(printed.split()))
    special = {number: ".*?" if piece == "..." else r"(\d\.\d+)" for number, piece in enumerate(pieces) if number % 2}
    pattern = "".join(special.get(number, re.escape(piece)) for number, piece in enumerate(pieces))
    found = re.fullmatch(pattern, " ".join(shown.split()))
    expected = [float(piece) for piece in pieces[1::2] if piece != "..."]
    return found is not None and [float(each) for each in found.groups()] == pytest.approx(expected, abs=NEAR)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the reader is; empty at first."""
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def shown(folder, tmp_path_factory):
    """What the reader sees of each step, and its exit code."""
    everything = on_terminal(script_of(STEPS, tmp_path_factory.mktemp("files")), folder)
    pieces = re.split(r"^== (\d+) (\d+)\n", everything, flags=re.MULTILINE)
    assert [int(number) for number in pieces[1::3]] == list(range(len(STEPS))), everything
    return list(zip(pieces[0::3], map(int, pieces[2::3])))


@pytest.mark.slow
@needs_estimator
class TestAReader:
    def test_sees_what_the_page_prints(self, shown):
        for step, (output, code) in zip(STEPS, shown):
            assert code == step.exit_code, f"{step.does}\n{output}"
            assert is_as_printed(step.output, output), f"{step.does}\n{output}"

    @pytest.mark.parametrize("page", ["plan.html", "warm/warm_start.html"])
    def test_finds_the_page_for_the_browser(self, shown, folder, page):
        assert "dnn/hiddenlayer_0/kernel" in (folder / "tutorial" / page).read_text(encoding="utf-8")

    def test_sees_what_the_page_says_of_the_errors(self, shown):
        found = {(folder, int(step)): float(stars) for output, _ in shown for folder, step, stars in STARS.findall(output)}
        assert found["warm", 0] == pytest.approx(found["old", 600], abs=0.002)
        assert found["warm", 100] < found["warm", 0] < found["cold", 100]


def test_it_takes_ten_minutes():
    typed = [(step.file, line) for step in STEPS for line in step.does.splitlines() if line.strip()]
    assert len(typed) <= MOST_LINES and len([line for file, line in typed if not file]) <= MOST_COMMANDS


@pytest.mark.parametrize(
    "printed, shown, is_same",
    [
        ("a\nb", "a  b\n", True),
        ("a\n...\nc 1", "a\nb\nb\nc 1", True),
        ("a\n...\nc 1", "a\nb\nb\nc 2", False),
        ("by 0.81 stars, 1.5 %", "by 0.84 stars, 1.5 %", True),
        ("by 0.81 stars, 1.5 %", "by 0.91 stars, 1.5 %", False),
        ("by 0.81 stars, 1.5 %", "by 0.81 stars, 1.6 %", False),
        ("", "WARNING", False),
    ],
    ids=["lines", "anything", "other end", "near", "far", "other number", "more"],
)
def test_what_counts_as_printed(printed, shown, is_same):
    assert is_as_printed(printed, shown) is is_same
