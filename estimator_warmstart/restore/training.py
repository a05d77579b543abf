"""When a hook recovers: what it has prepared in one graph, and what it does about each session of that graph.

A hook may be in several trainings at once, each with a graph of its own; so nothing of this is kept in the hook.

    begins                the initializers recover from now on
    graph is finalized    variables of later hooks are planned too
    model is initialized  (not where a checkpoint is restored) recovers what its own init_op and init_fn left cold
    session is made       resumes, waits for the chief, or recovers where nobody has told of the initialization
"""

from __future__ import annotations

from typing import Any, Callable, Optional

from estimator_warmstart._tf import session_has_own_variables, tf, tf1
from estimator_warmstart._tf_sessions import call_when_initialized, monitored_session_creator, resumed_checkpoint
from estimator_warmstart.plan.request import Request
from estimator_warmstart.restore.graph_recovery import GraphRecovery, prepare_unless_gone
from estimator_warmstart.restore.initializers import Flag, own_scope
from estimator_warmstart.restore.waiting import wait_for_chief, watch_initialization
from estimator_warmstart.restore.warm_start_json import is_written


class Training:
    """One hook's part in one graph.

    Args:
      request: what is recovered.
      graph: where; it is not finalized.
      when: `"fresh"` or `"every_train"`.
      max_wait_secs: how long a worker waits for the chief.

    Attributes:
      graph_recovery: the recovery; `None` where the old model is gone and the new one resumes.
    """

    def __init__(self, request: Request, graph: tf.Graph, when: str, max_wait_secs: float):
        self._when, self._max_wait_secs = when, max_wait_secs
        self._begins = self._tells_of_initialization = False
        self._is_initialized = self._is_told = self._is_written = False
        self._flag_without_plan: Optional[Flag] = None
        self.graph_recovery: Optional[GraphRecovery] = prepare_unless_gone(request, graph)
        if self.graph_recovery is None:
            # Every process makes it where another one may have a plan: the flags of later plans are numbered after it.
            with own_scope(graph):
                flag = Flag(graph)
            # A worker that still knows the old model may wait for the flag.
            self._flag_without_plan = flag if session_has_own_variables() else None
            return
        if not self.graph_recovery.is_chief:
            watch_initialization(graph, self.graph_recovery.plan.old_place, max_wait_secs)
        call_when_finalized(graph, self._complete)

    def begin(self) -> None:
        """A `train()` begins: a session is made next."""
        self._begins, self._is_initialized, self._is_told = True, False, False
        graph_recovery = self.graph_recovery
        if graph_recovery is None:
            return
        creator = monitored_session_creator()
        is_worker = isinstance(creator, tf1.train.WorkerSessionCreator)  # Also where no TF_CONFIG says so.
        self.graph_recovery = graph_recovery = graph_recovery._replace(is_chief=session_has_own_variables() and not is_worker)
        resumed = resumed_checkpoint(creator)  # The Estimator's own saver saves it again before any hook is called.
        self._is_written = resumed is not None and is_written(resumed)
        self._tells_of_initialization = graph_recovery.is_chief and isinstance(creator, tf1.train.ChiefSessionCreator)
        if self._tells_of_initialization:
            call_when_initialized(creator, self._initialized)

    def _complete(self) -> None:
        if self.graph_recovery is not None:
            self.graph_recovery = self.graph_recovery.complete()

    def _initialized(self, session: tf.compat.v1.Session, init_op: Any) -> None:
        """Recovers what the initialization has left cold, before anything is saved."""
        self._is_initialized = True
        graph_recovery = self.graph_recovery
        if graph_recovery is None:
            return
        step, is_recovered = graph_recovery.look_at(session)
        is_warm = is_recovered and graph_recovery.is_reached_by(init_op)
        if not is_warm and (not step or self._when == "every_train"):
            graph_recovery.recover(session)
            self._is_told = True

    def session_created(self, session: tf.compat.v1.Session, coord: Optional[tf.train.Coordinator]) -> None:
        """Recovers into a fresh session that nobody has recovered into; leaves any other alone."""
        if self.graph_recovery is None:
            if self._flag_without_plan is not None:
                session.run(self._flag_without_plan.set_op)
            return
        begins, self._begins = self._begins, False
        is_initialized, self._is_initialized = self._is_initialized, False
        is_told, self._is_told = self._is_told, False
        self.graph_recovery = graph_recovery = self.graph_recovery.with_late_variables()
        if is_told:
            return
        step, is_recovered = graph_recovery.look_at(session)
        # Without a coordinator the hook is driven by hand: nobody else will do it.
        acts = coord is None or graph_recovery.is_chief
        if self._when == "every_train" and begins and acts and (step or not is_recovered):
            graph_recovery.recover(session)
        elif is_recovered:
            graph_recovery.tell_recovered(step, is_first=begins)
        elif not acts:
            wait_for_chief(graph_recovery.flag.is_set, session, coord, graph_recovery.plan.old_place, self._max_wait_secs)
        elif step or self._keeps_at_step_0(graph_recovery, session, coord, is_initialized):
            graph_recovery.keep(session, step, is_new=True)
        else:
            graph_recovery.refuse_own_checkpoint(session)
            graph_recovery.recover(session)

    def _keeps_at_step_0(
        self,
        graph_recovery: GraphRecovery,
        session: tf.compat.v1.Session,
        coord: Optional[tf.train.Coordinator],
        is_initialized: bool,
    ) -> bool:
        """Whether the session's values are not those of a cold model: of one without a step, or of `write_checkpoint`."""
        if graph_recovery.step is None:
            return self._is_restored(session, coord, is_initialized)
        return coord is not None and self._is_written

    def _is_restored(self, session: tf.compat.v1.Session, coord: Optional[tf.train.Coordinator], is_initialized: bool) -> bool:
        """Whether TensorFlow has restored a checkpoint into the session."""
        if coord is None:
            return False
        if self._tells_of_initialization:
            return not is_initialized
        return any(saver.last_checkpoints for saver in session.graph.get_collection(tf1.GraphKeys.SAVERS))


def call_when_finalized(graph: tf.Graph, act: Callable[[], None]) -> None:
    """Makes `graph.finalize()` call `act()` first: all hooks have begun by then."""
    finalize = graph.finalize

    def act_first() -> None:
        graph.finalize = finalize
        act()
        finalize()

    graph.finalize = act_first
