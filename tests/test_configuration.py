"""Params to hooks: what is read, what is refused and where, and that code, JSON Schema and docs/params.md say the same."""

import argparse
import inspect
import itertools
import json
import logging
import pathlib
import pkgutil
import re
import types

import jsonschema
import numpy as np
import pytest
import tensorflow as tf
import yaml

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import ShapeAdaptingRecoverHook, VariableRecoverHook, WarmStartError, adapters
from estimator_warmstart.api.params import HOOK_OPTIONS, hooks_from_params, params_schema
from estimator_warmstart.api.params_adapters import ADAPTERS
from estimator_warmstart.slice_texts import parse_slices

tf1 = tf.compat.v1
SCHEMA = json.loads(pkgutil.get_data("estimator_warmstart", "params_schema.json").decode())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
DOCS = (pathlib.Path(__file__).resolve().parents[1] / "docs" / "params.md").read_text(encoding="utf-8")
COLD = -1.0
ONE = {"ckp_dir": "/models/old"}


def problems_of(value):
    """What is wrong with `value` under the key; empty if nothing is."""
    try:
        hooks_from_params({"warm_start": value})
    except WarmStartError as error:
        return list(error.problems)
    return []


@pytest.fixture
def vocabularies(tmp_path, monkeypatch):
    """The vocabularies of docs/params.md, in the working directory and at home."""
    (tmp_path / "films_old.txt").write_text("alien\nbrazil\n")
    (tmp_path / "films_new.txt").write_text("brazil\nmatrix\nalien\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MODELS", str(tmp_path / "models"))
    return tmp_path


def train(model_dir, params, shapes):
    """Trains one step of an Estimator with `params`; returns a reader of its first checkpoint."""

    def model_fn(features, labels, mode, params):
        used = [tf1.get_variable(name, shape, initializer=tf1.constant_initializer(COLD)) for name, shape in shapes.items()]
        loss = tf.add_n([tf.reduce_sum(v) for v in used])
        step = tf1.train.get_global_step()
        train_op = tf1.train.AdagradOptimizer(params["learning_rate"]).minimize(loss, step)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, training_hooks=hooks_from_params(params))

    estimator = tf.estimator.Estimator(model_fn, str(model_dir), params=params)
    estimator.train(lambda: tf.data.Dataset.from_tensors(0).repeat(), steps=1)
    return tf.train.load_checkpoint(str(model_dir / "model.ckpt-0"))


@needs_estimator
class TestTraining:
    def test_the_collision_from_json(self, old_dir, tmp_path):
        save_checkpoint(old_dir, {"A": np.float32([1, 2])})
        params = json.loads(
            json.dumps({"learning_rate": 0.1, "warm_start": {"ckp_dir": str(old_dir), "recover_vars": {"A": "B"}}})
        )
        reader = train(tmp_path / "new", params, {"A": [2], "B": [2]})
        assert reader.get_tensor("A").tolist() == [COLD, COLD]
        assert reader.get_tensor("B").tolist() == [1, 2]

    def test_adapters_from_yaml(self, old_dir, vocabularies, monkeypatch):
        monkeypatch.setenv("OLD_MODELS", str(old_dir.parent))
        save_checkpoint(
            old_dir,
            {
                "fm/v": np.float32([[1, 1], [2, 2], [9, 9]]),
                "dense/kernel": np.float32([[5], [6], [7]]),
                "gone": np.float32([0]),
                "cut": np.float32([1, 2, 3]),
                "fm/v/Adagrad": np.float32([[10, 10], [20, 20], [90, 90]]),
            },
        )
        params = yaml.safe_load("""
            learning_rate: 0.1
            warm_start:
              ckp_dir: $OLD_MODELS/old
              rename: {fm: ranker/fm}
              adapters:
                ranker/fm/v:
                  - remap_rows: {old_vocab: ~/films_old.txt, new_vocab: films_new.txt, num_oov_buckets: 1, fill: zeros}
                  - crop_or_pad
                dense/kernel:
                  remap_segments:
                    old_widths: [[user, 1], [film, 2]]
                    new_widths: {film: 2, genre: 1, user: 1}
                    fill: -7
                cut: {take: "[::-2]"}
        """)
        shapes = {"ranker/fm/v": [4, 3], "dense/kernel": [4, 1], "cut": [2]}
        reader = train(vocabularies / "new", params, shapes)
        assert reader.get_tensor("ranker/fm/v").tolist() == [[2, 2, COLD], [0, 0, 0], [1, 1, COLD], [9, 9, COLD]]
        assert reader.get_tensor("dense/kernel").tolist() == [[6], [7], [-7], [5]]
        assert reader.get_tensor("cut").tolist() == [3, 1]
        assert reader.get_tensor("ranker/fm/v/Adagrad")[0, :2].tolist() == [20, 20]  # By default with adapters.

    def test_two_old_models(self, tmp_path):
        for name, value in (("one", 1.0), ("two", 2.0)):
            (tmp_path / name).mkdir()
            save_checkpoint(tmp_path / name, {"v": np.float32([value])})
        params = {
            "learning_rate": 0.1,
            "warm_start": [
                {"ckp_dir": str(tmp_path / "one"), "recover_vars": {"v": ["a", "b"]}},
                {"ckp_dir": str(tmp_path / "two"), "recover_vars": {"v": "c"}},
            ],
        }
        reader = train(tmp_path / "new", params, {name: [1] for name in "abcd"})
        assert [reader.get_tensor(name).tolist() for name in "abcd"] == [[1], [1], [2], [COLD]]

    def test_too_little_is_covered(self, old_dir, tmp_path):
        save_checkpoint(old_dir, {"A": np.float32([1, 2])})
        params = {"learning_rate": 0.1, "warm_start": {"ckp_dir": str(old_dir), "include": "A", "min_coverage": 0.75}}
        with pytest.raises(WarmStartError, match="min_coverage"):
            train(tmp_path / "new", params, {"A": [2], "B": [2]})


class Params:
    """An object whose params its instances do not hold."""

    @property
    def warm_start(self):
        return ONE


class HParamsLike:
    """An object whose params only its method gives."""

    def values(self):
        return {"warm_start": ONE}


class TestWhatParamsMayBe:
    @pytest.mark.parametrize(
        "params",
        [
            {"warm_start": ONE},
            types.MappingProxyType({"warm_start": ONE}),
            types.SimpleNamespace(warm_start=ONE),
            argparse.Namespace(warm_start=argparse.Namespace(**ONE)),
            Params(),
            HParamsLike(),
            {"warm_start": [ONE]},
            {"warm_start": (ONE,)},
            {"warm_start": {"ckp_dir": pathlib.Path("/models/old")}},
        ],
        ids=["dict", "mapping", "namespace", "namespaces", "attributes", "HParams-like", "list", "tuple", "a path object"],
    )
    def test_one_hook(self, params):
        (hook,) = hooks_from_params(params)
        assert type(hook) is VariableRecoverHook

    def test_hparams(self):
        training = pytest.importorskip("tensorflow.contrib.training", reason="TensorFlow 1 has HParams")
        (hook,) = hooks_from_params(training.HParams(learning_rate=0.1, warm_start=ONE))
        assert type(hook) is VariableRecoverHook

    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"warm_start": None},
            {"warm_start": []},
            {"learning_rate": 0.1},
            types.SimpleNamespace(),
            argparse.Namespace(a=1),
        ],
        ids=str,
    )
    def test_no_hook(self, params):
        assert hooks_from_params(params) == ()

    @pytest.mark.parametrize("params", [None, "warm_start", 3, [ONE], {1}, dict, Params.__init__], ids=str)
    def test_what_is_no_mapping(self, params):
        with pytest.raises(WarmStartError, match="params must be a mapping or an object like HParams, got "):
            hooks_from_params(params)

    def test_another_key(self):
        params = {"warm_start": 3, "old": ONE}
        assert len(hooks_from_params(params, key="old")) == 1
        with pytest.raises(WarmStartError, match="key must be a name, got None"):
            hooks_from_params(params, key=None)

    @pytest.mark.parametrize(
        "params",
        [
            {"warmstart": ONE, "dropout": 0.5},
            {"warmStart": ONE},
            {"WARM_START": ONE},
            {"warm-start": ONE},
            {"wram_start": ONE},
            {"warm_strat": [ONE]},
            {"warmstar": {"ckpt_dir": "/models/old"}},
            types.SimpleNamespace(warmstart={"ckp": "/models/old"}),
        ],
        ids=str,
    )
    def test_a_misspelt_key_is_an_error(self, params):
        with pytest.raises(WarmStartError, match=r"the params have no 'warm_start', but '.*', which looks like one; write"):
            hooks_from_params(params)

    @pytest.mark.parametrize(
        "name, value",
        [
            ("warm_start_2", ONE),
            ("user_warm_start", ONE),
            ("warm_start_from", ONE),
            ("old_model", ONE),
            ("cold_start", ONE),
            ("warmstart", True),
            ("warm_starts", 3),
            ("warmup_start", {"steps": 100}),
            ("warmstart", {"learning_rate": 0.1}),
            ("warmstart", ["a", "b"]),
            ("warmstart", None),
        ],
        ids=str,
    )
    def test_a_key_of_its_own_is_none(self, name, value, caplog):
        with caplog.at_level(logging.WARNING, logger="tensorflow"):
            assert hooks_from_params({name: value, "dropout": 0.5}) == ()
        told = f"no 'warm_start', so nothing is recovered; but {name!r} has a ckp_dir" in caplog.text
        assert told == (value is ONE)

    def test_a_key_beside_the_right_one_is_none(self):
        assert hooks_from_params({"warm_start": None, "warmstart": ONE}) == ()
        assert len(hooks_from_params({"warm_start_a": ONE}, key="warm_start_a")) == 1
        assert hooks_from_params({"warm_start_a": ONE}, key="warm_start_b") == ()


class TestHook:
    @pytest.fixture
    def given(self, monkeypatch):
        """The arguments that a hook is made with, from then on."""
        given = {}
        monkeypatch.setattr("estimator_warmstart.api.params.VariableRecoverHook", lambda **options: given.update(options))
        return given

    @pytest.mark.parametrize(
        "more, hook_class",
        [
            ({}, VariableRecoverHook),
            ({"adapters": None}, VariableRecoverHook),
            ({"adapters": {}}, ShapeAdaptingRecoverHook),
            ({"adapters": []}, ShapeAdaptingRecoverHook),
            ({"adapters": {"a": "crop_or_pad"}}, ShapeAdaptingRecoverHook),
        ],
        ids=str,
    )
    def test_its_class_follows_from_adapters(self, more, hook_class):
        (hook,) = hooks_from_params({"warm_start": {**ONE, **more}})
        assert type(hook) is hook_class

    @pytest.mark.parametrize(
        "key, value",
        [
            ("when", "every_train"),
            ("missing", "keep"),
            ("with_slots", True),
            ("check_finite", True),
            ("max_wait_secs", 5),
            ("include", ["a", "b"]),
            ("exclude", "a"),
            ("rename", {"a": "b"}),
            ("collection", "trainable_variables"),
            ("min_coverage", 0.25),
            ("recover_vars", {"a": ["b", "c"]}),
            ("model_dir", "/models/new"),
        ],
        ids=str,
    )
    def test_each_argument_reaches_it(self, key, value, given):
        hooks_from_params({"warm_start": {**ONE, key: value}})
        assert given == {**ONE, key: value}

    def test_paths_are_expanded(self, given, vocabularies):
        hooks_from_params({"warm_start": {"ckp_dir": "~/old", "model_dir": "${MODELS}/new"}})
        assert given == {"ckp_dir": str(vocabularies / "old"), "model_dir": str(vocabularies / "models" / "new")}

    def test_a_scope_without_a_variable_is_an_error_when_training_begins(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.float32([1])})
        tf1.get_variable("v", [1])
        (hook,) = hooks_from_params({"warm_start": {"ckp_dir": str(old_dir), "adapters": {"w:0": "crop_or_pad"}}})
        with pytest.raises(WarmStartError, match="the adapter for 'w' fits no new variable"):
            hook.begin()


class TestSlices:
    @pytest.mark.parametrize(
        "text, index",
        [
            ("[:-1, :]", np.s_[:-1, :]),
            (":-1", np.s_[:-1]),
            (" [ 1 : 2 : 3 ] ", np.s_[1:2:3]),
            ("::-1", np.s_[::-1]),
            ("...,0", np.s_[..., 0]),
            ("[newaxis, -2:]", np.s_[np.newaxis, -2:]),
            ("::", np.s_[::]),
            ("0", np.s_[0]),
        ],
        ids=str,
    )
    def test_is_what_numpy_makes_of_it(self, text, index):
        assert parse_slices(text, "take") == (index if isinstance(index, tuple) else (index,))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "[",
            "[:",
            ":]",
            "a",
            "1.0",
            ":::",
            "::0",
            "::-00",
            "[:][:]",
            ":,",
            "[[0]]",
            "1 2",
            "- 1",
            "__import__('os')",
            "np.s_[:]",
            "1e3",
            "0x10",
            "(0)",
            "0:len(x)",
            ". . .",
            "True",
            "1_0",
        ],
        ids=repr,
    )
    def test_anything_else_is_refused(self, text):
        with pytest.raises(WarmStartError, match=r"^here must be what stands between numpy's brackets"):
            parse_slices(text, "here")
        assert problems_of({**ONE, "adapters": {"v": {"take": text}}})[0].startswith("warm_start.adapters['v'].take must be ")
        assert not VALIDATOR.is_valid({**ONE, "adapters": {"v": {"take": text}}})


def remap(**more):
    return {"adapters": {"fm/v": {"remap_rows": {"old_vocab": ["a"], "new_vocab": ["a"], **more}}}}


BAD = [
    ({}, ".ckp_dir is missing"),
    ({"ckp_dir": ""}, ".ckp_dir must be a path or a list of paths, got ''"),
    ({"ckp_dir": "a\0b"}, r".ckp_dir must be a path or a list of paths, got 'a\x00b'"),
    ({"model_dir": "a\0b"}, r".model_dir must be a path or null, got 'a\x00b'"),
    ({"ckpt_dir": "a"}, ".ckpt_dir is not known (did you mean 'ckp_dir'"),
    ({"recover_vars": {}}, ".recover_vars must be a mapping or list of pairs: old name, new name or names or null, got {}"),
    ({"recover_vars": {"a": 1}}, ".recover_vars['a'] must be a name or a list of names, got 1"),
    ({"recover_vars": {"a": []}}, ".recover_vars['a'] must be a name or a list of names, got []"),
    ({"recover_vars": {"a": ["b", None]}}, ".recover_vars['a'][1] must be a name, got None"),
    ({"recover_vars": [["a", "b", "c"]]}, ".recover_vars[0] must be a pair [name, value], got ['a', 'b', 'c']"),
    ({"recover_vars": {"a": "b"}, "include": "b"}, ".include: recover_vars says what goes where by itself"),
    ({"recover_vars": {"a": "b"}, "collection": "x"}, ".collection: recover_vars says what goes where by itself"),
    ({"include": {"a": "b"}}, ".include must be a pattern or a list of patterns or null, got {'a': 'b'}"),
    ({"with_slots": "yes"}, ".with_slots must be true or false, got 'yes'"),
    ({"with_slots": None}, ".with_slots must be true or false, got None"),
    ({"when": "every_trian"}, ".when must be 'fresh' or 'every_train', got 'every_trian' (did you mean 'every_train'?)"),
    ({"min_coverage": 90}, ".min_coverage must be a number from 0 to 1 or null, got 90"),
    ({"min_coverage": True}, ".min_coverage must be a number from 0 to 1 or null, got True"),
    ({"max_wait_secs": 0}, ".max_wait_secs must be a number above 0, got 0"),
    ({"adapters": "crop_or_pad"}, ".adapters must be a mapping or list of pairs: pattern, adapter or adapters or null"),
    ({"adapters": {"fm/v": "crop_or_pads"}}, "['fm/v'].crop_or_pads: not an adapter (did you mean 'crop_or_pad'"),
    ({"adapters": {"fm/v": "remap_rows"}}, ".adapters['fm/v'].remap_rows.old_vocab is missing"),
    ({"adapters": {"fm/v": {"transform": "tf.transpose"}}}, ".adapters['fm/v'].transform: a function is not plain data"),
    ({"adapters": {"v": {"remap_feature_columns": {}}}}, ".adapters['v'].remap_feature_columns: feature columns are not plain"),
    ({"adapters": {"v": "hash_buckets"}}, ".adapters['v'].hash_buckets: it stands for an old vocabulary"),
    ({"adapters": {"fm/v": {"compose": []}}}, ".adapters['fm/v'].compose: a list of adapters applies them"),
    ({"adapters": {"fm/v": {}}}, ".adapters['fm/v'] must name one adapter, got none"),
    ({"adapters": {"fm/v": []}}, ".adapters['fm/v'] must be an adapter such as "),
    ({"adapters": {"v": {"crop_or_pad": {}, "take": ":1"}}}, ".adapters['v'] must name one adapter, got 'crop_or_pad', 'take'"),
    ({"adapters": {"fm/v": ["crop_or_pad", 3]}}, ".adapters['fm/v'][1] must be an adapter such as 'crop_or_pad'"),
    ({"adapters": {"v": {"crop_or_pad": {"fill": "zero"}}}}, "['v'].crop_or_pad.fill must be 'initial' or 'zeros' or 'mean'"),
    ({"adapters": {"v": {"crop_or_pad": {"fill": ["zeros", "a"]}}}}, "crop_or_pad.fill[1] must be 'initial' or 'zeros' or"),
    ({"adapters": {"fm/v": {"crop_or_pad": None}}}, ".adapters['fm/v'].crop_or_pad must be a mapping, got None"),
    ({"adapters": {"fm/v": {"take": 0}}}, ".adapters['fm/v'].take must be a string such as '[:-1, :]', got 0"),
    (remap(old_vocab={"hash_bucket": 3}), ".remap_rows.old_vocab.hash_bucket is not known (did you mean 'hash_buckets'"),
    (remap(similar={"a": []}), ".remap_rows.similar['a'] must be a list of tokens, got []"),
    (remap(old_vocabs="a"), ".adapters['fm/v'].remap_rows.old_vocabs is not known (did you mean 'old_vocab'"),
    (
        remap(old_vocab=[]),
        ".adapters['fm/v'].remap_rows.old_vocab must be a path or a list of tokens or {'hash_buckets': 1000}, got []",
    ),
    (remap(old_vocab=["a", 0.5]), ".adapters['fm/v'].remap_rows.old_vocab[1] must be a string or an integer, got 0.5"),
    (remap(num_oov_buckets=-1), ".remap_rows.num_oov_buckets must be an integer of 0 or more, got -1"),
    (remap(axis="0"), ".adapters['fm/v'].remap_rows.axis must be an integer, got '0'"),
    (
        {"adapters": {"k": {"remap_segments": {"old_widths": {"a": 0}, "new_widths": {}}}}},
        ".adapters['k'].remap_segments.old_widths['a'] must be an integer of 1 or more, got 0",
    ),
]
# What only reading finds out, and the schema cannot tell.
BAD_FOR_THE_CODE = [
    ({"adapters": {"v": {"rehash_rows": {"old_buckets": 4, "new_buckets": 6}}}}, "near 6, 4 or 8 would do"),
    (
        {"include": ["a", "b("]},
        ".include[1]: the pattern 'b(' is not a regular expression: missing ), unterminated subpattern at position 1",
    ),
    ({"rename": {"b(": "c"}}, ".rename: the pattern 'b(' is not a regular expression: missing ), unterminated subpattern at"),
    ({"rename": {"b": r"\2"}}, ".rename['b']: the replacement '\\\\2' is not valid: invalid group reference 2 at position 1"),
    ({"adapters": {"b(": "crop_or_pad"}}, ".adapters['b(']: the pattern 'b(' is not a regular expression"),
    ({"adapters": [["a", "crop_or_pad"], ["a", "crop_or_pad"]]}, ".adapters['a']: 'a' is there twice"),
    ({"adapters": {"a": "crop_or_pad", "a:0": "crop_or_pad"}}, ".adapters['a:0']: 'a' is there twice"),
    ({"adapters": {"s/a": "crop_or_pad", "/s/a/": "crop_or_pad"}}, ".adapters['/s/a/']: 's/a' is there twice"),
    ({"recover_vars": [["a", "b"], ["a", "c"]]}, ".recover_vars['a']: 'a' is there twice"),
    (remap(old_vocab="gone.txt"), ".adapters['fm/v'].remap_rows.old_vocab: the vocabulary gone.txt cannot be read"),
    (
        remap(new_vocab=["b", "b"]),
        ".remap_rows.new_vocab: the vocabulary (a sequence) contains duplicate tokens",
    ),
    (remap(old_vocab_size=2), ".adapters['fm/v'].remap_rows.old_vocab: the vocabulary (a sequence) has 1 tokens, fewer than"),
    (remap(aliases={"a": "x"}), ".adapters['fm/v'].remap_rows: remap_rows: aliases['a'] = 'x', but 'x' is not in"),
]


class TestBadInput:
    @pytest.mark.parametrize("value, told", BAD, ids=[told for _, told in BAD])
    def test_is_refused_with_its_place(self, value, told):
        value = {**ONE, **value} if value else value
        assert any(problem.startswith("warm_start") and told in problem for problem in problems_of(value)), problems_of(value)
        assert not VALIDATOR.is_valid(value)

    @pytest.mark.parametrize("value, told", BAD_FOR_THE_CODE, ids=[told for _, told in BAD_FOR_THE_CODE])
    def test_what_a_schema_cannot_tell(self, value, told):
        (problem,) = problems_of({**ONE, **value})
        assert problem.startswith("warm_start") and told in problem
        assert VALIDATOR.is_valid({**ONE, **value})

    @pytest.mark.parametrize("value", [3, "/models/old", True], ids=str)
    def test_what_is_no_mapping(self, value):
        assert problems_of(value) == [f"warm_start must be a mapping, got {value!r}"]
        assert problems_of([ONE, value]) == [f"warm_start[1] must be a mapping, got {value!r}"]

    def test_keys_that_yaml_makes_no_strings_of(self):
        assert problems_of({**ONE, "recover_vars": {1: "a"}}) == ["warm_start.recover_vars[1]: a name is a string, got 1"]
        assert problems_of({**ONE, True: 1})[0].startswith("warm_start.True is not known")

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400], ids=["nan", "inf", "huge"])
    def test_numbers_that_are_none(self, number):
        (problem,) = problems_of({**ONE, "max_wait_secs": number})
        assert problem.startswith("warm_start.max_wait_secs must be a number above 0, got ")

    def test_all_problems_come_at_once(self):
        with pytest.raises(WarmStartError) as caught:
            hooks_from_params(
                {
                    "warm_start": [
                        {
                            "ckp_dirs": "a",
                            "adapters": {"v": [{"take": "x"}, {"remap_rows": {"old_vocab": "/a", "new_vocab": "/b"}}]},
                        },
                        {**ONE, "missing": "kept", "rename": {"(": "a", "b": 1}},
                    ]
                }
            )
        places = [re.match(r"[^ :]*", problem).group() for problem in caught.value.problems]
        assert places == [
            "warm_start[0].ckp_dirs",
            "warm_start[0].ckp_dir",
            "warm_start[0].adapters['v'][0].take",
            "warm_start[0].adapters['v'][1].remap_rows.old_vocab",
            "warm_start[0].adapters['v'][1].remap_rows.new_vocab",
            "warm_start[1].missing",
            "warm_start[1].rename['b']",
            "warm_start[1].rename",
        ]
        assert str(caught.value).startswith("invalid warm-start params, 8 problems:\n  * warm_start[0]")


PLAIN = [
    None,
    True,
    False,
    0,
    1,
    -1,
    0.5,
    1.0,
    -1.5,
    "",
    "a",
    ":1",
    "zeros",
    "fresh",
    "keep",
    "crop_or_pad",
    "take",
    "a\0",
    [],
    ["a"],
    [1],
    [None],
    ["a", 1.0],
    [["a"]],
    [["a", "a"]],
    [["a", 1]],
    [["a", "a", "a"]],
    [["", "a"]],
    [[1, "a"]],
    {},
    {"a": "a"},
    {"a": 1},
    {"a": None},
    {"a": ["a"]},
    {"a": []},
    {"": "a"},
    {"a": "crop_or_pad"},
    {"a": {"take": ":1"}},
    {"a": ["crop_or_pad", {"crop_or_pad": {"fill": 0}}]},
    {"a": {"crop_or_pad": {}, "take": ":"}},
    {"a": {"take": "x"}},
    {"fill": "mean"},
    {"fill": "a"},
    {"fill": ["zeros", 1]},
    ["zeros", "initial"],
    {"take": ":1"},
    {"old_vocab": ["a"], "new_vocab": "a"},
    {"old_vocab": ["a"]},
    {"old_widths": {"a": 1}, "new_widths": [["a", 2.0]]},
    {"old_widths": {"a": 1.5}, "new_widths": {"a": 1}},
    {"old_buckets": 2, "new_buckets": 4.0},
    {"old_buckets": 2},
    {"shrink": 0.5, "noise_stddev": 0},
    {"hash_buckets": 3},
    {"hash_buckets": 3, "key": [1, 2.0]},
    {"hash_buckets": 3, "key": [1]},
    {"hash_buckets": 0},
]
NEEDED = {
    "html": {"model_dir": "new"},
    "rehash_rows": {"old_buckets": 1, "new_buckets": 1},
    # With the tokens that aliases and similar speak of.
    "remap_rows": {
        "old_vocab": ["a", *"01234", "mean", "crop_or_pad", ":1", "zeros"],
        "new_vocab": ["a", "fill", "take", "", "old_buckets", "new_buckets", "hash_buckets", "old_vocab"],
    },
    "remap_segments": {"old_widths": {"a": 1}, "new_widths": {"a": 1}},
    "shrink_perturb": {"shrink": 0.5, "noise_stddev": 0.1},
}


def places():
    """Functions that put a value somewhere into a warm start, by the name of the place."""
    yield "", lambda value: value
    for key in HOOK_OPTIONS:
        yield key, lambda value, key=key: {**ONE, **NEEDED.get(key, {}), key: value}
    for name, kind in ADAPTERS.items():
        yield name, lambda value, name=name: {**ONE, "adapters": {"v": {name: value}}}
        for key in kind.schema.get("properties", ()):
            yield (
                f"{name}.{key}",
                lambda value, name=name, key=key: {**ONE, "adapters": {"v": [{name: {**NEEDED.get(name, {}), key: value}}]}},
            )


class TestSchema:
    def test_the_published_file_is_what_the_code_says(self):
        # If it differs, write json.dumps(params_schema(), indent=2) and a newline into params_schema.json.
        assert params_schema() == SCHEMA
        jsonschema.Draft7Validator.check_schema(SCHEMA)

    @pytest.mark.parametrize("put", [pytest.param(put, id=place or "all") for place, put in places()])
    def test_accepts_exactly_what_the_code_accepts(self, put, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for name in ("a", ":1", "zeros", "fresh", "keep", "crop_or_pad", "take"):  # Vocabularies, where a path is read.
            (tmp_path / name).write_text("a\n")
        values = [put(value) for value in PLAIN]
        by_code = {repr(value): not problems_of(value) for value in values}
        assert by_code == {repr(value): VALIDATOR.is_valid(value) for value in values}
        assert len(set(by_code.values())) == 2

    @pytest.mark.parametrize("key", ["include", "exclude", "rename", "collection"])
    def test_recover_vars_goes_without_patterns(self, key):
        for mine, theirs in itertools.product([None, {"a": "a"}], [None, [] if key != "collection" else "a"]):
            value = {**ONE, "recover_vars": mine, key: theirs}
            assert VALIDATOR.is_valid(value) == (not problems_of(value)) == (mine is None or theirs is None)

    def test_a_page_needs_a_place(self):
        for page, place in itertools.product([False, True], [{}, {"model_dir": None}, {"model_dir": "new"}]):
            value = {**ONE, "html": page, **place}
            assert VALIDATOR.is_valid(value) == (not problems_of(value)) == (not page or place == {"model_dir": "new"})

    def test_has_every_argument_of_the_hooks(self):
        assert sorted(HOOK_OPTIONS) == sorted(inspect.signature(ShapeAdaptingRecoverHook).parameters)
        assert sorted(set(HOOK_OPTIONS) - {"adapters"}) == sorted(inspect.signature(VariableRecoverHook).parameters)

    def test_has_every_adapter_and_its_arguments(self):
        assert sorted(set(adapters.__all__) - set(ADAPTERS)) == [
            "compose",
            "hash_buckets",
            "remap_feature_columns",
            "transform",
        ]
        for name, kind in ADAPTERS.items():
            arguments = sorted(inspect.signature(getattr(adapters, name)).parameters)
            assert arguments == (["index"] if name == "take" else sorted(kind.schema["properties"]))


ROWS = {key: cells for key, *cells in re.findall(r"^\| `([\w.]+)` \| (.*?) \| (.*?) \| `(.*)` \|$", DOCS, re.MULTILINE)}


class TestDocs:
    def test_has_every_key_in_order(self):
        keys = list(HOOK_OPTIONS)
        for name, kind in ADAPTERS.items():
            keys += [name] + [f"{name}.{key}" for key in kind.schema.get("properties", ())]
        assert list(ROWS) == keys

    @pytest.mark.parametrize("key", sorted(ROWS))
    def test_says_what_it_must_be_and_its_default(self, key):
        name, _, argument = key.partition(".")
        what, default, _ = ROWS[key]
        if name in HOOK_OPTIONS:
            signature, kind = inspect.signature(VariableRecoverHook).parameters, HOOK_OPTIONS[name]
        else:
            signature, kind = inspect.signature(getattr(adapters, name)).parameters, ADAPTERS[name]
        if argument:
            what_is_right = [
                rule
                for rule in problems_of({**ONE, "adapters": {"v": {name: {argument: object()}}}})
                if rule.startswith(f"warm_start.adapters['v'].{key} must be ")
            ]
            assert what_is_right[0].startswith(f"warm_start.adapters['v'].{key} must be {what}, got ")
        else:
            assert kind.says == what
        expected = "-" if name in ADAPTERS and not argument else "`null`" if key == "adapters" else None
        if expected is None:
            given = signature[argument or name].default
            expected = "required" if given is inspect.Parameter.empty else f"`{json.dumps(given)}`"
        assert default.split(";")[0] == expected

    @pytest.mark.parametrize("key", sorted(ROWS))
    def test_has_an_example_that_is_accepted(self, key, vocabularies):
        name, _, argument = key.partition(".")
        example = json.loads(ROWS[key][2])
        needed = {**NEEDED, "remap_rows": {"old_vocab": "films_old.txt", "new_vocab": "films_new.txt"}}
        if name in HOOK_OPTIONS:
            value = {**ONE, **needed.get(name, {}), name: example}
        else:
            value = {**ONE, "adapters": {"v": {name: {**needed.get(name, {}), argument: example} if argument else example}}}
        assert problems_of(value) == []
        assert VALIDATOR.is_valid(value)

    @needs_estimator
    def test_the_python_and_the_yaml_blocks(self, vocabularies):
        python, settings = (re.search(rf"```{language}\n(.*?)```", DOCS, re.DOTALL).group(1) for language in ("python", "yaml"))
        names = {}
        exec(python, names)
        params = yaml.safe_load(settings)
        with tf.Graph().as_default():
            (hook,) = names["model_fn"]({}, None, "train", params).training_hooks
            assert type(hook) is ShapeAdaptingRecoverHook
        with tf.Graph().as_default():
            assert not names["model_fn"]({}, None, "eval", params).training_hooks
        assert VALIDATOR.is_valid(params["warm_start"])

    def test_the_schema_is_found_as_it_says(self):
        names = {}
        exec(re.findall(r"```python\n(.*?)```", DOCS.split("## JSON Schema")[1], re.DOTALL)[0], names)
        assert names["schema"] == SCHEMA
