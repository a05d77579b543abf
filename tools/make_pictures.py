"""Makes the pictures of the README, in docs/images/, from a run of the example.

`make pictures` runs this. It needs the package and matplotlib.
"""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys
from typing import List
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "estimator_fm" / "main.py"
WORK = ROOT / "build" / "pictures"
IMAGES = ROOT / "docs" / "images"

CHARACTER_WIDTH, LINE_HEIGHT, MARGIN = 7.2, 18, 14
STYLE = (
    "text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2328; "
    "white-space: pre; } .title { font-weight: bold; } .cold { fill: #848d97; } .frame { fill: #f6f8fa; stroke: #d1d9e0; }"
)


def main() -> None:
    """Runs the example and writes both pictures."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    # A relative directory, since the report shows it.
    command = [sys.executable, str(EXAMPLE), "--output-dir", "models"]
    printed = subprocess.run(command, cwd=WORK, check=True, stdout=subprocess.PIPE, text=True).stdout
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "report.svg").write_text(draw_text(report_in(printed)), encoding="utf-8")
    shutil.copyfile(WORK / "models" / "curves.png", IMAGES / "curves.png")


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
