"""Trains an Estimator and evaluates each of its checkpoints."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import tensorflow as tf

from curves import Point
from source import Part, Source, evaluation_input, training_input


def make_estimator(
    model_fn: Callable[..., tf.estimator.EstimatorSpec],
    model_dir: str,
    params: Dict[str, Any],
    *,
    steps: int,
    evaluations: int,
    seed: int,
) -> tf.estimator.Estimator:
    """An Estimator that keeps the checkpoints to evaluate.

    Args:
        model_fn: the model.
        model_dir: the new directory of the model.
        params: the `params` of the `model_fn`.
        steps: how many steps it will be trained.
        evaluations: how many checkpoints after that of step 0, spread evenly.
        seed: the seed of the initial values.

    Returns:
        The Estimator.
    """
    config = tf.estimator.RunConfig(
        tf_random_seed=seed,
        save_checkpoints_steps=-(-steps // evaluations),
        keep_checkpoint_max=evaluations + 2,  # All of them. 0 keeps all too, but lists only the last.
        save_summary_steps=None,
        log_step_count_steps=None,
        # With one thread, sums of floats come out the same in every run. Models this small are no slower for it.
        session_config=tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1),
    )
    return tf.estimator.Estimator(model_fn, model_dir, config, params)


def train_and_evaluate(estimator: tf.estimator.Estimator, source: Source, part: Part, *, steps: int, seed: int) -> List[Point]:
    """Trains on a part, then evaluates every checkpoint on `source.evaluation`, `model.ckpt-0` first.

    `tf.estimator.train_and_evaluate` would skip step 0, which is where a warm start shows.

    Args:
        estimator: from `make_estimator`.
        source: the input.
        part: the part to train on.
        steps: how many steps.
        seed: the seed of the order of the rows.

    Returns:
        The evaluation curve.
    """
    estimator.train(training_input(part, source.settings.batch_rows, seed), steps=steps)
    checkpoints = tf.train.get_checkpoint_state(estimator.model_dir).all_model_checkpoint_paths
    return [evaluate(estimator, source.evaluation, checkpoint) for checkpoint in checkpoints]


def evaluate(estimator: tf.estimator.Estimator, part: Part, checkpoint: str) -> Point:
    """Evaluates one checkpoint, given by its prefix, on the rows of a part."""
    values = estimator.evaluate(evaluation_input(part), checkpoint_path=checkpoint)
    step = int(values.pop("global_step"))
    return Point(step, {name: float(value) for name, value in values.items() if name != "loss"})
