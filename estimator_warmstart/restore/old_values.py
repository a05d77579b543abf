"""Old values as tensors: read from the files, cut or adapted, on the device of the variable that each is for."""

from __future__ import annotations

import os
import re
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from estimator_warmstart._tf import tf, tf1
from estimator_warmstart.adapters.resolved import resolve
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable, slice_spec
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.graph.variables import Part
from estimator_warmstart.plan.plan import PlannedVariable
from estimator_warmstart.restore.adapted_values import build_value
from estimator_warmstart.restore.array_values import ArrayValues
from estimator_warmstart.restore.axis_indices import AxisIndices
from estimator_warmstart.restore.initializers import device_of
from estimator_warmstart.tensors import TensorSlice, whole_slice

# BundleReader::GetSliceValue (tensor_bundle.cc) copies no pieces of these.
_NO_SLICES = ("float16", "bfloat16", "string", "uint16", "uint32", "uint64")
_BUDGET_BYTES = 64 * 2**20
# Of the environment: megabytes that old values on one device may take together, while they are adapted or cut.
BUDGET_VARIABLE = "ESTIMATOR_WARMSTART_MEMORY_MB"
# Values of at most so many bytes are read so many at a time. They are few, because their names are in an error's text, and
# because initializing one of their variables alone reads them all.
_SMALL_BYTES = 64 * 2**10
_MOST_TOGETHER = 32


class OldValues:
    """Makes tensors that hold old values, each on the host of the device that its variable is on.

    A value that is adapted, or sliced from a whole, exists twice for a while, old and new. So large ones on one device wait for
    each other.

    Args:
      checkpoints: the old models.
      initial_of: makes a tensor of the initial value of a physical variable.
    """

    def __init__(self, checkpoints: Sequence[Checkpoint], initial_of: Callable[[tf.Variable], tf.Tensor]):
        self._old = {checkpoint.prefix: checkpoint.variables for checkpoint in checkpoints}
        self._reader, self._initial_of = _SliceReader(), initial_of
        self._indices: Dict[str, AxisIndices] = {}
        self._queues: Dict[str, _MemoryQueue] = {}
        self._budget = _budget_bytes()
        self._read_before: Dict[str, tf.Tensor] = {}

    def read_small(self, decided: Sequence[PlannedVariable]) -> None:
        """Reads those small values of `decided` that are taken as they are, many by one operation; `of` yields them then."""
        groups: Dict[Tuple[str, str, bool], List[_Read]] = {}
        for planned in decided:
            old = planned.source
            is_cut = bool(old.slices) or len(planned.new.parts) > 1
            is_together = 0 < old.nbytes <= _SMALL_BYTES and not (is_cut and old.dtype in _NO_SLICES)
            if planned.steps or old.stored is not None or not is_together:
                continue
            for part in planned.new.parts:
                for copy in part.copies:
                    # Local variables are initialized at other times.
                    group = groups.setdefault((device_of(copy), old.prefix, planned.new.is_local), [])
                    group.append(_Read(copy.name, old, TensorSlice(part.offset, part.shape)))
        for (device, _, _), reads in groups.items():
            for start in range(0, len(reads), _MOST_TOGETHER):
                together = reads[start : start + _MOST_TOGETHER]
                with tf.device(device), tf.device("/cpu:0"):
                    values = self._reader.read_together(together, device)
                self._read_before.update(zip([read.name for read in together], values))

    def of(self, planned: PlannedVariable) -> Iterator[Tuple[tf.Variable, tf.Tensor]]:
        """Yields each physical variable of `planned` with its value, the shape checked when it is read."""
        wholes: Dict[str, tf.Tensor] = {}
        for part in planned.new.parts:
            for copy in part.copies:
                if copy.name in self._read_before:
                    yield copy, self._read_before[copy.name]
                    continue
                with tf.device(device_of(copy)), tf.device("/cpu:0"):
                    yield copy, self._build(planned, part, copy, wholes)

    def _build(self, planned: PlannedVariable, part: Part, copy: tf.Variable, wholes: Dict[str, tf.Tensor]) -> tf.Tensor:
        device, name = device_of(copy), _name_of_operation(copy.name)

        def read(old_slice: TensorSlice) -> tf.Tensor:
            if planned.source.slices or planned.source.stored is not None:
                return self._reader.read(planned.source, old_slice, name, device)
            # For a slice of a tensor that is stored whole, RestoreV2 reads the whole and copies the slice, on one thread. The
            # whole is read on several threads, and all parts on one device share it.
            if device not in wholes:
                wholes[device] = self._reader.read(planned.source, whole_slice(planned.source.shape), name, device)
            return _copy_slice(wholes[device], old_slice)

        def read_scalar(old_name: str) -> tf.Tensor:
            return self._reader.read(self._old[planned.source.prefix][old_name], whole_slice(()), name, device)

        resolved = resolve(planned.steps, planned.source.shape, TensorSlice(part.offset, part.shape))
        as_it_is = resolved.slice_as_it_is
        is_whole = as_it_is == whole_slice(planned.source.shape)
        # An array of a file is there twice too, until its bytes are values.
        if as_it_is is not None and planned.source.stored is None and (planned.source.slices or is_whole):
            return read(as_it_is)
        queue = self._queues.setdefault(device, _MemoryQueue(self._budget))
        with tf1.control_dependencies(queue.wait_for(planned.source.nbytes)):
            if as_it_is is not None:
                value = read(as_it_is)
            else:
                indices = self._indices.setdefault(device, AxisIndices())
                initial, is_slot = self._initial_of(copy), planned.new.slot_of is not None
                value = build_value(resolved, read, read_scalar, indices, initial, is_slot)
                value = tf.ensure_shape(value, part.shape)
        queue.add(value)
        return value


def _budget_bytes() -> int:
    """Returns how many bytes of old values may be in memory at a time, next to one old value: the user's choice or 64 MB.

    Raises:
      WarmStartError: if the environment variable is not a number.
    """
    text = os.environ.get(BUDGET_VARIABLE, "")
    if not text:
        return _BUDGET_BYTES
    if not re.fullmatch("[0-9]+", text):
        raise WarmStartError(f"the environment variable {BUDGET_VARIABLE} must be a whole number of megabytes, got {text!r}")
    return max(int(text) * 10**6, _BUDGET_BYTES)


class _MemoryQueue:
    """Lets values be made together while the old ones fit a budget; later ones wait for these."""

    def __init__(self, budget: int) -> None:
        self._before: List[tf.Tensor] = []
        self._now: List[tf.Tensor] = []
        self._nbytes, self._budget = 0, budget

    def wait_for(self, nbytes: int) -> List[tf.Tensor]:
        """Returns what a value with an old one of `nbytes` must wait for."""
        if self._now and self._nbytes + nbytes > self._budget:
            self._before, self._now, self._nbytes = self._now, [], 0
        self._nbytes += nbytes
        return self._before

    def add(self, value: tf.Tensor) -> None:
        """Lets values of a later turn wait for `value`."""
        self._now.append(value)


class _Read(NamedTuple):
    """A slice of an old variable that the new physical variable `name` takes."""

    name: str
    old: OldVariable
    old_slice: TensorSlice


class _SliceReader:
    """Reads slices of old variables."""

    def __init__(self) -> None:
        self._constants: Dict[Tuple[str, str], tf.Tensor] = {}
        self._arrays = ArrayValues()

    def read(self, old: OldVariable, old_slice: TensorSlice, name: str, device: str) -> tf.Tensor:
        """Returns the values of a slice of `old`. `name` is the new variable's, for messages."""
        # The session's error about a damaged file names the operation, and on 1.15 nothing else.
        operation = f"restore/{name}/from/{_path_in_names(old.prefix)}"
        if old.stored is not None:
            return self._arrays.read(old.stored, old_slice, device, operation)
        if old.slices and old.dtype in _NO_SLICES:
            return self._read_stored_slices(old, old_slice, name, device)
        value = tf.raw_ops.RestoreV2(
            prefix=self._constant(device, old.prefix),
            tensor_names=[old.key],
            shape_and_slices=self._constant(device, slice_spec(old, old_slice), vector=True),
            dtypes=[tf.as_dtype(old.dtype)],
            name=operation,
        )[0]
        # If the checkpoint is replaced between the plan and the session, that is an error, not another shape.
        return tf.ensure_shape(value, old_slice.shape, name="ensure_shape")

    def read_together(self, reads: Sequence[_Read], device: str) -> List[tf.Tensor]:
        """Returns the values of several slices of one checkpoint's variables, read by one operation."""
        prefix, specs = reads[0].old.prefix, [_shape_and_slice(read) for read in reads]
        values = tf.raw_ops.RestoreV2(
            prefix=self._constant(device, prefix),
            tensor_names=[read.old.key for read in reads],
            shape_and_slices=specs,
            dtypes=[tf.as_dtype(read.old.dtype) for read in reads],
            name=f"restore/{'-and-'.join(_name_of_operation(read.name) for read in reads)}/from/{_path_in_names(prefix)}",
        )
        # The operation itself checks a shape that it was told.
        return [
            value if spec else tf.ensure_shape(value, read.old_slice.shape, name="ensure_shape")
            for value, spec, read in zip(values, specs, reads)
        ]

    def _read_stored_slices(self, old: OldVariable, old_slice: TensorSlice, name: str, device: str) -> tf.Tensor:
        """Reads a dtype of which TensorFlow reads stored slices as they are, but cannot concatenate them."""
        whole = old._replace(slices=())
        axis = next((axis for axis, length in enumerate(old.shape) if length != old.slices[0][1][axis]), 0)
        slices = sorted(old.slices, key=lambda stored: stored[0][axis])
        return _copy_slice(tf.concat([self.read(whole, stored, name, device) for stored in slices], axis), old_slice)

    def _constant(self, device: str, text: str, vector: bool = False) -> tf.Tensor:
        key = (device, text if not vector else f"[{text}]")
        if key not in self._constants:
            with tf1.control_dependencies(None):
                self._constants[key] = tf.constant([text] if vector else text)
        return self._constants[key]


def _shape_and_slice(read: _Read) -> str:
    """Returns the slice as `RestoreV2` takes it, with the shape of the old variable; empty where it takes no such text."""
    if not read.old.shape or read.old.dtype in _NO_SLICES:
        return ""
    return " ".join([*map(str, read.old.shape), ":".join(f"{offset},{length}" for offset, length in zip(*read.old_slice))])


def _name_of_operation(name: str) -> str:
    return name.split(":")[0]


def _path_in_names(prefix: str) -> str:
    """Returns `prefix` with the characters that names of operations may have."""
    return re.sub(r"[^A-Za-z0-9_./-]+", "_", prefix).replace("//", "/").strip("/")


def _copy_slice(value: tf.Tensor, old_slice: TensorSlice) -> tf.Tensor:
    if old_slice == whole_slice(tuple(value.shape.as_list())):
        return value
    # A slice shares the memory of the whole, and a variable that takes it over would keep all of that.
    return tf.raw_ops.DeepCopy(x=tf.slice(value, *old_slice))
