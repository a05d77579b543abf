"""Recovers the article's table into eager variables, compared with `tf.train.Checkpoint.restore` of the same bytes.

    python benchmarks/into.py                        # 654 MB, five rounds of each
    python benchmarks/into.py --rows 100000

Each run is a fresh process, in turn with the others; medians, and memory above that of a process that has made the variables
alone. The files are in the page cache before each run. The exit status is 1 if a variable has another value than the old one.
It needs a TensorFlow that is eager: 2.0 or later.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from typing import Any, Callable, Dict

import measuring
from cases import ARTICLE_ROWS

_ROWS = {
    "checkpoint": "`tf.train.Checkpoint.restore`",
    "into": "`recover_into`",
    "crop": "`recover_into`, cropped",
    "grow": "`recover_into`, grown",
}


def main() -> int:
    """Measures in processes of its own and prints a table; this one imports no TensorFlow and stays small."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=ARTICLE_ROWS, help="rows of the table (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (%(default)s)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_CHILDREN[options.child](options)))
        return 0
    runs: Dict[str, Any] = {kind: [] for kind in ("idle", *_ROWS)}
    with tempfile.TemporaryDirectory(prefix="eager-benchmark-") as directory:
        measuring.run_child(__file__, "write", directory, rows=options.rows)
        old = measuring.files_below(directory)
        for number in range(options.rounds):
            for kind in list(runs)[:: 1 if number % 2 else -1]:
                measuring.warm_page_cache(old)
                runs[kind].append(measuring.run_child(__file__, kind, directory, rows=options.rows))
    return _print(runs, options.rows)


def _print(runs: Dict[str, Any], rows: int) -> int:
    print(f"{rows:,} rows, TensorFlow {runs['idle'][0]['version']}\n")
    measuring.print_ratios(_ROWS, runs, "checkpoint", "the variables")
    wrong = sum(run["wrong"] for kind in _ROWS for run in runs[kind])
    print(f"\n{wrong} wrong variables" if wrong else "\nevery value as it was")
    return 1 if wrong else 0


def _write(options: argparse.Namespace) -> Dict[str, Any]:
    import model
    from estimator_warmstart import convert_checkpoint

    names = os.path.join(options.directory, "names")
    model.write_checkpoint(names, options.rows)
    convert_checkpoint(names, os.path.join(options.directory, "objects", "model.ckpt"), to="object")
    return {}


def _variables(rows: int) -> Dict[str, Any]:
    """The new tables and their slots, with first values of their own."""
    import tensorflow as tf

    import known_values

    return {name: tf.Variable(tf.fill([rows, columns], 0.5), name=name) for name, columns in known_values.COLUMNS.items()}


def _idle(options: argparse.Namespace) -> Dict[str, Any]:
    import tensorflow as tf

    import estimator_warmstart  # noqa: F401

    variables = _variables(options.rows)
    return {"peak": measuring.peak_memory(), "version": tf.__version__, "count": len(variables)}


def _checkpoint(options: argparse.Namespace) -> Dict[str, Any]:
    import tensorflow as tf

    variables = _variables(options.rows)
    prefix = os.path.join(options.directory, "objects", "model.ckpt")
    checkpoint = tf.train.Checkpoint(vars=variables)
    return _measured(lambda: checkpoint.restore(prefix).expect_partial(), variables, options.rows)


def _into(options: argparse.Namespace) -> Dict[str, Any]:
    return _recovered(options, options.rows, None)


def _crop(options: argparse.Namespace) -> Dict[str, Any]:
    return _recovered(options, options.rows * 5 // 6, {})


def _grow(options: argparse.Namespace) -> Dict[str, Any]:
    return _recovered(options, options.rows * 8 // 7, {})


def _recovered(options: argparse.Namespace, rows: int, adapters: Any) -> Dict[str, Any]:
    from estimator_warmstart import recover_into

    variables = _variables(rows)
    names = os.path.join(options.directory, "names")
    return _measured(lambda: recover_into(variables, names, adapters=adapters), variables, options.rows)


def _measured(recover: Callable[[], Any], variables: Dict[str, Any], old_rows: int) -> Dict[str, Any]:
    import numpy as np

    import known_values

    start, cpu = time.perf_counter(), time.process_time()
    recover()
    measured = measuring.taken_since(start, cpu)
    wrong = 0
    for name, variable in variables.items():
        rows = np.unique(np.linspace(0, variable.shape[0] - 1, 2000).astype(int))
        old = rows[rows < old_rows]
        found = variable.sparse_read(rows).numpy()
        wrong += not np.array_equal(found[: len(old)], known_values.old_values(name, old)) or bool(
            (found[len(old) :] != 0.5).any()
        )
    return {**measured, "wrong": wrong}


_CHILDREN = {
    "write": _write,
    "idle": _idle,
    "checkpoint": _checkpoint,
    "into": _into,
    "crop": _crop,
    "grow": _grow,
}

if __name__ == "__main__":
    sys.exit(main())
