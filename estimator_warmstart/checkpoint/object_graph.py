"""The object graph of an object-based checkpoint: which variable is at which path, and which slot belongs to which variable.

Source: tensorflow/core/protobuf/trackable_object_graph.proto, which `tf.train.Checkpoint` stores as one string. The keys of
tensors escape a slash within one name of a path (tensorflow/python/checkpoint/trackable_view.py); paths here do not.
"""

from __future__ import annotations

import re
from typing import Collection, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import object_graph_pb2
from estimator_warmstart.slots import LONGEST_NAME, MOST_PARTS, SlotOf
from estimator_warmstart.tensors import Shape

# After _tf, which says what to install where there is no TensorFlow; protobuf comes with it.
from google.protobuf.message import DecodeError  # isort: skip

# The tensor that holds the graph itself.
OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
# What the graph calls a variable's value.
VALUE_ATTRIBUTE = "VARIABLE_VALUE"
# What stands between the path of an object and the name of its attribute.
ATTRIBUTES_MARK = "/.ATTRIBUTES/"
# How many checkpoints tf.train.Checkpoint.save has written: its own bookkeeping, not the model's.
SAVE_COUNTER = "save_counter"
_VALUE_SUFFIX = ATTRIBUTES_MARK + VALUE_ATTRIBUTE
_ESCAPED = re.compile(r"\.([.S])")


class ObjectVariable(NamedTuple):
    """One variable of an object graph.

    Attributes:
      path: of the object that holds it, such as `model/layer-0/kernel`; if there are several, the one in its tensor's key.
      full_name: the variable's own name; empty if the checkpoint does not have it.
      key: of its tensor.
    """

    path: str
    full_name: str
    key: str


class ObjectGraph:
    """The variables and slots of one `TrackableObjectGraph`.

    Args:
      serialized: the bytes of the proto.

    Attributes:
      variables: {node: variable}.

    Raises:
      ValueError: if they are not an object graph, or name a node that is not there.
    """

    def __init__(self, serialized: bytes):
        proto = _parse_graph(serialized)
        self._children = [{child.local_name: child.node_id for child in node.children} for node in proto.nodes]
        counter = self._children[0].get(SAVE_COUNTER) if self._children else None
        self._slots = {
            slot.slot_variable_node_id: (slot.original_variable_node_id, slot.slot_name)
            for node in proto.nodes
            for slot in node.slot_variables
        }
        self.variables: Dict[int, ObjectVariable] = {
            number: ObjectVariable(_path_of_key(attribute.checkpoint_key), attribute.full_name, attribute.checkpoint_key)
            for number, node in enumerate(proto.nodes)
            if number != counter
            for attribute in node.attributes
            if attribute.checkpoint_key.endswith(_VALUE_SUFFIX)
        }

    def find(self, path: str) -> Optional[int]:
        """Returns the node of the variable that has `path` among its paths; `None` if there is none."""
        for number, variable in self.variables.items():
            if variable.path == path:
                return number
        return next((node for node in self._walk(path.strip("/")) if node in self.variables), None)

    def slots_by_name(self, names: Mapping[int, str], shapes: Mapping[str, Shape]) -> Dict[str, SlotOf]:
        """Returns {name of a slot: whose slot it is} of the slots in the graph.

        Args:
          names: {node of a variable: its name, as of `names_of_variables`}.
          shapes: {that name: shape}.
        """
        found = {
            names[slot]: self._slot_of(slot, primary, slot_name, names)
            for slot, (primary, slot_name) in self._slots.items()
            if slot in names and primary in names
        }
        # Keras optimizers since 2.11 hold their variables in a list and name them OPTIMIZER/SLOT/VARIABLE.
        owners = {variable.full_name: names[number] for number, variable in self.variables.items() if number in names}
        for number in self._in_lists_of_optimizers():
            full_name = self.variables[number].full_name
            name = names.get(number, "")
            for primary in _shorter_names(full_name):
                prefix, _, slot_name = full_name[: -len(primary) - 1].rpartition("/")
                if primary in owners and shapes[owners[primary]] == shapes.get(name):
                    found[name] = SlotOf(prefix + "/" if prefix else "", owners[primary], slot_name)
                    break
        return found

    def _slot_of(self, slot: int, primary: int, slot_name: str, names: Mapping[int, str]) -> SlotOf:
        """Takes the slot's name from its full name if that has it (`w/Adam_1`), otherwise from the object graph (`v`)."""
        owner = self.variables[primary].full_name
        before, found, after = self.variables[slot].full_name.rpartition(f"{owner}/")
        if owner and found and (not before or before.endswith("/")):
            return SlotOf(before, names[primary], after)
        return SlotOf("", names[primary], slot_name)

    def _in_lists_of_optimizers(self) -> Iterator[int]:
        for children in self._children:
            if "_variables" in children and ("_iterations" in children or "_learning_rate" in children):
                yield from (node for node in self._children[children["_variables"]].values() if node in self.variables)

    def _walk(self, path: str) -> Iterator[int]:
        """Yields the nodes at `path` below the root; one name of a path may have slashes itself."""
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


def names_of_variables(variables: Mapping[int, ObjectVariable]) -> Tuple[Dict[int, str], Dict[str, List[str]]]:
    """Gives each variable its full name, or its path if it has no full name or that is another's full name or path too.

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


def value_key(path: Iterable[str]) -> str:
    """Returns the key of the tensor of the variable at a path, which is given as its names."""
    return "/".join(name.replace(".", "..").replace("/", ".S") for name in path) + _VALUE_SUFFIX


def graph_of_dict(names: Iterable[str]) -> Tuple[object_graph_pb2.TrackableObjectGraph, Dict[str, str]]:
    """Returns the object graph of `checkpoint.vars = {name: variable}`, and {name: key of its tensor}."""
    graph = object_graph_pb2.TrackableObjectGraph()
    graph.nodes.add().children.add(node_id=1, local_name="vars")
    graph.nodes.add()
    return graph, {name: add_variable(graph, 1, name, ("vars", name)) for name in names}


def add_variable(graph: object_graph_pb2.TrackableObjectGraph, holder: int, name: str, path: Tuple[str, ...]) -> str:
    """Adds a variable at `path` to the children of the node `holder`; returns the key of its tensor."""
    graph.nodes[holder].children.add(node_id=len(graph.nodes), local_name=name)
    key = value_key(path)
    graph.nodes.add().attributes.add(name=VALUE_ATTRIBUTE, full_name=name, checkpoint_key=key)
    return key


def without_keys(graph: object_graph_pb2.TrackableObjectGraph, keys: Collection[str]) -> object_graph_pb2.TrackableObjectGraph:
    """Returns the graph without the values under some keys, which a reader would look for, and without their variables."""
    left_out = {
        number
        for number, node in enumerate(graph.nodes)
        if node.attributes and not node.children and all(each.checkpoint_key in keys for each in node.attributes)
    }
    kept = [number for number in range(len(graph.nodes)) if number not in left_out]
    places = {number: place for place, number in enumerate(kept)}
    found = object_graph_pb2.TrackableObjectGraph()
    for number in kept:
        node, new = graph.nodes[number], found.nodes.add()
        new.CopyFrom(node)
        for field in (new.attributes, new.children, new.slot_variables):
            del field[:]
        new.attributes.extend(each for each in node.attributes if each.checkpoint_key not in keys)
        for child in node.children:
            if child.node_id in places:
                new.children.add(node_id=places[child.node_id], local_name=child.local_name)
        for slot in node.slot_variables:
            if slot.slot_variable_node_id in places and slot.original_variable_node_id in places:
                new.slot_variables.add(
                    original_variable_node_id=places[slot.original_variable_node_id],
                    slot_name=slot.slot_name,
                    slot_variable_node_id=places[slot.slot_variable_node_id],
                )
    return found


def _parse_graph(serialized: bytes) -> object_graph_pb2.TrackableObjectGraph:
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


def _path_of_key(key: str) -> str:
    return _ESCAPED.sub(lambda match: "/" if match.group(1) == "S" else ".", key[: -len(_VALUE_SUFFIX)])


def _shorter_names(name: str) -> Iterator[str]:
    """Yields `b/c` and `c` for `a/b/c`."""
    while "/" in name and name.count("/") < MOST_PARTS:
        name = name.partition("/")[2]
        yield name
