"""Merges checkpoints of one model into one: the mean of their values, a few rows of each at a time.

Source: averaging weights along a run, "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv 1803.05407.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from typing import Dict, Iterable, Iterator, NamedTuple, Optional, Sequence, Set

import numpy as np

from estimator_warmstart._tf import logger, object_graph_pb2
from estimator_warmstart.arguments import check_bool
from estimator_warmstart.checkpoint.arrays import ARRAY_FORMATS
from estimator_warmstart.checkpoint.bundle_writer import NewTensor, write_tensors
from estimator_warmstart.checkpoint.checkpoint import NAME_BASED_V1, Checkpoint, OldVariable, open_checkpoint
from estimator_warmstart.checkpoint.copies import TensorCopy, copied, write_copies
from estimator_warmstart.checkpoint.data_files import BundleReader
from estimator_warmstart.checkpoint.index_file import StoredTensor
from estimator_warmstart.checkpoint.object_graph import OBJECT_GRAPH_KEY, without_keys
from estimator_warmstart.checkpoint.row_windows import WINDOW_BYTES, numpy_dtype, row_windows
from estimator_warmstart.checkpoint.second_keys import add_keys, second_keys
from estimator_warmstart.checkpoint.statistics import Reader, value_reader
from estimator_warmstart.convert.destination import checked_destination, source_directory, staged
from estimator_warmstart.convert.merge_sources import checked_weights, open_sources
from estimator_warmstart.convert.partitions import cut_rows
from estimator_warmstart.convert.renamed import copy_of
from estimator_warmstart.convert.v1_copies import rewritten_as_v2
from estimator_warmstart.errors import CheckpointError, first_few
from estimator_warmstart.files import PathArgument
from estimator_warmstart.progress import Progress, progress_line
from estimator_warmstart.tensors import NATIVE_ORDER, Shape, TensorSlice, whole_slice


def merge_checkpoints(
    sources: Sequence[PathArgument],
    destination: PathArgument,
    *,
    weights: Optional[Sequence[float]] = None,
    overwrite: bool = False,
    with_slots: bool = False,
    progress: Optional[bool] = None,
) -> str:
    """Writes the mean of several checkpoints of one model, such as the last ones of a run.

    Use it before a warm start, an evaluation or an export: the mean of the last checkpoints is often better than the last one.
    Each floating-point value is the mean of the sources', added up in float64 and cast once. What is not floating-point, such
    as the global step, is that of the last source. The checksums are verified. A few MB of each source are in memory at a time.
    As by `convert_checkpoint`, the new checkpoint is moved to its place when it is whole, and the sources are only read.

    Args:
      sources: two or more, each as `ckp_dir` elsewhere, the last one last. They must have the same variables, of the same
        shapes and dtypes. They may be of different formats and partitioned differently.
      destination: str or path: the prefix of the new checkpoint, such as `merged/model.ckpt`, not in the directory of a source;
        directories that are missing are made. It is of the last source's format: name-based, object-based or both, and
        name-based after a file of arrays. Variables that the last source has in slices of whole rows are stored in these,
        others whole.
      weights: float, one for each source, 0 or more; only their ratios matter. `None`: all count the same.
      overwrite: whether a checkpoint at `destination` is replaced.
      with_slots: whether the optimizer's slots, powers and counts are merged too. Without, they are left out.
      progress: `True`: the bytes done are shown on stderr. `False`: nothing is. `None`: what takes longer than two seconds
        shows them if stderr is a terminal, and logs them each ten seconds, at level INFO, if it is not.

    Returns:
      The new checkpoint's prefix.

    Raises:
      WarmStartError: for bad arguments, for sources that do not have the same variables, which lists all of them, for a damaged
        source or a place that cannot be written. Nothing is left at `destination` or next to it.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import merge_checkpoints
      >>> tf1, folder, prefixes = tf.compat.v1, tempfile.mkdtemp(), []
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     w = tf1.get_variable("fm/w", [2])
      ...     for step, value in enumerate([[1.0, 2.0], [3.0, 6.0]]):
      ...         w.load(value, session)
      ...         prefixes.append(tf1.train.Saver().save(session, os.path.join(folder, "run", "model.ckpt"), step))
      >>> merged = merge_checkpoints(prefixes, os.path.join(folder, "merged", "model.ckpt"))
      >>> [float(value) for value in tf.train.load_variable(merged, "fm/w")]
      [2.0, 4.0]

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv 1803.05407.
    """
    check_bool("with_slots", with_slots)
    opened = open_sources(sources, with_slots)
    factors = checked_weights(weights, len(opened))
    for old in opened:
        place = checked_destination(destination, source_directory(old), overwrite)
    with staged(place, overwrite) as folder, ExitStack() as stack:
        show = stack.enter_context(progress_line(f"Merging {os.path.basename(place)}", progress))
        sources_of_mean = [_Source(old, stack.enter_context(closing(value_reader(old)))) for old in opened]
        last = _as_bundle(opened[-1], folder, progress)
        template = stack.enter_context(closing(BundleReader(last.prefix)))
        merger = _Merger(sources_of_mean, factors, show)
        merger.write(last, template, os.path.join(folder, "new"), set() if with_slots else last.optimizer_state)
    if merger.with_nan:
        logger.warning("%s has NaN in %s, as a source has", place, first_few(list(merger.with_nan)))
    return place


def _as_bundle(old: Checkpoint, folder: str, progress: Optional[bool]) -> Checkpoint:
    """Returns `old`, or a name-based copy of it in `folder` if it is a V1 checkpoint or a file of arrays."""
    if old.format == NAME_BASED_V1:
        return rewritten_as_v2(old, folder, progress)
    if old.format not in ARRAY_FORMATS:
        return old
    prefix = os.path.join(folder, "arrays")
    with progress_line(f"Unpacking {os.path.basename(old.prefix)}", progress) as show:
        write_copies(prefix, [copy_of(each, name) for name, each in old.variables.items()], show)
    return open_checkpoint(prefix)


class _Source(NamedTuple):
    """One of the checkpoints that are merged, and the reader of its values."""

    old: Checkpoint
    reader: Reader


class _Merger:
    """Writes the merged checkpoint.

    Args:
      sources: in the user's order.
      weights: float64, one for each.
      show: is called with the bytes done and the bytes in all.

    Attributes:
      with_nan: the names of merged variables that have NaN.
    """

    def __init__(self, sources: Sequence[_Source], weights: np.ndarray, show: Progress):
        self._sources, self._weights, self._show = sources, weights, show
        self.with_nan: Dict[str, None] = {}

    def write(self, last: Checkpoint, reader: BundleReader, prefix: str, left_out: Set[str]) -> None:
        """Writes the checkpoint `prefix`.

        Args:
          last: the last source, in the V2 format.
          reader: of it; what is not merged is copied from there.
          prefix: of the new checkpoint.
          left_out: names of variables.

        Raises:
          CheckpointError: listing each tensor that cannot be read.
        """
        by_key = {old.key: old for old in last.variables.values()}
        more_keys = second_keys(last, reader.index)
        dropped = {last.variables[name].key for name in left_out}
        dropped |= {key for key, first in more_keys.items() if first in dropped}
        stored = {key: each for key, each in reader.index.tensors().items() if key not in dropped}
        wanted = [key for key in stored if key not in more_keys and key != OBJECT_GRAPH_KEY]
        total = sum(by_key[key].nbytes for key in wanted if key in by_key)

        def tensors() -> Iterator[NewTensor]:
            for key in wanted:
                if key in by_key and is_merged(by_key[key]):
                    yield from self._mean(by_key[key], stored[key])
                else:
                    yield from _tensors_of(reader, key)
            if OBJECT_GRAPH_KEY in stored:
                graph = object_graph_pb2.TrackableObjectGraph.FromString(reader.read_string(OBJECT_GRAPH_KEY))
                text = np.array(without_keys(graph, dropped).SerializeToString(), object)
                yield NewTensor(OBJECT_GRAPH_KEY, "string", (), None, iter([text]))

        write_tensors(prefix, tensors(), self._show, total)
        add_keys(prefix, {key: first for key, first in more_keys.items() if key in stored})

    def _mean(self, old: OldVariable, stored: StoredTensor) -> Iterator[NewTensor]:
        """Yields the slices of a mean, or the whole."""
        means = self._means(old)
        if not stored.slices or not _has_whole_rows(stored.shape, stored.slices):
            yield NewTensor(old.key, old.dtype, stored.shape, None, means, old.nbytes)
            return
        for box, rows in cut_rows(means, sorted(stored.slices)):
            yield NewTensor(old.key, old.dtype, stored.shape, box, rows, old.nbytes // len(stored.slices))

    def _means(self, old: OldVariable) -> Iterator[np.ndarray]:
        """Yields the rows of the mean, in order."""
        variables = [source.old.variables[old.name] for source in self._sources]
        nbytes = max(WINDOW_BYTES // len(variables), 1 << 16)
        windows = [row_windows(source.reader, each, nbytes) for source, each in zip(self._sources, variables)]
        for same_rows in zip(*windows):
            mean = mean_of(same_rows, self._weights, numpy_dtype(old.dtype))
            if (mean != mean).any():
                self.with_nan[old.name] = None
            yield mean


def _tensors_of(reader: BundleReader, key: str) -> Iterator[NewTensor]:
    """Yields what is not merged, bit for bit.

    Raises:
      CheckpointError: if it is of another byte order.
    """
    if reader.byte_order != NATIVE_ORDER:
        raise CheckpointError(f"{reader.prefix} was written on a machine of another byte order; copy it on such a machine")
    return copied(reader, TensorCopy(reader.prefix, key, key))


def _has_whole_rows(shape: Shape, slices: Iterable[TensorSlice]) -> bool:
    """Whether all of `slices` are of whole rows, as those of a variable are that is partitioned along its first axis."""
    return all((offset[1:], length[1:]) == whole_slice(shape[1:]) for offset, length in slices)


def mean_of(arrays: Iterable[np.ndarray], weights: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Returns the weighted mean of arrays, added up in float64 and cast to `dtype` once, as by `np.average`."""
    with np.errstate(all="ignore"):  # Infinities and NaN go on as they do in NumPy.
        total = sum(array.astype(np.float64) * weight for array, weight in zip(arrays, weights))
        return np.asarray(total / weights.sum()).astype(dtype)


def is_merged(old: OldVariable) -> bool:
    """Whether there is a mean of the variable's values: whether they are floating-point numbers."""
    return "float" in old.dtype
