"""`warm_started` wraps an Estimator so that its training is warm-started, whatever its `model_fn` is.

The wrapper adds a hook to the `EstimatorSpec` that the `model_fn` returns.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, Mapping, Optional, Type

from estimator_warmstart._tf import logger, tf, tf1
from estimator_warmstart._tf_estimator import check_has_estimator, exporting_class, own_warm_start
from estimator_warmstart.api.hooks import ShapeAdaptingRecoverHook, VariableRecoverHook
from estimator_warmstart.api.untrained import UntrainedRecoverHook, checkpoint_of_untrained
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.files import PathArgument
from estimator_warmstart.plan.adapter_rules import AdaptersArgument
from estimator_warmstart.restore.graph_recovery import refuse_same_directory
from estimator_warmstart.restore.warm_start_json import read_step

# The values of `tf.estimator.ModeKeys`.
_TRAIN = "train"
_HOOKS_OF = {_TRAIN: "training_hooks", "eval": "evaluation_hooks", "infer": "prediction_hooks"}


def warm_started(
    estimator: tf.estimator.Estimator,
    ckp_dir: PathArgument,
    recover_vars: Optional[Mapping[str, Any]] = None,
    adapters: Optional[AdaptersArgument] = None,
    **options: Any,
) -> tf.estimator.Estimator:
    """Returns a copy of an Estimator whose training starts from an old model.

    Use it where you cannot change the `model_fn`: canned Estimators, `tf.keras.estimator.model_to_estimator`, a library's. As
    with `tf.estimator.add_metrics`, the result has the same `model_dir`, `config` and `params`, and is a
    `tf.estimator.Estimator`. While `model_dir` has no checkpoint, it evaluates, predicts and exports with the old model's
    parameters, and writes no checkpoint to `model_dir` for that. From then on, and with a `checkpoint_path`, all three work as
    before. An Estimator that is already trained goes on from its own checkpoint, and a warning says so.

    To export an untrained Estimator with more metrics, add these first: `warm_started(tf.estimator.add_metrics(...), ...)`.

    Args:
      estimator: a `tf.estimator.Estimator` or `tf.compat.v1.estimator.Estimator`.
      ckp_dir: a directory with a `checkpoint` file (its latest is taken), a checkpoint's prefix, a SavedModel's
        directory, or an `.npz` or `.safetensors` file; name-based or object-based.
      recover_vars: as for `VariableRecoverHook`; give the new variables by name, since they do not exist yet.
      adapters: `None`: shapes must be the same, as for `VariableRecoverHook`; a dict: as for `ShapeAdaptingRecoverHook`.
      **options: the keyword-only arguments of that hook, with its defaults.

    Returns:
      A `tf.estimator.Estimator`.

    Raises:
      WarmStartError: for bad arguments and a checkpoint that cannot be read, at once; from `train`, before any variable is
        touched, listing everything that cannot be done as asked. Names and rules that fit nothing are an error in training
        only: the graph of an evaluation has no optimizer slots.

    Example:
      >>> import tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import warm_started
      >>> def estimator(folder, units):
      ...     column = tf.feature_column.numeric_column("x")
      ...     return tf.estimator.DNNRegressor(units, [column], model_dir=folder)
      >>> def data():
      ...     return tf.data.Dataset.from_tensors(({"x": [[1.0], [2.0]]}, [[1.0], [2.0]]))
      >>> old, new = tempfile.mkdtemp(), tempfile.mkdtemp()
      >>> _ = estimator(old, [4]).train(data, steps=1)
      >>> wider = warm_started(estimator(new, [6]), old, adapters={}, exclude="dnn/logits")
      >>> _ = wider.train(data, steps=1)
      >>> [value.shape for value in (tf.train.load_variable(new + "/model.ckpt-0", "dnn/hiddenlayer_0/bias"),)]
      [(6,)]
    """
    check_has_estimator("warm_started")
    _check_estimator(estimator)
    hook_class: Type[VariableRecoverHook] = VariableRecoverHook if adapters is None else ShapeAdaptingRecoverHook
    _check_options(options, hook_class)
    options = {"model_dir": estimator.model_dir, **options, **({} if adapters is None else {"adapters": adapters})}

    def make_hook() -> VariableRecoverHook:
        return hook_class(ckp_dir, recover_vars, **options)

    request = make_hook().request  # Says now what is wrong with the arguments.
    _check_old_and_new(ckp_dir, estimator.model_dir)

    def model_fn(features: Any, labels: Any, mode: str, params: Any, config: Any) -> Any:
        spec = estimator.model_fn(features, labels, mode, config)
        field = _HOOKS_OF[mode]
        hook = make_hook() if mode == _TRAIN else make_untrained_hook()
        return spec._replace(**{field: (*getattr(spec, field), hook)})

    def make_untrained_hook() -> UntrainedRecoverHook:
        return UntrainedRecoverHook(request, estimator.model_dir)

    made = exporting_class(estimator)(
        model_fn,
        model_dir=estimator.model_dir,
        config=estimator.config,
        params=estimator.params,
        warm_start_from=own_warm_start(estimator),
    )

    made.checkpoint_of_untrained = partial(checkpoint_of_untrained, made, make_untrained_hook)
    return made


def _check_options(options: Mapping[str, Any], hook_class: Type[VariableRecoverHook]) -> None:
    known = inspect.signature(hook_class).parameters
    unknown = [f"{name!r}{did_you_mean(name, known)}" for name in options if name not in known]
    if unknown:
        raise WarmStartError(f"{hook_class.__name__} has no argument {', '.join(unknown)}")


def _check_estimator(estimator: object) -> None:
    if isinstance(estimator, tf1.estimator.tpu.TPUEstimator):
        raise WarmStartError(
            "a TPUEstimator prepares its model_fn for a TPU's host itself; give the hook to training_hooks of the "
            "TPUEstimatorSpec instead"
        )
    if not isinstance(estimator, tf1.estimator.Estimator):
        is_keras = isinstance(estimator, tf.keras.Model)
        raise WarmStartError(
            f"estimator must be a tf.estimator.Estimator, got {type(estimator).__name__}"
            + ("; tf.keras.estimator.model_to_estimator makes one of a Keras model" if is_keras else "")
        )


def _check_old_and_new(ckp_dir: PathArgument, model_dir: str) -> None:
    """Warns or raises, before anything is trained, if the two directories leave nothing to recover."""
    latest = tf.train.latest_checkpoint(model_dir)
    step = 0 if latest is None else read_step(open_checkpoint(latest)) or 0
    if step:
        # The old model may be gone by now.
        logger.warning("%s is trained already (step %d): it goes on from there, nothing is recovered.", model_dir, step)
    else:
        refuse_same_directory([open_checkpoint(ckp_dir)], model_dir)
