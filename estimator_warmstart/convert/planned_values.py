"""The first values of all variables of a plan, as tensors of a new checkpoint that come a few rows at a time.

Small values are made together, by the operations that a hook's graph has. So is what needs the whole old value. Others are made
in numpy, in windows.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack, closing
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set

import numpy as np

from estimator_warmstart._tf import slice_of, tf
from estimator_warmstart.adapters.resolved import ResolvedValue, resolve
from estimator_warmstart.checkpoint.bundle_writer import NewTensor
from estimator_warmstart.checkpoint.checkpoint import Checkpoint
from estimator_warmstart.checkpoint.old_models import prefixes_of
from estimator_warmstart.checkpoint.statistics import Reader, value_reader
from estimator_warmstart.convert.initial_graph import InitialGraph
from estimator_warmstart.convert.partitions import cut_rows, slices_of
from estimator_warmstart.convert.row_sources import RowsInAnyOrder, RowsInOrder
from estimator_warmstart.convert.window_values import Rows, WindowedValue, can_be_windowed, takes_rows_in_order
from estimator_warmstart.errors import first_few
from estimator_warmstart.graph.variables import Part
from estimator_warmstart.plan.plan import PlannedVariable
from estimator_warmstart.restore.old_values import OldValues
from estimator_warmstart.tensors import TensorSlice, count_bytes

# Values of so many bytes are made together. A larger one is made by itself, in windows if that can be.
SMALL_BYTES = 1 << 22


class PlannedValues:
    """Makes the values that the variables of a graph begin with.

    Args:
      checkpoints: the old models.
      decided: what is planned for each variable of the new checkpoint.
      initial: their initial values.
      counts: {name of a variable that is stored in other parts than the graph's: their number}.
      folder: a local directory for files that are needed meanwhile.
    """

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        decided: Sequence[PlannedVariable],
        initial: InitialGraph,
        counts: Mapping[str, int],
        folder: str,
    ):
        self._checkpoints, self._decided, self._initial = checkpoints, decided, initial
        self._counts, self._folder = counts, folder
        variables = [part.copies[0] for planned in decided for part in planned.new.parts]
        self._needed: Set[str] = {name for variable in variables for name in initial.needs(variable)}
        self._first: Dict[str, np.ndarray] = {}
        self._opened = ExitStack()
        self._readers: Dict[str, Reader] = {}

    def __enter__(self) -> PlannedValues:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def tensors(self) -> Iterator[NewTensor]:
        """Yields all tensors. Each is to be used up before the next one is asked for."""
        left = list(self._decided)
        while left:
            ready = [planned for planned in left if self._is_ready(planned)] or left  # There is no circle in a graph that runs.
            for planned in ready:
                for part in planned.new.parts:
                    self._give_needed(part)
            large = [planned for planned in ready if planned.new.nbytes > SMALL_BYTES or _old_bytes(planned) > SMALL_BYTES]
            yield from self._together([planned for planned in ready if planned not in large])
            for planned in large:
                yield from self._stored(planned, self._streams(planned))
            left = [planned for planned in left if planned not in ready]

    def _is_ready(self, planned: PlannedVariable) -> bool:
        names = [name for part in planned.new.parts for name in self._initial.needs(part.copies[0])]
        own = {part.copies[0].name for part in planned.new.parts}
        return all(name in self._first or name in own for name in names)

    def _give_needed(self, part: Part) -> None:
        for name in self._initial.needs(part.copies[0]):
            if name in self._first:
                self._initial.assign(name, self._first[name])

    def _together(self, decided: Sequence[PlannedVariable]) -> Iterator[NewTensor]:
        """Yields the tensors of small variables, some of them made by each run of the session."""
        batches: List[List[PlannedVariable]] = [[]]
        nbytes = 0
        for planned in decided:
            nbytes += planned.new.nbytes + _old_bytes(planned)
            if batches[-1] and nbytes > SMALL_BYTES:
                batches.append([])
                nbytes = planned.new.nbytes + _old_bytes(planned)
            batches[-1].append(planned)
        for batch in filter(None, batches):
            values = iter(self._made(batch))
            for planned in batch:
                yield from self._stored(planned, [iter([next(values)]) for _ in planned.new.parts])

    def _made(self, decided: Sequence[PlannedVariable]) -> List[np.ndarray]:
        """Returns the value of each part, made by a run of the session."""
        fetches: List[tf.Tensor] = []
        with self._initial.graph.as_default():
            values = OldValues(self._checkpoints, lambda copy: copy)
            for planned in decided:
                parts = [self._with_initial(part) for part in planned.new.parts]
                if planned.old is None:
                    fetches += [part.copies[0] for part in parts]
                else:
                    fetches += [value for _, value in values.of(planned._replace(new=planned.new._replace(parts=tuple(parts))))]
        names = first_few([planned.new.name for planned in decided])
        return self._initial.run(fetches, what=f"the value of {names} from {prefixes_of(self._checkpoints)}")

    def _with_initial(self, part: Part) -> Part:
        """Returns `part` with its initial value in the place of its variable."""
        initial = self._initial.initial_of(part.copies[0])
        return part._replace(variable=initial, copies=(initial,))

    def _streams(self, planned: PlannedVariable) -> List[Iterator[np.ndarray]]:
        """Returns the values of the parts of a large variable, in windows; they are to be used up one after the other."""
        parts = planned.new.parts
        if planned.old is None:
            return [self._held(planned, part) for part in parts]
        resolved = [resolve(planned.steps, planned.source.shape, TensorSlice(part.offset, part.shape)) for part in parts]
        windowed = [planned.source.dtype != "string" and can_be_windowed(each) for each in resolved]
        rows = _LazyRows(lambda: self._rows(planned, [each for each, can in zip(resolved, windowed) if can]))
        last = max((at for at, can in enumerate(windowed) if can), default=-1)
        return [
            self._windowed(planned, part, each, rows, at == last) if can else self._held(planned, part)
            for at, (part, each, can) in enumerate(zip(parts, resolved, windowed))
        ]

    def _held(self, planned: PlannedVariable, part: Part) -> Iterator[np.ndarray]:
        yield self._made([planned._replace(new=planned.new._replace(parts=(part,)))])[0]

    def _windowed(
        self, planned: PlannedVariable, part: Part, resolved: ResolvedValue, rows: _LazyRows, is_last: bool
    ) -> Iterator[np.ndarray]:
        initial = self._initial.initial_of(part.copies[0])
        value = WindowedValue(resolved, planned.new.dtype, initial, self._initial.run)
        yield from value.windows(rows.opened())
        if is_last:
            rows.opened().close()

    def _rows(self, planned: PlannedVariable, resolved: Sequence[ResolvedValue]) -> Rows:
        old = planned.source
        if old.prefix not in self._readers:
            checkpoint = next(each for each in self._checkpoints if each.prefix == old.prefix)
            self._readers[old.prefix] = self._opened.enter_context(closing(value_reader(checkpoint)))
        reader = self._readers[old.prefix]
        return RowsInOrder(reader, old) if takes_rows_in_order(resolved) else RowsInAnyOrder(reader, old, self._folder)

    def _stored(self, planned: PlannedVariable, streams: Sequence[Iterator[np.ndarray]]) -> Iterator[NewTensor]:
        """Yields the tensor of a variable, or its slices."""
        new, parts = planned.new, planned.new.parts
        streams = [self._remembered(part.copies[0].name, part, stream) for part, stream in zip(parts, streams)]
        count = self._counts.get(new.name)
        if count is not None:
            for box, windows in cut_rows(itertools.chain.from_iterable(streams), slices_of(new.shape, count)):
                stored, nbytes = box if count > 1 else None, count_bytes(box.shape, new.dtype)
                yield NewTensor(new.name, new.dtype, new.shape, stored, windows, nbytes)
            return
        for part, stream in zip(parts, streams):
            part_box = TensorSlice(part.offset, part.shape) if slice_of(part.copies[0]) else None
            shape, nbytes = new.shape, count_bytes(part.shape, new.dtype)
            if not new.has_static_shape:  # The value has a shape, and is whole.
                value = next(stream)
                shape, stream = value.shape, iter([value])
            yield NewTensor(new.name, new.dtype, shape, part_box, stream, nbytes)

    def _remembered(self, name: str, part: Part, stream: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the same; keeps the value if those of other variables are made of it."""
        if name not in self._needed:
            yield from stream
            return
        windows = list(stream)
        self._first[name] = np.concatenate(windows) if len(windows) > 1 else windows[0]
        yield from windows


class _LazyRows:
    """The rows of an old variable, opened when they are asked for first."""

    def __init__(self, open_rows: Callable[[], Rows]):
        self._open_rows = open_rows
        self._rows: Optional[Rows] = None

    def opened(self) -> Rows:
        """Returns the rows."""
        if self._rows is None:
            self._rows = self._open_rows()
        return self._rows


def _old_bytes(planned: PlannedVariable) -> int:
    return planned.old.nbytes if planned.old is not None else 0
