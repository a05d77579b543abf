"""Today's model, started cold or from yesterday's checkpoint.

In: features, labels and `params` as in `models`, and for a warm start `params["old_model_dir"]` (with changed
vocabularies also `old_vocabulary_file`, `old_dense_widths` and `with_slots`). Out: `model_fn`s for an Estimator. This is
all that a team has to write to warm-start a model of its own.
"""

from __future__ import annotations

import tensorflow as tf

from estimator_warmstart import ShapeAdaptingRecoverHook, VariableRecoverHook, adapters
from models import OOV_BUCKETS, Features, Params, new_model


def cold_model_fn(features: Features, labels: tf.Tensor, mode: str, params: Params) -> tf.estimator.EstimatorSpec:
    """Today's model, as if yesterday's had never been."""
    spec, _ = new_model(features, labels, mode, params)
    return spec


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
    rows = adapters.remap_rows(params["old_vocabulary_file"], params["vocabulary_file"], num_oov_buckets=OOV_BUCKETS)
    # A new feature's weight is 0 whatever the kernel's initializer: it adds nothing until it has learned something.
    inputs = adapters.remap_segments(params["old_dense_widths"], params["dense_widths"], fill="zeros")
    hook = ShapeAdaptingRecoverHook(
        ckp_dir=params["old_model_dir"],
        recover_vars={"fm/w": new.w, "fm/v": new.v, "fm/b": new.b, "dense/kernel": new.kernel},
        adapters={"ranker/fm/[wv]": rows, "ranker/dense/kernel": inputs},
        with_slots=params["with_slots"],
    )
    return spec._replace(training_hooks=[hook])
