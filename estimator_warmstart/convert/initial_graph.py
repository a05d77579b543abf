"""The initial values of a graph's variables, made in a graph of their own: the user's graph is left as it is.

Only the operations that initial values are made of are copied, with their seeds, so a value is the one that the variable's own
initializer would have drawn in a new session.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set

import numpy as np

from estimator_warmstart._tf import initializer_op, tf, tf1
from estimator_warmstart.convert.cpu_session import session_on_cpu
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.restore.initializers import first_value


class _Initial(NamedTuple):
    """How a variable begins.

    Attributes:
      value: the tensor that its initializer assigns.
      storage: the handle or the reference that it is assigned to.
      needs: the names of the variables that the value is made of.
    """

    value: tf.Tensor
    storage: tf.Tensor
    needs: Sequence[str]


class InitialGraph:
    """A graph with the initial values of some variables, and a session of it.

    Args:
      graph: the new model's.
      variables: physical variables of it, whose values may depend on each other.

    Raises:
      WarmStartError: if what the initial values are made of cannot be copied.
    """

    def __init__(self, graph: tf.Graph, variables: Iterable[tf.Variable]):
        self._of = _initials(graph, list(variables))
        self.graph = _copied(graph, self._of.values())
        self._session = session_on_cpu(self.graph)
        self._assigned: Set[str] = set()

    def __enter__(self) -> InitialGraph:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def needs(self, variable: tf.Variable) -> Sequence[str]:
        """Returns the names of the variables that the initial value of `variable` is made of."""
        return self._of[variable.name].needs

    def initial_of(self, variable: tf.Variable) -> tf.Tensor:
        """Returns the tensor of the initial value, in `graph`."""
        value = self._of[variable.name].value
        copied = self.graph.get_tensor_by_name(value.name)
        copied.set_shape(value.shape)
        return copied

    def assign(self, name: str, value: np.ndarray) -> None:
        """Gives a variable that others are made of its first value."""
        if name in self._assigned:
            return
        self._assigned.add(name)
        target = self.graph.get_tensor_by_name(self._of[name].storage.name)
        with self.graph.as_default():
            given = tf1.placeholder(value.dtype, value.shape)
            if target.dtype == tf.resource:
                assigned = tf.raw_ops.AssignVariableOp(resource=target, value=given)
            else:
                assigned = tf.raw_ops.Assign(ref=target, value=given).op
        self.run(assigned, {given: value})

    def run(self, fetches: Any, feed: Optional[Dict[tf.Tensor, np.ndarray]] = None, what: str = "a first value") -> Any:
        """Runs the session; `what` is what it makes, for messages.

        Raises:
          WarmStartError: if it cannot be made.
        """
        try:
            return self._session.run(fetches, feed)
        except tf.errors.OpError as error:
            raise WarmStartError(f"{what} cannot be made without a session of the model: {error.message}") from error


def _initials(graph: tf.Graph, variables: Sequence[tf.Variable]) -> Dict[str, _Initial]:
    storages = {variable.name: initializer_op(variable).inputs[0] for variable in variables}
    owners = {storage.op: name for name, storage in storages.items()}
    found: Dict[str, _Initial] = {}
    for variable in variables:
        value = first_value(variable, graph)
        needs = [owners[op] for op in _ancestors([value.op]) if op in owners]
        found[variable.name] = _Initial(value, storages[variable.name], needs)
    return found


def _ancestors(operations: Iterable[tf.Operation]) -> List[tf.Operation]:
    """Returns `operations` and all that they are made of."""
    found = list(dict.fromkeys(operations))
    known = set(found)
    for operation in found:  # Grows.
        for other in [*operation.control_inputs, *(tensor.op for tensor in operation.inputs)]:
            if other not in known:
                known.add(other)
                found.append(other)
    return found


def _copied(graph: tf.Graph, initials: Iterable[_Initial]) -> tf.Graph:
    needed = _ancestors([tensor.op for initial in initials for tensor in (initial.value, initial.storage)])
    definition = tf1.GraphDef()
    whole = graph.as_graph_def()
    definition.library.CopyFrom(whole.library)
    definition.versions.CopyFrom(whole.versions)
    names = {operation.name for operation in needed}
    for node in whole.node:
        if node.name in names:
            copied = definition.node.add()
            copied.CopyFrom(node)
            copied.device = ""  # There are no parameter servers here.
            copied.attr.pop("_class", None)  # Next to which operation: one that may not be here.
    with tf.Graph().as_default() as new:
        new.seed = graph.seed
        tf1.import_graph_def(definition, name="")
    return new
