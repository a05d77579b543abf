"""Which variables feed a value, and which operations use a variable: a walk through a graph, by its operations.

A call of a function is looked into: a value that it returns is fed by those of its inputs alone that lead there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Sequence, Set, Tuple

from estimator_warmstart._tf import initializer_op
from estimator_warmstart.graph.variables import NewVariable

if TYPE_CHECKING:
    import tensorflow as tf

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
# What returns a variable as it is.
_READS = ("Enter", "Identity", "ReadVariableOp", "RefEnter", "RefIdentity", "RefSwitch", "Switch")


class Feeding:
    """The variables and operations of one graph that is complete.

    Args:
      graph: the graph.
      variables: its logical variables by name.
    """

    def __init__(self, graph: tf.Graph, variables: Mapping[str, NewVariable]):
        self._graph = graph
        self._operations = {operation: place for place, operation in enumerate(graph.get_operations())}
        has_calls = any(operation.type in _CALLS for operation in self._operations)
        functions = graph.as_graph_def().library.function if has_calls else ()
        self._functions: Dict[str, Any] = {function.signature.name: function for function in functions}
        self._leads_to: Dict[Tuple[str, int], Set[int]] = {}
        self._storages = {
            initializer_op(copy).inputs[0].op: name
            for name, new in variables.items()
            for part in new.parts
            for copy in part.copies
        }
        self._storages_of: Dict[str, List[tf.Operation]] = {}
        for operation, name in self._storages.items():
            self._storages_of.setdefault(name, []).append(operation)

    def place(self, operation: tf.Operation) -> int:
        """Returns the place of `operation` in the order in which the graph was made: after all that feeds it."""
        return self._operations[operation]

    def operations_before(self, tensors: Iterable[tf.Tensor]) -> Set[tf.Operation]:
        """Returns the operations whose values reach `tensors`, those that make them included."""
        waiting, seen = list(tensors), set()
        found: Set[tf.Operation] = set()
        while waiting:
            tensor = waiting.pop()
            key = (tensor.op, tensor.value_index)
            if key in seen:
                continue
            seen.add(key)
            found.add(tensor.op)
            waiting += self._inputs_of(*key)
        return found

    def variables_before(self, tensors: Iterable[tf.Tensor]) -> List[str]:
        """Returns the names of the variables that feed `tensors`, in the order of the graph."""
        storages = [operation for operation in self.operations_before(tensors) if operation in self._storages]
        return list(dict.fromkeys(self._storages[operation] for operation in sorted(storages, key=self.place)))

    def uses(self, name: str, among: Set[tf.Operation]) -> List[tf.Operation]:
        """Returns the operations among these that compute something with a variable, in the order of the graph."""
        is_in_parts = len(self._storages_of.get(name, ())) > 1
        waiting = [tensor for operation in self._storages_of.get(name, ()) for tensor in operation.outputs]
        found: Set[tf.Operation] = set()
        seen: Set[tf.Operation] = set()
        while waiting:
            for use in waiting.pop().consumers():
                if use in seen or use not in among:
                    continue
                seen.add(use)
                if use.type in _READS or (is_in_parts and use.type == "ConcatV2"):
                    waiting += use.outputs
                else:
                    found.add(use)
        return sorted(found, key=self.place)

    def other_inputs(self, use: tf.Operation) -> List[tf.Tensor]:
        """Returns the inputs of an operation that are not variables as they are."""
        return [tensor for tensor in use.inputs if not self._is_variable(tensor)]

    def _is_variable(self, tensor: tf.Tensor) -> bool:
        operation = tensor.op
        while operation.type in _READS or (operation.type == "ConcatV2" and operation not in self._storages):
            if not operation.inputs:
                break
            operation = operation.inputs[0].op
        return operation in self._storages

    def _inputs_of(self, operation: tf.Operation, output: int) -> List[tf.Tensor]:
        """Returns the inputs of `operation` that one of its outputs is made of."""
        if operation in self._storages:
            return []
        if operation.type in _CALLS:
            name = operation.get_attr("f").name
            if name in self._functions:
                return [operation.inputs[position] for position in sorted(self._arguments_of(name, output))]
        return list(operation.inputs)

    def _arguments_of(self, name: str, output: int) -> Set[int]:
        """Returns the positions of a function's arguments that one of its results is made of."""
        key = (name, output)
        if key not in self._leads_to:
            self._leads_to[key] = set()  # A function that calls itself.
            self._leads_to[key] = self._walk_body(self._functions[name], output)
        return self._leads_to[key]

    def _walk_body(self, function: Any, output: int) -> Set[int]:
        arguments = {argument.name: place for place, argument in enumerate(function.signature.input_arg)}
        nodes = {node.name: node for node in function.node_def}
        waiting = [function.ret[function.signature.output_arg[output].name]]
        found: Set[int] = set()
        seen: Set[str] = set()
        while waiting:
            text = waiting.pop()
            if text in seen or text.startswith("^"):
                continue
            seen.add(text)
            source, _, place = text.partition(":")
            if source in arguments:
                found.add(arguments[source])
            elif source in nodes:
                waiting += self._inputs_in_body(nodes[source], place)
        return found

    def _inputs_in_body(self, node: Any, place: str) -> Sequence[str]:
        inputs = [each for each in node.input if not each.startswith("^")]
        if node.op in _CALLS and node.attr["f"].func.name in self._functions:
            used = self._arguments_of(node.attr["f"].func.name, int(place.rpartition(":")[2] or 0))
            return [inputs[position] for position in sorted(used)]
        return inputs
