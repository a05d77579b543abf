"""Opens an old model: a `Checkpoint` says what it holds, in the same way for every format. Reads no values."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import closing
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Set, Tuple

from estimator_warmstart._tf import tensor_bundle_pb2, tf, tf1
from estimator_warmstart.checkpoint.arrays import NPZ, StoredArray
from estimator_warmstart.checkpoint.data_files import BundleReader, data_file
from estimator_warmstart.checkpoint.index_file import BundleIndex, StoredTensor, read_index
from estimator_warmstart.checkpoint.locate import find_checkpoint
from estimator_warmstart.checkpoint.npz import read_npz
from estimator_warmstart.checkpoint.object_graph import ATTRIBUTES_MARK, OBJECT_GRAPH_KEY, ObjectGraph, names_of_variables
from estimator_warmstart.checkpoint.safetensors import read_safetensors
from estimator_warmstart.checkpoint.v1 import read_v1_tensors, v1_files
from estimator_warmstart.errors import CheckpointError, did_you_mean, first_few
from estimator_warmstart.files import PathArgument
from estimator_warmstart.slots import SlotOf, bias_correction, find_slots, hyperparameters
from estimator_warmstart.tensors import Shape, TensorSlice, count_bytes, count_elements, whole_slice

NAME_BASED = "name-based"
OBJECT_BASED = "object-based"
NAME_BASED_V1 = "name-based, V1"


class OldVariable(NamedTuple):
    """One variable of the old model, as the checkpoint describes it.

    Attributes:
      name: what the user calls it.
      shape: of the whole variable, whatever slices it is stored in.
      dtype: TensorFlow's name of it, such as `"float32"`.
      key: of its tensor in the checkpoint.
      slices: those in which it is stored, if it was partitioned; otherwise empty.
      path: of the object that holds it, in an object-based checkpoint; otherwise empty.
      prefix: of the checkpoint that it is in, `Checkpoint.prefix`.
      stored: where its bytes lie in a `.npz` or `.safetensors` file; otherwise `None`.
    """

    name: str
    shape: Shape
    dtype: str
    key: str
    slices: Tuple[TensorSlice, ...] = ()
    path: str = ""
    prefix: str = ""
    stored: Optional[StoredArray] = None

    @property
    def nbytes(self) -> int:
        """The bytes of the values; 0 for strings, whose lengths the index does not have."""
        return count_bytes(self.shape, self.dtype)

    @property
    def is_whole(self) -> bool:
        """Whether its slices, which never overlap, cover all of it."""
        return not self.slices or sum(count_elements(shape) for _, shape in self.slices) == count_elements(self.shape)


class Checkpoint(NamedTuple):
    """An old model: where it is and what it holds.

    Attributes:
      prefix: the checkpoint's files are `PREFIX.index` and `PREFIX.data-*`; for a V1 checkpoint see `v1_prefix`; else the file.
      format: `"name-based"`, `"object-based"`, `"name-based, V1"`, `"npz"` or `"safetensors"`.
      variables: {old name: variable}, sorted by name.
      slots_by_name: {name of an old slot: whose slot it is}.
      shared_names: {full name that several variables have: their object paths}. These variables are named by their paths.
      find_by_path: returns the old name of the variable at an object path, or `None`; for an object-based checkpoint.
      is_saved_model: whether it is part of a SavedModel.
      files: those of a V1 checkpoint, or the file of arrays; otherwise empty.
      problems: what is wrong with its data files, if it was opened with `needs_data=False`.
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
        """Where it is and in which format, for messages."""
        return f"{self.prefix} ({self.format}{' SavedModel' if self.is_saved_model else ''})"

    @property
    def optimizer_state(self) -> Set[str]:
        """The names of slots, of settings such as learning rates, and of powers and counts of bias corrections."""
        shapes = {name: old.shape for name, old in self.variables.items()}
        corrections = {name for name, shape in shapes.items() if bias_correction(name, shape)}
        return {*self.slots_by_name, *hyperparameters(shapes, self.slots_by_name), *corrections}

    def find(self, name: str) -> Optional[OldVariable]:
        """Returns the variable of that name or at that object path, or the slot `VARIABLE/SLOT`; `None` if there is none."""
        if name in self.variables:
            return self.variables[name]
        found = self.find_by_path(name) if self.find_by_path is not None else None
        slots = self._slots_called(name) if found is None else [found]
        return self.variables[slots[0]] if len(slots) == 1 else None

    def _slots_called(self, name: str) -> List[str]:
        spellings = {name, name.strip("/")}
        if not any(self._has_variable(name[:at]) for name in spellings for at, letter in enumerate(name) if letter == "/"):
            return []  # Most names that are not found are no slots: looking at each slot takes long for thousands of them.
        return [
            slot for slot, slot_of in self.slots_by_name.items() if not spellings.isdisjoint(_slot_spellings(self, slot_of))
        ]

    def _has_variable(self, name: str) -> bool:
        return name in self.variables or (self.find_by_path is not None and self.find_by_path(name) is not None)

    def why_ambiguous(self, name: str) -> str:
        """Returns which variables `name` stands for, if `find` has none since there are several; else an empty string."""
        if name in self.shared_names:
            return (
                f"{len(self.shared_names[name])} variables of the checkpoint have the name {name!r}; give an object path: "
                f"{first_few(self.shared_names[name])}"
            )
        slots = self._slots_called(name)
        if len(slots) > 1:
            return f"{len(slots)} slots of the checkpoint are called {name!r}; give the name of one: {first_few(sorted(slots))}"
        return ""

    def spellings(self) -> List[str]:
        """Returns all that `find` knows variables by, but for the names and numbers of objects on other paths to them."""
        known = list(self.variables) + [
            spelling for slot_of in self.slots_by_name.values() for spelling in _slot_spellings(self, slot_of)
        ]
        if self.find_by_path is not None:
            known += [old.path for old in self.variables.values() if old.path != old.name]
        return known

    def why_not(self, name: str) -> str:
        """Returns why `find` has no variable for `name`, with close spellings."""
        return self.why_ambiguous(name) or f"the checkpoint has no {name!r}{did_you_mean(name, self.spellings())}"


def other_spellings(checkpoint: Checkpoint) -> Dict[str, List[str]]:
    """Returns {old name: its other names}: its object path, and `VARIABLE/SLOT` for a slot, unless they are ambiguous."""
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
    """Returns the slice as `RestoreV2` takes it: empty for a whole tensor, which is read faster."""
    if box == whole_slice(old.shape):
        return ""
    text = ":".join(f"{offset},{length}" for offset, length in zip(*box))
    return f"{' '.join(map(str, old.shape))} {text}"


def open_checkpoint(ckp_dir: PathArgument, *, needs_data: bool = True) -> Checkpoint:
    """Opens the old model at `ckp_dir`.

    Args:
      ckp_dir: str or path: a directory with a `checkpoint` file (its latest), a checkpoint's prefix, a SavedModel's directory,
        or an `.npz` or `.safetensors` file, on any filesystem that `tf.io.gfile` reads. Where a directory has the name of a
        prefix next to it, the one that holds a checkpoint is taken; if both do, `PATH/` is the directory and `PATH.index` the
        prefix.
      needs_data: whether an error is raised if its data files are not whole. Otherwise `problems` says what is wrong with them,
        and keys stand for the names of an object-based checkpoint whose object graph cannot be read.

    Raises:
      CheckpointError: if there is no whole checkpoint; the message says what is there instead.
    """
    prefix, is_saved_model, is_v1, array_format = find_checkpoint(ckp_dir)
    if is_v1:
        return _open_v1(prefix)
    if array_format:
        return _open_arrays(prefix, array_format)
    index = read_index(prefix)
    problems = _data_file_problems(prefix, index)
    if problems and needs_data:
        raise CheckpointError(f"the checkpoint {prefix} is not whole", problems)
    _check_byte_order(prefix, index)
    tensors = _as_variables(prefix, index.tensors())
    if OBJECT_GRAPH_KEY not in tensors:
        checkpoint = _name_based(prefix, NAME_BASED, tensors)
    else:
        try:
            checkpoint = _object_based(prefix, index, tensors)
        except CheckpointError:
            if not problems:
                raise
            checkpoint = _without_object_graph(prefix, tensors)
    return checkpoint._replace(is_saved_model=is_saved_model, problems=tuple(problems))


def _as_variables(prefix: str, tensors: Mapping[str, StoredTensor]) -> Dict[str, OldVariable]:
    """Returns {key of a tensor: the variable of that name}, sorted by name."""
    return {
        key: OldVariable(key, stored.shape, stored.dtype, key, stored.slices, prefix=prefix)
        for key, stored in sorted(tensors.items())
    }


def _name_based(prefix: str, format_name: str, variables: Dict[str, OldVariable]) -> Checkpoint:
    """Returns what `tf.compat.v1.train.Saver` has written: one tensor for each variable, under the variable's name."""
    return Checkpoint(prefix, format_name, variables, find_slots({name: old.shape for name, old in variables.items()}))


def _open_v1(prefix: str) -> Checkpoint:
    """Returns what a `Saver` with `write_version=SaverDef.V1` has written: name-based, in files without an index."""
    variables = _as_variables(prefix, read_v1_tensors(prefix))
    return _name_based(prefix, NAME_BASED_V1, variables)._replace(files=tuple(v1_files(prefix)))


def _open_arrays(path: str, array_format: str) -> Checkpoint:
    """Returns what a `.npz` or `.safetensors` file has: an array for each variable, under the variable's name."""
    arrays = read_npz(path) if array_format == NPZ else read_safetensors(path)
    variables = {
        name: OldVariable(name, stored.shape, stored.dtype, name, prefix=path, stored=stored)
        for name, stored in sorted(arrays.items())
    }
    return _name_based(path, array_format, variables)._replace(files=(path,))


def _object_based(prefix: str, index: BundleIndex, tensors: Mapping[str, OldVariable]) -> Checkpoint:
    """Returns what `tf.train.Checkpoint` has written: one tensor for each variable, under the path of its object."""
    try:
        with closing(BundleReader(prefix, index)) as reader:
            graph = ObjectGraph(reader.read_string(OBJECT_GRAPH_KEY))
    except ValueError as error:
        raise CheckpointError(f"the object graph of {prefix} cannot be read: {error}") from error
    held = {number: variable for number, variable in graph.variables.items() if variable.key in tensors}
    names, shared = names_of_variables(held)
    variables = {
        names[number]: tensors[variable.key]._replace(name=names[number], path=variable.path)
        for number, variable in held.items()
    }
    shapes = {name: old.shape for name, old in variables.items()}
    slots_by_name = {**find_slots(shapes), **graph.slots_by_name(names, shapes)}

    def find_by_path(path: str) -> Optional[str]:
        number = graph.find(path)
        return None if number is None else names.get(number)

    return Checkpoint(prefix, OBJECT_BASED, dict(sorted(variables.items())), slots_by_name, shared, find_by_path)


def _without_object_graph(prefix: str, tensors: Mapping[str, OldVariable]) -> Checkpoint:
    """Returns an object-based checkpoint whose object graph cannot be read: its variables have no names but their keys."""
    variables = {
        key: old._replace(path=key.partition(ATTRIBUTES_MARK)[0]) for key, old in tensors.items() if key != OBJECT_GRAPH_KEY
    }
    return Checkpoint(prefix, OBJECT_BASED, variables, {})


def _data_file_problems(prefix: str, index: BundleIndex) -> List[str]:
    problems = []
    for number, size in index.data_file_sizes().items():
        path = data_file(prefix, number, index.header.num_shards)
        try:
            length = tf.io.gfile.stat(path).length
        except tf.errors.NotFoundError:
            problems.append(f"{path} is missing")
            continue
        if length < size:
            problems.append(f"{path} has {length:,} bytes, {size:,} by the index: it is cut short")
    return problems


def _check_byte_order(prefix: str, index: BundleIndex) -> None:
    """Raises `CheckpointError` if this TensorFlow cannot read values of the checkpoint's byte order: some versions can."""
    is_big = index.header.endianness == tensor_bundle_pb2.BundleHeaderProto.BIG
    if is_big == (sys.byteorder == "big"):
        return
    try:
        tf1.train.NewCheckpointReader(prefix)
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{prefix} cannot be opened as a checkpoint: {error}") from error
