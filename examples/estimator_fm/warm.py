"""Today's model, started cold or from yesterday's checkpoint, by each of the ways there are.

In: features, labels and `params` as in `models`, and for a warm start `params["old_model_dir"]` (with changed vocabularies
also `old_vocabulary_file`, `old_dense_widths` and `with_slots`). Out: `model_fn`s for an Estimator, or an Estimator. This is
all that a team has to write to warm-start a model of its own; any one of the ways is enough.
"""

from __future__ import annotations

from typing import Any, Dict

import tensorflow as tf

from estimator_warmstart import ShapeAdaptingRecoverHook, VariableRecoverHook, adapters, hooks_from_params, warm_started
from models import OOV_BUCKETS, Features, Params, new_model

NEW_NAMES = {name: f"ranker/{name}" for name in ("fm/w", "fm/v", "fm/b", "dense/kernel")}
"""`{yesterday's name: today's}`."""


def cold_model_fn(features: Features, labels: tf.Tensor, mode: str, params: Params) -> tf.estimator.EstimatorSpec:
    """Today's model, as if yesterday's had never been."""
    spec, _ = new_model(features, labels, mode, params)
    return spec


# By a hook in the model_fn


def warm_model_fn(features: Features, labels: tf.Tensor, mode: str, params: Params) -> tf.estimator.EstimatorSpec:
    """Today's model with all that yesterday's knows: its tables, its bias, its dense layer."""
    spec, new = new_model(features, labels, mode, params)
    if mode != tf.estimator.ModeKeys.TRAIN:
        return spec
    hook = VariableRecoverHook(
        ckp_dir=params["old_model_dir"],
        recover_vars={"fm/w": new.w, "fm/v": new.v, "fm/b": new.b, "dense/kernel": new.kernel},
        # Adagrad's accumulators too: with fresh ones, what is recovered would again move in steps as large as those of a
        # cold start.
        with_slots=True,
    )
    return spec._replace(training_hooks=[hook])


def adapting_model_fn(features: Features, labels: tf.Tensor, mode: str, params: Params) -> tf.estimator.EstimatorSpec:
    """The same where tokens have other rows than yesterday, some tokens are new, and so is a dense feature."""
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
    """What became of the tables' rows and of the dense layer's inputs."""
    # A new feature's weight is 0 whatever the kernel's initializer: it adds nothing until it has learned something.
    return {
        "ranker/fm/[wv]": adapters.remap_rows(
            params["old_vocabulary_file"], params["vocabulary_file"], num_oov_buckets=OOV_BUCKETS
        ),
        "ranker/dense/kernel": adapters.remap_segments(params["old_dense_widths"], params["dense_widths"], fill="zeros"),
    }


# By params: the model_fn names no variable, and what is recovered comes from a config file


def configured_model_fn(features: Features, labels: tf.Tensor, mode: str, params: Params) -> tf.estimator.EstimatorSpec:
    """Today's model with what `params["warm_start"]` says."""
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


# By wrapping the Estimator: its model_fn is not touched


def wrapped(estimator: tf.estimator.Estimator, params: Params) -> tf.estimator.Estimator:
    """`estimator`, whose `model_fn` is a cold one, warm-started."""
    if "old_vocabulary_file" not in params:
        return warm_started(estimator, params["old_model_dir"], NEW_NAMES, with_slots=True)
    return warm_started(estimator, params["old_model_dir"], NEW_NAMES, changes(params), with_slots=params["with_slots"])
