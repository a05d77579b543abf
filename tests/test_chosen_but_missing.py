"""What `include`, `rename` or `collection` chooses and the checkpoint does not have: an error, unless `missing="keep"`."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import WarmStartError, match_variables, plan_recovery

tf1 = tf.compat.v1


@pytest.fixture
def graph(old_dir, new_graph):
    """Old: old/a, s/a, tower/kernel. New: s/a and s/b, t/a and t/bias, tower/kernel, head."""
    save_checkpoint(old_dir, {name: np.ones([2], np.float32) for name in ("old/a", "s/a", "tower/kernel")})
    for name in ("s/a", "s/b", "t/a", "t/bias", "tower/kernel", "head"):
        tf1.get_variable(name, [2], collections=[tf1.GraphKeys.GLOBAL_VARIABLES, name[0]])
    return str(old_dir)


@pytest.mark.parametrize(
    "rules, missing",
    [
        ({"include": "s"}, ["s/b"]),
        ({"include": ["s/a", "head", "tower"]}, ["head"]),
        ({"include": ""}, ["s/b", "t/a", "t/bias", "head"]),
        ({"rename": {"old": "t"}}, ["t/bias"]),
        ({"rename": {"old": "t"}, "include": "t/a"}, []),
        ({"rename": {"old": "t"}, "include": ["t/a", "head"]}, ["head"]),
        ({"rename": {"old/a": "t/a"}}, []),
        ({"rename": {"o(l)d": "t"}}, ["t/bias"]),
        ({"collection": "s"}, ["s/b"]),
        ({"collection": "s", "exclude": "s/b"}, []),
        ({"include": "s", "exclude": "s/b"}, []),
        ({"exclude": "head"}, []),
        ({}, []),
    ],
    ids=str,
)
def test_is_refused(graph, rules, missing):
    if missing:
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(graph, **rules)
        assert [problem.split("'")[1] for problem in caught.value.problems] == missing
        assert all("missing='keep'" in problem and "exclude=" in problem for problem in caught.value.problems)
    else:
        assert plan_recovery(graph, **rules).recovered


def test_a_scope_that_becomes_the_root_is_all_of_the_model(old_dir, new_graph):
    save_checkpoint(old_dir, {"model/a": np.ones([2], np.float32)})
    tf1.get_variable("a", [2]), tf1.get_variable("head/b", [2])
    with pytest.raises(WarmStartError, match=r"the new 'head/b' \[2\] is chosen"):
        plan_recovery(str(old_dir), rename={"model": ""})
    assert plan_recovery(str(old_dir), rename={"model": ""}, exclude="head").coverage == 0.5


def test_the_message_offers_close_spellings_and_the_ways_out(graph):
    with pytest.raises(WarmStartError) as caught:
        plan_recovery(graph, include=["s", "head"])
    assert caught.value.problems == (
        "the new 's/b' [2] is chosen, but the checkpoint has nothing of that name and no rename gives it anything (did you "
        "mean 's/a'?); exclude='s/b' leaves it out, missing='keep' leaves all such variables as initialized",
        "the new 'head' [2] is chosen, but the checkpoint has nothing of that name and no rename gives it anything; "
        "exclude='head' leaves it out, missing='keep' leaves all such variables as initialized",
    )


@pytest.mark.parametrize(
    "rules",
    [
        {"include": "s"},
        {"collection": "s"},
        {"rename": {"old/a": "s/a"}, "include": "s"},
    ],
    ids=str,
)
def test_is_kept_where_that_is_asked_for(graph, rules):
    fates = {planned.new.name: planned for planned in plan_recovery(graph, missing="keep", **rules).variables}
    assert (fates["s/a"].action, fates["s/b"].action) == ("restored", "initialized")
    assert fates["s/b"].reason == "the checkpoint has no 's/b' (missing='keep')"
    assert fates["head"].reason == "not matched"


@pytest.mark.parametrize("rules", [{"include": "head"}, {"collection": "h"}], ids=str)
def test_nothing_of_it_is_there(graph, rules):
    with pytest.raises(WarmStartError, match="the new 'head'"):
        plan_recovery(graph, **rules)
    assert plan_recovery(graph, missing="keep", **rules).recovered == ()


def test_the_slots_and_the_step_are_not_chosen(old_dir, new_graph):
    save_checkpoint(old_dir, {"w": np.ones([2], np.float32)})
    w = tf1.get_variable("w", [2])
    tf1.train.AdagradOptimizer(0.1).minimize(tf.reduce_sum(w), tf1.train.get_or_create_global_step())
    assert plan_recovery(str(old_dir), include="", with_slots=True).coverage == 1.0


def test_match_variables_gives_what_there_is(graph):
    assert list(match_variables(graph, include="s")) == ["s/a"]
