"""The measured process: it does one thing, writes its measurements as JSON to the file `--result`, and ends.

`run.py` starts a fresh process for every measurement, so that none finds the memory or the caches of another.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import platform
import time
from typing import Any, Callable, Dict

import numpy as np
import tensorflow as tf

import cases
import known_values
import many_variables
import measuring
import model

# A user who warm-starts an Estimator has loaded it. TensorFlow 2 loads it when it is first used, so every process uses it here,
# before anything is measured.
tf.estimator.Estimator  # noqa: B018


def idle(options: argparse.Namespace) -> Dict[str, Any]:
    """TensorFlow loaded and nothing done with it: what all other processes' memory is compared with."""
    return {
        "peak_bytes": measuring.peak_memory(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def prepare(options: argparse.Namespace) -> Dict[str, Any]:
    """Writes the checkpoints and vocabularies that the chosen cases read."""
    chosen = [cases.case_named(key) for key in options.case]
    old = options.rows
    tables = [case for case in chosen if case.task != cases.PLAN]
    for rows in sorted({case.old_rows(old, cases.task_named(case.task).new_rows(old)) for case in tables}):
        model.write_checkpoint(model.checkpoint_directory(options.directory, rows), rows)
    readers = [case for case in tables if case.uses_vocabulary or cases.task_named(case.task).uses_vocabulary]
    if readers:
        model.write_vocabulary(model.vocabulary_file(options.directory, "old"), known_values.old_tokens(old))
    for task in sorted({case.task for case in readers}):
        tokens = known_values.new_tokens(task, cases.task_named(task).new_rows(old), old)
        model.write_vocabulary(model.vocabulary_file(options.directory, task), tokens)
    if len(tables) < len(chosen):
        many_variables.write_checkpoint(many_variables.directory(options.directory), options.plan_variables)
    return {}


def recover(options: argparse.Namespace) -> Dict[str, Any]:
    """Runs one contender and looks at what it left in the variables."""
    case = cases.case_named(options.case[0])
    work_rows = cases.task_named(case.task).new_rows(options.rows)
    old_rows = case.old_rows(options.rows, work_rows)
    contender = _function(case.function)
    rows = known_values.sampled_rows(work_rows, old_rows)
    with tf.Graph().as_default() as graph:
        start = time.perf_counter()
        variables = model.build(work_rows)
        probes = model.probes(variables, rows)
        work = model.Work(
            task=case.task,
            variables=variables,
            checkpoint=model.checkpoint_directory(options.directory, old_rows),
            old_rows=old_rows,
            new_rows=work_rows,
            old_vocabulary=model.vocabulary_file(options.directory, "old"),
            new_vocabulary=model.vocabulary_file(options.directory, case.task),
        )
        model_seconds = time.perf_counter() - start
        # Loading TensorFlow makes a full garbage collection due. Whether it comes before or after the start depends on what
        # else the process has imported, and it costs a good part of a recovery. So every process collects before the start.
        gc.collect()
        collections = gc.get_stats()[2]["collections"]
        built, cpu = time.perf_counter(), time.process_time()
        hooks = contender(work)
        prepared = time.perf_counter()
        session = tf.compat.v1.train.MonitoredTrainingSession(hooks=hooks)
        recovered, cpu_recovered = time.perf_counter(), time.process_time()
        peak = measuring.peak_memory()  # before the probes and the GraphDef take memory of their own
        collections = gc.get_stats()[2]["collections"] - collections
        with session:
            found = session.run(probes)
    return {
        "model_seconds": model_seconds,
        "prepare_seconds": prepared - built,
        "session_seconds": recovered - prepared,
        "total_seconds": recovered - built,
        "cpu_seconds": cpu_recovered - cpu,
        "full_collections": collections,
        "peak_bytes": peak,
        "variable_bytes": sum(work_rows * columns * 4 for columns in known_values.COLUMNS.values()),
        "graph_bytes": graph.as_graph_def().ByteSize(),
        "problems": known_values.problems(case.task, case.recovers, rows, old_rows, found),
    }


def plan(options: argparse.Namespace) -> Dict[str, Any]:
    """Times one planning of many variables; no value is read."""
    case = cases.case_named(options.case[0])
    contender = _function(case.function)
    with tf.Graph().as_default():
        start = time.perf_counter()
        variables = many_variables.build(options.plan_variables)
        built, cpu = time.perf_counter(), time.process_time()
        planned = contender(many_variables.directory(options.directory), variables)
        done, cpu_done = time.perf_counter(), time.process_time()
        peak = measuring.peak_memory()
    return {
        "model_seconds": built - start,
        "total_seconds": done - built,
        "cpu_seconds": cpu_done - cpu,
        "peak_bytes": peak,
        "problems": many_variables.problems(planned, variables),
    }


COMMANDS = {function.__name__: function for function in (idle, prepare, recover, plan)}


def _function(name: str) -> Callable[..., Any]:
    """The function `module:function`; its module is loaded here, before anything is timed."""
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)


def main() -> None:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=sorted(COMMANDS))
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--plan-variables", type=int, required=True)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--result", required=True)
    options = parser.parse_args()
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    result = COMMANDS[options.command](options)
    partial = f"{options.result}.partial"
    with open(partial, "w") as file:
        json.dump(result, file)
    os.replace(partial, options.result)


if __name__ == "__main__":
    main()
