"""The common form of all inputs, and the `input_fn`s made from it.

`clicks`, `movielens` and `criteo` each make a `Source`, so that models and runs do not depend on the input.
"""

from __future__ import annotations

import collections
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

CHUNK_ROWS = 4096
"""Rows parsed by one call of an operation: parsing line by line costs a hundred times as much."""

SHUFFLE_ROWS = 200000
"""Upper bound of the shuffle buffer, so that a large `--criteo` file does not have to fit in memory."""


class BadInput(ValueError):
    """Input that cannot be used; the message says where, and what is expected instead."""


class Settings(NamedTuple):
    """What is tuned to an input: the model's size, its training, and how long to train."""

    factors: int
    batch_rows: int
    learning_rate: float
    l2: float
    old_steps: int
    steps: int
    initial_accumulator: float = 0.1  # Adagrad's, as TensorFlow has it.


class Part(NamedTuple):
    """The rows of some days.

    Attributes:
        when: which days these are, for the reader.
        rows: how many rows.
        chunks: makes a `tf.data.Dataset` of `(features, labels)` chunks of up to `CHUNK_ROWS` rows each, where
            `features["tokens"]` is string `[rows, fields]` and `features[name]` is float32 `[rows, width]` for each
            of `Source.dense_widths` and `Source.dense_change`; labels are float32 `[rows]`.
        tokens: the distinct tokens of these rows, most frequent first; empty where tokens are hashed.
    """

    when: str
    rows: int
    chunks: Callable[[], tf.data.Dataset]
    tokens: Tuple[str, ...] = ()


class DenseChange(NamedTuple):
    """The dense layer's input, `{feature: width}` in its order, before and after a feature is added to it."""

    old: Dict[str, int]
    new: Dict[str, int]


class Source(NamedTuple):
    """One input, split by time: no row of a part is earlier than a row of the part before it.

    Attributes:
        title: what the rows are, for the reader.
        task: `"click"` (labels 0 and 1) or `"rating"` (labels 1 to 5).
        fields: names of the sparse fields, in the order of `tokens`.
        dense_widths: `{feature: width}` of the dense layer's input, in its order.
        old: the old days, which the old model is trained on.
        train: the next day or days, which the changed model is trained on.
        evaluation: what comes after `train`.
        dense_change: how that input changes in the case in which vocabularies change, `None` where tokens are hashed.
        hash_buckets: rows of the tables where tokens are hashed, `None` where they are looked up in a vocabulary.
        settings: see `Settings`.
    """

    title: str
    task: str
    fields: Tuple[str, ...]
    dense_widths: Dict[str, int]
    dense_change: Optional[DenseChange]
    old: Part
    train: Part
    evaluation: Part
    hash_buckets: Optional[int]
    settings: Settings


def training_input(part: Part, batch_rows: int, seed: int) -> Callable[[], tf.data.Dataset]:
    """An `input_fn` that repeats the part, shuffled differently each time."""

    def input_fn() -> tf.data.Dataset:
        rows = part.chunks().unbatch().cache()
        shuffled = rows.shuffle(min(part.rows, SHUFFLE_ROWS), seed=seed).repeat()
        return shuffled.batch(batch_rows).prefetch(1)

    return input_fn


def evaluation_input(part: Part) -> Callable[[], tf.data.Dataset]:
    """An `input_fn` that reads the part once, in its order."""
    return lambda: part.chunks().unbatch().batch(CHUNK_ROWS)


def known_rows(part: Part, vocabulary: Sequence[str]) -> Part:
    """The rows of a part whose tokens are all in a vocabulary."""
    known = frozenset(token.encode() for token in vocabulary)

    def are_known(rows: np.ndarray) -> np.ndarray:
        return np.array([known.issuperset(row) for row in rows.tolist()], dtype=bool)

    def keep(features: Dict[str, tf.Tensor], labels: tf.Tensor) -> Tuple[Dict[str, tf.Tensor], tf.Tensor]:
        # A Python function and not a lookup table, which an input_fn would have to initialize before its iterator.
        inside = tf.numpy_function(are_known, [features["tokens"]], tf.bool)
        inside.set_shape([None])
        kept = {name: tf.boolean_mask(column, inside) for name, column in features.items()}
        return kept, tf.boolean_mask(labels, inside)

    def chunks() -> tf.data.Dataset:
        return part.chunks().map(keep)

    tokens = tuple(token for token in part.tokens if token.encode() in known)
    return Part(part.when, sum(len(labels) for _, labels in fetch(chunks)), chunks, tokens)


def fetch(make_dataset: Callable[[], tf.data.Dataset]) -> Iterator[Any]:
    """Yields a dataset's elements as numpy arrays, in a graph and session of their own.

    Eager iteration would be shorter, but TensorFlow 1.15 starts without eager execution.
    """
    graph = tf.Graph()
    with graph.as_default():
        iterator = tf.compat.v1.data.make_initializable_iterator(make_dataset())
        element = iterator.get_next()
    # No `with` around the loop: a generator that is left half-way would leave its graph the default one of its caller.
    session = tf.compat.v1.Session(graph=graph)
    try:
        session.run(iterator.initializer)
        while True:
            try:
                values = session.run(element)
            except tf.errors.OutOfRangeError:
                return
            yield values
    finally:
        session.close()


def count_lines(path: str, pattern: str, expected: str, limit: Optional[int] = None) -> int:
    """Counts a text file's lines after checking that each has the expected form.

    The check goes before any training: found by the parser inside a training step, a malformed line would end the run
    minutes later with a TensorFlow traceback and without its number.

    Args:
        path: the file.
        pattern: RE2 expression that a whole line must match.
        expected: the form in words, for the message.
        limit: look at no more lines than this.

    Returns:
        The number of lines, at most `limit`.

    Raises:
        BadInput: a line has another form, the file is empty, or cannot be read.
    """

    def checked() -> tf.data.Dataset:
        lines = tf.data.TextLineDataset(path)
        lines = lines if limit is None else lines.take(limit)
        return lines.batch(CHUNK_ROWS).map(lambda line: (line, tf.strings.regex_full_match(line, pattern)))

    count = 0
    try:
        for lines, fits in fetch(checked):
            if not fits.all():
                bad = int(fits.argmin())
                text = lines[bad].decode("utf-8", "replace")
                text = text if len(text) <= 60 else text[:57] + "..."
                raise BadInput(f"{path}, line {count + bad + 1}: expected {expected}, found {text!r}")
            count += len(lines)
    except tf.errors.OpError as error:
        raise BadInput(f"{path}: cannot be read: {error.message}") from error
    if count == 0:
        raise BadInput(f"{path}: the file is empty; expected lines of {expected}")
    return count


def most_frequent_first(tokens: Sequence[str]) -> Tuple[str, ...]:
    """The distinct tokens, most frequent first, equally frequent ones in alphabetical order."""
    counts = collections.Counter(tokens)
    return tuple(sorted(counts, key=lambda token: (-counts[token], token)))
