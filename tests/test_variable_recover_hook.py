"""VariableRecoverHook and recover_variables: when values are recovered, and when never."""

import json
import logging
import os
import pathlib
import threading

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import ShapeAdaptingRecoverHook, VariableRecoverHook, WarmStartError, adapters, recover_variables
from shared_models import one_row, value_at, zeros

tf1 = tf.compat.v1

OLD_W, OLD_V = [[1], [2], [3]], [[1, 2], [3, 4], [5, 6]]


def article_model(
    old_dir, learning_rate=0.5, scaffold=None, optimizer=tf1.train.GradientDescentOptimizer, hooks=None, **options
):
    """The article's model_fn: renamed tables, the hook in training_hooks. Each step adds `learning_rate` to the tables."""

    def model_fn(features, labels, mode):
        w2, v2 = zeros("new/w", [3, 1]), zeros("new/v", [3, 2])
        total = tf.reduce_sum(w2) + tf.reduce_sum(v2)
        loss = tf.constant(0.0) - total
        if mode == tf.estimator.ModeKeys.PREDICT:
            return tf.estimator.EstimatorSpec(mode, predictions={"total": tf.reshape(total, [1])})
        train_op = optimizer(learning_rate).minimize(loss, tf1.train.get_global_step())
        spec = tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, scaffold=scaffold() if scaffold else None)
        hook = VariableRecoverHook(ckp_dir=old_dir, recover_vars={"fm/w": w2, "fm/v": v2}, **options)
        if hooks is not None:
            hooks.append(hook)
        return spec._replace(training_hooks=[hook])

    return model_fn


def estimator_of(model_fn, model_dir, **config):
    return tf.estimator.Estimator(model_fn, config=tf.estimator.RunConfig(model_dir=str(model_dir), **config))


@needs_estimator
class TestEstimator:
    def test_the_article_as_printed(self, fm_checkpoint, tmp_path):
        estimator = estimator_of(article_model(fm_checkpoint), tmp_path / "new")
        estimator.train(one_row, steps=2)
        # model.ckpt-0, which evaluators and late workers start from, is warm; training goes on from there.
        assert value_at(tmp_path / "new", 0) == OLD_W
        assert value_at(tmp_path / "new", 0, "new/v") == OLD_V
        assert value_at(tmp_path / "new", 2) == [[2], [3], [4]]

    def test_a_second_train_keeps_what_was_trained(self, fm_checkpoint, tmp_path):
        for _ in range(2):  # As a new process: a new Estimator on the same model_dir.
            estimator_of(article_model(fm_checkpoint), tmp_path / "new").train(one_row, steps=2)
        assert value_at(tmp_path / "new", 4) == [[3], [4], [5]]

    def test_a_second_train_of_the_same_estimator(self, fm_checkpoint, tmp_path):
        estimator = estimator_of(article_model(fm_checkpoint), tmp_path / "new")
        estimator.train(one_row, steps=2)
        estimator.train(one_row, steps=1)
        assert value_at(tmp_path / "new", 3) == [[2.5], [3.5], [4.5]]

    def test_every_train_recovers_at_each_train(self, fm_checkpoint, tmp_path):
        estimator = estimator_of(article_model(fm_checkpoint, when="every_train"), tmp_path / "new")
        estimator.train(one_row, steps=2)
        estimator.train(one_row, steps=1)
        assert value_at(tmp_path / "new", 3) == [[1.5], [2.5], [3.5]]

    def test_evaluate_and_predict_never_recover(self, fm_checkpoint, tmp_path):
        estimator = estimator_of(article_model(fm_checkpoint), tmp_path / "new")
        estimator.train(one_row, steps=2)
        # 2 + 3 + 4 + 21 + 6 * 1: the trained values, not the old ones (27), also with the hook handed over.
        hook = VariableRecoverHook(fm_checkpoint, {"fm/w": "new/w", "fm/v": "new/v"})
        assert estimator.evaluate(one_row, steps=1, hooks=[hook])["loss"] == -36
        assert hook.plan is None
        assert next(estimator.predict(one_row))["total"] == 36

    @pytest.mark.parametrize(
        "scaffold",
        [
            pytest.param(lambda: tf1.train.Scaffold(init_op=tf1.global_variables_initializer()), id="own init_op"),
            pytest.param(
                lambda: tf1.train.Scaffold(init_op=tf.group(*[v.initializer for v in tf1.global_variables()])), id="grouped"
            ),
            pytest.param(lambda: tf1.train.Scaffold(saver=tf1.train.Saver()), id="own saver"),
        ],
    )
    def test_with_a_scaffold_of_the_users(self, fm_checkpoint, tmp_path, scaffold):
        estimator_of(article_model(fm_checkpoint, scaffold=scaffold), tmp_path / "new").train(one_row, steps=1)
        assert value_at(tmp_path / "new", 0) == OLD_W
        assert value_at(tmp_path / "new", 1) == [[1.5], [2.5], [3.5]]

    def test_an_init_op_that_passes_the_initializers_by(self, fm_checkpoint, tmp_path):
        article = article_model(fm_checkpoint)

        def model_fn(features, labels, mode):
            spec = article(features, labels, mode)
            zero = [tf1.assign(v, tf.zeros(v.shape, v.dtype.base_dtype)) for v in tf1.global_variables()]
            return spec._replace(scaffold=tf1.train.Scaffold(init_op=tf.group(*zero)))

        estimator_of(model_fn, tmp_path / "new").train(one_row, steps=1)
        assert value_at(tmp_path / "new", 1) == [[1.5], [2.5], [3.5]]

    def test_a_resumed_run_goes_on_without_the_old_model(self, fm_checkpoint, tmp_path):
        new_dir = str(tmp_path / "new")
        estimator_of(article_model(fm_checkpoint, model_dir=new_dir), new_dir).train(one_row, steps=2)
        for name in os.listdir(fm_checkpoint):
            os.remove(os.path.join(fm_checkpoint, name))
        estimator_of(article_model(fm_checkpoint, model_dir=new_dir), new_dir).train(one_row, steps=1)
        assert value_at(new_dir, 3) == [[2.5], [3.5], [4.5]]

    def test_a_recovered_session_keeps_what_was_trained(self, fm_checkpoint, tmp_path):
        hooks = []

        class AbortOnce(tf1.train.SessionRunHook):
            aborted = False

            def after_run(self, run_context, run_values):
                step = run_context.session.run(tf1.train.get_global_step())
                if step == 3 and not AbortOnce.aborted:
                    AbortOnce.aborted = True
                    raise tf.errors.AbortedError(None, None, "a machine went away")

        model_fn = article_model(fm_checkpoint, hooks=hooks)
        estimator = estimator_of(model_fn, tmp_path / "new", save_checkpoints_steps=2)
        estimator.train(one_row, max_steps=5, hooks=[AbortOnce()])
        assert AbortOnce.aborted
        assert value_at(tmp_path / "new", 5) == [[3.5], [4.5], [5.5]]

    def test_every_train_recovers_once_in_a_train(self, fm_checkpoint, tmp_path):
        class AbortOnce(tf1.train.SessionRunHook):
            aborted = False

            def after_run(self, run_context, run_values):
                if run_context.session.run(tf1.train.get_global_step()) == 3 and not AbortOnce.aborted:
                    AbortOnce.aborted = True
                    raise tf.errors.AbortedError(None, None, "a machine went away")

        model_fn = article_model(fm_checkpoint, when="every_train")
        estimator_of(model_fn, tmp_path / "new", save_checkpoints_steps=2).train(one_row, max_steps=5, hooks=[AbortOnce()])
        assert AbortOnce.aborted
        assert value_at(tmp_path / "new", 5) == [[3.5], [4.5], [5.5]]

    def test_the_report_is_logged_once(self, fm_checkpoint, tmp_path, caplog):
        hooks = []
        estimator = estimator_of(article_model(fm_checkpoint, hooks=hooks), tmp_path / "new")
        with caplog.at_level(logging.INFO, logger="tensorflow"):
            estimator.train(one_row, steps=1)
            estimator.train(one_row, steps=1)
        reports = [record for record in caplog.records if "Warm start from" in record.getMessage()]
        assert len(reports) == 1
        assert "new/w" in reports[0].getMessage() and "100.0 %" in reports[0].getMessage()
        assert hooks[0].plan.coverage == 1.0

    def test_ckp_dir_that_is_the_model_dir(self, fm_checkpoint, tmp_path):
        new_dir = str(tmp_path / "new")
        estimator_of(article_model(fm_checkpoint), new_dir).train(one_row, steps=1)

        def to_itself(features, labels, mode, params):
            spec = article_model(fm_checkpoint)(features, labels, mode)
            hook = VariableRecoverHook(new_dir, {"new/w": "new/w"}, **params)
            return spec._replace(training_hooks=[hook])

        for params in ({"model_dir": new_dir}, {}):  # Told, or found out from the session's Saver.
            estimator = tf.estimator.Estimator(to_itself, model_dir=new_dir, params=params)
            with pytest.raises(WarmStartError, match="own model_dir"):
                estimator.train(one_row, steps=1)
        assert value_at(new_dir, 1) == [[1.5], [2.5], [3.5]]


class TestByHand:
    def test_before_the_initializer_ran(self, fm_checkpoint, new_graph):
        w = zeros("w", [3, 1])
        init = tf1.global_variables_initializer()
        hook = VariableRecoverHook(fm_checkpoint, {"fm/w": w})
        hook.begin()
        with tf1.Session() as session:
            hook.after_create_session(session, None)
            assert session.run(w).tolist() == OLD_W
            session.run(init)
            assert session.run(w).tolist() == OLD_W

    def test_after_the_initializer_ran(self, fm_checkpoint, new_graph):
        w = zeros("w", [3, 1])
        hook = VariableRecoverHook(fm_checkpoint, {"fm/w": w})
        hook.begin()
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            hook.after_create_session(session, None)
            assert session.run(w).tolist() == OLD_W

    def test_in_a_session_initialized_before_begin(self, fm_checkpoint, new_graph):
        w = zeros("w", [3, 1])
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            hook = VariableRecoverHook(fm_checkpoint, {"fm/w": w})
            hook.begin()
            hook.after_create_session(session, None)
            assert session.run(w).tolist() == OLD_W

    def test_a_session_of_a_trained_model_is_left_alone(self, fm_checkpoint, new_graph):
        w = zeros("w", [3, 1])
        step = tf1.train.get_or_create_global_step()
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            session.run(tf1.assign(step, 5))
            hook = VariableRecoverHook(fm_checkpoint, {"fm/w": w})
            hook.begin()
            hook.after_create_session(session, None)
            assert session.run(w).tolist() == [[0], [0], [0]]

    @pytest.mark.parametrize("initialized", [False, True])
    def test_recover_variables(self, fm_checkpoint, new_graph, initialized):
        w = zeros("w", [3, 1])
        init = tf1.global_variables_initializer()
        with tf1.Session() as session:
            if initialized:
                session.run(init)
            plan = recover_variables(session, fm_checkpoint, {"fm/w": w})
            assert session.run(w).tolist() == OLD_W
            assert [planned.action for planned in plan.variables] == ["restored"]

    def test_recover_variables_leaves_a_trained_model_alone(self, fm_checkpoint, new_graph):
        w, step = zeros("w", [3, 1]), tf1.train.get_or_create_global_step()
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            session.run(tf1.assign(step, 5))
            recover_variables(session, fm_checkpoint, {"fm/w": w})
            assert session.run(w).tolist() == [[0], [0], [0]]
            recover_variables(session, fm_checkpoint, {"fm/w": w}, when="every_train")
            assert session.run(w).tolist() == OLD_W

    def test_a_finalized_graph_is_refused(self, fm_checkpoint, new_graph):
        w = zeros("w", [3, 1])
        new_graph.finalize()
        with tf1.Session() as session, pytest.raises(WarmStartError, match="finalized"):
            recover_variables(session, fm_checkpoint, {"fm/w": w})


class TestWorker:
    """A worker whose variables the chief initializes. Its session is its own here, so nobody else sets the flag."""

    @pytest.fixture
    def worker(self, fm_checkpoint, new_graph, monkeypatch):
        cluster = {"chief": ["localhost:1"], "worker": ["localhost:2"], "ps": ["localhost:3"]}
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}}))
        w = tf1.get_variable("w", [3, 1], initializer=tf1.zeros_initializer())
        tf1.train.get_or_create_global_step()
        cold = tf1.assign(w, tf.zeros([3, 1]))
        with tf1.Session() as session:
            hook = VariableRecoverHook(fm_checkpoint, {"fm/w": w}, max_wait_secs=1.2)
            hook.begin()
            session.run([cold, tf1.train.get_global_step().initializer])
            yield hook, session, w

    def test_gives_up_when_the_chief_never_comes(self, worker, caplog):
        hook, session, w = worker
        caplog.set_level(logging.INFO, logger="tensorflow")
        with pytest.raises(WarmStartError, match=r"waited \d+ s for the chief to recover .* is the chief running"):
            hook.after_create_session(session, tf.train.Coordinator())
        assert "Waiting for the chief to recover" in caplog.text
        assert session.run(w).tolist() == [[0], [0], [0]]

    def test_waits_until_the_chief_has_recovered(self, worker):
        hook, session, w = worker
        chief = threading.Timer(0.3, hook._graph_recovery.recover, [session])
        chief.start()
        hook.after_create_session(session, tf.train.Coordinator())
        chief.join()
        assert session.run(w).tolist() == OLD_W

    def test_stops_waiting_when_training_is_stopped(self, worker):
        hook, session, w = worker
        coordinator = tf.train.Coordinator()
        coordinator.request_stop()
        hook.after_create_session(session, coordinator)
        assert session.run(w).tolist() == [[0], [0], [0]]


def recovered_values(ckp_dir, recover_vars, names, **options):
    """The values that the default graph's variables have once a MonitoredSession has initialized them."""
    variables = {variable.op.name: variable for variable in tf1.global_variables()}
    hook = VariableRecoverHook(ckp_dir, recover_vars, **options)
    with tf1.train.MonitoredSession(hooks=[hook]) as session:
        return [session.run(variables[name]).tolist() for name in names]


class TestValues:
    @pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
    def test_one_old_variable_fills_several_new_ones(self, fm_checkpoint, new_graph, use_resource):
        zeros("a", [3, 1], use_resource=use_resource), zeros("b", [3, 1], use_resource=use_resource)
        assert recovered_values(fm_checkpoint, {"fm/w": ["a", "b"]}, ["a", "b"]) == [OLD_W, OLD_W]

    def test_only_new_b_takes_old_a(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"A": np.float32([1, 2])})
        zeros("A", [2]), zeros("B", [2])
        assert recovered_values(str(old_dir), {"A": "B"}, ["A", "B"]) == [[0, 0], [1, 2]]

    def test_two_variables_with_the_same_initial_tensor(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"A": np.float32([1, 2])})
        first = tf.zeros([2])
        tf1.get_variable("A", initializer=first), tf1.get_variable("B", initializer=first)
        assert recovered_values(str(old_dir), {"A": "B"}, ["A", "B"]) == [[0, 0], [1, 2]]

    @pytest.mark.parametrize("new_parts", [None, 2, 3], ids=["whole", "2 parts", "3 parts"])
    @pytest.mark.parametrize("old_parts", [None, 2, 3], ids=["from whole", "from 2 parts", "from 3 parts"])
    @pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
    def test_partitions(self, old_dir, new_graph, old_parts, new_parts, use_resource):
        value = np.arange(10, dtype=np.float32).reshape(5, 2)
        save_checkpoint(
            old_dir, {"v": value, "v/Adagrad": value + 100}, {"v": old_parts, "v/Adagrad": old_parts} if old_parts else None
        )
        partitioner = tf1.fixed_size_partitioner(new_parts) if new_parts else None
        v = zeros("v2", [5, 2], partitioner=partitioner, use_resource=use_resource)
        tf1.train.AdagradOptimizer(0.1).minimize(tf.reduce_sum(tf.convert_to_tensor(v) ** 2))
        parts = sorted(variable.op.name for variable in tf1.global_variables() if variable.name.startswith("v2"))
        slots = [name for name in parts if "Adagrad" in name]
        tables = [name for name in parts if "Adagrad" not in name]
        assert len(tables) == len(slots) == (new_parts or 1)
        found = recovered_values(str(old_dir), {"v": v}, tables + slots, with_slots=True)
        assert np.concatenate(found[: len(tables)]).tolist() == value.tolist()
        assert np.concatenate(found[len(tables) :]).tolist() == (value + 100).tolist()

    def test_slots_stay_as_initialized_without_with_slots(self, fm_checkpoint, new_graph):
        w = zeros("fm/w", [3, 1])
        tf1.train.AdagradOptimizer(0.1, initial_accumulator_value=0.5).minimize(tf.reduce_sum(w))
        assert recovered_values(fm_checkpoint, None, ["fm/w", "fm/w/Adagrad"]) == [OLD_W, [[0.5]] * 3]

    # TensorFlow 2 cannot make a moving average of a reference variable.
    @pytest.mark.parametrize("use_resource", [True] if tf.__version__ >= "2" else [False, True])
    def test_a_moving_average_begins_at_the_recovered_value(self, fm_checkpoint, new_graph, use_resource):
        w = zeros("w", [3, 1], use_resource=use_resource)
        averages = tf1.train.ExponentialMovingAverage(0.9)
        averages.apply([w])
        average = averages.average(w)
        hook = VariableRecoverHook(fm_checkpoint, {"fm/w": w})
        for _ in range(5):  # The order of initialization is a race.
            with tf1.train.MonitoredSession(hooks=[hook]) as session:
                assert session.run(average).tolist() == OLD_W

    def test_dtypes_are_kept(self, old_dir, new_graph):
        values = {"half": np.float16([1.5]), "double": np.float64([0.1]), "int": np.int32([7]), "bool": np.bool_([True])}
        save_checkpoint(old_dir, values)
        for name, value in values.items():
            tf1.get_variable(name, initializer=np.zeros_like(value))
        found = recovered_values(str(old_dir), None, list(values))
        assert found == [[1.5], [0.1], [7], [True]]


class TestGraph:
    @pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
    def test_nothing_moves_and_little_is_added(self, old_dir, new_graph, use_resource):
        count = 20
        save_checkpoint(old_dir, {f"v{i}": np.zeros([1000, 10], np.float32) for i in range(count)})
        with tf.device("/cpu:0"):
            for i in range(count):
                zeros(f"v{i}", [1000, 10], use_resource=use_resource)
        before = {op.name: op.device for op in new_graph.get_operations()}
        collections = {key: list(new_graph.get_collection(key)) for key in new_graph.get_all_collection_keys()}
        VariableRecoverHook(str(old_dir)).begin()
        after = {op.name: op.device for op in new_graph.get_operations()}
        assert {name: after[name] for name in before} == before
        assert len(after) - len(before) <= 6 * count + 10
        # 40,000 bytes a variable, 800,000 in all, if a value were a constant.
        added = [op for op in new_graph.get_operations() if op.name not in before]
        assert sum(op.node_def.ByteSize() for op in added) < 1500 * count
        for key, members in collections.items():
            assert list(new_graph.get_collection(key)) == members

    def test_values_are_read_on_the_host_of_the_variables_device(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.arange(4, dtype=np.float32)})
        with tf.device("/job:ps/task:1/device:GPU:0"):
            zeros("v", [4])
        with tf.device("/job:worker/task:3"):
            VariableRecoverHook(str(old_dir)).begin()
        devices = {op.type: op.device for op in new_graph.get_operations() if op.name.startswith("estimator_warmstart/")}
        assert tf1.DeviceSpec.from_string(devices["RestoreV2"]).to_string() == "/job:ps/task:1/device:CPU:0"
        assert devices["VarHandleOp"] == "/job:ps/task:1/device:GPU:0"

    def test_two_hooks_for_one_variable(self, fm_checkpoint, new_graph):
        zeros("fm/w", [3, 1]), zeros("fm/v", [3, 2])
        VariableRecoverHook(fm_checkpoint, {"fm/w": "fm/w"}).begin()
        VariableRecoverHook(fm_checkpoint, {"fm/v": "fm/v"}).begin()
        with pytest.raises(WarmStartError, match=r"'fm/w' already takes its value from .*model\.ckpt"):
            VariableRecoverHook(fm_checkpoint).begin()


def flip_a_byte_of_v(old_dir):
    data = pathlib.Path(old_dir) / "model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[content.index(np.float32([1, 2, 3, 4]).tobytes())] ^= 1
    data.write_bytes(bytes(content))


class TestDamage:
    @needs_estimator
    def test_a_flipped_byte_ends_training_before_a_step(self, fm_checkpoint, tmp_path):
        flip_a_byte_of_v(fm_checkpoint)
        with pytest.raises(tf.errors.DataLossError) as caught:
            estimator_of(article_model(fm_checkpoint), tmp_path / "new").train(one_row, steps=1)
        assert "new/v" in str(caught.value) and "model.ckpt" in str(caught.value)
        assert tf.train.latest_checkpoint(str(tmp_path / "new")) is None

    def test_a_flipped_byte_by_hand(self, fm_checkpoint, new_graph):
        flip_a_byte_of_v(fm_checkpoint)
        v = zeros("v", [3, 2])
        with tf1.Session() as session, pytest.raises(WarmStartError) as caught:
            recover_variables(session, fm_checkpoint, {"fm/v": v})
        assert "restore/v" in str(caught.value) and "model.ckpt" in str(caught.value)

    def test_a_checkpoint_replaced_after_the_plan(self, fm_checkpoint, new_graph):
        v = zeros("v", [3, 2])
        hook = VariableRecoverHook(fm_checkpoint, {"fm/v": v})
        hook.begin()
        save_checkpoint(fm_checkpoint, {"fm/v": np.float32([[1, 2, 3], [4, 5, 6]])})
        with tf1.Session() as session, pytest.raises(WarmStartError, match=r"(?s)v.*shape"):
            hook.after_create_session(session, None)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(recover_vars=["fm/w"]), "must be a dict .* got list"),
        (dict(recover_vars={}), "empty"),
        (dict(recover_vars={1: "w"}), "an old name is a string, got 1"),
        (dict(when="always"), "when must be 'fresh' or 'every_train', got 'always'"),
        (dict(missing="eror"), r"missing must be 'error' or 'keep', got 'eror' \(did you mean 'error'\?\)"),
        (dict(with_slots=1), "with_slots must be True or False, got 1"),
        (dict(max_wait_secs=-1), "max_wait_secs must be a positive number of seconds, got -1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_arguments_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        VariableRecoverHook(ckp_dir="anywhere", **arguments)


class TestNothingRecovered:
    @pytest.mark.parametrize("rows, warns", [(["a"], False), (["x"], True)], ids=["a row", "no row"])
    def test_of_a_vocabulary(self, old_dir, new_graph, caplog, rows, warns):
        save_checkpoint(old_dir, {"w": np.float32([[1]])})
        tf1.get_variable("w", [1, 1])
        hook = ShapeAdaptingRecoverHook(str(old_dir), adapters={"w": adapters.remap_rows(["a"], rows)})
        with caplog.at_level(logging.WARNING, logger="tensorflow"), tf1.train.MonitoredSession(hooks=[hook]):
            assert ("No variable of the model takes an old value: it begins cold" in caplog.text) == warns

    def test_of_an_unrelated_model(self, fm_checkpoint, new_graph, caplog):
        tf1.get_variable("x", [1])
        hook = VariableRecoverHook(fm_checkpoint, missing="keep")
        with caplog.at_level(logging.WARNING, logger="tensorflow"), tf1.train.MonitoredSession(hooks=[hook]):
            assert "it begins cold" in caplog.text and "Old variables not used: 5" in caplog.text
