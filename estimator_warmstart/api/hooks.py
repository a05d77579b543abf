"""The hooks, and `recover_variables` for code without hooks. A hook checks its arguments and recovers by a `Training`.

hook = VariableRecoverHook(...)    checks its arguments
begin()                          plans, checks, makes the variables' initializers recover
[the session is made]            fresh: its init_op recovers, on the chief; resumed: a checkpoint is restored
after_create_session(...)        looks which of the two it was; recovers only what is fresh and still cold
...                              takes no part in any step
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from estimator_warmstart._tf import SessionRunHook, logger, tf, tf1
from estimator_warmstart.arguments import check_choice, is_number
from estimator_warmstart.checkpoint.old_models import OldModelsArgument
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.patterns import PatternsArgument, RenamesArgument
from estimator_warmstart.plan.adapter_rules import AdaptersArgument
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.plan.request import Request, make_request
from estimator_warmstart.restore.graph_recovery import GraphRecovery, checked_plan, prepare_recovery
from estimator_warmstart.restore.training import Training


class VariableRecoverHook(SessionRunHook):
    """Recovers parameters of an old model into a new one, once, before the first step.

    Use it in `model_fn`, among the `training_hooks` of the `EstimatorSpec`, or pass it to `Estimator.train(hooks=...)` or to a
    `MonitoredTrainingSession`. To drive it by hand, call `begin()` after the graph is built and
    `after_create_session(session, None)` after the session is made.

    A resumed run is never touched: what the new model has learned beats the old values, on a restart, a recovery or a late
    worker. A model without a global step counts as resumed if TensorFlow has restored a checkpoint. `model.ckpt-0` holds the
    recovered values, also with an `init_op` or `init_fn` of your own. Several hooks may recover different variables. In a job
    of many processes, give each process the same hooks in the same order. Variables that later hooks make are planned when the
    graph is finalized. One hook may serve several trainings, also at once.

    Args:
      ckp_dir: a directory with a `checkpoint` file (its latest is taken), a checkpoint's prefix, a SavedModel's directory, or
        an `.npz` or `.safetensors` file. Or a list of these: a new variable takes its value from the first that has it.
      recover_vars: `{old name: new}`, where *old name* may be an object path (`model/layer-0/kernel`) of an object-based
        checkpoint, and *new* is a variable (plain, partitioned, mirrored), a list of a partitioned one's parts, a variable's
        name, or a list of several of these when one old variable fills several new ones. `None`: every new variable that the
        checkpoint has under its own name, except the global step. Shapes and dtypes must be the same on both sides.
      include: a pattern or a list of patterns of new names. This and the next three replace `recover_vars`: they choose
        variables by name when the graph is there, as `match_variables` does.
      exclude: patterns of new names to leave as initialized.
      rename: `{old pattern: new name or scope, or a list of several}`; or a list of one such dict for each old model.
      collection: a name from `tf.compat.v1.GraphKeys`. `"local_variables"`: those are initialized in each session, on every
        worker and in resumed runs too, so the default `local_init_op` gives them their old values each time. An old checkpoint
        holds them only if its `Saver` was told to save them.
      with_slots: whether each recovered variable's optimizer slots are recovered too, and Adam's powers with its moments.
      when: `"fresh"`, or `"every_train"`: at the start of each `train()`, trained or not (never on a recovery inside it).
      missing: what to do where the checkpoint does not have an old name of `recover_vars`, or a new variable that `include`,
        `rename` (its new scope) or `collection` chooses: `"error"`, or `"keep"` the new variable as initialized and report it.
      min_coverage: 0 to 1, the least share of the new model's bytes that old values must fill; `begin` raises where they fill
        less. `None`: any.
      check_finite: whether to read every old value first and refuse NaN and infinity.
      model_dir: the new model's own directory, if it is known. `begin` then refuses a `ckp_dir` that is the same directory, a
        resumed run goes on when the old model is gone, and the record of the warm start is written there: `warm_start.json`
        and a summary for TensorBoard.
      html: whether that record is written as a page for a browser too, `warm_start.html`.
      max_wait_secs: how many seconds a worker waits for the chief to recover before it gives up.

    Attributes:
      plan: the `Plan`, from `begin` on.

    Raises:
      WarmStartError: (a `ValueError`) for bad arguments, at once; from `begin`, before any variable is touched, listing
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

    _adapters: Optional[AdaptersArgument] = None

    def __init__(
        self,
        ckp_dir: OldModelsArgument,
        recover_vars: Optional[Mapping[str, Any]] = None,
        *,
        include: PatternsArgument = None,
        exclude: PatternsArgument = None,
        rename: RenamesArgument = None,
        collection: Optional[str] = None,
        with_slots: bool = False,
        when: str = "fresh",
        missing: str = "error",
        min_coverage: Optional[float] = None,
        check_finite: bool = False,
        model_dir: Optional[str] = None,
        html: bool = False,
        max_wait_secs: float = 7200.0,
    ):
        chosen = (include, exclude, rename, collection)
        self._request = make_request(
            ckp_dir, recover_vars, self._adapters, *chosen, with_slots, missing, min_coverage, check_finite, model_dir, html
        )
        check_choice("when", when, ("fresh", "every_train"))
        if not (is_number(max_wait_secs) and max_wait_secs > 0):
            raise WarmStartError(f"max_wait_secs must be a positive number of seconds, got {max_wait_secs!r}")
        self._when, self._max_wait_secs = when, max_wait_secs
        self._latest: Optional[Training] = None
        # A graph's trainings are kept by the graph, in a collection that is not exported, since its key is not a string.
        self._key = ("estimator_warmstart", self)

    @property
    def plan(self) -> Optional[Plan]:
        """The `Plan`, from `begin` on; `None` before. In several trainings at once: of the one that began last."""
        return self._graph_recovery.plan if self._graph_recovery else None

    @property
    def request(self) -> Request:
        """What the hook was asked to do, in whatever graph it begins."""
        return self._request

    @property
    def _graph_recovery(self) -> Optional[GraphRecovery]:
        return self._latest.graph_recovery if self._latest else None

    def plan_for(self, graph: tf.Graph) -> Plan:
        """Returns what the hook would do in `graph`, which it leaves as it is; raises as `begin` does."""
        return checked_plan(self._request, graph)

    def begin(self) -> None:
        """Plans, and makes the planned variables' initializers recover. Called before the session is made."""
        graph = tf1.get_default_graph()
        trainings = graph.get_collection_ref(self._key)
        self._latest = None
        if graph.get_collection(tf1.GraphKeys.EVAL_STEP):
            logger.warning("The hook was handed to an evaluation, which never recovers: it does nothing there.")
            return
        if not trainings:  # Else this is a second session of the same graph: what was built serves again.
            trainings.append(Training(self._request, graph, self._when, self._max_wait_secs))
        self._latest = trainings[0]
        trainings[0].begin()

    def after_create_session(self, session: tf.compat.v1.Session, coord: Optional[tf.train.Coordinator]) -> None:
        """Recovers into a fresh session that its initialization did not reach; leaves any other alone."""
        for training in session.graph.get_collection(self._key):
            training.session_created(session, coord)

    def recover_in(self, session: tf.compat.v1.Session) -> Plan:
        """Recovers now, in a session that exists already; see `recover_variables`."""
        graph_recovery = prepare_recovery(self._request, session.graph, session)
        step, _ = graph_recovery.look_at(session)
        if step and self._when == "fresh":
            graph_recovery.keep(session, step, is_new=False)
            return graph_recovery.plan.left_undone(f"the model is at step {step} and keeps its own value")
        graph_recovery.recover(session)
        return graph_recovery.plan


class ShapeAdaptingRecoverHook(VariableRecoverHook):
    """Recovers parameters of an old model whose shapes, vocabularies or features have changed since.

    Use it where part of an old value is still good. It makes the same promises as `VariableRecoverHook`. Whatever happens
    to a variable's rows and columns happens to each of its optimizer slots. New positions of a slot take the slot's own initial
    value.

    The other arguments are those of `VariableRecoverHook`.

    Args:
      recover_vars: `{old name: new}`; shapes may differ.
      adapters: `{new variable, its name or a pattern: adapter}`, with adapters from `estimator_warmstart.adapters` or lists
        of them; the first that fits wins. Where shapes differ and no adapter is named: `crop_or_pad()`.
      with_slots: whether each recovered variable's optimizer slots are recovered too, and Adam's powers with its moments.

    Attributes:
      plan: the `Plan`, from `begin` on.

    Raises:
      WarmStartError: as `VariableRecoverHook` does; also for an adapter whose result does not fit the new shape, and for one
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
        self,
        ckp_dir: OldModelsArgument,
        recover_vars: Optional[Mapping[str, Any]] = None,
        adapters: Optional[AdaptersArgument] = None,
        *,
        include: PatternsArgument = None,
        exclude: PatternsArgument = None,
        rename: RenamesArgument = None,
        collection: Optional[str] = None,
        with_slots: bool = True,
        when: str = "fresh",
        missing: str = "error",
        min_coverage: Optional[float] = None,
        check_finite: bool = False,
        model_dir: Optional[str] = None,
        html: bool = False,
        max_wait_secs: float = 7200.0,
    ):
        self._adapters = {} if adapters is None else adapters
        super().__init__(
            ckp_dir,
            recover_vars,
            include=include,
            exclude=exclude,
            rename=rename,
            collection=collection,
            with_slots=with_slots,
            when=when,
            missing=missing,
            min_coverage=min_coverage,
            check_finite=check_finite,
            model_dir=model_dir,
            html=html,
            max_wait_secs=max_wait_secs,
        )


def recover_variables(
    session: tf.compat.v1.Session,
    ckp_dir: OldModelsArgument,
    recover_vars: Optional[Mapping[str, Any]] = None,
    adapters: Optional[AdaptersArgument] = None,
    **options: Any,
) -> Plan:
    """Recovers parameters of an old model into the variables of a session, without hooks.

    Use it in code on the low-level API, with a plain `tf.compat.v1.Session`, before or after the variables are initialized.
    It recovers each time it is called. A model whose global step is beyond 0 counts as resumed and is left alone unless
    `when="every_train"`; the plan then says that nothing was recovered.

    Before the variables are initialized it also makes their initializers recover, so that
    `session.run(tf.compat.v1.global_variables_initializer())` afterwards keeps the old values, as after
    `init_from_checkpoint`. A session ignores changes to operations that it has seen: once it has run anything, make the
    operation that initializes after this call, not before; a warning says so.

    The other arguments are those of `VariableRecoverHook`.

    Args:
      session: a `tf.compat.v1.Session` whose graph is not finalized.
      adapters: `None`: recovers as `VariableRecoverHook`, shapes must be the same; a dict: as `ShapeAdaptingRecoverHook`.
      **options: the keyword-only arguments of that hook, with its defaults.

    Returns:
      The `Plan` as it was carried out.

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
