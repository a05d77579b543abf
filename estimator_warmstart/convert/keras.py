"""Finds the old variables, slots and step for a Keras model and a Keras optimizer, by their own object paths.

Source: the names and the meaning of slots: `tf.compat.v1.train`'s optimizers in tensorflow/python/training, Keras's in
keras/optimizers.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from estimator_warmstart._tf import (
    build_optimizer,
    initialize_keras_variables,
    learning_rate_at,
    logger,
    object_graph_pb2,
    tf,
    tf1,
)
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.data_files import BundleReader, ElementwiseFn, TensorCopy
from estimator_warmstart.checkpoint.index_file import StoredTensor
from estimator_warmstart.checkpoint.object_graph import OBJECT_GRAPH_KEY, VALUE_ATTRIBUTE
from estimator_warmstart.errors import WarmStartError, did_you_mean, first_few
from estimator_warmstart.optimizers import CENTERED_RMSPROP, OPTIMIZERS
from estimator_warmstart.slots import SlotFinder

# {class of a Keras optimizer: what TensorFlow 1's slots are named after, and {a slot of Keras's: what follows that name}}.
_TF1_SLOTS: Dict[str, Tuple[str, Dict[str, str]]] = {
    known.name: (known.tf1_family, known.tf1_ends()) for known in OPTIMIZERS if known.tf1_family and known != CENTERED_RMSPROP
}


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


def copies_into_model(
    old: Checkpoint, model: tf.Module, optimizer: Optional[tf.keras.optimizers.Optimizer], folder: str
) -> Tuple[object_graph_pb2.TrackableObjectGraph, List[TensorCopy]]:
    """Returns what `tf.train.Checkpoint(model=model, optimizer=optimizer)` would write if the model had the old values.

    Args:
      old: the old model, name-based.
      model: a built Keras model or a `tf.Module`. Its variables take the values of the old ones of the same names.
      optimizer: a Keras optimizer, whose slots are made if they are missing. `None`: an optimizer that the model was compiled
        with keeps its values.
      folder: where a checkpoint of the model as it is may be written.

    Returns:
      The object graph, and a copy of each tensor: from the old checkpoint, or, if there is no old variable for it, as for an
      optimizer's learning rate, from the checkpoint of the model as it is.

    Raises:
      WarmStartError: listing all that the old checkpoint does not have, or has in another shape or dtype.
    """
    _check_model(model, optimizer)
    if optimizer is not None:
        build_optimizer(optimizer, list(model.trainable_variables))
    prefix = _write_as_it_is(model, optimizer, os.path.join(folder, "as-it-is"))
    with closing(BundleReader(prefix)) as reader:
        graph = object_graph_pb2.TrackableObjectGraph.FromString(reader.read_string(OBJECT_GRAPH_KEY))
        stored = reader.index.tensors()
    root = {child.local_name: child.node_id for child in graph.nodes[0].children}
    wanted, problems = _model_variables(graph, root, model, old)
    if optimizer is not None:
        state = _OptimizerState(graph, root["optimizer"], optimizer, old)
        wanted.update(state.sources())
        problems += state.problems
    taken = {_value_key_of(graph.nodes[node]): source for node, source in wanted.items()}
    problems += _shape_and_dtype_problems(taken, stored)
    if problems:
        raise WarmStartError(f"{old.prefix} does not fit the model", problems)
    _share_children_with_root(graph, root["model"])
    unused = sorted(set(old.variables) - {source.old.name for source in taken.values()})
    if unused:
        logger.info("Neither the model nor the optimizer has these variables of %s: %s", old.prefix, first_few(unused))
    return graph, [
        TensorCopy(old.prefix, taken[key].old.key, key, taken[key].change) if key in taken else TensorCopy(prefix, key, key)
        for key in stored
        if key != OBJECT_GRAPH_KEY
    ]


class _ValueSource(NamedTuple):
    """The old variable that a value comes from, and what is done to its values."""

    old: OldVariable
    change: Optional[ElementwiseFn] = None


def _check_model(model: tf.Module, optimizer: Optional[tf.keras.optimizers.Optimizer]) -> None:
    if not isinstance(model, tf.Module):
        hint = "; Keras 3 loads no checkpoint: use recover_into" if isinstance(model, tf.keras.Model) else ""
        raise WarmStartError(f"model must be a Keras model or a tf.Module, got {model!r}{hint}")
    try:
        names = [_name_in_graph(variable) for variable in model.variables]
    except ValueError as error:  # Keras makes the variables of such a model when it is first called.
        raise WarmStartError(f"model has no variables yet; build it first, or call it once: {error}") from error
    if not names:
        raise WarmStartError("model has no variables yet; build it first, or call it once")
    shared = sorted({name for name in names if names.count(name) > 1})
    if shared:
        raise WarmStartError(f"several variables of the model have the same name, {first_few(shared)}; give each its own")
    compiled = getattr(model, "optimizer", None)
    if optimizer is not None and compiled is not None and compiled is not optimizer:
        raise WarmStartError("the model was compiled with another optimizer; give that one: optimizer=model.optimizer")
    if optimizer is not None and _optimizer_class(optimizer) is None:
        raise WarmStartError(
            f"optimizer must be one of tf.keras.optimizers' {', '.join(sorted(_TF1_SLOTS))}, got {optimizer!r}; "
            "without it only the model's variables are converted"
        )


def _write_as_it_is(model: tf.Module, optimizer: Optional[tf.keras.optimizers.Optimizer], prefix: str) -> str:
    """Writes the model with the values that it has."""
    if optimizer is None:
        optimizer = getattr(model, "optimizer", None)
    objects = {"model": model} if optimizer is None else {"model": model, "optimizer": optimizer}
    if not tf.executing_eagerly():
        initialize_keras_variables()
    try:
        return str(tf.train.Checkpoint(**objects).write(prefix))
    except tf.errors.FailedPreconditionError as error:
        raise WarmStartError(
            "the model's variables have no values yet; initialize them, and convert inside `with session.as_default():`"
        ) from error


def _model_variables(
    graph: object_graph_pb2.TrackableObjectGraph, root: Mapping[str, int], model: tf.Module, old: Checkpoint
) -> Tuple[Dict[int, _ValueSource], List[str]]:
    """Returns {node: source} of the model's own variables, and what is wrong with them."""
    names = {_name_in_graph(variable) for variable in model.variables}
    of_optimizer = _nodes_below(graph, root["optimizer"]) if "optimizer" in root else {}
    nodes = {
        _full_name_of(node): number
        for number, node in enumerate(graph.nodes)
        if _full_name_of(node) in names and number not in of_optimizer
    }
    missing = sorted(names - set(old.variables))
    problems = [f"{old.prefix} has no {name!r}{did_you_mean(name, old.variables)}" for name in missing]
    problems += [f"{name!r} is not in an attribute of the model that TensorFlow tracks" for name in sorted(names - set(nodes))]
    return {node: _ValueSource(old.variables[name]) for name, node in nodes.items() if name in old.variables}, problems


class _OptimizerState:
    """Finds the old variables for an optimizer's slots and step.

    Attributes:
      problems: what the old checkpoint does not have, once `sources` has been called.
    """

    def __init__(
        self,
        graph: object_graph_pb2.TrackableObjectGraph,
        node: int,
        optimizer: tf.keras.optimizers.Optimizer,
        old: Checkpoint,
    ):
        self._graph, self._node, self._optimizer, self._old = graph, node, optimizer, old
        self._finder = SlotFinder(old.slots_by_name)
        config = optimizer.get_config()
        self._class = _optimizer_class(optimizer) or ""
        family, self._ends = _TF1_SLOTS[self._class]
        self._is_centered = bool(config.get("centered"))
        if self._is_centered:
            self._ends = CENTERED_RMSPROP.tf1_ends()
        # Keras's SGD without momentum may have a slot all the same, and does not use it.
        self._uses_slots = self._class != "SGD" or bool(config["momentum"])
        self._families = (family, config["name"])
        self.problems: List[str] = []

    def sources(self) -> Dict[int, _ValueSource]:
        """Returns {node: source} of the step and of each slot; `problems` has what the old checkpoint does not have."""
        step = self._old.variables.get(tf1.GraphKeys.GLOBAL_STEP)
        if step is None:
            self.problems.append(
                f"{self._old.prefix} has no {tf1.GraphKeys.GLOBAL_STEP!r}, which the optimizer's step is taken from"
            )
            return {}
        found = {self._step_node(): _ValueSource(step, _to_int64)}
        change = self._change_of_slots(step)
        for slot in self._slots() if self._uses_slots else ():
            source = self._find(slot)
            if source is not None:
                found[slot.node] = _ValueSource(source, change)
        return found

    def _step_node(self) -> int:
        children = {child.local_name: child.node_id for child in self._graph.nodes[self._node].children}
        return children["_iterations"] if "_iterations" in children else children["iter"]

    def _slots(self) -> Iterator[_SlotInGraph]:
        nodes = self._graph.nodes
        for slot in nodes[self._node].slot_variables:
            yield _SlotInGraph(slot.slot_variable_node_id, slot.slot_name, _full_name_of(nodes[slot.original_variable_node_id]))
        # Keras's optimizers since 2.11 have them in a list, named SLOT/VARIABLE; the first is the step.
        for child in nodes[self._node].children:
            if child.local_name == "_variables":
                for variable in nodes[child.node_id].children:
                    slot_name, _, primary = _full_name_of(nodes[variable.node_id]).partition("/")
                    if variable.node_id != self._step_node():
                        yield _SlotInGraph(variable.node_id, slot_name, primary)

    def _find(self, slot: _SlotInGraph) -> Optional[OldVariable]:
        if slot.slot_name not in self._ends:
            self.problems.append(f"{self._class}'s {slot.slot_name!r} of {slot.primary!r} has no counterpart in TensorFlow 1")
            return None
        for family in self._families:
            if not self._is_centered and self._class == "RMSprop" and self._finder.find(slot.primary, family + "_2", ""):
                self.problems.append(f"the old RMSProp of {slot.primary!r} was centered; make the optimizer with centered=True")
                return None
            name = self._finder.find(slot.primary, family + self._ends[slot.slot_name], "")
            if name is not None:
                return self._old.variables[name]
        there = sorted(name for name, slot_of in self._old.slots_by_name.items() if slot_of.primary == slot.primary)
        self.problems.append(
            f"{self._old.prefix} has no slot {slot.primary}/{self._families[0]}{self._ends[slot.slot_name]} for "
            f"{self._class}'s {slot.slot_name!r}; of {slot.primary!r} it has {first_few(there)} (slots named after the "
            "optimizer's name= are looked for too)"
        )
        return None

    def _change_of_slots(self, step: OldVariable) -> Optional[ElementwiseFn]:
        """Keras's SGD adds up -learning_rate * gradient, TensorFlow 1's Momentum adds up the gradients alone."""
        if self._class != "SGD":
            return None
        steps = int(tf.train.load_variable(self._old.prefix, step.key))
        factor = -learning_rate_at(self._optimizer, steps)
        return lambda values: (values.astype(np.float64) * factor).astype(values.dtype)


def _shape_and_dtype_problems(taken: Mapping[str, _ValueSource], stored: Mapping[str, StoredTensor]) -> List[str]:
    """Returns what is wrong with the shapes and the dtypes of the old variables that are `taken`, by their new keys."""
    problems = []
    for key, (old, change) in sorted(taken.items()):
        shape, dtype, _ = stored[key]
        if (shape, dtype) != (old.shape, old.dtype) and change is not _to_int64:
            problems.append(f"the old {old.name!r} is {old.dtype} {list(old.shape)}, the new one {dtype} {list(shape)}")
    return problems


def _share_children_with_root(graph: object_graph_pb2.TrackableObjectGraph, model: int) -> None:
    """Adds the model's children to the root, where `model.load_weights` looks for them: its root is the model."""
    names = {child.local_name for child in graph.nodes[0].children}
    for child in list(graph.nodes[model].children):
        if child.local_name not in names:
            graph.nodes[0].children.add(node_id=child.node_id, local_name=child.local_name)


def _nodes_below(graph: object_graph_pb2.TrackableObjectGraph, start: int) -> Dict[int, None]:
    """Returns the nodes that are reached from `start`, itself included, and the slots of the optimizers among them."""
    reached: Dict[int, None] = {}
    waiting = [start]
    while waiting:
        number = waiting.pop()
        if number not in reached:
            reached[number] = None
            node = graph.nodes[number]
            waiting += [child.node_id for child in node.children] + [slot.slot_variable_node_id for slot in node.slot_variables]
    return reached


def _to_int64(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64)


def _optimizer_class(optimizer: tf.keras.optimizers.Optimizer) -> Optional[str]:
    """Returns the key of `_TF1_SLOTS` for an optimizer, `None` if it has none."""
    if not hasattr(optimizer, "get_config"):
        return None
    return next((base.__name__ for base in type(optimizer).__mro__ if base.__name__ in _TF1_SLOTS), None)


def _name_in_graph(variable: tf.Variable) -> str:
    return str(variable.name.partition(":")[0])


def _full_name_of(node: object_graph_pb2.TrackableObjectGraph.TrackableObject) -> str:
    return next((str(attribute.full_name) for attribute in node.attributes if attribute.name == VALUE_ATTRIBUTE), "")


def _value_key_of(node: object_graph_pb2.TrackableObjectGraph.TrackableObject) -> str:
    return next(str(attribute.checkpoint_key) for attribute in node.attributes if attribute.name == VALUE_ATTRIBUTE)
