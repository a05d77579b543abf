"""Compares writing checkpoints from the article's table with copying its files and reading each tensor once.

    python benchmarks/conversion.py                        # 654 MB, three rounds of each
    python benchmarks/conversion.py --rows 100000

Each run is a fresh process, in turn with the others; medians, and memory above that of a process that only loads TensorFlow.
The files are in the page cache before each run. What this package and its peer write is on the disk at the end of the run; on
a file system in memory (`TMPDIR=/dev/shm`) only the work itself is measured. The exit status is 1 if a conversion left another
value than the old one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from typing import Any, Dict

import measuring
from cases import ARTICLE_ROWS

_KINDS = ("idle", "copy", "operations", "convert", "parts", "write")
_ROWS = {
    "copy": "copy the files to the disk, read each tensor",
    "operations": "`RestoreV2` and `SaveV2` of each tensor, `MergeV2Checkpoints`",
    "convert": "`convert_checkpoint`",
    "parts": "`convert_checkpoint(partitions=50)`",
    "write": "`write_checkpoint`, the tables cut to five sixths",
}


def main() -> int:
    """Measures in processes of its own and prints a table; this one imports no TensorFlow and stays small."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=ARTICLE_ROWS, help="rows of the table (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (%(default)s)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_CHILDREN[options.child](options)))
        return 0
    runs: Dict[str, Any] = {kind: [] for kind in _KINDS}
    with tempfile.TemporaryDirectory(prefix="conversion-benchmark-") as directory:
        measuring.run_child(__file__, "old", directory, rows=options.rows)
        old = measuring.files_below(directory)
        size = sum(os.path.getsize(path) for path in old)
        for number in range(options.rounds):
            for kind in _KINDS if number % 2 else _KINDS[::-1]:
                measuring.warm_page_cache(old)
                runs[kind].append(measuring.run_child(__file__, kind, directory, rows=options.rows))
                shutil.rmtree(os.path.join(directory, "new"), ignore_errors=True)
    return _print(runs, size, options.rows)


def _print(runs: Dict[str, Any], size: int, rows: int) -> int:
    print(f"{size / 1e6:,.0f} MB, largest tensor {rows * 64 / 1e6:,.0f} MB, TensorFlow {runs['idle'][0]['version']}\n")
    measuring.print_ratios(_ROWS, runs, "copy", "TensorFlow")
    wrong = sum(run["wrong"] for run in runs["convert"])
    print(f"\n{wrong} wrong tensors" if wrong else "\nevery tensor as it was")
    return 1 if wrong else 0


def _write(options: argparse.Namespace) -> Dict[str, Any]:
    import model

    model.write_checkpoint(model.checkpoint_directory(options.directory, options.rows), options.rows)
    return {}


def _idle(options: argparse.Namespace) -> Dict[str, Any]:
    import tensorflow as tf

    import estimator_warmstart.convert.convert  # noqa: F401

    tf.estimator.Estimator  # noqa: B018
    return {"peak": measuring.peak_memory(), "version": tf.__version__}


def _copy(options: argparse.Namespace) -> Dict[str, Any]:
    import tensorflow as tf

    import model

    tf.estimator.Estimator  # noqa: B018
    old = model.checkpoint_directory(options.directory, options.rows)
    start, cpu = time.perf_counter(), time.process_time()
    new = shutil.copytree(old, os.path.join(options.directory, "new"))
    for path in measuring.files_below(new):
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
    reader = tf.train.load_checkpoint(old)
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)
    return measuring.taken_since(start, cpu)


def _operations(options: argparse.Namespace) -> Dict[str, Any]:
    import tensorflow as tf

    import model

    tf.estimator.Estimator  # noqa: B018
    old = tf.train.latest_checkpoint(model.checkpoint_directory(options.directory, options.rows))
    new = os.path.join(options.directory, "new", "model.ckpt")
    os.makedirs(os.path.dirname(new))
    start, cpu = time.perf_counter(), time.process_time()
    dtypes = tf.compat.v1.train.NewCheckpointReader(old).get_variable_to_dtype_map()
    parts = []
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, dtype in dtypes.items():
            tensor = {"tensor_names": [name], "shape_and_slices": [""]}
            values = tf.raw_ops.RestoreV2(prefix=old, dtypes=[dtype], **tensor)
            parts.append(f"{new}-{len(parts)}")
            session.run(tf.raw_ops.SaveV2(prefix=parts[-1], tensors=values, **tensor))
        session.run(tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=new, delete_old_dirs=False))
    return measuring.taken_since(start, cpu)


def _convert(options: argparse.Namespace) -> Dict[str, Any]:
    import numpy as np
    import tensorflow as tf

    import model
    from estimator_warmstart.convert.convert import convert_checkpoint

    tf.estimator.Estimator  # noqa: B018
    old = model.checkpoint_directory(options.directory, options.rows)
    start, cpu = time.perf_counter(), time.process_time()
    new = convert_checkpoint(old, os.path.join(options.directory, "new", "model.ckpt"))
    measured = measuring.taken_since(start, cpu)
    before, after = tf.train.load_checkpoint(old), tf.train.load_checkpoint(new)
    names = [name for name, _ in tf.train.list_variables(old)]
    keys = {name: f"vars/{name.replace('/', '.S')}/.ATTRIBUTES/VARIABLE_VALUE" for name in names}
    wrong = [name for name, key in keys.items() if not np.array_equal(before.get_tensor(name), after.get_tensor(key))]
    return {**measured, "wrong": len(wrong)}


def _parts(options: argparse.Namespace) -> Dict[str, Any]:
    import tensorflow as tf

    import model
    from estimator_warmstart import convert_checkpoint

    tf.estimator.Estimator  # noqa: B018
    old = model.checkpoint_directory(options.directory, options.rows)
    start, cpu = time.perf_counter(), time.process_time()
    convert_checkpoint(old, os.path.join(options.directory, "new", "model.ckpt"), to="name", partitions=50)
    return measuring.taken_since(start, cpu)


def _write_warm(options: argparse.Namespace) -> Dict[str, Any]:
    import tensorflow as tf

    import model
    from estimator_warmstart import adapters, plan_recovery, write_checkpoint

    tf.estimator.Estimator  # noqa: B018
    old = model.checkpoint_directory(options.directory, options.rows)
    variables = tf.train.list_variables(old)
    with tf.Graph().as_default():
        for name, shape in variables:
            rows = [options.rows * 5 // 6, *shape[1:]] if shape[:1] == [options.rows] else shape
            tf.compat.v1.get_variable(name, rows, tf.train.load_checkpoint(old).get_variable_to_dtype_map()[name])
        names = {name: name for name, _ in variables}
        start, cpu = time.perf_counter(), time.process_time()
        plan = plan_recovery(old, names, {".*": adapters.crop_or_pad()})
        write_checkpoint(plan, os.path.join(options.directory, "new", "model.ckpt-0"))
    return measuring.taken_since(start, cpu)


_CHILDREN = {
    "old": _write,
    "idle": _idle,
    "copy": _copy,
    "operations": _operations,
    "convert": _convert,
    "parts": _parts,
    "write": _write_warm,
}

if __name__ == "__main__":
    sys.exit(main())
