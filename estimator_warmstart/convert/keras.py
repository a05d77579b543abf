"""Finds the old variables, slots and step for a Keras model and a Keras optimizer, by their own object paths."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Dict, List, Mapping, Optional, Set, Tuple

from estimator_warmstart._tf import build_optimizer, initialize_keras_variables, logger, object_graph_pb2, tf
from estimator_warmstart.checkpoint.checkpoint import Checkpoint
from estimator_warmstart.checkpoint.copies import TensorCopy
from estimator_warmstart.checkpoint.data_files import BundleReader
from estimator_warmstart.checkpoint.index_file import StoredTensor
from estimator_warmstart.checkpoint.object_graph import OBJECT_GRAPH_KEY, VALUE_ATTRIBUTE
from estimator_warmstart.convert.adapted_copies import SlotToPlan, plan_for_model, plan_slot, write_adapted
from estimator_warmstart.convert.keras_optimizer import (
    TF1_SLOTS,
    OptimizerState,
    ValueSource,
    full_name_of,
    optimizer_class,
    to_int64,
)
from estimator_warmstart.convert.renamed import copy_of
from estimator_warmstart.errors import WarmStartError, did_you_mean, first_few
from estimator_warmstart.patterns import RenameArgument
from estimator_warmstart.plan.adapter_rules import AdaptersArgument
from estimator_warmstart.plan.plan import PlannedVariable
from estimator_warmstart.progress import tally
from estimator_warmstart.slots import SlotOf


def copies_into_model(
    old: Checkpoint,
    model: tf.Module,
    optimizer: Optional[tf.keras.optimizers.Optimizer],
    folder: str,
    rename: RenameArgument = None,
    adapters: Optional[AdaptersArgument] = None,
    is_shown: Optional[bool] = None,
) -> Tuple[object_graph_pb2.TrackableObjectGraph, List[TensorCopy]]:
    """Returns what `tf.train.Checkpoint(model=model, optimizer=optimizer)` would write if the model had the old values.

    Args:
      old: the old model, name-based.
      model: a built Keras model or a `tf.Module`. Its variables take the values of the old ones of the same names.
      optimizer: a Keras optimizer, whose slots are made if they are missing. `None`: an optimizer that the model was compiled
        with keeps its values.
      folder: where a checkpoint of the model as it is may be written, and one of adapted values.
      rename: which old variables go by other names in the model.
      adapters: how old values become those of the model; their slots follow them.
      is_shown: whether the progress is, as for `progress_line`.

    Returns:
      The object graph, and a copy of each tensor: from the old checkpoint, or, if there is no old variable for it, as for an
      optimizer's learning rate, from the checkpoint of the model as it is.

    Raises:
      WarmStartError: listing all that the old checkpoint does not have, or has in another shape or dtype.
    """
    _check_model(model, optimizer)
    variables = {_name_in_graph(variable): variable for variable in model.variables}
    planned = plan_for_model(old, variables, rename, adapters)
    if optimizer is not None:
        build_optimizer(optimizer, list(model.trainable_variables))
    prefix = _write_as_it_is(model, optimizer, os.path.join(folder, "as-it-is"))
    with closing(BundleReader(prefix)) as reader:
        graph = object_graph_pb2.TrackableObjectGraph.FromString(reader.read_string(OBJECT_GRAPH_KEY))
        stored = reader.index.tensors()
    root = {child.local_name: child.node_id for child in graph.nodes[0].children}
    wanted, problems = _model_variables(graph, root, set(variables), old, planned)
    if optimizer is not None:
        state = OptimizerState(graph, root["optimizer"], optimizer, old, planned or {})
        wanted.update(state.sources())
        problems += state.problems
    taken = {_value_key_of(graph.nodes[node]): source for node, source in wanted.items()}
    adapted, misfits = _adapted(taken, stored, planned or {})
    problems += misfits + _shape_and_dtype_problems({key: each for key, each in taken.items() if key not in adapted}, stored)
    if problems:
        raise WarmStartError(f"{old.prefix} does not fit the model", problems)
    _share_children_with_root(graph, root["model"])
    unused = sorted(set(old.variables) - {source.old.name for source in taken.values()})
    if unused:
        logger.info("Neither the model nor the optimizer has these variables of %s: %s", old.prefix, first_few(unused))
    total = sum(each.source.nbytes for each in adapted.values())
    with tally(f"Adapting values of {os.path.basename(old.prefix)}", total, is_shown) as count:
        places = write_adapted(old, prefix, adapted, folder, count)
    return graph, [_copy_of(key, taken.get(key), places.get(key), prefix) for key in stored if key != OBJECT_GRAPH_KEY]


def _copy_of(key: str, source: Optional[ValueSource], adapted: Optional[str], as_it_is: str) -> TensorCopy:
    if source is None:
        return TensorCopy(as_it_is, key, key)
    if adapted is not None:
        return TensorCopy(adapted, key, key, source.change)
    return copy_of(source.old, key, source.change)


def _adapted(
    taken: Mapping[str, ValueSource], stored: Mapping[str, StoredTensor], planned: Mapping[str, PlannedVariable]
) -> Tuple[Dict[str, PlannedVariable], List[str]]:
    """Returns {key: what is planned} of the variables whose values are adapted and of their slots, and what is wrong."""
    found: Dict[str, PlannedVariable] = {}
    problems = []
    for key, source in taken.items():
        primary = planned.get(source.primary)
        if primary is None or not primary.steps:
            continue
        found[key] = primary
        if source.slot_name:
            found[key] = plan_slot(SlotToPlan(source.old, SlotOf("", source.primary, source.slot_name), stored[key]), primary)
            if found[key].old is None:
                problems.append(found[key].reason)
    return found, problems


def _check_model(model: tf.Module, optimizer: Optional[tf.keras.optimizers.Optimizer]) -> None:
    if not isinstance(model, tf.Module):
        hint = "; Keras 3 loads no checkpoint: use recover_into, then model.save" if isinstance(model, tf.keras.Model) else ""
        raise WarmStartError(f"model must be a Keras model or a tf.Module, got {model!r}{hint}")
    try:
        names = [_name_in_graph(variable) for variable in model.variables]
    except ValueError as error:  # Keras makes the variables of such a model when it is first called.
        raise WarmStartError(f"model has no variables yet; build it first, or call it once: {error}") from error
    if not names:
        raise WarmStartError("model has no variables yet; build it first, or call it once")
    shared = sorted({name for name in names if names.count(name) > 1})
    if shared:
        raise WarmStartError(f"several variables of the model have the same name, {first_few(shared)}; give each its own")
    compiled = getattr(model, "optimizer", None)
    if optimizer is not None and compiled is not None and compiled is not optimizer:
        raise WarmStartError("the model was compiled with another optimizer; give that one: optimizer=model.optimizer")
    if optimizer is not None and optimizer_class(optimizer) is None:
        raise WarmStartError(
            f"optimizer must be one of tf.keras.optimizers' {', '.join(sorted(TF1_SLOTS))}, got {optimizer!r}; "
            "without it only the model's variables are converted"
        )


def _write_as_it_is(model: tf.Module, optimizer: Optional[tf.keras.optimizers.Optimizer], prefix: str) -> str:
    """Writes the model with the values that it has."""
    if optimizer is None:
        optimizer = getattr(model, "optimizer", None)
    objects = {"model": model} if optimizer is None else {"model": model, "optimizer": optimizer}
    if not tf.executing_eagerly():
        initialize_keras_variables()
    try:
        return str(tf.train.Checkpoint(**objects).write(prefix))
    except tf.errors.FailedPreconditionError as error:
        raise WarmStartError(
            "the model's variables have no values yet; initialize them, and convert inside `with session.as_default():`"
        ) from error


def _model_variables(
    graph: object_graph_pb2.TrackableObjectGraph,
    root: Mapping[str, int],
    names: Set[str],
    old: Checkpoint,
    planned: Optional[Mapping[str, PlannedVariable]],
) -> Tuple[Dict[int, ValueSource], List[str]]:
    """Returns {node: source} of the model's own variables, which have these `names`, and what is wrong with them."""
    of_optimizer = _nodes_below(graph, root["optimizer"]) if "optimizer" in root else {}
    nodes = {
        full_name_of(node): number
        for number, node in enumerate(graph.nodes)
        if full_name_of(node) in names and number not in of_optimizer
    }
    if planned is None:
        sources = {name: old.variables[name] for name in names if name in old.variables}
    else:
        sources = {name: each.source for name, each in planned.items()}
    unnamed = "" if planned is None else ", and no rename gives it anything"
    problems = [
        f"{old.prefix} has no {name!r}{did_you_mean(name, old.variables)}{unnamed}" for name in sorted(names - set(sources))
    ]
    problems += [f"{name!r} is not in an attribute of the model that TensorFlow tracks" for name in sorted(names - set(nodes))]
    return {node: ValueSource(sources[name], None, name) for name, node in nodes.items() if name in sources}, problems


def _shape_and_dtype_problems(taken: Mapping[str, ValueSource], stored: Mapping[str, StoredTensor]) -> List[str]:
    """Returns what is wrong with the shapes and the dtypes of the old variables that are `taken`, by their new keys."""
    problems = []
    for key, (old, change, _, _) in sorted(taken.items()):
        shape, dtype, _ = stored[key]
        if (shape, dtype) != (old.shape, old.dtype) and change is not to_int64:
            problems.append(f"the old {old.name!r} is {old.dtype} {list(old.shape)}, the new one {dtype} {list(shape)}")
    return problems


def _share_children_with_root(graph: object_graph_pb2.TrackableObjectGraph, model: int) -> None:
    """Adds the model's children to the root, where `model.load_weights` looks for them: its root is the model."""
    names = {child.local_name for child in graph.nodes[0].children}
    for child in list(graph.nodes[model].children):
        if child.local_name not in names:
            graph.nodes[0].children.add(node_id=child.node_id, local_name=child.local_name)


def _nodes_below(graph: object_graph_pb2.TrackableObjectGraph, start: int) -> Dict[int, None]:
    """Returns the nodes that are reached from `start`, itself included, and the slots of the optimizers among them."""
    reached: Dict[int, None] = {}
    waiting = [start]
    while waiting:
        number = waiting.pop()
        if number not in reached:
            reached[number] = None
            node = graph.nodes[number]
            waiting += [child.node_id for child in node.children] + [slot.slot_variable_node_id for slot in node.slot_variables]
    return reached


def _name_in_graph(variable: tf.Variable) -> str:
    return str(variable.name.partition(":")[0])


def _value_key_of(node: object_graph_pb2.TrackableObjectGraph.TrackableObject) -> str:
    return next(str(attribute.checkpoint_key) for attribute in node.attributes if attribute.name == VALUE_ATTRIBUTE)
