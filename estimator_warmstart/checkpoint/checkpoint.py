"""The old side: opens a checkpoint and says what it holds. Reads no values.

Enters: what the user gave as `ckp_dir`. Leaves: a `Checkpoint`, the same record whatever the format, with names, shapes,
dtypes and slices from the index. This module must not know of any graph or new variable.

Each format is one class with two methods, `recognizes(names)` and `read()`; `_FORMATS` chooses.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import tf, tf1
from estimator_warmstart.checkpoint.data_files import BundleReader
from estimator_warmstart.checkpoint.index_file import BundleIndex, read_bundle_index
from estimator_warmstart.checkpoint.locate import find_checkpoint
from estimator_warmstart.checkpoint.object_graph import OBJECT_GRAPH_KEY, ObjectGraph, names_of
from estimator_warmstart.checkpoint.v1 import files_of, read_v1_tensors
from estimator_warmstart.errors import CheckpointError, did_you_mean, first_few
from estimator_warmstart.slots import SlotOf, find_slots
from estimator_warmstart.tensors import TensorSlice, count_bytes, count_elements, whole_slice

V1_FORMAT = "name-based, V1"

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
    slices: Tuple[TensorSlice, ...] = ()
    path: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes of the values; 0 for strings, whose length the index does not tell."""
        return count_bytes(self.shape, self.dtype)

    @property
    def is_whole(self) -> bool:
        """Whether its slices, which never overlap, make up all of it."""
        return not self.slices or sum(count_elements(shape) for _, shape in self.slices) == count_elements(self.shape)


class Checkpoint(NamedTuple):
    """An old model: where it is and what it holds.

    Attributes:
      prefix: the checkpoint's files are `PREFIX.index` and `PREFIX.data-*`; of a V1 checkpoint what TensorFlow calls it.
      format: `"name-based"`, `"object-based"` or `"name-based, V1"`.
      variables: {old name: OldVariable}, sorted by name.
      slots_by_name: {old slot's name: SlotOf}.
      shared_names: {full name that several variables have: their object paths}; those go by their paths.
      find_by_path: object path -> old name or `None`, for an object-based checkpoint.
      is_saved_model: whether a SavedModel holds it.
      files: those of a V1 checkpoint; else empty.
      problems: what is wrong with its data files, where it was opened without need of them.
    """

    prefix: str
    format: str
    variables: Dict[str, OldVariable]
    slots_by_name: Dict[str, SlotOf]
    shared_names: Mapping[str, List[str]] = {}
    find_by_path: Optional[Callable[[str], Optional[str]]] = None
    is_saved_model: bool = False
    files: Tuple[str, ...] = ()
    problems: Tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Where it is and in which format, for people."""
        return f"{self.prefix} ({self.format}{' SavedModel' if self.is_saved_model else ''})"

    def find(self, name: str) -> Optional[OldVariable]:
        """The variable of that name, at that object path, or the slot `VARIABLE/SLOT`."""
        if name in self.variables:
            return self.variables[name]
        found = self.find_by_path(name) if self.find_by_path is not None else None
        slots = self._slots_called(name) if found is None else [found]
        return self.variables[slots[0]] if len(slots) == 1 else None

    def _slots_called(self, name: str) -> List[str]:
        spellings = {name, name.strip("/")}
        return [
            slot for slot, slot_of in self.slots_by_name.items() if not spellings.isdisjoint(_slot_spellings(self, slot_of))
        ]

    def why_not(self, name: str) -> str:
        """What to say of a `name` that leads to no variable: what it may have been, or why it does not do."""
        if name in self.shared_names:
            return (
                f"{len(self.shared_names[name])} variables of the checkpoint have the name {name!r}; give an object path: "
                f"{first_few(self.shared_names[name])}"
            )
        slots = self._slots_called(name)
        if len(slots) > 1:
            return f"{len(slots)} slots of the checkpoint are called {name!r}; give the name of one: {first_few(sorted(slots))}"
        known = list(self.variables) + [
            spelling for slot_of in self.slots_by_name.values() for spelling in _slot_spellings(self, slot_of)
        ]
        if self.find_by_path is not None:
            known += [old.path for old in self.variables.values() if old.path != old.name]
        return f"the checkpoint has no {name!r}{did_you_mean(name, known)}"


def other_spellings(checkpoint: Checkpoint) -> Dict[str, List[str]]:
    """{old name: what else it may be called}: its object path, and `VARIABLE/SLOT` for a slot, if no other is called so."""
    spelled: Dict[str, List[str]] = {}
    for name, old in checkpoint.variables.items():
        spelled[name] = [old.path] if old.path else []
        if name in checkpoint.slots_by_name:
            spelled[name] += _slot_spellings(checkpoint, checkpoint.slots_by_name[name])
    count = Counter(spelling for spellings in spelled.values() for spelling in set(spellings))
    return {
        name: list(dict.fromkeys(each for each in spellings if each not in checkpoint.variables and count[each] == 1))
        for name, spellings in spelled.items()
    }


def _slot_spellings(checkpoint: Checkpoint, slot_of: SlotOf) -> List[str]:
    path = checkpoint.variables[slot_of.primary].path
    return [f"{slot_of.primary}/{slot_of.slot_name}"] + ([f"{path}/{slot_of.slot_name}"] if path else [])


def slice_spec(old: OldVariable, box: TensorSlice) -> str:
    """What `RestoreV2` is told to read; empty for a whole tensor, which is read faster."""
    if box == whole_slice(old.shape):
        return ""
    text = ":".join(f"{offset},{length}" for offset, length in zip(*box))
    return f"{' '.join(map(str, old.shape))} {text}"


def open_checkpoint(ckp_dir: Any, *, needs_data: bool = True) -> Checkpoint:
    """Opens the old model at `ckp_dir`.

    Args:
      ckp_dir: str or path: a directory with a `checkpoint` file (its latest), a checkpoint's prefix, or a SavedModel's
        directory, on any filesystem that `tf.io.gfile` reads. Where a directory has the name of a prefix next to it, the
        one that holds a checkpoint is taken; if both do, `PATH/` is the directory and `PATH.index` the prefix.
      needs_data: whether its data files must be there; else `problems` tells, and the keys of an object-based one stand for the
        names that its object graph would give.

    Raises:
      CheckpointError: where there is no whole checkpoint; the message says what is there instead.
    """
    prefix, is_saved_model, is_v1 = find_checkpoint(ckp_dir)
    if is_v1:
        return _V1.read(prefix)
    index = read_bundle_index(prefix + ".index")
    problems = _shard_problems(prefix, index)
    if problems and needs_data:
        raise CheckpointError(f"the checkpoint {prefix} is not whole", problems)
    try:
        reader = tf1.train.NewCheckpointReader(prefix)  # Verifies the checksums of the index.
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
            with closing(BundleReader(prefix)) as bundle:
                graph = ObjectGraph(bundle.read_string(OBJECT_GRAPH_KEY))
        except ValueError as error:
            raise CheckpointError(f"the object graph of {prefix} cannot be read: {error}") from error
        held = {number: variable for number, variable in graph.variables.items() if variable.key in tensors}
        names, shared = names_of(held)
        variables = {
            names[number]: tensors[variable.key]._replace(name=names[number], path=variable.path)
            for number, variable in held.items()
        }
        shapes = {name: old.shape for name, old in variables.items()}
        slots_by_name = {**find_slots(shapes), **graph.slots_by_name(names, shapes)}

        def find_by_path(path: str) -> Optional[str]:
            number = graph.find(path)
            return None if number is None else names.get(number)

        return Checkpoint(prefix, "object-based", dict(sorted(variables.items())), slots_by_name, shared, find_by_path)


class _NameBased:
    """What `tf.compat.v1.train.Saver` writes: one tensor for each variable, under the variable's name."""

    @staticmethod
    def recognizes(tensors: Mapping[str, OldVariable]) -> bool:
        return True

    @staticmethod
    def read(prefix: str, tensors: Mapping[str, OldVariable], reader: Any) -> Checkpoint:
        variables = dict(tensors)
        return Checkpoint(prefix, "name-based", variables, find_slots({name: old.shape for name, old in variables.items()}))


def _without_graph(prefix: str, tensors: Mapping[str, OldVariable]) -> Checkpoint:
    """An object-based checkpoint whose object graph cannot be read."""
    variables = {
        key: old._replace(path=key.partition(_ATTRIBUTE)[0]) for key, old in tensors.items() if key != OBJECT_GRAPH_KEY
    }
    return Checkpoint(prefix, "object-based", variables, {})


_FORMATS = (_ObjectBased, _NameBased)


class _V1:
    """What a `Saver` of V1 writes: name-based, in files without an index; TensorFlow restores it as it does the others."""

    @staticmethod
    def read(prefix: str) -> Checkpoint:
        variables = {
            name: OldVariable(name, tensor.shape, tensor.dtype, name, tensor.slices if len(tensor.slices) > 1 else ())
            for name, tensor in sorted(read_v1_tensors(prefix).items())
        }
        slots_by_name = find_slots({name: old.shape for name, old in variables.items()})
        return Checkpoint(prefix, V1_FORMAT, variables, slots_by_name, files=tuple(files_of(prefix)))


def _shard_problems(prefix: str, index: BundleIndex) -> List[str]:
    problems = []
    for number, size in sorted(index.shard_sizes.items()):
        path = f"{prefix}.data-{number:05d}-of-{index.num_shards:05d}"
        try:
            length = tf.io.gfile.stat(path).length
        except tf.errors.NotFoundError:
            problems.append(f"{path} is missing")
            continue
        if length < size:
            problems.append(f"{path} has {length:,} bytes, {size:,} by the index: it is cut short")
    return problems
