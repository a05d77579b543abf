"""Writes the checkpoint that a warm-started training would begin with, without a session of the model: `write_checkpoint`."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from typing import Dict, List, Sequence, Union

from estimator_warmstart._tf import is_eager, tf, tf1, variable_graph
from estimator_warmstart.checkpoint.bundle_writer import write_tensors
from estimator_warmstart.convert.destination import checked_destination, source_directory, staged, write_state
from estimator_warmstart.convert.initial_graph import InitialGraph
from estimator_warmstart.convert.partitions import PartitionsArgument, StoredVariable, parts_of
from estimator_warmstart.convert.planned_values import PlannedValues
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import PathArgument, is_local
from estimator_warmstart.plan.plan import Plan, PlannedVariable
from estimator_warmstart.progress import progress_line
from estimator_warmstart.restore.finite_check import check_old_values
from estimator_warmstart.restore.warm_start_json import write_record


def write_checkpoint(
    plan: Union[Plan, Sequence[Plan]],
    destination: PathArgument,
    *,
    partitions: PartitionsArgument = None,
    overwrite: bool = False,
) -> str:
    """Writes the checkpoint that training would begin with: old values where the plan takes them, first values elsewhere.

    Use it to warm-start on one machine what many machines will train, or to look at a warm start before anything is trained.
    An Estimator resumes from the new directory, `model_dir`, without a hook; a hook that is still there leaves it alone. The
    values are bit for bit those that a hook recovers, and what is left as initialized is drawn by its own initializer. The
    step is 0.

    Tables are read, adapted and written a few MB at a time, and the checksum of each old tensor is verified. Held as a whole,
    one variable at a time: what `transform`, `reshape` and `shrink_perturb` make, what takes a mean of all rows as its fill, a
    first value that is not made of old ones, and the tensor of a V1 checkpoint. Rows that are remapped or taken in another
    order go through a file next to the new checkpoint, as large as the old table.

    Args:
      plan: of `plan_recovery`, for a graph that has all the variables of the training; or several plans for one graph.
      destination: str or path: the prefix of the new checkpoint, such as `model_dir/model.ckpt-0`. Directories that are
        missing are made. The directory gets a file `checkpoint` that names it, and `warm_start.json`.
      partitions: in how many parts variables are stored, along the first axis: `{pattern of names: number of parts}`, or a
        number of parts for every variable above 64 MB. Slots are stored as their variables. `None`: as in the graph.
      overwrite: whether to write into a directory that is a `model_dir` already, and to replace a checkpoint there.

    Returns:
      The prefix of the new checkpoint.

    Raises:
      WarmStartError: for bad arguments, old values that cannot be read, or a place that cannot be written. Nothing is left at
        `destination` then; what was there stays.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import plan_recovery, write_checkpoint
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     w = tf1.get_variable("w", initializer=tf.constant([1.0, 2.0]))
      ...     session.run(tf1.global_variables_initializer())
      ...     old = tf1.train.Saver().save(session, os.path.join(folder, "old", "model.ckpt"))
      >>> with tf.Graph().as_default():
      ...     w = tf1.get_variable("w", [3], initializer=tf1.zeros_initializer())
      ...     _ = tf1.train.get_or_create_global_step()
      ...     plan = plan_recovery(old, adapters={})
      ...     new = write_checkpoint(plan, os.path.join(folder, "new", "model.ckpt-0"))
      >>> tf.train.load_variable(os.path.join(folder, "new"), "w").tolist()
      [1.0, 2.0, 0.0]
    """
    started = time.monotonic()
    plans: List[Plan] = [plan] if isinstance(plan, Plan) else list(plan) if isinstance(plan, (list, tuple)) else [plan]  # type: ignore[list-item]
    decided = _decided(plans)
    checkpoints = {checkpoint.prefix: checkpoint for each in plans for checkpoint in each.checkpoints}
    counts = _counts(decided, partitions)
    place = str(destination)
    for checkpoint in checkpoints.values():
        place = checked_destination(destination, source_directory(checkpoint), overwrite)
    _refuse_model_dir(place, overwrite)
    for each in plans:
        check_old_values(each, check_finite=False)
    total = sum(planned.new.nbytes for planned in decided)
    parts = [part for planned in decided for part in planned.new.parts]
    with ExitStack() as opened:
        graph = variable_graph(parts[0].copies[0])
        initial = opened.enter_context(InitialGraph(graph, [part.copies[0] for part in parts]))
        folder = opened.enter_context(staged(place, overwrite))
        show = opened.enter_context(progress_line(f"Writing {os.path.basename(place)}"))
        local = folder if is_local(folder) else opened.enter_context(tempfile.TemporaryDirectory())
        values = opened.enter_context(PlannedValues(list(checkpoints.values()), decided, initial, counts, local))
        write_tensors(os.path.join(folder, "new"), values.tensors(), show, total)
    write_record(plans[-1], place, time.monotonic() - started)
    write_state(place)
    return place


def _decided(plans: Sequence[Plan]) -> List[PlannedVariable]:
    """Returns what is planned for each variable that a checkpoint of the graph has.

    Raises:
      WarmStartError: listing what cannot be written.
    """
    if not plans:
        raise WarmStartError("plan is empty: give one Plan or several")
    if not all(isinstance(each, Plan) for each in plans):
        raise WarmStartError(f"plan must be a Plan, as plan_recovery returns it, or several, got {plans!r}")
    problems: List[str] = []
    found: Dict[str, PlannedVariable] = {}
    graphs = set()
    for plan in plans:
        for planned in plan.variables:
            if planned.new.is_local:
                continue
            copy = planned.new.parts[0].copies[0]
            if is_eager(copy):
                raise WarmStartError("the plan is of variables that are not in a graph: recover_into has filled them already")
            graphs.add(copy.graph)
            before = found.get(planned.new.name)
            if before is not None and before.old is not None and planned.old is not None:
                problems.append(
                    f"the new {planned.new.name!r} takes its value from {before.old.prefix} and from {planned.old.prefix}; "
                    "name it in one plan only"
                )
            if before is None or planned.old is not None:
                found[planned.new.name] = planned
    if len(graphs) > 1:
        problems.append("the plans are for several graphs")
    if not found:
        problems.append("the graph has no global variables")
    problems += [
        f"the graph has {item.name!r}, which is not a variable, in its collection {tf1.GraphKeys.SAVEABLE_OBJECTS!r}: a saver "
        "would look for it, and only a session knows its value"
        for graph in graphs
        for item in graph.get_collection(tf1.GraphKeys.SAVEABLE_OBJECTS)
    ]
    if problems:
        raise WarmStartError("the checkpoint cannot be written", problems)
    return list(found.values())


def _counts(decided: Sequence[PlannedVariable], partitions: PartitionsArgument) -> Dict[str, int]:
    """Returns {name of a variable that is not stored as in the graph: number of its parts}."""
    variables = [
        StoredVariable(new.name, new.shape, new.dtype, new.slot_of.primary if new.slot_of else None)
        for new in (planned.new for planned in decided)
        if new.has_static_shape and new.is_whole
    ]
    counts = parts_of(partitions, variables)
    problems = [
        f"{new.name!r} is partitioned along another axis than the first in the graph; leave it out of partitions"
        for new in (planned.new for planned in decided)
        if new.name in counts and any(any(part.offset[1:]) for part in new.parts)
    ]
    if problems:
        raise WarmStartError("partitions cannot be made", problems)
    return counts


def _refuse_model_dir(place: str, overwrite: bool) -> None:
    folder = os.path.dirname(place)
    if not overwrite and tf.io.gfile.exists(os.path.join(folder, "checkpoint")):
        raise WarmStartError(
            f"{folder or '.'} is a model_dir already: its file `checkpoint` names what training resumes from; name another "
            "directory, or say overwrite=True to let training resume from the new checkpoint"
        )
