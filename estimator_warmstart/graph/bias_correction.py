"""Finds Adam's `beta*_power` scalars, or a Keras optimizer's count of steps, for each of its moments.

Bias correction needs both or neither of the old values. A graph may have several Adams, and each may minimize more than once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Dict, Iterator, List, Mapping, Optional, Set, Tuple

from estimator_warmstart._tf import initializer_op, tf
from estimator_warmstart.graph.initial_values import known_initial, known_number
from estimator_warmstart.optimizers import corrects_bias, meanings_of
from estimator_warmstart.slots import KERAS_MOMENTS, MOMENTUM_CACHE, SlotOf, family_of, is_power
from estimator_warmstart.tensors import Shape

if TYPE_CHECKING:
    from tensorflow.core.framework.function_pb2 import FunctionDef

# Since 2.11, Keras's counts and slots have no scope in common.
_KERAS_COUNT = re.compile(r"(?:^|/)iteration(?:_\d+)?$")
# The operations between a count and the exponent that is made of it.
_ON_THE_WAY = ("Add", "AddV2", "Cast", "Identity", "ReadVariableOp")
_FUNCTION_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_ASSIGNMENTS = ("Assign", "AssignVariableOp")
# The distance from a power's update to the moments' updates: their groups, and groups of these for sparse gradients.
_SEARCH_DEPTH = 4


def powers_by_slot(
    variables: Mapping[str, tf.Variable], shapes: Mapping[str, Shape], slots_by_name: Mapping[str, SlotOf]
) -> Dict[str, Tuple[str, ...]]:
    """Returns the powers of each slot that has any.

    Args:
      variables: {logical name: a physical variable of it}, in the order of creation.
      shapes: {logical name: shape} of the same.
      slots_by_name: the slots among them.
    """
    counters: Dict[str, Tuple[str, ...]] = {
        name: (counter, *(cache for cache in (f"{slot_of.prefix}{MOMENTUM_CACHE}",) if shapes.get(cache) == ()))
        for name, slot_of in slots_by_name.items()
        for counter in (f"{slot_of.prefix}iter",)
        if slot_of.prefix and slot_of.slot_name in KERAS_MOMENTS and shapes.get(counter) == ()
    }
    counters.update(_counts_since_2_11(variables, shapes, slots_by_name))
    if not any(is_power(name, shape) for name, shape in shapes.items()):
        return counters
    slots = {_storage(variables[name]): name for name in slots_by_name}
    updated: Dict[str, Set[str]] = {}
    for name, shape in shapes.items():
        if is_power(name, shape):
            for slot in _updated_with(variables[name], slots):
                updated.setdefault(slot, set()).add(name)
    # The same group of operations may update the slots of another optimizer, which has no powers: the family tells.
    by_order = _by_order(shapes, slots_by_name)
    families = {family_of(slots_by_name[slot].slot_name) for slot in by_order}
    found = {
        slot: tuple(name for name in shapes if name in powers)
        for slot, powers in updated.items()
        if family_of(slots_by_name[slot].slot_name) in families
    }
    # The updates of one Adam may wait for those of another and so lead to both; then the order of creation decides.
    return {
        **counters,
        **found,
        **{slot: powers for slot, powers in by_order.items() if set(powers) <= updated.get(slot, set(powers))},
    }


def _updated_with(power: tf.Variable, slots: Mapping[tf.Operation, str]) -> Iterator[str]:
    """Yields the slots whose updates the update of `power` waits for (adam.py, `_finish`)."""
    first = initializer_op(power)
    for operation in _storage(power).outputs[0].consumers():
        if operation.type not in _ASSIGNMENTS or operation is first:
            continue
        # The new power is computed after the updates: power * beta, under control dependencies.
        computing = [operation]
        for _ in range(_SEARCH_DEPTH):
            computing += [tensor.op for other in computing for tensor in other.inputs if tensor.op not in computing]
        reached = [control for other in computing for control in other.control_inputs]
        seen: Set[tf.Operation] = set()
        for _ in range(_SEARCH_DEPTH):
            reached = [other for other in reached if other not in seen]
            seen.update(reached)
            for other in reached:
                yield from (slots[tensor.op] for tensor in other.inputs if tensor.op in slots)
            reached = [control for other in reached for control in other.control_inputs]


def _by_order(shapes: Mapping[str, Shape], slots_by_name: Mapping[str, SlotOf]) -> Dict[str, Tuple[str, ...]]:
    """Finds powers where no update tells: an Adam makes its powers first, then its moments (adam.py, `_create_slots`)."""
    found: Dict[str, Tuple[str, ...]] = {}
    powers: Tuple[str, ...] = ()
    family = ""
    between = True
    for name, shape in shapes.items():
        if is_power(name, shape):
            powers, family, between = ((name,) if between else (*powers, name)), "", False
        elif name in slots_by_name and powers:
            between = True
            family = family or family_of(slots_by_name[name].slot_name)
            if family_of(slots_by_name[name].slot_name) == family:
                found[name] = powers
    return found


def _counts_since_2_11(
    variables: Mapping[str, tf.Variable], shapes: Mapping[str, Shape], slots_by_name: Mapping[str, SlotOf]
) -> Dict[str, Tuple[str, ...]]:
    """Returns the counts that correct a bias for each moment of Keras optimizers since 2.11.

    Nothing in the graph tells which of several counts belongs to which optimizer.
    """
    moments = [
        name
        for name, meaning in meanings_of(slots_by_name).items()
        if corrects_bias(meaning.optimizer)
        and name == f"{slots_by_name[name].prefix}{slots_by_name[name].slot_name}/{slots_by_name[name].primary}"
    ]
    counts = [name for name, shape in shapes.items() if shape == () and _KERAS_COUNT.search(name)] if moments else []
    if len(counts) > 1:
        counts = [name for name in counts if _bases(variables[name])] or counts
    return {name: tuple(counts) for name in moments if counts}


def betas_of(count: str, variables: Mapping[str, tf.Variable]) -> Dict[str, float]:
    """Returns the betas of the Keras optimizer that has this count, as far as the graph tells them without a session.

    Args:
      count: the name of its count of steps.
      variables: {logical name: a physical variable of it}.

    Returns:
      {"beta1_power": beta_1, "beta2_power": beta_2}, without those that are not known.
    """
    scope = count.rpartition("/")[0]
    found: Dict[str, float] = {}
    for power, name in (("beta1_power", f"{scope}/beta_1"), ("beta2_power", f"{scope}/beta_2")):
        beta = known_initial(variables[name]) if scope and name in variables else None
        if beta is not None:
            found[power] = beta
    return found or dict(zip(("beta1_power", "beta2_power"), _bases(variables[count])))


def _bases(count: tf.Variable) -> List[float]:
    """Returns the known numbers that the graph raises to the power of `count + 1`, in that order."""
    storage = _storage(count)
    bases = [
        known_number(operation.inputs[0])
        for operation in storage.graph.get_operations()
        if operation.type == "Pow" and _leads_to(operation.inputs[1].op, storage)
    ]
    # Since 2.11, Keras's optimizers only work in a graph if they are called in a tf.function.
    calls = [operation for operation in storage.outputs[0].consumers() if operation.type in _FUNCTION_CALLS]
    called = {operation.get_attr("f").name for operation in calls}
    library = storage.graph.as_graph_def().library.function if called and not bases else ()
    for function in library:
        bases += _bases_in(function) if function.signature.name in called else []
    return list(dict.fromkeys(base for base in bases if base is not None))


def _leads_to(operation: tf.Operation, storage: tf.Operation) -> bool:
    """Whether `operation` is the value of `storage`, perhaps cast or with a number added."""
    if operation is storage:
        return True
    return operation.type in _ON_THE_WAY and any(_leads_to(tensor.op, storage) for tensor in operation.inputs)


def _bases_in(function: FunctionDef) -> List[Optional[float]]:
    """Does the same in a function's definition, where a count is an argument."""
    nodes = {node.name: node for node in function.node_def}

    def leads_to_argument(name: str) -> bool:
        node = nodes.get(name.split(":")[0])
        return node is None or (node.op in _ON_THE_WAY and any(leads_to_argument(given) for given in node.input))

    bases: List[Optional[float]] = []
    for node in function.node_def:
        base = nodes.get(node.input[0].split(":")[0]) if node.op == "Pow" and leads_to_argument(node.input[1]) else None
        if base is not None and base.op == "Const" and not base.attr["value"].tensor.tensor_shape.dim:
            bases.append(float(tf.make_ndarray(base.attr["value"].tensor)))
    return bases


def _storage(variable: tf.Variable) -> tf.Operation:
    """Returns the operation that stands for the variable's memory: its handle or its reference."""
    return initializer_op(variable).inputs[0].op
