"""Warns of kernels whose weights would be multiplied with other inputs than those they were trained on.

If a layer's input grew or shrank in its middle, cropping or padding at the end moves every later weight to another input.
"""

from __future__ import annotations

from typing import List, Sequence

from estimator_warmstart.graph.kernels import input_axes
from estimator_warmstart.plan.plan import PlannedVariable


def misalignments(decided: Sequence[PlannedVariable]) -> List[str]:
    """Returns a warning of kernels whose input axis is cropped or padded by default, if there are any."""
    changed = [
        f"{planned.new.name!r} ({planned.source.shape[axis]:,} -> {planned.new.shape[axis]:,} on axis {axis})"
        for planned in decided
        for axis in sorted(input_axes(planned.new))
        if planned.source.shape[axis] != planned.new.shape[axis]
    ]
    if not changed:
        return []
    return [
        f"the input axis of {', '.join(changed)} has another length, and no adapter is named: crop_or_pad keeps the first "
        "weights, which is right only if the layer in front changed at its end. "
        "adapters.remap_segments(old_widths, new_widths) moves weights with their features, and "
        "adapters.remap_feature_columns(old_columns, new_columns) takes the widths from feature columns; "
        "adapters.crop_or_pad(), if you name it, confirms that the end changed"
    ]
