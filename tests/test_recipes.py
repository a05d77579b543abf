"""The pages of docs/ run as they are printed: each Python block prints the text block behind it. Their links lead somewhere."""

import contextlib
import io
import pathlib
import re

import pytest

from conftest import needs_estimator, needs_keras_2
from eager import eager_mode

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for place in ("*.md", "docs/*.md", "examples/*/*.md", "benchmarks/*.md")
    for path in ROOT.glob(place)
}
# What not every TensorFlow has.
NEEDS = {
    "tf.estimator": needs_estimator,
    "tf1.estimator": needs_estimator,
    "v1.estimator": needs_estimator,
    "tf1.layers": needs_keras_2,
    "tf.compat.v1.layers": needs_keras_2,
}
# TensorFlow 1.15 must be made eager for these, as they say.
EAGER = {"off_the_estimator.md"}
PAGES = [
    pytest.param(path.name, marks=[mark for name, mark in NEEDS.items() if name in path.read_text(encoding="utf-8")])
    for path in sorted(DOCS.glob("*.md"))
    if "```python\n" in path.read_text(encoding="utf-8") and path.name != "tutorial.md"  # See test_tutorial.py.
]


def run_page(page):
    """Runs the Python blocks of a page in one namespace; (block, printed, expected) of each."""
    found = re.findall(r"```(\w+)\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    names = {"__name__": "recipes"}
    for (language, block), (after, text) in zip(found, found[1:] + [("", "")]):
        if language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block, page, "exec"), names)
            yield block, out.getvalue(), text if after == "text" else ""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_what_it_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with eager_mode() if page in EAGER else contextlib.ExitStack():
        results = list(run_page(page))
    assert any(expected for _, _, expected in results)
    for block, printed, expected in results:
        assert printed == (expected if "print(" in block or printed else ""), block


def anchors(text):
    """What GitHub and MkDocs call the headings of a page in links."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", sorted(TEXTS))
def test_every_link_leads_somewhere(page):
    broken = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", re.sub(r"```.*?```", "", TEXTS[page], flags=re.DOTALL)):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_the_index_lists_every_page():
    listed = set(re.findall(r"\]\((\w+\.md)\)", TEXTS["docs/index.md"]))
    assert {path.name for path in DOCS.glob("*.md")} - listed == {"index.md"}
