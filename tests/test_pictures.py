"""The pictures of the docs are what tools/ draws, each adapter has one, each is shown by a page, and none can be left over."""

import pathlib
import re
import struct
import sys
import xml.etree.ElementTree

import pytest

from estimator_warmstart import adapters

ROOT = pathlib.Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
LARGEST_PICTURE = 150_000
DRAWN = IMAGES / "adapters"
PAGE = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
# {adapter: the heading and all below it, up to the next heading}.
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture
def tool(monkeypatch):
    """Imports a module of tools/, and forgets it afterwards."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    before = set(sys.modules)
    yield lambda name: __import__(name)
    for name in set(sys.modules) - before:
        if name in {path.stem for path in (ROOT / "tools").glob("*.py")}:
            del sys.modules[name]


def shown():
    """{picture: alternative texts} of all pages, Markdown's pictures and HTML's; a dark one has its light one's text."""
    found = {}
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        text = page.read_text(encoding="utf-8")
        pictures = [(path, alt) for alt, path in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text)]
        html = r'<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\s*<img src="([^"]+)" alt="([^"]*)">'
        for dark, light, alt in re.findall(html, text):
            pictures += [(dark, alt), (light, alt)]
        for path, alt in pictures:
            found.setdefault((page.parent / path).resolve(), []).append(alt)
    return found


def test_committed_pictures_are_what_is_drawn_today(tool):
    drawn = tool("adapter_pictures").draw_all()
    committed = {path.stem: path.read_bytes().decode("utf-8") for path in DRAWN.glob("*")}
    assert sorted(drawn) == sorted(committed)
    assert [name for name in drawn if drawn[name] != committed[name]] == [], "run `make pictures`"


@pytest.mark.parametrize("adapter", adapters.__all__)
def test_each_adapter_has_a_picture_of_a_call_of_it(adapter):
    section = SECTIONS.get(adapter, "no such section")
    assert re.findall(r"!\[[^\]]+\]\(images/adapters/(\w+)\.svg\)", section)[:1] == [adapter]
    calls = re.findall(r"print\(recovered\((.*)\)\)$", section, re.MULTILINE)
    assert calls and all(f"adapters.{adapter}(" in call for call in calls)


def test_the_page_has_no_other_sections():
    assert set(SECTIONS) == set(adapters.__all__)


def test_every_picture_is_shown_and_says_what_it_shows():
    pictures = {path for path in IMAGES.rglob("*") if path.is_file()}
    found = shown()
    assert pictures == set(found)
    assert [path.name for path, texts in found.items() if min(map(len, texts)) < 20] == []
    assert [path.name for path in pictures if path.stat().st_size > LARGEST_PICTURE] == []


@pytest.mark.parametrize("name", sorted(path.name for path in DRAWN.glob("*.svg")))
def test_a_drawn_picture_can_be_read_as_text(name):
    root = xml.etree.ElementTree.parse(str(DRAWN / name)).getroot()
    svg = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img" and root.get("aria-labelledby") == "title desc"
    title, words, style = (root.find(svg + tag).text for tag in ("title", "desc", "style"))
    assert words.startswith(title) and "The new rows hold old cells" in words
    assert "prefers-color-scheme: dark" in style
    # Nothing is drawn beyond the edge.
    width = float(root.get("width"))
    assert all(float(each.get("x")) + float(each.get("width")) <= width for each in root.iter(svg + "rect"))


def test_what_a_picture_says_is_what_the_page_prints():
    """By eye: new row 0 of remap_rows is casablanca's, old cells 5 and 6; brazil's, 3 and 4, are gone."""
    root = xml.etree.ElementTree.parse(str(DRAWN / "remap_rows.svg")).getroot()
    words = root.find("{http://www.w3.org/2000/svg}desc").text
    assert words == (
        "remap_rows(3 tokens -> 3 tokens), [3, 2] to [3, 2]. The new rows hold old cells, numbered row by row: "
        "casablanca: 5, 6; alien: 1, 2; dune: initial, initial. Gone: 3, 4."
    )
    assert "[[5.0, 6.0], [1.0, 2.0], [-1.0, -1.0]]" in SECTIONS["remap_rows"]


@pytest.mark.parametrize("name", ["page.png", "page-dark.png"])
def test_the_pages_pictures_have_the_size_that_is_asked_for(name):
    content = (IMAGES / name).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (1200, 1200)


def test_what_is_missing_is_said_before_anything_is_run(tool, monkeypatch):
    making, screenshot = tool("make_pictures"), tool("screenshot")
    monkeypatch.setattr(making.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(screenshot.shutil, "which", lambda name: None)
    for each in (making.subprocess, making.adapter_pictures):
        monkeypatch.setattr(each, "run" if each is making.subprocess else "main", lambda *_, **__: pytest.fail("was run"))
    with pytest.raises(SystemExit, match=r"no browser: none of chromium, .*apt-get install chromium"):
        making.main()
    monkeypatch.setattr(making.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="matplotlib is not installed"):
        making.main()
