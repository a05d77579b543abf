"""The old side: opens a checkpoint and says what it holds. Reads no values.

Enters: what the user gave as `ckp_dir`. Leaves: a `Checkpoint`, the same record whatever the format, with names, shapes,
dtypes and slices from the index. This module must not know of any graph or new variable.

Each format is one class with two methods, `recognizes(names)` and `variables()`; `_FORMATS` chooses.
"""
from __future__ import annotations

import os
from typing import Any, Dict, List, NamedTuple, Tuple

from estimator_warmstart._bundle_index import Box, BundleIndex, read_bundle_index
from estimator_warmstart._tf import tf
from estimator_warmstart.errors import CheckpointError, WarmStartError, did_you_mean
from estimator_warmstart.slots import SlotOf, tie_slots

_OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"


class OldVariable(NamedTuple):
    """One variable of the old model, as the checkpoint's index describes it.

    Attributes:
      name: what the user calls it.
      shape: of the whole variable, whatever slices it is stored in.
      dtype: TensorFlow's name of it, such as `"float32"`.
      key: what the checkpoint file calls it.
      slices: ((offset, shape), ...) if a partitioned variable was saved, else empty.
    """

    name: str
    shape: Tuple[int, ...]
    dtype: str
    key: str
    slices: Tuple[Box, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the values; 0 for strings, whose length the index does not tell."""
        return count_bytes(self.shape, self.dtype)


class Checkpoint(NamedTuple):
    """An old model: where it is and what it holds.

    Attributes:
      prefix: the checkpoint's files are `PREFIX.index` and `PREFIX.data-*`.
      format: `"name-based"`.
      variables: {old name: OldVariable}, sorted by name.
      ties: {old slot's name: SlotOf}.
    """

    prefix: str
    format: str
    variables: Dict[str, OldVariable]
    ties: Dict[str, SlotOf]


def count_bytes(shape: Tuple[int, ...], dtype: str) -> int:
    """The bytes of a dense tensor; 0 for dtypes without a fixed size."""
    size = tf.as_dtype(dtype).size if dtype not in ("string", "resource", "variant") else 0
    for length in shape:
        size *= length
    return size


def open_checkpoint(ckp_dir: Any) -> Checkpoint:
    """Opens the old model at `ckp_dir`.

    Args:
      ckp_dir: str or path: a directory with a `checkpoint` file (its latest), or a checkpoint's prefix, on any
        filesystem that `tf.io.gfile` reads.

    Raises:
      CheckpointError: where there is no whole checkpoint; the message says what is there instead.
    """
    prefix = _find_prefix(ckp_dir)
    index = read_bundle_index(prefix + ".index")
    _check_shards(prefix, index)
    try:
        reader = tf.train.load_checkpoint(prefix)  # Verifies the checksums of the index.
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{prefix} cannot be opened as a checkpoint: {error}") from error
    for layout in _FORMATS:
        if layout.recognizes(shapes):
            variables = layout(shapes, dtypes, index).variables()
            ties = tie_slots({name: old.shape for name, old in variables.items()})
            return Checkpoint(prefix, layout.format, variables, ties)
    raise CheckpointError(
        f"{prefix} is an object-based checkpoint (tf.train.Checkpoint or Keras weights); a name-based one, as Estimator "
        "and tf.compat.v1.train.Saver write it, is needed"
    )


class _NameBased:
    """What `tf.compat.v1.train.Saver` writes: one tensor for each variable, under the variable's name."""

    format = "name-based"

    def __init__(self, shapes: Dict[str, List[int]], dtypes: Dict[str, Any], index: BundleIndex):
        self._shapes, self._dtypes, self._index = shapes, dtypes, index

    @staticmethod
    def recognizes(names: Dict[str, List[int]]) -> bool:
        return _OBJECT_GRAPH_KEY not in names

    def variables(self) -> Dict[str, OldVariable]:
        names = {dtype: tf.as_dtype(dtype).name for dtype in set(self._dtypes.values())}
        return {
            name: OldVariable(name, tuple(shape), names[self._dtypes[name]], name, self._index.slices.get(name, ()))
            for name, shape in sorted(self._shapes.items())
        }


_FORMATS = (_NameBased,)


def _find_prefix(ckp_dir: Any) -> str:
    try:
        path = os.fspath(ckp_dir)
    except TypeError as error:
        raise WarmStartError(f"ckp_dir must be a directory or a checkpoint prefix, got {ckp_dir!r}") from error
    path = os.fsdecode(path)
    if not path or "\0" in path or not _is_text(path):
        raise WarmStartError(f"ckp_dir must be a directory or a checkpoint prefix, got {path!r}")
    try:
        if tf.io.gfile.isdir(path):
            return _latest_in(path)
        if tf.io.gfile.exists(path + ".index"):
            return path
    except tf.errors.OpError as error:
        raise CheckpointError(f"ckp_dir {path!r} cannot be read: {error.message}") from error
    raise CheckpointError(_nothing_at(path))


def _is_text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:  # Bytes that are no UTF-8, which TensorFlow's filesystems take for no path.
        return False
    return True


def _latest_in(directory: str) -> str:
    try:
        state = tf.train.get_checkpoint_state(directory)
    except ValueError:  # Empty, or not text.
        state = None
    if state is not None and state.model_checkpoint_path:
        prefix = state.model_checkpoint_path
        if tf.io.gfile.exists(prefix + ".index"):
            return prefix
        there = _prefixes_in(directory)
        raise CheckpointError(
            f"{directory}/checkpoint names {prefix!r} as the latest, but {prefix}.index is not there (was the directory "
            f"moved or cleaned up?); name one as ckp_dir: {', '.join(there) or 'the directory holds none'}"
        )
    there = _prefixes_in(directory)
    if there:
        raise CheckpointError(
            f"{directory} has no readable file `checkpoint` that names its latest; name one as ckp_dir: {', '.join(there)}"
        )
    what = "no checkpoint" if tf.io.gfile.listdir(directory) else "nothing"
    raise CheckpointError(f"ckp_dir {directory!r} is a directory with {what} in it")


def _prefixes_in(directory: str, most: int = 5) -> List[str]:
    names = [name[:-len(".index")] for name in tf.io.gfile.listdir(directory) if name.endswith(".index")]
    return [os.path.join(directory, name) for name in sorted(names)[:most]]


def _nothing_at(path: str) -> str:
    """Why there is no checkpoint at `path`, with the nearest thing that is one."""
    for suffix in (".index", ".meta", ".data-"):
        stem = path.rpartition(suffix)[0] if suffix in os.path.basename(path) else ""
        if stem and tf.io.gfile.exists(stem + ".index"):
            return f"ckp_dir {path!r} is one file of a checkpoint; name its prefix: {stem}"
    if tf.io.gfile.exists(path):
        return f"ckp_dir {path!r} is a file, not a checkpoint: a directory or a prefix (PREFIX.index beside it) is needed"
    parent = os.path.dirname(path) or "."
    if not tf.io.gfile.isdir(parent):
        return f"ckp_dir {path!r} does not exist, nor does {parent!r}"
    near = _prefixes_in(parent, most=1000) + [os.path.join(parent, name.rstrip("/")) for name in tf.io.gfile.listdir(parent)]
    return f"ckp_dir {path!r} does not exist: neither as a directory nor as {path}.index{did_you_mean(path, near)}"


def _check_shards(prefix: str, index: BundleIndex) -> None:
    problems = []
    for number, size in enumerate(index.shard_sizes):
        path = f"{prefix}.data-{number:05d}-of-{len(index.shard_sizes):05d}"
        try:
            length = tf.io.gfile.stat(path).length
        except tf.errors.NotFoundError:
            problems.append(f"{path} is missing")
            continue
        if length < size:
            problems.append(f"{path} has {length:,} bytes, {size:,} by the index: it is cut short")
    if problems:
        raise CheckpointError(f"the checkpoint {prefix} is not whole", problems)
