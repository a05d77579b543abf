"""Today's model, started cold, or from yesterday's checkpoint in each of three ways.

This is all that you have to write for a model of your own. One of the ways is enough. Where the old checkpoint is, and what
has changed, comes from `params` (`cases` makes them).
"""

from __future__ import annotations

from typing import Any, Dict

import tensorflow as tf

from estimator_warmstart import ShapeAdaptingRecoverHook, VariableRecoverHook, adapters, hooks_from_params, warm_started
from models import OOV_BUCKETS, Features, Params, new_model

NEW_NAMES = {name: f"ranker/{name}" for name in ("fm/w", "fm/v", "fm/b", "dense/kernel")}
"""`{yesterday's name: today's}`."""


def cold_model_fn(features: Features, labels: tf.Tensor, mode: str, params: Params) -> tf.estimator.EstimatorSpec:
    """Today's model without a warm start."""
    spec, _ = new_model(features, labels, mode, params)
    return spec


# By a hook in the model_fn


def warm_model_fn(features: Features, labels: tf.Tensor, mode: str, params: Params) -> tf.estimator.EstimatorSpec:
    """Today's model with yesterday's tables, bias and dense layer."""
    spec, new = new_model(features, labels, mode, params)
    if mode != tf.estimator.ModeKeys.TRAIN:
        return spec
    hook = VariableRecoverHook(
        ckp_dir=params["old_model_dir"],
        recover_vars={"fm/w": new.w, "fm/v": new.v, "fm/b": new.b, "dense/kernel": new.kernel},
        # Adagrad's accumulators too: with fresh ones, the recovered values would move in steps as large as those of a cold
        # start.
        with_slots=True,
    )
    return spec._replace(training_hooks=[hook])


def adapting_model_fn(features: Features, labels: tf.Tensor, mode: str, params: Params) -> tf.estimator.EstimatorSpec:
    """The same if tokens have other rows than yesterday, and some tokens and a dense feature are new."""
    spec, new = new_model(features, labels, mode, params)
    if mode != tf.estimator.ModeKeys.TRAIN:
        return spec
    hook = ShapeAdaptingRecoverHook(
        ckp_dir=params["old_model_dir"],
        recover_vars={"fm/w": new.w, "fm/v": new.v, "fm/b": new.b, "dense/kernel": new.kernel},
        adapters=changes(params),
        with_slots=params["with_slots"],
    )
    return spec._replace(training_hooks=[hook])


def changes(params: Params) -> Dict[str, Any]:
    """Adapters for the rows of the tables and for the inputs of the dense layer."""
    # A new feature's weight begins as 0, so that it adds nothing until it has learned something.
    return {
        "ranker/fm/[wv]": adapters.remap_rows(
            params["old_vocabulary_file"], params["vocabulary_file"], num_oov_buckets=OOV_BUCKETS
        ),
        "ranker/dense/kernel": adapters.remap_segments(params["old_dense_widths"], params["dense_widths"], fill="zeros"),
    }


# By params: a config file says what to recover, and the model_fn names no variable


def configured_model_fn(features: Features, labels: tf.Tensor, mode: str, params: Params) -> tf.estimator.EstimatorSpec:
    """Today's model, warm-started as `params["warm_start"]` says."""
    spec, _ = new_model(features, labels, mode, params)
    return spec._replace(training_hooks=hooks_from_params(params)) if mode == tf.estimator.ModeKeys.TRAIN else spec


def warm_start_params(params: Params) -> Dict[str, Any]:
    """The same warm starts as plain data, as a JSON or YAML file would have them."""
    said: Dict[str, Any] = {"ckp_dir": params["old_model_dir"], "recover_vars": NEW_NAMES, "with_slots": True}
    if "old_vocabulary_file" in params:
        said["with_slots"] = params["with_slots"]
        said["adapters"] = {
            "ranker/fm/[wv]": {
                "remap_rows": {
                    "old_vocab": params["old_vocabulary_file"],
                    "new_vocab": params["vocabulary_file"],
                    "num_oov_buckets": OOV_BUCKETS,
                }
            },
            "ranker/dense/kernel": {
                "remap_segments": {
                    "old_widths": params["old_dense_widths"],
                    "new_widths": params["dense_widths"],
                    "fill": "zeros",
                }
            },
        }
    return said


# By wrapping the Estimator: its model_fn stays as it is


def wrapped(estimator: tf.estimator.Estimator, params: Params) -> tf.estimator.Estimator:
    """`estimator`, whose own `model_fn` starts cold, warm-started, with `warm_start.html` in its directory."""
    if "old_vocabulary_file" not in params:
        return warm_started(estimator, params["old_model_dir"], NEW_NAMES, with_slots=True, html=True)
    return warm_started(
        estimator, params["old_model_dir"], NEW_NAMES, changes(params), with_slots=params["with_slots"], html=True
    )
