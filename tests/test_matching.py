"""Which new variable takes which old one: `match_variables`, and the forms of `recover_vars`."""

import re

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import WarmStartError, match_variables, plan_recovery
from shared_models import taken, zeros

tf1 = tf.compat.v1


def names_of(target):
    return [variable.op.name for variable in target] if isinstance(target, list) else target.op.name


@pytest.fixture
def match(old_dir, new_graph):
    """Matches old names with new ones (made with one value each) and gives {old name: new name}."""

    def run(old_names, new_names, **rules):
        save_checkpoint(old_dir, {name: np.float32([1]) for name in old_names})
        for name in new_names:
            zeros(name)
        return {old: names_of(target) for old, target in match_variables(str(old_dir), **rules).items()}

    return run


LAYERS = ["hidden1/kernel", "hidden1/bias", "hidden2/kernel", "hidden2/bias", "hidden10/kernel", "outputs/kernel"]


class TestInclude:
    @pytest.mark.parametrize(
        "include, found",
        [
            pytest.param(None, LAYERS, id="everything"),
            pytest.param("hidden[123]", LAYERS[:4], id="a class of scopes, and never hidden10"),
            pytest.param("hidden1", LAYERS[:2], id="a scope"),
            pytest.param("hidden1/", LAYERS[:2], id="a scope with its slash"),
            pytest.param("hidden1/kernel", LAYERS[:1], id="a variable"),
            pytest.param(["outputs", "hidden2/bias"], ["hidden2/bias", "outputs/kernel"], id="a list"),
            pytest.param(("outputs",), ["outputs/kernel"], id="a tuple"),
            pytest.param("hidden1|outputs", [*LAYERS[:2], LAYERS[5]], id="an alternative"),
            pytest.param(".*/kernel", [LAYERS[0], LAYERS[2], LAYERS[4], LAYERS[5]], id="a last part"),
            pytest.param(r"hidden\d", LAYERS[:4], id="one digit"),
            pytest.param(r"hidden\d+", LAYERS[:5], id="digits"),
            pytest.param("(?i)HIDDEN1", LAYERS[:2], id="in capitals"),
            pytest.param("", LAYERS, id="the root"),
            pytest.param("/", LAYERS, id="the root as a slash"),
        ],
    )
    def test_takes_whole_variables_and_whole_scopes(self, match, include, found):
        assert match(LAYERS, LAYERS, include=include) == {name: name for name in found}

    @pytest.mark.parametrize("include", ["hidden", "idden1", "hidden1/ker", "kernel", "idden[12]", "hidden1/kernel/more"])
    def test_takes_no_part_of_a_name(self, match, include):
        with pytest.raises(WarmStartError, match=re.escape(f"include '{include}' fits no new variable")):
            match(LAYERS, LAYERS, include=include)

    @pytest.mark.parametrize("argument", ["include", "exclude"])
    def test_says_why_the_step_and_slots_are_not_chosen(self, fm_checkpoint, new_graph, argument):
        w = tf1.get_variable("fm/w", [3, 1])
        tf1.train.AdagradOptimizer(0.1).minimize(tf.reduce_sum(w), tf1.train.get_or_create_global_step())
        with pytest.raises(WarmStartError) as raised:
            match_variables(fm_checkpoint, **{argument: ["global_step", "fm/w/Adagrad", "fm/w/Adam"]})
        step, slot, neither = raised.value.problems
        assert step.startswith(f"{argument} 'global_step' fits only the global step, which no pattern carries over")
        assert "recover_vars={'global_step': 'global_step'}, by name, would carry it over" in step
        assert slot.startswith(f"{argument} 'fm/w/Adagrad' fits only optimizer state, such as 'fm/w/Adagrad', which goes with")
        assert neither.startswith(f"{argument} 'fm/w/Adam' fits no new variable")

    def test_what_the_checkpoint_does_not_have_is_left_out(self, match):
        assert match(["a/x"], ["a/x", "a/y", "b"], include="a") == {"a/x": "a/x"}

    def test_what_was_renamed_away_does_not_count_as_its_own_name(self, match):
        with pytest.raises(WarmStartError, match="include 'a' fits new variables, but the checkpoint has none of them"):
            match(["a"], ["a", "b"], include=["a", "b"], rename={"a": "b"})

    def test_nothing_of_it_in_the_checkpoint(self, match):
        with pytest.raises(WarmStartError, match="include 'tower' fits new variables, but the checkpoint has none of them"):
            match(["a"], ["a", "tower/kernel"], include=["a", "tower"])

    def test_nothing_in_common(self, match):
        with pytest.raises(WarmStartError, match=r"old/a.*new/a"):
            match(["old/a"], ["new/a"])


class TestExclude:
    @pytest.mark.parametrize(
        "exclude, left_out",
        [
            pytest.param("hidden1", LAYERS[:2], id="a scope, and never hidden10"),
            pytest.param(["hidden[12]", "outputs"], [*LAYERS[:4], LAYERS[5]], id="a list"),
            pytest.param(".*/bias", [LAYERS[1], LAYERS[3]], id="a last part"),
        ],
    )
    def test_leaves_out(self, match, exclude, left_out):
        assert list(match(LAYERS, LAYERS, exclude=exclude)) == [name for name in LAYERS if name not in left_out]

    def test_everything_is_said_so(self, match):
        with pytest.raises(WarmStartError, match="exclude"):
            match(LAYERS, LAYERS, exclude="")

    def test_beats_include(self, match):
        assert match(LAYERS, LAYERS, include="hidden[12]", exclude=".*/bias") == {
            name: name for name in ("hidden1/kernel", "hidden2/kernel")
        }

    def test_is_of_new_names(self, match):
        assert match(["a/v", "a/w"], ["b/v", "b/w"], rename={"a": "b"}, exclude="b/v") == {"a/w": "b/w"}

    def test_of_all_that_a_rename_fills(self, match):
        with pytest.raises(WarmStartError, match="rename 'a' -> 'b'") as caught:
            match(["a/v", "c"], ["b/v", "c"], rename={"a": "b"}, exclude="b")
        assert "did you mean 'b/v'" not in str(caught.value)  # It was meant: say that `exclude` leaves it out.


class TestRename:
    @pytest.mark.parametrize(
        "old_names, new_names, rename, found",
        [
            pytest.param(["a"], ["b"], {"a": "b"}, {"a": "b"}, id="a variable"),
            pytest.param(
                ["fm/w", "fm/v"],
                ["ranker/w", "ranker/v"],
                {"fm": "ranker"},
                {"fm/w": "ranker/w", "fm/v": "ranker/v"},
                id="a scope",
            ),
            pytest.param(
                ["fm/w", "fm_2/w"], ["x/w", "fm_2/w"], {"fm": "x"}, {"fm/w": "x/w", "fm_2/w": "fm_2/w"}, id="anchored"
            ),
            pytest.param(
                ["w", "deep/b"],
                ["model/w", "model/deep/b"],
                {"": "model"},
                {"w": "model/w", "deep/b": "model/deep/b"},
                id="from the root",
            ),
            pytest.param(
                ["model/w", "model/deep/b"],
                ["w", "deep/b"],
                {"model": ""},
                {"model/w": "w", "model/deep/b": "deep/b"},
                id="to the root",
            ),
            pytest.param(["w"], ["model/w"], {"/": "model/"}, {"w": "model/w"}, id="slashes"),
            pytest.param(["enc/layer_3/k"], ["b3/k"], {r"enc/layer_(\d+)": r"b\1"}, {"enc/layer_3/k": "b3/k"}, id="group"),
            pytest.param(
                ["enc/layer_3/k"], ["b3/k"], {r"enc/layer_(?P<n>\d)": r"b\g<n>"}, {"enc/layer_3/k": "b3/k"}, id="named"
            ),
            pytest.param(["a/b/k"], ["b/a/k"], {r"(\w+)/(\w+)": r"\2/\1"}, {"a/b/k": "b/a/k"}, id="two groups"),
            pytest.param(["t1/k", "t2/k", "t9/k"], ["x1/k", "y/k"], [("t1", "x1"), (r"t[29]", "y")], None, id="two for one"),
            pytest.param(["a", "b"], ["b", "a"], {"a": "b", "b": "a"}, {"a": "b", "b": "a"}, id="swapped"),
            pytest.param(["A"], ["A", "B"], {"A": "B"}, {"A": "B"}, id="only new B takes old A"),
            pytest.param(["A", "B"], ["A"], {"B": "A"}, {"B": "A"}, id="renamed beats its own name"),
        ],
    )
    def test_goes_from_old_to_new(self, match, old_names, new_names, rename, found):
        if found is None:
            with pytest.raises(WarmStartError, match="rename gives the new 'y/k' two old ones: 't2/k' and 't9/k'"):
                match(old_names, new_names, rename=rename)
        else:
            assert match(old_names, new_names, rename=rename) == found

    @pytest.mark.parametrize(
        "rename, found",
        [
            pytest.param(
                [("fm/w", "special"), ("fm", "ranker")], {"fm/w": "special", "fm/v": "ranker/v"}, id="the narrow first"
            ),
            pytest.param(
                {"fm/w": "special", "fm": "ranker"}, {"fm/w": "special", "fm/v": "ranker/v"}, id="in the order of a dict"
            ),
        ],
    )
    def test_the_first_that_fits_wins(self, match, rename, found):
        assert match(["fm/w", "fm/v"], ["special", "ranker/w", "ranker/v"], rename=rename) == found

    def test_a_rule_behind_one_that_takes_all(self, match):
        with pytest.raises(WarmStartError, match="rename 'fm/w' fits only old variables that an earlier rule takes"):
            match(["fm/w", "fm/v"], ["special", "ranker/w", "ranker/v"], rename=[("fm", "ranker"), ("fm/w", "special")])

    def test_the_rest_keep_their_names(self, match):
        assert match(["fm/w", "b"], ["ranker/w", "b"], rename={"fm": "ranker"}) == {"fm/w": "ranker/w", "b": "b"}


class TestRenameToSeveral:
    @pytest.mark.parametrize(
        "old_names, new_names, rename, found",
        [
            pytest.param(["v1"], ["v1", "v2"], {"v1": ["v1", "v2"]}, {"v1": ["v1", "v2"]}, id="its own name and another"),
            pytest.param(
                ["fm/w", "fm/v"],
                ["a/w", "a/v", "b/w", "b/v"],
                {"fm": ("a", "b")},
                {"fm/w": ["a/w", "b/w"], "fm/v": ["a/v", "b/v"]},
                id="a scope",
            ),
            pytest.param(
                ["enc/l3/k"], ["l3/k", "x/3/k"], {r"enc/l(\d)": [r"l\1", r"x/\1"]}, {"enc/l3/k": ["l3/k", "x/3/k"]}, id="groups"
            ),
            pytest.param(
                ["fm/w", "fm/v"], ["a/w", "b/v"], {"fm": ["a", "b"]}, {"fm/w": "a/w", "fm/v": "b/v"}, id="each has some of it"
            ),
            pytest.param(["a"], ["b"], {"a": ["b"]}, {"a": "b"}, id="a list of one"),
            pytest.param(["a"], ["b"], {"a": ["b", "/b/"]}, {"a": "b"}, id="the same twice"),
            pytest.param(["m/w"], ["w", "x/w"], [("m", ["", "x"])], {"m/w": ["w", "x/w"]}, id="the root, in a list of pairs"),
        ],
    )
    def test_one_old_scope_for_several_new_ones(self, match, old_names, new_names, rename, found):
        assert match(old_names, new_names, rename=rename) == found

    def test_each_takes_something(self, match):
        with pytest.raises(WarmStartError, match=r"rename 'fm' -> 'tover' turns 'fm/w' into 'tover/w'.*did you mean 'tower/w'"):
            match(["fm/w"], ["ranker/w", "tower/w"], rename={"fm": ["ranker", "tover"]})

    @pytest.mark.parametrize("new", [[], ["a", 3], [["a"]], {"a": "b"}], ids=repr)
    def test_what_is_no_list_of_names(self, match, new):
        with pytest.raises(WarmStartError, match="rename must be made of pairs"):
            match(["fm/w"], ["a/w"], rename={"fm": new})

    def test_is_taken_by_recover_vars_and_slots_follow(self, fm_checkpoint, new_graph):
        tables = [zeros("a/v", [3, 2]), zeros("b/v", [3, 2], partitioner=tf1.fixed_size_partitioner(2))]
        tf1.train.AdagradOptimizer(0.1).minimize(tf.add_n([tf.reduce_sum(tf.convert_to_tensor(v)) for v in tables]))
        rules = {"fm": ["a", "b"]}
        by_rename = plan_recovery(fm_checkpoint, rename=rules, with_slots=True)
        by_name = plan_recovery(fm_checkpoint, match_variables(fm_checkpoint, rename=rules), with_slots=True)
        assert (
            taken(by_rename)
            == taken(by_name)
            == {
                "a/v": "fm/v",
                "b/v": "fm/v",
                "a/v/Adagrad": "fm/v/Adagrad",
                "b/v/Adagrad": "fm/v/Adagrad",
            }
        )


class TestSlotsByTheirVariable:
    """Slots are called `VARIABLE/SLOT`, whatever scope their optimizer was built in."""

    @pytest.fixture
    def old(self, old_dir):
        names = ["fm/w", "training/Adam/fm/w/m", "v", "one/v/Adagrad", "two/v/Adagrad"]
        save_checkpoint(old_dir, {name: np.float32([number]) for number, name in enumerate(names)})
        return str(old_dir)

    @pytest.mark.parametrize("name", ["fm/w/m", "training/Adam/fm/w/m"])
    def test_in_recover_vars_and_rename(self, old, new_graph, name):
        zeros("moment")
        assert taken(plan_recovery(old, {name: "moment"})) == {"moment": "training/Adam/fm/w/m"}
        assert taken(plan_recovery(old, rename={name: "moment"})) == {"moment": "training/Adam/fm/w/m"}

    def test_two_of_that_name(self, old, new_graph):
        zeros("moment")
        with pytest.raises(
            WarmStartError,
            match="2 slots of the checkpoint are called 'v/Adagrad'; give the name of one: 'one/v/Adagrad', 'two/v/Adagrad'",
        ):
            plan_recovery(old, {"v/Adagrad": "moment"})
        assert taken(plan_recovery(old, rename={"two/v/Adagrad": "moment"})) == {"moment": "two/v/Adagrad"}

    def test_a_close_spelling_of_one(self, old, new_graph):
        zeros("moment")
        with pytest.raises(WarmStartError, match=r"no 'fm/w/n' \(did you mean 'fm/w/m'"):
            plan_recovery(old, {"fm/w/n": "moment"})


@pytest.fixture
def book(match, old_dir, new_graph):
    """A checkpoint and a graph to misspell the names of: 'dense/kernel', 'dense/bias' -> 'deep/kernel', 'deep/bias'."""

    def run(**rules):
        return match(["dense/kernel", "dense/bias", "step"], ["deep/kernel", "deep/bias", "step"], **rules)

    return run


@pytest.mark.parametrize(
    "rules, words",
    [
        pytest.param(dict(include="depe"), ["include 'depe' fits no new variable (did you mean 'deep"], id="include, a scope"),
        pytest.param(
            dict(include="deep/kernle"), ["include 'deep/kernle' fits no", "did you mean 'deep/kernel'"], id="include"
        ),
        pytest.param(dict(include="dense"), ["include 'dense' fits no new variable"], id="include of an old name"),
        pytest.param(dict(exclude="setp"), ["exclude 'setp' fits no new variable (did you mean 'step'?)"], id="exclude"),
        pytest.param(
            dict(rename={"dence": "deep"}), ["rename 'dence' fits no old variable (did you mean 'dense"], id="rename old"
        ),
        pytest.param(
            dict(rename={"dense": "depe"}),
            ["rename 'dense' -> 'depe' turns 'dense/", "into 'depe/", "did you mean 'deep/"],
            id="rename, new",
        ),
        pytest.param(
            dict(rename={"deep": "dense"}),
            ["rename 'deep' fits no old variable", "rename goes from old to new"],
            id="the wrong way round",
        ),
        pytest.param(
            dict(rename={"dense": "deep"}, include="deep/bias", exclude="deep/bias"),
            ["rename 'dense' -> 'deep' turns 'dense/", "into 'deep/", "include or exclude leaves that new variable out"],
            id="renamed to what is excluded",
        ),
        pytest.param(dict(include="("), ["include: the pattern '(' is not a regular expression: ", "position 0"], id="syntax"),
        pytest.param(dict(exclude="a[b"), ["exclude: the pattern 'a[b' is not a regular expression"], id="syntax of exclude"),
        pytest.param(dict(rename={"*": "x"}), ["rename: the pattern '*' is not a regular expression"], id="syntax of rename"),
        pytest.param(dict(include=3), ["include must be a pattern or a list of patterns, got 3"], id="include a number"),
        pytest.param(
            dict(include={"a": "b"}), ["include must be a pattern or a list of patterns, got {'a'"], id="include a dict"
        ),
        pytest.param(dict(exclude=["a", 3]), ["exclude: a pattern is a string, got 3"], id="exclude holds a number"),
        pytest.param(dict(rename="dense"), ["rename must be a dict", "got 'dense'"], id="rename a string"),
        pytest.param(dict(rename=7), ["rename must be a dict", "got 7"], id="rename a number"),
        pytest.param(dict(rename=["dense"]), ["rename must be made of pairs", "got 'dense'"], id="rename without pairs"),
        pytest.param(
            dict(rename=[("a", "b", "c")]), ["rename must be made of pairs", "got ('a', 'b', 'c')"], id="rename of three"
        ),
        pytest.param(
            dict(rename={"dense": None}), ["rename must be made of pairs", "got ('dense', None)"], id="rename to None"
        ),
        pytest.param(dict(rename={3: "deep"}), ["rename: a pattern is a string, got 3"], id="rename from a number"),
        pytest.param(
            dict(rename={"dense": r"deep\1"}), [r"rename['dense']: the replacement 'deep\\1' is not valid"], id="no such group"
        ),
        pytest.param(
            dict(collection="my_collection"), ["the graph's collection 'my_collection' has no variable"], id="collection"
        ),
        pytest.param(dict(collection="losses"), ["the graph's collection 'losses' has no variable"], id="no variables"),
    ],
)
def test_rules_that_cannot_be(book, rules, words):
    zeros("counter", collections=[tf1.GraphKeys.LOCAL_VARIABLES])
    tf1.add_to_collection("losses", tf.constant(0.0))
    with pytest.raises(WarmStartError) as caught:
        book(**rules)
    for word in words:
        assert word in str(caught.value)


def test_all_that_is_wrong_with_the_rules_in_one_message(book):
    with pytest.raises(WarmStartError) as caught:
        book(include=["depe", "step"], exclude="nothing", rename={"dence": "deep", "dense": "depe"})
    assert len(caught.value.problems) == 4
    for word in ("include 'depe'", "exclude 'nothing'", "rename 'dence'", "rename 'dense'"):
        assert word in str(caught.value)


class TestWhatIsMatched:
    def test_never_slots_powers_or_the_step(self, old_dir, new_graph):
        names = ["w", "w/Adam", "w/Adam_1", "beta1_power", "beta2_power", "global_step"]
        save_checkpoint(old_dir, {name: np.float32([1]) if "w" in name.split("/") else np.float32(1) for name in names})
        w = zeros("w")
        tf1.train.AdamOptimizer(0.1).minimize(tf.reduce_sum(w), tf1.train.get_or_create_global_step())
        assert match_variables(str(old_dir)) == {"w": w}

    def test_old_slots_do_not_follow_a_rename_by_themselves(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"fm/w": np.float32([1]), "fm/w/Adagrad": np.float32([1])})
        w = zeros("new/w")
        tf1.train.AdagradOptimizer(0.1).minimize(tf.reduce_sum(w))
        assert match_variables(str(old_dir), rename={"fm": "new"}) == {"fm/w": w}

    def test_a_partitioned_variable_is_the_list_of_its_parts(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.zeros([5, 2], np.float32)})
        v = zeros("v", [5, 2], partitioner=tf1.fixed_size_partitioner(2))
        assert match_variables(str(old_dir)) == {"v": list(v)}

    def test_a_collection(self, old_dir, new_graph):
        save_checkpoint(old_dir, {name: np.float32([1]) for name in ("norm/gamma", "norm/mean", "v")})
        zeros("norm/gamma"), zeros("norm/mean", trainable=False)
        zeros("v", partitioner=tf1.fixed_size_partitioner(1))
        found = match_variables(str(old_dir), collection=tf1.GraphKeys.TRAINABLE_VARIABLES)
        assert sorted(found) == ["norm/gamma", "v"]

    def test_a_collection_and_patterns(self, old_dir, new_graph):
        save_checkpoint(old_dir, {name: np.float32([1]) for name in ("a/gamma", "a/mean", "b/gamma")})
        zeros("a/gamma"), zeros("a/mean", trainable=False), zeros("b/gamma")
        found = match_variables(str(old_dir), include="a", collection=tf1.GraphKeys.TRAINABLE_VARIABLES)
        assert list(found) == ["a/gamma"]

    def test_another_graph(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"w": np.float32([1])})
        with tf.Graph().as_default() as other:
            there = zeros("w")
        zeros("here")
        assert match_variables(str(old_dir), graph=other) == {"w": there}

    def test_a_graph_without_variables(self, fm_checkpoint, new_graph):
        with pytest.raises(WarmStartError, match="collection 'variables' has no variable"):
            match_variables(fm_checkpoint)

    def test_what_is_found_is_what_the_plan_takes(self, fm_checkpoint, new_graph):
        zeros("ranker/w", [3, 1]), zeros("ranker/v", [3, 2], partitioner=tf1.fixed_size_partitioner(3))
        plan = plan_recovery(fm_checkpoint, match_variables(fm_checkpoint, rename={"fm": "ranker"}))
        assert {planned.old.name: planned.new.name for planned in plan.recovered} == {"fm/w": "ranker/w", "fm/v": "ranker/v"}

    def test_the_checkpoint_is_checked(self, tmp_path, new_graph):
        zeros("w")
        with pytest.raises(WarmStartError, match="does not exist"):
            match_variables(str(tmp_path / "nothing"))


@pytest.fixture
def table(fm_checkpoint, new_graph):
    """The article's old model, and a graph with the partitioned table 'v', 'w' and 'copy', and 'count' in no collection."""
    v = zeros("v", [3, 2], partitioner=tf1.fixed_size_partitioner(2))
    w, copy = zeros("w", [3, 1]), zeros("copy", [3, 1])
    count = zeros("count", collections=["mine"])
    with tf.Graph().as_default():
        stranger = zeros("w", [3, 1])
    return {"v": v, "parts": list(v), "w": w, "copy": copy, "count": count, "stranger": stranger}


class TestRecoverVars:
    @pytest.mark.parametrize(
        "value, names",
        [
            pytest.param(lambda t: t["w"], ["w"], id="variable"),
            pytest.param(lambda t: "w", ["w"], id="name"),
            pytest.param(lambda t: "w:0", ["w"], id="name:0"),
            pytest.param(lambda t: [t["w"]], ["w"], id="list of one"),
            pytest.param(lambda t: [t["w"], t["copy"]], ["w", "copy"], id="list of two"),
            pytest.param(lambda t: (t["w"], "copy:0"), ["w", "copy"], id="tuple of both forms"),
            pytest.param(lambda t: [t["w"], "w"], ["w"], id="the same twice"),
        ],
    )
    def test_plain(self, fm_checkpoint, table, value, names):
        assert taken(plan_recovery(fm_checkpoint, {"fm/w": value(table)})) == dict.fromkeys(names, "fm/w")

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(lambda t: t["v"], id="PartitionedVariable"),
            pytest.param(lambda t: t["parts"], id="list of its parts"),
            pytest.param(lambda t: tuple(reversed(t["parts"])), id="parts in another order"),
            pytest.param(lambda t: "v", id="name"),
            pytest.param(lambda t: [t["v"]], id="list of a PartitionedVariable"),
            pytest.param(lambda t: [t["parts"], "v"], id="list of both"),
        ],
    )
    def test_partitioned(self, fm_checkpoint, table, value):
        assert taken(plan_recovery(fm_checkpoint, {"fm/v": value(table)})) == {"v": "fm/v"}

    def test_several_partitioned_ones(self, fm_checkpoint, table):
        more = zeros("more", [3, 2], partitioner=tf1.fixed_size_partitioner(3))
        assert taken(plan_recovery(fm_checkpoint, {"fm/v": [table["v"], list(more)]})) == {"v": "fm/v", "more": "fm/v"}
        assert taken(plan_recovery(fm_checkpoint, {"fm/v": table["parts"] + list(more)})) == {"v": "fm/v", "more": "fm/v"}

    @pytest.mark.parametrize(
        "value, words",
        [
            pytest.param(lambda t: t["parts"][1], ["1 of the 2 parts of the new 'v' given", "or its name 'v'"], id="one part"),
            pytest.param(lambda t: t["parts"][:1], ["1 of the 2 parts of the new 'v' given"], id="list of one part"),
            pytest.param(lambda t: "v/part_0", ["'v/part_0' is one part of the new 'v'"], id="name of a part"),
            pytest.param(lambda t: "v/part_0:0", ["'v/part_0' is one part of the new 'v'"], id="name:0 of a part"),
            pytest.param(lambda t: "cpoy", ["no new variable 'cpoy' (did you mean 'copy'?)"], id="misspelled"),
            pytest.param(lambda t: "copy:1", ["no new variable 'copy:1' (did you mean 'copy'?)"], id="name:1"),
            pytest.param(lambda t: "", ["no new variable ''"], id="empty name"),
            pytest.param(lambda t: t["stranger"], ["variable 'w' is not of the graph", "give its name"], id="of another graph"),
            pytest.param(lambda t: t["count"], ["'count' is neither among the graph's global variables nor"], id="of its own"),
            pytest.param(lambda t: [], ["an empty list of new variables"], id="empty list"),
            pytest.param(lambda t: [[]], ["an empty list of new variables"], id="list of an empty list"),
            pytest.param(
                lambda t: tf1.get_default_graph(), ["is not a variable", "give a variable of the new graph"], id="graph"
            ),
            pytest.param(lambda t: tf.zeros([3, 1]), ["is not a variable"], id="tensor"),
            pytest.param(lambda t: np.zeros([3, 1]), ["is not a variable"], id="array"),
            pytest.param(lambda t: t["w"].initializer, ["is not a variable"], id="operation"),
            pytest.param(lambda t: None, ["None is not a variable"], id="None"),
            pytest.param(lambda t: 7, ["7 is not a variable"], id="number"),
            pytest.param(lambda t: [t["w"], 7], ["7 is not a variable"], id="list with a number"),
            pytest.param(lambda t: {"w": t["w"]}, ["is not a variable"], id="dict"),
        ],
    )
    def test_what_cannot_be_filled(self, fm_checkpoint, table, value, words):
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(fm_checkpoint, {"fm/w": value(table)})
        assert str(caught.value).startswith(f"the old model {fm_checkpoint}")
        for word in ["'fm/w': ", *words]:
            assert word in str(caught.value)

    @pytest.mark.skipif(tf.__version__ < "2", reason="1.15 is not eager by default")
    def test_an_eager_variable(self, fm_checkpoint):
        eager = tf.Variable([[1.0], [2.0], [3.0]])
        with tf.Graph().as_default(), pytest.raises(WarmStartError, match="is not of the graph"):
            zeros("w", [3, 1])
            plan_recovery(fm_checkpoint, {"fm/w": eager})
