"""Makes the initializers of planned variables assign old values, and keeps which plan has which variable.

Whatever runs a variable's own initializer then recovers it. No other module changes operations that were in the graph before.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, MutableMapping, Optional, Sequence, Set

from estimator_warmstart._tf import (
    add_control_input,
    copies_of,
    has_seen,
    initializer_op,
    is_initialized,
    logger,
    set_initial_value,
    tf,
    tf1,
    update_input,
)
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.plan.plan import Plan, PlannedVariable

_SCOPE = "estimator_warmstart"
# {graph: {new name: the checkpoint its initializer reads}}. Not a collection of the graph: those are exported.
_CLAIMS: MutableMapping[tf.Graph, Dict[str, str]] = weakref.WeakKeyDictionary()
# The key of a collection of the graph with one dict, {a variable's name: the tensor that its initializer assigned before the
# first `recover_variables`}. It is not exported, since the key is not a string.
_FIRST_VALUES_KEY = (_SCOPE, "first values")
# Types of conditionals, and which input is the condition.
_CONDITION_INPUT = {"If": 0, "StatelessIf": 0, "Switch": 1, "RefSwitch": 1}
_FOR_REPLICAS = (
    "make the hook once, outside of the function that each replica runs, or give that function's spec a recover_scaffold, "
    "which recovers once for all replicas"
)


class Flag:
    """A variable that is initialized in exactly the sessions in which one plan was carried out.

    It is made of raw operations. A `tf.Variable` would be mirrored under a strategy, placed by a device setter, and counted
    among the model's variables.

    Attributes:
      is_set: scalar bool tensor, whether the flag is set in the session.
      set_op: the operation that sets it.
    """

    def __init__(self, graph: tf.Graph, name: str = "recovered"):
        # On a variable's device, so that all workers of a job see the same flag. If a parameter server is lost, so are the flag
        # and variables together.
        variables = graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES)
        # Numbered in the order of the graph's plans. A name made from the plan's content would not do: the chief may have found
        # a newer checkpoint than a worker that comes late, and they must agree on the flag.
        shared_name = graph.unique_name(name, mark_as_used=False)
        with graph.device(device_of(variables[0]) if variables else ""):
            handle = tf.raw_ops.VarHandleOp(dtype=tf.bool, shape=[], container="", shared_name=shared_name, name=name)
            self.is_set = tf.raw_ops.VarIsInitializedOp(resource=handle, name=f"is_{name}")
            self.set_op = tf.raw_ops.AssignVariableOp(resource=handle, value=tf.constant(True), name="mark")


class Initializers:
    """Makes the initializers of a plan's variables assign old values.

    Args:
      plan: the plan.
      graph: its graph.
      session: the session that is recovered at once, as often as it is asked for; `None` for a plan that has its variables to
        itself.

    Raises:
      WarmStartError: if another plan has these variables to itself.
    """

    def __init__(self, plan: Plan, graph: tf.Graph, session: Optional[tf.compat.v1.Session] = None):
        self._session = session
        self._graph = graph
        self._seen: List[tf.Variable] = []
        copies = [copy for planned in plan.recovered for part in planned.new.parts for copy in part.copies]
        # A session ignores changes to an operation that it has seen.
        self._names_seen = set() if session is None else _find_seen_names(session, graph, copies)
        _claim([planned for planned in plan.recovered if not self._is_seen(planned)], graph, is_lasting=session is None)

    def _is_seen(self, planned: PlannedVariable) -> bool:
        return any(copy.name in self._names_seen for part in planned.new.parts for copy in part.copies)

    def replace(self, copy: tf.Variable, value: tf.Tensor, set_recovered: Optional[tf.Operation]) -> None:
        """Makes the initializer of `copy` assign `value`, and run `set_recovered` too, if that is not `None`."""
        if copy.name in self._names_seen:
            self._seen.append(copy)
            return
        if self._session is not None:
            _first_values(self._graph).setdefault(copy.name, initializer_op(copy).inputs[1])
        _replace_in_place(copy, value, set_recovered)

    def finish(self, assign_of: Callable[[tf.Variable], tf.Operation]) -> None:
        """Gives a new initializer to variables whose old one the session has seen, unless they have a value of their own.

        Operations that initialize, made from now on, then recover.

        Args:
          assign_of: returns the operation that assigns the old value of a variable.
        """
        if self._session is None or not self._seen:
            return
        with self._graph.as_default():
            have_values = self._session.run([is_initialized(copy) for copy in self._seen])
        first_values = _first_values(self._graph)
        replaced: Dict[tf.Operation, str] = {}
        for copy, has_value in zip(self._seen, have_values):
            if not has_value or copy.name in first_values:
                first_values.setdefault(copy.name, initializer_op(copy).inputs[1])
                replaced[initializer_op(copy)] = copy.name
                assign = assign_of(copy)
                set_initial_value(copy, assign.inputs[1], assign)
        used = [replaced[op] for user in self._graph.get_operations() for op in user.control_inputs if op in replaced]
        if used:
            logger.warning(
                "%s: recovered, but this session has run before, so an operation made earlier to initialize it does not "
                "recover; make that operation anew, or run it first",
                first_few(sorted(set(used))),
            )


def first_value(copy: tf.Variable, graph: tf.Graph) -> tf.Tensor:
    """Returns the tensor that the variable's own initializer assigns, or assigned before `recover_variables` changed that."""
    return _first_values(graph).get(copy.name, initializer_op(copy).inputs[1])


def _first_values(graph: tf.Graph) -> Dict[str, tf.Tensor]:
    found = graph.get_collection_ref(_FIRST_VALUES_KEY)
    if not found:
        found.append({})
    return found[0]


def watch_initializer(variable: tf.Variable, graph: tf.Graph) -> tf.Tensor:
    """Returns a scalar bool tensor: whether the initializer of `variable` has run in the session."""
    with own_scope(graph):
        flag = Flag(graph, "initialized")
        add_control_input(initializer_op(copies_of(variable)[0]), flag.set_op)
        return flag.is_set


@contextmanager
def own_scope(graph: tf.Graph) -> Iterator[None]:
    """A context that builds into `graph`: no device, control dependency or control flow around the call reaches inside."""
    with graph.as_default(), graph.device(None), graph.control_dependencies(None), tf1.name_scope(_SCOPE + "/"):
        yield


def device_of(variable: tf.Variable) -> str:
    """Returns the device that `variable` asks for; empty for none."""
    return getattr(variable, "device", "") or ""


def _find_seen_names(session: tf.compat.v1.Session, graph: tf.Graph, copies: List[tf.Variable]) -> Set[str]:
    """Returns the names of the variables whose initializers the session has seen: those made before some moment."""
    places = {operation.name: place for place, operation in enumerate(graph.get_operations())}
    storages = {copy.name: initializer_op(copy).inputs[0].op for copy in copies}
    ordered = sorted(storages, key=lambda name: places[storages[name].name])
    if ordered and has_seen(session, storages[ordered[-1]]):
        return set(ordered)
    # Each question takes longer the larger the graph is.
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if has_seen(session, storages[ordered[middle]]):
            low = middle + 1
        else:
            high = middle
    return set(ordered[:low])


def _claim(decided: Sequence[PlannedVariable], graph: tf.Graph, is_lasting: bool) -> None:
    """Claims the initializers of these variables; raises if another plan has one of them to itself."""
    claims = _CLAIMS.setdefault(graph, {})
    twice = [planned for planned in decided if planned.new.name in claims]
    if twice:
        is_replicated = tf.distribute.has_strategy() or any(len(planned.new.parts[0].copies) > 1 for planned in twice)
        advice = f"under a tf.distribute strategy {_FOR_REPLICAS}" if is_replicated else "name it in one hook only"
        raise WarmStartError(
            "a variable cannot be recovered twice",
            [
                f"the new {planned.new.name!r} already takes its value from {claims[planned.new.name]}, now "
                f"{planned.source.prefix} is to fill it; {advice}"
                for planned in twice
            ],
        )
    if is_lasting:
        claims.update((planned.new.name, planned.source.prefix) for planned in decided)


def _replace_in_place(copy: tf.Variable, value: tf.Tensor, set_recovered: Optional[tf.Operation]) -> None:
    initializer = initializer_op(copy)
    if len(initializer.inputs) < 2:
        raise WarmStartError(
            f"the initializer {initializer.name!r} ({initializer.type}) of {copy.name!r} assigns no value to replace"
        )
    initial = initializer.inputs[1]
    update_input(initializer, 1, value)
    if set_recovered is not None:
        add_control_input(initializer, set_recovered)
    set_initial_value(copy, value)
    # A moving average, or anything else that begins as `v.initialized_value()`, takes v's first value if v is not initialized.
    for consumer in initial.consumers():
        if _asks_whether_initialized(consumer, initializer.inputs[0].op):
            for index, tensor in enumerate(consumer.inputs):
                if tensor is initial:
                    update_input(consumer, index, value)


def _asks_whether_initialized(operation: tf.Operation, storage: tf.Operation) -> bool:
    """Whether `operation` is the conditional of `initialized_value()` of the variable that `storage` stands for."""
    if operation.type not in _CONDITION_INPUT:
        return False
    asked = operation.inputs[_CONDITION_INPUT[operation.type]].op
    while asked.type in ("Identity", "LogicalNot"):
        asked = asked.inputs[0].op
    return asked.type in ("VarIsInitializedOp", "IsVariableInitialized") and asked.inputs[0].op is storage
