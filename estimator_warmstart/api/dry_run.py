"""What hooks from params would do in a graph from a file, without a session: how the command line plans."""

from __future__ import annotations

from typing import Any, List, Optional

from estimator_warmstart._tf import tf
from estimator_warmstart.api.params import hooks_from_params
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, open_checkpoint
from estimator_warmstart.graph.meta_graph import META_SUFFIX, find_meta_file, import_graph
from estimator_warmstart.plan.plan import Plan


def plans_from_params(params: Any, key: str, graph_path: str) -> List[Plan]:
    """Returns the plan of each hook that `params` ask for, for the graph in a `.meta` file.

    Args:
      params: as for `hooks_from_params`.
      key: as for `hooks_from_params`.
      graph_path: of the `.meta` file, of a checkpoint that has one, or of a directory whose latest checkpoint has one.

    Raises:
      WarmStartError: listing everything that is wrong with the params, the graph or the warm start.
    """
    hooks = hooks_from_params(params, key)
    graph = import_graph(graph_path)
    return [hook.plan_for(graph) for hook in hooks]


def checkpoint_of_graph(graph_path: str) -> Optional[Checkpoint]:
    """Returns the checkpoint that the `.meta` file was written with; `None` if it is no longer there."""
    prefix = find_meta_file(graph_path)[: -len(META_SUFFIX)]
    return open_checkpoint(prefix, needs_data=True) if tf.io.gfile.exists(prefix + ".index") else None
