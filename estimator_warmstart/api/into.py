"""`recover_into`: an old model's values into the eager variables of a Keras model, a `tf.Module` or a dict."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from estimator_warmstart._tf import is_variable, tf
from estimator_warmstart._tf_objects import set_step, tensorflow_variable
from estimator_warmstart.arguments import check_bool
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import PathArgument
from estimator_warmstart.graph.eager_optimizers import choose_optimizer, optimizer_variables
from estimator_warmstart.graph.eager_variables import EagerModel, eager_model
from estimator_warmstart.patterns import PatternsArgument, RenameArgument
from estimator_warmstart.plan.adapter_rules import AdaptersArgument
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.plan.planner import plan_eager
from estimator_warmstart.plan.request import make_request
from estimator_warmstart.restore.eager_values import recover_eagerly


def recover_into(
    model: Any,
    ckp_dir: PathArgument,
    recover_vars: Optional[Mapping[str, Any]] = None,
    adapters: Optional[AdaptersArgument] = None,
    *,
    optimizer: Any = None,
    include: PatternsArgument = None,
    exclude: PatternsArgument = None,
    rename: RenameArgument = None,
    with_slots: bool = False,
    missing: str = "error",
    min_coverage: Optional[float] = None,
    check_finite: bool = False,
    input_shape: Any = None,
) -> Plan:
    """Recovers parameters of an old model into the eager variables of a new one: the road off the Estimator.

    Use it where there is neither a graph nor a session: a Keras model of any generation, on any TensorFlow from 1.15 (with
    `tf.compat.v1.enable_eager_execution()`) to those that have no Estimator. The old model is whatever a hook takes. All is
    planned and checked, and every value read, before the first variable changes. It recovers each time it is called: call it
    once, before `fit`. Then `model.save` writes the model in Keras's own format.

    A new variable is called by Keras 3's `variable.path` without the model's own name in front (`sequential/hidden/kernel` is
    `hidden/kernel`), else by `variable.name` without `:0`, else by its key in the dict. An optimizer's slots are called
    OPTIMIZER/SLOT/VARIABLE. New positions of a variable that grew keep the values that the variable has.

    Args:
      model: a Keras model (`tf.keras`, `tf_keras`, Keras 3 on the TensorFlow backend), a `tf.Module`, or
        `{name: tf.Variable}`. Under a `tf.distribute` strategy one that was made in `strategy.scope()`.
      ckp_dir: a directory with a `checkpoint` file (its latest is taken), a checkpoint's prefix, a SavedModel's
        directory, or an `.npz` or `.safetensors` file; name-based or object-based.
      recover_vars: `{old name: new}`, where *new* is a variable, its name, or a list of several of these. `None`: every
        variable that the checkpoint has under its own name.
      adapters: `{name of a new variable or pattern: adapter or list of adapters}`; the first that fits wins. `None`: shapes
        must be the same. A dict, empty or not: where shapes differ and no adapter is named, `crop_or_pad()`.
      optimizer: a Keras optimizer; `None`: the one that the model was compiled with.
      include: instead of `recover_vars`: choose by name, as `match_variables` does; also the next two.
      exclude: patterns of new names to leave as they are.
      rename: `{old pattern: new name or scope, or a list of several}`.
      with_slots: whether the optimizer's slots are recovered too, and its iterations with them: from the slots and steps of
        any generation of optimizers, TensorFlow 1's first of all. An optimizer that is not built is built.
      missing: what to do where the checkpoint does not have an old name of `recover_vars`, or a new variable that `include`
        or `rename` chooses: `"error"`, or `"keep"` the variable as it is and report it.
      min_coverage: 0 to 1, the least share of the model's bytes that old values must fill; `None`: any.
      check_finite: whether to read every old value first and refuse NaN and infinity.
      input_shape: builds a Keras model that is not built yet, as `model.build(input_shape)` does: `(None, 3)` for batches
        of three features.

    Returns:
      The `Plan` as it was carried out.

    Raises:
      WarmStartError: before any variable is touched, with everything that cannot be done as asked; also in graph mode, where
        `recover_variables` does it.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import recover_into
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     w = tf1.get_variable("fm/w", initializer=tf.constant([1.0, 2.0]))
      ...     session.run(tf1.global_variables_initializer())
      ...     prefix = tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
      >>> if tf.executing_eagerly():  # As TensorFlow 2 is.
      ...     w = tf.Variable([0.0, 0.0])
      ...     plan = recover_into({"ranker/w": w}, folder, rename={"fm": "ranker"})
      ...     assert plan.coverage == 1.0 and w.numpy().tolist() == [1.0, 2.0]
    """
    _check_eager()
    check_bool("check_finite", check_finite)
    check_bool("with_slots", with_slots)
    chosen = choose_optimizer(model, optimizer, with_slots)
    named = eager_model(model, input_shape)
    new = named.new_variables()
    if chosen is not None:
        new.update(optimizer_variables(chosen, named, build=with_slots))
    recover_vars, adapters = _with_names(recover_vars, named), _keyed_by_name(adapters, named)
    request = make_request(ckp_dir, recover_vars, adapters, include, exclude, rename, None, with_slots, missing, min_coverage)
    plan = plan_eager(request, new)
    recover_eagerly(plan, check_finite)
    if chosen is not None and with_slots:
        set_step(chosen)
    return plan


def _check_eager() -> None:
    if not tf.executing_eagerly():
        raise WarmStartError(
            "recover_into recovers into eager variables, and TensorFlow builds a graph here: recover_variables(session, "
            "ckp_dir) recovers into the variables of a session. To be eager, call recover_into outside of tf.function; on "
            "TensorFlow 1.15 call tf.compat.v1.enable_eager_execution() first of all"
        )


def _with_names(recover_vars: Any, named: EagerModel) -> Any:
    """`recover_vars` with the names of variables in place of the model's own objects; what else is given stays."""
    if not isinstance(recover_vars, Mapping):
        return recover_vars
    return {old: _name_of(value, named) for old, value in recover_vars.items()}


def _name_of(value: Any, named: EagerModel) -> Any:
    if isinstance(value, (list, tuple)):
        return [_name_of(each, named) for each in value]
    if is_variable(value) or tensorflow_variable(value) is not None:
        return named.name_of(value) or value
    return value


def _keyed_by_name(adapters: Any, named: EagerModel) -> Any:
    """`adapters` with names in place of variables; those that cannot be a dict's key are given by `variable.ref()`."""
    if not isinstance(adapters, Mapping):
        return adapters
    keyed: Dict[Any, Any] = {}
    for key, adapter in adapters.items():
        variable = key.deref() if hasattr(key, "deref") else key
        keyed[key if isinstance(key, str) else named.name_of(variable) or key] = adapter
    return keyed
