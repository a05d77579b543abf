"""The rows of an old variable for a value that is made a few rows at a time: in order while that is enough, else in any order.

An old tensor is read once, from its first byte to its last, since its checksum is that of all of it. Rows that are needed in
another order go through a file next to the new checkpoint.
"""

from __future__ import annotations

import os
import uuid
from typing import Iterator, Optional

import numpy as np

from estimator_warmstart.checkpoint.checkpoint import OldVariable
from estimator_warmstart.checkpoint.row_windows import numpy_dtype, row_windows, rows_per_window
from estimator_warmstart.checkpoint.statistics import Reader
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.files import open_file

# So much of the file is in memory at a time.
_MAPPED_BYTES = 1 << 24


class RowsInOrder:
    """Takes rows whose positions never go back."""

    def __init__(self, reader: Reader, old: OldVariable):
        self._shape, self._dtype = old.shape[1:], numpy_dtype(old.dtype)
        self._windows: Iterator[np.ndarray] = row_windows(reader, old)
        self._window = np.empty((0, *self._shape), self._dtype)
        self._start = 0
        self._error: Optional[CheckpointError] = None

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Returns the rows at `positions`, none of which is before the last one that was taken."""
        done, pieces = 0, []
        while True:
            end = self._start + len(self._window)
            upto = done + int(np.searchsorted(positions[done:], end))
            if upto > done:
                pieces.append(_rows_at(self._window, positions[done:upto] - self._start))
            done = upto
            if done == len(positions):
                break
            self._start, self._window = end, self._next_window()
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty((0, *self._shape), self._dtype), *pieces])

    def _next_window(self) -> np.ndarray:
        if self._error is not None:  # One part of the new value has told of it; here is the next one.
            raise self._error
        try:
            return next(self._windows)
        except CheckpointError as error:
            self._error = error
            raise

    def close(self) -> None:
        """Reads what is left, whose checksum is that of what was taken too."""
        for _ in self._windows:
            pass


class RowsInAnyOrder:
    """Takes rows in any order, from a file.

    Args:
      reader: of the checkpoint that `old` is in.
      old: the variable.
      folder: a local directory for the file.
    """

    def __init__(self, reader: Reader, old: OldVariable, folder: str):
        self._shape, self._dtype = old.shape, numpy_dtype(old.dtype)
        self._rows = rows_per_window(old.shape, old.dtype, _MAPPED_BYTES)
        self._path = os.path.join(folder, f"rows-{uuid.uuid4().hex[:8]}")
        with open_file(self._path, "wb") as file:
            for window in row_windows(reader, old):
                file.write(window.tobytes())

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Returns the rows at `positions`."""
        taken = np.empty((len(positions), *self._shape[1:]), self._dtype)
        in_order = len(positions) < 2 or bool((positions[1:] >= positions[:-1]).all())
        order = None if in_order else np.argsort(positions, kind="stable")
        ordered = positions if order is None else positions[order]
        done = 0
        while done < len(positions):
            start = int(ordered[done])
            upto = int(np.searchsorted(ordered, start + self._rows))
            rows = _rows_at(self._mapped(start, int(ordered[upto - 1]) + 1), ordered[done:upto] - start)
            taken[slice(done, upto) if order is None else order[done:upto]] = rows
            done = upto
        return taken

    def _mapped(self, start: int, stop: int) -> np.ndarray:
        row = int(np.prod(self._shape[1:], dtype=np.int64)) * self._dtype.itemsize
        if not row:
            return np.empty((stop - start, *self._shape[1:]), self._dtype)
        mapped = np.memmap(self._path, np.uint8, "r", start * row, ((stop - start) * row,))
        return np.asarray(mapped).view(self._dtype).reshape(stop - start, *self._shape[1:])

    def close(self) -> None:
        """Removes the file."""
        os.remove(self._path)


def _rows_at(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns the rows at `positions`, which are in order; a view if they are next to each other."""
    first, count = int(positions[0]), len(positions)
    if int(positions[-1]) - first == count - 1 and bool((positions[1:] > positions[:-1]).all()):
        return rows[first : first + count]
    return rows[positions]
