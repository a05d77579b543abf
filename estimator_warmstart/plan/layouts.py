"""Says of variables that no old one fills which old one of the same layer they may be: generations of layers differ in names.

Keras 3's DepthwiseConv2D has a `kernel` where others have a `depthwise_kernel`; running means have many names.
"""

from __future__ import annotations

from typing import List

from estimator_warmstart.plan.plan import Plan

_MOST_NOTES = 5


def likely_renames(plan: Plan) -> List[str]:
    """A note for each new variable that has just one unused old one of its layer's name and its shape."""
    notes: List[str] = []
    slots = {(checkpoint.prefix, name) for checkpoint in plan.checkpoints for name in checkpoint.slots_by_name}
    unused = [old for old in plan.unused if (old.prefix, old.name) not in slots and _layer(old.name)]
    for planned in plan.variables:
        new = planned.new
        if planned.old is not None or not new.is_parameter:
            continue
        same = [
            old for old in unused if _layer(old.name) == _layer(new.name) and (old.shape, old.dtype) == (new.shape, new.dtype)
        ]
        if len(same) == 1:
            notes.append(
                f"the new {new.name!r} {list(new.shape)} is left as initialized, and the old {same[0].name!r} of that shape is "
                f"not used; if they are the same, put rename={{{same[0].name!r}: {new.name!r}}} in front of other renames"
            )
    more = len(notes) - _MOST_NOTES
    return notes if more <= 0 else [*notes[:_MOST_NOTES], f"and {more} more of that kind"]


def _layer(name: str) -> str:
    """The name of the layer that has the variable: the last scope."""
    return name.rpartition("/")[0].rpartition("/")[2]
