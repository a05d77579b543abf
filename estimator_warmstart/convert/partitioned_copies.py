"""Copies of tensors of which some are stored in other parts than before: what `partitions` make of a conversion."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import Dict, Iterator, List, Optional, Sequence

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.bundle_writer import NewTensor, write_tensors
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.data_files import BundleReader, TensorCopy
from estimator_warmstart.checkpoint.index_checks import entry_shape
from estimator_warmstart.checkpoint.row_windows import numpy_dtype, row_windows
from estimator_warmstart.convert.partitions import PartitionsArgument, StoredVariable, cut_rows, parts_of, slices_of
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.progress import Progress
from estimator_warmstart.tensors import NATIVE_ORDER, TensorSlice


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
    """Does what `write_bundle` does, and stores those tensors of the checkpoint `source` in parts that `counts` names."""
    with ExitStack() as opened:
        readers = {
            each: opened.enter_context(closing(BundleReader(each))) for each in dict.fromkeys(copy.prefix for copy in copies)
        }
        if any(reader.byte_order != NATIVE_ORDER for reader in readers.values()):
            raise WarmStartError(f"{source} was written on a machine of another byte order; partition it on such a machine")
        listed = {each: reader.index.tensors() for each, reader in readers.items()}

        def tensors() -> Iterator[NewTensor]:
            for copy in copies:
                stored = listed[copy.prefix][copy.key]
                old = OldVariable(copy.key, stored.shape, stored.dtype, copy.key, stored.slices, prefix=copy.prefix)
                count = counts.get(copy.key, 0) if copy.prefix == source else 0
                if count or copy.change:
                    yield from _new_parts(readers[copy.prefix], copy, old, count or 1)
                else:
                    yield from tensors_as_they_are(readers[copy.prefix], copy, old)

        total = sum(entry.size for copy in copies for _, entry in readers[copy.prefix].entries(copy.key, copy.key))
        write_tensors(prefix, tensors(), show, total)


def _new_parts(reader: BundleReader, copy: TensorCopy, old: OldVariable, count: int) -> Iterator[NewTensor]:
    """Yields the slices of a tensor, or the whole, cut from windows of rows."""
    change = copy.change or np.asarray
    dtype = tf.as_dtype(change(np.zeros(0, numpy_dtype(old.dtype))).dtype).name
    windows = (change(window) for window in row_windows(reader, old))
    if count == 1:
        yield NewTensor(copy.new_key, dtype, old.shape, None, windows, old.nbytes)
        return
    for box, rows in cut_rows(windows, slices_of(old.shape, count)):
        yield NewTensor(copy.new_key, dtype, old.shape, box, rows, old.nbytes // count)


def tensors_as_they_are(reader: BundleReader, copy: TensorCopy, old: OldVariable) -> Iterator[NewTensor]:
    """Yields a tensor, or its slices, with the bytes and the checksums that they have."""
    entries = [entry for _, entry in reader.entries(copy.key, copy.key)]
    boxes: List[Optional[TensorSlice]] = [*reader.boxes(copy.key)] or [None]
    for entry, box in zip(entries[1:] or entries, boxes):
        chunks = reader.read_entry(copy.key, entry)
        yield NewTensor(copy.new_key, old.dtype, entry_shape(entries[0]), box, chunks, entry.size, entry.crc32c)
