"""What a saver of both formats saves: variables by their names, and an object graph that leads to the same bytes.

Source: tensorflow/python/checkpoint/restore.py; since 2.11 the keys in an object graph must have
`.ATTRIBUTES/` in them, so a name alone cannot serve both kinds of readers.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

import numpy as np

from estimator_warmstart._tf import copies_of, is_variable, object_graph_pb2, slice_of, tf, tf1
from estimator_warmstart._tf_objects import is_trackable, saveables_of
from estimator_warmstart._tf_savers import ToSave
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.checkpoint.object_graph import (
    OBJECT_GRAPH_KEY,
    SAVE_COUNTER,
    VALUE_ATTRIBUTE,
    add_variable,
    graph_of_dict,
)
from estimator_warmstart.checkpoint.second_keys import add_keys
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.graph.variables import logical_name

# Keys of what is not the model's, until each checkpoint is finished: the object graph must not lead to keys that are not there.
_UNFINISHED_GRAPH = OBJECT_GRAPH_KEY + ".unfinished"
_UNFINISHED_COUNTER = SAVE_COUNTER + ".unfinished"


def names_and_objects(var_list: Any) -> ToSave:
    """Returns what a saver of both formats saves of `var_list`, once the graph is complete.

    Raises:
      WarmStartError: if it is a trackable object with partitioned variables, or with variables of another graph.
    """
    if is_one_trackable(var_list):
        var_list, graph, keys = _of_object(var_list)
    else:
        graph, keys = graph_of_dict(_names(var_list))
    more = {key: name for name, key in keys.items()}
    unfinished = [_UNFINISHED_GRAPH]
    more[OBJECT_GRAPH_KEY] = _UNFINISHED_GRAPH
    added: Dict[str, Any] = {}
    if SAVE_COUNTER not in {child.local_name for child in graph.nodes[0].children}:
        # Without it tf.train.Checkpoint takes the checkpoint for one that it has not written.
        more[add_variable(graph, 0, SAVE_COUNTER, (SAVE_COUNTER,))] = _UNFINISHED_COUNTER
        unfinished.append(_UNFINISHED_COUNTER)
        added[_UNFINISHED_COUNTER] = np.int64(1)
    added[_UNFINISHED_GRAPH] = graph.SerializeToString()
    return ToSave(var_list, added, lambda prefix: add_keys(prefix, more, unfinished), _find_keys)


def is_one_trackable(var_list: Any) -> bool:
    """Whether `var_list` is one object that an object-based checkpoint can hold, not a list or a dict of variables."""
    return var_list is not None and not isinstance(var_list, (list, tuple, Mapping)) and is_trackable(var_list)


def is_partitioned(variable: Any) -> bool:
    """Whether `variable` is a partitioned variable or a part of one."""
    return (
        isinstance(variable, (list, tuple))
        or type(variable).__name__ == "PartitionedVariable"
        or bool(slice_of(copies_of(variable)[0]))
    )


def _names(var_list: Any) -> List[str]:
    """Returns the keys of a dict, or the names of the variables in a list. Its lookup tables and the like are left out."""
    items = tf1.global_variables() if var_list is None else var_list
    if isinstance(items, Mapping):
        return sorted(items)
    return sorted({logical_name(each) for each in items if is_variable(each) or is_partitioned(each)})


def _of_object(trackable: Any) -> Tuple[List[Any], object_graph_pb2.TrackableObjectGraph, Dict[str, str]]:
    """Returns a `var_list` of what a trackable object holds, its object graph, and {name: key} of its variables."""
    saveables = saveables_of(trackable)
    (graph_tensor,) = (spec.tensor for each in saveables for spec in each.specs if spec.name == OBJECT_GRAPH_KEY)
    graph = object_graph_pb2.TrackableObjectGraph.FromString(tf.get_static_value(graph_tensor).item())
    keys = {
        attribute.full_name: attribute.checkpoint_key
        for node in graph.nodes
        for attribute in node.attributes
        if attribute.name == VALUE_ATTRIBUTE and attribute.full_name
    }
    collected = [*tf1.global_variables(), *tf1.local_variables()]
    known = {logical_name(variable): variable for variable in collected if is_variable(variable)}
    parts = sorted(name for name in keys if name in known and is_partitioned(known[name]))
    if parts:
        raise WarmStartError(f"an object cannot hold partitioned variables, here {first_few(parts)}; give a list of variables")
    gone = sorted(set(keys) - set(known))
    if gone:
        raise WarmStartError(f"{first_few(gone)} of {type(trackable).__name__} are not in the collections of this graph")
    own = {*keys.values(), OBJECT_GRAPH_KEY}
    others = [each for each in saveables if own.isdisjoint(spec.name for spec in each.specs)]
    return [known[name] for name in keys] + others, graph, keys


def _find_keys(prefix: str, names: List[str]) -> Dict[str, str]:
    """Returns {name: key of its tensor} of those of `names` that the checkpoint has, as variables' names or in its `vars`."""
    old = open_checkpoint(prefix)
    found = {name: old.find(name) or old.find(f"vars/{name}") for name in names}
    return {name: each.key for name, each in found.items() if each is not None}
