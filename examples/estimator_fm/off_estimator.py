"""Yesterday's factorization machine, trained by an Estimator, goes on in Keras with its Adagrad accumulators.

It runs on TensorFlow 2.2 or later, with Keras 2 or Keras 3. The step off the Estimator is one call of `recover_into`, between
`compile` and `fit`.
`python examples/estimator_fm/off_estimator.py --help` lists the options.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from typing import Any, List, Optional, Tuple

# Before TensorFlow is loaded: its C++ side logs much about the processor.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

import curves
import yesterday
from estimator_warmstart import format_report, recover_into
from models import OOV_BUCKETS, Features, Params
from source import CHUNK_ROWS, BadInput, Source, evaluation_input, training_input

OLDEST = (2, 2)
"""Before it, Keras evaluates to a list without names."""

BAD_INPUT_STATUS = 2
EVALUATIONS = 10
METRICS = ("AUC", "log loss")


class FactorizationMachine(tf.keras.layers.Layer):
    """`b + sum(w[i]) + sum(dot(v[i], v[j]) for i < j)` over the rows i, j; as `models.factorization_machine`.

    The layer and its weights have yesterday's names: `fm/w` and so on. Then `recover_into` needs no `rename`.
    """

    def __init__(self, table_rows: int, factors: int, l2: float, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.table_rows, self.factors, self.l2, self.seed = table_rows, factors, l2, seed

    def build(self, input_shape: Any) -> None:
        small = tf.keras.initializers.TruncatedNormal(stddev=0.05, seed=self.seed)
        self.w = self.add_weight(name="w", shape=[self.table_rows, 1], initializer="zeros")
        self.v = self.add_weight(name="v", shape=[self.table_rows, self.factors], initializer=small)
        self.b = self.add_weight(name="b", shape=[1], initializer="zeros")

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        weights, vectors = tf.gather(self.w, rows), tf.gather(self.v, rows)
        squares = tf.reduce_sum(tf.square(vectors), axis=[1, 2]) + tf.reduce_sum(tf.square(weights), axis=[1, 2])
        self.add_loss(self.l2 * tf.reduce_mean(squares))
        pairs = tf.square(tf.reduce_sum(vectors, axis=1)) - tf.reduce_sum(tf.square(vectors), axis=1)
        return self.b + tf.reduce_sum(weights, axis=1) + 0.5 * tf.reduce_sum(pairs, axis=1, keepdims=True)


def new_model(source: Source, seed: int) -> tf.keras.Model:
    """Today's model, as any new Keras model is made and compiled."""
    layers, settings = tf.keras.layers, source.settings
    rows = tf.keras.Input([len(source.fields)], dtype="int64", name="rows")
    numbers = tf.keras.Input([sum(source.dense_widths.values())], name="numbers")
    table_rows = len(source.old.tokens) + OOV_BUCKETS
    fm = FactorizationMachine(table_rows, settings.factors, settings.l2, seed, name="fm")(rows)
    dense = layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="dense")(numbers)
    model = tf.keras.Model({"rows": rows, "numbers": numbers}, layers.Activation("sigmoid")(layers.Add()([fm, dense])))
    model.compile(
        tf.keras.optimizers.Adagrad(settings.learning_rate, initial_accumulator_value=settings.initial_accumulator),
        loss="binary_crossentropy",
        metrics=[tf.keras.metrics.AUC(name="AUC"), tf.keras.metrics.BinaryCrossentropy(name="log loss")],
    )
    return model


def fit(model: tf.keras.Model, train: tf.data.Dataset, evaluation: tf.data.Dataset, steps: int) -> List[curves.Point]:
    """Evaluates the model as it is, then trains it and evaluates it ten times."""
    first = model.evaluate(evaluation, verbose=0, return_dict=True)
    every = -(-steps // EVALUATIONS)
    # The dataset shuffles. Where `shuffle` is not given, Keras 3 warns that it does not.
    options = {"validation_data": evaluation, "shuffle": False, "verbose": 0}
    history = model.fit(train, epochs=EVALUATIONS, steps_per_epoch=every, **options).history
    later = zip(*(history[f"val_{name}"] for name in METRICS))
    points = [curves.Point(epoch * every, dict(zip(METRICS, values))) for epoch, values in enumerate(later, start=1)]
    return [curves.Point(0, {name: first[name] for name in METRICS}), *points]


def keras_datasets(source: Source, vocabulary_file: str, seed: int) -> Tuple[tf.data.Dataset, tf.data.Dataset]:
    """The datasets of the Estimator's `input_fn`s, with rows in place of tokens: by the table that its `model_fn` had."""
    lines = tf.lookup.TextFileInitializer(
        vocabulary_file, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    table = tf.lookup.StaticVocabularyTable(lines, OOV_BUCKETS)

    def inputs(features: Features, labels: tf.Tensor) -> Tuple[Features, tf.Tensor]:
        numbers = tf.concat([features[name] for name in source.dense_widths], axis=1)
        return {"rows": table.lookup(features["tokens"]), "numbers": numbers}, tf.expand_dims(labels, 1)

    train = training_input(source.train, source.settings.batch_rows, seed)()
    evaluation = evaluation_input(source.evaluation)().map(inputs).cache()
    # Keras 3 warns at the end of a dataset whose length it does not know.
    length = tf.data.experimental.assert_cardinality(-(-source.evaluation.rows // CHUNK_ROWS))
    return train.map(inputs), evaluation.apply(length)


def main(arguments: Optional[List[str]] = None) -> int:
    """Runs the example; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    tf.get_logger().setLevel("ERROR")
    try:
        if tuple(map(int, tf.__version__.split(".")[:2])) < OLDEST:
            raise BadInput(f"this example needs TensorFlow 2.2 or later, and this is TensorFlow {tf.__version__}")
        source, old_dir = yesterday.load(), tempfile.mkdtemp(prefix="off_estimator_")
        params = yesterday.old_params(source, old_dir)
        _make_old_model(source, params, old_dir, options)
    except BadInput as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return BAD_INPUT_STATUS
    auc = yesterday.evaluate(source.evaluation, params, old_dir)["AUC"]
    _say(f"In its graph: AUC {auc:.6f}\n")

    models = {name: new_model(source, options.seed) for name in ("cold", "warm", "no slots")}
    _say(format_report(recover_into(models["warm"], old_dir, with_slots=True)) + "\n")
    recover_into(models["no slots"], old_dir)
    # Each has datasets of its own: one that is read again is shuffled in another order.
    datasets = {name: keras_datasets(source, params["vocabulary_file"], options.seed) for name in models}
    found = {name: fit(model, *datasets[name], options.steps) for name, model in models.items()}
    _say(f"In Keras, at step 0: AUC {found['warm'][0].metrics['AUC']:.6f}\n")
    _say(curves.table(found) + "\n")
    _say(curves.verdict(found["cold"], found["warm"], "AUC"))
    _say(curves.worth_of_slots(found["warm"], found["no slots"], "AUC"))
    return 0


def _make_old_model(source: Source, params: Params, old_dir: str, options: argparse.Namespace) -> None:
    if options.weights is None and hasattr(tf, "estimator"):
        _say(f"Yesterday's model: an Estimator trains it, {source.settings.old_steps} steps")
        yesterday.train(source, params, old_dir)
    else:
        path = options.weights or yesterday.TEXT
        _say(f"Yesterday's model: its weights are in {os.path.basename(path)}")
        yesterday.read_text(path, old_dir)
    if options.write_weights is not None:
        yesterday.write_text(old_dir, options.write_weights)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Takes yesterday's factorization machine from its Estimator's checkpoint into a Keras model, with "
        "Adagrad's accumulators, and trains that.",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="yesterday's weights as text (default: an Estimator trains them; where TensorFlow has none: yesterday.txt)",
    )
    parser.add_argument("--write-weights", metavar="FILE", help="write yesterday's weights as such a text")
    parser.add_argument(
        "--steps", type=_positive, default=400, metavar="N", help="steps in Keras, rounded up to tens (default: 400)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the training in Keras (default: 1)")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
