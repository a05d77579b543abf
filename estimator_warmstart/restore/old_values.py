"""Old values as tensors: read from the files, cut or adapted, on the device of the variable that each is for."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterator, List, Tuple

from estimator_warmstart._tf import tf, tf1
from estimator_warmstart.adapters.resolved import resolve
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable, slice_spec
from estimator_warmstart.graph.variables import Part
from estimator_warmstart.plan.plan import PlannedVariable
from estimator_warmstart.restore.adapted_values import build_value
from estimator_warmstart.restore.axis_indices import AxisIndices
from estimator_warmstart.restore.initializers import device_of
from estimator_warmstart.tensors import TensorSlice, whole_slice

# BundleReader::GetSliceValue (tensor_bundle.cc) copies no pieces of these.
_NO_SLICES = ("float16", "bfloat16", "string", "uint16", "uint32", "uint64")
_BUDGET_BYTES = 64 * 2**20


class OldValues:
    """Makes tensors that hold old values, each on the host of the device that its variable is on.

    Values that are adapted, or cut from a whole, exist twice for a while, old and new: large ones wait for each other on each
    device.

    Args:
      old: the old model.
      initial_of: makes a tensor of the initial value of a physical variable.
    """

    def __init__(self, old: Checkpoint, initial_of: Callable[[Any], Any]):
        self._files, self._old = _Files(old.prefix), old.variables
        self._initial_of = initial_of
        self._indices: Dict[str, AxisIndices] = {}
        self._queues: Dict[str, _Queue] = {}

    def of(self, planned: PlannedVariable) -> Iterator[Tuple[Any, Any]]:
        """Each physical variable of `planned` with the value for it, the shape checked when it is read."""
        wholes: Dict[str, Any] = {}
        for part in planned.new.parts:
            for copy in part.copies:
                device = device_of(copy)
                with tf.device(device), tf.device("/cpu:0"):
                    yield copy, self._value(planned, part, copy, wholes)

    def _value(self, planned: PlannedVariable, part: Part, copy: Any, wholes: Dict[str, Any]) -> Any:
        device, name = device_of(copy), copy.name.split(":")[0]

        def read(box: TensorSlice) -> Any:
            if planned.source.slices:
                return self._files.read(planned.source, box, name, device)
            # To read a piece of what is stored whole, RestoreV2 reads the whole and copies the piece, on one thread; a whole
            # is read on several, and all parts on one device share it.
            if device not in wholes:
                wholes[device] = self._files.read(planned.source, whole_slice(planned.source.shape), name, device)
            return _cut(wholes[device], box)

        def read_scalar(old_name: str) -> Any:
            return self._files.read(self._old[old_name], whole_slice(()), name, device)

        resolved = resolve(planned.steps, planned.source.shape, TensorSlice(part.offset, part.shape))
        as_it_is = resolved.slice_as_it_is
        if as_it_is is not None and (planned.source.slices or as_it_is == whole_slice(planned.source.shape)):
            return read(as_it_is)
        queue = self._queues.setdefault(device, _Queue())
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


class _Queue:
    """Lets values be made together while the old ones fit a budget; later ones wait for these."""

    def __init__(self) -> None:
        self._before: List[Any] = []
        self._now: List[Any] = []
        self._nbytes = 0

    def wait_for(self, nbytes: int) -> List[Any]:
        """What a value with an old one of `nbytes` must wait for."""
        if self._now and self._nbytes + nbytes > _BUDGET_BYTES:
            self._before, self._now, self._nbytes = self._now, [], 0
        self._nbytes += nbytes
        return self._before

    def add(self, value: Any) -> None:
        self._now.append(value)


class _Files:
    """Reads boxes of old variables."""

    def __init__(self, prefix: str):
        self._prefix = prefix
        self._path_in_names = re.sub(r"[^A-Za-z0-9_./-]+", "_", prefix).replace("//", "/").strip("/")
        self._constants: Dict[Tuple[str, str], Any] = {}

    def read(self, old: OldVariable, box: TensorSlice, name: str, device: str) -> Any:
        """The values of `box` of `old`; `name` is the new variable's, for messages."""
        if old.slices and old.dtype in _NO_SLICES:
            return self._read_slices(old, box, name, device)
        value = tf.raw_ops.RestoreV2(
            prefix=self._constant(device, self._prefix),
            tensor_names=[old.key],
            shape_and_slices=self._constant(device, slice_spec(old, box), vector=True),
            dtypes=[tf.as_dtype(old.dtype)],
            # The session's error about a damaged file names the operation, and on 1.15 nothing else.
            name=f"restore/{name}/from/{self._path_in_names}",
        )[0]
        # Whoever replaces the checkpoint between the plan and the session gets an error, not another shape.
        return tf.ensure_shape(value, box[1], name="ensure_shape")

    def _read_slices(self, old: OldVariable, box: TensorSlice, name: str, device: str) -> Any:
        """For dtypes of which TensorFlow reads stored slices as they are, but puts none together."""
        whole = old._replace(slices=())
        axis = next((axis for axis, length in enumerate(old.shape) if length != old.slices[0][1][axis]), 0)
        slices = sorted(old.slices, key=lambda stored: stored[0][axis])
        return _cut(tf.concat([self.read(whole, stored, name, device) for stored in slices], axis), box)

    def _constant(self, device: str, text: str, vector: bool = False) -> Any:
        key = (device, text if not vector else f"[{text}]")
        if key not in self._constants:
            with tf1.control_dependencies(None):
                self._constants[key] = tf.constant([text] if vector else text)
        return self._constants[key]


def _cut(value: Any, box: TensorSlice) -> Any:
    if box == whole_slice(tuple(value.shape.as_list())):
        return value
    # A slice shares the memory of the whole, and a variable that takes it over would keep all of that.
    return tf.raw_ops.DeepCopy(x=tf.slice(value, *box))
