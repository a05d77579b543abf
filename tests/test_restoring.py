"""What recovering does to a graph, beyond the values of the variables that are recovered."""

import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import VariableRecoverHook, WarmStartError, recover_variables
from estimator_warmstart.restore import old_values

tf1 = tf.compat.v1


@pytest.fixture
def seven(old_dir):
    """An old model of one variable, `w` [2], of sevens."""
    save_checkpoint(old_dir, {"w": np.float32([7, 7])})
    return str(old_dir)


def values_of(hook, fetches):
    with tf1.train.MonitoredSession(hooks=[hook]) as session:
        return [value.tolist() for value in session.run(fetches)]


class TestWhatElseUsesTheFirstValue:
    @pytest.mark.parametrize("kind", ["resource", "reference"])
    def test_a_conditional_of_the_models_own(self, seven, new_graph, kind):
        first = tf.constant([1.0, 1.0])
        w = tf1.get_variable("w", initializer=first, use_resource=kind == "resource")
        chosen = tf.cond(tf1.placeholder_with_default(True, []), lambda: first * 2, lambda: first * 3)
        assert values_of(VariableRecoverHook(seven, {"w": w}), [w, chosen]) == [[7, 7], [2, 2]]

    def test_a_moving_average_of_another_variable(self, seven, new_graph):
        first = tf.constant([1.0, 1.0])
        w = tf1.get_variable("w", initializer=first, use_resource=True)
        other = tf1.get_variable("other", initializer=first, use_resource=True)
        averages = tf1.train.ExponentialMovingAverage(0.9)
        averages.apply([w, other])
        hook = VariableRecoverHook(seven, {"w": w})
        hook.begin()
        with tf1.Session() as session:  # Each average before its variable, as may happen when all are initialized at once.
            session.run([averages.average(w).initializer, averages.average(other).initializer])
            first_values = session.run([averages.average(w), averages.average(other)])
        assert [value.tolist() for value in first_values] == [[7, 7], [1, 1]]

    def test_arithmetic_of_the_models_own(self, seven, new_graph):
        first = tf.constant([1.0, 1.0])
        w = tf1.get_variable("w", initializer=first)
        assert values_of(VariableRecoverHook(seven, {"w": w}), [w, first + 1]) == [[7, 7], [2, 2]]


class TestPaths:
    @pytest.mark.parametrize("name", ["with space", "a=1,b=2&c%d", "µ/модель", "-dash", "a//b", "x" * 200])
    def test_unusual_directories(self, tmp_path, new_graph, name):
        folder = str(tmp_path) + "/" + name
        os.makedirs(folder)
        save_checkpoint(folder, {"w": np.float32([7, 7])})
        w = tf1.get_variable("w", [2])
        with tf1.Session() as session:
            recover_variables(session, folder)
            assert session.run(w).tolist() == [7, 7]


class TestAfterAFailure:
    def test_the_next_hook_may_take_the_variable(self, seven, old_dir, new_graph):
        w = tf1.get_variable("w", [2])
        with pytest.raises(WarmStartError, match="has no 'x'"):
            VariableRecoverHook(seven, {"w": "w", "x": "w"}).begin()
        assert values_of(VariableRecoverHook(seven, {"w": w}), [w]) == [[7, 7]]

    def test_nothing_is_touched(self, seven, new_graph):
        w = tf1.get_variable("w", [2])
        tf1.get_variable("v", [3])
        before = new_graph.as_graph_def().SerializeToString(deterministic=True)
        with pytest.raises(WarmStartError, match="shape"):
            VariableRecoverHook(seven, {"w": [w, "v"]}).begin()
        assert new_graph.as_graph_def().SerializeToString(deterministic=True) == before


def ancestors(operation):
    """All operations that `operation` waits for."""
    found, waiting = set(), [operation]
    while waiting:
        for other in [tensor.op for tensor in waiting[0].inputs] + list(waiting[0].control_inputs):
            if other not in found:
                found.add(other)
                waiting.append(other)
        del waiting[0]
    return found


class TestMemory:
    @pytest.mark.parametrize("budget, waits", [(1, True), (2**20, False)])
    def test_large_wholes_that_parts_are_cut_from_are_read_one_after_the_other(
        self, old_dir, new_graph, monkeypatch, budget, waits
    ):
        monkeypatch.setattr(old_values, "_BUDGET_BYTES", budget)
        save_checkpoint(old_dir, {"a": np.float32([[1], [2], [3], [4]]), "b": np.float32([[5], [6], [7], [8]])})
        halves = tf1.fixed_size_partitioner(2)
        parts = [part for name in "ab" for part in tf1.get_variable(name, [4, 1], partitioner=halves)]
        assert values_of(VariableRecoverHook(str(old_dir)), parts) == [[[1], [2]], [[3], [4]], [[5], [6]], [[7], [8]]]
        own = [op for op in new_graph.get_operations() if op.name.startswith("estimator_warmstart/restore/")]
        reads = {op.name.split("/")[2]: op for op in own if op.type == "RestoreV2"}
        assert sorted(reads) == ["a", "b"]
        assert (reads["a"] in ancestors(reads["b"])) == waits
