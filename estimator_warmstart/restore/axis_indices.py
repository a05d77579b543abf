"""Axis maps as index vectors: the old position of each new one, in the graph.

Where tokens are joined, the positions are found out by the session; elsewhere they are arithmetic.
"""

from __future__ import annotations

from typing import Any, Sequence

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.axis_map import AxisMap, Fill, Filled, Kept
from estimator_warmstart.adapters.transforms import VocabRemapping
from estimator_warmstart.restore.new_values import where
from estimator_warmstart.restore.vocab_remapping import join_index

# What a join says of a token without an old row; no fill's code, of which there are few.
_MISSED = -(2**40)


class Indices:
    """Index vectors of one device; those of a join are made once for all variables that share it."""

    def __init__(self, joins: Any):
        self._joins = joins

    def of(self, axis_map: AxisMap, fills: Sequence[Fill]) -> Any:
        """int64 vector: the old position of each new one, or `-1 - i` where `fills[i]` belongs."""
        return tf.concat([self._segment(segment, fills) for segment in axis_map], 0)

    def _segment(self, segment: Any, fills: Sequence[Fill]) -> Any:
        if isinstance(segment, Filled):
            return tf.fill([segment.length], tf.constant(-1 - fills.index(segment.fill), tf.int64))
        if isinstance(segment, Kept):
            return _arithmetic(segment)
        index = tf.gather(self.join(segment.join), _arithmetic(segment))
        if segment.inner is not None:
            inner = self.of(segment.inner, fills)
            index = where(tf.less(index, 0), index, tf.gather(inner, tf.maximum(index, 0)))
            return where(tf.equal(index, _MISSED), tf.constant(-1 - fills.index(segment.fill), tf.int64), index)
        return where(tf.less(index, 0), tf.constant(-1 - fills.index(segment.fill), tf.int64), index)

    def join(self, join: VocabRemapping) -> Any:
        """The index vector of a whole join, `_MISSED` for tokens without an old row."""
        if join not in self._joins:
            self._joins[join] = join_index(join, _MISSED)
        return self._joins[join]


def _arithmetic(segment: Any) -> Any:
    return segment.start + segment.step * tf.range(segment.length, dtype=tf.int64)
