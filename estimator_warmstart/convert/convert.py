"""Converts whole checkpoints from one format to the other: `convert_checkpoint`.

Source: the keys of object-based checkpoints are those that tensorflow/python/checkpoint/trackable_view.py makes of paths.
"""

from __future__ import annotations

import os
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from estimator_warmstart._tf import object_graph_pb2, tf, tf1
from estimator_warmstart.arguments import check_choice
from estimator_warmstart.checkpoint.checkpoint import (
    NAME_BASED,
    OBJECT_BASED,
    Checkpoint,
    OldVariable,
    open_checkpoint,
    slice_spec,
)
from estimator_warmstart.checkpoint.data_files import TensorCopy, write_bundle
from estimator_warmstart.checkpoint.object_graph import OBJECT_GRAPH_KEY, SAVE_COUNTER, VALUE_ATTRIBUTE, value_key
from estimator_warmstart.convert.destination import checked_destination, staged
from estimator_warmstart.convert.keras import copies_into_model
from estimator_warmstart.convert.partitioned_copies import counts_by_key, write_partitioned
from estimator_warmstart.convert.partitions import PartitionsArgument
from estimator_warmstart.convert.renamed import renamed_variables
from estimator_warmstart.errors import CheckpointError, WarmStartError, first_few
from estimator_warmstart.files import PathArgument
from estimator_warmstart.patterns import RenameArgument, Renames, compile_renames
from estimator_warmstart.plan.adapter_rules import AdaptersArgument
from estimator_warmstart.tensors import whole_slice
from estimator_warmstart.text_output import progress_line

_BATCH_BYTES = 1 << 26
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
    partitions: PartitionsArgument = None,
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
      partitions: in how many parts variables are stored, along the first axis: `{pattern of the source's names: number of
        parts}`, or a number of parts for every variable above 64 MB. Slots are stored as their variables. A name-based source
        may stay name-based then. `None`: as in the source.
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
    if old.format == _FORMAT_OF_CHOICE[to] and not ((renames or partitions is not None) and to == "name"):
        raise WarmStartError(f"{old.prefix} is {old.format} already; copy its files, {old.prefix}.*")
    read_only = os.path.dirname(old.prefix)
    if old.is_saved_model:  # Its prefix is variables/variables in its directory.
        read_only = os.path.dirname(read_only)
    place = checked_destination(destination, read_only, overwrite)
    counts_by_key(old, partitions)  # Before anything is made.
    with staged(place, overwrite) as folder, progress_line(os.path.basename(place), progress) as show:
        old = _rewritten_as_v2(old, folder) if old.files else old
        if to == "name":
            copies = _copies_by_name(old, renames or ())
        elif model is None:
            copies = _copies_into_dict(old, renames or (), folder)
        else:
            graph, copies = copies_into_model(old, model, optimizer, folder, rename, adapters)
            copies += _graph_copies(graph, folder)
        if partitions is None:
            write_bundle(os.path.join(folder, "new"), copies, show)
        else:
            write_partitioned(os.path.join(folder, "new"), copies, counts_by_key(old, partitions), old.prefix, show)
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


def _rewritten_as_v2(old: Checkpoint, folder: str) -> Checkpoint:
    """Writes a V1 checkpoint as V2 in `folder`, with a few variables or one large one in memory at a time.

    Raises:
      CheckpointError: if a value cannot be read.
    """
    prefix = os.path.join(folder, "v2")
    written: List[str] = []
    try:
        with tf.Graph().as_default(), tf1.Session(config=tf1.ConfigProto(device_count={"GPU": 0})) as session:
            for batch in _in_batches(old.variables.values()):
                stored = [(each, slice_spec(each, box)) for each in batch for box in each.slices or [whole_slice(each.shape)]]
                names, specs = [each.key for each, _ in stored], [spec for _, spec in stored]
                dtypes = [tf.as_dtype(each.dtype) for each, _ in stored]
                values = tf.raw_ops.RestoreV2(prefix=old.prefix, tensor_names=names, shape_and_slices=specs, dtypes=dtypes)
                written.append(f"{prefix}-{len(written)}")
                session.run(tf.raw_ops.SaveV2(prefix=written[-1], tensor_names=names, shape_and_slices=specs, tensors=values))
            session.run(
                tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=written, destination_prefix=prefix, delete_old_dirs=False)
            )
    except tf.errors.OpError as error:
        raise CheckpointError(f"{old.prefix} cannot be read as a V1 checkpoint: {error.message}") from error
    return open_checkpoint(prefix)


def _in_batches(variables: Iterable[OldVariable]) -> List[List[OldVariable]]:
    batches: List[List[OldVariable]] = [[]]
    for old in variables:
        if batches[-1] and sum(each.nbytes for each in batches[-1]) + old.nbytes > _BATCH_BYTES:
            batches.append([])
        batches[-1].append(old)
    return batches


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
    graph, keys = _graph_of_dict(sources)
    copies = [TensorCopy(old.prefix, old.variables[source].key, keys[name]) for name, source in sources.items()]
    return copies + _graph_copies(graph, folder)


def _graph_copies(graph: object_graph_pb2.TrackableObjectGraph, folder: str) -> List[TensorCopy]:
    """Writes an object graph and a save counter in `folder`; returns the copies of both."""
    # tf.train.Checkpoint counts its saves. It treats a checkpoint without the count as one that it has not written.
    counter = _add_variable(graph, 0, SAVE_COUNTER, (SAVE_COUNTER,))
    prefix = os.path.join(folder, "added")
    with tf.Graph().as_default(), tf1.Session(config=tf1.ConfigProto(device_count={"GPU": 0})) as session:
        added = {counter: tf.constant(1, tf.int64), OBJECT_GRAPH_KEY: tf.constant(graph.SerializeToString())}
        session.run(
            tf.raw_ops.SaveV2(
                prefix=prefix,
                tensor_names=list(added),
                shape_and_slices=[""] * len(added),
                tensors=list(added.values()),
            )
        )
    return [TensorCopy(prefix, key, key) for key in added]


def _graph_of_dict(names: Iterable[str]) -> Tuple[object_graph_pb2.TrackableObjectGraph, Dict[str, str]]:
    """Returns the object graph of `checkpoint.vars = {name: variable}`, and {name: key of its tensor}."""
    graph = object_graph_pb2.TrackableObjectGraph()
    graph.nodes.add().children.add(node_id=1, local_name="vars")
    graph.nodes.add()
    return graph, {name: _add_variable(graph, 1, name, ("vars", name)) for name in names}


def _add_variable(graph: object_graph_pb2.TrackableObjectGraph, holder: int, name: str, path: Tuple[str, ...]) -> str:
    """Adds a variable at `path` to the children of the node `holder`; returns the key of its tensor."""
    graph.nodes[holder].children.add(node_id=len(graph.nodes), local_name=name)
    key = value_key(path)
    graph.nodes.add().attributes.add(name=VALUE_ATTRIBUTE, full_name=name, checkpoint_key=key)
    return key
