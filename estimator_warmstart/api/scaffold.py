"""`recover_scaffold` makes a Scaffold whose initialization recovers.

recover_scaffold(...)      in model_fn: checks its arguments; under a strategy plans, for all replicas at once
finalize()               elsewhere: plans when every variable is there; variables' initializers recover from now on
[init_op]                runs on the chief of a fresh model only
init_fn                  recovers what the init_op did not reach, logs the report, then calls the user's own
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, Mapping, Optional

from estimator_warmstart._tf import copies_of, initializer_op, tf, tf1
from estimator_warmstart.api.saver import make_saver
from estimator_warmstart.checkpoint.old_models import OldModelsArgument
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.graph.variables import global_step
from estimator_warmstart.patterns import PatternsArgument, RenamesArgument
from estimator_warmstart.plan.adapter_rules import AdaptersArgument
from estimator_warmstart.plan.request import Request, make_request
from estimator_warmstart.restore.graph_recovery import GraphRecovery, prepare_unless_gone

# Called with the Scaffold and the session.
InitFn = Callable[["tf.compat.v1.train.Scaffold", "tf.compat.v1.Session"], None]
_SAVER_OPTIONS = [name for name in inspect.signature(make_saver).parameters if name != "saver_format"]


def recover_scaffold(
    ckp_dir: OldModelsArgument,
    recover_vars: Optional[Mapping[str, Any]] = None,
    adapters: Optional[AdaptersArgument] = None,
    *,
    saver_format: str = "name",
    include: PatternsArgument = None,
    exclude: PatternsArgument = None,
    rename: RenamesArgument = None,
    collection: Optional[str] = None,
    with_slots: Optional[bool] = None,
    missing: str = "error",
    min_coverage: Optional[float] = None,
    check_finite: bool = False,
    model_dir: Optional[str] = None,
    html: bool = False,
    init_op: Optional[tf.Operation] = None,
    init_fn: Optional[InitFn] = None,
    local_init_op: Optional[tf.Operation] = None,
    summary_op: Optional[tf.Tensor] = None,
    copy_from_scaffold: Optional[tf.compat.v1.train.Scaffold] = None,
    **saver_options: Any,
) -> tf.compat.v1.train.Scaffold:
    """Makes a Scaffold whose initialization recovers an old model, and which holds the new model's saver.

    Use it in `model_fn`, as the `scaffold` of the `EstimatorSpec`, where the Estimator is to save in another format or already
    has a Scaffold of its own; elsewhere a hook does the same. Call it last, after the train op is made: under a `tf.distribute`
    strategy the plan is made at once. A model that has a checkpoint of its own is never touched, and neither is an evaluation
    or a prediction.

    The other arguments are those of `VariableRecoverHook`.

    Args:
      adapters: `None`: recovers as `VariableRecoverHook`, shapes must be the same; a dict: as `ShapeAdaptingRecoverHook`.
      saver_format: `"name"`, `"object"` or `"both"`, as for `make_saver`.
      with_slots: whether optimizer slots are recovered too; `None`: if `adapters` is given.
      init_op: as for `tf.compat.v1.train.Scaffold`; what it initializes by the variables' own initializers is recovered.
      init_fn: as for `tf.compat.v1.train.Scaffold`; it is called after the old values are recovered.
      local_init_op: as for `tf.compat.v1.train.Scaffold`.
      summary_op: as for `tf.compat.v1.train.Scaffold`.
      copy_from_scaffold: a Scaffold whose other fields are kept; its saver too, if it has one.
      **saver_options: for `make_saver`.

    Returns:
      A `tf.compat.v1.train.Scaffold`.

    Raises:
      WarmStartError: for bad arguments, at once; when the graph is complete, before any variable is touched, listing everything
        that cannot be done as asked.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import recover_scaffold
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     w = tf1.get_variable("fm/w", initializer=tf.constant([1.0, 2.0]))
      ...     session.run(tf1.global_variables_initializer())
      ...     prefix = tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
      >>> with tf.Graph().as_default():
      ...     w = tf1.get_variable("ranker/w", [2])
      ...     scaffold = recover_scaffold(folder, {"fm/w": "ranker/w"}, max_to_keep=3)
      ...     with tf1.train.MonitoredSession(tf1.train.ChiefSessionCreator(scaffold)) as session:
      ...         [float(value) for value in session.run(w)]
      [1.0, 2.0]
    """
    with_slots = adapters is not None if with_slots is None else with_slots
    chosen = (include, exclude, rename, collection)
    request = make_request(
        ckp_dir, recover_vars, adapters, *chosen, with_slots, missing, min_coverage, check_finite, model_dir, html
    )
    fields = dict(init_op=init_op, local_init_op=local_init_op, summary_op=summary_op)
    saver = _new_saver(saver_options, saver_format, copy_from_scaffold)
    scaffold = RecoverScaffold(request, init_fn, copy_from_scaffold, saver=saver, **fields)
    if tf.distribute.has_strategy():
        _prepare_replicas(scaffold)
    return scaffold


class RecoverScaffold(tf1.train.Scaffold):
    """A Scaffold that prepares a recovery before it is finalized.

    Attributes:
      prepared_graph: the graph in which it has prepared that; `None` before.
      graph_recovery: the recovery; `None` where nothing is to be recovered.
      problem: why nothing can be recovered, where nothing is trained; `None` if it can.
    """

    def __init__(
        self,
        request: Request,
        init_fn: Optional[InitFn] = None,
        copy_from_scaffold: Optional[tf.compat.v1.train.Scaffold] = None,
        **fields: Any,
    ):
        self._request = request
        self.prepared_graph: Optional[tf.Graph] = None
        self.graph_recovery: Optional[GraphRecovery] = None
        self.problem: Optional[WarmStartError] = None
        if init_fn is None and copy_from_scaffold is not None and copy_from_scaffold.init_fn is not None:
            copied = copy_from_scaffold.init_fn  # Which has its Scaffold already.

            def init_fn(scaffold: tf.compat.v1.train.Scaffold, session: tf.compat.v1.Session) -> None:
                copied(session)

        def recover_first(scaffold: tf.compat.v1.train.Scaffold, session: tf.compat.v1.Session) -> None:
            self._recover_in(session, scaffold.init_op)
            if init_fn is not None:
                init_fn(scaffold, session)

        super().__init__(init_fn=recover_first, copy_from_scaffold=copy_from_scaffold, **fields)

    def finalize(self) -> tf.compat.v1.train.Scaffold:
        """Plans, makes the planned variables' initializers recover, and finalizes the graph."""
        self.prepare(tf1.get_default_graph())
        return super().finalize()

    def prepare(self, graph: tf.Graph) -> None:
        """Puts the operations into `graph`, once; where nothing is trained, problems wait until something is initialized."""
        if self.prepared_graph is graph:
            return
        self.prepared_graph = graph
        if graph.get_collection(tf1.GraphKeys.EVAL_STEP):
            return
        try:
            self.graph_recovery = prepare_unless_gone(self._request, graph)
        except WarmStartError as problem:
            if _trains(graph):
                raise
            self.problem = problem

    def write_no_record(self) -> None:
        """Lets a rehearsal recover as training would, but for the files in the `model_dir`."""
        self._request = self._request._replace(model_dir=None, html=False)

    def share(self, other: RecoverScaffold) -> None:
        """Takes what another replica's Scaffold has prepared."""
        self.prepared_graph, self.graph_recovery, self.problem = other.prepared_graph, other.graph_recovery, other.problem

    def _recover_in(self, session: tf.compat.v1.Session, init_op: Any) -> None:
        """Makes sure that a session whose `init_op` has just run holds the old values."""
        if self.problem is not None:
            raise self.problem
        if self.graph_recovery is None:
            raise WarmStartError("a model is initialized in a graph that was taken for an evaluation's: nothing was recovered")
        step, is_recovered = self.graph_recovery.look_at(session)
        if is_recovered and self.graph_recovery.is_reached_by(init_op):
            self.graph_recovery.tell_recovered(step, is_first=True)
        else:
            self.graph_recovery.recover(session)


def _new_saver(
    options: Mapping[str, Any], saver_format: str, copied: Optional[tf.compat.v1.train.Scaffold]
) -> Optional[tf.compat.v1.train.Saver]:
    """Returns the saver that the options ask for, or `None` where the `copied` Scaffold has one."""
    if "when" in options:
        raise WarmStartError(
            "a Scaffold recovers when a model is initialized, and at no other time; use a hook for when='every_train'"
        )
    known = [*inspect.signature(recover_scaffold).parameters, *_SAVER_OPTIONS]
    unknown = [f"{name!r}{did_you_mean(name, known)}" for name in options if name not in _SAVER_OPTIONS]
    if unknown:
        raise WarmStartError(f"recover_scaffold has no argument {', '.join(unknown)}")
    if copied is None or copied.saver is None:
        return make_saver(saver_format=saver_format, **options)
    if options or saver_format != "name":
        raise WarmStartError(
            f"copy_from_scaffold has a saver already, so {', '.join(options) or 'saver_format'} would have no effect; give one "
            "or the other"
        )
    return None


def _prepare_replicas(scaffold: RecoverScaffold) -> None:
    """Prepares once for all replicas, from outside of them, where mirrored variables are whole.

    An Estimator that trains under a strategy makes a plain Scaffold from the fields of the replicas' Scaffolds, so `finalize`
    is never called.
    """
    graph = tf1.get_default_graph()

    def prepare(strategy: tf.distribute.Strategy, scaffolds: Any) -> None:
        first, *others = strategy.experimental_local_results(scaffolds)
        first.prepare(graph)
        for other in others:  # Any of them may be the one whose init_fn is called.
            other.share(first)

    if tf.distribute.in_cross_replica_context():
        scaffold.prepare(graph)
    else:
        tf.distribute.get_replica_context().merge_call(prepare, args=(scaffold,))


def _trains(graph: tf.Graph) -> bool:
    """Whether something in `graph` trains: an optimizer that says so, or what counts the global step up."""
    if graph.get_collection(tf1.GraphKeys.TRAIN_OP):
        return True
    step = global_step(graph)
    handles = [initializer_op(copy).inputs[0] for copy in copies_of(step)] if step is not None else []
    return any(use.type.startswith("AssignAdd") for handle in handles for use in handle.consumers())
