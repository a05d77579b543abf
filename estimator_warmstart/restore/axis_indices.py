"""Axis maps as index vectors in the graph: the old position of each new one.

Where tokens are remapped, the session finds the positions out; elsewhere they are arithmetic.
"""

from __future__ import annotations

from typing import Dict, Sequence, Union

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.axis_map import AxisMap, Fill, Filled, Kept, Remapped, Segment
from estimator_warmstart.adapters.vocabulary import VocabRemapping
from estimator_warmstart.restore.new_values import where
from estimator_warmstart.restore.vocab_remapping import find_old_rows

# What a remapping says of a token without an old row. No fill has this code: there are few of them.
_MISSED = -(2**40)


class AxisIndices:
    """The index vectors on one device. That of a remapping is made once for all variables that share it."""

    def __init__(self) -> None:
        self._of_remappings: Dict[VocabRemapping, tf.Tensor] = {}

    def of(self, axis_map: AxisMap, fills: Sequence[Fill]) -> tf.Tensor:
        """Returns an int64 vector: the old position of each new one, or `-1 - i` where `fills[i]` belongs."""
        return tf.concat([self._of_segment(segment, fills) for segment in axis_map], 0)

    def of_remapping(self, remapping: VocabRemapping) -> tf.Tensor:
        """Returns the index vector of a whole remapping, `_MISSED` for tokens without an old row."""
        if remapping not in self._of_remappings:
            self._of_remappings[remapping] = find_old_rows(remapping, _MISSED)
        return self._of_remappings[remapping]

    def _of_segment(self, segment: Segment, fills: Sequence[Fill]) -> tf.Tensor:
        if isinstance(segment, Kept):
            return _arithmetic(segment)
        code = tf.constant(-1 - fills.index(segment.fill), tf.int64)
        if isinstance(segment, Filled):
            return tf.fill([segment.length], code)
        index = tf.gather(self.of_remapping(segment.remapping), _arithmetic(segment))
        if segment.inner is None:
            return where(tf.less(index, 0), code, index)
        inner = self.of(segment.inner, fills)
        index = where(tf.less(index, 0), index, tf.gather(inner, tf.maximum(index, 0)))
        return where(tf.equal(index, _MISSED), code, index)


def _arithmetic(segment: Union[Kept, Remapped]) -> tf.Tensor:
    return segment.start + segment.step * tf.range(segment.length, dtype=tf.int64)
