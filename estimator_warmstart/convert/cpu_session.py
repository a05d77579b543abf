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
    with tf1.Graph().as_default(), tf1.Session(config=tf1.ConfigProto(device_count={"GPU": 0})) as session:
        yield session
