"""Yesterday's model and today's: a factorization machine, and the same with other names and a deep tower.

A factorization machine predicts `b + sum(w[i]) + sum(dot(v[i], v[j]) for i < j)` over the tokens i, j of a row. Here a
dense layer over the numbers of the row is added to it.

Source: Steffen Rendle, "Factorization Machines", IEEE International Conference on Data Mining, 2010; its equation for
the pairs in linear time is the one used below.
"""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Tuple

import tensorflow as tf

from source import Settings, Source

tf1 = tf.compat.v1

OOV_BUCKETS = 1
"""Rows after the vocabulary for tokens that are not in it. One is enough: most of these tokens are new users, who share what
is true of new users, and each of two rows would learn from only half of them."""

RATING_MIDDLE = 3.0
"""Ratings are predicted as the distance from the middle of their scale, so that a cold model starts there and not at 0:
against a cold start five stars off, any warm start would look good."""

DEEP_UNITS = (16, 8)

Features = Dict[str, tf.Tensor]
Params = Dict[str, Any]


class FmVariables(NamedTuple):
    """The variables of both models. Only their names differ."""

    w: tf.Variable  # [table rows, 1]
    v: tf.Variable  # [table rows, factors]
    b: tf.Variable  # [1]
    kernel: tf.Variable  # [sum of the dense widths, 1]


class Fm(NamedTuple):
    """The machine's output, the inputs of a tower, and the machine's variables."""

    logits: tf.Tensor  # [batch]
    weights: tf.Tensor  # [batch, fields, 1]
    vectors: tf.Tensor  # [batch, fields, factors]
    numbers: tf.Tensor  # [batch, sum of the dense widths]
    variables: FmVariables


def model_params(source: Source, vocabulary_file: Optional[str], dense_widths: Dict[str, int]) -> Params:
    """The plain data that an Estimator's `params` take.

    Args:
        source: the input.
        vocabulary_file: one token a line; `None` if the source's tokens are hashed.
        dense_widths: `{feature: width}` of the dense layer's input, in its order.

    Returns:
        Everything that the model functions look up.
    """
    settings: Settings = source.settings
    return {
        "task": source.task,
        "dense_widths": list(dense_widths.items()),
        "vocabulary_file": vocabulary_file,
        "hash_buckets": source.hash_buckets,
        "factors": settings.factors,
        "learning_rate": settings.learning_rate,
        "l2": settings.l2,
        "initial_accumulator": settings.initial_accumulator,
    }


def old_model_fn(features: Features, labels: tf.Tensor, mode: str, params: Params) -> tf.estimator.EstimatorSpec:
    """Yesterday's model: `fm/w`, `fm/v`, `fm/b`, `dense/kernel`."""
    fm = factorization_machine(features, params)
    return _spec(fm, fm.logits, labels, mode, params)


def new_model(
    features: Features, labels: tf.Tensor, mode: str, params: Params
) -> Tuple[tf.estimator.EstimatorSpec, FmVariables]:
    """Today's model: yesterday's under `ranker/`, and a new deep tower.

    Returns:
        The spec of a cold start, and the variables that yesterday's model can fill.
    """
    with tf1.variable_scope("ranker"):
        fm = factorization_machine(features, params)
        logits = fm.logits + _deep_tower(fm)
    return _spec(fm, logits, labels, mode, params), fm.variables


def factorization_machine(features: Features, params: Params) -> Fm:
    """Builds the part that both models share."""
    rows, table_rows = _table_rows(features["tokens"], params)
    widths = dict(params["dense_widths"])
    numbers = tf.concat([features[name] for name in widths], axis=1)
    with tf1.variable_scope("fm"):
        w = tf1.get_variable("w", [table_rows, 1], initializer=tf1.zeros_initializer())
        v = tf1.get_variable("v", [table_rows, params["factors"]], initializer=tf1.truncated_normal_initializer(stddev=0.05))
        b = tf1.get_variable("b", [1], initializer=tf1.zeros_initializer())
    with tf1.variable_scope("dense"):
        # No bias: fm/b is the one that the sum needs.
        kernel = tf1.get_variable("kernel", [sum(widths.values()), 1], initializer=tf1.zeros_initializer())
    weights, vectors = tf.nn.embedding_lookup(w, rows), tf.nn.embedding_lookup(v, rows)
    pairs = tf.square(tf.reduce_sum(vectors, axis=1)) - tf.reduce_sum(tf.square(vectors), axis=1)
    dense = tf.squeeze(tf.matmul(numbers, kernel), axis=1)
    logits = b + tf.reduce_sum(weights, axis=[1, 2]) + 0.5 * tf.reduce_sum(pairs, axis=1) + dense
    return Fm(logits, weights, vectors, numbers, FmVariables(w, v, b, kernel))


def _table_rows(tokens: tf.Tensor, params: Params) -> Tuple[tf.Tensor, int]:
    """Which row of `fm/w` and `fm/v` each token has, and how many rows those have."""
    if params["hash_buckets"]:
        return tf.strings.to_hash_bucket_fast(tokens, params["hash_buckets"]), params["hash_buckets"]
    with tf.io.gfile.GFile(params["vocabulary_file"]) as lines:
        size = sum(1 for _ in lines)
    initializer = tf.lookup.TextFileInitializer(
        params["vocabulary_file"],
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    table = tf.lookup.StaticVocabularyTable(initializer, OOV_BUCKETS)
    return table.lookup(tokens), size + OOV_BUCKETS


def _deep_tower(fm: Fm) -> tf.Tensor:
    width = fm.vectors.shape[1] * fm.vectors.shape[2]
    layer = tf.concat([tf.reshape(fm.vectors, [-1, width]), fm.numbers], axis=1)
    with tf1.variable_scope("deep"):
        for number, units in enumerate(DEEP_UNITS, start=1):
            layer = tf.nn.relu(_layer(layer, f"hidden{number}", units, tf1.glorot_uniform_initializer()))
        # Zeros, so that the tower adds nothing until it has learned something: with a random kernel here, its noise
        # would lie on top of the recovered prediction, and the warm model would start worse than the old one ended.
        # It still learns: the kernel's gradient comes from the hidden layer's output, which is not zero.
        return tf.squeeze(_layer(layer, "output", 1, tf1.zeros_initializer()), axis=1)


def _layer(inputs: tf.Tensor, name: str, units: int, initializer: Any) -> tf.Tensor:
    with tf1.variable_scope(name):
        kernel = tf1.get_variable("kernel", [int(inputs.shape[1]), units], initializer=initializer)
        bias = tf1.get_variable("bias", [units], initializer=tf1.zeros_initializer())
    return tf.matmul(inputs, kernel) + bias


def _spec(fm: Fm, logits: tf.Tensor, labels: tf.Tensor, mode: str, params: Params) -> tf.estimator.EstimatorSpec:
    click = params["task"] == "click"
    prediction = tf.sigmoid(logits) if click else RATING_MIDDLE + logits
    if mode == tf.estimator.ModeKeys.PREDICT:
        return tf.estimator.EstimatorSpec(mode, predictions={"prediction": prediction})
    if click:
        row_losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        metrics = {
            "AUC": tf1.metrics.auc(labels, prediction, summation_method="careful_interpolation"),
            "log loss": tf1.metrics.mean(row_losses),
        }
    else:
        row_losses = tf1.squared_difference(prediction, labels)
        metrics = {"RMSE": tf1.metrics.root_mean_squared_error(labels, prediction)}
    loss = tf.reduce_mean(row_losses)
    if mode == tf.estimator.ModeKeys.EVAL:
        return tf.estimator.EstimatorSpec(mode, loss=loss, eval_metric_ops=metrics)
    # Only the rows of the batch's tokens are shrunk: a penalty on the whole tables would make their gradients dense.
    squares = tf.reduce_sum(tf.square(fm.vectors), axis=[1, 2]) + tf.reduce_sum(tf.square(fm.weights), axis=[1, 2])
    shrinking = params["l2"] * tf.reduce_mean(squares)
    optimizer = tf1.train.AdagradOptimizer(params["learning_rate"], params["initial_accumulator"])
    train_op = optimizer.minimize(loss + shrinking, global_step=tf1.train.get_or_create_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)
