"""Warns of kernels whose weights no longer meet the values that they were trained on.

Where a layer's input grew or shrank in its middle, cropping or padding at the end moves every later weight to another input.
"""

from __future__ import annotations

from typing import List, Sequence

from estimator_warmstart.graph.kernels import input_axes
from estimator_warmstart.plan.plan import PlannedVariable


def misalignments(decided: Sequence[PlannedVariable]) -> List[str]:
    """A warning of kernels that were cropped or padded, without anyone saying so, where another layer's values go in."""
    changed = [
        f"{planned.new.name!r} ({planned.source.shape[axis]:,} -> {planned.new.shape[axis]:,} on axis {axis})"
        for planned in decided
        for axis in sorted(input_axes(planned.new))
        if planned.source.shape[axis] != planned.new.shape[axis]
    ]
    if not changed:
        return []
    return [
        f"the input axis of {', '.join(changed)} has another length, and no adapter is named: crop_or_pad keeps its weights "
        "from the beginning, which is right only if what is in front changed at its end. "
        "adapters.remap_segments(old_widths, new_widths) lets them follow their features; adapters.crop_or_pad(), named, says "
        "that the end it is"
    ]
