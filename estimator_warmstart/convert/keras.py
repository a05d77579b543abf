"""How old variables, slots and the step become a Keras model's and a Keras optimizer's, in their own object paths.

Enters: an old checkpoint, a built model, maybe an optimizer. Leaves: the object graph that `tf.train.Checkpoint` has of
them, and for each of its tensors where the value comes from. This module must not write the new checkpoint.

Source: what each slot is called and means, of `tf.compat.v1.train`'s optimizers in tensorflow/python/training, of Keras's in
keras/optimizers.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

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
from estimator_warmstart.checkpoint.data_writing import Change, Move
from estimator_warmstart.checkpoint.object_graph import OBJECT_GRAPH_KEY, VALUE
from estimator_warmstart.errors import WarmStartError, did_you_mean, first_few
from estimator_warmstart.optimizers import CENTERED_RMSPROP, OPTIMIZERS
from estimator_warmstart.slots import SlotFinder

_STEP = "global_step"
# Keras's optimizer -> what TensorFlow 1 named its slots after, and for each of Keras's slots what follows that name.
_SLOTS: Dict[str, Tuple[str, Dict[str, str]]] = {
    known.name: (known.tf1_family, known.tf1_ends()) for known in OPTIMIZERS if known.tf1_family and known != CENTERED_RMSPROP
}


class _Slot(NamedTuple):
    """An optimizer's variable in the object graph: its node, its kind, and the variable's name that it is for."""

    node: int
    kind: str
    primary: str


def keras_moves(old: Checkpoint, model: Any, optimizer: Optional[Any], folder: str) -> Tuple[Any, List[Move]]:
    """What `tf.train.Checkpoint(model=model, optimizer=optimizer)` holds, with the old values.

    Args:
      old: the old model, name-based.
      model: a built Keras model or a `tf.Module`; its variables are the old ones of the same names.
      optimizer: a Keras optimizer, whose slots are made if they are not there yet; `None`: an optimizer that the model was
        compiled with keeps its values.
      folder: where a checkpoint of the model as it is may be written.

    Returns:
      The `TrackableObjectGraph`, and a move for each tensor: from the old checkpoint, or, what no old variable is for, such
      as an optimizer's learning rate, from that of the model as it is.

    Raises:
      WarmStartError: listing all that the old checkpoint has not, or has in another shape or dtype.
    """
    _check(model, optimizer)
    if optimizer is not None:
        build_optimizer(optimizer, list(model.trainable_variables))
    prefix = _write_as_it_is(model, optimizer, os.path.join(folder, "as-it-is"))
    reader = tf1.train.NewCheckpointReader(prefix)
    graph = object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(OBJECT_GRAPH_KEY))
    root = {child.local_name: child.node_id for child in graph.nodes[0].children}
    wanted, problems = _model_variables(graph, root, model, old)
    if optimizer is not None:
        state = _OptimizerState(graph, root["optimizer"], optimizer, old)
        wanted.update(state.sources())
        problems += state.problems
    taken = {_key_of(graph.nodes[node]): source for node, source in wanted.items()}
    problems += _misfits(taken, reader)
    if problems:
        raise WarmStartError(f"{old.prefix} does not fit the model", problems)
    _let_the_model_be_the_root(graph, root["model"])
    unused = sorted(set(old.variables) - {source.old.name for source in taken.values()})
    if unused:
        logger.info("Neither the model nor the optimizer has what %s has: %s", old.prefix, first_few(unused))
    keys = [key for key in reader.get_variable_to_shape_map() if key != OBJECT_GRAPH_KEY]
    return graph, [
        Move(old.prefix, taken[key].old.key, key, taken[key].change) if key in taken else Move(prefix, key, key) for key in keys
    ]


class _Source(NamedTuple):
    """Where a value comes from: the old variable, and what is done to its values."""

    old: OldVariable
    change: Optional[Change] = None


def _check(model: Any, optimizer: Optional[Any]) -> None:
    if not isinstance(model, tf.Module):
        hint = "; Keras 3 loads no checkpoint: use recover_into" if isinstance(model, tf.keras.Model) else ""
        raise WarmStartError(f"model must be a Keras model or a tf.Module, got {model!r}{hint}")
    try:
        names = [_name(variable) for variable in model.variables]
    except ValueError as error:  # Keras: its weights are made when it is first called.
        raise WarmStartError(f"model has no variables yet; build it first, or call it once: {error}") from error
    if not names:
        raise WarmStartError("model has no variables yet; build it first, or call it once")
    shared = sorted({name for name in names if names.count(name) > 1})
    if shared:
        raise WarmStartError(f"several variables of the model have the same name, {first_few(shared)}; give each its own")
    compiled = getattr(model, "optimizer", None)
    if optimizer is not None and compiled is not None and compiled is not optimizer:
        raise WarmStartError("the model was compiled with another optimizer than `optimizer`; give model.optimizer")
    if optimizer is not None and _kind(optimizer) is None:
        raise WarmStartError(
            f"optimizer must be one of tf.keras.optimizers' {', '.join(sorted(_SLOTS))}, got {optimizer!r}; without it the "
            "model's variables are converted alone"
        )


def _write_as_it_is(model: Any, optimizer: Optional[Any], prefix: str) -> str:
    if optimizer is None:
        optimizer = getattr(model, "optimizer", None)
    objects = {"model": model} if optimizer is None else {"model": model, "optimizer": optimizer}
    if not tf.executing_eagerly():
        initialize_keras_variables()
    try:
        return str(tf.train.Checkpoint(**objects).write(prefix))
    except tf.errors.FailedPreconditionError as error:
        raise WarmStartError(
            "the model's variables have no values yet; initialize them, and convert `with session.as_default():`"
        ) from error


def _model_variables(graph: Any, root: Mapping[str, int], model: Any, old: Checkpoint) -> Tuple[Dict[int, _Source], List[str]]:
    """{node: source} of the model's own variables, and what is wrong with them."""
    names = {_name(variable) for variable in model.variables}
    of_optimizer = _below(graph, root["optimizer"]) if "optimizer" in root else {}
    nodes = {
        _full_name(node): number
        for number, node in enumerate(graph.nodes)
        if _full_name(node) in names and number not in of_optimizer
    }
    missing = sorted(names - set(old.variables))
    problems = [f"{old.prefix} has no {name!r}{did_you_mean(name, old.variables)}" for name in missing]
    problems += [f"{name!r} is in no attribute of the model that it tracks" for name in sorted(names - set(nodes))]
    return {node: _Source(old.variables[name]) for name, node in nodes.items() if name in old.variables}, problems


class _OptimizerState:
    """An optimizer's slots and step, and the old variables for them."""

    def __init__(self, graph: Any, node: int, optimizer: Any, old: Checkpoint):
        self._graph, self._node, self._optimizer, self._old = graph, node, optimizer, old
        self._finder = SlotFinder(old.slots_by_name)
        config = optimizer.get_config()
        kind = _kind(optimizer) or ""
        family, self._ends = _SLOTS[kind]
        self._is_centered = bool(config.get("centered"))
        if self._is_centered:
            self._ends = CENTERED_RMSPROP.tf1_ends()
        # Without momentum, Keras's SGD may have a slot all the same, and never uses it.
        self._uses_slots = kind != "SGD" or bool(config["momentum"])
        self._kind, self._families = kind, (family, config["name"])
        self.problems: List[str] = []

    def sources(self) -> Dict[int, _Source]:
        """{node: source} of the step and each slot; `problems` has those that the old checkpoint has not."""
        step = self._old.variables.get(_STEP)
        if step is None:
            self.problems.append(f"{self._old.prefix} has no {_STEP!r}, which the optimizer's step is taken from")
            return {}
        found = {self._step_node(): _Source(step, _to_int64)}
        change = self._change_of_slots(step)
        for slot in self._slots() if self._uses_slots else ():
            source = self._find(slot)
            if source is not None:
                found[slot.node] = _Source(source, change)
        return found

    def _step_node(self) -> int:
        children = {child.local_name: child.node_id for child in self._graph.nodes[self._node].children}
        return children["_iterations"] if "_iterations" in children else children["iter"]

    def _slots(self) -> Iterator[_Slot]:
        nodes = self._graph.nodes
        for slot in nodes[self._node].slot_variables:
            yield _Slot(slot.slot_variable_node_id, slot.slot_name, _full_name(nodes[slot.original_variable_node_id]))
        # Keras's optimizers since 2.11 have them in a list, named KIND/VARIABLE; the first is the step.
        for child in nodes[self._node].children:
            if child.local_name == "_variables":
                for variable in nodes[child.node_id].children:
                    kind, _, primary = _full_name(nodes[variable.node_id]).partition("/")
                    if variable.node_id != self._step_node():
                        yield _Slot(variable.node_id, kind, primary)

    def _find(self, slot: _Slot) -> Optional[OldVariable]:
        if slot.kind not in self._ends:
            self.problems.append(f"{self._kind}'s {slot.kind!r} of {slot.primary!r} has no counterpart in TensorFlow 1")
            return None
        for family in self._families:
            if not self._is_centered and self._kind == "RMSprop" and self._finder.find(slot.primary, family + "_2", ""):
                self.problems.append(f"the old RMSProp of {slot.primary!r} was centered; make the optimizer with centered=True")
                return None
            name = self._finder.find(slot.primary, family + self._ends[slot.kind], "")
            if name is not None:
                return self._old.variables[name]
        there = sorted(name for name, slot_of in self._old.slots_by_name.items() if slot_of.primary == slot.primary)
        self.problems.append(
            f"{self._old.prefix} has no slot {slot.primary}/{self._families[0]}{self._ends[slot.kind]} for {self._kind}'s "
            f"{slot.kind!r}; of {slot.primary!r} it has {first_few(there)} (an optimizer's name= is looked for too)"
        )
        return None

    def _change_of_slots(self, step: OldVariable) -> Optional[Change]:
        """Keras's SGD sums steps, -learning_rate * gradient; TensorFlow 1's Momentum sums gradients alone."""
        if self._kind != "SGD":
            return None
        steps = int(tf1.train.NewCheckpointReader(self._old.prefix).get_tensor(step.key))
        factor = -learning_rate_at(self._optimizer, steps)
        return lambda values: (values.astype(np.float64) * factor).astype(values.dtype)


def _misfits(taken: Mapping[str, _Source], reader: Any) -> List[str]:
    """What is wrong with the shapes and the dtypes of what is `taken`, by key."""
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    problems = []
    for key, source in sorted(taken.items()):
        shape, dtype = tuple(shapes[key]), tf.as_dtype(dtypes[key]).name
        if (shape, dtype) != (source.old.shape, source.old.dtype) and source.change is not _to_int64:
            problems.append(
                f"the old {source.old.name!r} is {source.old.dtype} {list(source.old.shape)}, the new one {dtype} {list(shape)}"
            )
    return problems


def _let_the_model_be_the_root(graph: Any, model: int) -> None:
    """Makes the root hold what the model holds too, so that `model.load_weights`, whose root is the model, finds it."""
    names = {child.local_name for child in graph.nodes[0].children}
    for child in list(graph.nodes[model].children):
        if child.local_name not in names:
            graph.nodes[0].children.add(node_id=child.node_id, local_name=child.local_name)


def _below(graph: Any, start: int) -> Dict[int, None]:
    """The nodes that are reached from `start`, itself too, and the slots of the optimizers among them."""
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


def _kind(optimizer: Any) -> Optional[str]:
    """The key of `_SLOTS` for the optimizer."""
    if not hasattr(optimizer, "get_config"):
        return None
    return next((base.__name__ for base in type(optimizer).__mro__ if base.__name__ in _SLOTS), None)


def _name(variable: Any) -> str:
    return str(variable.name.partition(":")[0])


def _full_name(node: Any) -> str:
    return next((str(attribute.full_name) for attribute in node.attributes if attribute.name == VALUE), "")


def _key_of(node: Any) -> str:
    return next(str(attribute.checkpoint_key) for attribute in node.attributes if attribute.name == VALUE)
