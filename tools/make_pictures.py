"""Makes the pictures in docs/images/, from two runs of the example and from the calls in docs/adapters.md.

`make pictures` runs this. It needs the package, matplotlib and Chromium.
"""

from __future__ import annotations

import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
from typing import List
from xml.sax.saxutils import escape

import adapter_pictures
import screenshot

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "estimator_fm" / "main.py"
WORK = ROOT / "build" / "pictures"
IMAGES = ROOT / "docs" / "images"
# As `make demo` runs it, but by the wrapper, which knows the directory that the page is written to.
VOCABULARY = "--case=vocabulary --via=wrapper --initial-accumulator=0.001 --rows=40000 --old-steps=500 --steps=200"
PAGE_SIZE = (1200, 1200)

CHARACTER_WIDTH, LINE_HEIGHT, MARGIN = 7.2, 18, 14
STYLE = (
    "text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2328; "
    "white-space: pre; } .title { font-weight: bold; } .cold { fill: #848d97; } .frame { fill: #f6f8fa; stroke: #d1d9e0; }"
)


def main() -> None:
    """Makes all pictures. What is missing is said first: the runs take minutes."""
    if importlib.util.find_spec("matplotlib") is None:
        raise SystemExit("matplotlib is not installed; install the extra `demo`: pip install '.[demo]'")
    screenshot.needed_browser()
    adapter_pictures.main()
    renamed = WORK / "renamed"
    (IMAGES / "report.svg").write_text(draw_text(report_in(run_example(renamed))), encoding="utf-8")
    shutil.copyfile(renamed / "models" / "curves.png", IMAGES / "curves.png")
    vocabulary = WORK / "vocabulary"
    run_example(vocabulary, *VOCABULARY.split())
    for name, dark in (("page.png", False), ("page-dark.png", True)):
        screenshot.take_picture(vocabulary / "models" / "warm" / "warm_start.html", IMAGES / name, PAGE_SIZE, dark)


def run_example(folder: pathlib.Path, *options: str) -> str:
    """Runs the example in a new folder, and returns what it prints."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # A relative directory, since the reports show it.
    command = [sys.executable, str(EXAMPLE), "--output-dir", "models", *options]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def report_in(printed: str) -> List[str]:
    """The lines of the warm start's report, from the output of the example."""
    found = re.search(r"^Warm start from .*?(?=\n\n)", printed, re.DOTALL | re.MULTILINE)
    if found is None:
        raise SystemExit(f"the example has printed no report:\n{printed}")
    return found.group().splitlines()


def draw_text(lines: List[str]) -> str:
    """Draws a report as SVG, as a terminal shows it. Variables that begin as initialized are gray."""
    width = round(max(map(len, lines)) * CHARACTER_WIDTH) + 2 * MARGIN
    height = len(lines) * LINE_HEIGHT + 2 * MARGIN
    texts = []
    for number, line in enumerate(lines):
        style = "title" if not line.startswith(" ") else "cold" if "as initialized" in line else "row"
        # With a given length, a line has the same width in every font, and columns stay aligned.
        texts.append(
            f'<text class="{style}" x="{MARGIN}" y="{MARGIN + number * LINE_HEIGHT + 13}" xml:space="preserve" '
            f'textLength="{len(line) * CHARACTER_WIDTH:.1f}" lengthAdjust="spacingAndGlyphs">{escape(line)}</text>'
        )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
            f"<style>{STYLE}</style>",
            f'<rect class="frame" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="6"/>',
            *texts,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    main()
