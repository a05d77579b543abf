"""The object graph of an object-based checkpoint: which variable is at which path, and which slot is whose. Pure.

Enters: the serialized `TrackableObjectGraph` that `tf.train.Checkpoint` stores beside its tensors. Leaves: an `ObjectGraph`.
This module must not know of files.

Source: tensorflow/core/protobuf/trackable_object_graph.proto. A slash within one name of a path is escaped in the keys of
tensors (tensorflow/python/checkpoint/trackable_view.py), and is a slash again here.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import object_graph_pb2
from estimator_warmstart.slots import LONGEST_NAME, MOST_PARTS, SlotOf
from estimator_warmstart.tensors import Shape

# After _tf, which says what to install where there is no TensorFlow; protobuf comes with it.
from google.protobuf.message import DecodeError  # isort: skip

_ESCAPED = re.compile(r"\.([.S])")
# The tensor that holds the graph itself, and what a variable's value is called in it.
OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "VARIABLE_VALUE"
_VALUE = f"/.ATTRIBUTES/{VALUE}"
# How many checkpoints tf.train.Checkpoint.save has written: its own bookkeeping, not the model's.
SAVE_COUNTER = "save_counter"


class ObjectVariable(NamedTuple):
    """One variable of an object graph.

    Attributes:
      path: of the object that holds it, such as `model/layer-0/kernel`; the one of its tensor, if several lead to it.
      full_name: the variable's own name; empty where the checkpoint has none.
      key: of its tensor.
    """

    path: str
    full_name: str
    key: str


class ObjectGraph:
    """What one `TrackableObjectGraph` says.

    Args:
      serialized: the proto's bytes.

    Raises:
      ValueError: if they are none, or name a node that is not there.
    """

    def __init__(self, serialized: bytes):
        proto = _parsed(serialized)
        self._children = [{child.local_name: child.node_id for child in node.children} for node in proto.nodes]
        counter = self._children[0].get(SAVE_COUNTER) if self._children else None
        self._slots = {
            slot.slot_variable_node_id: (slot.original_variable_node_id, slot.slot_name)
            for node in proto.nodes
            for slot in node.slot_variables
        }
        self.variables: Dict[int, ObjectVariable] = {
            number: ObjectVariable(_path(attribute.checkpoint_key), attribute.full_name, attribute.checkpoint_key)
            for number, node in enumerate(proto.nodes)
            if number != counter
            for attribute in node.attributes
            if attribute.checkpoint_key.endswith(_VALUE)
        }

    def find(self, path: str) -> Optional[int]:
        """The node of the variable at `path`, whichever of its paths that is; `None` if none is there."""
        for number, variable in self.variables.items():
            if variable.path == path:
                return number
        return next((node for node in self._walk(path.strip("/")) if node in self.variables), None)

    def slots_by_name(self, names: Mapping[int, str], shapes: Mapping[str, Shape]) -> Dict[str, SlotOf]:
        """{slot's name: SlotOf} of the slots that the graph itself knows.

        Args:
          names: {node of a variable: the name that it goes by}.
          shapes: {that name: shape}.
        """
        tied = {
            names[slot]: self._tie(slot, primary, leaf, names)
            for slot, (primary, leaf) in self._slots.items()
            if slot in names and primary in names
        }
        # Keras optimizers since 2.11 hold their variables in a list and name them OPTIMIZER/SLOT/VARIABLE.
        owners = {variable.full_name: names[number] for number, variable in self.variables.items() if number in names}
        for number in self._in_lists_of_optimizers():
            full_name = self.variables[number].full_name
            name = names.get(number, "")
            for primary in _ends_of(full_name):
                prefix, _, leaf = full_name[: -len(primary) - 1].rpartition("/")
                if primary in owners and shapes[owners[primary]] == shapes.get(name):
                    tied[name] = SlotOf(prefix + "/" if prefix else "", owners[primary], leaf)
                    break
        return tied

    def _tie(self, slot: int, primary: int, leaf: str, names: Mapping[int, str]) -> SlotOf:
        """The optimizer's own name for the slot where the full name tells (`w/Adam_1`), else the object graph's (`v`)."""
        owner = self.variables[primary].full_name
        before, found, after = self.variables[slot].full_name.rpartition(f"{owner}/")
        if owner and found and (not before or before.endswith("/")):
            return SlotOf(before, names[primary], after)
        return SlotOf("", names[primary], leaf)

    def _in_lists_of_optimizers(self) -> Iterator[int]:
        for children in self._children:
            if "_variables" in children and ("_iterations" in children or "_learning_rate" in children):
                yield from (node for node in self._children[children["_variables"]].values() if node in self.variables)

    def _walk(self, path: str) -> Iterator[int]:
        """The nodes at `path` below the root; names may have slashes themselves."""
        waiting, seen = [(0, path)], set()
        while waiting:
            node, rest = waiting.pop()
            if (node, len(rest)) in seen or not self._children:
                continue
            seen.add((node, len(rest)))
            if not rest:
                yield node
                continue
            waiting += [
                (child, rest[len(name) + 1 :])
                for name, child in reversed(list(self._children[node].items()))
                if rest == name or rest.startswith(name + "/")
            ]


def names_of(variables: Mapping[int, ObjectVariable]) -> Tuple[Dict[int, str], Dict[str, List[str]]]:
    """What each variable goes by: its full name, or its path if it has none, shares it, or has another's path for a name.

    Returns:
      {node: name}, and {full name that means several variables: their paths}.
    """
    paths: Dict[str, List[str]] = {}
    for variable in variables.values():
        for name in {variable.full_name, variable.path}:
            paths.setdefault(name, []).append(variable.path)
    shared = {name: sorted(found) for name, found in paths.items() if name and len(found) > 1}
    names = {
        number: variable.full_name if variable.full_name and variable.full_name not in shared else variable.path
        for number, variable in variables.items()
    }
    return names, shared


def _parsed(serialized: bytes) -> Any:
    try:
        proto = object_graph_pb2.TrackableObjectGraph.FromString(serialized)
    except DecodeError as error:
        raise ValueError(f"it is not an object graph: {error}") from error
    for number, node in enumerate(proto.nodes):
        named = [child.node_id for child in node.children]
        named += [each for slot in node.slot_variables for each in (slot.slot_variable_node_id, slot.original_variable_node_id)]
        beyond = [each for each in named if not 0 <= each < len(proto.nodes)]
        if beyond:
            raise ValueError(f"its node {number} leads to node {beyond[0]}, there are {len(proto.nodes)}")
        if any(len(attribute.full_name) > LONGEST_NAME for attribute in node.attributes):
            raise ValueError(f"its node {number} has a name of more than {LONGEST_NAME:,} characters")
    return proto


def _path(key: str) -> str:
    return _ESCAPED.sub(lambda match: "/" if match.group(1) == "S" else ".", key[: -len(_VALUE)])


def _ends_of(name: str) -> Iterator[str]:
    """`b/c` and `c` of `a/b/c`, the longest first."""
    while "/" in name and name.count("/") < MOST_PARTS:
        name = name.partition("/")[2]
        yield name
