"""Copies of tensors of which some are stored in other parts than before: what `partitions` make of a conversion."""

from __future__ import annotations

from typing import Dict, Iterator, Sequence

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.bundle_writer import NewTensor
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.copies import Reader, TensorCopy, copied, write_copies
from estimator_warmstart.checkpoint.data_files import BundleReader
from estimator_warmstart.checkpoint.index_checks import entry_shape
from estimator_warmstart.checkpoint.row_windows import numpy_dtype, row_windows
from estimator_warmstart.convert.partitions import PartitionsArgument, StoredVariable, cut_rows, parts_of, slices_of
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.progress import Progress
from estimator_warmstart.tensors import NATIVE_ORDER


def counts_by_key(old: Checkpoint, partitions: PartitionsArgument) -> Dict[str, int]:
    """Returns {key of a tensor of `old`: in how many parts it is to be stored}.

    Raises:
      WarmStartError: as `parts_of` does.
    """
    variables = [
        StoredVariable(
            name, variable.shape, variable.dtype, old.slots_by_name[name].primary if name in old.slots_by_name else None
        )
        for name, variable in old.variables.items()
        if variable.is_whole and variable.dtype not in ("string", "variant")
    ]
    return {old.variables[name].key: count for name, count in parts_of(partitions, variables).items()}


def write_partitioned(prefix: str, copies: Sequence[TensorCopy], counts: Dict[str, int], source: str, show: Progress) -> None:
    """Does what `write_copies` does, and stores those tensors of the checkpoint `source` in parts that `counts` names.

    Raises:
      WarmStartError: if the values are of another byte order.
    """

    def tensors_of(reader: Reader, copy: TensorCopy) -> Iterator[NewTensor]:
        count = counts.get(copy.key, 0) if copy.prefix == source else 0
        return _new_parts(reader, copy, count) if count and isinstance(reader, BundleReader) else copied(reader, copy)

    write_copies(prefix, copies, show, tensors_of)


def _new_parts(reader: BundleReader, copy: TensorCopy, count: int) -> Iterator[NewTensor]:
    """Yields the slices of a tensor, cut from windows of rows."""
    if reader.byte_order != NATIVE_ORDER:
        raise WarmStartError(f"{reader.prefix} was written on a machine of another byte order; partition it on such a machine")
    entry, boxes = reader.index.entries[copy.key.encode("utf-8")], tuple(reader.boxes(copy.key))
    old = OldVariable(copy.key, entry_shape(entry), tf.as_dtype(entry.dtype).name, copy.key, boxes, prefix=copy.prefix)
    change = copy.change or np.asarray
    dtype = tf.as_dtype(change(np.zeros(0, numpy_dtype(old.dtype))).dtype).name
    windows = (change(window) for window in row_windows(reader, old))
    if count == 1:
        yield NewTensor(copy.new_key, dtype, old.shape, None, windows, old.nbytes)
        return
    for box, rows in cut_rows(windows, slices_of(old.shape, count)):
        yield NewTensor(copy.new_key, dtype, old.shape, box, rows, old.nbytes // count)
