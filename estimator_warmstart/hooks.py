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

from typing import Any, Mapping, Optional

from estimator_warmstart._tf import SessionRunHook, copies_of, is_initialized, logger, tf, tf1
from estimator_warmstart.errors import CheckpointError, WarmStartError, check_choice
from estimator_warmstart.finiteness import check_finite as refuse_unless_finite
from estimator_warmstart.plan import Plan
from estimator_warmstart.planning import check_arguments, plan_recovery
from estimator_warmstart.sessions import Prepared, prepare, refuse_same_directory


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
      check_finite: whether to read every old value first and refuse NaN and infinity.
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

    _adapters: Optional[Mapping[Any, Any]] = None

    def __init__(
        self, ckp_dir: Any, recover_vars: Optional[Mapping[str, Any]] = None, *, with_slots: bool = False,
        when: str = "fresh", missing: str = "error", check_finite: bool = False, model_dir: Optional[str] = None,
        max_wait_secs: float = 7200.0
    ):
        check_arguments(recover_vars, self._adapters, with_slots, missing)
        check_choice("when", when, ("fresh", "every_train"))
        if not isinstance(check_finite, bool):
            raise WarmStartError(f"check_finite must be True or False, got {check_finite!r}")
        if isinstance(max_wait_secs, bool) or not isinstance(max_wait_secs, (int, float)) or not max_wait_secs > 0:
            raise WarmStartError(f"max_wait_secs must be a positive number of seconds, got {max_wait_secs!r}")
        self._ckp_dir, self._recover_vars = ckp_dir, recover_vars
        self._with_slots, self._when, self._missing = with_slots, when, missing
        self._check_finite, self._model_dir, self._max_wait_secs = check_finite, model_dir, max_wait_secs
        self.plan: Optional[Plan] = None
        self._prepared: Optional[Prepared] = None
        self._train_begins = False

    def begin(self) -> None:
        """Plans, and makes the planned variables' initializers recover. Called before the session is made."""
        graph = tf1.get_default_graph()
        self._train_begins = True
        if self._prepared is not None and graph is self._prepared.graph:
            return  # A second session of the same graph: what was built serves again.
        self._prepared, self.plan = None, None
        if graph.get_collection(tf1.GraphKeys.EVAL_STEP):
            logger.warning("The hook was handed to an evaluation, which never recovers: it does nothing there.")
            return
        try:
            self._prepare(graph)
        except CheckpointError as error:
            if self._model_dir is None or tf.train.latest_checkpoint(self._model_dir) is None:
                raise
            logger.warning("The old model is gone; %s resumes from its own checkpoint: %s", self._model_dir, error)

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Recovers into a fresh session that its initializers did not reach; leaves any other alone."""
        begins, self._train_begins = self._train_begins, False
        prepared = self._prepared
        if prepared is None:
            return
        step, is_marked = prepared.look_at(session)
        # Without a coordinator the hook is driven by hand: nobody else will do it.
        acts = prepared.is_chief or coord is None
        if self._when == "every_train" and begins and acts and (step or not is_marked):
            prepared.recover(session)
        elif is_marked:
            prepared.tell_recovered(step, is_first=begins)
        elif not acts:
            prepared.wait_for_chief(session, coord, self._max_wait_secs)
        elif step:
            prepared.refuse_own_checkpoint(session)
            session.run(prepared.recovery.mark)
            logger.info("Resumed at step %d: the model's own values are kept, nothing is recovered.", step)
        else:
            prepared.recover(session)

    def recover_in(self, session: Any) -> Plan:
        """Does all that the hook does, in a session that is there already; see `recover_variables`."""
        graph = session.graph
        # The operations of a session that has run keep their inputs: changing them would change nothing but confuse.
        has_run = not graph.finalized and _is_initialized(session, graph)
        plan = self._prepare(graph, replace_initializers=not has_run)
        self._train_begins = True
        self.after_create_session(session, None)
        return plan

    def _prepare(self, graph: Any, replace_initializers: bool = True) -> Plan:
        self.plan = self._plan(graph)
        self._prepared = prepare(self.plan, graph, replace_initializers)
        return self.plan

    def _plan(self, graph: Any) -> Plan:
        plan = plan_recovery(
            self._ckp_dir, self._recover_vars, self._adapters, graph=graph, with_slots=self._with_slots,
            missing=self._missing
        )
        if self._model_dir is not None:
            refuse_same_directory(plan, self._model_dir)
        if self._check_finite:
            refuse_unless_finite(plan)
        return plan


class ShapeAdaptingRecoverHook(VariableRecoverHook):
    """Recovers parameters of an old model whose shapes, vocabularies or features have changed since.

    Use it where part of an old value is still good. It makes the same promises as `VariableRecoverHook`. Whatever happens
    to a variable's rows and columns happens to each of its optimizer slots; what is new in a slot takes the slot's own
    initial value.

    Args:
      ckp_dir: as for `VariableRecoverHook`.
      recover_vars: as for `VariableRecoverHook`, but shapes may differ.
      adapters: `{new variable, its name or a pattern: adapter}`, with adapters from `estimator_warmstart.adapters` or lists
        of them; the first that fits wins. Where shapes differ and none is named: `crop_or_pad()`.
      with_slots: whether each recovered variable's optimizer slots are recovered too, and Adam's powers with its moments.
      when: as for `VariableRecoverHook`.
      missing: as for `VariableRecoverHook`.
      check_finite: as for `VariableRecoverHook`.
      model_dir: as for `VariableRecoverHook`.
      max_wait_secs: as for `VariableRecoverHook`.

    Attributes:
      plan: the `Plan`, from `begin` on.

    Raises:
      WarmStartError: as for `VariableRecoverHook`; also for an adapter whose result does not fit the new shape, and for one
        that no variable uses.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import ShapeAdaptingRecoverHook, adapters
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     w = tf1.get_variable("w", initializer=tf.constant([1.0, 2.0, 3.0]))
      ...     session.run(tf1.global_variables_initializer())
      ...     prefix = tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
      >>> with tf.Graph().as_default():
      ...     w = tf1.get_variable("w", [4], initializer=tf1.zeros_initializer())
      ...     remap = adapters.remap_rows(["a", "b", "c"], ["c", "d", "b", "a"])
      ...     hook = ShapeAdaptingRecoverHook(folder, adapters={"w": remap})
      ...     with tf1.train.MonitoredSession(hooks=[hook]) as session:
      ...         [float(value) for value in session.run(w)]
      [3.0, 0.0, 2.0, 1.0]
    """

    def __init__(
        self, ckp_dir: Any, recover_vars: Optional[Mapping[str, Any]] = None, adapters: Optional[Mapping[Any, Any]] = None,
        *, with_slots: bool = True, when: str = "fresh", missing: str = "error", check_finite: bool = False,
        model_dir: Optional[str] = None, max_wait_secs: float = 7200.0
    ):
        self._adapters = {} if adapters is None else adapters
        super().__init__(
            ckp_dir, recover_vars, with_slots=with_slots, when=when, missing=missing, check_finite=check_finite,
            model_dir=model_dir, max_wait_secs=max_wait_secs,
        )


def recover_variables(
    session: Any, ckp_dir: Any, recover_vars: Optional[Mapping[str, Any]] = None,
    adapters: Optional[Mapping[Any, Any]] = None, **options: Any
) -> Plan:
    """Recovers parameters of an old model into the variables of a session, without hooks.

    Use it in code on the low-level API, with a plain `tf.compat.v1.Session`, before or after the variables were
    initialized. A model whose global step is beyond 0 is resumed and left alone unless `when="every_train"`.

    Args:
      session: a `tf.compat.v1.Session` whose graph is not finalized.
      ckp_dir: as for `VariableRecoverHook`, and so are the other arguments.
      recover_vars: as for `VariableRecoverHook`.
      adapters: `None`: shapes must be the same, as for `VariableRecoverHook`; a dict: as for `ShapeAdaptingRecoverHook`.
      **options: the keyword-only arguments of that hook, with its defaults.

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
    if adapters is None:
        hook = VariableRecoverHook(ckp_dir, recover_vars, **options)
    else:
        hook = ShapeAdaptingRecoverHook(ckp_dir, recover_vars, adapters, **options)
    return hook.recover_in(session)


def _is_initialized(session: Any, graph: Any) -> bool:
    """Whether any variable of the session has a value."""
    variables = graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES)
    with graph.as_default():
        return any(session.run([is_initialized(copies_of(variable)[0]) for variable in variables]))
