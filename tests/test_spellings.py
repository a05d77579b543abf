"""Close spellings among many names: as good as a comparison with each of them, from an index."""

import difflib
import random

import pytest

from estimator_warmstart.errors import close_spellings
from estimator_warmstart.spellings import Spellings

LAYERS = [f"layer_{number // 2}/{'bias' if number % 2 else 'kernel'}" for number in range(3000)]


def test_a_misspelt_name_among_many_is_found():
    drawn = random.Random(3)
    for name in drawn.sample(LAYERS, 100):
        place = drawn.randrange(len(name))
        misspelt = f"{name[:place]}x{name[place:]}"
        assert close_spellings(misspelt, LAYERS)[0] == name, misspelt


@pytest.mark.parametrize("name", ["layr_1499/kernel", "layer_7/kernle", "Layer_12/bias", "enc/layer_3/bias", "layer_1500/bias"])
def test_the_first_is_as_much_alike_as_any(name):
    def likeness(other):
        return difflib.SequenceMatcher(None, other, name).ratio()

    assert likeness(close_spellings(name, LAYERS)[0]) == max(map(likeness, LAYERS))


def test_the_same_last_part_is_offered_where_nothing_is_alike():
    others = [f"{number}-{number}-{number}" for number in range(1000)]
    assert close_spellings("a_quite_different_scope/gamma", [*others, "z/gamma", "z/beta"])[0] == "z/gamma"


def test_nothing_is_alike():
    assert close_spellings("xxxxxxxx", LAYERS) == []


def test_a_name_is_offered_once():
    assert close_spellings("kernle", ["kernel", "kernel"]) == ["kernel"]


@pytest.mark.parametrize("names", [[], [""], ["变量/权重", "变量/偏置"], ["a\udc80"]])
def test_any_text_is_a_name(names):
    assert sorted(Spellings(names).likely("变量/权", 5)) == sorted(names)
    assert Spellings(names).likely("b/", 5, last="c") == []
