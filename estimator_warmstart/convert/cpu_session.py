"""A session for operations on files: it takes no memory of a GPU, which TensorFlow would otherwise reserve whole."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Iterator

from estimator_warmstart._tf import tf1

if TYPE_CHECKING:
    import tensorflow as tf


@contextmanager
def cpu_session() -> Iterator[tf.compat.v1.Session]:
    """A context with an empty graph, the default one, and a session of it on the CPU."""
    with tf1.Graph().as_default() as graph, session_on_cpu(graph) as session:
        yield session


def session_on_cpu(graph: tf.Graph) -> tf.compat.v1.Session:
    """Returns a session of `graph` on the CPU."""
    return tf1.Session(graph=graph, config=tf1.ConfigProto(device_count={"GPU": 0}))
