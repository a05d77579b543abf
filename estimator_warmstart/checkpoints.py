"""The old side: opens a checkpoint and says what it holds. Reads no values.

Enters: what the user gave as `ckp_dir`. Leaves: a `Checkpoint`, the same record whatever the format, with names, shapes,
dtypes and slices from the index. This module must not know of any graph or new variable.

Each format is one class with two methods, `recognizes(names)` and `read()`; `_FORMATS` chooses.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart._bundle_index import Box, BundleIndex, read_bundle_index
from estimator_warmstart._tf import tf
from estimator_warmstart.errors import CheckpointError, did_you_mean, first_few
from estimator_warmstart.locations import find_checkpoint
from estimator_warmstart.object_graphs import OBJECT_GRAPH_KEY, ObjectGraph, names_of
from estimator_warmstart.slots import SlotOf, tie_slots

_ATTRIBUTE = "/.ATTRIBUTES/"


class OldVariable(NamedTuple):
    """One variable of the old model, as the checkpoint's index describes it.

    Attributes:
      name: what the user calls it.
      shape: of the whole variable, whatever slices it is stored in.
      dtype: TensorFlow's name of it, such as `"float32"`.
      key: what the checkpoint file calls it.
      slices: ((offset, shape), ...) if a partitioned variable was saved, else empty.
      path: of the object that held it, in an object-based checkpoint; else empty.
    """

    name: str
    shape: Tuple[int, ...]
    dtype: str
    key: str
    slices: Tuple[Box, ...] = ()
    path: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes of the values; 0 for strings, whose length the index does not tell."""
        return count_bytes(self.shape, self.dtype)


class Checkpoint(NamedTuple):
    """An old model: where it is and what it holds.

    Attributes:
      prefix: the checkpoint's files are `PREFIX.index` and `PREFIX.data-*`.
      format: `"name-based"` or `"object-based"`.
      variables: {old name: OldVariable}, sorted by name.
      ties: {old slot's name: SlotOf}.
      shared_names: {full name that several variables have: their object paths}; those go by their paths.
      find_by_path: object path -> old name or `None`, for an object-based checkpoint.
      is_saved_model: whether a SavedModel holds it.
      problems: what is wrong with its data files, where it was opened without need of them.
    """

    prefix: str
    format: str
    variables: Dict[str, OldVariable]
    ties: Dict[str, SlotOf]
    shared_names: Mapping[str, List[str]] = {}
    find_by_path: Optional[Callable[[str], Optional[str]]] = None
    is_saved_model: bool = False
    problems: Tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Where it is and in which format, for people."""
        return f"{self.prefix} ({self.format}{' SavedModel' if self.is_saved_model else ''})"

    def find(self, name: str) -> Optional[OldVariable]:
        """The variable of that name or at that object path."""
        if name in self.variables or self.find_by_path is None:
            return self.variables.get(name)
        return self.variables.get(self.find_by_path(name) or "")

    def why_not(self, name: str) -> str:
        """What to say of a `name` that leads to no variable: what it may have been, or why it does not do."""
        if name in self.shared_names:
            return (
                f"{len(self.shared_names[name])} variables of the checkpoint have the name {name!r}; give an object path: "
                f"{first_few(self.shared_names[name])}"
            )
        known = list(self.variables)
        if self.find_by_path is not None:
            known += [old.path for old in self.variables.values() if old.path != old.name]
        return f"the checkpoint has no {name!r}{did_you_mean(name, known)}"


def count_bytes(shape: Tuple[int, ...], dtype: str) -> int:
    """The bytes of a dense tensor; 0 for dtypes without a fixed size."""
    size = tf.as_dtype(dtype).size if dtype not in ("string", "resource", "variant") else 0
    for length in shape:
        size *= length
    return size


def open_checkpoint(ckp_dir: Any, *, needs_data: bool = True) -> Checkpoint:
    """Opens the old model at `ckp_dir`.

    Args:
      ckp_dir: str or path: a directory with a `checkpoint` file (its latest), a checkpoint's prefix, or a SavedModel's
        directory, on any filesystem that `tf.io.gfile` reads.
      needs_data: whether its data files must be there; else `problems` tells, and the keys of an object-based one stand for the
        names that its object graph would give.

    Raises:
      CheckpointError: where there is no whole checkpoint; the message says what is there instead.
    """
    prefix, is_saved_model = find_checkpoint(ckp_dir)
    index = read_bundle_index(prefix + ".index")
    problems = _shard_problems(prefix, index)
    if problems and needs_data:
        raise CheckpointError(f"the checkpoint {prefix} is not whole", problems)
    try:
        reader = tf.train.load_checkpoint(prefix)  # Verifies the checksums of the index.
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{prefix} cannot be opened as a checkpoint: {error}") from error
    names = {dtype: tf.as_dtype(dtype).name for dtype in set(dtypes.values())}
    tensors = {
        key: OldVariable(key, tuple(shape), names[dtypes[key]], key, index.slices.get(key, ()))
        for key, shape in sorted(shapes.items())
    }
    layout = next(layout for layout in _FORMATS if layout.recognizes(tensors))
    try:
        checkpoint = layout.read(prefix, tensors, reader)
    except CheckpointError:
        if not problems:
            raise
        checkpoint = _without_graph(prefix, tensors)
    return checkpoint._replace(is_saved_model=is_saved_model, problems=tuple(problems))


class _ObjectBased:
    """What `tf.train.Checkpoint` writes: one tensor for each variable, under the path of the object that holds it."""

    @staticmethod
    def recognizes(tensors: Mapping[str, OldVariable]) -> bool:
        return OBJECT_GRAPH_KEY in tensors

    @staticmethod
    def read(prefix: str, tensors: Mapping[str, OldVariable], reader: Any) -> Checkpoint:
        try:
            graph = ObjectGraph(reader.get_tensor(OBJECT_GRAPH_KEY))
        except (tf.errors.OpError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"the object graph of {prefix} cannot be read: {error}") from error
        held = {number: variable for number, variable in graph.variables.items() if variable.key in tensors}
        names, shared = names_of(held)
        variables = {
            names[number]: tensors[variable.key]._replace(name=names[number], path=variable.path)
            for number, variable in held.items()
        }
        shapes = {name: old.shape for name, old in variables.items()}
        ties = {**tie_slots(shapes), **graph.ties(names, shapes)}

        def find_by_path(path: str) -> Optional[str]:
            number = graph.find(path)
            return None if number is None else names.get(number)

        return Checkpoint(prefix, "object-based", dict(sorted(variables.items())), ties, shared, find_by_path)


class _NameBased:
    """What `tf.compat.v1.train.Saver` writes: one tensor for each variable, under the variable's name."""

    @staticmethod
    def recognizes(tensors: Mapping[str, OldVariable]) -> bool:
        return True

    @staticmethod
    def read(prefix: str, tensors: Mapping[str, OldVariable], reader: Any) -> Checkpoint:
        variables = dict(tensors)
        return Checkpoint(prefix, "name-based", variables, tie_slots({name: old.shape for name, old in variables.items()}))


def _without_graph(prefix: str, tensors: Mapping[str, OldVariable]) -> Checkpoint:
    """An object-based checkpoint whose object graph cannot be read."""
    variables = {
        key: old._replace(path=key.partition(_ATTRIBUTE)[0]) for key, old in tensors.items() if key != OBJECT_GRAPH_KEY
    }
    return Checkpoint(prefix, "object-based", variables, {})


_FORMATS = (_ObjectBased, _NameBased)


def _shard_problems(prefix: str, index: BundleIndex) -> List[str]:
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
    return problems
