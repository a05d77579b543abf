"""Imports the graph of a model from the `.meta` file that `tf.compat.v1.train.Saver` wrote.

The command line plans with it, without the program that builds the model. Partitions, slots, trainable variables and the
global step come back as they were. A mirrored variable comes back as one copy, as a checkpoint has it.
"""

from __future__ import annotations

import os

from google.protobuf.message import DecodeError

from estimator_warmstart._tf import is_variable, tf, tf1
from estimator_warmstart.errors import WarmStartError, did_you_mean, first_few
from estimator_warmstart.files import FILE_ERRORS, PathArgument, check_regular, checked_path, error_text, open_file

META_SUFFIX = ".meta"
_VARIABLE_COLLECTIONS = (
    tf1.GraphKeys.GLOBAL_VARIABLES,
    tf1.GraphKeys.LOCAL_VARIABLES,
    tf1.GraphKeys.TRAINABLE_VARIABLES,
    tf1.GraphKeys.MODEL_VARIABLES,
    tf1.GraphKeys.MOVING_AVERAGE_VARIABLES,
)
_MOST_COLLECTION_PROBLEMS = 20
_WHAT = "a .meta file, a checkpoint's prefix or a model directory"


def import_graph(path: PathArgument) -> tf.Graph:
    """Imports the graph at `path` as a new `tf.Graph`.

    Args:
      path: a `.meta` file, the prefix of a checkpoint with one, or a directory with a `checkpoint` file.

    Raises:
      WarmStartError: if there is no such file, or this TensorFlow cannot import it.
    """
    meta_path = find_meta_file(path)
    try:
        with open_file(meta_path, "rb") as file:
            meta = tf1.MetaGraphDef.FromString(file.read())
    except (*FILE_ERRORS, DecodeError) as error:
        raise WarmStartError(f"graph {meta_path!r} cannot be read as a .meta file: {error_text(error)}") from error
    if not meta.graph_def.node:
        raise WarmStartError(f"graph {meta_path!r} is not a .meta file: it holds no graph")
    with tf.Graph().as_default() as graph:
        try:
            tf1.train.import_meta_graph(meta, clear_devices=True)
        except Exception as error:  # A damaged file may raise anything.
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


def _why_no_latest(directory: str) -> str:
    """Returns what is wrong with a directory whose latest checkpoint is not known."""
    found = sorted(name for name in tf.io.gfile.listdir(directory) if name.endswith(META_SUFFIX))
    if not found:
        return f"no checkpoint in it; give {_WHAT}"
    return (
        "no readable file `checkpoint` that names its latest; give one of its .meta files: "
        f"{first_few([os.path.join(directory, name) for name in found])}"
    )


def _check_collections(meta_path: str, graph: tf.Graph) -> None:
    problems = [
        f"its collection {key!r} holds {value!r}, which is not a variable"
        for key in _VARIABLE_COLLECTIONS
        for value in graph.get_collection(key)
        if not is_variable(value)
    ]
    problems += [
        f"its collection {tf1.GraphKeys.GLOBAL_STEP!r} holds {value!r}, which is not a step"
        for value in graph.get_collection(tf1.GraphKeys.GLOBAL_STEP)
        if not (is_variable(value) or tf.is_tensor(value))
    ]
    if problems:
        more = [f"and {len(problems) - _MOST_COLLECTION_PROBLEMS:,} more"] if len(problems) > _MOST_COLLECTION_PROBLEMS else []
        raise WarmStartError(f"graph {meta_path!r} was not written by a Saver", problems[:_MOST_COLLECTION_PROBLEMS] + more)


def find_meta_file(path: PathArgument) -> str:
    """Returns the path of the `.meta` file that `path` is or leads to; raises as `import_graph` does."""
    path = checked_path("graph", path, _WHAT)
    try:
        if not tf.io.gfile.isdir(path):
            found = path + META_SUFFIX if tf.io.gfile.exists(path + META_SUFFIX) else path
        else:
            check_regular(os.path.join(path, "checkpoint"))
            latest = tf.train.latest_checkpoint(path)
            if latest is None:
                raise WarmStartError(f"graph {path!r} is a directory with {_why_no_latest(path)}")
            found = latest + META_SUFFIX
        if not tf.io.gfile.exists(found):
            folder = os.path.dirname(found) or "."
            names = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
            hint = did_you_mean(os.path.basename(found), [name.rstrip("/") for name in names])
            raise WarmStartError(
                f"graph {found!r} does not exist{hint}; give {_WHAT} (a Saver writes the file unless write_meta_graph=False)"
            )
    except FILE_ERRORS as error:
        raise WarmStartError(f"graph {path!r} cannot be read: {error_text(error)}") from error
    if not found.endswith(META_SUFFIX):
        raise WarmStartError(f"graph {os.path.basename(found)!r} ({found}) is not a .meta file; give {_WHAT}")
    return found
