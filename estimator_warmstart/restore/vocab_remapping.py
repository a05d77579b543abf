"""Two vocabularies -> the old row of each new token, in the graph.

Enters: a `Join`. Leaves: an int64 vector. The files are read where the variable is; their tokens never pass through the
client. The hash table that finds old rows holds every old token, so it is destroyed as soon as the vector is there.
"""

from __future__ import annotations

from typing import Any, Tuple

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.transforms import VocabRemapping
from estimator_warmstart.adapters.vocabulary import Vocabulary

_WHOLE_LINE, _LINE_NUMBER = -2, -1  # TextFileIndex.WHOLE_LINE and LINE_NUMBER


def join_index(join: VocabRemapping, missed: int) -> Any:
    """The old row of each new one.

    Args:
      join: the vocabularies and their buckets.
      missed: stands for a new row without an old one; negative.

    Returns:
      int64 vector of the length of the new vocabulary and its buckets.
    """
    tokens = _tokens(join.new)
    if join.aliases:
        names, meant = zip(*join.aliases)
        table, ready = _table(tf.constant(names), tf.range(len(names), dtype=tf.int64))
        alias = _find_and_destroy(table, ready, tokens, tf.constant(missed, tf.int64))
        tokens = tf.compat.v2.where(tf.less(alias, 0), tokens, tf.gather(tf.constant(meant), tf.maximum(alias, 0)))
    if join.old.path is None or join.old.has_empty_token:  # TensorFlow fills no table from a file with an empty line.
        table, ready = _table(_tokens(join.old), tf.range(join.old.size, dtype=tf.int64))
    else:
        table, ready = _table_of_file(join.old)
    rows = _find_and_destroy(table, ready, tokens, tf.constant(missed, tf.int64))
    rows = tf.ensure_shape(rows, [join.new.size])
    if not join.buckets:
        return rows
    buckets = (
        tf.range(join.old.size, join.old.size + join.old_buckets, dtype=tf.int64)
        if join.old_buckets
        else tf.fill([join.buckets], tf.constant(missed, tf.int64))
    )
    return tf.concat([rows, buckets], 0)


def _tokens(vocabulary: Vocabulary) -> Any:
    if vocabulary.path is None:
        return tf.constant(vocabulary.tokens)
    lines = tf.raw_ops.StringSplitV2(input=[tf.io.read_file(vocabulary.path)], sep="\n").values[: vocabulary.size]
    return tf.strings.regex_replace(lines, "\r$", "") if vocabulary.has_carriage_returns else lines


def _table(keys: Any, values: Any) -> Tuple[Any, Any]:
    table = _empty_table()
    return table, tf.raw_ops.InitializeTableV2(table_handle=table, keys=keys, values=values)


def _table_of_file(vocabulary: Vocabulary) -> Tuple[Any, Any]:
    table = _empty_table()
    return table, tf.raw_ops.InitializeTableFromTextFileV2(
        table_handle=table,
        filename=vocabulary.path,
        key_index=_WHOLE_LINE,
        value_index=_LINE_NUMBER,
        vocab_size=vocabulary.size,
        delimiter="\t",
    )


def _empty_table() -> Any:
    # Shared by no name: each operation has a table of its own.
    return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, use_node_name_sharing=True)


def _find_and_destroy(table: Any, ready: Any, keys: Any, default: Any) -> Any:
    with tf.control_dependencies([ready]):
        found = tf.raw_ops.LookupTableFindV2(table_handle=table, keys=keys, default_value=default)
    with tf.control_dependencies([found]):
        gone = tf.raw_ops.DestroyResourceOp(resource=table, ignore_lookup_error=True)
    with tf.control_dependencies([gone]):
        return tf.identity(found)
