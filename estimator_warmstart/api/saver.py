"""`make_saver` makes a Saver that saves the new model, name-based, object-based or both."""

from __future__ import annotations

from functools import partial
from typing import Any, List, Mapping, Optional

from estimator_warmstart._tf import tf, tf1
from estimator_warmstart._tf_objects import is_trackable, saveables_of
from estimator_warmstart._tf_savers import LateSaver, RekeyingSaver
from estimator_warmstart.api.both_formats import is_one_trackable, is_partitioned, names_and_objects
from estimator_warmstart.arguments import check_choice, is_number
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.graph.variables import logical_name


def make_saver(
    var_list: Any = None,
    *,
    saver_format: str = "name",
    max_to_keep: Optional[int] = 5,
    keep_checkpoint_every_n_hours: float = 10000.0,
    sharded: bool = True,
    reshape: bool = False,
    restore_sequentially: bool = False,
    pad_step_number: bool = False,
    save_relative_paths: bool = True,
    allow_empty: bool = False,
    name: Optional[str] = None,
    filename: Optional[str] = None,
) -> tf.compat.v1.train.Saver:
    """Makes a Saver for the new model, in either of TensorFlow's formats or in both at once, for a Scaffold.

    Use it where an Estimator's checkpoints are to be object-based from now on, where programs of both kinds are to read them
    while a team moves from one to the other, or where a Scaffold needs a Saver anyway.
    The saver looks for variables when the Scaffold is finalized, so it may be made before they are. An Estimator whose
    Scaffold has a saver ignores `keep_checkpoint_max` and `keep_checkpoint_every_n_hours` of its `RunConfig`: give them here.

    Args:
      var_list: what to save. `None`: all that is saveable. For `"name"`: a list of variables or a dict
        `{name: variable}`, as `tf.compat.v1.train.Saver` takes it. For `"object"` and `"both"`: also a
        `tf.train.Checkpoint`, a Keras model, a `tf.Module` or any other trackable object, whose object paths the checkpoint
        then has. Variables are saved under their names in `vars`, as in TensorFlow's migration guide and by
        `convert_checkpoint`.
      saver_format: `"name"`: one tensor for each variable's name. `"object"`: what `tf.train.Checkpoint` writes. `"both"`: a
        name-based checkpoint that `tf.train.Checkpoint` reads too; each value is stored once, under two keys, and partitioned
        variables are whole for `tf.train.Checkpoint`. It resumes from checkpoints of all three kinds.
      max_to_keep: how many recent checkpoints to keep; `None` or 0: all.
      keep_checkpoint_every_n_hours: hours after which one more is kept for good.
      sharded: whether each device's variables are saved in a file of their own, as an Estimator does.
      reshape: whether to restore into other shapes of the same size; not for `"object"`.
      restore_sequentially: whether to restore variables one after another on each device.
      pad_step_number: whether step numbers in file names have eight digits.
      save_relative_paths: whether the file `checkpoint` names its checkpoints relative to itself, so that the directory can be
        moved.
      allow_empty: whether to accept a graph without variables.
      name: the name scope of the operations.
      filename: the default file name in a graph that is run without Python.

    Returns:
      A `tf.compat.v1.train.Saver`.

    Raises:
      WarmStartError: for another format, and for an option or a variable that the format does not support.

    Example:
      >>> import tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import make_saver
      >>> tf1 = tf.compat.v1
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     saver = make_saver(saver_format="object", max_to_keep=2)
      ...     w = tf1.get_variable("w", [2], use_resource=True)
      ...     session.run(w.initializer)
      ...     prefix = saver.save(session, tempfile.mkdtemp() + "/model.ckpt")
      >>> sorted(name for name, _ in tf.train.list_variables(prefix))
      ['_CHECKPOINTABLE_OBJECT_GRAPH', 'vars/w/.ATTRIBUTES/VARIABLE_VALUE']
    """
    _check_arguments(saver_format, var_list, reshape, max_to_keep, keep_checkpoint_every_n_hours)
    makers = {
        "name": partial(LateSaver, lambda: var_list),
        "object": partial(LateSaver, lambda: _object_saveables(var_list)),
        "both": partial(RekeyingSaver, lambda: names_and_objects(var_list)),
    }
    return makers[saver_format](
        max_to_keep=max_to_keep,
        keep_checkpoint_every_n_hours=keep_checkpoint_every_n_hours,
        sharded=sharded,
        reshape=reshape,
        restore_sequentially=restore_sequentially,
        pad_step_number=pad_step_number,
        save_relative_paths=save_relative_paths,
        allow_empty=allow_empty,
        name=name,
        filename=filename,
    )


def _check_arguments(
    saver_format: str,
    var_list: object,
    reshape: bool,
    max_to_keep: Optional[int],
    keep_checkpoint_every_n_hours: Optional[float],
) -> None:
    check_choice("saver_format", saver_format, ("name", "object", "both"))
    if saver_format == "object" and reshape:
        raise WarmStartError("an object-based checkpoint cannot be restored into other shapes; leave out reshape=True")
    if saver_format == "name" and is_trackable(var_list) and not isinstance(var_list, (list, dict, tf.Variable)):
        raise WarmStartError(
            f'a {type(var_list).__name__} is saved by its objects; give saver_format="object" or "both", or a list of variables'
        )
    _check_not_negative("max_to_keep", max_to_keep)
    _check_not_negative("keep_checkpoint_every_n_hours", keep_checkpoint_every_n_hours)


def _check_not_negative(argument: str, value: Optional[float]) -> None:
    if value is not None and not (is_number(value) and value >= 0):
        raise WarmStartError(f"{argument} must be a number, 0 or more, got {value!r}")


def _object_saveables(var_list: Any) -> List[Any]:
    """Returns the saveables of an object-based checkpoint of `var_list`."""
    if is_one_trackable(var_list):
        return saveables_of(var_list)
    others: List[Any] = []
    if var_list is None:
        var_list = tf1.global_variables()
        # Tables and iterators, which define how they are saved.
        others = tf1.get_collection(tf1.GraphKeys.SAVEABLE_OBJECTS)
    named = dict(var_list) if isinstance(var_list, Mapping) else {logical_name(variable): variable for variable in var_list}
    parts = [variable for variable in named.values() if is_partitioned(variable)]
    if parts:
        raise WarmStartError(
            "an object-based checkpoint cannot hold partitioned variables, here "
            f'{first_few(sorted({logical_name(part) for part in parts}))}; save this model with saver_format="both"'
        )
    holder = tf.Module()
    holder.vars = named  # Makes the dict trackable, which TensorFlow 1.15's Checkpoint does not.
    return saveables_of(tf1.train.Checkpoint(vars=holder.vars)) + list(others)
