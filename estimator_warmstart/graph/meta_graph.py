"""The graph of a model that is not being built here: from the `.meta` file that `tf.compat.v1.train.Saver` wrote.

Enters: such a file, a checkpoint's prefix, or a model directory, whose latest checkpoint's is taken. Leaves: a `tf.Graph`
with its variables and collections. No session is made. This module must not know what is done with the graph.

Partitions, slots, trainable variables and the global step come back as they were; of a mirrored variable one copy does,
which is all that a checkpoint has of it.
"""

from __future__ import annotations

import os
from typing import Any

from google.protobuf.message import DecodeError

from estimator_warmstart._tf import is_variable, tf, tf1
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.files import FILE_ERRORS, check_regular, checked_path, error_text, open_file

_SUFFIX = ".meta"
_OF_VARIABLES = (
    tf1.GraphKeys.GLOBAL_VARIABLES,
    tf1.GraphKeys.LOCAL_VARIABLES,
    tf1.GraphKeys.TRAINABLE_VARIABLES,
    tf1.GraphKeys.MODEL_VARIABLES,
    tf1.GraphKeys.MOVING_AVERAGE_VARIABLES,
)
_MOST_PROBLEMS = 20
_WHAT = "a .meta file, a checkpoint's prefix or a model directory"


def import_graph(path: Any) -> Any:
    """The graph at `path`, as a new `tf.Graph`.

    Args:
      path: a `.meta` file, the prefix of a checkpoint with one, or a directory with a `checkpoint` file.

    Raises:
      WarmStartError: if there is none, or this TensorFlow cannot import it.
    """
    meta_path = _meta_path(checked_path("graph", path, _WHAT))
    try:
        with open_file(meta_path, "rb") as file:
            meta = tf1.MetaGraphDef.FromString(file.read())
    except (*FILE_ERRORS, DecodeError) as error:
        raise WarmStartError(f"graph {meta_path!r} cannot be read as a .meta file: {error_text(error)}") from error
    if not meta.graph_def.node:
        raise WarmStartError(f"graph {meta_path!r} is no .meta file: it holds no graph")
    with tf.Graph().as_default() as graph:
        try:
            tf1.train.import_meta_graph(meta, clear_devices=True)
        except Exception as error:  # What comes of a file that is damaged may be anything.
            raise WarmStartError(
                f"graph {meta_path!r} was written by TensorFlow {meta.meta_info_def.tensorflow_version or '(it does not say)'} "
                f"and cannot be imported by this one: {error}"
            ) from error
    _check_collections(meta_path, graph)
    if not graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES):
        raise WarmStartError(
            f"graph {meta_path!r} has no variables in its collection {tf1.GraphKeys.GLOBAL_VARIABLES!r}: was it written by a "
            "Saver, in training?"
        )
    return graph


def _what_is_in(directory: str) -> str:
    """What a directory has whose latest checkpoint is not known."""
    found = sorted(name for name in tf.io.gfile.listdir(directory) if name.endswith(_SUFFIX))
    if not found:
        return f"no checkpoint in it; give {_WHAT}"
    return (
        "no readable file `checkpoint` that names its latest; give one of its .meta files: "
        f"{first_few([os.path.join(directory, name) for name in found])}"
    )


def _check_collections(meta_path: str, graph: Any) -> None:
    problems = [
        f"its collection {key!r} holds {value!r}, which is not a variable"
        for key in _OF_VARIABLES
        for value in graph.get_collection(key)
        if not is_variable(value)
    ]
    problems += [
        f"its collection {tf1.GraphKeys.GLOBAL_STEP!r} holds {value!r}, which is not a step"
        for value in graph.get_collection(tf1.GraphKeys.GLOBAL_STEP)
        if not (is_variable(value) or tf.is_tensor(value))
    ]
    if problems:
        more = [f"and {len(problems) - _MOST_PROBLEMS:,} more"] if len(problems) > _MOST_PROBLEMS else []
        raise WarmStartError(f"graph {meta_path!r} is not as a Saver writes it", problems[:_MOST_PROBLEMS] + more)


def _meta_path(path: str) -> str:
    """The `.meta` file that `path` is or leads to."""
    try:
        if not tf.io.gfile.isdir(path):
            found = path + _SUFFIX if tf.io.gfile.exists(path + _SUFFIX) else path
        else:
            check_regular(os.path.join(path, "checkpoint"))
            latest = tf.train.latest_checkpoint(path)
            if latest is None:
                raise WarmStartError(f"graph {path!r} is a directory with {_what_is_in(path)}")
            found = latest + _SUFFIX
        if not tf.io.gfile.exists(found):
            raise WarmStartError(
                f"graph {found!r} does not exist; give {_WHAT} (a Saver writes the file unless write_meta_graph=False)"
            )
    except FILE_ERRORS as error:
        raise WarmStartError(f"graph {path!r} cannot be read: {error_text(error)}") from error
    if not found.endswith(_SUFFIX):
        raise WarmStartError(f"graph {os.path.basename(found)!r} ({found}) is not a .meta file; give {_WHAT}")
    return found
