"""What hooks and planner take, other than names: patterns that wait for the graph, and a least coverage."""

import ast
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import estimator_warmstart
from conftest import save_checkpoint
from estimator_warmstart import ShapeAdaptingRecoverHook, VariableRecoverHook, WarmStartError, plan_recovery
from shared_models import zeros

tf1 = tf.compat.v1


class TestNamesAreChosenWhenTheGraphIsThere:
    @pytest.mark.parametrize("hook_class", [VariableRecoverHook, ShapeAdaptingRecoverHook])
    def test_by_rename_and_include(self, fm_checkpoint, hook_class):
        hook = hook_class(fm_checkpoint, include="ranker/fm/w", rename={"fm": "ranker/fm"})
        with tf.Graph().as_default():
            w, v = zeros("ranker/fm/w", (3, 1)), zeros("ranker/fm/v", (3, 2))
            with tf1.train.MonitoredSession(hooks=[hook]) as session:
                assert session.run(w)[:, 0].tolist() == [1, 2, 3]
                assert not session.run(v).any()

    def test_by_collection(self, fm_checkpoint, new_graph):
        zeros("fm/w", (3, 1))
        tf1.get_variable("fm/v", [3, 2], trainable=False)
        plan = plan_recovery(fm_checkpoint, collection=tf1.GraphKeys.TRAINABLE_VARIABLES)
        assert [planned.new.name for planned in plan.recovered] == ["fm/w"]

    def test_exclude(self, fm_checkpoint, new_graph):
        zeros("fm/w", (3, 1)), zeros("fm/v", (3, 2))
        plan = plan_recovery(fm_checkpoint, exclude="fm/v")
        assert [(planned.new.name, planned.reason) for planned in plan.variables] == [("fm/w", ""), ("fm/v", "not matched")]

    def test_a_pattern_that_fits_nothing_is_an_error_in_begin(self, fm_checkpoint, new_graph):
        zeros("fm/w", (3, 1))
        with pytest.raises(WarmStartError, match=r"include 'fm/u' fits no new variable .*fm/w"):
            VariableRecoverHook(fm_checkpoint, include="fm/u").begin()

    @pytest.mark.parametrize("choice", [{"include": "fm"}, {"exclude": "fm"}, {"rename": {"a": "b"}}, {"collection": "x"}])
    def test_not_beside_recover_vars(self, choice):
        with pytest.raises(WarmStartError, match="leave out either it or include"):
            VariableRecoverHook("anywhere", {"a": "b"}, **choice)

    def test_a_pattern_that_does_not_compile_is_refused_at_once(self):
        with pytest.raises(WarmStartError, match="exclude: the pattern 'fm\\('"):
            VariableRecoverHook("anywhere", exclude="fm(")


class TestMinCoverage:
    @pytest.fixture
    def half_covered(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"a": np.float32([1, 2])})
        zeros("a", (2,)), zeros("b", (2,))
        return str(old_dir)

    def test_enough(self, half_covered):
        assert plan_recovery(half_covered, min_coverage=0.5).coverage == 0.5

    def test_too_little_stops_the_hook_before_anything_is_touched(self, half_covered):
        before = tf1.get_default_graph().version
        with pytest.raises(WarmStartError, match=r"coverage 50.0 %, but min_coverage is 51 %; .*'b'"):
            VariableRecoverHook(half_covered, min_coverage=0.51).begin()
        assert tf1.get_default_graph().version == before

    @pytest.mark.parametrize("share", [90, -0.1, True, "0.9", float("nan")])
    def test_what_is_no_share(self, share):
        with pytest.raises(WarmStartError, match="min_coverage must be a number from 0 to 1"):
            VariableRecoverHook("anywhere", min_coverage=share)


class TestOneRoad:
    """Every way in makes its request and its plan by the same two functions, so a check that they make holds for all."""

    @pytest.mark.parametrize(
        "record, function", [("Request", "plan/request.py: make_request"), ("Plan", "plan/planner.py: _plan_of_decided")]
    )
    def test_one_function_makes(self, record, function):
        package = pathlib.Path(estimator_warmstart.__file__).parent
        makers = [
            f"{path.relative_to(package).as_posix()}: {node.name}"
            for path in sorted(package.rglob("*.py"))
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef)
            for call in ast.walk(node)
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == record
        ]
        assert makers == [function]

    def test_what_is_given_is_compiled_when_it_is_given(self, fm_checkpoint, new_graph):
        zeros("fm/w", (3, 1)), zeros("fm/v", (3, 2))
        include = ["fm/w"]
        hook = VariableRecoverHook(fm_checkpoint, include=include)
        include[0] = "fm("
        assert [planned.new.name for planned in hook.plan_for(new_graph).recovered] == ["fm/w"]
