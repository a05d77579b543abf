"""What is private of TensorFlow's and Keras's objects: what checkpoints see of them, and which variable is whose slot.

With `_tf.py` and `_tf_estimator.py` the only modules that touch private names.
"""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

from estimator_warmstart._tf import copies_of, is_variable

__all__ = [
    "KerasSlot",
    "is_built",
    "is_eager",
    "is_trackable",
    "knows_some",
    "object_paths",
    "saveables_of",
    "set_step",
    "slots_of",
    "tensorflow_variable",
    "u_product_of",
]

# Lists of an optimizer that are not the slots of one kind.
_NOT_SLOTS = ("_trainable_variables", "_variables", "_weights")


class KerasSlot(NamedTuple):
    """One slot variable of a Keras optimizer.

    Attributes:
      slot_name: what the optimizer calls slots of this kind.
      position: of the model's variable among those that were given.
      variable: a `tf.Variable`, or Keras 3's.
    """

    slot_name: str
    position: int
    variable: Any


def tensorflow_variable(item: Any) -> Optional[Any]:
    """The `tf.Variable` that `item` is, or that a Keras 3 variable keeps its value in; `None` for what has none."""
    if is_variable(item):
        return item
    value = getattr(item, "value", None)
    return value if is_variable(value) else None


def _object_graph_view(trackable: Any) -> Any:
    """TensorFlow's view of the objects that an object-based checkpoint of `trackable` holds."""
    try:
        from tensorflow.python.checkpoint.graph_view import ObjectGraphView
    except ImportError:  # Before 2.9.
        from tensorflow.python.training.tracking.graph_view import ObjectGraphView
    return ObjectGraphView(trackable)


def saveables_of(trackable: Any) -> List[Any]:
    """What an object-based checkpoint of `trackable` consists of, for a `tf.compat.v1.train.Saver`."""
    return _object_graph_view(trackable).frozen_saveable_objects()


def is_trackable(value: Any) -> bool:
    """Whether `value` is an object that an object-based checkpoint can hold."""
    return hasattr(value, "_gather_saveables_for_checkpoint")


def is_eager(variable: Any) -> bool:
    """Whether `variable` has its value here and now, not in the sessions of a graph."""
    return not hasattr(copies_of(variable)[0], "graph")


def object_paths(trackable: Any) -> Dict[int, str]:
    """{id of an object: the shortest path to it from `trackable`}, as an object-based checkpoint would have it."""
    view = _object_graph_view(trackable)
    children = getattr(view, "list_children", None) or view.list_dependencies
    paths = {id(trackable): ""}
    waiting = [trackable]
    for current in waiting:  # Grows.
        for child in children(current):
            if id(child.ref) not in paths:
                in_front = paths[id(current)]
                paths[id(child.ref)] = f"{in_front}/{child.name}" if in_front else child.name
                waiting.append(child.ref)
    return paths


def is_built(optimizer: Any) -> bool:
    """Whether the optimizer has made its slots."""
    if hasattr(optimizer, "_slots"):  # Keras until 2.10.
        return bool(optimizer._slots)
    return bool(getattr(optimizer, "built", False) or getattr(optimizer, "_built", False))


def knows_some(optimizer: Any, variables: Sequence[Any]) -> bool:
    """Whether the optimizer, which is built, was built for any of `variables`."""
    if hasattr(optimizer, "_slots"):
        return any(True for _ in _legacy_slots(optimizer, variables))
    return any(place is not None for place in _places(optimizer, variables))


def slots_of(optimizer: Any, variables: Sequence[Any]) -> List[KerasSlot]:
    """The slots of `variables`, in the order of the optimizer's lists."""
    return list((_legacy_slots if hasattr(optimizer, "_slots") else _slots_in_lists)(optimizer, variables))


def u_product_of(optimizer: Any) -> Optional[Any]:
    """The product of its momenta that Nadam keeps; `None` of other optimizers."""
    found = getattr(optimizer, "_m_cache", None)  # Keras until 2.10.
    return getattr(optimizer, "_u_product", None) if found is None else found


def _legacy_slots(optimizer: Any, variables: Sequence[Any]) -> Iterator[KerasSlot]:
    for slot_name in optimizer.get_slot_names():
        for position, variable in enumerate(variables):
            with contextlib.suppress(KeyError):  # Built for other variables.
                yield KerasSlot(slot_name, position, optimizer.get_slot(variable, slot_name))


def set_step(optimizer: Any) -> None:
    """Lets an optimizer know of the count that was recovered into it, where it counts in Python too."""
    if hasattr(optimizer, "_u_product_counter"):  # Nadam of Keras 2 since 2.11.
        optimizer._u_product_counter = int(optimizer.iterations) + 1


def _slots_in_lists(optimizer: Any, variables: Sequence[Any]) -> Iterator[KerasSlot]:
    places = _places(optimizer, variables)
    for attribute, items in vars(optimizer).items():
        if attribute in _NOT_SLOTS or attribute.startswith("_self_") or not isinstance(items, (list, tuple)):
            continue
        for position, (variable, place) in enumerate(zip(variables, places)):
            slot = items[place] if place is not None and place < len(items) else None
            if slot is not None and tensorflow_variable(slot) is not None:
                yield KerasSlot(_slot_name(slot, variable, attribute), position, slot)


def _slot_name(slot: Any, variable: Any, attribute: str) -> str:
    """`momentum` of `sequential_hidden_kernel_momentum`, Keras 3's; `m` of `Adam/m/hidden/kernel:0`, Keras's since 2.11."""
    name = slot.name.partition(":")[0]
    in_front = getattr(variable, "path", "").replace("/", "_") + "_"
    if len(in_front) > 1 and name.startswith(in_front):
        return str(name[len(in_front) :])
    behind = "/" + variable.name.partition(":")[0]
    if name.endswith(behind):
        return str(name[: -len(behind)].rpartition("/")[2])
    return attribute.strip("_")


def _places(optimizer: Any, variables: Sequence[Any]) -> List[Optional[int]]:
    """Where each of `variables` is in the optimizer's lists."""
    known = getattr(optimizer, "_trainable_variables", None)
    if known is not None:  # Keras 3.
        places = {id(variable): place for place, variable in enumerate(known)}
        return [places.get(id(variable)) for variable in variables]
    index = getattr(optimizer, "_index_dict", {})  # Keras 2 since 2.11.
    return [index.get(optimizer._var_key(variable)) for variable in variables]
