"""Local variables as new ones: chosen by their collection, recovered in each session that initializes them."""

import json
import logging
import os
import socket

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import (
    ShapeAdaptingRecoverHook,
    VariableRecoverHook,
    WarmStartError,
    hooks_from_params,
    match_variables,
    plan_recovery,
    recover_variables,
)

tf1 = tf.compat.v1
LOCAL = tf1.GraphKeys.LOCAL_VARIABLES


@pytest.fixture
def old(old_dir):
    """An old model that was told to save its local variables, seen [2] and w/copy [2], and w [2]."""
    save_checkpoint(old_dir, {"seen": np.float32([1, 2]), "w": np.float32([3, 4]), "w/copy": np.float32([5, 6])})
    return str(old_dir)


@pytest.fixture
def model(new_graph):
    """Builds the new model: the local `seen` and `w/copy`, the global `w`, and an operation that adds 10 to all."""

    def build(**options):
        seen, copy = (
            tf1.get_variable(name, [2], initializer=tf1.zeros_initializer(), collections=[LOCAL], trainable=False, **options)
            for name in ("seen", "w/copy")
        )
        w = tf1.get_variable("w", [2], initializer=tf1.zeros_initializer())
        step = tf1.train.get_or_create_global_step()
        with tf1.control_dependencies([tf1.assign_add(each, [10.0, 10.0]) for each in (seen, copy, w)]):
            return [seen, copy, w], tf1.assign_add(step, 1)

    return build


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class TestChoice:
    def test_by_their_collection(self, old, model):
        (seen, copy, _), _ = model()
        assert match_variables(old, collection="local_variables") == {"seen": seen, "w/copy": copy}

    @pytest.mark.parametrize(
        "rules, taken",
        [
            (dict(collection=LOCAL, include="seen"), {"seen": "seen"}),
            (dict(collection=LOCAL, rename={"w": ["seen"]}, include="seen"), {"seen": "w"}),
            (dict(recover_vars={"w": "seen"}), {"seen": "w"}),
            ({}, {"w": "w"}),
            (dict(include="w"), {"w": "w"}),
        ],
        ids=repr,
    )
    def test_in_a_plan(self, old, model, rules, taken):
        model()
        plan = plan_recovery(old, **rules)
        assert {planned.new.name: planned.old.name for planned in plan.recovered} == taken
        assert [planned.new.name for planned in plan.variables if not planned.new.is_local] == ["w", "global_step"]
        assert bool(plan.notes) == ("seen" in taken)

    def test_as_match_variables_gives_them(self, old, model):
        model()
        plan = plan_recovery(old, match_variables(old, collection=LOCAL))
        assert [planned.new.name for planned in plan.recovered] == ["seen", "w/copy"]

    def test_another_collection(self, old, model):
        tf1.get_variable("seen", [2], initializer=tf1.zeros_initializer(), collections=["mine"])
        tf1.get_variable("other", [2])
        assert list(match_variables(old, collection="mine")) == ["seen"]

    def test_an_empty_collection(self, old, new_graph):
        tf1.get_variable("w", [2])
        with pytest.raises(WarmStartError, match="collection 'local_variables' has no variable"):
            plan_recovery(old, collection=LOCAL)


def run(hooks, train, variables, folder=None):
    """The variables in the first session of the graph, before a step; then trains a step."""
    with tf1.train.MonitoredTrainingSession(hooks=hooks, checkpoint_dir=folder, log_step_count_steps=None) as session:
        before = session.run(variables)
        session.run(train)
    return [value.tolist() for value in before]


class TestSessions:
    @pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
    def test_a_fresh_one(self, old, model, use_resource):
        variables, train = model(use_resource=use_resource)
        assert run([VariableRecoverHook(old, collection=LOCAL)], train, variables) == [[1, 2], [5, 6], [0, 0]]

    def test_a_resumed_one_recovers_them_again_and_nothing_else(self, old, model, tmp_path):
        folder = os.path.join(str(tmp_path), "new")
        wanted = {"seen": "seen", "w": "w"}
        for expected in ([[1, 2], [0, 0], [3, 4]], [[1, 2], [0, 0], [13, 14]]):
            with tf.Graph().as_default():
                variables, train = model()
                assert run([VariableRecoverHook(old, wanted)], train, variables, folder) == expected

    @pytest.mark.parametrize(
        "wanted, told",
        [
            ({"seen": "seen", "w": "w"}, "only local variables are recovered, when they are initialized: 'seen'."),
            ({"w": "w"}, "nothing is recovered."),
        ],
        ids=["local", "none"],
    )
    def test_the_log_of_a_resumed_one_names_them(self, old, model, tmp_path, caplog, wanted, told):
        folder = os.path.join(str(tmp_path), "new")
        caplog.set_level(logging.INFO, logger="tensorflow")
        for _ in range(2):
            caplog.clear()
            with tf.Graph().as_default():
                variables, train = model()
                run([VariableRecoverHook(old, wanted)], train, variables, folder)
        (line,) = [record.getMessage() for record in caplog.records if "Resumed" in record.getMessage()]
        assert line.startswith("Resumed at step 1: the model's own values are kept, ")
        assert line.endswith(told)

    def test_the_log_of_a_worker_that_comes_later_names_them(self, old, model, new_graph, caplog):
        _, train = model()
        hook = VariableRecoverHook(old, {"seen": "seen", "w": "w"})
        hook.begin()
        caplog.set_level(logging.INFO, logger="tensorflow")
        with tf1.Session() as session:
            session.run([tf1.global_variables_initializer(), tf1.local_variables_initializer()])
            session.run(train)
            hook.after_create_session(session, None)
        line = caplog.records[-1].getMessage()
        assert line.startswith("At step 1 of a model that was warm-started: only local variables") and line.endswith("'seen'.")

    def test_their_initialization_does_not_pass_for_that_of_the_others(self, old, model, new_graph):
        (seen, _, w), _ = model()
        scaffold = tf1.train.Scaffold(init_op=tf.group(tf1.assign(w, [7.0, 7.0]), tf1.train.get_global_step().initializer))
        hook = VariableRecoverHook(old, {"seen": "seen", "w": "w"})
        with tf1.train.MonitoredSession(tf1.train.ChiefSessionCreator(scaffold), hooks=[hook]) as session:
            assert [value.tolist() for value in session.run([seen, w])] == [[1, 2], [3, 4]]

    def test_every_worker_has_its_own(self, old, monkeypatch):
        cluster = {job: [f"127.0.0.1:{free_port()}"] for job in ("chief", "worker", "ps")}
        servers = {job: tf.distribute.Server(cluster, job_name=job, task_index=0) for job in cluster}
        for job in ("chief", "worker"):
            monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": job, "index": 0}}))
            with tf.Graph().as_default():
                with tf.device("/job:ps/task:0"):
                    w = tf1.get_variable("w", [2])
                with tf.device(f"/job:{job}/task:0"):
                    seen = tf1.get_variable("seen", [2], collections=[LOCAL])
                hook = VariableRecoverHook(old, {"seen": "seen", "w": "w"})
                with tf1.train.MonitoredTrainingSession(servers[job].target, job == "chief", hooks=[hook]) as session:
                    assert [value.tolist() for value in session.run([seen, w])] == [[1, 2], [3, 4]]

    def test_adapted_and_partitioned(self, old, new_graph):
        seen = tf1.get_variable(
            "seen",
            [3],
            initializer=tf1.constant_initializer(-1.0),
            collections=[LOCAL],
            trainable=False,
            partitioner=tf1.fixed_size_partitioner(2),
        )
        tf1.get_variable("w", [2])
        hook = ShapeAdaptingRecoverHook(old, collection=LOCAL)
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            assert np.concatenate(session.run(list(seen))).tolist() == [1, 2, -1]

    def test_without_hooks_and_by_params(self, old, model):
        (seen, copy, w), _ = model()
        with tf1.Session() as session:
            session.run([tf1.global_variables_initializer(), tf1.local_variables_initializer()])
            recover_variables(session, old, collection=LOCAL)
            assert [value.tolist() for value in session.run([seen, copy, w])] == [[1, 2], [5, 6], [0, 0]]
        (hook,) = hooks_from_params({"warm_start": {"ckp_dir": old, "collection": "local_variables"}})
        assert [planned.new.name for planned in hook.plan_for(tf1.get_default_graph()).recovered] == ["seen", "w/copy"]
