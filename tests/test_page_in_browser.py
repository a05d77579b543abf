"""The page in a real browser: what a reader sees and does, by mouse and by keyboard, and that nothing is loaded or sent."""

import base64

import numpy as np
import pytest

import browser
import plans
from browser import needs_browser
from estimator_warmstart import adapters
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.page.contents import contents_of_differences, contents_of_plans, contents_of_proof
from estimator_warmstart.page.page import write_page
from estimator_warmstart.plan.differences import find_differences
from shared_models import save_raw

pytestmark = needs_browser
HOSTILE = "<script>alert(1)</script>"
LOOKS_LIKE_MARKUP = "<img src=http://example.com/x onerror=alert(2)>"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    driver = browser.start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


class Page:
    """A page in the browser. Whatever a test does with it, the browser does not complain, and asks for nothing else."""

    def __init__(self, driver, path):
        self.driver, self.address = driver, path.as_uri()
        browser.complaints(driver)  # Those of the page before it.
        driver.get(self.address)

    def check(self):
        assert browser.complaints(self.driver) == []
        assert browser.requests(self.driver, self.address) == [self.address]

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)", selector)

    def names(self):
        """The new variables in the rows of the table, in order."""
        return self.texts("#rows button")

    def click(self, selector):
        self.driver.find_element("css selector", selector).click()

    def type(self, *keys):
        self.driver.switch_to.active_element.send_keys(*keys)

    def focused(self):
        return self.run("const at = document.activeElement; return at.dataset.name || at.textContent")

    def colour(self, selector, style="backgroundColor"):
        return self.run("return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, style)


@pytest.fixture
def opened(driver, tmp_path):
    """Opens the page of some contents."""
    pages = []

    def open_page(contents):
        write_page(str(tmp_path / "page.html"), contents)
        pages.append(Page(driver, tmp_path / "page.html"))
        return pages[-1]

    yield open_page
    pages[-1].check()
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


@pytest.fixture
def page(opened):
    plan = plans.plan_of(
        plans.restored("fm/w", (30, 2)),
        plans.adapted("fm/v", (3, 20), (4, 20), adapters.crop_or_pad(), "old/v"),
        plans.initialized(plans.new_variable("tower/kernel", (5, 5)), "not matched"),
        plans.restored("tower/bias10", (5,), "tower/b"),
        plans.restored("tower/bias9", (4,)),
        unused=(plans.old_variable(HOSTILE, (2,)), plans.old_variable("old/gone", (1,))),
        notes=("The first note.",),
        warnings=(f"Look at {LOOKS_LIKE_MARKUP}",),
    )
    return opened(contents_of_plans([plan]))


class TestTable:
    def test_has_every_variable_in_the_order_of_the_graph(self, page):
        assert page.names() == ["fm/w", "fm/v", "tower/kernel", "tower/bias10", "tower/bias9"]
        assert page.texts("#rows tr:nth-child(2) td") == [
            "fm/v",
            "[4, 20]",
            "320",
            "adapted, 75.0 % old, 100.0 % of the old kept: crop_or_pad(fill='initial')",
            "old/v [3, 20]",
        ]
        assert page.texts("#count") == ["5 of 5 variables, 696 bytes"]

    def test_filters_by_old_and_new_names(self, page):
        page.click("#filter")
        page.type("tower b")
        assert page.names() == ["tower/bias10", "tower/bias9"]
        assert page.texts("#count") == ["2 of 5 variables, 36 bytes"]
        page.click("#reset")
        page.click("#filter")
        page.type("OLD/V")
        assert page.names() == ["fm/v"]
        page.click("#reset")
        assert len(page.names()) == 5

    def test_filters_by_what_happens(self, page):
        page.click('[data-action="adapted"]')
        assert page.names() == ["fm/v"]
        assert page.run('return document.querySelector(\'[data-action="adapted"]\').getAttribute("aria-pressed")') == "true"
        page.click('[data-action="initialized"]')
        assert page.names() == ["fm/v", "tower/kernel"]
        page.click('[data-action="adapted"]')
        assert page.names() == ["tower/kernel"]

    def test_sorts_by_each_column(self, page):
        def sort(column):
            page.click(f'[data-sort="{column}"]')
            return page.names(), page.run(
                "return [...document.querySelectorAll('th')].map((th) => th.getAttribute('aria-sort'))"
            )

        # By the numbers in names: 9 before 10.
        by_name = ["fm/v", "fm/w", "tower/bias9", "tower/bias10", "tower/kernel"]
        assert sort("new") == (by_name, ["ascending", "none", "none", "none", "none"])
        assert sort("new")[0] == by_name[::-1]
        assert sort("bytes") == (
            ["fm/v", "fm/w", "tower/kernel", "tower/bias10", "tower/bias9"],
            ["none", "none", "descending", "none", "none"],
        )
        assert sort("bytes")[0][0] == "tower/bias9"
        assert sort("action")[0][0] == "fm/v"
        assert sort("old")[0] == ["tower/kernel", "fm/w", "fm/v", "tower/bias10", "tower/bias9"]

    def test_the_keyboard_sorts_and_keeps_its_place(self, page):
        from selenium.webdriver.common.keys import Keys

        page.run("document.querySelector('[data-sort=bytes]').focus()")
        page.type(Keys.ENTER)
        assert page.names()[0] == "fm/v" and page.focused().startswith("Bytes")
        page.type(Keys.ENTER)
        assert page.names()[0] == "tower/bias9"

    def test_a_row_opens(self, page):
        page.click('#rows button[data-at="1"]')
        assert page.run("return document.querySelector('#rows button[data-at=\"1\"]').getAttribute('aria-expanded')") == "true"
        said = "rows: 3 → 4: 3 in place, 1 new ('initial')"
        assert page.texts(".details figcaption")[0] == said
        assert page.run("return document.querySelector('.details svg').getAttribute('aria-label')") == said
        # The old and the new axis: three rows of the same width on both, and a fourth one.
        assert page.run(
            "return [...document.querySelectorAll('.details figure > svg rect')].map((each) => each.className.baseVal)"
        ) == [
            "f-kept",
            "f-kept",
            "f-new",
        ]
        assert page.run("return document.querySelector('.ribbon').getAttribute('points')") == "0,30 480,30 480,66 0,66"
        page.click('#rows button[data-at="1"]')
        assert page.texts(".details") == []

    def test_is_a_table_to_a_screen_reader(self, page):
        nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        told = [(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]]
        assert ("table", "The variables of the new model") in told
        assert [name for role, name in told if role == "columnheader"] == [
            "New variable",
            "Shape",
            "Bytes",
            "What happens",
            "Old variable",
        ]
        assert ("searchbox", "Filter by name") in told
        assert ("heading", "Where the bytes of the new model are") in told
        buttons = [name for role, name in told if role == "button"]
        assert "" not in buttons
        assert any(name.startswith("fm/v, 320 bytes, 46.0 % of the bytes, adapted, 75.0 % old") for name in buttons)


class TestTreemap:
    def areas(self, page):
        """{name: share of the map}, of the cells of variables."""
        return page.run(
            "const map = document.getElementById('map'), all = map.clientWidth * map.clientHeight, found = {};"
            "for (const cell of map.querySelectorAll('button:not(.scope)')) {"
            "  const box = cell.getBoundingClientRect(); "
            "  found[cell.dataset.name] = box.width * box.height / all; } return found"
        )

    def test_areas_are_as_the_bytes(self, page):
        areas = self.areas(page)
        # 240, 320, 100, 20 and 16 bytes. The bars with the names of the scopes take their room.
        assert areas["fm/w"] / areas["fm/v"] == pytest.approx(0.75, abs=0.05)
        assert areas["tower/bias10"] / areas["tower/kernel"] == pytest.approx(0.2, abs=0.03)
        assert 0.9 < sum(areas.values()) <= 1

    def test_colours_say_what_happens(self, page):
        colours = {name: page.colour(f'#map [data-name="{name}"]') for name in ("fm/w", "fm/v", "tower/kernel", "tower/bias10")}
        assert colours["fm/w"] == colours["tower/bias10"] == page.colour('[data-action="restored"] .key')
        assert len({colours[name] for name in ("fm/w", "fm/v", "tower/kernel")}) == 3
        assert "75%" in page.colour('#map [data-name="fm/v"]', "backgroundImage")

    def test_a_click_on_a_variable_shows_its_row(self, page):
        page.click('[data-action="restored"]')
        page.click('#map [data-name="fm/v"]')
        assert page.names() == ["fm/v"] and len(page.texts(".details")) == 1
        assert page.focused() == "fm/v"

    def test_a_click_on_a_scope_enlarges_it(self, page):
        page.click('#map .scope[data-name="tower"]')
        assert set(self.areas(page)) == {"tower/kernel", "tower/bias10", "tower/bias9"}
        assert page.names() == ["tower/kernel", "tower/bias10", "tower/bias9"]
        assert page.texts("#crumbs button") == ["Whole model", "tower"]
        page.click("#crumbs button")
        assert len(self.areas(page)) == 5 and len(page.names()) == 5

    def test_by_keyboard(self, page):
        from selenium.webdriver.common.keys import Keys

        assert page.run("return document.querySelectorAll('#map [tabindex=\"0\"]').length") == 1
        page.run("document.querySelector('#map [tabindex=\"0\"]').focus()")
        assert page.focused() == "fm"
        page.type(Keys.ARROW_DOWN)
        assert page.focused() == "fm/v"
        page.type(Keys.ARROW_UP)
        page.type(Keys.END)
        last = page.focused()
        assert last.startswith("tower/")
        assert page.run("return document.activeElement.tabIndex") == 0
        page.type(Keys.HOME, Keys.ENTER)
        assert set(self.areas(page)) == {"fm/v", "fm/w"}
        page.type(Keys.ESCAPE)
        assert len(self.areas(page)) == 5
        page.run("document.querySelector('#map [data-name=\"tower/kernel\"]').focus()")
        page.type(Keys.ENTER)
        assert page.names() == ["tower/kernel"] and page.focused() == "tower/kernel"


class TestNames:
    def test_notes_and_warnings_come_first(self, page):
        assert page.texts(".said") == [f"WarningLook at {LOOKS_LIKE_MARKUP}", "NoteThe first note."]
        order = "return document.querySelector('.said').compareDocumentPosition(document.getElementById('map'))"
        assert page.run(order) & 4  # DOCUMENT_POSITION_FOLLOWING

    def test_markup_in_a_name_is_shown(self, page):
        assert HOSTILE in page.texts("ul.names .name")
        assert page.texts("script:not([id])")[0].startswith('"use strict"') and len(page.texts("script")) == 2
        assert page.texts("img") == []

    def test_in_every_place_of_a_name(self, opened):
        names = [
            HOSTILE,
            LOOKS_LIKE_MARKUP,
            "</script><script>alert(3)</script>/w",
            "__proto__/constructor",
            "a" + 5000 * "/b",
            "//",
            "ä/😀\x1b[31m",
        ]
        variables = [plans.restored(name, (number + 9, 9), name) for number, name in enumerate(names)]
        page = opened(contents_of_plans([plans.plan_of(*variables, notes=names, warnings=names)]))
        assert page.names() == [*names[:-1], "ä/😀\\x1b[31m"]
        for number in range(len(names)):
            page.click(f'#rows button[data-at="{number}"]')
        assert len(page.texts("script")) == 2 and page.texts("img") == []

    def test_of_differences(self, opened, tmp_path):
        (tmp_path / "new").mkdir()
        old = save_raw(tmp_path, {HOSTILE: np.float32([1, 2, 3]), "w": np.float32([1, 2]), "gone": np.float32([1])})
        new = save_raw(tmp_path / "new", {HOSTILE: np.float32([1, 2, 4]), "w": np.float32([1]), "added": np.float32([1])})
        differences = find_differences(open_checkpoint(old), open_checkpoint(new))
        page = opened(contents_of_differences(differences, with_values=True))
        assert page.names() == [HOSTILE, "added", "w", "–"]
        assert page.texts("#rows tr td:nth-child(4)") == ["same", "only new", "shape changed", "only old"]
        page.click('#rows button[data-at="0"]')
        assert page.texts(".values figcaption")[:2] == [
            "old: minimum 1, maximum 3, mean 2, 0 NaN",
            "new: minimum 1, maximum 4, mean 2.3333, 0 NaN",
        ]
        assert page.run("return document.querySelectorAll('.values .f-old').length") == 24
        assert page.texts(".values .f-text") == ["1", "4"]


class TestPresentation:
    def media(self, page, **settings):
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", settings)

    def scheme(self, page, value):
        self.media(page, features=[{"name": "prefers-color-scheme", "value": value}])
        return page.colour("body"), page.colour("body", "color")

    def luminance(self, colour):
        red, green, blue = (
            channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
            for channel in (int(part) / 255 for part in colour[4:-1].split(","))
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_texts_stand_out(self, page, scheme):
        """By the contrast that WCAG 2.1 asks for at level AA: 4.5 to 1."""
        paper, ink = map(self.luminance, self.scheme(page, scheme))
        assert (paper > ink) == (scheme == "light")
        places = [
            "body",
            ".quiet",
            ".said",
            "button",
            '#map [data-name="fm/w"]',
            '#map [data-name="fm/v"]',
            '#map [data-name="tower/kernel"]',
        ]
        found = {}
        for place in places:
            behind = page.run(
                "let at = document.querySelector(arguments[0]);"
                "while (/rgba.*, 0\\)/.test(getComputedStyle(at).backgroundColor)) "
                "at = at.parentElement; return getComputedStyle(at).backgroundColor",
                place,
            )
            high, low = sorted(map(self.luminance, (behind, page.colour(place, "color"))), reverse=True)
            found[place] = (high + 0.05) / (low + 0.05)
        assert {place: ratio for place, ratio in found.items() if ratio < 4.5} == {}

    def test_on_a_narrow_screen_nothing_is_wider_than_it(self, page):
        page.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": False}
        )
        try:
            assert page.run("return document.documentElement.scrollWidth") <= 360
        finally:
            page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def test_on_paper(self, page):
        self.scheme(page, "dark")
        self.media(page, media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        assert page.colour("body") == "rgb(255, 255, 255)" and page.colour("body", "color") == "rgb(0, 0, 0)"
        assert page.colour(".controls", "display") == "none"
        printed = page.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
        assert base64.b64decode(printed).startswith(b"%PDF")


class TestSeveral:
    def test_warm_starts(self, opened):
        several = [plans.plan_of(plans.restored("a", (2,))), plans.plan_of(plans.restored("b", (2,)))]
        page = opened(contents_of_plans(several))
        assert page.names() == ["a"]
        page.click("header button:nth-child(2)")
        assert page.names() == ["b"]

    def test_old_models(self, opened):
        plan = plans.plan_of(plans.restored("a", (2,)))
        plan = plan._replace(checkpoints=(plan.checkpoint, plan.checkpoint._replace(prefix="other/model.ckpt")))
        page = opened(contents_of_plans([plan]))
        assert page.texts("header .name") == ["old/model.ckpt-7", "other/model.ckpt"]
        assert page.texts("#rows td")[-1] == "old/model.ckpt-7"

    def test_none(self, opened):
        assert opened(contents_of_plans([])).texts("h1") == ["No warm start"]

    def test_changes_since_a_baseline(self, opened):
        contents = contents_of_plans([plans.plan_of()], baseline="plan.json", changes=[{"text": "w: is new in the model"}])
        assert opened(contents).texts("#changes b, #changes li") == ["1 change since plan.json", "w: is new in the model"]


class TestProof:
    def compared(self, name, difference, **more):
        """A value that was compared, as a proof has it as a dict."""
        differences = {"max_difference": difference, "mean_difference": difference}
        same = {"expected": "identical", "rows": 8, "cold": [], "left_behind": [], "holds": True, "note": ""}
        return {"name": name, **differences, **same, **more}

    def test_what_does_not_hold_is_told_first(self, opened):
        report = {
            "holds": False,
            "max_difference": 0.123456,
            "old_checkpoint": "old/model.ckpt-7",
            "atol": 1e-6,
            "predictions": [self.compared("logits", 0.123456, holds=False), self.compared(HOSTILE, None)],
            "layers": 2,
            "first_difference": {"layer": "dnn", "variable": "dnn/kernel", "old_variable": None, "reason": "it is cold"},
            "notes": ["A note."],
            "after_one_step": [self.compared("dnn/kernel", 0.0, cold=["m"])],
        }
        page = opened(contents_of_proof(report))
        assert page.texts("h1, h2") == ["The proof does not hold", "Predictions", "Variables after one step"]
        assert page.texts("header p") == ["old model: old/model.ckpt-7; differences up to 0.000001 are allowed"]
        assert page.texts(".said") == ["WarningThe first layer that differs: dnn (dnn/kernel): it is cold", "NoteA note."]
        assert page.texts("td") == [
            *["logits", "identical", "0.123", "0.123", "8", "no", ""],
            *[HOSTILE, "identical", "not to be compared", "not to be compared", "8", "yes", ""],
            *["dnn/kernel", "identical", "0", "0", "8", "yes", "cold: m"],
        ]


class TestTenThousand:
    def test_variables(self, opened):
        page = opened(contents_of_plans([plans.large_plan()]))
        assert page.texts("#count")[0].startswith("10,000 of 10,000 variables") and len(page.names()) == 200
        page.click("#filter")
        page.type("model_77/ block_24/ kernel")
        assert page.names() == [f"model_77/encoder/block_24/dense/kernel{slot}" for slot in ("", "/Adam", "/Adam_1")]
        page.click("#reset")
        page.click('[data-sort="bytes"]')
        assert page.names()[0] == "model_99/encoder/block_24/dense/kernel"
        assert page.run("return document.querySelectorAll('#map button').length") < 4000
        page.run("document.querySelector('#map .scope').click()")
        assert page.texts("#count")[0].startswith("100 of 10,000 variables")
        page.click("#reset")
        page.click("#more button:last-child")
        assert len(page.names()) == 10_000
