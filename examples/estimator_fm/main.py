"""Warm-starts today's changed factorization machine from yesterday's, and prints the cold and the warm evaluation curve.

`python examples/estimator_fm/main.py --help` lists the options.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from typing import List, Optional

# Before TensorFlow is loaded: its C++ side logs much about the processor, and nothing about warm starts.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import clicks
import criteo
import curves
import movielens
from cases import CASES, NO_SLOTS, OLD, VIAS, Case, Model
from estimator_warmstart import prove_recovery
from runs import make_estimator, train_and_evaluate
from source import BadInput, Part, Source, evaluation_input

BAD_INPUT_STATUS = 2
"""Exit status for input that cannot be used; argparse uses the same one."""

EVALUATIONS = 10
"""Evaluations after the one at step 0, spread evenly over the steps."""


def main(arguments: Optional[List[str]] = None) -> int:
    """Runs the example; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.movielens is not None and options.rows is not None:
        parser.error("--rows goes with generated clicks and with --criteo; of u.data all ratings are used")
    if options.criteo is not None and options.case == "vocabulary":
        parser.error("--case vocabulary goes with generated clicks and --movielens; Criteo's tokens are hashed")
    try:
        if not hasattr(tf, "estimator"):
            raise BadInput(
                f"TensorFlow {tf.__version__} has no Estimator; off_estimator.py shows how its models go on in Keras"
            )
        source = _source(options)
        directory = _output_directory(options.output_dir)
    except BadInput as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return BAD_INPUT_STATUS
    _quiet_but_for_reports()
    settings = source.settings._replace(initial_accumulator=options.initial_accumulator)
    _run(source._replace(settings=settings), directory, options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Trains yesterday's factorization machine, then today's changed one cold and warm, and prints both "
        "evaluation curves. Without --movielens or --criteo, clicks are generated.",
    )
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--movielens", metavar="DIR", help="directory with MovieLens' u.data")
    data.add_argument("--criteo", metavar="FILE", help="tab-separated file in the Criteo display-advertising format")
    parser.add_argument(
        "--case",
        choices=sorted(CASES),
        default="renamed",
        help="what has changed since yesterday: names (the default), or vocabularies and the dense layer's input too",
    )
    parser.add_argument(
        "--via",
        choices=VIAS,
        default="hook",
        help="how to warm-start: by a hook in the model_fn (the default), by params, or by wrapping the Estimator",
    )
    parser.add_argument("--output-dir", metavar="DIR", help="for models and picture (default: a new temporary one)")
    parser.add_argument("--steps", type=_positive, metavar="N", help="training steps of the cold and the warm model")
    parser.add_argument("--old-steps", type=_positive, metavar="N", help="training steps of yesterday's model")
    parser.add_argument("--rows", type=_positive, metavar="N", help="rows to generate, or to use of the Criteo file")
    parser.add_argument(
        "--initial-accumulator",
        type=_above_zero,
        default=0.1,
        metavar="X",
        help="initial value of Adagrad's accumulators (default: 0.1, as in TensorFlow)",
    )
    parser.add_argument("--seed", type=_seed, default=1, metavar="N", help="seed of data and training (default: 1)")
    return parser


def _quiet_but_for_reports() -> None:
    """Silences TensorFlow's log, and prints the reports of warm starts."""
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    reports = tf.get_logger().getChild("estimator_warmstart")
    reports.setLevel(logging.INFO)
    reports.propagate = False
    reports.handlers = [logging.StreamHandler(sys.stdout)]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def _above_zero(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    # In float32, as the accumulators are: what is less becomes 0 there, and makes NaN of a gradient of 0.
    if not float(np.finfo(np.float32).tiny) <= number <= float(np.finfo(np.float32).max):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {2**31 - 1}, got {text!r}")
    return int(text)


def _source(options: argparse.Namespace) -> Source:
    if options.movielens is not None:
        return movielens.load(options.movielens)
    if options.criteo is not None:
        return criteo.load(options.criteo, options.rows or criteo.DEFAULT_ROWS)
    return clicks.load(options.rows or clicks.DEFAULT_ROWS, options.seed)


def _output_directory(wanted: Optional[str]) -> str:
    if wanted is None:
        return tempfile.mkdtemp(prefix="estimator_fm_")
    try:
        os.makedirs(wanted, exist_ok=True)
        used = sorted(os.listdir(wanted))
    except OSError as error:
        raise BadInput(f"--output-dir {wanted}: {error.strerror}") from error
    if used:
        # An Estimator would go on from an earlier run's checkpoints, and its curve would not begin at step 0.
        raise BadInput(f"--output-dir {wanted}: not empty ({', '.join(used[:3])}); give a new or an empty directory")
    return wanted


def _run(source: Source, directory: str, options: argparse.Namespace) -> None:
    case = CASES[options.case](source, directory, options.via)
    _introduce(source, case, directory)
    estimators = {}

    def curve(name: str, model: Model, part: Part, steps: int, evaluations: int) -> List[curves.Point]:
        if model.introduction:
            _say(model.introduction)
        estimators[name] = make_estimator(
            model.model_fn,
            os.path.join(directory, name.replace(" ", "_")),
            model.params,
            steps=steps,
            evaluations=evaluations,
            seed=options.seed,
        )
        if model.wrap is not None:
            estimators[name] = model.wrap(estimators[name])
        if name == "warm":
            _prove(estimators[OLD], estimators[name], source.evaluation if case.known is None else case.known)
        return train_and_evaluate(estimators[name], source, part, steps=steps, seed=options.seed)

    old = curve(OLD, case.old, source.old, options.old_steps or source.settings.old_steps, 1)[-1]
    metric = next(name for name in curves.METRICS if name in old.metrics)
    _say(f"Yesterday's model, {old.step} steps on the old days: {metric} {old.metrics[metric]:.4f}\n")
    steps = options.steps or source.settings.steps
    new = {name: curve(name, model, source.train, steps, EVALUATIONS) for name, model in case.new.items()}
    _say(f"\n{case.headline}\n")
    _say(curves.table(new) + "\n")
    _say(curves.verdict(new["cold"], new["warm"], metric))
    if NO_SLOTS in new:
        _say(curves.worth_of_slots(new["warm"], new[NO_SLOTS], metric))
    _draw(os.path.join(directory, "curves.png"), source.title, metric, new)


def _prove(old: tf.estimator.Estimator, new: tf.estimator.Estimator, part: Part) -> None:
    """Shows, before `new` is trained, that it predicts what `old` does on rows of a part."""
    if part.rows:
        # Sums of more numbers than yesterday's differ in their last digits.
        _say(f"\n{prove_recovery(old, new, evaluation_input(part), atol=1e-5)}\n")


def _introduce(source: Source, case: Case, directory: str) -> None:
    _say(f"Input: {source.title}")
    for name, part in (("old days", source.old), ("next days", source.train), ("evaluated", source.evaluation)):
        _say(f"  {name:<10} {part.when:<40} {part.rows:>8} rows")
    if case.changes:
        _say(case.changes)
    _say(f"Models and picture: {directory}")


def _draw(path: str, title: str, metric: str, new: curves.Curves) -> None:
    if curves.write_png(path, title, metric, new):
        _say(f"Picture: {path}")
    else:
        _say("No picture: matplotlib is not installed (pip install matplotlib)")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
