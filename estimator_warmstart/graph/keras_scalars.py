"""Finds the scalars of a graph that belong to a Keras optimizer: its learning rate, its count of steps and the like.

An optimizer without slots (plain SGD) has no slot whose name would tell its scope. The name of a scalar alone does not tell
either: a model may have a variable of its own called `learning_rate`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Collection, Dict, Iterator, List, Mapping, Set, Tuple

from estimator_warmstart._tf import copies_of, initializer_op
from estimator_warmstart.slots import KERAS_SETTINGS, SlotOf

if TYPE_CHECKING:
    import tensorflow as tf

_NUMBERED = re.compile(r"^(?P<scope>.*/)?(?P<leaf>\w+?)(?P<number>_\d+)?$")
_RATES = ("learning_rate", "current_learning_rate")


def keras_scalars(variables: Mapping[str, tf.Variable], slots_by_name: Mapping[str, SlotOf]) -> Set[str]:
    """Returns the names of the scalars that belong to a Keras optimizer.

    Args:
      variables: {logical name: variable} of the graph's scalars, without trainable ones and the global step.
      slots_by_name: the graph's slots.
    """
    return (
        set(_of_legacy_optimizers(variables, slots_by_name))
        | set(_of_later_optimizers(variables, slots_by_name))
        | set(_of_loss_scales(variables))
    )


def _of_legacy_optimizers(variables: Mapping[str, tf.Variable], slots_by_name: Mapping[str, SlotOf]) -> Set[str]:
    """Finds those of optimizers up to 2.10, since then `tf.keras.optimizers.legacy`: `training/SGD/learning_rate`.

    Such an optimizer makes each of its scalars below its own name, with an aggregation that a model's scalars do not have
    (`_create_hypers` in optimizer_v2.py). It makes `decay` and at least one more.
    """
    below: Dict[str, List[str]] = {}
    for name, variable in variables.items():
        if getattr(getattr(variable, "aggregation", None), "name", "") == "ONLY_FIRST_REPLICA":
            below.setdefault(name[: name.rfind("/") + 1], []).append(name)
    with_slots = {slot_of.prefix for slot_of in slots_by_name.values() if slot_of.prefix}
    found: Set[str] = set()
    for scope, names in below.items():
        known = [name for name in names if name[len(scope) :] in KERAS_SETTINGS]
        if len(known) > 1 or (known and scope in with_slots):
            # A user's own optimizer may have others too. In the root scope, only the known names are certain to be its own.
            found.update(names if scope else known)
    return found


def _of_later_optimizers(variables: Mapping[str, tf.Variable], slots_by_name: Mapping[str, SlotOf]) -> Iterator[str]:
    """Finds those of optimizers since 2.11: `iteration` and `learning_rate`, both outside of the optimizer's scope.

    The optimizer's update proves it: one scope has the operation that counts the step and one that reads the rate.
    """
    # 2.11 updates in no scope of its own, where the update might be the user's. Its slots, which SGD has too, tell.
    nowhere = set() if any(name.endswith(f"/{slot.slot_name}/{slot.primary}") for name, slot in slots_by_name.items()) else {""}
    for scope, number, members in _siblings(variables, ("iteration", *_RATES)):
        counter, rates = f"{scope}iteration{number}", [name for name in members if not name.endswith(f"iteration{number}")]
        if counter not in members or variables[counter].dtype.base_dtype.name != "int64":
            continue
        counting = {
            operation.name.rpartition("/")[0]
            for operation in _uses_outside(counter, variables[counter])
            if operation.type == "AssignAddVariableOp"
        } - nowhere
        read = [
            name
            for name in rates
            if any(
                use.name.startswith(f"{place}/" if place else "")
                for use in _uses_outside(name, variables[name])
                for place in counting
            )
        ]
        yield from [counter, *read] if read else []


def _of_loss_scales(variables: Mapping[str, tf.Variable]) -> Iterator[str]:
    """Finds those of a LossScaleOptimizer: the scale and its count of good steps. Only it has both."""
    for _, _, members in _siblings(variables, ("current_loss_scale", "good_steps")):
        yield from members if len(members) > 1 else []


def _siblings(names: Collection[str], leaves: Collection[str]) -> Iterator[Tuple[str, str, List[str]]]:
    """Yields a scope, a number at the end, and the names that share both and end in one of `leaves`."""
    groups: Dict[Tuple[str, str], List[str]] = {}
    for name in names:
        match = _NUMBERED.match(name)
        if match and match.group("leaf") in leaves:
            groups.setdefault((match.group("scope") or "", match.group("number") or ""), []).append(name)
    for (scope, number), members in groups.items():
        yield scope, number, members


def _uses_outside(name: str, variable: tf.Variable) -> List[tf.Operation]:
    """Returns the operations that read or write `variable`, without its own initializer and its own read."""
    storage = initializer_op(copies_of(variable)[0]).inputs[0]
    return [use for use in storage.consumers() if not use.name.startswith(f"{name}/")]
