"""The pages of recipes run as they are printed: each Python block prints the text block behind it."""

import contextlib
import io
import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs"


def run_page(page):
    """Runs the Python blocks of a page in one namespace; (block, printed, expected) of each."""
    found = re.findall(r"```(python|text)\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    names = {"__name__": "recipes"}
    for (language, block), (after, text) in zip(found, found[1:] + [("", "")]):
        if language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block, page, "exec"), names)
            yield block, out.getvalue(), text if after == "text" else ""


@pytest.mark.parametrize("page", ["recipes.md"])
def test_a_page_prints_what_it_shows(page):
    results = list(run_page(page))
    assert len(results) > 1
    for block, printed, expected in results:
        assert printed == (expected if "print(" in block else ""), block
