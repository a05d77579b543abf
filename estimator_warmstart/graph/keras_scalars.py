"""Which scalars of a graph a Keras optimizer keeps for itself: its learning rate, its count of steps and the like.

Enters: a graph's scalars and slots. Leaves: names. An optimizer without slots (plain SGD) leaves no slot's name to know it by,
and the name of a scalar alone is not enough: a model may have one of its own called `learning_rate`.
"""

from __future__ import annotations

import re
from typing import Any, Collection, Dict, Iterator, List, Mapping, Set, Tuple

from estimator_warmstart._tf import copies_of, initializer_op
from estimator_warmstart.slots import HYPERPARAMETERS, SlotOf

_NUMBERED = re.compile(r"^(?P<scope>.*/)?(?P<leaf>\w+?)(?P<number>_\d+)?$")
_RATES = ("learning_rate", "current_learning_rate")


def keras_scalars(variables: Mapping[str, Any], slots_by_name: Mapping[str, SlotOf]) -> Set[str]:
    """The names of those scalars that belong to a Keras optimizer.

    Args:
      variables: {logical name: variable} of the graph's scalars that are neither trainable nor its global step.
      slots_by_name: the graph's slots.
    """
    return (
        _hyperparameters(variables, slots_by_name)
        | set(_of_later_optimizers(variables, slots_by_name))
        | set(_of_loss_scales(variables))
    )


def _hyperparameters(variables: Mapping[str, Any], slots_by_name: Mapping[str, SlotOf]) -> Set[str]:
    """Those of the optimizers up to 2.10 (`tf.keras.optimizers.legacy` since): `training/SGD/learning_rate`.

    Such an optimizer makes each of its scalars below its own name and with an aggregation that a model's scalars do not have
    (`_create_hypers` in optimizer_v2.py); `decay` and one more at least.
    """
    below: Dict[str, List[str]] = {}
    for name, variable in variables.items():
        if getattr(getattr(variable, "aggregation", None), "name", "") == "ONLY_FIRST_REPLICA":
            below.setdefault(name[: name.rfind("/") + 1], []).append(name)
    with_slots = {slot_of.prefix for slot_of in slots_by_name.values() if slot_of.prefix}
    found: Set[str] = set()
    for scope, names in below.items():
        known = [name for name in names if name[len(scope) :] in HYPERPARAMETERS]
        if len(known) > 1 or (known and scope in with_slots):
            # A user's own optimizer has others too; at the root of all names they could be anybody's.
            found.update(names if scope else known)
    return found


def _of_later_optimizers(variables: Mapping[str, Any], slots_by_name: Mapping[str, SlotOf]) -> Iterator[str]:
    """Those of the optimizers since 2.11: `iteration` and `learning_rate`, which both stand outside of the optimizer's scope.

    Its update is the evidence: one scope holds the operation that counts the step and one that reads the rate.
    """
    # 2.11 updates in no scope of its own, where the update might be the user's. Its slots, which SGD has too, tell.
    nowhere = set() if any(name.endswith(f"/{slot.slot_name}/{slot.primary}") for name, slot in slots_by_name.items()) else {""}
    for scope, number, members in _siblings(variables, ("iteration", *_RATES)):
        counter, rates = f"{scope}iteration{number}", [name for name in members if not name.endswith(f"iteration{number}")]
        if counter not in members or variables[counter].dtype.base_dtype.name != "int64":
            continue
        counting = {
            operation.name.rpartition("/")[0]
            for operation in _uses(counter, variables[counter])
            if operation.type == "AssignAddVariableOp"
        } - nowhere
        read = [
            name
            for name in rates
            if any(
                use.name.startswith(f"{place}/" if place else "") for use in _uses(name, variables[name]) for place in counting
            )
        ]
        yield from [counter, *read] if read else []


def _of_loss_scales(variables: Mapping[str, Any]) -> Iterator[str]:
    """Those of a LossScaleOptimizer: the scale, and how many steps it was good for. No one else has both."""
    for _, _, members in _siblings(variables, ("current_loss_scale", "good_steps")):
        yield from members if len(members) > 1 else []


def _siblings(names: Collection[str], leaves: Collection[str]) -> Iterator[Tuple[str, str, List[str]]]:
    """Scope, number at the end, and the names that share both and are called one of `leaves`."""
    groups: Dict[Tuple[str, str], List[str]] = {}
    for name in names:
        match = _NUMBERED.match(name)
        if match and match.group("leaf") in leaves:
            groups.setdefault((match.group("scope") or "", match.group("number") or ""), []).append(name)
    for (scope, number), members in groups.items():
        yield scope, number, members


def _uses(name: str, variable: Any) -> List[Any]:
    """The operations that read or write `variable`, its own ones (initializer, default reading) left out."""
    storage = initializer_op(copies_of(variable)[0]).inputs[0]
    return [use for use in storage.consumers() if not use.name.startswith(f"{name}/")]
