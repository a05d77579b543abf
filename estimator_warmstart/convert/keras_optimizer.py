"""Finds TensorFlow 1's slots and step for a Keras optimizer, in an object graph.

Source: the names and the meaning of slots: `tf.compat.v1.train`'s optimizers in tensorflow/python/training, Keras's in
keras/optimizers.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from estimator_warmstart._tf import learning_rate_at, object_graph_pb2, tf, tf1
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.copies import ElementwiseFn
from estimator_warmstart.checkpoint.object_graph import VALUE_ATTRIBUTE
from estimator_warmstart.checkpoint.statistics import read_integer
from estimator_warmstart.errors import first_few
from estimator_warmstart.optimizers import CENTERED_RMSPROP, OPTIMIZERS, class_of, uses_slots
from estimator_warmstart.plan.plan import PlannedVariable
from estimator_warmstart.slots import SlotFinder

# {class of a Keras optimizer: what TensorFlow 1's slots are named after, and {a slot of Keras's: what follows that name}}.
TF1_SLOTS: Dict[str, Tuple[str, Dict[str, str]]] = {
    known.name: (known.tf1_family, known.tf1_ends()) for known in OPTIMIZERS if known.tf1_family and known != CENTERED_RMSPROP
}


class ValueSource(NamedTuple):
    """The old variable that a value comes from, and what is done to its values.

    Attributes:
      old: the old variable.
      change: what is done to each element.
      primary: the name of the model's variable that takes it, or whose slot does; empty for the step.
      slot_name: of the slot that takes it; empty for a variable.
    """

    old: OldVariable
    change: Optional[ElementwiseFn] = None
    primary: str = ""
    slot_name: str = ""


class _SlotInGraph(NamedTuple):
    """A slot of a Keras optimizer in the object graph.

    Attributes:
      node: of its variable.
      slot_name: such as `m`.
      primary: the name of the variable that it belongs to.
    """

    node: int
    slot_name: str
    primary: str


class OptimizerState:
    """Finds the old variables for an optimizer's slots and step.

    Args:
      graph: the object graph of the model as it is.
      node: the optimizer's.
      optimizer: the Keras optimizer.
      old: the old model.
      planned: {name of a variable of the model: what it takes}.

    Attributes:
      problems: what the old checkpoint does not have, once `sources` has been called.
    """

    def __init__(
        self,
        graph: object_graph_pb2.TrackableObjectGraph,
        node: int,
        optimizer: tf.keras.optimizers.Optimizer,
        old: Checkpoint,
        planned: Mapping[str, PlannedVariable],
    ):
        self._planned = planned
        self._graph, self._node, self._optimizer, self._old = graph, node, optimizer, old
        self._finder = SlotFinder(old.slots_by_name)
        config = optimizer.get_config()
        self._class = optimizer_class(optimizer) or ""
        family, self._ends = TF1_SLOTS[self._class]
        self._is_centered = bool(config.get("centered"))
        if self._is_centered:
            self._ends = CENTERED_RMSPROP.tf1_ends()
        self._uses_slots = uses_slots(self._class, config)
        self._families = (family, config["name"])
        self.problems: List[str] = []

    def sources(self) -> Dict[int, ValueSource]:
        """Returns {node: source} of the step and of each slot; `problems` has what the old checkpoint does not have."""
        step = self._old.variables.get(tf1.GraphKeys.GLOBAL_STEP)
        if step is None:
            self.problems.append(
                f"{self._old.prefix} has no {tf1.GraphKeys.GLOBAL_STEP!r}, which the optimizer's step is taken from"
            )
            return {}
        found = {self._step_node(): ValueSource(step, to_int64)}
        change = self._change_of_slots(step)
        for slot in self._slots() if self._uses_slots else ():
            source = self._find(slot)
            if source is not None:
                found[slot.node] = ValueSource(source, change, slot.primary, slot.slot_name)
        return found

    def _step_node(self) -> int:
        children = {child.local_name: child.node_id for child in self._graph.nodes[self._node].children}
        return children["_iterations"] if "_iterations" in children else children["iter"]

    def _slots(self) -> Iterator[_SlotInGraph]:
        nodes = self._graph.nodes
        for slot in nodes[self._node].slot_variables:
            yield _SlotInGraph(slot.slot_variable_node_id, slot.slot_name, full_name_of(nodes[slot.original_variable_node_id]))
        # Keras's optimizers since 2.11 have them in a list, named SLOT/VARIABLE; the first is the step.
        for child in nodes[self._node].children:
            if child.local_name == "_variables":
                for variable in nodes[child.node_id].children:
                    slot_name, _, primary = full_name_of(nodes[variable.node_id]).partition("/")
                    if variable.node_id != self._step_node():
                        yield _SlotInGraph(variable.node_id, slot_name, primary)

    def _find(self, slot: _SlotInGraph) -> Optional[OldVariable]:
        planned = self._planned.get(slot.primary)
        old_primary = slot.primary if planned is None else planned.source.name
        if slot.slot_name not in self._ends:
            self.problems.append(f"{self._class}'s {slot.slot_name!r} of {slot.primary!r} has no counterpart in TensorFlow 1")
            return None
        for family in self._families:
            if not self._is_centered and self._class == "RMSprop" and self._finder.find(old_primary, family + "_2", ""):
                self.problems.append(f"the old RMSProp of {old_primary!r} was centered; make the optimizer with centered=True")
                return None
            name = self._finder.find(old_primary, family + self._ends[slot.slot_name], "")
            if name is not None:
                return self._old.variables[name]
        there = sorted(name for name, slot_of in self._old.slots_by_name.items() if slot_of.primary == old_primary)
        self.problems.append(
            f"{self._old.prefix} has no slot {old_primary}/{self._families[0]}{self._ends[slot.slot_name]} for "
            f"{self._class}'s {slot.slot_name!r}; of {old_primary!r} it has {first_few(there)} (slots named after the "
            "optimizer's name= are looked for too)"
        )
        return None

    def _change_of_slots(self, step: OldVariable) -> Optional[ElementwiseFn]:
        """Keras's SGD adds up -learning_rate * gradient, TensorFlow 1's Momentum adds up the gradients alone."""
        if self._class != "SGD":
            return None
        steps = read_integer(self._old, step)
        factor = -learning_rate_at(self._optimizer, steps)
        return lambda values: (values.astype(np.float64) * factor).astype(values.dtype)


def to_int64(values: np.ndarray) -> np.ndarray:
    """Returns a step in the dtype of Keras's."""
    return values.astype(np.int64)


def optimizer_class(optimizer: tf.keras.optimizers.Optimizer) -> Optional[str]:
    """Returns the key of `TF1_SLOTS` for an optimizer, `None` if it has none."""
    if not hasattr(optimizer, "get_config"):
        return None
    return class_of(optimizer, TF1_SLOTS)


def full_name_of(node: object_graph_pb2.TrackableObjectGraph.TrackableObject) -> str:
    """Returns the full name of a node's variable; empty if it holds none."""
    return next((str(attribute.full_name) for attribute in node.attributes if attribute.name == VALUE_ATTRIBUTE), "")
