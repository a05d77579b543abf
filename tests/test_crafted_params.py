"""Params that nobody wrote by hand: one error with the place, within a moment, and nothing that a terminal would obey."""

import re

import pytest

from conftest import save_checkpoint
from estimator_warmstart import WarmStartError, hooks_from_params
from estimator_warmstart.cli import main

CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def ten_times(begin, more):
    """Twelve lines, each of which stands for ten of the one before."""
    return "ckp_dir: old\n" + begin + "".join(more(number) for number in range(1, 12))


LISTS = ten_times("a0: &a0 [x]\n", lambda number: f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]\n")
MERGES = ten_times(
    "a0: &a0 {x: 1}\n", lambda number: f"a{number}: &a{number} {{<<: [{', '.join([f'*a{number - 1}'] * 10)}]}}\n"
)
MANY = [f"k{number}" for number in range(20000)]
FILES = [
    pytest.param("a.yaml", LISTS, ["its aliases make more than 1,000,000 values"], id="aliases that multiply"),
    pytest.param("a.yaml", MERGES, ["its aliases make more than 1,000,000 values"], id="merges that multiply"),
    pytest.param("a.yaml", "a: &a [*a]\n", ["or lead to themselves"], id="an alias of itself"),
    pytest.param(
        "a.yaml",
        "ckp_dir: old\n" + "".join(f"{key}: 1\n" for key in MANY),
        ["warm_start.k0 is not known", "19,980 more keys"],
        id="20,000 keys, YAML",
    ),
    pytest.param(
        "a.json",
        '{"ckp_dir": "old"' + "".join(f', "{key}": 1' for key in MANY) + "}",
        ["19,980 more keys"],
        id="20,000 keys, JSON",
    ),
    pytest.param("a.json", '{"max_wait_secs": ' + "9" * 5000 + "}", ["a number has 5,000 digits"], id="digits"),
    pytest.param("a.yaml", "ckp_dir: old\nmax_wait_secs: " + "9" * 5000, ["a number has 5,000 digits"], id="digits, YAML"),
    pytest.param("a.yaml", "ckp_dir: old\nx: 0x" + "f" * 5000, ["a number has 5,002 digits"], id="hexadecimal digits"),
    pytest.param("a.json", '{"ckp_dir": "old", "max_wait_secs": ' + "9" * 5000 + ".5}", ["got inf"], id="digits of a fraction"),
    pytest.param("a.yaml", "ckp_dir: !!timestamp abc", ["a.yaml is not YAML"], id="a time that is none"),
    pytest.param("a.yaml", "ckp_dir: !!int ''", ["a.yaml is not YAML"], id="a number that is none"),
    pytest.param("a.json", "[" * 100000, ["a.json is not JSON"], id="brackets, JSON"),
    pytest.param("a.yaml", "[" * 2000, ["a.yaml is not YAML"], id="brackets, YAML"),
    pytest.param("a.json", r'{"ckp_dir": "old", "\u001b[31m\u202e": 1}', [r"warm_start.\x1b[31m\u202e is not"], id="key"),
    pytest.param(
        "a.json",
        r'{"ckp_dir": "old", "\u001b": 1, "\u001b": 1}',
        [r"the key '\x1b' is there twice"],
        id="a key twice",
    ),
    pytest.param(
        "a.json",
        r'{"ckp_dir": "old", "adapters": {"v": "\u001b[31m"}}',
        [r"warm_start.adapters['v'].\x1b[31m"],
        id="an adapter",
    ),
]


@pytest.mark.parametrize("name, text, words", FILES)
def test_a_file(tmp_path, monkeypatch, capsys, name, text, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    assert main(["plan", name, "--graph", "."]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("estimator-warmstart: error: ") and out == "" and len(err) < 10000 and not CONTROLS.search(err)
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    "text",
    [
        " " * 20000 + "x",
        ":" + " " * 20000 + ":" + " " * 20000 + "x",
        "0" * 20000,
        "::" + "0" * 20000,
        "9" * 5000,
        ":" + "9" * 5000,
        "0," * 20000 + "x",
    ],
    ids=["blanks", "blanks between", "zeros", "a step of zeros", "digits", "an end of digits", "commas"],
)
def test_a_slice(text):
    with pytest.raises(WarmStartError, match=r"warm_start\.adapters\['v'\]\.take must be what stands between") as raised:
        hooks_from_params({"warm_start": {"ckp_dir": "old", "adapters": {"v": {"take": text}}}})
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "pattern",
    ["(" * 5000 + ")" * 5000, "a{99999999999}", "a{" + "9" * 5000 + "}"],
    ids=[
        "parentheses",
        "repeats",
        "digits",
    ],
)
def test_a_pattern(pattern):
    adapters = {pattern: "crop_or_pad"}
    for options in ({"include": pattern}, {"exclude": pattern}, {"rename": {pattern: "a"}}, {"adapters": adapters}):
        with pytest.raises(WarmStartError, match="is not a regular expression"):
            hooks_from_params({"warm_start": {"ckp_dir": "old", **options}})


def test_a_scope_for_each_part_of_a_name(tmp_path, capsys):
    """To say what may have been meant takes the square of the number of parts."""
    prefix = save_checkpoint(tmp_path, {"a/" * 4000 + "a": [1.0]})
    assert main(["list", prefix, "--pattern", "b"]) == 2
    assert "'b' fits no old variable" in capsys.readouterr().err
