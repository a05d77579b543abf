"""Which of Adam's `beta*_power` scalars go with which of its moments; of a Keras optimizer, its count of steps.

Enters: a graph's variables and which of them are slots. Leaves: for each moment the names of its powers. There may be
several Adams in a graph, and each may minimize more than once.
"""
from __future__ import annotations

from typing import Any, Dict, Iterator, Mapping, Set, Tuple

from estimator_warmstart._tf import initializer_op
from estimator_warmstart.slots import KERAS_MOMENTS, MOMENTUM_CACHE, Shape, SlotOf, family_of, is_power

_ASSIGNMENTS = ("Assign", "AssignVariableOp")
# From a power's update to the moments' updates: their groups, and groups of these for sparse gradients.
_DEPTH = 4


def powers_by_slot(
    variables: Mapping[str, Any], shapes: Mapping[str, Shape], ties: Mapping[str, SlotOf]
) -> Dict[str, Tuple[str, ...]]:
    """The powers of each slot that has any.

    Args:
      variables: {logical name: a physical variable of it}, in the order of creation.
      shapes: {logical name: shape} of the same.
      ties: the slots among them.
    """
    counters: Dict[str, Tuple[str, ...]] = {
        name: (counter, *(cache for cache in (f"{tie.prefix}{MOMENTUM_CACHE}",) if shapes.get(cache) == ()))
        for name, tie in ties.items() for counter in (f"{tie.prefix}iter",)
        if tie.prefix and tie.leaf in KERAS_MOMENTS and shapes.get(counter) == ()
    }
    if not any(is_power(name, shape) for name, shape in shapes.items()):
        return counters
    slots = {_storage(variables[name]): name for name in ties}
    updated: Dict[str, Set[str]] = {}
    for name, shape in shapes.items():
        if is_power(name, shape):
            for slot in _updated_with(variables[name], slots):
                updated.setdefault(slot, set()).add(name)
    # Another optimizer's slots may be updated in the same group of operations, but it has no powers: the family tells.
    by_order = _by_order(shapes, ties)
    families = {family_of(ties[slot].leaf) for slot in by_order}
    found = {
        slot: tuple(name for name in shapes if name in powers)
        for slot, powers in updated.items() if family_of(ties[slot].leaf) in families
    }
    # An Adam that waits for another is reached from the other's updates too; then the order of creation decides.
    return {**counters, **found, **{
        slot: powers for slot, powers in by_order.items() if set(powers) <= updated.get(slot, set(powers))
    }}


def _updated_with(power: Any, slots: Mapping[Any, str]) -> Iterator[str]:
    """The slots whose updates the update of `power` waits for (adam.py, `_finish`)."""
    first = initializer_op(power)
    for operation in _storage(power).outputs[0].consumers():
        if operation.type not in _ASSIGNMENTS or operation is first:
            continue
        # The new power is computed after the updates: power * beta, under control dependencies.
        computing = [operation]
        for _ in range(_DEPTH):
            computing += [tensor.op for other in computing for tensor in other.inputs if tensor.op not in computing]
        reached = [control for other in computing for control in other.control_inputs]
        seen: Set[Any] = set()
        for _ in range(_DEPTH):
            reached = [other for other in reached if other not in seen]
            seen.update(reached)
            for other in reached:
                yield from (slots[tensor.op] for tensor in other.inputs if tensor.op in slots)
            reached = [control for other in reached for control in other.control_inputs]


def _by_order(shapes: Mapping[str, Shape], ties: Mapping[str, SlotOf]) -> Dict[str, Tuple[str, ...]]:
    """Where no update tells: an Adam makes its powers first and then its moments (adam.py, `_create_slots`)."""
    found: Dict[str, Tuple[str, ...]] = {}
    powers: Tuple[str, ...] = ()
    family = ""
    between = True
    for name, shape in shapes.items():
        if is_power(name, shape):
            powers, family, between = ((name,) if between else (*powers, name)), "", False
        elif name in ties and powers:
            between = True
            family = family or family_of(ties[name].leaf)
            if family_of(ties[name].leaf) == family:
                found[name] = powers
    return found


def _storage(variable: Any) -> Any:
    """The operation that stands for the variable's memory: its handle's, or its reference's."""
    return initializer_op(variable).inputs[0].op
