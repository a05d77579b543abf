"""Runs an Estimator's `model_fn` on one batch, in sessions of its own: no file goes to the `model_dir`.

The batch is drawn once, and is the same in every run of every graph that it is put into.
"""

from __future__ import annotations

import contextlib
import logging
import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from estimator_warmstart._tf import SessionRunHook, logger, tf, tf1
from estimator_warmstart._tf_estimator import call_input_fn
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.graph.feeding import Feeding
from estimator_warmstart.graph.variables import NewVariable, logical_variables
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.plan.request import Request
from estimator_warmstart.restore.training import Training

TRAIN, PREDICT = "train", "infer"  # The values of `tf.estimator.ModeKeys`.
# A seed for graphs that have none, so that two runs draw the same.
_SEED = 1


class Batch(NamedTuple):
    """One batch of an `input_fn`, as arrays.

    Attributes:
      values: one array for each tensor.
      shapes: the static shape of each.
      structure: what the `input_fn` gave: the features, or features and labels, made of tensors of another graph.
      has_labels: whether there are labels.
    """

    values: List[Any]
    shapes: List[tf.TensorShape]
    structure: Any
    has_labels: bool

    @property
    def rows(self) -> int:
        """The length of the batch; 0 if that is not known."""
        return next((len(value) for value in self.values if np.ndim(value)), 0)

    def tensors(self) -> Tuple[Any, Any]:
        """Returns features and labels, or `None`, as tensors of the default graph."""
        arrays = [np.asarray(value) for value in self.values]
        dtypes = [tensor.dtype for tensor in _flat(self.structure)]
        tensors = tf.nest.flatten(tf.numpy_function(lambda: arrays, [], dtypes))
        for tensor, shape in zip(tensors, self.shapes):
            tensor.set_shape(shape)
        features, *labels = tf.nest.pack_sequence_as(self.structure, tensors, expand_composites=True)
        return features, (labels[0] if labels else None)


def _seed_of(estimator: tf.estimator.Estimator) -> int:
    seed = estimator.config.tf_random_seed
    return _SEED if seed is None else seed


def _flat(structure: Any) -> List[Any]:
    return tf.nest.flatten(structure, expand_composites=True)


def draw_batch(estimator: tf.estimator.Estimator, input_fn: Callable[..., Any]) -> Batch:
    """Returns the first batch of `input_fn`.

    Raises:
      WarmStartError: if it gives none, or something that is not made of tensors.
    """
    with tf.Graph().as_default():
        tf1.random.set_random_seed(_seed_of(estimator))
        structure = _features_and_labels(call_input_fn(estimator, input_fn, TRAIN))
        flat = _flat(structure)
        values: Optional[List[Any]] = None
        try:
            with tf1.train.MonitoredSession(tf1.train.ChiefSessionCreator(config=estimator.config.session_config)) as session:
                values = session.run(flat)
        except tf.errors.OpError as error:
            raise WarmStartError(f"input_fn gives no batch: {error.message}") from error
    if values is None:  # The session takes the end of the data for its own end.
        raise WarmStartError("input_fn gives no batch: its data is empty")
    return Batch(values, [tensor.shape for tensor in flat], structure, len(structure) == 2)


def _features_and_labels(made: Any) -> Tuple[Any, ...]:
    """Returns the features, or the features and the labels, as tensors."""
    if isinstance(made, tf.compat.v2.data.Dataset):  # Those of tf.compat.v1 are among them.
        iterator = tf1.data.make_initializable_iterator(made)
        tf1.add_to_collection(tf1.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
        made = iterator.get_next()
    if isinstance(made, (list, tuple)) and len(made) != 2:
        raise WarmStartError(f"input_fn must return features, or features and labels, got {len(made)} values")
    parts = tuple(made) if isinstance(made, (list, tuple)) else (made,)
    try:
        return tuple(tf.nest.map_structure(_as_tensor, part) for part in parts if part is not None)
    except (TypeError, ValueError) as error:
        raise WarmStartError(f"input_fn must return tensors, or a tf.data.Dataset of them: {error}") from error


def _as_tensor(value: Any) -> Any:
    is_composite = hasattr(value, "dtype") and not isinstance(value, (np.ndarray, np.generic))
    return value if is_composite else tf.convert_to_tensor(value)


class Model(NamedTuple):
    """What a `model_fn` has made in a graph of its own.

    Attributes:
      graph: the graph.
      spec: the `EstimatorSpec`.
      variables: the logical variables, by name.
      feeding: which variables feed what.
    """

    graph: tf.Graph
    spec: Any
    variables: Mapping[str, NewVariable]
    feeding: Feeding

    @property
    def predictions(self) -> Dict[str, tf.Tensor]:
        """The predictions by name; one that has no name is `"predictions"`."""
        found = self.spec.predictions
        return dict(found) if isinstance(found, Mapping) else {"predictions": found}


class Side(NamedTuple):
    """One of the two models.

    Attributes:
      estimator: its Estimator.
      prefix: the checkpoint that it computes with.
      name: as messages call it.
    """

    estimator: tf.estimator.Estimator
    prefix: str
    name: str


def has_step(prefix: str) -> bool:
    """Whether a checkpoint has a global step, as an Estimator's has."""
    return tf1.GraphKeys.GLOBAL_STEP in open_checkpoint(prefix).variables


def build_model(estimator: tf.estimator.Estimator, batch: Batch, mode: str, has_step: bool = True) -> Model:
    """Makes the graph of `estimator` in `mode`, on `batch`; without a global step for a checkpoint that has none."""
    with tf.Graph().as_default() as graph:
        if has_step:
            tf1.train.create_global_step(graph)
        tf1.random.set_random_seed(_seed_of(estimator))
        features, labels = batch.tensors()
        spec = estimator.model_fn(features, None if mode == PREDICT else labels, mode, estimator.config)
        variables = logical_variables(graph)
    return Model(graph, spec, variables, Feeding(graph, variables))


@contextlib.contextmanager
def restored_session(
    estimator: tf.estimator.Estimator, model: Model, prefix: str, hooks: Sequence[SessionRunHook] = ()
) -> Iterator[tf.compat.v1.Session]:
    """A context with a session of `model` that has restored the checkpoint at `prefix`."""
    creator = tf1.train.ChiefSessionCreator(
        model.spec.scaffold, config=estimator.config.session_config, checkpoint_filename_with_path=prefix
    )
    with contextlib.ExitStack() as stack:
        try:
            with model.graph.as_default():
                session = stack.enter_context(tf1.train.MonitoredSession(creator, hooks=list(hooks)))
        except (tf.errors.OpError, ValueError) as error:
            raise WarmStartError(f"{prefix} cannot be restored into its model: {_in_short(error)}") from error
        yield session


def _in_short(error: Exception) -> str:
    """Returns the message of a failed restore without the description of the graph."""
    text = str(getattr(error, "message", error))
    missing = re.search(r"Key (\S+) not found in checkpoint", text)
    return f"it has no {missing.group(1)!r}" if missing else text.split("\n\n")[0]


def run(session: tf.compat.v1.Session, fetches: Any, what: str) -> Any:
    """Returns what `session` computes.

    Raises:
      WarmStartError: if that fails; the message calls the model `what`.
    """
    try:
        return session.run(fetches)
    except tf.errors.OpError as error:
        raise WarmStartError(f"{what} fails on the batch: {error.message}") from error


class RecoverHook(SessionRunHook):
    """Recovers what `request` asks for, as a hook in training does, but writes no record of it.

    Attributes:
      plan: the `Plan`, from `begin` on.
    """

    def __init__(self, request: Request):
        self._request = request._replace(model_dir=None, html=False)
        self._training: Optional[Training] = None

    @property
    def plan(self) -> Plan:
        """The `Plan`, complete once the session is made."""
        if self._training is None or self._training.graph_recovery is None:
            raise LookupError("begin() was not called")
        return self._training.graph_recovery.plan

    def begin(self) -> None:
        """Plans, and makes the planned variables' initializers recover."""
        self._training = Training(self._request, tf1.get_default_graph(), "fresh", max_wait_secs=7200.0)
        self._training.begin()

    def after_create_session(self, session: tf.compat.v1.Session, coord: Optional[tf.train.Coordinator]) -> None:
        """Recovers what the initializers have left cold."""
        if self._training is not None:
            self._training.session_created(session, coord)


def save_first_values(estimator: tf.estimator.Estimator, model: Model, hooks: Sequence[SessionRunHook], prefix: str) -> None:
    """Initializes `model`, with these hooks alone, and saves what it holds then to `prefix`."""
    creator = tf1.train.ChiefSessionCreator(model.spec.scaffold, config=estimator.config.session_config)
    with _without_reports(), model.graph.as_default(), tf1.train.MonitoredSession(creator, hooks=list(hooks)) as session:
        session.run_step_fn(
            lambda step_context: model.spec.scaffold.saver.save(
                step_context.session, prefix, write_meta_graph=False, write_state=False
            )
        )


@contextlib.contextmanager
def _without_reports() -> Iterator[None]:
    """A context in which nothing says that a model was warm-started: no training has begun."""
    level = logger.level
    logger.setLevel(max(logger.getEffectiveLevel(), logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)
