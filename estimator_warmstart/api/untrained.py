"""Lets an Estimator that has no checkpoint yet evaluate, predict and export the old model's values.

TensorFlow runs the initializers there, or has nothing to export. No file stays in the model's directory.
"""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Mapping, Optional

from estimator_warmstart._tf import SessionRunHook, logger, tf, tf1
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.graph.variables import global_step
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.plan.request import Request
from estimator_warmstart.restore.graph_recovery import GraphRecovery, prepare_recovery
from estimator_warmstart.restore.initializers import watch_initializer


class UntrainedRecoverHook(SessionRunHook):
    """Recovers into the session of an evaluation or a prediction whose variables are initialized, not read from a checkpoint.

    Only then is it an error if the old model cannot be recovered: with a `checkpoint_path` of the user's it is not needed.

    Args:
      request: what training would recover.
      model_dir: the new model's directory. Once it has a checkpoint, there is nothing to do.
    """

    def __init__(self, request: Request, model_dir: str):
        # The graph lacks what training alone has: its slots, and their share of what must be covered.
        self._request = request._replace(lacks_some=True, min_coverage=None, model_dir=None, html=False)
        self._model_dir = model_dir
        self._graph_recovery: Optional[GraphRecovery] = None
        self._problem: Optional[WarmStartError] = None
        self._is_initialized: Optional[tf.Tensor] = None

    @property
    def request(self) -> Request:
        """What is recovered, in a graph that may lack what training alone has."""
        return self._request

    def begin(self) -> None:
        """Plans, and makes the planned variables' initializers recover."""
        self._graph_recovery, self._problem, self._is_initialized = None, None, None
        if tf.train.latest_checkpoint(self._model_dir) is not None:
            return
        graph = tf1.get_default_graph()
        try:
            self._graph_recovery = prepare_recovery(self._request, graph)
        except WarmStartError as problem:
            self._problem = problem
        step = global_step(graph)
        watched = [*graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES)] if step is None else [step]
        self._is_initialized = watch_initializer(watched[0], graph) if watched else None

    def after_create_session(self, session: tf.compat.v1.Session, coord: Optional[tf.train.Coordinator]) -> None:
        """Logs what was recovered, or raises if nothing could be."""
        if self._is_initialized is None or not session.run(self._is_initialized):
            return
        if self._problem is not None:
            raise self._problem
        if self._graph_recovery is not None:
            self._warn_of_absent(self._graph_recovery.plan)
            self._graph_recovery.tell_recovered(0, is_first=True)

    def _warn_of_absent(self, plan: Plan) -> None:
        """Warns of names that this graph lacks. Only training can tell whether they are misspelled; slots are never here."""
        there = {planned.new.name for planned in plan.variables}
        absent = [
            new
            for old, value in (self._request.recover_vars or {}).items()
            if not any(old in checkpoint.slots_by_name for checkpoint in plan.checkpoints)
            for new in (value if isinstance(value, (list, tuple)) else [value])
            if isinstance(new, str) and new.rpartition(":0")[0] not in there and new not in there
        ]
        if absent:
            logger.warning(
                "This graph has no new variable %s: an error when training begins, unless training has it.",
                first_few(absent),
            )


@contextmanager
def checkpoint_of_untrained(
    estimator: tf.estimator.Estimator,
    make_hook: Callable[[], SessionRunHook],
    folder: str,
    receivers: Mapping[str, Callable[[], Any]],
) -> Iterator[str]:
    """Returns a context with the prefix of a checkpoint that holds the untrained `estimator`'s first values.

    Args:
      estimator: a `tf.estimator.Estimator`.
      make_hook: makes the hook that recovers.
      folder: where a directory for the checkpoint is made, and removed afterwards.
      receivers: `{mode: input receiver function}`, as for `experimental_export_all_saved_models`.
    """
    modes = tf.estimator.ModeKeys
    mode = next(mode for mode in (modes.TRAIN, modes.EVAL, modes.PREDICT) if receivers.get(mode))
    # Like TensorFlow's own temporary names, it is not a number, so no server takes it for a version.
    own = os.path.join(tf.compat.as_str(folder), f"temp-warm-start-{uuid.uuid4().hex[:8]}")
    prefix = os.path.join(own, "model.ckpt")
    tf.io.gfile.makedirs(own)
    try:
        with tf.Graph().as_default() as graph:
            tf1.train.create_global_step(graph)
            tf1.random.set_random_seed(estimator.config.tf_random_seed)
            received = receivers[mode]()
            spec = estimator.model_fn(received.features, getattr(received, "labels", None), mode, estimator.config)
            creator = tf1.train.ChiefSessionCreator(spec.scaffold, config=estimator.config.session_config)
            with tf1.train.MonitoredSession(creator, hooks=[make_hook()]) as session:
                session.run_step_fn(
                    lambda step_context: spec.scaffold.saver.save(
                        step_context.session, prefix, write_meta_graph=False, write_state=False
                    )
                )
        yield prefix
    finally:
        try:
            tf.io.gfile.rmtree(own)
        except tf.errors.OpError as error:
            logger.warning("%s could not be removed: %s", own, error.message)
