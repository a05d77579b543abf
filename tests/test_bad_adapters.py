"""What adapters refuse: one WarmStartError, before anything is touched, that says what does not fit."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import run_python, save_checkpoint
from estimator_warmstart import ShapeAdaptingRecoverHook, WarmStartError, adapters, plan_recovery
from shared_models import vocabulary

tf1 = tf.compat.v1

OLD = {"v": np.float32([[1, 2], [3, 4], [5, 6]]), "w": np.float32([1, 2, 3])}


def refused(old_dir, named, shapes, old=None, recover_vars=None, **options):
    """The error of a hook's `begin`, once it is sure that the graph is as it was."""
    save_checkpoint(old_dir, OLD if old is None else old)
    with tf.Graph().as_default() as graph:
        for name, shape in shapes.items():
            tf1.get_variable(name, shape, initializer=tf1.constant_initializer(-1.0))
        before = graph.as_graph_def()
        hook = ShapeAdaptingRecoverHook(str(old_dir), recover_vars, named, **options)
        with pytest.raises(WarmStartError) as caught:
            hook.begin()
        assert graph.as_graph_def() == before
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            assert all(np.all(value == -1) for value in session.run(tf1.global_variables()))
    return caught.value


@pytest.mark.parametrize(
    "adapter, shape, parts",
    [
        pytest.param(
            adapters.take(np.s_[:-1]),
            [3, 2],
            [
                "take(np.s_[:-1]) turns the old 'v' [3, 2] into [2, 2]",
                "'v' has shape [3, 2]",
                "2 instead of 3 on axis 0",
            ],
            id="take",
        ),
        pytest.param(
            adapters.take(np.s_[0]), [3, 2], ["take(np.s_[0]) turns", "into [2]", "1 axes instead of 2"], id="take an axis away"
        ),
        pytest.param(
            adapters.take(np.s_[:, :, 0]),
            [3, 2],
            [
                "take(np.s_[:, :, 0])",
                "does not fit [3, 2]",
            ],
            id="take too deep",
        ),
        pytest.param(adapters.take(np.s_[5]), [2], ["take(np.s_[5])", "does not fit [3, 2]"], id="take out of bounds"),
        pytest.param(
            adapters.crop_or_pad(),
            [3, 2, 1],
            [
                "crop_or_pad(fill='initial')",
                "'v' [3, 2, 1]",
                "'v' [3, 2]",
                "2 axes",
                "has 3",
            ],
            id="crop_or_pad of another rank",
        ),
        pytest.param(
            adapters.remap_rows(list("abc"), list("abcd")),
            [6, 2],
            [
                "remap_rows(",
                "turns the old 'v' [3, 2] into [4, 2]",
                "'v' has shape [6, 2]",
                "4 instead of 6 on axis 0",
            ],
            id="fewer tokens than rows",
        ),
        pytest.param(
            adapters.remap_rows(list("abc"), list("abcd")),
            [3, 2],
            [
                "4 instead of 3 on axis 0",
            ],
            id="more tokens than rows",
        ),
        pytest.param(
            adapters.remap_rows(list("abc"), list("abc"), num_oov_buckets=2),
            [4, 2],
            [
                "into [5, 2]",
                "5 instead of 4 on axis 0",
            ],
            id="more buckets than rows",
        ),
        pytest.param(
            adapters.remap_rows(list("abcd"), list("abc")),
            [3, 2],
            [
                "remap_rows(",
                "4 tokens",
                "the old variable's 3 on axis 0",
                "'v' [3, 2]",
            ],
            id="more old tokens than rows",
        ),
        pytest.param(
            adapters.remap_rows(list("abc"), list("abc"), axis=1),
            [3, 2],
            [
                "3 tokens",
                "the old variable's 2 on axis 1",
            ],
            id="tokens on the wrong axis",
        ),
        pytest.param(adapters.remap_rows(["a"], ["a"], axis=2), [3, 2], ["[3, 2] has no axis 2"], id="no such axis"),
        pytest.param(adapters.remap_rows(["a"], ["a"], axis=-3), [3, 2], ["[3, 2] has no axis -3"], id="no such negative axis"),
        pytest.param(
            adapters.remap_segments({"x": 2, "y": 2}, {"x": 3}),
            [3, 2],
            [
                "remap_segments(2 -> 1 features)",
                "old_widths add up to 4",
                "the old variable has 3 on axis 0",
            ],
            id="old widths",
        ),
        pytest.param(
            adapters.remap_segments({"x": 2, "y": 1}, {"x": 3, "z": 1}),
            [3, 2],
            [
                "remap_segments(2 -> 2 features) turns",
                "into [4, 2]",
                "4 instead of 3 on axis 0",
            ],
            id="new widths",
        ),
        pytest.param(
            adapters.transform(tf.transpose),
            [3, 2],
            [
                "transform(transpose",
                "into [2, 3]",
                "2 instead of 3 on axis 0",
            ],
            id="transform",
        ),
        pytest.param(
            adapters.transform(lambda tensor: tensor[:, None]),
            [3, 2],
            [
                "3 axes instead of 2",
            ],
            id="transform to another rank",
        ),
        pytest.param(
            adapters.transform(lambda tensor: tf.cast(tensor, tf.int32)),
            [3, 2],
            [
                "turns float32",
                "into int32",
            ],
            id="transform to another dtype",
        ),
        pytest.param(
            adapters.transform(lambda tensor: 1 // 0),
            [3, 2],
            [
                "raised ZeroDivisionError for [3, 2]",
            ],
            id="a function that raises",
        ),
        pytest.param(
            adapters.transform(lambda tensor: None),
            [3, 2],
            [
                "transform(<lambda>)",
                "None",
            ],
            id="a function without a result",
        ),
        pytest.param(
            [adapters.crop_or_pad(), adapters.transform(tf.transpose)],
            [2, 3],
            [
                "fill='initial' before a transform",
                "'zeros', 'mean' or a number",
            ],
            id="initial values before a transform",
        ),
        pytest.param(
            [adapters.take(np.s_[:2]), adapters.remap_rows(list("abc"), list("ab"))],
            [2, 2],
            [
                "take(np.s_[:2]) then remap_rows(",
                "3 tokens",
            ],
            id="a composition",
        ),
    ],
)
def test_results_that_do_not_fit(old_dir, adapter, shape, parts):
    message = str(refused(old_dir, {"v": adapter}, {"v": shape}))
    assert [part for part in parts if part not in message] == [], message
    assert str(old_dir) in message


def test_ranks_that_differ_without_an_adapter(old_dir):
    message = str(refused(old_dir, {}, {"w": [3, 1]}))
    assert "'w' [3, 1]" in message and "'w' [3]" in message and "rank" in message


def test_all_problems_at_once(old_dir, tmp_path):
    error = refused(
        old_dir,
        {"v": adapters.take(np.s_[:1]), "w": adapters.remap_rows(list("abcd"), ["a"]), "q": adapters.crop_or_pad()},
        {"v": [3, 2], "w": [1], "x": [1]},
        recover_vars={"v": "v", "w": "w", "missing": "x"},
    )
    assert len(error.problems) == 4
    for problem, part in zip(error.problems, ["take(np.s_[:1])", "4 tokens", "no 'missing'", "'q' fits no new variable"]):
        assert part in problem and problem in str(error)


class TestUnusedAdapters:
    def test_fits_nothing(self, old_dir):
        error = refused(
            old_dir,
            {"encoder/kernl": adapters.crop_or_pad()},
            {"encoder/kernel": [2], "w": [3]},
            recover_vars={
                "w": ["w", "encoder/kernel"],
            },
        )
        assert "'encoder/kernl' fits no new variable" in str(error) and "did you mean 'encoder/kernel'" in str(error)

    def test_fits_only_what_is_not_recovered(self, old_dir):
        error = refused(old_dir, {"tower": adapters.crop_or_pad()}, {"tower/w": [3], "w": [3]})
        assert "'tower' fits no new variable that is recovered" in str(error)

    def test_an_earlier_one_takes_it_all(self, old_dir):
        error = refused(old_dir, {"[vw]": adapters.crop_or_pad(), "w": adapters.take(np.s_[:1])}, {"v": [3, 2], "w": [3]})
        assert "'w' is never used: an earlier one fits" in str(error)


class TestVocabularies:
    def test_missing(self, tmp_path):
        path = str(tmp_path / "gone.txt")
        with pytest.raises(WarmStartError, match=r"gone\.txt cannot be read"):
            adapters.remap_rows(path, ["a"])
        with pytest.raises(WarmStartError, match=r"gone\.txt cannot be read"):
            adapters.remap_rows(["a"], path)

    def test_a_directory(self, tmp_path):
        with pytest.raises(WarmStartError, match="cannot be read"):
            adapters.remap_rows(str(tmp_path), ["a"])

    @pytest.mark.parametrize("old, new", [(True, False), (False, True)], ids=["old", "new"])
    def test_empty(self, tmp_path, old, new):
        empty = vocabulary(tmp_path)
        with pytest.raises(WarmStartError, match=r"vocabulary0\.txt is empty"):
            adapters.remap_rows(empty if old else ["a"], empty if new else ["a"])
        with pytest.raises(WarmStartError, match="is empty"):
            adapters.remap_rows([] if old else ["a"], [] if new else ["a"])

    def test_longer_than_the_table(self, old_dir, tmp_path):
        old, new = vocabulary(tmp_path, *"abcd"), vocabulary(tmp_path, *"ab")
        message = str(refused(old_dir, {"v": adapters.remap_rows(old, new)}, {"v": [2, 2]}))
        assert old in message and "4 tokens, more than the old variable's 3" in message

    def test_duplicates_with_line_numbers(self, tmp_path):
        path = vocabulary(tmp_path, "x", "b", "a", "b", "c", "a", "x", "x", "d", "d")
        with pytest.raises(WarmStartError) as caught:
            adapters.remap_rows(["a"], path)
        assert path in str(caught.value)
        assert "'x' in lines 1 and 7 and 8; 'b' in lines 2 and 4; 'a' in lines 3 and 6; and 1 more" in str(caught.value)

    def test_duplicates_of_a_sequence(self):
        with pytest.raises(WarmStartError, match="'7' in tokens 1 and 3"):
            adapters.remap_rows([7, 8, "7"], ["a"])

    def test_duplicates_beyond_those_that_count(self, tmp_path):
        adapters.remap_rows(vocabulary(tmp_path, "a", "b", "a"), ["a"], old_vocab_size=2)

    @pytest.mark.parametrize("size", [0, -1, 1.5, True, "2"])
    def test_sizes(self, size):
        with pytest.raises(WarmStartError, match="old_vocab_size must be positive or None"):
            adapters.remap_rows(["a"], ["a"], old_vocab_size=size)
        with pytest.raises(WarmStartError, match="new_vocab_size must be positive or None"):
            adapters.remap_rows(["a"], ["a"], new_vocab_size=size)

    def test_shorter_than_what_counts(self, tmp_path):
        with pytest.raises(WarmStartError, match="has 2 tokens, fewer than the 3 that are to be used"):
            adapters.remap_rows(vocabulary(tmp_path, "a", "b"), ["a"], old_vocab_size=3)

    @pytest.mark.parametrize(
        "source, message",
        [
            ({"a": 1}, "a file or a sequence of tokens"),
            (5, "a file or a sequence of tokens"),
            (None, "a file or a sequence"),
            (["a", 1.5], "str, bytes or int, got 1.5"),
            ([True], "str, bytes or int, got True"),
            (["a\nb"], "newline"),
        ],
        ids=["dict", "int", "None", "float token", "bool token", "newline in a token"],
    )
    def test_what_is_no_vocabulary(self, source, message):
        with pytest.raises(WarmStartError, match=message):
            adapters.remap_rows(source, ["a"])

    @pytest.mark.parametrize("buckets", [-1, 1.5, True, None, "1"])
    def test_buckets(self, buckets):
        with pytest.raises(WarmStartError, match="num_oov_buckets must be 0 or more"):
            adapters.remap_rows(["a"], ["a"], num_oov_buckets=buckets)

    def test_no_buckets_are_legal(self):
        adapters.remap_rows(["a"], ["a"], num_oov_buckets=0)

    @pytest.mark.parametrize(
        "aliases, message",
        [
            ({"q": "a"}, r"aliases\['q'\] = 'a', but 'q' is not in the sequence of 2 tokens"),
            ({"b": "q"}, r"aliases\['b'\] = 'q', but 'q' is not in the sequence of 1 tokens"),
            (["b"], "aliases must be {new token: old token}"),
            ({"b": 1.5}, "str, bytes or int, got 1.5"),
        ],
        ids=["new token", "old token", "list", "float token"],
    )
    def test_aliases(self, aliases, message):
        with pytest.raises(WarmStartError, match=message):
            adapters.remap_rows(["a"], ["a", "b"], aliases=aliases)


@pytest.mark.parametrize(
    "widths, message",
    [
        ({"x": 0}, r"\['x'\] must be a positive int, got 0"),
        ({"x": -2}, "got -2"),
        ({"x": 1.5}, "got 1.5"),
        ({"x": True}, "got True"),
        (7, "feature name: width"),
        (["x"], "feature name: width"),
        ([("x", 1), ("x", 2)], "names a feature twice"),
    ],
    ids=["zero", "negative", "float", "bool", "int", "list", "twice"],
)
def test_segment_widths(widths, message):
    for arguments in ((widths, {"x": 1}), ({"x": 1}, widths)):
        with pytest.raises(WarmStartError, match=message):
            adapters.remap_segments(*arguments)


@pytest.mark.parametrize("fill", ["zero", "", None, True, 1j, {0}, float("nan"), np.nan, float("inf"), -np.inf], ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda fill: adapters.crop_or_pad(fill),
        lambda fill: adapters.remap_rows(["a"], ["a"], fill=fill),
        lambda fill: adapters.remap_segments({"x": 1}, {"x": 1}, fill=fill),
    ],
    ids=["crop_or_pad", "remap_rows", "remap_segments"],
)
def test_fills(fill, make):
    with pytest.raises(WarmStartError, match="fill must be"):
        make(fill)


@pytest.mark.parametrize(
    "fill, told",
    [
        (("zeros", "initials"), r"fill\[1\] must be 'initial' or .*did you mean 'initial'"),
        ([None, 1], r"fill\[0\] must be"),
        ((), "fill is empty"),
        ((("zeros",), 1), r"fill\[0\] must be"),
    ],
    ids=str,
)
def test_a_fill_for_each_axis(fill, told):
    with pytest.raises(WarmStartError, match=told):
        adapters.crop_or_pad(fill)


def test_another_number_of_fills_than_of_axes(old_dir):
    error = refused(old_dir, {"[vw]": adapters.crop_or_pad(("zeros", "initial"))}, {"v": [4, 3], "w": [4]})
    assert len(error.problems) == 1
    assert "crop_or_pad(fill=('zeros', 'initial')) cannot turn the old 'w' [3]" in str(error)
    assert "fill has 2 entries, and [4] has 1 axes; give one fill for each axis" in str(error)


@pytest.mark.parametrize("index", [[0, 1], "x", 1.5, np.array([0]), np.s_[0, [1]], True], ids=repr)
def test_take_is_basic_slicing(index):
    with pytest.raises(WarmStartError, match="take: an index is made of ints, slices"):
        adapters.take(index)


@pytest.mark.parametrize(
    "named, message",
    [
        ([adapters.crop_or_pad()], "adapters must be a dict .* got list"),
        ({"v": "crop"}, "an adapter .* is needed, got 'crop'"),
        ({"v": []}, "adapters are needed"),
        ({"v": adapters.crop_or_pad}, "is needed, got <function"),
        ({"v": [adapters.crop_or_pad(), None]}, "adapters are needed"),
        ({"v(": adapters.crop_or_pad()}, "not a regular expression"),
        ({1: adapters.crop_or_pad()}, "a pattern is a string, got 1"),
    ],
    ids=["list", "string", "empty list", "factory", "None in a list", "pattern", "int"],
)
def test_what_is_no_adapter_at_once(named, message):
    with pytest.raises(WarmStartError, match=message):
        ShapeAdaptingRecoverHook("anywhere", None, named)
    with pytest.raises(WarmStartError, match="function of a tensor"):
        adapters.transform("transpose")


def test_dtypes_that_differ(old_dir):
    error = refused(old_dir, {}, {"i": [3]}, old={"i": np.int32([1, 2, 3])})
    assert "the new 'i' is float32, the old 'i' is int32" in str(error)


class TestFinite:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_nan_and_infinity_are_counted(self, old_dir, new_graph, dtype):
        values = {
            "good": dtype([1, 2]),
            "ids": np.int64([1]),
            "v": dtype([1, np.nan, np.nan]),
            "w": dtype([-np.inf, 1, np.inf]),
        }
        save_checkpoint(old_dir, values)
        for name, value in values.items():
            tf1.get_variable(name, initializer=np.zeros_like(value))
        before = new_graph.as_graph_def()
        with pytest.raises(WarmStartError) as caught:
            ShapeAdaptingRecoverHook(str(old_dir), check_finite=True).begin()
        assert new_graph.as_graph_def() == before
        first, second = caught.value.problems
        assert "'v' [3] has 2 NaN and 0 infinite" in first and "'w' [3] has 0 NaN and 2 infinite" in second
        ShapeAdaptingRecoverHook(str(old_dir)).begin()  # Looked at only if asked for.

    def test_what_is_not_recovered_may_be_nan(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.float32([1]), "w": np.float32([np.nan])})
        tf1.get_variable("v", [1])
        ShapeAdaptingRecoverHook(str(old_dir), check_finite=True).begin()

    def test_slots_too(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.float32([1]), "v/Adagrad": np.float32([np.nan])})
        tf1.train.AdagradOptimizer(0.1).minimize(tf.reduce_sum(tf1.get_variable("v", [2])))
        with pytest.raises(WarmStartError, match=r"'v/Adagrad' \[1\] has 1 NaN"):
            ShapeAdaptingRecoverHook(str(old_dir), check_finite=True).begin()

    def test_a_large_table_is_not_in_memory_as_a_whole(self, old_dir):
        values = np.zeros([15000000], np.float32)
        values[-1] = np.nan
        prefix = save_checkpoint(old_dir, {"v": values})
        # By way of a small process: Linux takes the peak of the one it was forked from for a process' own.
        start = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', *sys.argv[1:]]))"
        done = run_python(start, FINITE, prefix)
        assert done.returncode == 0, done.stderr
        peak, _, told = done.stdout.partition(" ")
        assert "'v' [15000000] has 1 NaN and 0 infinite values" in told and int(peak) < values.nbytes / 2


FINITE = """
import resource, sys
import tensorflow as tf
from estimator_warmstart import VariableRecoverHook
from estimator_warmstart.errors import WarmStartError
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tf.compat.v1.disable_eager_execution()
tf.compat.v1.get_variable("v", [15000000], initializer=tf.compat.v1.zeros_initializer())
before = peak()
try:
    VariableRecoverHook(sys.argv[1], check_finite=True).begin()
except WarmStartError as error:
    print((peak() - before) * (1 if sys.platform == "darwin" else 1024), error)
"""


def test_planning_alone_leaves_the_graph_as_it_is(old_dir, new_graph):
    save_checkpoint(old_dir, OLD)
    tf1.get_variable("v", [2, 3])
    before = new_graph.as_graph_def()
    plan = plan_recovery(str(old_dir), None, {"v": adapters.transform(tf.transpose)})
    assert [planned.action for planned in plan.variables] == ["adapted"] and new_graph.as_graph_def() == before


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: adapters.remap_rows(["\udcff"], ["a"]), "is not valid text"),
        (lambda: adapters.remap_rows(b"\xff", ["a"]), "a vocabulary must be a file's path or a sequence of tokens"),
        (lambda: adapters.remap_segments({"a": 1}, {}), "new_widths is empty"),
        (lambda: ShapeAdaptingRecoverHook("anywhere", check_finite="yes"), "check_finite must be True or False, got 'yes'"),
    ],
    ids=["lone surrogate", "path that is not text", "no new features", "check_finite"],
)
def test_other_arguments_that_cannot_be(make, message):
    with pytest.raises(WarmStartError, match=message):
        make()


def test_half_a_fill_for_an_int(old_dir, new_graph):
    save_checkpoint(old_dir, {"count": np.int32([1, 2])})
    tf1.get_variable("count", initializer=np.int32([0, 0, 0]))
    with pytest.raises(WarmStartError, match=r"the new .count. \[3\]: the fill 0\.5 is not an int32"):
        plan_recovery(str(old_dir), None, {"count": adapters.crop_or_pad(0.5)})


@pytest.mark.parametrize(
    "options, told",
    [
        ({"similar": ["a"]}, "similar must be {new token: [old token, ...]}, got ['a']"),
        ({"similar": {"new": "alien"}}, "similar['new'] must be a list of old tokens, got 'alien'"),
        ({"similar": {"new": []}}, "similar['new'] must be a list of old tokens, got []"),
        (
            {"similar": {"news": ["alien"]}},
            "similar['news']: the token is not in the sequence of 2 tokens (did you mean 'new'?)",
        ),
        (
            {"similar": {"new": ["aliens"]}},
            "similar['new']: 'aliens' is not in the sequence of 2 tokens (did you mean 'alien'?)",
        ),
        ({"similar": {"new": ["alien"]}, "aliases": {"new": "alien"}}, "similar['new']: aliases names the token too"),
    ],
    ids=str,
)
def test_similar_tokens(options, told):
    with pytest.raises(WarmStartError) as caught:
        adapters.remap_rows(["alien", "dune"], ["dune", "new"], **options)
    assert told in str(caught.value)


def test_all_problems_of_similar_tokens_at_once():
    with pytest.raises(WarmStartError) as caught:
        adapters.remap_rows(["a"], ["b"], similar={"b": ["x", "y"], "c": ["a"]})
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda: adapters.hash_buckets(0), "num_buckets must be a positive int, got 0"),
        (lambda: adapters.hash_buckets(3, key=[1]), "key must be two ints of 0 or more, or empty, got [1]"),
        (lambda: adapters.remap_rows(adapters.hash_buckets(3), ["a"], similar={"a": ["b"]}), "every new token has an old row"),
        (lambda: adapters.remap_rows(adapters.hash_buckets(3), ["a"], old_vocab_size=2), "are for an old vocabulary"),
        (lambda: adapters.remap_rows(["a"], adapters.hash_buckets(3)), "hash_buckets is for old_vocab"),
        (
            lambda: ShapeAdaptingRecoverHook("old", adapters={"v": adapters.hash_buckets(3)}),
            "an adapter such as adapters.crop_or_pad() is needed, got HashBuckets(",
        ),
    ],
    ids=["buckets", "key", "similar", "size", "new", "alone"],
)
def test_hash_buckets(make, told):
    with pytest.raises(WarmStartError) as caught:
        make()
    assert told in str(caught.value)


def test_another_number_of_hash_buckets_than_of_rows(old_dir):
    error = refused(old_dir, {"v": adapters.remap_rows(adapters.hash_buckets(4), ["a"])}, {"v": [1, 2]})
    assert "hash_buckets(4) is not the number of the old variable's rows: 3 on axis 0" in str(error)


def test_a_mean_of_rows_that_another_adapter_has_moved(old_dir):
    means = adapters.remap_rows(["a", "b"], ["c"], similar={"c": ["a", "b"]})
    error = refused(old_dir, {"v": [adapters.take(np.s_[1:]), means]}, {"v": [1, 2]})
    assert "the mean of old rows is not possible after another adapter has changed the same axis" in str(error)


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda: adapters.shrink_perturb(1.5, 0), "shrink must be a number from 0 to 1, got 1.5"),
        (lambda: adapters.shrink_perturb(1, -1), "noise_stddev must be a finite number of 0 or more, got -1"),
        (lambda: adapters.shrink_perturb(1, float("nan")), "noise_stddev must be a finite number of 0 or more, got nan"),
        (lambda: adapters.shrink_perturb(1, 1, seed="a"), "seed must be an int or None, got 'a'"),
        (lambda: adapters.transform(np.flip, numpy=1), "transform: numpy must be True or False, got 1"),
    ],
    ids=["shrink", "noise", "nan", "seed", "numpy"],
)
def test_arguments_out_of_range(make, told):
    with pytest.raises(WarmStartError) as caught:
        make()
    assert told in str(caught.value)


def test_a_shape_with_another_number_of_elements(old_dir):
    error = refused(old_dir, {"v": adapters.reshape()}, {"v": [4, 2]})
    assert "reshape keeps all elements, and [3, 2] has 6 of them, [4, 2] has 8" in str(error)


def test_initial_values_before_a_reshape(old_dir):
    error = refused(old_dir, {"v": [adapters.remap_segments({"x": 3}, {"x": 4}), adapters.reshape()]}, {"v": [8]})
    assert "fill='initial' before a transform" in str(error)


def test_noise_for_integers(old_dir, new_graph):
    save_checkpoint(old_dir, {"count": np.int32([1, 2])})
    tf1.get_variable("count", initializer=np.int32([0, 0]))
    with pytest.raises(WarmStartError, match="noise is for floats, and the values are int32"):
        ShapeAdaptingRecoverHook(str(old_dir), adapters={"count": adapters.shrink_perturb(1, 1)}).begin()


def test_rows_remapped_after_means(old_dir):
    means = adapters.remap_rows(list("abc"), list("abd"), similar={"d": ["a", "b"]})
    error = refused(old_dir, {"v": [means, adapters.remap_rows(list("abd"), list("da"))]}, {"v": [2, 2]})
    assert "rows cannot be remapped after means of rows on the same axis; let one remap_rows do both" in str(error)
