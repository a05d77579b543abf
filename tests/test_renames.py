"""Guessed renames: of few variables and of thousands, as few rules as say them."""

import pytest

from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.plan.differences import RENAMED, find_differences

WORDS = [f"{first}{second}{third}" for first in "abcdefghij" for second in "klmnopqrst" for third in "uvwxyz"]


def checkpoint(names):
    """A checkpoint whose kernels are [2, 2] and whose other variables are [2]."""
    return Checkpoint(
        "model.ckpt",
        "name-based",
        {name: OldVariable(name, (2, 2) if "kernel" in name else (2,), "float32", name) for name in sorted(names)},
        {},
    )


def layers(form, count=1200):
    return [
        form.format(number // 2, WORDS[number // 2 % len(WORDS)], ("kernel", "bias")[number % 2]) for number in range(count)
    ]


@pytest.mark.parametrize("count", [6, 1200])
@pytest.mark.parametrize(
    "old, new, rules",
    [
        ("enc/layer{0}/{2}", "encoder/layer{0}/{2}", {"enc": "encoder"}),
        ("layer{0}/{2}", "encoder/layer{0}/{2}", {"": "encoder"}),
        ("enc/{1}/{2}", "encoder/{1}/{2}", {"enc": "encoder"}),
        ("enc/layer_{0}/{2}", "enc/block_{0}/{2}", {r"enc/layer_(\d+)": r"enc/block_\1"}),
        ("a{0}/b{0}/{2}", "c{0}/d{0}/{2}", {r"a(\d+)/b(\d+)": r"c\1/d\2"}),
        (
            "enc/layer_{0}/{2}",
            "enc/layer_{0}/{2}_",
            {r"enc/layer_(\d+)/kernel": r"enc/layer_\1/kernel_", r"enc/layer_(\d+)/bias": r"enc/layer_\1/bias_"},
        ),
    ],
    ids=["scope", "root", "words", "layers", "nested", "last parts"],
)
def test_one_rule_for_all_that_it_renames(old, new, rules, count):
    olds, news = layers(old, count), layers(new, count)
    found = find_differences(checkpoint(olds), checkpoint(news))
    assert {each.new.name: each.old.name for each in found.of_kind(RENAMED)} == dict(zip(news, olds))
    assert dict(found.rename) == rules


def test_layers_that_stay_are_not_in_the_rule():
    names = layers("layer_{0}/{2}", 8)
    renamed = [name.replace("layer", "block") if name[6] in "12" else name for name in names]
    found = find_differences(checkpoint(names), checkpoint(renamed))
    assert dict(found.rename) == {"layer_1": "block_1", "layer_2": "block_2"}


def test_two_scopes_of_thousands():
    old = layers("enc/layer{0}/{2}") + layers("dec/layer{0}/{2}")
    new = layers("encoder/layer{0}/{2}") + layers("decoder/layer{0}/{2}")
    assert dict(find_differences(checkpoint(old), checkpoint(new)).rename) == {"enc": "encoder", "dec": "decoder"}


def test_no_old_variable_becomes_two_new_ones():
    old, new = layers("one/{1}/{0}/{2}"), [f"two/{name[::-1]}/kernel" for name in layers("{1}{0}", 600)]
    olds = [each.old.name for each in find_differences(checkpoint(old), checkpoint(new)).of_kind(RENAMED)]
    assert olds and len(olds) == len(set(olds))
