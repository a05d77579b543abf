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


def reads_of(graph):
    """{operation that reads: the new variables in its name}."""
    found = [op for op in graph.get_operations() if op.type == "RestoreV2"]
    return {op: op.name.split("restore/", 1)[1].split("/from/")[0].split("-and-") for op in found}


class TestManySmallVariables:
    @pytest.fixture
    def many(self, old_dir):
        """An old model of 70 variables `v<n>` [2], each of its number."""
        save_checkpoint(old_dir, {f"v{n}": np.float32([n, n]) for n in range(70)})
        return str(old_dir)

    def test_are_read_by_few_operations_and_initialized_alone_or_all_at_once(self, many, new_graph):
        variables = [tf1.get_variable(f"v{n}", [2]) for n in range(70)]
        VariableRecoverHook(many).begin()
        assert [len(names) for names in reads_of(new_graph).values()] == [32, 32, 6]
        with tf1.Session() as session:
            session.run(variables[40].initializer)
            assert session.run(variables[40]).tolist() == [40, 40]
            session.run(tf1.global_variables_initializer())
            assert [value.tolist() for value in session.run(variables)] == [[n, n] for n in range(70)]

    def test_a_recovery_that_needs_no_assignment_adds_none(self, many, new_graph):
        for n in range(70):
            tf1.get_variable(f"v{n}", [2])
        with tf1.train.MonitoredSession(hooks=[VariableRecoverHook(many)]):
            own = [op for op in new_graph.get_operations() if op.name.startswith("estimator_warmstart/")]
        assert [op.name for op in own if op.type.startswith("Assign")] == ["estimator_warmstart/mark"]

    @pytest.mark.parametrize("kind", ["resource", "reference"])
    def test_are_assigned_in_a_finalized_graph_where_an_init_op_left_them_cold(self, many, new_graph, kind):
        variables = [tf1.get_variable(f"v{n}", [2], use_resource=kind == "resource") for n in range(70)]
        init_op = tf.group(*[tf1.assign(variable, [-1.0, -1.0]) for variable in variables])
        scaffold = tf1.train.Scaffold(init_op=init_op)
        creator = tf1.train.ChiefSessionCreator(scaffold)
        with tf1.train.MonitoredSession(creator, hooks=[VariableRecoverHook(many)]) as session:
            assert [value.tolist() for value in session.run(variables)] == [[n, n] for n in range(70)]
            assert new_graph.finalized

    def test_what_is_large_local_adapted_or_elsewhere_is_read_apart(self, old_dir, new_graph, monkeypatch):
        monkeypatch.setattr(old_values, "_SMALL_BYTES", 8)
        names = ["a", "b", "large", "local", "on_a_server"]
        save_checkpoint(old_dir, {name: np.float32([7] * (3 if name == "large" else 2)) for name in names})
        for name in "ab":
            tf1.get_variable(name, [2])
        tf1.get_variable("large", [3])
        tf1.get_variable("local", [2], collections=[tf1.GraphKeys.LOCAL_VARIABLES])
        with tf.device("/job:ps/task:1"):
            tf1.get_variable("on_a_server", [2])
        VariableRecoverHook(str(old_dir), {name: name for name in names}).begin()
        found = {tuple(names): op.device for op, names in reads_of(new_graph).items()}
        assert set(found) == {("a", "b"), ("large",), ("local",), ("on_a_server",)}
        assert "/job:ps/task:1" in found[("on_a_server",)] and "/job:ps" not in found[("a", "b")]

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "uint8", "int64", "bool", "complex64"])
    @pytest.mark.parametrize("shape", [(), (2,), (2, 1)], ids=str)
    def test_of_any_dtype_and_shape(self, old_dir, new_graph, dtype, shape):
        with tf.Graph().as_default(), tf1.Session() as session:
            value = tf.cast(tf.reshape(tf.constant([1, 0][: int(np.prod(shape))]), shape), dtype)
            write = tf.raw_ops.SaveV2(
                prefix=str(old_dir / "model.ckpt"), tensor_names=["v"], shape_and_slices=[""], tensors=[value]
            )
            session.run(write)
            expected = session.run(value).tolist()
        v = tf1.get_variable("v", initializer=lambda: tf.zeros(shape, dtype))
        assert values_of(VariableRecoverHook(str(old_dir / "model.ckpt")), [v]) == [expected]

    def test_an_error_names_all_that_are_read_together(self, many, old_dir, new_graph):
        for n in range(70):
            tf1.get_variable(f"v{n}", [2])
        VariableRecoverHook(many).begin()
        data = old_dir / "model.ckpt.data-00000-of-00001"
        data.write_bytes(data.read_bytes().replace(np.float32([40, 40]).tobytes(), np.float32([41, 40]).tobytes()))
        with tf1.Session() as session, pytest.raises(tf.errors.DataLossError) as caught:
            session.run(tf1.global_variables_initializer())
        assert "-and-v40-and-" in str(caught.value) and f"/from/{str(old_dir).strip('/')}/model.ckpt" in str(caught.value)

    @pytest.mark.parametrize("replaced", [[1, 2, 3], 1, [[1, 2]]], ids=["longer", "a scalar", "a matrix"])
    def test_of_another_shape_by_now(self, many, old_dir, new_graph, replaced):
        for n in range(70):
            tf1.get_variable(f"v{n}", [2])
        VariableRecoverHook(many).begin()
        save_checkpoint(old_dir, {f"v{n}": np.float32(replaced if n == 40 else [n, n]) for n in range(70)})
        with tf1.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)v40.*shape"):
            session.run(tf1.global_variables_initializer())


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
    @pytest.mark.parametrize(
        "budget, megabytes, waits", [(1, "", True), (2**20, "", False), (1, "0", True), (1, "1", False), (2**20, "0", False)]
    )
    def test_large_wholes_that_parts_are_cut_from_are_read_one_after_the_other(
        self, old_dir, new_graph, monkeypatch, budget, megabytes, waits
    ):
        monkeypatch.setattr(old_values, "_BUDGET_BYTES", budget)
        monkeypatch.setenv("ESTIMATOR_WARMSTART_MEMORY_MB", megabytes)
        monkeypatch.setattr(old_values, "_SMALL_BYTES", 0)
        save_checkpoint(old_dir, {"a": np.float32([[1], [2], [3], [4]]), "b": np.float32([[5], [6], [7], [8]])})
        halves = tf1.fixed_size_partitioner(2)
        parts = [part for name in "ab" for part in tf1.get_variable(name, [4, 1], partitioner=halves)]
        assert values_of(VariableRecoverHook(str(old_dir)), parts) == [[[1], [2]], [[3], [4]], [[5], [6]], [[7], [8]]]
        own = [op for op in new_graph.get_operations() if op.name.startswith("estimator_warmstart/restore/")]
        reads = {op.name.split("/")[2]: op for op in own if op.type == "RestoreV2"}
        assert sorted(reads) == ["a", "b"]
        assert (reads["a"] in ancestors(reads["b"])) == waits

    @pytest.mark.parametrize("text", ["much", "-1", "1.5", "64MB"])
    def test_a_budget_that_is_not_a_number_is_an_error_that_touches_nothing(self, seven, new_graph, monkeypatch, text):
        w = tf1.get_variable("w", [2])
        before = new_graph.as_graph_def().SerializeToString(deterministic=True)
        monkeypatch.setenv("ESTIMATOR_WARMSTART_MEMORY_MB", text)
        with pytest.raises(WarmStartError, match=f"MEMORY_MB must be a whole number of megabytes, got '{text}'"):
            VariableRecoverHook(seven).begin()
        assert new_graph.as_graph_def().SerializeToString(deterministic=True) == before
        monkeypatch.delenv("ESTIMATOR_WARMSTART_MEMORY_MB")
        assert values_of(VariableRecoverHook(seven), [w]) == [[7, 7]]
