"""Draws what each adapter of docs/adapters.md does, as SVG: old cells with their numbers, and which of them a new cell holds.

`make pictures` calls this. The pictures follow the reader's light or dark setting, and say in words what they show.
"""

from __future__ import annotations

import pathlib
from typing import Dict, Iterator, List, NamedTuple, Sequence
from xml.sax.saxutils import escape

import tensorflow as tf
from adapter_examples import Cell, Example, cells_of, examples_of

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "adapters.md"
IMAGES = ROOT / "docs" / "images" / "adapters"

CELL_WIDTH, CELL_HEIGHT, MARGIN, TOP, CHARACTER = 66, 26, 16, 58, 7
ARROW = 64
# The colors of the report's page, and its words.
WORDS = {"kept": "in place", "moved": "moved", "mean": "mean", "new": "new", "gone": "gone"}
LIGHT = dict(paper="#ffffff", line="#dfe1e4", ink="#22262b", quiet="#656d76", kept="#3f76ad", moved="#7d68b0", mean="#2f7f74")
LIGHT.update(new="#c3c8ce", gone="#b8574f", on="#ffffff", on_new="#2b3036")
DARK = dict(paper="#1e2125", line="#343a41", ink="#e4e6e9", quiet="#9aa2ab", kept="#4f86bd", moved="#8f7cc4", mean="#4aa396")
DARK.update(new="#4a5058", gone="#c9706a", on="#06121e", on_new="#e4e6e9")


class Drawn(NamedTuple):
    """A cell as it is drawn: its kind, one of `WORDS`, and its text."""

    kind: str
    text: str


def main() -> None:
    """Draws all pictures anew."""
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)  # Deprecations of what the page shows.
    IMAGES.mkdir(parents=True, exist_ok=True)
    for path in IMAGES.glob("*.svg"):
        path.unlink()
    for name, picture in draw_all().items():
        (IMAGES / f"{name}.svg").write_bytes(picture.encode("utf-8"))


def draw_all() -> Dict[str, str]:
    """Returns the picture of each example of the page."""
    examples = examples_of(PAGE.read_text(encoding="utf-8"))
    cells = cells_of(examples)
    return {example.name: draw(example, cells[example.name]) for example in examples}


def draw(example: Example, cells: Sequence[Sequence[Cell]]) -> str:
    """Draws an example; `cells` is what its new cells hold."""
    new = [[_drawn_new(example, cell, row, column) for column, cell in enumerate(line)] for row, line in enumerate(cells)]
    old = _drawn_old(example, cells, new)
    label, names = example.adapter.label, (_names_width(example.old_rows), _names_width(example.new_rows))
    left = MARGIN + names[0]
    middle = left + example.old_shape[1] * CELL_WIDTH
    right = middle + ARROW + names[1]
    kinds = [kind for kind in WORDS if any(cell.kind == kind for line in old + new for cell in line)]
    legend = sum(38 + len(WORDS[kind]) * CHARACTER for kind in kinds)
    width = round(max(right + example.new_shape[1] * CELL_WIDTH, MARGIN + legend, MARGIN + len(label) * 7.3) + MARGIN)
    bottom = TOP + max(len(old), len(new)) * CELL_HEIGHT
    words = f"{label}, {_shape(example.old_shape)} to {_shape(example.new_shape)}. {_in_words(example, new, old)}"
    arrow = TOP + min(len(old), len(new)) * CELL_HEIGHT / 2
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 44}" width="{width}" height="{bottom + 44}" '
        'role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(label)}</title>',
        f'<desc id="desc">{escape(words)}</desc>',
        f"<style>{_style()}</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{bottom + 43}" rx="8"/>',
        f'<text class="call" x="{MARGIN}" y="25">{escape(label)}</text>',
        *_grid(old, left, f"old {_shape(example.old_shape)}", example.old_rows),
        f'<path class="arrow" d="M{middle + 16} {arrow:g}h{ARROW - 34}m-7 -5l7 5l-7 5"/>',
        *_grid(new, right, f"new {_shape(example.new_shape)}", example.new_rows),
        *_legend(kinds, bottom + 18),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _style() -> str:
    colors = [":root { " + " ".join(f"--{name}: {color};" for name, color in each.items()) + " }" for each in (LIGHT, DARK)]
    rules = [
        "text { font: 12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: var(--ink); }",
        ".call { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; }",
        ".quiet { fill: var(--quiet); } .paper { fill: var(--paper); stroke: var(--line); }",
        ".arrow { fill: none; stroke: var(--quiet); stroke-width: 1.5; } .in { fill: var(--on); text-anchor: middle; }",
        ".in.new { fill: var(--on_new); } rect { stroke: var(--paper); }",
        *(f"rect.{kind} {{ fill: var(--{kind}); }}" for kind in WORDS),
    ]
    return f"{colors[0]} @media (prefers-color-scheme: dark) {{ {colors[1]} }} {' '.join(rules)}"


def _drawn_new(example: Example, cell: Cell, row: int, column: int) -> Drawn:
    if not cell.weights:
        return Drawn("new", cell.fill)
    if len(cell.weights) > 1:
        numbers = [str(number + 1) for number, _ in cell.weights]
        if any(abs(weight * len(numbers) - 1) > 0.01 for _, weight in cell.weights):
            raise ValueError(f"{example.name}: {cell} is no mean")
        return Drawn("mean", f"({'+'.join(numbers)})/{len(numbers)}")
    ((number, weight),) = cell.weights
    in_place = divmod(number, example.old_shape[1]) == (row, column)
    return Drawn("kept" if in_place else "moved", f"{number + 1}" if weight == 1 else f"{weight:g} × {number + 1}")


def _drawn_old(example: Example, cells: Sequence[Sequence[Cell]], new: Sequence[Sequence[Drawn]]) -> List[List[Drawn]]:
    """Returns the old cells; one that several new cells take is of the kind that keeps the most of it."""
    rows, columns = example.old_shape
    kinds = ["gone"] * (rows * columns)
    order = list(WORDS)
    for cell, drawn in ((cell, drawn) for both in zip(cells, new) for cell, drawn in zip(*both)):
        for number, _ in cell.weights:
            kinds[number] = min(kinds[number], drawn.kind, key=order.index)
    numbered = [Drawn(kind, str(number)) for number, kind in enumerate(kinds, 1)]
    return [numbered[row * columns : (row + 1) * columns] for row in range(rows)]


def _grid(cells: Sequence[Sequence[Drawn]], left: float, title: str, names: Sequence[str]) -> Iterator[str]:
    yield f'<text class="quiet" x="{left:g}" y="{TOP - 9}">{title}</text>'
    for row, line in enumerate(cells):
        y = TOP + row * CELL_HEIGHT
        if names:
            name_x = left - 8
            yield f'<text class="quiet" x="{name_x:g}" y="{y + 17}" text-anchor="end">{escape(names[row])}</text>'
        for column, cell in enumerate(line):
            x = left + column * CELL_WIDTH
            yield f'<rect class="{cell.kind}" x="{x:g}" y="{y}" width="{CELL_WIDTH}" height="{CELL_HEIGHT}"/>'
            yield f'<text class="in {cell.kind}" x="{x + CELL_WIDTH / 2:g}" y="{y + 17}">{escape(cell.text)}</text>'


def _legend(kinds: Sequence[str], y: float) -> Iterator[str]:
    x: float = MARGIN
    for kind in kinds:
        yield f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="12" height="12" rx="3"/>'
        yield f'<text class="quiet" x="{x + 18:g}" y="{y + 10:g}">{WORDS[kind]}</text>'
        x += 38 + len(WORDS[kind]) * CHARACTER


def _in_words(example: Example, new: Sequence[Sequence[Drawn]], old: Sequence[Sequence[Drawn]]) -> str:
    rows = [f"{_name(example.new_rows, row)}: {', '.join(cell.text for cell in line)}" for row, line in enumerate(new)]
    gone = [cell.text for line in old for cell in line if cell.kind == "gone"]
    return f"The new rows hold old cells, numbered row by row: {'; '.join(rows)}." + f" Gone: {', '.join(gone)}." * bool(gone)


def _name(names: Sequence[str], row: int) -> str:
    return names[row] if names else f"row {row}"


def _names_width(names: Sequence[str]) -> float:
    return max(map(len, names)) * CHARACTER + 12 if names else 0


def _shape(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"


if __name__ == "__main__":
    main()
