"""What takes longer than two seconds tells how far it is: a bar on a terminal, lines in the log of a training."""

import io
import logging
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from conftest import run_python, save_checkpoint
from estimator_warmstart import (
    ShapeAdaptingRecoverHook,
    VariableRecoverHook,
    adapters,
    convert_checkpoint,
    merge_checkpoints,
    plan_recovery,
    progress,
    recover_scaffold,
    recover_variables,
    write_checkpoint,
)
from estimator_warmstart.progress import logged_progress, progress_line, tally
from estimator_warmstart.restore import eager_values, graph_progress, graph_recovery
from estimator_warmstart.restore.graph_progress import Share, shares_of

tf1 = tf.compat.v1
MB = 10**6
PATIENCE_SECS = 60


class Time(progress.Clock):
    """A time that passes when the test says so: each `tick` lets one wait end."""

    def __init__(self):
        self.seconds, self.waited, self._ticks = 0.0, [], threading.Semaphore(0)

    def now(self):
        return self.seconds

    def wait(self, ended, secs):
        self.waited.append(secs)
        while not ended.is_set():
            if self._ticks.acquire(timeout=0.01):
                return False
        return True

    def tick(self):
        self._ticks.release()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    clock = Time()
    monkeypatch.setattr(progress, "CLOCK", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch):
    """What is written on stderr, which is a terminal of 80 columns."""
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=terminal))  # pytest has its own idea of sys.stderr.
    return terminal


@pytest.fixture
def lines(caplog):
    """A function that returns the lines of the log that tell how far something is."""
    caplog.set_level(logging.INFO, logger="tensorflow")

    def found():
        return [text for text in (record.getMessage() for record in list(caplog.records)) if text.endswith(" %")]

    return found


def until(is_so):
    """Waits until `is_so()`."""
    deadline = time.monotonic() + PATIENCE_SECS
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name == "warm-start-progress"]


class TestBar:
    def test_nothing_in_the_first_two_seconds(self, clock, terminal):
        with progress_line("Converting m") as show:
            for clock.seconds in (0.0, 1.9):
                show(50 * MB, 200 * MB)
        assert terminal.getvalue() == ""

    def test_it_is_rewritten_for_each_percent(self, clock, terminal):
        with progress_line("Converting m") as show:
            clock.seconds = 2.0
            show(50 * MB, 200 * MB)
            show(51 * MB, 200 * MB)
            show(100 * MB, 200 * MB)
        assert terminal.getvalue() == (
            "\rConverting m [#####               ] 50 of 200 MB, 25 %"
            "\rConverting m [##########          ] 100 of 200 MB, 50 %\n"
        )

    def test_what_fails_is_told_on_a_line_of_its_own(self, clock, terminal):
        with pytest.raises(ZeroDivisionError), progress_line("Converting m") as show:
            clock.seconds = 2.0
            show(1, 2)
            raise ZeroDivisionError
        assert terminal.getvalue().endswith("50 %\n")

    def test_it_fits_the_terminal(self, clock, terminal):
        with progress_line("Converting " + "m" * 100) as show:
            clock.seconds = 2.0
            show(1, 1)
        assert len(terminal.getvalue().strip()) == 79

    @pytest.mark.parametrize("is_shown, shows", [(True, True), (False, False), (None, False)])
    def test_where_there_is_no_terminal(self, clock, monkeypatch, is_shown, shows):
        stderr = io.StringIO()
        monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stderr))
        with progress_line("Converting m", is_shown) as show:
            show(1, 1)
        assert (stderr.getvalue() == "\rConverting m [####################] 0.0 of 0.0 MB, 100 %\n") == shows


class TestLines:
    def test_at_most_each_ten_seconds(self, clock, lines):
        with progress_line("Converting m") as show:
            for clock.seconds, done in ((1.9, 100), (2.0, 1200), (11.9, 2400), (12.0, 3600), (40.0, 5000)):
                show(done * MB, 5000 * MB)
        assert lines() == [
            "Converting m: 1,200 of 5,000 MB, 24 %",
            "Converting m: 3,600 of 5,000 MB, 72 %",
            "Converting m: 5,000 of 5,000 MB, 100 %",
        ]

    def test_none_when_none_are_wanted(self, clock, lines):
        with progress_line("Converting m", is_shown=False) as show:
            clock.seconds = 2.0
            show(1, 1)
        assert lines() == []

    def test_bytes_of_several_threads_are_added_up(self, clock, lines):
        clock.seconds = 2.0
        with tally("Reading", 800) as count:
            each = [threading.Thread(target=lambda: [count(1) for _ in range(100)]) for _ in range(8)]
            for thread in each:
                thread.start()
            for thread in each:
                thread.join()
            clock.seconds = 60.0
            count(0)
        assert lines()[-1] == "Reading: 0.0 of 0.0 MB, 100 %"


class TestLoggedFromOutside:
    def test_lines_come_after_two_seconds_and_then_each_ten(self, clock, lines):
        done = iter([MB, 3 * MB, 4 * MB])
        with logged_progress("Recovering", 4 * MB, lambda: next(done)):
            for count in (1, 2, 3):
                assert len(lines()) == count - 1
                clock.tick()
                until(lambda count=count: len(lines()) == count)
        assert lines() == [
            "Recovering: 1.0 of 4.0 MB, 25 %",
            "Recovering: 3.0 of 4.0 MB, 75 %",
            "Recovering: 4.0 of 4.0 MB, 100 %",
        ]
        assert clock.waited == [2.0, 10.0, 10.0] and threads() == []  # Nothing is asked once all is done.

    def test_what_is_done_earlier_says_nothing(self, clock, lines):
        with logged_progress("Recovering", MB, lambda: 0):
            until(lambda: clock.waited)
        assert lines() == [] and threads() == []

    def test_what_fails_leaves_nothing(self, clock, lines):
        with pytest.raises(ZeroDivisionError), logged_progress("Recovering", MB, lambda: 0):
            raise ZeroDivisionError
        clock.tick()
        assert lines() == [] and threads() == []

    def test_who_does_not_answer_is_not_asked_again(self, clock, lines):
        with logged_progress("Recovering", MB, lambda: None):
            clock.tick()
            until(lambda: threads() == [])
        assert lines() == []

    def test_an_answer_that_comes_too_late_is_not_told(self, clock, lines, monkeypatch):
        monkeypatch.setattr(progress, "_JOIN_SECS", 0.0)
        asked, answers = threading.Event(), threading.Event()

        def count():
            asked.set()
            answers.wait(PATIENCE_SECS)
            return 1

        with logged_progress("Recovering", MB, count):
            clock.tick()
            assert asked.wait(PATIENCE_SECS)
        answers.set()
        until(lambda: threads() == [])
        assert lines() == []

    def test_nobody_is_asked_for_a_log_that_does_not_want_it(self, clock, lines, caplog):
        caplog.set_level(logging.WARNING, logger="tensorflow")
        with logged_progress("Recovering", MB, lambda: 0):
            assert threads() == []


# 1 and 2 MB of old values.
A, B = np.full([250_000], 1, np.float32), np.full([500_000], 2, np.float32)


@pytest.fixture
def old(old_dir):
    return save_checkpoint(old_dir, {"a": A, "b": B})


@pytest.fixture
def large(monkeypatch):
    """Every recovery is large and takes long: the log has a line each few milliseconds."""

    class Hasty(progress.Clock):
        def wait(self, ended, secs):
            return ended.wait(0.005)

    monkeypatch.setattr(progress, "CLOCK", Hasty())
    monkeypatch.setattr(graph_progress, "LARGE_BYTES", 1)


def cold(name, shape, use_resource=True):
    return tf1.get_variable(name, [shape], initializer=tf1.zeros_initializer(), use_resource=use_resource)


def held_until(is_so, error=None):
    """Makes a variable whose initialization does not end before `is_so()`, and fails then if there is an `error`."""

    def hold():
        until(is_so)
        if error is not None:
            raise error
        return np.float32(0)

    value = tf1.numpy_function(hold, [], tf.float32)
    value.set_shape([])
    return tf1.get_variable("held", initializer=value)


def threads_of(count, **options):
    """The config of a session with so many threads for operations, some of which wait here."""
    return tf1.ConfigProto(inter_op_parallelism_threads=count, use_per_session_threads=True, **options)


def run_monitored(*to_run, hooks=(), config=None, **options):
    config = config or threads_of(8)
    with tf1.train.MonitoredTrainingSession(hooks=hooks, config=config, save_summaries_steps=None, **options) as session:
        return [session.run(each) for each in to_run]


def held_hook(old, **options):
    return ShapeAdaptingRecoverHook(old, **{"include": "[ab]", "with_slots": False, **options})


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
class TestWhileInitialized:
    def test_whole_values(self, large, old, new_graph, lines, use_resource):
        a, b = cold("a", 250_000, use_resource=use_resource), cold("b", 500_000, use_resource=use_resource)
        done = f"Recovering from {old}: 3.0 of 3.0 MB, 100 %"
        held_until(lambda: done in lines())
        values = run_monitored(a[0], b[-1], hooks=[VariableRecoverHook(old, {"a": a, "b": b})])
        assert values == [1, 2] and lines()[-1] == done and threads() == []

    def test_one_of_two(self, large, old, new_graph, lines, use_resource):
        a, b = cold("a", 250_000, use_resource=use_resource), cold("b", 500_000, use_resource=use_resource)
        third = f"Recovering from {old}: 1.0 of 3.0 MB, 33 %"

        def held(value):
            until(lambda: third in lines())
            return value

        hook = held_hook(old, adapters={"b": adapters.transform(held, numpy=True)})
        assert run_monitored(a[0], b[-1], hooks=[hook]) == [1, 2]

    def test_adapted_values_count_as_they_are_in_the_new_model(self, large, old, new_graph, lines, use_resource):
        a = cold("a", 1_000_000, use_resource=use_resource)
        done = f"Recovering from {old}: 4.0 of 4.0 MB, 100 %"
        held_until(lambda: done in lines())
        values = run_monitored(a[0], a[-1], hooks=[ShapeAdaptingRecoverHook(old, {"a": a})])
        assert values == [1, 0] and lines()[-1] == done

    def test_parts(self, large, old, new_graph, lines, use_resource):
        with tf1.variable_scope("", partitioner=tf1.fixed_size_partitioner(4)):
            b = cold("b", 500_000, use_resource=use_resource)
        done = f"Recovering from {old}: 2.0 of 2.0 MB, 100 %"
        held_until(lambda: done in lines())
        assert run_monitored(tf.convert_to_tensor(b)[-1], hooks=[VariableRecoverHook(old, {"b": b})]) == [2]

    def test_several_devices(self, large, old, new_graph, lines, use_resource):
        with tf.device("/cpu:0"):
            a = cold("a", 250_000, use_resource=use_resource)
        with tf.device("/cpu:1"):
            b = cold("b", 500_000, use_resource=use_resource)
        done = f"Recovering from {old}: 3.0 of 3.0 MB, 100 %"
        held_until(lambda: done in lines())
        config = threads_of(8, device_count={"CPU": 2})
        assert run_monitored(a[0], b[0], hooks=[VariableRecoverHook(old, {"a": a, "b": b})], config=config) == [1, 2]

    def test_a_session_whose_one_thread_is_busy_answers(self, large, old, new_graph, lines, use_resource):
        a = cold("a", 250_000, use_resource=use_resource)
        held_until(lambda: any("of 1.0 MB" in line for line in lines()))
        assert run_monitored(a[0], hooks=[VariableRecoverHook(old, {"a": a})], config=threads_of(1)) == [1]


class TestSessions:
    def test_a_scaffold(self, large, old, new_graph, lines):
        a = cold("a", 250_000)
        done = f"Recovering from {old}: 1.0 of 1.0 MB, 100 %"
        held_until(lambda: done in lines())
        assert run_monitored(a[0], scaffold=recover_scaffold(old, {"a": a})) == [1]

    def test_two_old_models(self, large, old, tmp_path, new_graph, lines):
        (tmp_path / "other").mkdir()
        other = save_checkpoint(tmp_path / "other", {"b": B})
        a, b = cold("a", 250_000), cold("b", 500_000)
        done = [f"Recovering from {old}: 1.0 of 1.0 MB, 100 %", f"Recovering from {other}: 2.0 of 2.0 MB, 100 %"]
        held_until(lambda: set(done) <= set(lines()))
        hooks = [VariableRecoverHook(old, {"a": a}), VariableRecoverHook(other, {"b": b})]
        assert run_monitored(a[0], b[0], hooks=hooks) == [1, 2]

    def test_a_resumed_one_tells_nothing(self, large, old, tmp_path, lines):
        for step_after in (1, 2):
            with tf.Graph().as_default():
                a = cold("a", 250_000)
                steps = tf1.assign_add(tf1.train.get_or_create_global_step(), 1)
                before = len(lines())
                hook = VariableRecoverHook(old, {"a": a})
                assert run_monitored(a[0], steps, hooks=[hook], checkpoint_dir=str(tmp_path / "new")) == [1, step_after]
        assert lines()[before:] == [] and threads() == []

    def test_one_that_is_made_again_begins_anew(self, large, old, new_graph, lines):
        a = cold("a", 250_000)
        done = f"Recovering from {old}: 1.0 of 1.0 MB, 100 %"
        begun = []
        held_until(lambda: lines().count(done) == len(begun))

        class Lost(tf1.train.SessionRunHook):
            def begin(self):
                begun.append(1)

            def before_run(self, run_context):
                if len(begun) == 1:
                    begun.append(2)
                    raise tf.errors.AbortedError(None, None, "a machine went away")

        assert run_monitored(a[0], hooks=[Lost(), VariableRecoverHook(old, {"a": a})]) == [1]
        assert lines().count(done) == 2

    def test_only_what_has_no_value_yet_is_counted(self, large, old, new_graph, lines):
        """As where one parameter server was lost, and the others still have their variables."""
        a, b = cold("a", 250_000), cold("b", 500_000)
        ends = [a[-1], b[-1]]
        done = f"Recovering from {old}: 2.0 of 2.0 MB, 100 %"
        held_until(lambda: done in lines())
        scaffold = tf1.train.Scaffold(init_op=tf1.global_variables_initializer())

        class Survives(tf1.train.SessionManager):
            def _restore_checkpoint(self, *arguments, **options):
                session, is_loaded = super()._restore_checkpoint(*arguments, **options)
                session.run(a.initializer)
                return session, is_loaded

        creator = tf1.train.ChiefSessionCreator(scaffold, config=threads_of(8))
        creator._session_manager = Survives(graph=new_graph)
        hook = VariableRecoverHook(old, {"a": a, "b": b})
        with tf1.train.MonitoredSession(creator, hooks=[hook]) as session:
            assert session.run(ends) == [1, 2]
        assert {line.split(" of ")[1][:6] for line in lines()} == {"2.0 MB"}

    def test_one_that_cannot_be_made(self, large, old, new_graph, lines):
        a = cold("a", 250_000)
        held_until(lines, error=ValueError("not today"))
        with pytest.raises(tf.errors.OpError, match="not today"):
            run_monitored(a[0], hooks=[VariableRecoverHook(old, {"a": a})])
        assert threads() == [] and lines()

    def test_a_hook_that_fails(self, large, old, new_graph, lines):
        a = cold("a", 250_000)

        class Fails(tf1.train.SessionRunHook):
            def begin(self):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            run_monitored(a[0], hooks=[VariableRecoverHook(old, {"a": a}), Fails()])
        assert lines() == [] and threads() == []

    @pytest.mark.parametrize("again", [1, 2], ids=["once", "again"])
    def test_by_hand(self, large, old, new_graph, lines, again):
        a, b = cold("a", 250_000), cold("b", 500_000)
        third = f"Recovering from {old}: 1.0 of 3.0 MB, 33 %"
        times = []

        def held(value):
            times.append(1)
            until(lambda: lines().count(third) >= len(times))
            return value

        with tf1.Session(config=threads_of(8)) as session:
            session.run(tf1.global_variables_initializer())
            for _ in range(again):
                recover_variables(session, old, adapters={"b": adapters.transform(held, numpy=True)}, include="[ab]")
                assert session.run([a[0], b[0]]) == [1, 2]
        assert threads() == []

    def test_each_train(self, large, old, new_graph, tmp_path, lines):
        new_dir, third = str(tmp_path / "new"), f"Recovering from {old}: 1.0 of 3.0 MB, 33 %"
        a, b, step = cold("a", 250_000), cold("b", 500_000), tf1.train.get_or_create_global_step()
        run_monitored(tf1.assign_add(step, 1), checkpoint_dir=new_dir)

        def held(value):
            until(lambda: third in lines())
            return value

        with tf.Graph().as_default():
            a, b, step = cold("a", 250_000), cold("b", 500_000), tf1.train.get_or_create_global_step()
            hook = held_hook(old, when="every_train", adapters={"b": adapters.transform(held, numpy=True)})
            assert run_monitored(a[0], b[0], step, hooks=[hook], checkpoint_dir=new_dir) == [1, 2, 1]


class TestGraph:
    def build(self, old):
        """The operations of a graph that recovers `a` and `b`, and its exported MetaGraph."""
        with tf.Graph().as_default() as graph:
            a, b = cold("a", 250_000), cold("b", 500_000)
            hook = VariableRecoverHook(old, {"a": a, "b": b})
            hook.begin()
            return [op.type for op in graph.get_operations()], tf1.train.export_meta_graph().SerializeToString()

    def test_a_small_recovery_adds_nothing(self, old, monkeypatch):
        small = self.build(old)[0]
        monkeypatch.setattr(graph_progress, "LARGE_BYTES", 3 * MB + 1)
        assert self.build(old)[0] == small
        monkeypatch.setattr(graph_progress, "LARGE_BYTES", 3 * MB)
        added = self.build(old)[0]
        for each in small:
            added.remove(each)
        assert added == ["VarIsInitializedOp"] * 2

    def test_a_worker_adds_nothing(self, old, monkeypatch):
        monkeypatch.setattr(graph_recovery, "session_has_own_variables", lambda: False)
        small = self.build(old)[0]
        monkeypatch.setattr(graph_progress, "LARGE_BYTES", 1)
        assert self.build(old)[0] == small

    def test_an_exported_one_initializes_in_another_process(self, large, old, tmp_path):
        (tmp_path / "exported.meta").write_bytes(self.build(old)[1])
        done = run_python(ELSEWHERE, tmp_path / "exported.meta")
        assert done.stdout.split() == ["1.0", "2.0"], done.stderr

    def test_each_copy_counts_and_small_values_count_with_the_next(self, monkeypatch):
        monkeypatch.setattr(graph_progress, "LARGE_BYTES", 1)
        plan = planned(one=([1],), mirrored=([100],), small=([1],), parts=([50], [50]), local=([1000],))
        assert [share.nbytes for share in shares_of(plan)] == [404, 400, 204, 200]
        assert [share.copy for share in shares_of(plan)] == ["mirrored 0.0", "mirrored 0.1", "parts 0.0", "parts 1.0"]

    def test_ten_thousand_variables_have_a_hundred_shares(self, monkeypatch):
        plan = planned(**{f"v{number}": ([2**16],) for number in range(10_000)})
        shares = shares_of(plan)
        assert len(shares) == 100 and {share.nbytes for share in shares} == {100 * 2**18}
        assert shares[-1] == Share("v9999 0.0", 100 * 2**18)
        monkeypatch.setattr(graph_progress, "LARGE_BYTES", 10_000 * 2**18 + 1)
        assert shares_of(plan) == ()


ELSEWHERE = """
import sys
import tensorflow as tf
tf1 = tf.compat.v1
with tf.Graph().as_default():
    tf1.train.import_meta_graph(sys.argv[1])
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        for variable in tf1.global_variables():
            print(session.run(variable)[-1])
"""


def planned(**parts):
    """What `shares_of` looks at of a plan: float32 variables, with a shape for each of their parts; one has two replicas."""
    return SimpleNamespace(
        recovered=[
            SimpleNamespace(
                new=SimpleNamespace(
                    dtype="float32",
                    is_local=name == "local",
                    parts=[
                        SimpleNamespace(shape=shape, copies=[f"{name} {number}.{copy}" for copy in range(copies)])
                        for number, shape in enumerate(shapes)
                    ],
                )
            )
            for name, shapes in parts.items()
            for copies in [2 if name == "mirrored" else 1]
        ]
    )


EAGERLY = """
import logging, sys
import tensorflow as tf
from estimator_warmstart import adapters, progress, recover_into
from estimator_warmstart.restore import eager_values, graph_progress
tf.compat.v1.enable_eager_execution()
progress.QUIET_SECS = progress.EACH_SECS = 0.0
graph_progress.LARGE_BYTES = int(sys.argv[2])
tf.get_logger().setLevel(logging.INFO)
a, b = tf.Variable(tf.zeros([250000])), tf.Variable(tf.zeros([600000]))
recover_into({"a": a, "b": b}, sys.argv[1], adapters={"b": adapters.crop_or_pad()} if sys.argv[3] else {})
print(float(a[-1]), float(b[499999]), float(b[-1]))
"""


class TestEager:
    def test_a_large_recovery_tells(self, old):
        done = run_python(EAGERLY, old, 1, "adapted")
        told = [line.split("Recovering from ")[1] for line in done.stderr.splitlines() if "Recovering from" in line]
        assert done.stdout.split() == ["1.0", "2.0", "0.0"], done.stderr
        assert told == [f"{old}: 2.4 of 3.4 MB, 70 %", f"{old}: 3.4 of 3.4 MB, 100 %"]

    def test_a_small_one_does_not(self, old):
        done = run_python(EAGERLY, old, 2**28, "adapted")
        assert done.stdout.split() == ["1.0", "2.0", "0.0"] and "Recovering from" not in done.stderr

    def test_pieces_are_read_in_order(self, monkeypatch):
        monkeypatch.setattr(eager_values, "_PIECE_BYTES", 300)
        sizes = [[planned.new.nbytes for planned in piece] for piece in eager_values._in_pieces(sized(400, 100, 100, 200, 5))]
        assert sizes == [[400], [100, 100, 200], [5]]


def sized(*nbytes):
    return [SimpleNamespace(new=SimpleNamespace(nbytes=each)) for each in nbytes]


class TestFiles:
    @pytest.fixture
    def at_once(self, monkeypatch):
        monkeypatch.setattr(progress, "QUIET_SECS", 0.0)

    def test_converting(self, at_once, old, tmp_path, lines):
        convert_checkpoint(old, tmp_path / "new" / "new.ckpt")
        assert lines()[0].startswith("Converting new.ckpt: ") and lines()[0].split(" MB")[0].endswith(" of 3.0")

    def test_merging(self, at_once, old, tmp_path, lines):
        (tmp_path / "other").mkdir()
        other = save_checkpoint(tmp_path / "other", {"a": A, "b": B})
        merge_checkpoints([old, other], tmp_path / "new" / "new.ckpt")
        assert lines()[0].startswith("Merging new.ckpt: ") and lines()[0].split(" MB")[0].endswith(" of 3.0")

    def test_writing(self, at_once, old, tmp_path, lines, new_graph):
        cold("a", 300_000)
        write_checkpoint(plan_recovery(old, adapters={}), tmp_path / "new" / "new.ckpt")
        assert lines()[0].startswith("Writing new.ckpt: ") and lines()[0].split(" MB")[0].endswith(" of 1.2")

    def test_what_comes_before_converting(self, at_once, old, tmp_path, lines):
        convert_checkpoint(old, tmp_path / "old.npz", to="npz")
        convert_checkpoint(tmp_path / "old.npz", tmp_path / "new" / "new.ckpt", to="name", partitions={"b": 2})
        told = [line.split(":")[0] for line in lines()]
        assert told == ["Converting old.npz", "Unpacking old.npz", "Converting new.ckpt"]

    def test_reading_a_v1_checkpoint(self, at_once, old_dir, tmp_path, lines):
        with tf.Graph().as_default(), tf1.Session() as session:
            session.run(cold("a", 250_000).initializer)
            v1 = tf1.train.Saver(write_version=tf1.train.SaverDef.V1).save(session, str(old_dir / "v1.ckpt"))
        convert_checkpoint(v1, tmp_path / "new" / "new.ckpt", to="name")
        assert lines()[0] == "Reading v1.ckpt: 1.0 of 1.0 MB, 100 %" and lines()[1].startswith("Converting new.ckpt: ")

    @pytest.mark.skipif(not tf.executing_eagerly(), reason="models of a graph have values only in a session")
    def test_adapting_before_converting(self, at_once, old, tmp_path, lines):
        model = tf.Module()
        model.a = tf.Variable(tf.zeros([300_000]), name="a")
        convert_checkpoint(old, tmp_path / "new" / "new.ckpt", model=model, adapters={})
        assert lines()[0] == "Adapting values of model.ckpt: 1.0 of 1.0 MB, 100 %"

    def test_looking_for_what_is_not_finite(self, at_once, old, lines, new_graph):
        a = cold("a", 250_000)
        run_monitored(a[0], hooks=[VariableRecoverHook(old, {"a": a}, check_finite=True)])
        assert lines()[0] == "Checking model.ckpt: 1.0 of 1.0 MB, 100 %"

    def test_quick_work_is_silent(self, old, tmp_path, lines):
        convert_checkpoint(old, tmp_path / "new" / "new.ckpt")
        assert lines() == []
