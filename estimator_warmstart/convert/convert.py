"""Converts whole checkpoints from one format to the other: `convert_checkpoint`.

Source: the keys of object-based checkpoints are those that tensorflow/python/checkpoint/trackable_view.py makes of paths.
"""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Sequence

import numpy as np

from estimator_warmstart._tf import object_graph_pb2, tf
from estimator_warmstart.arguments import check_choice
from estimator_warmstart.checkpoint.arrays import ARRAY_FORMATS
from estimator_warmstart.checkpoint.bundle_writer import NewTensor, write_tensors
from estimator_warmstart.checkpoint.checkpoint import NAME_BASED, NAME_BASED_V1, OBJECT_BASED, Checkpoint, open_checkpoint
from estimator_warmstart.checkpoint.copies import TensorCopy, write_copies
from estimator_warmstart.checkpoint.object_graph import OBJECT_GRAPH_KEY, SAVE_COUNTER, add_variable, graph_of_dict
from estimator_warmstart.convert.array_files import arrays_to_write, write_arrays
from estimator_warmstart.convert.chosen import chosen_variables
from estimator_warmstart.convert.destination import checked_destination, checked_file, source_directory, staged
from estimator_warmstart.convert.keras import copies_into_model
from estimator_warmstart.convert.partitioned_copies import counts_by_key, write_partitioned
from estimator_warmstart.convert.partitions import PartitionsArgument
from estimator_warmstart.convert.renamed import copy_of, renamed_variables
from estimator_warmstart.convert.v1_copies import rewritten_as_v2
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.files import PathArgument
from estimator_warmstart.patterns import PatternsArgument, RenameArgument, Renames, compile_renames
from estimator_warmstart.plan.adapter_rules import AdaptersArgument
from estimator_warmstart.progress import Progress, progress_line, unseen

_FORMAT_OF_CHOICE = {"object": OBJECT_BASED, "name": NAME_BASED, **{each: each for each in ARRAY_FORMATS}}


def convert_checkpoint(
    source: PathArgument,
    destination: PathArgument,
    *,
    to: str = "object",
    model: Optional[tf.Module] = None,
    optimizer: Optional[tf.keras.optimizers.Optimizer] = None,
    rename: RenameArgument = None,
    include: PatternsArgument = None,
    exclude: PatternsArgument = None,
    adapters: Optional[AdaptersArgument] = None,
    partitions: PartitionsArgument = None,
    overwrite: bool = False,
    progress: Optional[bool] = None,
) -> str:
    """Writes a whole checkpoint in another format: name-based, object-based, `.npz` or `.safetensors`.

    Every tensor is kept bit for bit, including the slots and the step, and partitioned variables keep their slices. The
    checksums are verified. A few MB are in memory at a time, however large the tensors are. The new checkpoint is moved to its
    place when it is whole, so a conversion that fails or is interrupted leaves nothing behind. A process that is killed leaves
    the old one or the new one whole, and a directory `DESTINATION.converting-*`, which you may remove. The source is only read.

    Args:
      source: str or path: the old checkpoint, as `ckp_dir` elsewhere: a directory, a prefix, a SavedModel's directory, or an
        `.npz` or `.safetensors` file.
      destination: str or path: the prefix of the new one, such as `new/model.ckpt`, or the path of the new file, such as
        `new/model.npz`; not in the source's directory. Directories that are missing are made.
      to: `"object"`: a name-based source becomes a checkpoint that `tf.train.Checkpoint` restores. `"name"`: an object-based
        source becomes one that `tf.compat.v1.train.Saver` restores under the variables' names; so does a V1 checkpoint, whose
        largest tensor is in memory then. `"npz"`, `"safetensors"`: a file of arrays by the variables' names, for `numpy.load`,
        or `safetensors`. Partitioned variables become whole. What such a file cannot hold, as strings, is an error that names
        it. In an `.npz` file bfloat16 is NumPy's `V2`, to be viewed as `tf.bfloat16.as_numpy_dtype`.
      model: for `to="object"`: a built Keras model or a `tf.Module`. The variables get the object paths of the model's
        variables of the same names, for `tf.train.Checkpoint(model=model)` and for `model.load_weights`. `None`: they go into
        a dict by their names, as in TensorFlow's migration guide: `checkpoint.vars = {"fm/w": variable}`.
      optimizer: with `model`: a Keras optimizer (`Adadelta`, `Adagrad`, `Adam`, `Ftrl`, `RMSprop`, `SGD` for Momentum) that
        takes over the slots and the step of TensorFlow 1's, for `tf.train.Checkpoint(model=model, optimizer=optimizer)`.
        Its slots are made if they are missing. No value of it or of the model is changed.
      rename: `{old pattern: new name or scope, or a list of several}`, as a hook takes it. Slots go with their variables.
        Without `model`, the variables get these names in the new checkpoint, and the others keep theirs; a name-based source
        may then stay name-based.
      include: a pattern or list of patterns of old names, as a hook takes it: only these variables are converted, with their
        slots. A slot may be chosen by its own name too. `None`: everything that the checkpoint holds, slots and step too.
      exclude: the same for what is left out, also of what `include` chooses.
      adapters: with `model`: `{name of a variable of the model or pattern: adapter or list of adapters}`, as a hook takes it,
        for shapes and dtypes that differ. Slots follow. New positions take the values that the model and the optimizer have.
        One adapted value at a time is in memory.
      partitions: in how many parts variables are stored, along the first axis: `{pattern of the source's names: number of
        parts}`, or a number of parts for every variable above 64 MB. Slots are stored as their variables. A name-based source
        may stay name-based then. `None`: as in the source.
      overwrite: whether a checkpoint at `destination` is replaced.
      progress: `True`: the bytes done are shown on stderr. `False`: nothing is. `None`: what takes longer than two seconds
        shows them if stderr is a terminal, and logs them each ten seconds, at level INFO, if it is not.

    Returns:
      The new checkpoint's prefix, or the new file's path.

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
    _check_together(to, model, optimizer, adapters, partitions)
    renames = compile_renames(rename)
    old = open_checkpoint(source)
    _check_differs(old, to, bool(renames) or any(each is not None for each in (include, exclude, partitions)))
    read_only = source_directory(old)
    old = chosen_variables(old, include, exclude)
    if to in ARRAY_FORMATS:
        place = checked_file(destination, read_only, to, overwrite)
        _write_file(place, to, old, renames or (), overwrite, progress)
        return place
    place = checked_destination(destination, read_only, overwrite)
    counts = counts_by_key(old, partitions)
    with staged(place, overwrite) as folder, progress_line(_what(place), progress) as show:
        old = rewritten_as_v2(old, folder, progress) if old.format == NAME_BASED_V1 else old
        if to == "name":
            copies = _copies_by_name(old, renames or ())
        elif model is None:
            copies = _copies_into_dict(old, renames or (), folder)
        else:
            graph, copies = copies_into_model(old, model, optimizer, folder, rename, adapters, progress)
            copies += _graph_copies(graph, folder)
        _write(old, copies, None if partitions is None else counts, folder, progress, show)
    return place


def _write_file(
    place: str, to: str, old: Checkpoint, renames: Sequence[Renames], overwrite: bool, progress: Optional[bool]
) -> None:
    """Writes a file of arrays."""
    arrays = arrays_to_write(old, _names_of_all(old, renames), to)
    with staged(place, overwrite, is_file=True) as folder, progress_line(_what(place), progress) as show:
        write_arrays(os.path.join(folder, "new"), to, old, arrays, show)


def _what(place: str) -> str:
    return f"Converting {os.path.basename(place)}"


def _write(
    old: Checkpoint,
    copies: List[TensorCopy],
    counts: Optional[Dict[str, int]],
    folder: str,
    progress: Optional[bool],
    show: Progress,
) -> None:
    """Writes copies, some of them in parts if there are `counts`. What comes from a file of arrays is stored whole before."""
    if counts is None:
        write_copies(os.path.join(folder, "new"), copies, show)
        return
    source = old.prefix
    if old.format in ARRAY_FORMATS:
        source = os.path.join(folder, "whole")
        with progress_line(f"Unpacking {os.path.basename(old.prefix)}", progress) as show_unpacked:
            write_copies(source, copies, show_unpacked)
        counts = {each.new_key: counts[each.key] for each in copies if each.key in counts}
        copies = [TensorCopy(source, each.new_key, each.new_key) for each in copies]
    write_partitioned(os.path.join(folder, "new"), copies, counts, source, show)


def _check_together(
    to: str,
    model: Optional[tf.Module],
    optimizer: Optional[tf.keras.optimizers.Optimizer],
    adapters: Optional[AdaptersArgument],
    partitions: PartitionsArgument,
) -> None:
    """Raises `WarmStartError` for a format that is not known, and for arguments that need another one."""
    check_choice("to", to, sorted(_FORMAT_OF_CHOICE))
    if model is not None and to != "object":
        raise WarmStartError(f"model is for to='object'; leave it out for to={to!r}")
    if optimizer is not None and model is None:
        raise WarmStartError(
            "optimizer needs model: the object paths of its slots are made from those of the model's variables"
        )
    if adapters is not None and model is None:
        raise WarmStartError("adapters need model: its variables have the shapes and dtypes that they lead to")
    if partitions is not None and to in ARRAY_FORMATS:
        raise WarmStartError(f"partitions are for checkpoints; to={to!r} holds whole variables")


def _check_differs(old: Checkpoint, to: str, is_changed: bool) -> None:
    """Raises `WarmStartError` if the source has the new format already, and nothing is changed that could be there."""
    if old.format != _FORMAT_OF_CHOICE[to] or (is_changed and to != "object"):
        return
    if is_changed:
        raise WarmStartError(f"{old.prefix} is {old.format} already; to choose or rename variables, convert it to='name' first")
    files = f"files, {old.prefix}.*" if old.format == NAME_BASED or old.format == OBJECT_BASED else "file"
    raise WarmStartError(f"{old.prefix} is {old.format} already; copy its {files}")


def _copies_by_name(old: Checkpoint, renames: Sequence[Renames]) -> List[TensorCopy]:
    """Returns copies of all variables under their names. The object graph and the save counter are left out."""
    return [copy_of(old.variables[source], name) for name, source in _names_of_all(old, renames).items()]


def _names_of_all(old: Checkpoint, renames: Sequence[Renames]) -> Dict[str, str]:
    """Returns {new name: old name} of all variables, for a format that has names only."""
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
    return renamed_variables(old, renames)


def _copies_into_dict(old: Checkpoint, renames: Sequence[Renames], folder: str) -> List[TensorCopy]:
    """Returns copies of the variables under the keys of `checkpoint.vars`, and of the object graph that has them."""
    sources = renamed_variables(old, renames)
    graph, keys = graph_of_dict(sources)
    copies = [copy_of(old.variables[source], keys[name]) for name, source in sources.items()]
    return copies + _graph_copies(graph, folder)


def _graph_copies(graph: object_graph_pb2.TrackableObjectGraph, folder: str) -> List[TensorCopy]:
    """Writes an object graph and a save counter in `folder`; returns the copies of both."""
    # tf.train.Checkpoint counts its saves. It treats a checkpoint without the count as one that it has not written.
    counter = add_variable(graph, 0, SAVE_COUNTER, (SAVE_COUNTER,))
    prefix = os.path.join(folder, "added")
    text = np.array(graph.SerializeToString(), object)
    added = [
        NewTensor(counter, "int64", (), None, iter([np.int64(1)])),
        NewTensor(OBJECT_GRAPH_KEY, "string", (), None, iter([text])),
    ]
    write_tensors(prefix, added, unseen)
    return [TensorCopy(prefix, key, key) for key in (counter, OBJECT_GRAPH_KEY)]
