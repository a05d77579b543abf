"""Finds the old row of each new token, in the graph.

Vocabulary files are read on the device that holds the variable; their tokens never pass through the client. The hash table
that finds old rows holds every old token, so it is destroyed as soon as the rows are found.
"""

from __future__ import annotations

from typing import Tuple, Union

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.vocabulary import HashBuckets, VocabRemapping, Vocabulary

# A lookup runs on one thread, so several run side by side. A multiple of 8: such a piece of strings is not copied.
_KEYS_PER_LOOKUP = 1 << 20


def find_old_rows(remapping: VocabRemapping, missed: int) -> tf.Tensor:
    """Returns the old row of each new one.

    Args:
      remapping: the vocabularies and their buckets.
      missed: stands for a new row without an old one; negative.

    Returns:
      An int64 vector of the length of the new vocabulary and its buckets.
    """
    old, new = remapping.old, remapping.new
    tokens = _token_tensor(new)
    if remapping.aliases:
        names, meant = zip(*remapping.aliases)
        table, ready = _table_of_tokens(tf.constant(names), tf.range(len(names), dtype=tf.int64))
        alias = _find_and_destroy(table, ready, tokens, new.size, missed)
        tokens = tf.compat.v2.where(tf.less(alias, 0), tokens, tf.gather(tf.constant(meant), tf.maximum(alias, 0)))
    rows = tf.ensure_shape(_rows_of_tokens(old, tokens, new.size, missed), [new.size])
    if not remapping.buckets:
        return rows
    buckets = (
        tf.range(old.size, old.size + remapping.old_buckets, dtype=tf.int64)
        if remapping.old_buckets
        else tf.fill([remapping.buckets], tf.constant(missed, tf.int64))
    )
    return tf.concat([rows, buckets], 0)


def _rows_of_tokens(old: Union[Vocabulary, HashBuckets], tokens: tf.Tensor, size: int, missed: int) -> tf.Tensor:
    if isinstance(old, HashBuckets):
        if old.key:
            return tf.strings.to_hash_bucket_strong(tokens, old.size, list(old.key))
        return tf.strings.to_hash_bucket_fast(tokens, old.size)
    # TensorFlow can fill a table from the file itself, but takes half as long again.
    table, ready = _table_of_tokens(_token_tensor(old), tf.range(old.size, dtype=tf.int64))
    return _find_and_destroy(table, ready, tokens, size, missed)


def _token_tensor(vocabulary: Vocabulary) -> tf.Tensor:
    if vocabulary.path is None:
        return tf.constant(vocabulary.tokens)
    lines = tf.raw_ops.StringSplitV2(input=[tf.io.read_file(vocabulary.path)], sep="\n").values[: vocabulary.size]
    return tf.strings.regex_replace(lines, "\r$", "") if vocabulary.has_carriage_returns else lines


def _table_of_tokens(tokens: tf.Tensor, rows: tf.Tensor) -> Tuple[tf.Tensor, tf.Operation]:
    # Shared by no name: each operation has a table of its own.
    table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, use_node_name_sharing=True)
    return table, tf.raw_ops.InitializeTableV2(table_handle=table, keys=tokens, values=rows)


def _find_and_destroy(table: tf.Tensor, ready: tf.Operation, keys: tf.Tensor, size: int, missed: int) -> tf.Tensor:
    """Returns the value of each of `size` keys, `missed` for those that the table does not have."""
    pieces = [keys[start : start + _KEYS_PER_LOOKUP] for start in range(0, size, _KEYS_PER_LOOKUP)]
    default = tf.constant(missed, tf.int64)
    with tf.control_dependencies([ready]):
        found = [tf.raw_ops.LookupTableFindV2(table_handle=table, keys=piece, default_value=default) for piece in pieces]
    with tf.control_dependencies(found):
        gone = tf.raw_ops.DestroyResourceOp(resource=table, ignore_lookup_error=True)
    with tf.control_dependencies([gone]):
        return tf.concat(found, 0)
