"""How a worker waits for the chief: for the model to be initialized, then for the recovery. It gives up in the end."""

import os
import time
from typing import List, Optional

import numpy as np

from estimator_warmstart._tf import copies_of, logger, tf, tf1, uninitialized_names
from estimator_warmstart._tf_estimator import own_device
from estimator_warmstart.errors import WarmStartError

_POLL_SECS = 0.5
_REMIND_SECS = 30.0


def wait_for_chief(
    is_recovered: tf.Tensor,
    session: tf.compat.v1.Session,
    coord: Optional[tf.train.Coordinator],
    prefix: str,
    max_wait_secs: float,
) -> None:
    """Returns once the chief has recovered, or has found a model of its own to resume.

    Args:
      is_recovered: whether the recovery's flag is set in the session.
      session: the worker's session.
      coord: the session's coordinator, which may ask to stop.
      prefix: of the old model, for messages.
      max_wait_secs: seconds to wait.

    Raises:
      WarmStartError: if that takes longer than `max_wait_secs`.
    """
    started = time.monotonic()
    remind_after = 0.0
    while not session.run(is_recovered):
        waited = time.monotonic() - started
        if coord is not None and coord.should_stop():
            return
        if waited >= remind_after or waited > max_wait_secs:
            _tell_waiting(waited, max_wait_secs, "to recover", prefix)
            remind_after += _REMIND_SECS
        time.sleep(_POLL_SECS)


def watch_initialization(graph: tf.Graph, prefix: str, max_wait_secs: float) -> None:
    """Makes TensorFlow's own wait for the chief, before there is a session, say how long it has lasted, and end.

    A worker asks the graph twice a minute what is not initialized yet. The answer passes through this process.
    """
    variables = graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES)
    is_cluster = os.environ.get("TF_CONFIG") and any("/job:" in copies_of(variable)[0].device for variable in variables)
    if graph.get_collection(tf1.GraphKeys.READY_FOR_LOCAL_INIT_OP) or not is_cluster:
        return  # Somebody's own, or nobody whom the session would have to wait for.
    since: List[float] = []  # Empty while there is nothing to wait for: a session may be made anew after days.

    def tell(names: np.ndarray) -> np.ndarray:
        if names.size:
            since.append(time.monotonic())
            _tell_waiting(since[-1] - since[0], max_wait_secs, "to initialize the model", prefix)
        else:
            since.clear()
        return names

    with graph.as_default(), graph.device(None), tf.device(own_device()):  # Python's functions live here.
        names = tf1.numpy_function(tell, [uninitialized_names()], tf.string)
        names.set_shape([None])
    graph.add_to_collection(tf1.GraphKeys.READY_FOR_LOCAL_INIT_OP, names)


def _tell_waiting(waited: float, max_wait_secs: float, what: str, prefix: str) -> None:
    if waited > max_wait_secs:
        raise WarmStartError(
            f"waited {waited:.0f} s for the chief {what} from {prefix}, and gave up (max_wait_secs): is the chief running, "
            "and does its model_fn have this hook?"
        )
    logger.info("Waiting for the chief %s from %s, %.0f s so far.", what, prefix, waited)
