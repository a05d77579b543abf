"""`prove_recovery` shows, on one batch, whether a warm-started Estimator computes what the old one does.

The new model's training graph is made and initialized as its first `train()` would do it, in a folder of its own. Its values
then go through the graph of a prediction.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart._tf import SessionRunHook, copies_of, initializer_op, tf, tf1
from estimator_warmstart._tf_estimator import check_has_estimator, own_warm_start
from estimator_warmstart.api.hooks import VariableRecoverHook
from estimator_warmstart.api.scaffold import RecoverScaffold
from estimator_warmstart.api.untrained import UntrainedRecoverHook
from estimator_warmstart.arguments import check_bool, is_number
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import PathArgument
from estimator_warmstart.plan.plan import ADAPTED, PlannedVariable, initialized, recovered
from estimator_warmstart.plan.proof import Proof, decided_by_name
from estimator_warmstart.plan.request import Request
from estimator_warmstart.restore.model_runs import (
    PREDICT,
    TRAIN,
    Batch,
    Model,
    RecoverHook,
    Side,
    build_model,
    draw_batch,
    save_first_values,
)
from estimator_warmstart.restore.one_step import compare_steps
from estimator_warmstart.restore.proof import compare_models


def prove_recovery(
    old_estimator: tf.estimator.Estimator,
    new_estimator: tf.estimator.Estimator,
    input_fn: Callable[..., Any],
    *,
    atol: float = 0.0,
    one_step: bool = False,
    checkpoint_path: Optional[PathArgument] = None,
    hooks: Sequence[SessionRunHook] = (),
) -> Proof:
    """Compares what an old Estimator and a warm-started one predict for the same batch, before anything is trained.

    Use it before a warm-started model goes into production, or in a test of the job that trains it. One batch of `input_fn` is
    drawn. It goes through the old model with its checkpoint, and through the new one as its warm start would leave it if its
    `model_dir` were empty. Nothing is trained, and both `model_dir`s stay as they are. Each prediction that both have is
    compared. What is expected of it follows from the new variables that feed it:

    * *identical*: each of them has an old value as it is. Both models then do the same arithmetic.
    * *close*: each of them has an old value, and some are adapted: they have other shapes or other rows. The predictions
      should be the same. But numbers that are summed in another order differ in their last digits, so `atol` may have to be
      above 0, such as 1e-6.
    * *free*: a cold variable, which has no old value, reaches it. It may differ. It must not where an old variable that fed it
      in the old model is left behind, nor where a layer differs that nothing cold reaches.

    If a prediction is not as expected, the proof names the first layer that differs.

    Args:
      old_estimator: the old model, a `tf.estimator.Estimator`.
      new_estimator: an Estimator from `warm_started`, or one whose `model_fn` has hooks of this package in its `training_hooks`
        or returns a `recover_scaffold`, or with `warm_start_from`. Other hooks are not run.
      input_fn: as for `train`; it gives features and labels, by which the new model's training graph is made. Labels may be
        absent if `warm_started` has made `new_estimator`. Both models get these features.
      atol: the largest difference of two predictions that counts as none.
      one_step: whether to train both for one step on the batch, in memory, and to compare the variables then. This finds slots,
        powers of Adam and global steps that the warm start has left behind. It needs labels.
      checkpoint_path: the old model's checkpoint; `None`: the latest in its `model_dir`.
      hooks: hooks of this package that are passed to `train(hooks=...)`.

    Returns:
      A `Proof`; `.holds` says whether everything is as expected, `print(proof)` shows it.

    Raises:
      WarmStartError: for bad arguments, a model that cannot be run on the batch, a warm start that cannot be done, and where
        nothing warm-starts `new_estimator`.

    Example:
      >>> import tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import prove_recovery, warm_started
      >>> def estimator(folder):
      ...     column = tf.feature_column.numeric_column("x")
      ...     return tf.estimator.DNNRegressor([4], [column], model_dir=folder)
      >>> def data():
      ...     return tf.data.Dataset.from_tensors(({"x": [[1.0], [2.0]]}, [[1.0], [2.0]]))
      >>> old_dir, new_dir = tempfile.mkdtemp(), tempfile.mkdtemp()
      >>> old = estimator(old_dir).train(data, steps=1)
      >>> print(prove_recovery(old, warm_started(estimator(new_dir), old_dir), data))
      The proof holds: the old model is ...model.ckpt-1; no difference is allowed.
      prediction   expected   largest difference  mean  rows  holds
      -----------  ---------  ------------------  ----  ----  -----
      predictions  identical                   0     0     2  yes
    """
    check_has_estimator("prove_recovery")
    _check_arguments(old_estimator, new_estimator, input_fn, atol, hooks)
    check_bool("one_step", one_step)
    old = Side(old_estimator, _old_prefix(old_estimator, checkpoint_path), "the old model")
    batch = draw_batch(new_estimator, input_fn)
    if one_step and not batch.has_labels:
        raise WarmStartError("one_step=True trains for a step, and input_fn gives no labels")
    with tempfile.TemporaryDirectory(prefix="prove_recovery_") as folder:
        start = _warm_start(new_estimator, batch, hooks, os.path.join(folder, "model.ckpt"))
        new = Side(new_estimator, start.prefix, "the new model")
        decided = _decided(start.planned, old.prefix)
        proof = compare_models(old, new, batch, decided, atol)
        if one_step:
            proof = proof._replace(after_one_step=compare_steps(old, new, batch, decided, atol))
    return proof._replace(notes=_notes(start.planned, old.prefix) + proof.notes)


def _check_arguments(old: object, new: object, input_fn: object, atol: object, hooks: Sequence[object]) -> None:
    problems = [
        f"{name} must be a tf.estimator.Estimator, got {type(value).__name__}"
        for name, value in (("old_estimator", old), ("new_estimator", new))
        if not isinstance(value, tf1.estimator.Estimator)
    ]
    if not callable(input_fn):
        problems.append(f"input_fn must be a function, got {input_fn!r}")
    if not (is_number(atol) and 0 <= atol < float("inf")):  # type: ignore[operator]
        problems.append(f"atol must be a number of 0 or more, got {atol!r}")
    problems += [
        f"hooks must be VariableRecoverHook or ShapeAdaptingRecoverHook, got {type(hook).__name__}"
        for hook in hooks
        if not isinstance(hook, VariableRecoverHook)
    ]
    if problems:
        raise WarmStartError("prove_recovery cannot compare these", problems)


def _old_prefix(estimator: tf.estimator.Estimator, path: Optional[PathArgument]) -> str:
    if path is None and tf.train.latest_checkpoint(estimator.model_dir) is None:
        raise WarmStartError(
            f"old_estimator has no checkpoint in its model_dir, {estimator.model_dir}: train it first, or name its checkpoint "
            "by checkpoint_path"
        )
    return open_checkpoint(estimator.model_dir if path is None else path).prefix


class _WarmStart(NamedTuple):
    """The new model as its warm start leaves it: a checkpoint, and what each of its recoveries planned."""

    prefix: str
    planned: Tuple[Sequence[PlannedVariable], ...]


def _warm_start(
    estimator: tf.estimator.Estimator, batch: Batch, hooks: Sequence[VariableRecoverHook], prefix: str
) -> _WarmStart:
    mode = TRAIN if batch.has_labels else PREDICT
    model = build_model(estimator, batch, mode)
    planned = [_settings_planned(estimator, model)] if mode == TRAIN and own_warm_start(estimator) is not None else []
    scaffold = model.spec.scaffold
    is_by_scaffold = isinstance(scaffold, RecoverScaffold) and mode == TRAIN
    acting = [RecoverHook(request) for request in _requests(model, mode, hooks)]
    if not (planned or acting or is_by_scaffold):
        raise WarmStartError(_nothing_recovers(batch))
    if is_by_scaffold:
        scaffold.write_no_record()
    save_first_values(estimator, model, acting, prefix)
    plans = ([scaffold.graph_recovery.plan] if is_by_scaffold else []) + [hook.plan for hook in acting]
    return _WarmStart(prefix, tuple(planned + [plan.variables for plan in plans]))


def _requests(model: Model, mode: str, hooks: Sequence[VariableRecoverHook]) -> List[Request]:
    """Returns what this package's hooks are asked to do."""
    if mode == TRAIN:
        given = [*hooks, *model.spec.training_hooks, *model.spec.training_chief_hooks]
        return [hook.request for hook in given if isinstance(hook, VariableRecoverHook)]
    return [hook.request for hook in model.spec.prediction_hooks if isinstance(hook, UntrainedRecoverHook)]


def _nothing_recovers(batch: Batch) -> str:
    if not batch.has_labels:
        return (
            "input_fn gives no labels, so only what warm_started has made can be looked at, and new_estimator is not: give "
            "labels too, for the graph of training"
        )
    return (
        "nothing warm-starts new_estimator: its model_fn has no hook of this package in its training_hooks and no "
        "recover_scaffold, and warm_started did not make it; hooks for train() are given by hooks=, or by --params of the "
        "command line"
    )


def _settings_planned(estimator: tf.estimator.Estimator, model: Model) -> Sequence[PlannedVariable]:
    """Carries out the `warm_start_from` of `estimator`, and returns what that did, as if it had been planned."""
    settings: Any = own_warm_start(estimator)
    checkpoint = open_checkpoint(settings.ckpt_to_initialize_from)
    firsts = [(new, initializer_op(copies_of(new.parts[0].variable)[0])) for new in model.variables.values()]
    before = {new.name: operation for new, operation in firsts}
    try:
        with model.graph.as_default():
            tf1.train.warm_start(*settings)
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise WarmStartError(f"warm_start_from of new_estimator fails: {getattr(error, 'message', error)}") from error

    def planned(new: Any) -> PlannedVariable:
        if initializer_op(copies_of(new.parts[0].variable)[0]) is before[new.name]:
            return initialized(new, "not in warm_start_from")
        old = checkpoint.find((settings.var_name_to_prev_var_name or {}).get(new.name, new.name))
        if old is None:
            return initialized(new, f"not in {checkpoint.prefix}")
        is_adapted = new.name in (settings.var_name_to_vocab_info or {})
        return recovered(new, old)._replace(action=ADAPTED) if is_adapted else recovered(new, old)

    return tuple(planned(new) for new in model.variables.values())


def _decided(recoveries: Sequence[Sequence[PlannedVariable]], old_prefix: str) -> Dict[str, PlannedVariable]:
    """Returns what is planned for each new variable, as the old model sees it: what comes from another model is cold to it."""
    decided = decided_by_name(recoveries)
    if not any(planned.old is not None and planned.old.prefix == old_prefix for planned in decided.values()):
        return decided  # A note says that the warm start reads another checkpoint: perhaps the same model's, at another step.
    return {
        name: initialized(planned.new, f"from {planned.old.prefix}")
        if planned.old is not None and planned.old.prefix != old_prefix
        else planned
        for name, planned in decided.items()
    }


def _notes(recoveries: Sequence[Sequence[PlannedVariable]], old_prefix: str) -> Tuple[str, ...]:
    others = {planned.old.prefix for variables in recoveries for planned in variables if planned.old is not None} - {old_prefix}
    return tuple(f"the warm start reads {prefix}, and not only the old model's {old_prefix}" for prefix in sorted(others))
