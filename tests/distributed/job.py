"""A user's training program: one process of a job.

TF_CONFIG, or its absence, says which process; the variable JOB says in JSON what the test wants of it:

  model_dir, gates: directories.
  old: the old model's directory.
  way: "hook", "scaffold" or "warm_started"; "" for a program without.
  options: of that way, other than the checkpoint and the variables.
  distribute: "" or a name in `STRATEGIES`, or "TPUEstimator".
  steps, save_steps: when training ends, and how often it is saved.
  shape, parts: the table's.
  gated: waits at the gate "recover" before the table gets its value.
  large: every recovery counts as large, and the log has a line each few milliseconds that says how far it is.
  init_op: "own" for an `init_op` that passes the variables' initializers by.
  config: more for the `RunConfig`.

Lines that begin with EVENT tell the test in JSON what has happened. Each step adds 1 to every Adagrad accumulator: they
count the steps that a parameter has seen. No old value is near COLD, which everything is initialized with.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import threading
import time

import tensorflow as tf

import estimator_warmstart
from estimator_warmstart import progress
from estimator_warmstart.restore import graph_progress

tf1 = tf.compat.v1

COLD = -1000.0
JOB = json.loads(os.environ["JOB"])
TASK = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {"type": "chief", "index": 0})
NAME = f"{TASK['type']}-{TASK['index']}"
GATES = pathlib.Path(JOB["gates"])
# The session calls Python's functions from several threads, and a line must stay whole.
TELLING = threading.Lock()


def tell(event, **fields):
    with TELLING:
        print("EVENT " + json.dumps(dict(fields, event=event, pid=os.getpid())), flush=True)


def pass_gate(gate):
    """Waits while the test keeps the gate closed."""
    if (GATES / f"{gate}.closed").exists():
        tell("at gate", gate=gate)
        while (GATES / f"{gate}.closed").exists():
            time.sleep(0.02)
    tell("passed gate", gate=gate)


def operations_that_recover(graph):
    """All that lies between the old files and the variables' own initializing operations."""
    return [op for op in graph.get_operations() if op.name.startswith("estimator_warmstart/")]


def copies_of(variable):
    """Each replica's copy of a mirrored variable, else the variable itself."""
    return list(getattr(variable, "values", None) or [variable])


class Probe(tf1.train.SessionRunHook):
    """Tells what this process sees of the model, and holds it where the test wants."""

    def begin(self):
        tell("begin")
        pass_gate(f"begin-{NAME}")
        self._step_tensor = tf1.train.get_global_step().read_value()
        parts = [copy for v in tf1.trainable_variables() for copy in copies_of(v)]
        with tf1.device(None):
            self._lowest_tensor = tf.reduce_min(tf.stack([tf.reduce_min(part) for part in parts]))
        self._step = None

    def after_create_session(self, session, coord):
        tell(
            "operations",
            recovering=[[op.type, op.name, op.device] for op in operations_that_recover(session.graph)],
            variables={copy.op.name: copy.device for v in tf1.global_variables() for copy in copies_of(v)},
        )
        self._step, lowest = session.run([self._step_tensor, self._lowest_tensor])
        self._is_first = True
        copies = {}
        if "shape" not in JOB:
            copies = {v.name: [session.run(copy).tolist() for copy in copies_of(v)] for v in tf1.global_variables()}
        tell("session", step=int(self._step), lowest=float(lowest), copies=copies)

    def before_run(self, run_context):
        self._hold()
        return tf1.train.SessionRunArgs([self._step_tensor, self._lowest_tensor])

    def after_run(self, run_context, run_values):
        # Read at any moment of the step: what a step saw cannot have been colder.
        self._step, lowest = int(run_values.results[0]), float(run_values.results[1])
        if self._is_first or lowest < COLD / 2:
            tell("cold" if lowest < COLD / 2 else "first step", step=self._step, lowest=lowest)
        self._is_first = False

    def _hold(self):
        held = False
        while self._step >= self._limit():
            if not held:
                tell("held", step=int(self._step))
                held = True
            time.sleep(0.02)

    @staticmethod
    def _limit():
        path = GATES / f"{NAME}.hold"
        return int(path.read_text()) if path.exists() else float("inf")


def recovery():
    """The arguments of every way in."""
    adapters = {"new/emb": estimator_warmstart.adapters.transform(wait_at_the_gate)} if JOB.get("gated") else {}
    pairs = {"emb": "new/emb", "bias": "new/bias"}
    return dict(ckp_dir=JOB["old"], recover_vars=pairs, adapters=adapters, **JOB.get("options", {}))


def wait_at_the_gate(value):
    """Waits in the process that runs this, wherever the value is: a function of Python's is in one process only."""

    def wait():
        pass_gate("recover")
        return True

    with tf.device(f"/job:{TASK['type']}/task:{TASK['index']}/cpu:0" if "TF_CONFIG" in os.environ else "/cpu:0"):
        passed = tf1.py_func(wait, [], tf.bool)
    with tf.control_dependencies([passed]):
        return tf.identity(value)


def model_fn(features, labels, mode):
    cold = tf1.constant_initializer(COLD)
    parts = JOB.get("parts", 2)
    partitioner = tf1.fixed_size_partitioner(parts) if parts > 1 else None
    emb = tf1.get_variable("new/emb", JOB.get("shape", [6, 2]), initializer=cold, partitioner=partitioner)
    bias = tf1.get_variable("new/bias", [3], initializer=cold)
    total = sum(tf.reduce_sum(part) for part in (list(emb) if parts > 1 else [emb])) + tf.reduce_sum(bias)
    loss = -total
    if mode == tf.estimator.ModeKeys.EVAL:
        return spec_of(mode, loss, None)
    return spec_of(mode, loss, tf1.train.AdagradOptimizer(1.0).minimize(loss, tf1.train.get_global_step()))


def spec_of(mode, loss, train_op):
    is_tpu = JOB.get("distribute") == "TPUEstimator"
    make = tf1.estimator.tpu.TPUEstimatorSpec if is_tpu else tf.estimator.EstimatorSpec
    if train_op is None:
        return make(mode, loss=loss)
    hooks, extra = [Probe()], {}
    if JOB["way"] == "hook":
        hooks.insert(0, estimator_warmstart.ShapeAdaptingRecoverHook(**recovery()))
    elif JOB["way"] == "scaffold" and is_tpu:
        extra["scaffold_fn"] = lambda: estimator_warmstart.recover_scaffold(**recovery())
    elif JOB["way"] == "scaffold":
        extra["scaffold"] = estimator_warmstart.recover_scaffold(**recovery())
    if JOB.get("init_op") == "own":
        # What variable.initializer does not do: assigns the same values by operations of its own.
        trained = [v.name for v in tf1.trainable_variables()]
        values = [(v, COLD if v.name in trained else 0.0) for v in tf1.global_variables()]
        assigns = [tf1.assign(v, tf.cast(tf.fill(v.shape, value), v.dtype.base_dtype)) for v, value in values]
        extra["scaffold"] = tf1.train.Scaffold(init_op=tf.group(*assigns))
    return make(mode, loss=loss, train_op=train_op, training_hooks=hooks, **extra)


def two_cpus():
    if hasattr(tf.config, "set_logical_device_configuration"):
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])


STRATEGIES = {
    "ParameterServerStrategy": lambda: tf1.distribute.experimental.ParameterServerStrategy(),
    "MultiWorkerMirroredStrategy": lambda: tf1.distribute.experimental.MultiWorkerMirroredStrategy(),
    "MirroredStrategy": two_cpus,
    "OneDeviceStrategy": lambda: tf1.distribute.OneDeviceStrategy("/cpu:0"),
}


def make_estimator():
    distribute = JOB.get("distribute", "")
    common = dict(
        model_dir=JOB["model_dir"],
        save_checkpoints_steps=JOB.get("save_steps", 1000),
        save_summary_steps=1000,  # Where there are none, MultiWorkerMirroredStrategy saves no checkpoints either.
        keep_checkpoint_max=100,
        # By default worker n begins to train 5 * (n + 1) seconds late.
        experimental_max_worker_delay_secs=0,
        **JOB.get("config", {}),
    )
    if distribute == "TPUEstimator":
        config = tf1.estimator.tpu.RunConfig(**common)
        return tf1.estimator.tpu.TPUEstimator(model_fn_for_tpu, use_tpu=False, train_batch_size=1, config=config)
    if distribute and TASK["type"] != "evaluator":  # 1.15 wants an address of an evaluator that has a strategy.
        common["train_distribute"] = STRATEGIES[distribute]()
    if distribute == "MirroredStrategy":
        common["session_config"] = tf1.ConfigProto(device_count={"CPU": 2}, allow_soft_placement=True)
    return tf.estimator.Estimator(model_fn, config=tf.estimator.RunConfig(**common))


def model_fn_for_tpu(features, labels, mode, params):
    return model_fn(features, labels, mode)


def one_row(params=None):
    return tf.data.Dataset.from_tensors(({"x": [0.0]}, [0.0])).repeat()


def tell_of_every_recovery():
    progress.QUIET_SECS = progress.EACH_SECS = 0.005
    graph_progress.LARGE_BYTES = 1
    os.environ["TF_NUM_INTEROP_THREADS"] = "16"  # Values that wait at a gate take a thread each.


def end_with_the_test():
    sys.stdin.read()
    os._exit(9)


def main():
    threading.Thread(target=end_with_the_test, daemon=True).start()
    tf1.logging.set_verbosity(tf1.logging.INFO)
    if JOB.get("large"):
        tell_of_every_recovery()
    estimator = make_estimator()
    if JOB["way"] == "warm_started":
        estimator = estimator_warmstart.warm_started(estimator, **recovery())
    if "TF_CONFIG" in os.environ:
        train = tf.estimator.TrainSpec(one_row, max_steps=JOB["steps"])
        evaluate = tf.estimator.EvalSpec(one_row, steps=1, start_delay_secs=0, throttle_secs=1)
        tf.estimator.train_and_evaluate(estimator, train, evaluate)
    else:
        estimator.train(one_row, max_steps=JOB["steps"])
    tell("end")


if __name__ == "__main__":
    main()
