"""Display-advertising clicks, from a file in the format of the Criteo challenge, split by position.

A line has a label, 13 integer and 26 categorical features, separated by tabs. Missing values are empty. All 39 features are
hashed tokens, and the integers are also the input of the dense layer.

The file has no time stamps, but its rows are in chronological order, so a split by position is a split by time.

Sources: Criteo AI Lab, "Kaggle Display Advertising Challenge dataset" and "Terabyte Click Logs", for the format and
the order of rows; Juan, Zhuang, Chin and Lin, "Field-aware Factorization Machines for CTR Prediction", RecSys 2016,
for the squared logarithm that puts integers into buckets.
"""

from __future__ import annotations

import os
from typing import Dict, List, Tuple

import tensorflow as tf

from source import CHUNK_ROWS, BadInput, Part, Settings, Source, count_lines

INTEGERS = tuple(f"I{number}" for number in range(1, 14))
CATEGORIES = tuple(f"C{number}" for number in range(1, 27))
LINE_PATTERN = r"[01](\t(-?[0-9]{1,12})?){13}(\t[0-9a-fA-F]*){26}"
LINE_EXPECTED = "a label (0 or 1), 13 integers and 26 hexadecimal categories separated by tabs, missing values empty"

HASH_BUCKETS = 1 << 17
OLD_SHARE, TRAIN_SHARE = 0.7, 0.15
DEFAULT_ROWS = 300000

SETTINGS = Settings(factors=8, batch_rows=256, learning_rate=0.05, l2=1e-4, old_steps=1000, steps=200)


def load(path: str, rows: int = DEFAULT_ROWS) -> Source:
    """Checks and splits the file's first rows.

    Args:
        path: the file.
        rows: how many rows to use, from the first on; all if the file has fewer.

    Returns:
        The first 70 % of the rows as old days, the next 15 % as next day, and the rest to evaluate on.

    Raises:
        BadInput: no such file, a malformed line, or too few rows to split.
    """
    if not os.path.exists(path):
        raise BadInput(f"--criteo {path}: no such file")
    if os.path.isdir(path):
        raise BadInput(f"--criteo {path}: a directory; give the tab-separated file itself, unpacked")
    count = count_lines(path, LINE_PATTERN, LINE_EXPECTED, limit=rows)
    first, second = int(count * OLD_SHARE), int(count * (OLD_SHARE + TRAIN_SHARE))
    if not 0 < first < second < count:
        raise BadInput(f"{path}: {count} rows are too few to split into old, next and evaluated ones; 10 will do")
    return Source(
        title=f"display-advertising clicks from {path}",
        task="click",
        fields=INTEGERS + CATEGORIES,
        dense_widths={"integers": len(INTEGERS)},
        dense_change=None,
        old=_part(path, 0, first),
        train=_part(path, first, second),
        evaluation=_part(path, second, count),
        hash_buckets=HASH_BUCKETS,
        settings=SETTINGS,
    )


def columns(path: str, begin: int, end: int) -> tf.data.Dataset:
    """Lines `begin` to `end - 1` as chunks of `{"label", "I1", ..., "C26"}`, all of them strings as in the file."""

    def parse(lines: tf.Tensor) -> Dict[str, tf.Tensor]:
        names = ("label",) + INTEGERS + CATEGORIES
        fields = tf.io.decode_csv(lines, record_defaults=[[""]] * len(names), field_delim="\t", use_quote_delim=False)
        return dict(zip(names, fields))

    return tf.data.TextLineDataset(path).take(end).skip(begin).batch(CHUNK_ROWS).map(parse)


def log_bucket(text: tf.Tensor) -> tf.Tensor:
    """Integers to the names of their buckets.

    Args:
        text: string `[rows]`, decimal integers or empty.

    Returns:
        string `[rows]`: the integer itself up to 2, `floor(log(x) ** 2)` marked with `>` above, empty where missing.
    """
    value = _number(text)
    squared_log = tf.floor(tf.square(tf.math.log(tf.maximum(value, 1.0))))
    # Unmarked, the bucket of 3, floor(1.2), would be that of 1.
    bucket = tf.where(
        value > 2.0,
        tf.strings.join([">", _integer_text(squared_log)]),
        _integer_text(value),
    )
    return tf.where(tf.equal(text, ""), text, bucket)


def examples(chunk: Dict[str, tf.Tensor]) -> Tuple[Dict[str, tf.Tensor], tf.Tensor]:
    """Columns to features and labels, as `Part.chunks` promises them."""
    values = {name: log_bucket(chunk[name]) for name in INTEGERS}
    values.update({name: chunk[name] for name in CATEGORIES})
    tokens: List[tf.Tensor] = [tf.strings.join([f"{name}=", values[name]]) for name in INTEGERS + CATEGORIES]
    logs = [tf.math.log1p(tf.maximum(_number(chunk[name]), 0.0)) for name in INTEGERS]
    features = {"tokens": tf.stack(tokens, axis=1), "integers": tf.stack(logs, axis=1)}
    return features, tf.strings.to_number(chunk["label"])


def _part(path: str, begin: int, end: int) -> Part:
    return Part(
        when=f"lines {begin + 1} to {end}",
        rows=end - begin,
        chunks=lambda: columns(path, begin, end).map(examples),
    )


def _number(text: tf.Tensor) -> tf.Tensor:
    return tf.strings.to_number(tf.where(tf.equal(text, ""), tf.fill(tf.shape(text), "0"), text))


def _integer_text(value: tf.Tensor) -> tf.Tensor:
    return tf.strings.as_string(tf.cast(value, tf.int64))
