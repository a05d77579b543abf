"""One recovery in one graph: what was asked for, its plan, its operations, and what each session of the graph needs done.

It acts when it is told to. Hooks, by way of `training.py`, and Scaffolds decide whether to recover.
"""

from __future__ import annotations

import os
import time
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart._tf import (
    copies_of,
    initializer_op,
    is_initialized,
    logger,
    session_has_own_variables,
    tf,
    tf1,
    writes_files,
)
from estimator_warmstart.checkpoint.arrays import ARRAY_FORMATS
from estimator_warmstart.checkpoint.checkpoint import Checkpoint
from estimator_warmstart.checkpoint.old_models import prefixes_of
from estimator_warmstart.errors import CheckpointError, WarmStartError, first_few
from estimator_warmstart.graph.variables import NewVariable, global_step, logical_variables
from estimator_warmstart.plan.plan import Plan, initialized
from estimator_warmstart.plan.planner import plan_request
from estimator_warmstart.plan.request import Request
from estimator_warmstart.restore.finite_check import check_old_values
from estimator_warmstart.restore.graph_progress import describe, log_while_initialized
from estimator_warmstart.restore.initializers import Flag
from estimator_warmstart.restore.log import log_recovered
from estimator_warmstart.restore.operations import Assignments, build_recovery
from estimator_warmstart.restore.warm_start_json import write_trace


class GraphRecovery(NamedTuple):
    """A recovery whose operations are in the graph.

    Attributes:
      request: what the user asked for.
      plan: what that means in the graph.
      graph: the graph.
      assignments: what assigns every old value.
      flag: tells whether the plan was carried out in a session.
      step: the global step's variable, or `None`.
      step_is_set: whether it is initialized; `None` where there is no global step.
      is_chief: whether this process initializes the session's variables.
      trace_dir: where this process writes what was recovered, or `None`.
      started: `time.monotonic()` when the plan was asked for.
      variable_count: how many global variables there were when it was made.
    """

    request: Request
    plan: Plan
    graph: tf.Graph
    assignments: Assignments
    flag: Flag
    step: Optional[tf.Variable]
    step_is_set: Optional[tf.Tensor]
    is_chief: bool
    trace_dir: Optional[str]
    started: float
    variable_count: int

    def look_at(self, session: tf.compat.v1.Session) -> Tuple[int, bool]:
        """Returns the session's global step, 0 where there is none or it is not initialized; and whether the flag is set."""
        if self.step is None:
            return 0, bool(session.run(self.flag.is_set))
        is_recovered, step_is_set = session.run([self.flag.is_set, self.step_is_set])
        return int(session.run(self.step)) if step_is_set else 0, bool(is_recovered)

    def is_reached_by(self, init_op: Any) -> bool:
        """Whether `init_op`, by default all, runs each recovered global variable's initializer: any of them sets the flag."""
        if init_op is None:
            return True
        parts = [part for planned in self.plan.recovered if not planned.new.is_local for part in planned.new.parts]
        missing = {initializer_op(copy) for part in parts for copy in part.copies}
        fetches = [self.graph.as_graph_element(fetch) for fetch in tf.nest.flatten(init_op)]
        operations = [getattr(fetch, "op", fetch) for fetch in fetches]
        known = set(operations)
        for operation in operations:  # Grows; the initializers come first, long before what their values are made of.
            missing.discard(operation)
            if not missing:
                break
            before = [*operation.control_inputs, *(tensor.op for tensor in operation.inputs)]
            operations += [other for other in dict.fromkeys(before) if other not in known]
            known.update(before)
        return not missing

    def recover(self, session: tf.compat.v1.Session) -> None:
        """Assigns the old values, and only then sets the flag.

        Raises:
          WarmStartError: if the checkpoint cannot be read any more, or holds something else than was planned.
        """
        started = time.monotonic()
        try:
            self.assignments.run(session, describe(self.plan))
            session.run(self.flag.set_op)
        except (tf.errors.AbortedError, tf.errors.UnavailableError):
            raise  # A machine went away: the session is made anew, and with it this is tried again.
        except tf.errors.OpError as error:
            raise WarmStartError(f"recovering from {self.plan.old_place} failed: {error.message}") from error
        self._tell(f"Recovered in {time.monotonic() - started:.1f} s.")

    def keep(self, session: tf.compat.v1.Session, step: int, is_new: bool) -> None:
        """Leaves a resumed model its own values, and sets the flag for workers that wait for it.

        Args:
          session: the session.
          step: its global step.
          is_new: whether the session has just been made, and its local variables with it.
        """
        self.refuse_own_checkpoint(session)
        session.run(self.flag.set_op)
        where = f"at step {step}" if self.step is not None else "without a global step"
        what = self._only_local_or("nothing is recovered") if is_new else "nothing is recovered"
        logger.info("Resumed %s: the model's own values are kept, %s.", where, what)

    def tell_recovered(self, step: int, is_first: bool) -> None:
        """Logs that the session's variables were recovered: just now if the model is at its first step in its first session."""
        if step or not is_first:
            what = self._only_local_or("nothing is recovered again")
            logger.info("At step %d of a model that was warm-started: %s.", step, what)
        elif self.is_chief:
            self._tell("Recovered while the variables were initialized.")

    def _only_local_or(self, nothing: str) -> str:
        """Returns what a session of a resumed model recovers, or `nothing`, as a part of a sentence."""
        local = [planned.new.name for planned in self.plan.recovered if planned.new.is_local]
        return f"only local variables are recovered, when they are initialized: {first_few(local)}" if local else nothing

    def _tell(self, what: str) -> None:
        log_recovered(self.plan, what)
        if self.trace_dir is not None:
            with self.graph.as_default():  # Summary writers are for graphs.
                write_trace(self.plan, self.trace_dir, time.monotonic() - self.started, self.request.html)

    def complete(self) -> GraphRecovery:
        """Takes variables into the plan that were made since; what was planned before stays as it is.

        Raises:
          WarmStartError: as `checked_plan` does.
        """
        late = {new.name for new in self._late_variables()}
        if not late:
            return self
        # A checkpoint that was written since is not the one that the first variables come from.
        prefixes = tuple(checkpoint.prefix for checkpoint in self.plan.checkpoints)
        whole = plan_request(self.request._replace(ckp_dirs=prefixes), self.graph)
        part = whole._replace(variables=tuple(planned for planned in whole.variables if planned.new.name in late))
        check_old_values(part, self.request.check_finite)
        assignments, _ = build_recovery(part, self.graph, flag=self.flag)
        return self._replace(
            plan=whole._replace(variables=self.plan.variables + part.variables),
            assignments=Assignments(
                self.graph, self.assignments.values + assignments.values, self.assignments.shares + assignments.shares
            ),
            variable_count=_count_variables(self.graph),
        )

    def with_late_variables(self) -> GraphRecovery:
        """Returns this one with a plan that names the variables made after it; a warning says that they stay as initialized."""
        late = [] if _count_variables(self.graph) == self.variable_count else self._late_variables()
        if not late:
            return self
        logger.warning(
            "%s: made after the hook's begin(), so nothing was recovered into it; name this hook after the one that makes it.",
            first_few([new.name for new in late]),
        )
        decided = tuple(initialized(new, "made after the hook's begin()") for new in late)
        return self._replace(plan=self.plan._replace(variables=self.plan.variables + decided))

    def _late_variables(self) -> List[NewVariable]:
        """Returns the variables of the graph that the plan does not have."""
        known = {planned.new.name for planned in self.plan.variables}
        return [new for name, new in logical_variables(self.graph).items() if name not in known]

    def refuse_own_checkpoint(self, session: tf.compat.v1.Session) -> None:
        """Raises `WarmStartError` if the session was restored from the directory that the old model is in."""
        for saver in session.graph.get_collection(tf1.GraphKeys.SAVERS):
            for path in saver.last_checkpoints:
                refuse_same_directory(self.plan.checkpoints, os.path.dirname(path))


def checked_plan(request: Request, graph: tf.Graph) -> Plan:
    """Returns the plan for what `request` asks in `graph`, its old values looked at as far as that is asked for.

    Raises:
      WarmStartError: listing everything that cannot be done as asked.
    """
    plan = plan_request(request, graph)
    if request.model_dir is not None:
        refuse_same_directory(plan.checkpoints, request.model_dir)
    check_old_values(plan, request.check_finite)
    return plan


def prepare_recovery(request: Request, graph: tf.Graph, session: Optional[tf.compat.v1.Session] = None) -> GraphRecovery:
    """Plans, and puts all operations that are needed later into `graph`: after `begin()` the session finalizes it.

    Args:
      request: what the user asks for.
      graph: a graph that is not finalized.
      session: as for `build_recovery`.

    Raises:
      WarmStartError: as `checked_plan` does, and as `build_recovery` does.
    """
    started = time.monotonic()
    plan = checked_plan(request, graph)
    assignments, flag = build_recovery(plan, graph, session)
    is_chief = session_has_own_variables()
    if session is None and is_chief:
        log_while_initialized(plan, graph, assignments.shares)
    step = global_step(graph)
    with graph.as_default():
        step_is_set = None if step is None else is_initialized(copies_of(step)[0])
    return GraphRecovery(
        request,
        plan,
        graph,
        assignments,
        flag,
        step,
        step_is_set,
        is_chief=is_chief,
        trace_dir=request.model_dir if request.model_dir is not None and writes_files() else None,
        started=started,
        variable_count=_count_variables(graph),
    )


def prepare_unless_gone(request: Request, graph: tf.Graph) -> Optional[GraphRecovery]:
    """Does the same; returns `None` if the old model cannot be read but the new one has a checkpoint to resume from."""
    try:
        return prepare_recovery(request, graph)
    except CheckpointError as error:
        if request.model_dir is None or tf.train.latest_checkpoint(request.model_dir) is None:
            raise
        logger.warning("The old model is gone; %s resumes from its own checkpoint: %s", request.model_dir, error)
        return None


def _count_variables(graph: tf.Graph) -> int:
    return len(graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES))


def refuse_same_directory(checkpoints: Sequence[Checkpoint], model_dir: str) -> None:
    """Raises `WarmStartError` if `model_dir` is the directory that an old model is in. A file of arrays may be there."""
    own = os.path.realpath(model_dir)
    resumable = [each for each in checkpoints if each.format not in ARRAY_FORMATS]
    inside = [each for each in resumable if os.path.realpath(os.path.dirname(each.prefix)) == own]
    if inside:
        which = f" has {prefixes_of(inside)}, which is in" if len(checkpoints) > 1 else " is"
        raise WarmStartError(
            f"ckp_dir{which} the new model's own model_dir, {model_dir}: an Estimator resumes from there by itself; "
            "give the new model another model_dir, or leave the hook out"
        )
