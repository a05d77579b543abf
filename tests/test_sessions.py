"""Which sessions are recovered: fresh ones, by each plan of their graph; resumed ones never. No file is written over."""

import gc
import glob
import json
import logging
import os
import threading
import weakref

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import VariableRecoverHook, WarmStartError, format_report, recover_scaffold, recover_variables

tf1 = tf.compat.v1


@pytest.fixture
def old(tmp_path):
    """The directories of three old models, each of one variable: `a` is [1, 1], `b` is [2, 2], and `again` has `a`, [3, 3]."""
    found = {}
    for folder, name, value in (("a", "a", 1), ("b", "b", 2), ("again", "a", 3)):
        (tmp_path / folder).mkdir()
        save_checkpoint(tmp_path / folder, {name: np.full([2], value, np.float32)})
        found[folder] = str(tmp_path / folder)
    return found


def cold(name, use_resource=True):
    return tf1.get_variable(name, [2], initializer=tf1.zeros_initializer(), use_resource=use_resource)


def assigns(value=0.0):
    """An operation that initializes all variables, but not by their initializers."""
    return tf.group(*[tf1.assign(v, tf.cast(tf.fill(v.shape, value), v.dtype.base_dtype)) for v in tf1.global_variables()])


def values_in(prefix, *names):
    return [tf.train.load_variable(str(prefix), name).tolist() for name in names]


def contents(folder):
    """{file name: bytes} of a directory."""
    found = {}
    for path in glob.glob(os.path.join(str(folder), "*")):
        with open(path, "rb") as file:
            found[os.path.basename(path)] = file.read()
    return found


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
class TestEachPlan:
    def test_two_models_in_one_session(self, old, new_graph, use_resource):
        a, b = cold("a", use_resource), cold("b", use_resource)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            recover_variables(session, old["a"], {"a": "a"})
            recover_variables(session, old["b"], {"b": "b"})
            assert session.run([a, b])[0].tolist() == [1, 1] and session.run(b).tolist() == [2, 2]

    def test_recover_assign_recover(self, old, new_graph, use_resource):
        a = cold("a", use_resource)
        seven, init = tf1.assign(a, [7.0, 7.0]), tf1.global_variables_initializer()
        with tf1.Session() as session:
            session.run(init)
            for folder, value in (("a", 1), ("again", 3), ("a", 1)):
                plan = recover_variables(session, old[folder])
                assert session.run(a).tolist() == [value] * 2
                assert [planned.action for planned in plan.variables] == ["restored"]
                session.run(seven)
            session.run(init)
            recover_variables(session, old["again"])
            assert session.run(a).tolist() == [3, 3]

    def test_a_hook_and_then_another_model_by_hand(self, old, new_graph, use_resource):
        a = cold("a", use_resource)
        hook = VariableRecoverHook(old["a"])
        hook.begin()
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            hook.after_create_session(session, None)
            assert session.run(a).tolist() == [1, 1]
            recover_variables(session, old["again"])
            assert session.run(a).tolist() == [3, 3]

    @pytest.mark.parametrize("own_saver", [False, True], ids=["", "own saver"])
    @pytest.mark.parametrize("when", ["fresh", "every_train"])
    @pytest.mark.parametrize("by", ["init_op", "init_fn"])
    def test_two_hooks_and_an_initialization_of_the_users(self, old, tmp_path, new_graph, use_resource, when, by, own_saver):
        a, b = cold("a", use_resource), cold("b", use_resource)
        tf1.train.get_or_create_global_step()
        own = assigns()
        scaffold = tf1.train.Scaffold(
            init_op=own if by == "init_op" else tf.no_op(),
            saver=tf1.train.Saver() if own_saver else None,
            init_fn=(lambda scaffold, session: session.run(own)) if by == "init_fn" else None,
        )
        hooks = [VariableRecoverHook(old["a"], {"a": a}, when=when), VariableRecoverHook(old["b"], {"b": b}, when=when)]
        new_dir = str(tmp_path / "new")
        with tf1.train.MonitoredTrainingSession(checkpoint_dir=new_dir, scaffold=scaffold, hooks=hooks) as session:
            assert values_in(new_dir + "/model.ckpt-0", "a", "b") == [[1, 1], [2, 2]]
            assert [value.tolist() for value in session.run([a, b])] == [[1, 1], [2, 2]]


@pytest.mark.parametrize("given", ["operation", "list", "name"])
@pytest.mark.parametrize("way", ["hook", "scaffold"])
def test_an_init_op_that_assigns_some_and_initializes_others(old_dir, tmp_path, new_graph, way, given):
    save_checkpoint(old_dir, {"a": np.float32([1, 1]), "b": np.float32([2, 2])})
    a, b, step = cold("a"), cold("b"), tf1.train.get_or_create_global_step()
    init_op = tf.group(a.initializer, step.initializer, b.assign([0.0, 0.0]))
    init_op = {"operation": init_op, "list": [init_op, step.initializer], "name": init_op.name}[given]
    hooks, scaffold = [VariableRecoverHook(str(old_dir))], tf1.train.Scaffold(init_op=init_op)
    if way == "scaffold":
        hooks, scaffold = [], recover_scaffold(str(old_dir), init_op=init_op)
    new_dir = str(tmp_path / "new")
    with tf1.train.MonitoredTrainingSession(checkpoint_dir=new_dir, scaffold=scaffold, hooks=hooks):
        assert values_in(new_dir + "/model.ckpt-0", "a", "b") == [[1, 1], [2, 2]]


class TestTheReport:
    def test_a_trained_model_was_not_restored(self, old, new_graph):
        a, step = cold("a"), tf1.train.get_or_create_global_step()
        with tf1.Session() as session:
            session.run([tf1.global_variables_initializer()])
            session.run(tf1.assign(step, 5))
            plan = recover_variables(session, old["a"], {"a": a})
            assert session.run(a).tolist() == [0, 0]
        assert {planned.action for planned in plan.variables} == {"initialized"} and plan.coverage == 0
        assert [variable.name for variable in plan.unused] == ["a"]
        assert "the model is at step 5 and keeps its own value" in format_report(plan)

    def test_is_logged_once_for_each_hook(self, old, new_graph, caplog):
        cold("a"), cold("b")
        scaffold = tf1.train.Scaffold(init_op=assigns())
        hooks = [VariableRecoverHook(old["a"], {"a": "a"}), VariableRecoverHook(old["b"], {"b": "b"})]
        creator = tf1.train.ChiefSessionCreator(scaffold)
        with caplog.at_level(logging.INFO, logger="tensorflow"), tf1.train.MonitoredSession(creator, hooks):
            pass
        reports = [record.getMessage() for record in caplog.records if "Warm start from" in record.getMessage()]
        assert [old[name] in report for name, report in zip("ab", reports)] == [True, True] and len(reports) == 2


def test_a_worker_waits_for_each_plan(old, new_graph, monkeypatch):
    cluster = {"chief": ["localhost:1"], "worker": ["localhost:2"], "ps": ["localhost:3"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}}))
    cold("a"), cold("b")
    hooks = [VariableRecoverHook(old[name], {name: name}, max_wait_secs=1.2) for name in ("a", "b")]
    init = assigns()
    for hook in hooks:
        hook.begin()
    with tf1.Session() as session:
        session.run(init)
        hooks[0]._graph_recovery.recover(session)  # As the chief does, which then has the second model still to recover.
        hooks[0].after_create_session(session, tf.train.Coordinator())
        with pytest.raises(WarmStartError, match=r"waited \d+ s for the chief to recover from .*/b/model.ckpt"):
            hooks[1].after_create_session(session, tf.train.Coordinator())


@pytest.mark.parametrize("by", ["hook", "recover_variables"])
def test_a_graph_is_let_go(old, by):
    with tf.Graph().as_default() as graph:
        cold("a")
        if by == "hook":
            with tf1.train.MonitoredSession(hooks=[VariableRecoverHook(old["a"])]):
                pass
        else:
            with tf1.Session() as session:
                recover_variables(session, old["a"])
    is_there = weakref.ref(graph)
    del graph
    if by != "hook":
        del session
    gc.collect()
    assert is_there() is None


def test_the_flags_of_a_job_follow_from_the_order_of_its_hooks(old, tmp_path):
    """A worker that comes late may find another checkpoint than the chief did, or none."""

    def flags(first_dir, model_dir=None):
        with tf.Graph().as_default() as graph:
            cold("a"), cold("b")
            VariableRecoverHook(first_dir, {"a": "a"}, model_dir=model_dir).begin()
            VariableRecoverHook(old["b"], {"b": "b"}).begin()
            return [
                op.get_attr("shared_name")
                for op in graph.get_operations()
                if op.type == "VarHandleOp" and op.name.startswith("estimator_warmstart/")
            ]

    save_checkpoint(tmp_path, {"a": np.float32([0, 0])}, step=9)
    found = flags(old["a"])
    assert len(set(found)) == 2
    assert flags(old["again"]) == found
    assert flags(str(tmp_path / "gone"), model_dir=str(tmp_path)) == found


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
class TestBeforeInitialization:
    """In the order of `init_from_checkpoint`: recovered, then initialized."""

    @pytest.mark.parametrize("built", ["before", "after"])
    def test_the_initializer_recovers(self, old, new_graph, use_resource, built):
        a, b = cold("a", use_resource), cold("b", use_resource)
        init = tf1.global_variables_initializer()
        with tf1.Session() as session:
            recover_variables(session, old["a"], {"a": "a"})
            assert session.run(a).tolist() == [1, 1]
            session.run(init if built == "before" else tf1.global_variables_initializer())
            assert [value.tolist() for value in session.run([a, b])] == [[1, 1], [0, 0]]

    def test_the_initializer_recovers_two_models(self, old, new_graph, use_resource):
        a, b = cold("a", use_resource), cold("b", use_resource)
        with tf1.Session() as session:
            recover_variables(session, old["a"], {"a": "a"})
            recover_variables(session, old["b"], {"b": "b"})
            session.run(tf1.global_variables_initializer())
            assert [value.tolist() for value in session.run([a, b])] == [[1, 1], [2, 2]]

    def test_the_last_of_two_models_wins(self, old, new_graph, use_resource):
        a = cold("a", use_resource)
        with tf1.Session() as session:
            recover_variables(session, old["a"])
            recover_variables(session, old["again"])
            session.run(tf1.global_variables_initializer())
            assert session.run(a).tolist() == [3, 3]

    def test_new_rows_take_the_variables_own_first_values_each_time(self, old, new_graph, use_resource):
        a = tf1.get_variable("a", [4], initializer=tf1.constant_initializer(5.0), use_resource=use_resource)
        with tf1.Session() as session:
            recover_variables(session, old["a"], adapters={})
            recover_variables(session, old["again"], adapters={})
            assert session.run(a).tolist() == [3, 3, 5, 5]
            session.run(tf1.global_variables_initializer())
            assert session.run(a).tolist() == [3, 3, 5, 5]

    def test_variables_made_after_a_session_has_run(self, old, new_graph, use_resource):
        a = cold("a", use_resource)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            b = cold("b", use_resource)
            init = b.initializer
            recover_variables(session, old["b"], {"b": "b"})
            session.run([init, a.initializer])
            assert [value.tolist() for value in session.run([a, b])] == [[0, 0], [2, 2]]

    def test_a_session_that_has_run_before(self, old, new_graph, use_resource, caplog):
        a = cold("a", use_resource)
        init = tf1.global_variables_initializer()
        with tf1.Session() as session, caplog.at_level(logging.WARNING, logger="tensorflow"):
            session.run(tf.constant(0))
            recover_variables(session, old["a"])
            assert session.run(a).tolist() == [1, 1]
            assert "'a:0': recovered, but this session has run before" in caplog.text
            session.run(tf1.global_variables_initializer())
            assert session.run(a).tolist() == [1, 1]
            session.run(init)
            assert session.run(a).tolist() == [0, 0]

    def test_an_initialized_session_keeps_its_initializers(self, old, new_graph, use_resource):
        a = cold("a", use_resource)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            recover_variables(session, old["a"])
            session.run(tf1.global_variables_initializer())
            assert session.run(a).tolist() == [0, 0]

    def test_many_variables_of_which_some_are_new(self, tmp_path, new_graph, use_resource):
        save_checkpoint(tmp_path, {f"v{i}": np.float32([i, i]) for i in range(1, 8)})
        first = [cold(f"v{i}", use_resource) for i in range(1, 4)]
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            later = [cold(f"v{i}", use_resource) for i in range(4, 8)]
            recover_variables(session, str(tmp_path))
            session.run(tf1.variables_initializer(later))
            assert [value[0] for value in session.run(first + later)] == [1, 2, 3, 4, 5, 6, 7]
            session.run(tf1.variables_initializer(first))
            assert [value[0] for value in session.run(first)] == [0, 0, 0]


def trained(new_dir, with_step=None):
    """Saves a trained model: `a` is [9, 9], its global step `with_step` if it has one; returns the prefix."""
    step = {} if with_step is None else {"global_step": np.int64(with_step)}
    return save_checkpoint(new_dir, {"a": np.float32([9, 9]), **step}, step=with_step)


OWN = {
    "": lambda: {},
    "own saver": lambda: {"saver": tf1.train.Saver()},
    "own init_op": lambda: {"init_op": assigns()},
    "own saver and init_op": lambda: {"saver": tf1.train.Saver(), "init_op": assigns()},
}


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
class TestResumed:
    @pytest.mark.parametrize("how", ["checkpoint_dir", "checkpoint_filename_with_path"])
    def test_without_a_global_step(self, old, old_dir, new_graph, how, own):
        prefix, a = trained(old_dir), cold("a")
        before = contents(old_dir)
        where = {"checkpoint_dir": str(old_dir), "checkpoint_filename_with_path": prefix}[how]
        creator = tf1.train.ChiefSessionCreator(tf1.train.Scaffold(**own()), **{how: where})
        with tf1.train.MonitoredSession(creator, [VariableRecoverHook(old["a"])]) as session:
            assert session.run(a).tolist() == [9, 9]
        assert contents(old_dir) == before

    def test_at_step_0_what_is_on_disk_stays(self, old, old_dir, new_graph, own):
        trained(old_dir, with_step=0)
        a, _ = cold("a"), tf1.train.get_or_create_global_step()
        before = contents(old_dir)
        creator = tf1.train.ChiefSessionCreator(tf1.train.Scaffold(**own()), checkpoint_dir=str(old_dir))
        with tf1.train.MonitoredSession(creator, [VariableRecoverHook(old["a"])]) as session:
            assert session.run(a).tolist() == [1, 1]  # Nothing has been trained: it is taken for cold.
        assert contents(old_dir) == before

    def test_at_step_0_by_a_session_that_saves(self, old, old_dir, new_graph, own):
        trained(old_dir, with_step=0)
        cold("a"), tf1.train.get_or_create_global_step()
        hooks, scaffold = [VariableRecoverHook(old["a"])], tf1.train.Scaffold(**own())
        with tf1.train.MonitoredTrainingSession(checkpoint_dir=str(old_dir), scaffold=scaffold, hooks=hooks):
            pass
        assert values_in(old_dir / "model.ckpt-0", "a") == [[9, 9]]

    def test_every_train_recovers_and_leaves_what_is_on_disk(self, old, old_dir, new_graph, own):
        trained(old_dir)
        a = cold("a")
        before = contents(old_dir)
        creator = tf1.train.ChiefSessionCreator(tf1.train.Scaffold(**own()), checkpoint_dir=str(old_dir))
        with tf1.train.MonitoredSession(creator, [VariableRecoverHook(old["a"], when="every_train")]) as session:
            assert session.run(a).tolist() == [1, 1]
        assert contents(old_dir) == before

    def test_a_fresh_one_without_a_global_step(self, old, old_dir, new_graph, own):
        a = cold("a")
        creator = tf1.train.ChiefSessionCreator(tf1.train.Scaffold(**own()), checkpoint_dir=str(old_dir))
        with tf1.train.MonitoredSession(creator, [VariableRecoverHook(old["a"])]) as session:
            assert session.run(a).tolist() == [1, 1]


class MakesAVariable(tf1.train.SessionRunHook):
    """A hook that makes the variable `b` when it begins."""

    def begin(self):
        self.b = cold("b")


class TestALaterHooksVariable:
    @pytest.fixture
    def both(self, tmp_path):
        save_checkpoint(tmp_path, {"a": np.float32([1, 1]), "b": np.float32([2, 2])})
        return str(tmp_path)

    @pytest.mark.parametrize("own", ["", "own init_op"])
    def test_is_recovered(self, both, tmp_path, new_graph, own):
        cold("a"), tf1.train.get_or_create_global_step()
        later, hook = MakesAVariable(), VariableRecoverHook(both)
        scaffold = tf1.train.Scaffold(**OWN[own]())
        new_dir = str(tmp_path / "new")
        with tf1.train.MonitoredTrainingSession(checkpoint_dir=new_dir, scaffold=scaffold, hooks=[hook, later]) as session:
            assert session.run(later.b).tolist() == [2, 2]
            assert values_in(new_dir + "/model.ckpt-0", "a", "b") == [[1, 1], [2, 2]]
        assert [planned.new.name for planned in hook.plan.recovered] == ["a", "b"]
        assert hook.plan.unused == ()

    def test_is_recovered_without_a_session_creator(self, both, new_graph):
        cold("a")
        later = MakesAVariable()
        with tf1.train.MonitoredSession(hooks=[VariableRecoverHook(both), later]) as session:
            assert session.run(later.b).tolist() == [2, 2]

    def test_takes_the_checkpoint_that_the_others_take(self, both, new_graph):
        """Also where the old model has saved another one in between."""

        class MakesAVariableAfterASave(MakesAVariable):
            def begin(self):
                save_checkpoint(both, {"a": np.float32([3, 3]), "b": np.float32([4, 4])}, step=1)
                super().begin()

        a, later = cold("a"), MakesAVariableAfterASave()
        with tf1.train.MonitoredSession(hooks=[VariableRecoverHook(both), later]) as session:
            assert [value.tolist() for value in session.run([a, later.b])] == [[1, 1], [2, 2]]

    def test_is_in_the_report_where_the_rules_leave_it_out(self, both, new_graph):
        cold("a")
        hook = VariableRecoverHook(both, {"a": "a"})
        with tf1.train.MonitoredSession(hooks=[hook, MakesAVariable()]):
            pass
        assert [(planned.new.name, planned.action) for planned in hook.plan.variables] == [
            ("a", "restored"),
            ("b", "initialized"),
        ]

    def test_that_does_not_fit_is_an_error_before_anything_is_initialized(self, tmp_path, new_graph):
        save_checkpoint(tmp_path, {"a": np.float32([1, 1]), "b": np.float32([2, 2, 2])})
        cold("a")
        with pytest.raises(WarmStartError, match=r"'b'"):
            tf1.train.MonitoredSession(hooks=[VariableRecoverHook(str(tmp_path)), MakesAVariable()])

    def test_is_told_where_hooks_are_driven_by_hand(self, both, new_graph, caplog):
        cold("a")
        hook, later = VariableRecoverHook(both), MakesAVariable()
        hook.begin(), later.begin()
        with tf1.Session() as session, caplog.at_level(logging.WARNING, logger="tensorflow"):
            session.run(tf1.global_variables_initializer())
            hook.after_create_session(session, None)
            assert session.run(later.b).tolist() == [0, 0]
        assert "'b': made after the hook's begin(), so nothing was recovered" in caplog.text
        assert [(planned.new.name, planned.action) for planned in hook.plan.variables] == [
            ("a", "restored"),
            ("b", "initialized"),
        ]


def test_one_hook_in_three_trainings_at_once(old):
    hook, together, found = VariableRecoverHook(old["a"]), threading.Barrier(3, timeout=60), {}

    class Meet(tf1.train.SessionRunHook):
        def begin(self):
            together.wait()  # Each has begun in its own graph before any has a session.

    def train(number):
        with tf.Graph().as_default():
            a = cold("a")
            with tf1.train.MonitoredSession(hooks=[hook, Meet()]) as session:
                found[number] = session.run(a).tolist()

    threads = [threading.Thread(target=train, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: [1, 1], 1: [1, 1], 2: [1, 1]}


class TestWorkerWithoutTfConfig:
    """`MonitoredTrainingSession(is_chief=False)` on a server that is shared: nothing but the call says that it is a worker."""

    def test_a_late_one_never_recovers(self, old):
        server = tf1.train.Server.create_local_server()

        def joined(is_chief, *to_run):
            with tf.Graph().as_default():
                a, _ = cold("a"), tf1.train.get_or_create_global_step()
                trains = tf.group(a.assign_add([1.0, 1.0]), tf1.train.get_global_step().assign_add(1))
                hook = VariableRecoverHook(old["a"], when="every_train", max_wait_secs=5)
                with tf1.train.MonitoredTrainingSession(server.target, is_chief, hooks=[hook]) as session:
                    if is_chief:
                        session.run(trains)
                    return session.run(a).tolist()

        assert [joined(True), joined(False)] == [[2, 2], [2, 2]]


class TestReplicas:
    def test_a_hook_for_each_is_told_to_be_made_once(self, old, new_graph):
        strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
        with strategy.scope():
            cold("a")
            VariableRecoverHook(old["a"]).begin()
            with pytest.raises(WarmStartError, match=r"outside of the function that each replica runs, .* recover_scaffold"):
                VariableRecoverHook(old["a"]).begin()

    def test_others_are_told_to_name_a_variable_in_one_hook(self, old, new_graph):
        cold("a")
        VariableRecoverHook(old["a"]).begin()
        with pytest.raises(WarmStartError, match="name it in one hook only"):
            VariableRecoverHook(old["a"]).begin()


def test_a_scaffold_and_a_hook(old, tmp_path, new_graph):
    cold("a"), cold("b"), tf1.train.get_or_create_global_step()
    scaffold = recover_scaffold(old["a"], {"a": "a"}, init_op=assigns())
    new_dir = str(tmp_path / "new")
    hooks = [VariableRecoverHook(old["b"], {"b": "b"})]
    with tf1.train.MonitoredTrainingSession(checkpoint_dir=new_dir, scaffold=scaffold, hooks=hooks):
        assert values_in(new_dir + "/model.ckpt-0", "a", "b") == [[1, 1], [2, 2]]
