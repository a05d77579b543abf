"""One plan in one graph, and what its sessions need done.

Enters: a plan and its graph. Leaves: a `GraphRecovery`, whose methods look at a session, recover into it, or wait for the chief
to have done so. This module must not know where a plan comes from, nor decide whether to recover.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any, List, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import (
    copies_of,
    initializer_op,
    is_initialized,
    logger,
    session_has_own_variables,
    tf,
    tf1,
    uninitialized_names,
    writes_files,
)
from estimator_warmstart._tf_estimator import own_device
from estimator_warmstart.checkpoint.checkpoint import Checkpoint
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.graph.variables import NewVariable, global_step, logical_variables
from estimator_warmstart.plan.plan import Plan, initialized
from estimator_warmstart.plan.report import format_report
from estimator_warmstart.restore.operations import Recovery, build_recovery
from estimator_warmstart.restore.warm_start_json import write_trace

_POLL_SECS = 0.5
_REMIND_SECS = 30.0


class GraphRecovery(NamedTuple):
    """A plan whose operations are in the graph.

    Attributes:
      plan: the plan.
      graph: the graph.
      recovery: the operations.
      step: the global step's variable, or `None`.
      step_is_set: whether it is initialized; `None` where there is no global step.
      is_chief: whether this process initializes the session's variables.
      trace_dir: where this process writes what was recovered, or `None`.
      started: `time.monotonic()` when the plan was asked for.
      variable_count: of global variables when it was made.
    """

    plan: Plan
    graph: Any
    recovery: Recovery
    step: Any
    step_is_set: Any
    is_chief: bool
    trace_dir: Optional[str]
    started: float
    variable_count: int

    def look_at(self, session: Any) -> Tuple[int, bool]:
        """The session's global step, 0 where there is none or it is not initialized; and whether the flag is set."""
        if self.step is None:
            return 0, bool(session.run(self.recovery.is_recovered))
        is_recovered, step_is_set = session.run([self.recovery.is_recovered, self.step_is_set])
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

    def recover(self, session: Any) -> None:
        """Assigns the old values, and only then sets the flag.

        Raises:
          WarmStartError: if the checkpoint cannot be read any more, or holds something else than was planned.
        """
        started = time.monotonic()
        try:
            session.run(self.recovery.recover)
            session.run(self.recovery.set_recovered)
        except (tf.errors.AbortedError, tf.errors.UnavailableError):
            raise  # A machine went away: the session is made anew, and with it this is tried again.
        except tf.errors.OpError as error:
            raise WarmStartError(f"recovering from {self.plan.checkpoint.prefix} failed: {error.message}") from error
        self._tell(f"Recovered in {time.monotonic() - started:.1f} s.")

    def keep(self, session: Any, step: int) -> None:
        """Leaves a resumed model its own values, and sets the flag for workers that wait for it."""
        self.refuse_own_checkpoint(session)
        session.run(self.recovery.set_recovered)
        where = f"at step {step}" if self.step is not None else "without a global step"
        logger.info("Resumed %s: the model's own values are kept, nothing is recovered.", where)

    def tell_recovered(self, step: int, is_first: bool) -> None:
        """Logs that the session's variables were recovered: just now if the model is at its first step in its first session."""
        if step or not is_first:
            logger.info("At step %d of a model that was warm-started: nothing is recovered again.", step)
        elif self.is_chief:
            self._tell("Recovered while the variables were initialized.")

    def _tell(self, what: str) -> None:
        for warning in self.plan.warnings:
            logger.warning("%s", warning)
        if self.plan.recovers_nothing:
            logger.warning("No variable of the model takes an old value: it begins cold.\n%s", format_report(self.plan))
        elif logger.isEnabledFor(logging.INFO):  # For ten thousand variables the report takes its time.
            logger.info("%s\n%s", what, format_report(self.plan))
        if self.trace_dir is not None:
            with self.graph.as_default():  # Summary writers are for graphs.
                write_trace(self.plan, self.trace_dir, time.monotonic() - self.started)

    def wait_for_chief(self, session: Any, coord: Any, max_wait_secs: float) -> None:
        """Returns once the chief has recovered, or has found a model of its own to resume.

        Raises:
          WarmStartError: if that takes longer than `max_wait_secs`.
        """
        started = time.monotonic()
        remind_after = 0.0
        while not session.run(self.recovery.is_recovered):
            waited = time.monotonic() - started
            if coord is not None and coord.should_stop():
                return
            if waited >= remind_after or waited > max_wait_secs:
                self._tell_waiting(waited, max_wait_secs, "to recover")
                remind_after += _REMIND_SECS
            time.sleep(_POLL_SECS)

    def watch_the_wait(self, max_wait_secs: float) -> None:
        """Makes TensorFlow's own wait for the chief, before there is a session, say how long it has lasted, and end.

        A worker asks the graph twice a minute what is not initialized yet. The answer passes through this process.
        """
        variables = self.graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES)
        is_cluster = os.environ.get("TF_CONFIG") and any("/job:" in copies_of(variable)[0].device for variable in variables)
        if self.graph.get_collection(tf1.GraphKeys.READY_FOR_LOCAL_INIT_OP) or not is_cluster:
            return  # Somebody's own, or nobody whom the session would have to wait for.
        since: List[float] = []  # Empty while there is nothing to wait for: a session may be made anew after days.

        def tell(names: Any) -> Any:
            if names.size:
                since.append(time.monotonic())
                self._tell_waiting(since[-1] - since[0], max_wait_secs, "to initialize the model")
            else:
                since.clear()
            return names

        with self.graph.as_default(), self.graph.device(None), tf.device(own_device()):  # Python's functions live here.
            names = tf1.numpy_function(tell, [uninitialized_names()], tf.string)
            names.set_shape([None])
        self.graph.add_to_collection(tf1.GraphKeys.READY_FOR_LOCAL_INIT_OP, names)

    def _tell_waiting(self, waited: float, max_wait_secs: float, what: str) -> None:
        prefix = self.plan.checkpoint.prefix
        if waited > max_wait_secs:
            raise WarmStartError(
                f"waited {waited:.0f} s for the chief {what} from {prefix}, and gave up (max_wait_secs): is the chief running, "
                "and does its model_fn have this hook?"
            )
        logger.info("Waiting for the chief %s from %s, %.0f s so far.", what, prefix, waited)

    def with_late_variables(self) -> GraphRecovery:
        """This one, with a plan that names variables made after it; a warning says that they stay as initialized."""
        if len(self.graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES)) == self.variable_count:
            return self
        late = late_variables(self.plan, self.graph)
        if not late:
            return self
        logger.warning(
            "%s: made after the hook's begin(), so nothing was recovered into it; name this hook after the one that makes it.",
            first_few([new.name for new in late]),
        )
        decided = tuple(initialized(new, "made after the hook's begin()") for new in late)
        return self._replace(plan=self.plan._replace(variables=self.plan.variables + decided))

    def refuse_own_checkpoint(self, session: Any) -> None:
        """Raises `WarmStartError` if the session was restored from the directory that the old model is in."""
        for saver in session.graph.get_collection(tf1.GraphKeys.SAVERS):
            for path in saver.last_checkpoints:
                refuse_same_directory(self.plan.checkpoint, os.path.dirname(path))


def prepare(plan: Plan, graph: Any, model_dir: Optional[str], started: float, session: Any = None) -> GraphRecovery:
    """Builds everything that is needed later: after `begin()` the session finalizes the graph."""
    recovery = build_recovery(plan, graph, session)
    step = global_step(graph)
    with graph.as_default():
        step_is_set = None if step is None else is_initialized(copies_of(step)[0])
    trace_dir = model_dir if model_dir is not None and writes_files() else None
    count = len(graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES))
    return GraphRecovery(plan, graph, recovery, step, step_is_set, session_has_own_variables(), trace_dir, started, count)


def late_variables(plan: Plan, graph: Any) -> List[NewVariable]:
    """The variables of `graph` that `plan` does not know."""
    known = {planned.new.name for planned in plan.variables}
    return [new for name, new in logical_variables(graph).items() if name not in known]


def refuse_same_directory(checkpoint: Checkpoint, model_dir: str) -> None:
    """Raises `WarmStartError` if `model_dir` is the directory that the old model is in."""
    if os.path.realpath(model_dir) == os.path.realpath(os.path.dirname(checkpoint.prefix)):
        raise WarmStartError(
            f"ckp_dir is the new model's own model_dir, {model_dir}: an Estimator resumes from there by itself; "
            "give the new model another model_dir, or leave the hook out"
        )
