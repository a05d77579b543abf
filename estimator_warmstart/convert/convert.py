"""Converts whole checkpoints from one format to the other: `convert_checkpoint`.

Source: the keys of object-based checkpoints are those that tensorflow/python/checkpoint/trackable_view.py makes of paths.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import List, Optional, Sequence

import numpy as np

from estimator_warmstart._tf import object_graph_pb2, tf
from estimator_warmstart.arguments import check_choice
from estimator_warmstart.checkpoint.bundle_writer import BundleWriter
from estimator_warmstart.checkpoint.checkpoint import NAME_BASED, OBJECT_BASED, Checkpoint, open_checkpoint
from estimator_warmstart.checkpoint.data_files import TensorCopy, write_bundle
from estimator_warmstart.checkpoint.index_file import StoredTensor
from estimator_warmstart.checkpoint.object_graph import OBJECT_GRAPH_KEY, SAVE_COUNTER, add_variable, graph_of_dict
from estimator_warmstart.convert.destination import checked_destination, source_directory, staged
from estimator_warmstart.convert.keras import copies_into_model
from estimator_warmstart.convert.renamed import renamed_variables
from estimator_warmstart.convert.v1_copies import rewritten_as_v2
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.files import PathArgument
from estimator_warmstart.patterns import RenameArgument, Renames, compile_renames
from estimator_warmstart.plan.adapter_rules import AdaptersArgument
from estimator_warmstart.text_output import progress_line

_FORMAT_OF_CHOICE = {"object": OBJECT_BASED, "name": NAME_BASED}


def convert_checkpoint(
    source: PathArgument,
    destination: PathArgument,
    *,
    to: str = "object",
    model: Optional[tf.Module] = None,
    optimizer: Optional[tf.keras.optimizers.Optimizer] = None,
    rename: RenameArgument = None,
    adapters: Optional[AdaptersArgument] = None,
    overwrite: bool = False,
    progress: Optional[bool] = None,
) -> str:
    """Writes a whole checkpoint in the other format, name-based or object-based.

    Every tensor is kept bit for bit, including the slots and the step, and partitioned variables keep their slices. The
    checksums are verified. A few MB are in memory at a time, however large the tensors are. The new checkpoint is moved to its
    place when it is whole, so a conversion that fails or is interrupted leaves nothing behind. A process that is killed leaves
    the old one or the new one whole, and a directory `DESTINATION.converting-*`, which you may remove. The source is only read.

    Args:
      source: str or path: the old checkpoint, as `ckp_dir` elsewhere: a directory, a prefix, a SavedModel's directory.
      destination: str or path: the prefix of the new one, such as `new/model.ckpt`, not in the source's directory;
        directories that are missing are made.
      to: `"object"`: a name-based source becomes a checkpoint that `tf.train.Checkpoint` restores. `"name"`: an object-based
        source becomes one that `tf.compat.v1.train.Saver` restores under the variables' names; so does a V1 checkpoint, whose
        largest tensor is in memory then.
      model: for `to="object"`: a built Keras model or a `tf.Module`. The variables get the object paths of the model's
        variables of the same names, for `tf.train.Checkpoint(model=model)` and for `model.load_weights`. `None`: they go into
        a dict by their names, as in TensorFlow's migration guide: `checkpoint.vars = {"fm/w": variable}`.
      optimizer: with `model`: a Keras optimizer (`Adadelta`, `Adagrad`, `Adam`, `Ftrl`, `RMSprop`, `SGD` for Momentum) that
        takes over the slots and the step of TensorFlow 1's, for `tf.train.Checkpoint(model=model, optimizer=optimizer)`.
        Its slots are made if they are missing. No value of it or of the model is changed.
      rename: `{old pattern: new name or scope, or a list of several}`, as a hook takes it. Slots go with their variables.
        Without `model`, the variables get these names in the new checkpoint, and the others keep theirs; a name-based source
        may then stay name-based.
      adapters: with `model`: `{name of a variable of the model or pattern: adapter or list of adapters}`, as a hook takes it,
        for shapes and dtypes that differ. Slots follow. New positions take the values that the model and the optimizer have.
        One adapted value at a time is in memory.
      overwrite: whether a checkpoint at `destination` is replaced.
      progress: whether to show the bytes done on stderr. `None`: only if that is a terminal.

    Returns:
      The new checkpoint's prefix.

    Raises:
      WarmStartError: for bad arguments, a damaged source, a model that the source does not fit, or a place that cannot be
        written. Nothing is left at `destination` or next to it.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import convert_checkpoint
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     w = tf1.get_variable("fm/w", [2], initializer=tf1.ones_initializer())
      ...     session.run(tf1.global_variables_initializer())
      ...     old = tf1.train.Saver().save(session, os.path.join(folder, "old", "model.ckpt"))
      >>> new = convert_checkpoint(old, os.path.join(folder, "new", "model.ckpt"))
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     checkpoint = tf.train.Checkpoint()
      ...     checkpoint.vars = {"fm/w": tf.Variable([0.0, 0.0])}
      ...     checkpoint.restore(new).assert_consumed().run_restore_ops()
      ...     [float(value) for value in session.run(checkpoint.vars["fm/w"])]
      [1.0, 1.0]

    Source: `convert_tf1_to_tf2` and `convert_tf2_to_tf1` of TensorFlow's guide on migrating checkpoints.
    """
    _check_together(to, model, optimizer, adapters)
    renames = compile_renames(rename)
    old = open_checkpoint(source)
    if old.format == _FORMAT_OF_CHOICE[to] and not (renames and to == "name"):
        raise WarmStartError(f"{old.prefix} is {old.format} already; copy its files, {old.prefix}.*")
    place = checked_destination(destination, source_directory(old), overwrite)
    with staged(place, overwrite) as folder, progress_line(os.path.basename(place), progress) as show:
        old = rewritten_as_v2(old, folder) if old.files else old
        if to == "name":
            copies = _copies_by_name(old, renames or ())
        elif model is None:
            copies = _copies_into_dict(old, renames or (), folder)
        else:
            graph, copies = copies_into_model(old, model, optimizer, folder, rename, adapters)
            copies += _graph_copies(graph, folder)
        write_bundle(os.path.join(folder, "new"), copies, show)
    return place


def _check_together(
    to: str,
    model: Optional[tf.Module],
    optimizer: Optional[tf.keras.optimizers.Optimizer],
    adapters: Optional[AdaptersArgument],
) -> None:
    """Raises `WarmStartError` for a format that is not known, and for arguments that need another one."""
    check_choice("to", to, sorted(_FORMAT_OF_CHOICE))
    if model is not None and to != "object":
        raise WarmStartError("model is for to='object'; leave it out for to='name'")
    if optimizer is not None and model is None:
        raise WarmStartError(
            "optimizer needs model: the object paths of its slots are made from those of the model's variables"
        )
    if adapters is not None and model is None:
        raise WarmStartError("adapters need model: its variables have the shapes and dtypes that they lead to")


def _copies_by_name(old: Checkpoint, renames: Sequence[Renames]) -> List[TensorCopy]:
    """Returns copies of all variables under their names. The object graph and the save counter are left out."""
    if old.shared_names:
        raise WarmStartError(
            f"names of {old.prefix} are ambiguous",
            [
                f"{len(paths)} variables have the name {name!r}: {first_few(paths)}"
                for name, paths in sorted(old.shared_names.items())
            ],
        )
    if not old.variables:
        raise WarmStartError(f"{old.prefix} has no variables")
    return [TensorCopy(old.prefix, old.variables[source].key, name) for name, source in renamed_variables(old, renames).items()]


def _copies_into_dict(old: Checkpoint, renames: Sequence[Renames], folder: str) -> List[TensorCopy]:
    """Returns copies of the variables under the keys of `checkpoint.vars`, and of the object graph that has them."""
    sources = renamed_variables(old, renames)
    graph, keys = graph_of_dict(sources)
    copies = [TensorCopy(old.prefix, old.variables[source].key, keys[name]) for name, source in sources.items()]
    return copies + _graph_copies(graph, folder)


def _graph_copies(graph: object_graph_pb2.TrackableObjectGraph, folder: str) -> List[TensorCopy]:
    """Writes an object graph and a save counter in `folder`; returns the copies of both."""
    # tf.train.Checkpoint counts its saves. It treats a checkpoint without the count as one that it has not written.
    counter = add_variable(graph, 0, SAVE_COUNTER, (SAVE_COUNTER,))
    prefix = os.path.join(folder, "added")
    with closing(BundleWriter(prefix)) as writer:
        writer.write(counter, StoredTensor((), "int64"), [np.ones([1], np.int64)])
        writer.write_string(OBJECT_GRAPH_KEY, graph.SerializeToString())
        writer.finish()
    return [TensorCopy(prefix, key, key) for key in (counter, OBJECT_GRAPH_KEY)]
