"""One process of `scale.py`: it writes a checkpoint, is a parameter server, or recovers once and measures that.

Its only argument is a JSON object. The last line that it prints is another one. The table has COLUMNS floats per row, and a
slot of the same shape, as for Adagrad.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from typing import Any, Callable, Dict, List, Optional

import tensorflow as tf

import many_variables
import measuring

tf1 = tf.compat.v1

COLUMNS = 16
NAMES = ("table", "table/Adagrad")

# What a way does with a point and the variables by name, while it is measured; returns the session's hooks.
Prepare = Callable[[Dict[str, Any], Dict[str, Any]], List[Any]]


def write(point: Dict[str, Any]) -> Dict[str, Any]:
    """Writes the old checkpoint of a point, without variables. Each part of a table in parts is a slice."""
    if point["variables"]:
        many_variables.write_checkpoint(point["checkpoint"], point["variables"])
        return {}
    os.makedirs(point["checkpoint"])
    prefix, rows, parts = os.path.join(point["checkpoint"], "model.ckpt"), point["rows"], point["old_parts"]
    with tf.Graph().as_default(), tf1.Session() as session:
        each = tf.ones([rows // parts, COLUMNS])
        slices = [f"{rows} {COLUMNS} {part * (rows // parts)},{rows // parts}:0,{COLUMNS}" for part in range(parts)]
        session.run(
            tf.raw_ops.SaveV2(
                prefix=prefix,
                tensor_names=[name for name in NAMES for _ in slices],
                shape_and_slices=(slices if parts > 1 else [""]) * len(NAMES),
                tensors=[each] * parts * len(NAMES),
            )
        )
    tf1.train.update_checkpoint_state(point["checkpoint"], prefix)
    return {}


def serve(point: Dict[str, Any]) -> None:
    """Is one parameter server, until it is killed."""
    server = tf1.train.Server(point["cluster"], job_name="ps", task_index=point["index"])
    print("ready", flush=True)
    server.join()


def recover(point: Dict[str, Any]) -> Dict[str, Any]:
    """Makes one session, in one of the ways or cold."""
    master = ""
    if point["servers"]:
        master = tf1.train.Server(point["cluster"], job_name="worker", task_index=0).target
    with tf.Graph().as_default():
        with tf1.device(tf1.train.replica_device_setter(ps_tasks=point["servers"])):
            tf1.train.get_or_create_global_step()
            variables = many_variables.build(point["variables"]) if point["variables"] else _tables(point)
        probes = [tf.gather(variable, [0]) for variable in list(variables.values())[:2]]
        prepare = _WAYS[point["way"]]()
        gc.collect()
        start, cpu, before = time.perf_counter(), time.process_time(), measuring.peak_memory()
        with tf1.train.MonitoredTrainingSession(master, hooks=prepare(point, variables)) as session:
            taken = measuring.taken_since(start, cpu)
            found = session.run(probes)
        if point["way"] != "cold" and not all((value == 1).all() for value in found):
            raise SystemExit("the values are not the old ones")
    return {**taken, "peak_bytes": taken["peak"] - before, "tensorflow": tf.__version__}


def _cold() -> Prepare:
    return lambda point, variables: []


def _hook() -> Prepare:
    from estimator_warmstart import VariableRecoverHook  # The other processes do without it.

    return lambda point, variables: [VariableRecoverHook(point["checkpoint"], with_slots=not point["variables"])]


def _warm_start() -> Prepare:
    def prepare(point: Dict[str, Any], variables: Dict[str, Any]) -> List[Any]:
        tf1.train.warm_start(point["checkpoint"])
        return []

    return prepare


def _saver() -> Prepare:
    return lambda point, variables: [_Restore(point["checkpoint"], variables)]


class _Restore(tf1.train.SessionRunHook):
    """A Saver, restored when there is a session."""

    def __init__(self, checkpoint: str, variables: Dict[str, Any]) -> None:
        self._checkpoint, self._variables = checkpoint, variables

    def begin(self) -> None:
        """Builds the Saver."""
        self._saver = tf1.train.Saver(self._variables)

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Restores."""
        self._saver.restore(session, tf.train.latest_checkpoint(self._checkpoint))


_WAYS: Dict[str, Callable[[], Prepare]] = {"cold": _cold, "hook": _hook, "warm_start": _warm_start, "saver": _saver}


def _tables(point: Dict[str, Any]) -> Dict[str, Any]:
    parts = point["servers"]
    partitioner: Optional[Any] = tf1.fixed_size_partitioner(parts) if parts > 1 else None
    initializers = [tf1.truncated_normal_initializer(stddev=0.01), tf1.constant_initializer(0.1)]
    tables = [
        tf1.get_variable(name, [point["rows"], COLUMNS], initializer=initializer, partitioner=partitioner)
        for name, initializer in zip(NAMES, initializers)
    ]
    return {f"{table.name}/{i}": part for table in tables for i, part in enumerate(list(table) if parts > 1 else [table])}


if __name__ == "__main__":
    tf1.logging.set_verbosity(tf1.logging.ERROR)
    asked = json.loads(sys.argv[1])
    tf.estimator.Estimator  # noqa: B018  Loaded when touched: not while it is measured.
    print(json.dumps({"write": write, "serve": serve, "recover": recover}[asked["task"]](asked)))
