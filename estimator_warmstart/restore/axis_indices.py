"""Axis maps as index vectors in the graph: the old position of each new one.

Where tokens are remapped, the session finds the positions out; elsewhere they are arithmetic.
"""

from __future__ import annotations

from typing import Dict, List, Sequence, Union

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.axis_map import Averaged, AxisMap, Fill, Filled, Kept, Remapped, Segment
from estimator_warmstart.adapters.vocabulary import VocabRemapping
from estimator_warmstart.restore.new_values import where
from estimator_warmstart.restore.vocab_remapping import find_old_rows

# What a remapping says of a token without an old row. No fill has this code: there are few of them.
_MISSED = -(2**40)
# What stands for a mean of old positions.
MEAN_CODE = -(2**41)


class AxisIndices:
    """The index vectors on one device. That of a remapping is made once for all variables that share it."""

    def __init__(self) -> None:
        self._of_remappings: Dict[VocabRemapping, tf.Tensor] = {}

    def of(self, axis_map: AxisMap, fills: Sequence[Fill]) -> tf.Tensor:
        """Returns an int64 vector: the old position of each new one.

        It has `-1 - i` where `fills[i]` belongs, and `MEAN_CODE` where a mean of old positions does.
        """
        index = tf.concat([self._of_segment(segment, fills) for segment in _without_means(axis_map)], 0)
        place = mean_positions(axis_map)
        if not len(place):
            return index
        return tf.tensor_scatter_nd_update(index, place[:, np.newaxis], tf.fill([len(place)], tf.constant(MEAN_CODE, tf.int64)))

    def of_remapping(self, remapping: VocabRemapping) -> tf.Tensor:
        """Returns the index vector of a whole remapping, `_MISSED` for tokens without an old row."""
        if remapping not in self._of_remappings:
            self._of_remappings[remapping] = find_old_rows(remapping, _MISSED)
        return self._of_remappings[remapping]

    def _of_segment(self, segment: Segment, fills: Sequence[Fill]) -> tf.Tensor:
        if isinstance(segment, Kept):
            return _arithmetic(segment)
        if isinstance(segment, Averaged):
            return tf.fill([segment.length], tf.constant(MEAN_CODE, tf.int64))
        code = tf.constant(-1 - fills.index(segment.fill), tf.int64)
        if isinstance(segment, Filled):
            return tf.fill([segment.length], code)
        index = tf.gather(self.of_remapping(segment.remapping), _arithmetic(segment))
        if segment.inner is None:
            return where(tf.less(index, 0), code, index)
        inner = self.of(segment.inner, fills)
        index = where(tf.less(index, 0), index, tf.gather(inner, tf.maximum(index, 0)))
        return where(tf.equal(index, _MISSED), code, index)


def mean_positions(axis_map: AxisMap) -> np.ndarray:
    """Returns the new positions that are means of old ones, an int64 vector."""
    places, position = [np.zeros([0], np.int64)], 0
    for segment in axis_map:
        if isinstance(segment, Averaged):
            places.append(np.arange(position, position + segment.length, dtype=np.int64))
        position += segment.length
    return np.concatenate(places)


def _without_means(axis_map: AxisMap) -> AxisMap:
    """Returns the map in which means inside a remapping are remapped too: one index for it all, whatever number there are."""
    segments: List[Segment] = []
    for segment in axis_map:
        before = segments[-1] if segments else None
        if isinstance(before, Remapped):
            begin = before.start + before.step * before.length
            continued = before._replace(length=segment.length, start=begin)
            ends = (begin, begin + before.step * (segment.length - 1))
            size = before.remapping.new.size + before.remapping.buckets
            is_mean_inside = isinstance(segment, Averaged) and min(ends) >= 0 and max(ends) < size
            if segment == continued or is_mean_inside:
                segments[-1] = before._replace(length=before.length + segment.length)
                continue
        segments.append(segment)
    return tuple(segments)


def _arithmetic(segment: Union[Kept, Remapped]) -> tf.Tensor:
    return segment.start + segment.step * tf.range(segment.length, dtype=tf.int64)
