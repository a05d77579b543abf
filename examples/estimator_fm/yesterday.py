"""Yesterday's model for `off_estimator`: trained by an Estimator, or read from a text file where TensorFlow has none.

It is the factorization machine of `models` over ads and sites alone. So its weights are a small file.
"""

from __future__ import annotations

import os
from typing import Dict, Tuple

import numpy as np
import tensorflow as tf

import clicks
from models import Features, Params, factorization_machine, model_params, old_model_fn
from runs import make_estimator
from source import BadInput, Part, Source, evaluation_input, training_input

tf1 = tf.compat.v1

TEXT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "yesterday.txt")
"""The weights that `off_estimator.py --write-weights` wrote on TensorFlow 2.15."""

FIELDS = ("ad", "site")
ROWS = 40000


def load() -> Source:
    """The generated clicks without their users. Each ad and site has a row of the tables from the first day."""
    everything = clicks.load(ROWS)
    tokens = tuple(f"{field}={number}" for field in FIELDS for number in range(clicks.FIELD_SIZES[field]))
    skipped = len(everything.fields) - len(FIELDS)

    def without_users(part: Part) -> Part:
        def keep(features: Features, labels: tf.Tensor) -> Tuple[Features, tf.Tensor]:
            return dict(features, tokens=features["tokens"][:, skipped:]), labels

        return part._replace(chunks=lambda: part.chunks().map(keep), tokens=tokens)

    return everything._replace(
        fields=FIELDS,
        old=without_users(everything.old),
        train=without_users(everything.train),
        evaluation=without_users(everything.evaluation),
        # With accumulators that begin so low, they soon hold what the rows have learned.
        settings=everything.settings._replace(factors=4, learning_rate=0.05, initial_accumulator=0.001),
    )


def old_params(source: Source, directory: str) -> Params:
    """The `params` of yesterday's `model_fn`; writes its vocabulary file into the directory."""
    path = os.path.join(directory, "vocabulary.txt")
    with open(path, "w", encoding="utf-8") as lines:
        lines.writelines(f"{token}\n" for token in source.old.tokens)
    return model_params(source, path, source.dense_widths)


def train(source: Source, params: Params, model_dir: str, seed: int = 1) -> None:
    """Trains yesterday's model on the old days, by an Estimator."""
    settings = source.settings
    estimator = make_estimator(old_model_fn, model_dir, params, steps=settings.old_steps, evaluations=1, seed=seed)
    estimator.train(training_input(source.old, settings.batch_rows, seed), steps=settings.old_steps)


def evaluate(part: Part, params: Params, model_dir: str) -> Dict[str, float]:
    """Evaluates yesterday's model in a graph, as its Estimator does; works where TensorFlow has no Estimator too."""
    with tf.Graph().as_default(), tf1.Session() as session:
        rows = tf1.data.make_initializable_iterator(evaluation_input(part)())
        features, labels = rows.get_next()
        logits = factorization_machine(features, params).logits
        saver = tf1.train.Saver()
        row_losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        metrics = {
            "AUC": tf1.metrics.auc(labels, tf.sigmoid(logits), summation_method="careful_interpolation"),
            "log loss": tf1.metrics.mean(row_losses),
        }
        session.run([tf1.local_variables_initializer(), tf1.tables_initializer(), rows.initializer])
        saver.restore(session, tf.train.latest_checkpoint(model_dir))
        while True:
            try:
                session.run([update for _, update in metrics.values()])
            except tf.errors.OutOfRangeError:
                return {name: float(session.run(value)) for name, (value, _) in metrics.items()}


def write_text(model_dir: str, path: str) -> None:
    """Writes a checkpoint as text: for each variable a line NAME DTYPE SHAPE..., then a line for each of its rows."""
    reader = tf.train.load_checkpoint(model_dir)
    with open(path, "w", encoding="utf-8") as lines:
        for name, shape in sorted(reader.get_variable_to_shape_map().items()):
            value = reader.get_tensor(name)
            print(name, value.dtype, *shape, file=lines)
            for row in value.reshape([shape[0] if shape else 1, -1]):
                print(*row, file=lines)  # The fewest digits that stand for exactly this float32.


def read_text(path: str, model_dir: str) -> None:
    """Makes the checkpoint that the text was written from."""
    try:
        values = _values(path)
    except OSError as error:
        raise BadInput(f"--weights {path}: {error.strerror}") from error
    except (ValueError, TypeError, StopIteration) as error:
        raise BadInput(f"--weights {path}: not a file that --write-weights has written") from error
    with tf.Graph().as_default(), tf1.Session() as session:
        for name, value in values.items():
            tf1.get_variable(name, initializer=tf.constant(value))
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, os.path.join(model_dir, "model.ckpt"))


def _values(path: str) -> Dict[str, np.ndarray]:
    values = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            name, dtype, *sizes = line.split()
            shape = [int(size) for size in sizes]
            numbers = " ".join([next(lines) for _ in range(shape[0] if shape else 1)]).split()
            values[name] = np.array([float(number) for number in numbers], dtype).reshape(shape)
    if not values:
        raise ValueError("no variables")
    return values
