"""Builds the operations of a plan. Two things are done to the graph.

1. The input of each recovered variable's own initializing operation is changed to the old value, so whatever runs that
   operation (the default `init_op`, a `Scaffold(init_op=...)` built before, `session.run(v.initializer)`) recovers. This is
   TensorFlow's own moment for first values: once per fresh model, on the chief, before any worker is let in and before
   `model.ckpt-0` is written. The random values are never drawn.
2. The same old values can be assigned by one operation, for a session whose variables were initialized some other way. Few
   sessions are, and an operation for each variable would slow down all others: it is built when it is first needed.

Values go from the file to the variable on the variable's own device. None is a constant of the graph or passes through the
client. Either way the plan's flag is set in the session: a variable that is in no collection, so a Saver does not know it and a
session resumed from a checkpoint does not have it.

Source: `tf.compat.v1.train.init_from_checkpoint` (tensorflow/python/training/checkpoint_utils.py) replaces
`variable.initializer`. An `init_op` that was made from the old operation before does not recover there.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from estimator_warmstart._tf import extensible, initializer_op, tf
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.progress import logged_progress
from estimator_warmstart.restore.graph_progress import ByteCounter, Share, shares_of
from estimator_warmstart.restore.initializers import Flag, Initializers, first_value, own_scope
from estimator_warmstart.restore.old_values import OldValues


def build_recovery(
    plan: Plan, graph: tf.Graph, session: Optional[tf.compat.v1.Session] = None, flag: Optional[Flag] = None
) -> Tuple[Assignments, Flag]:
    """Builds the operations of `plan`.

    Args:
      plan: a plan for `graph`.
      graph: a `tf.Graph` that is not finalized.
      session: a session that is recovered at once, and may be recovered again: initializers are replaced as far as that has an
        effect in it; `None`: sessions are made later.
      flag: the flag of a plan that this one completes; `None`: the plan gets a flag of its own.

    Returns:
      What assigns every old value, and the flag. Run `flag.set_op` after it.

    Raises:
      WarmStartError: if the graph is finalized, another plan already recovers one of the variables, or the environment's budget
        of memory is not a number.
    """
    if graph.finalized:
        raise WarmStartError(
            "the graph is finalized, so nothing can be recovered into it: call begin() (or recover_variables) before the "
            "MonitoredSession that finalizes it is made, or hand the hook to that session"
        )
    values = OldValues(plan.checkpoints, lambda copy: first_value(copy, graph))
    initializers = Initializers(plan, graph, session)
    with own_scope(graph):
        flag = flag or Flag(graph)
        values.read_small(plan.recovered)
        found: List[Tuple[tf.Variable, tf.Tensor]] = []
        for planned in plan.recovered:
            for copy, value in values.of(planned):
                found.append((copy, value))
                # Local variables are initialized in sessions that are resumed too: that says nothing of the others.
                initializers.replace(copy, value, None if planned.new.is_local else flag.set_op)
    assignments = Assignments(graph, found, shares_of(plan))
    initializers.finish(assignments.of)
    return assignments, flag


class Assignments:
    """Assigns old values to variables, by operations that are made when they are first needed.

    Args:
      graph: the graph of the variables, finalized or not.
      values: each physical variable with its old value.
      shares: whose values tell how far a large recovery is.

    Attributes:
      values: the same.
      shares: the same.
    """

    def __init__(self, graph: tf.Graph, values: Sequence[Tuple[tf.Variable, tf.Tensor]], shares: Sequence[Share] = ()):
        self.values, self.shares = tuple(values), tuple(shares)
        self._graph, self._by_name = graph, {copy.name: (copy, value) for copy, value in values}
        self._made: Dict[str, tf.Operation] = {}
        self._all: Optional[tf.Operation] = None
        self._counter: Optional[ByteCounter] = None

    def of(self, copy: tf.Variable) -> tf.Operation:
        """Returns the operation that assigns the old value of `copy`."""
        if copy.name not in self._made:
            with extensible(self._graph), own_scope(self._graph):
                self._made[copy.name] = _assign_value(*self._by_name[copy.name])
        return self._made[copy.name]

    def run(self, session: tf.compat.v1.Session, what: str) -> None:
        """Assigns every old value in `session`. If they are large, the log says how far `what` is."""
        if self._all is None:
            operations = [self.of(copy) for copy, _ in self.values]
            with extensible(self._graph), own_scope(self._graph):
                if self.shares:  # Which variables have a value by now would say nothing: they may have one already.
                    self._counter = ByteCounter(self._graph)
                    operations += [self._counter.count(nbytes, self.of(copy)) for copy, nbytes in self.shares]
                self._all = tf.group(*operations, name="recover")
        counter = self._counter
        if counter is None:
            session.run(self._all)
            return
        session.run(counter.begin)
        with logged_progress(what, sum(share.nbytes for share in self.shares), lambda: counter.read(session)):
            session.run(self._all)


def _assign_value(copy: tf.Variable, value: tf.Tensor) -> tf.Operation:
    """Returns an operation that assigns `value` where the initializer of `copy` assigns the initial value."""
    target = initializer_op(copy).inputs[0]
    with target.graph.colocate_with(target.op, ignore_existing=True):
        if target.dtype == tf.resource:
            return tf.raw_ops.AssignVariableOp(resource=target, value=value, name="assign")
        return tf.raw_ops.Assign(ref=target, value=value, name="assign").op
