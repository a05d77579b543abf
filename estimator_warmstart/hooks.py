"""The hooks: a plan in `begin`, its operations in the graph, and a decision in `after_create_session`.

    hook = VariableRecoverHook(...)    checks its arguments
      begin()                          plans, checks, makes the variables' initializers recover
      [the session is made]            fresh: its init_op recovers, on the chief; resumed: a checkpoint is restored
      after_create_session(...)        looks which of the two it was; recovers only what is fresh and still cold
      ...                              takes no part in any step

Enters: what the user gave. Leaves: a graph and a session in which the old values are where the plan says. This module
must not know how a plan is made or how a value is restored.
"""
from __future__ import annotations

import os
import time
from typing import Any, Mapping, Optional

from estimator_warmstart._tf import SessionRunHook, copies_of, is_initialized, logger, session_has_own_variables, tf, tf1
from estimator_warmstart.errors import CheckpointError, RecoveryError, WarmStartError, check_choice
from estimator_warmstart.planning import Plan, check_arguments, plan_recovery
from estimator_warmstart.report import format_report
from estimator_warmstart.restoring import Recovery, build_recovery

_POLL_SECS = 0.5
_REMIND_SECS = 30.0


class VariableRecoverHook(SessionRunHook):
    """Recovers parameters of an old model into a new one, once, before the first step.

    Use it in `model_fn`, among the `training_hooks` of the `EstimatorSpec`, or hand it to `Estimator.train(hooks=...)` or
    a `MonitoredTrainingSession`. Driven by hand, `begin()` comes after the graph is built and
    `after_create_session(session, None)` after the session is made.

    A resumed run is never touched: what the new model has learned beats the old values, on a restart, a recovery or a
    worker that comes late. `model.ckpt-0` holds the recovered values.

    Args:
      ckp_dir: a directory with a `checkpoint` file (its latest is taken), or a checkpoint's prefix.
      recover_vars: `{old name: new}`, where *new* is a variable (plain, partitioned, mirrored), a list of a partitioned
        one's parts, a variable's name, or a list of several of these when one old variable fills several new ones.
        `None`: every new variable that the checkpoint has under its own name, but for the global step. Shapes and dtypes
        are the same on both sides.
      with_slots: whether each recovered variable's optimizer slots are recovered too, and Adam's powers with its moments.
      when: `"fresh"`, or `"every_train"` to recover at the start of each `train()`, trained or not (never on a recovery
        inside it).
      missing: what to do about an old name that the checkpoint does not have: `"error"`, or `"keep"` the new variable as
        initialized and report it.
      model_dir: the new model's own directory, if it is known: lets `begin` refuse a `ckp_dir` that is the same one, and
        lets a resumed run go on when the old model is gone.
      max_wait_secs: seconds that a worker waits for the chief to recover before it gives up.

    Attributes:
      plan: the `Plan`, from `begin` on.

    Raises:
      WarmStartError: (a `ValueError`) for bad arguments, at once; from `begin`, before any variable is touched, with
        everything that cannot be done as asked.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import VariableRecoverHook
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     w = tf1.get_variable("fm/w", [2], initializer=tf1.ones_initializer())
      ...     session.run(tf1.global_variables_initializer())
      ...     prefix = tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
      >>> with tf.Graph().as_default():
      ...     w2 = tf1.get_variable("ranker/w", [2], initializer=tf1.zeros_initializer())
      ...     hook = VariableRecoverHook(ckp_dir=folder, recover_vars={"fm/w": w2})
      ...     with tf1.train.MonitoredSession(hooks=[hook]) as session:
      ...         [float(value) for value in session.run(w2)]
      [1.0, 1.0]

    Source: the hook of the same name in the sharkdtu article on recovering Estimator variables, with its parameter names.
    """

    def __init__(
        self, ckp_dir: Any, recover_vars: Optional[Mapping[str, Any]] = None, *, with_slots: bool = False,
        when: str = "fresh", missing: str = "error", model_dir: Optional[str] = None, max_wait_secs: float = 7200.0
    ):
        check_arguments(recover_vars, with_slots, missing)
        check_choice("when", when, ("fresh", "every_train"))
        if isinstance(max_wait_secs, bool) or not isinstance(max_wait_secs, (int, float)) or not max_wait_secs > 0:
            raise WarmStartError(f"max_wait_secs must be a positive number of seconds, got {max_wait_secs!r}")
        self._ckp_dir, self._recover_vars = ckp_dir, recover_vars
        self._with_slots, self._when, self._missing = with_slots, when, missing
        self._model_dir, self._max_wait_secs = model_dir, max_wait_secs
        self.plan: Optional[Plan] = None
        self._graph: Any = None
        self._recovery: Optional[Recovery] = None
        self._step: Any = None
        self._step_is_set: Any = None
        self._is_chief = True
        self._train_begins = False

    def begin(self) -> None:
        """Plans, and makes the planned variables' initializers recover. Called before the session is made."""
        graph = tf1.get_default_graph()
        self._train_begins = True
        if graph is self._graph:  # A second session of the same graph: what was built serves again.
            return
        self._recovery, self.plan = None, None
        if graph.get_collection(tf1.GraphKeys.EVAL_STEP):
            logger.warning("The hook was handed to an evaluation, which never recovers: it does nothing there.")
            return
        self._prepare(graph)

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Recovers into a fresh session that its initializers did not reach; leaves any other alone."""
        begins, self._train_begins = self._train_begins, False
        if self._recovery is None or self.plan is None:
            return
        step = self._step_of(session)
        marked = session.run(self._recovery.is_marked)
        if self._when == "every_train" and begins and self._acts(coord) and (step or not marked):
            self._recover(session)
        elif marked:
            self._tell_recovered(step)
        elif not self._acts(coord):
            self._wait_for_chief(session, coord)
        elif step:
            self._refuse_own_checkpoint(session)
            session.run(self._recovery.mark)
            logger.info("Resumed at step %d: the model's own values are kept, nothing is recovered.", step)
        else:
            self._recover(session)

    def recover_in(self, session: Any) -> None:
        """Does all that the hook does, in a session that is there already; see `recover_variables`."""
        graph = session.graph
        # The operations of a session that has run keep their inputs: changing them would change nothing but confuse.
        has_run = not graph.finalized and _is_initialized(session, graph)
        self._prepare(graph, replace_initializers=not has_run)
        self._train_begins = True
        self.after_create_session(session, None)

    def _prepare(self, graph: Any, replace_initializers: bool = True) -> None:
        self.plan = self._make_plan(graph)
        if self.plan is not None:
            self._recovery = build_recovery(self.plan, graph, replace_initializers)
        self._step = tf1.train.get_global_step(graph)
        self._is_chief = session_has_own_variables()
        self._graph = graph
        with graph.as_default():
            # Built now: after begin() the session finalizes the graph.
            self._step_is_set = None if self._step is None else is_initialized(copies_of(self._step)[0])

    def _make_plan(self, graph: Any) -> Optional[Plan]:
        resumed = self._model_dir is not None and tf.train.latest_checkpoint(self._model_dir) is not None
        try:
            plan = plan_recovery(
                self._ckp_dir, self._recover_vars, graph=graph, with_slots=self._with_slots, missing=self._missing
            )
        except CheckpointError as error:
            if not resumed:
                raise
            logger.warning("The old model is gone, but %s has its own checkpoint and resumes: %s", self._model_dir, error)
            return None
        if self._model_dir is not None:
            _refuse_same_directory(plan, self._model_dir)
        return plan

    def _acts(self, coord: Any) -> bool:
        # Without a coordinator the hook is driven by hand: nobody else will do it.
        return self._is_chief or coord is None

    def _step_of(self, session: Any) -> int:
        """The session's global step; 0 where there is none or it is not initialized."""
        if self._step is None or not session.run(self._step_is_set):
            return 0
        return int(session.run(self._step))

    def _recover(self, session: Any) -> None:
        started = time.monotonic()
        try:
            session.run(self._recovery.recover)
        except (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError) as error:
            raise RecoveryError(f"recovering from {self.plan.checkpoint.prefix} failed: {error.message}") from error
        logger.info("Recovered in %.1f s.\n%s", time.monotonic() - started, format_report(self.plan))

    def _tell_recovered(self, step: int) -> None:
        if step:
            logger.info("At step %d of a model that was warm-started: nothing is recovered again.", step)
        elif self._is_chief:
            logger.info("Recovered while the variables were initialized.\n%s", format_report(self.plan))

    def _wait_for_chief(self, session: Any, coord: Any) -> None:
        started = reminded = time.monotonic()
        while not session.run(self._recovery.is_marked):
            now = time.monotonic()
            if coord is not None and coord.should_stop():
                return
            if now - started > self._max_wait_secs:
                raise RecoveryError(
                    f"waited {now - started:.0f} s for the chief to recover from {self.plan.checkpoint.prefix}, and gave up "
                    "(max_wait_secs): is the chief running, and does its model_fn have this hook?"
                )
            if now - reminded > _REMIND_SECS or reminded == started:
                logger.info("Waiting since %.0f s for the chief to recover from %s.", now - started, self.plan.checkpoint.prefix)
                reminded = now
            time.sleep(_POLL_SECS)

    def _refuse_own_checkpoint(self, session: Any) -> None:
        """Where the session's Saver knows checkpoints, their directory is the Estimator's own `model_dir`."""
        for saver in session.graph.get_collection(tf1.GraphKeys.SAVERS):
            for path in saver.last_checkpoints:
                _refuse_same_directory(self.plan, path.rpartition("/")[0])


def recover_variables(
    session: Any, ckp_dir: Any, recover_vars: Optional[Mapping[str, Any]] = None, *, with_slots: bool = False,
    when: str = "fresh", missing: str = "error"
) -> Plan:
    """Recovers parameters of an old model into the variables of a session, without hooks.

    Use it in code on the low-level API, with a plain `tf.compat.v1.Session`, before or after the variables were
    initialized. A model whose global step is beyond 0 is resumed and left alone unless `when="every_train"`.

    Args:
      session: a `tf.compat.v1.Session` whose graph is not finalized.
      ckp_dir: as for `VariableRecoverHook`, and so are the other arguments.
      recover_vars: as for `VariableRecoverHook`.
      with_slots: as for `VariableRecoverHook`.
      when: `"fresh"`, or `"every_train"` to recover into a trained model too.
      missing: as for `VariableRecoverHook`.

    Returns:
      The `Plan` that was carried out.

    Raises:
      WarmStartError: before any variable is touched, with everything that cannot be done as asked.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import recover_variables
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     w = tf1.get_variable("w", [2], initializer=tf1.ones_initializer())
      ...     session.run(tf1.global_variables_initializer())
      ...     prefix = tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     w = tf1.get_variable("w", [2], initializer=tf1.zeros_initializer())
      ...     session.run(tf1.global_variables_initializer())
      ...     plan = recover_variables(session, folder)
      ...     [float(value) for value in session.run(w)]
      [1.0, 1.0]
    """
    hook = VariableRecoverHook(ckp_dir, recover_vars, with_slots=with_slots, when=when, missing=missing)
    hook.recover_in(session)
    return hook.plan


def _is_initialized(session: Any, graph: Any) -> bool:
    """Whether any variable of the session has a value."""
    with graph.as_default():
        checks = [is_initialized(copies_of(variable)[0]) for variable in graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES)]
        return any(session.run(checks))


def _refuse_same_directory(plan: Plan, model_dir: str) -> None:
    own, old = os.path.realpath(model_dir), os.path.realpath(os.path.dirname(plan.checkpoint.prefix))
    if own == old:
        raise WarmStartError(
            f"ckp_dir is the new model's own model_dir, {model_dir}: an Estimator resumes from there by itself; "
            "give the new model another model_dir, or leave the hook out"
        )
