"""In how many parts each variable of a new checkpoint is stored: `partitions`, checked and applied."""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from estimator_warmstart.arguments import is_integer
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.patterns import Pattern, compile_pattern, fits_nothing
from estimator_warmstart.tensors import Shape, TensorSlice, count_bytes

PartitionsArgument = Union[None, int, Mapping[str, int]]
# A number of parts is for variables above this.
LARGE_BYTES = 64 * 2**20


class StoredVariable(NamedTuple):
    """What partitions ask of a variable: its name, shape and dtype, and the name of the variable whose slot it is, if any."""

    name: str
    shape: Shape
    dtype: str
    primary: Optional[str] = None


def check_partitions(partitions: PartitionsArgument) -> Tuple[Tuple[Pattern, int], ...]:
    """Returns (pattern, number of parts) of each; none for a plain number, which `parts_of` takes as it is.

    Raises:
      WarmStartError: with everything that is wrong with them.
    """
    if partitions is None or (is_integer(partitions) and partitions > 0):  # type: ignore[operator]
        return ()
    if not isinstance(partitions, Mapping):
        raise WarmStartError(
            "partitions must be {pattern: number of parts}, or a number of parts, 1 or more, for every variable above 64 MB, "
            f"got {partitions!r}"
        )
    problems: List[str] = []
    found: List[Tuple[Pattern, int]] = []
    for text, count in partitions.items():
        if not is_integer(count) or count < 1:
            problems.append(f"partitions[{text!r}] must be a number of parts, 1 or more, got {count!r}")
        try:
            found.append((compile_pattern(text, "partitions"), count))
        except WarmStartError as error:
            problems.append(str(error))
    if problems:
        raise WarmStartError("partitions cannot be made", problems)
    return tuple(found)


def parts_of(partitions: PartitionsArgument, variables: Sequence[StoredVariable]) -> Dict[str, int]:
    """Returns {name: number of parts} of the variables that `partitions` are for. Slots have as many as their variables.

    Raises:
      WarmStartError: with everything that is wrong: patterns that fit nothing, and more parts than there are rows.
    """
    rules, found = check_partitions(partitions), {}
    by_name = {variable.name: variable for variable in variables}
    for variable in variables:
        counts = [count for pattern, count in rules if pattern.fits(variable.name)]
        if not rules and is_integer(partitions) and count_bytes(variable.shape, variable.dtype) > LARGE_BYTES:
            counts = [min(partitions, *variable.shape[:1])]  # type: ignore[list-item, type-var]
        if counts and variable.shape and variable.primary not in by_name:  # A scope has scalars too.
            found[variable.name] = counts[0]
    for variable in variables:
        primary = by_name.get(variable.primary or "")
        if primary is not None and primary.name in found and variable.shape[:1] == primary.shape[:1]:
            found[variable.name] = found[primary.name]
    names = [variable.name for variable in variables if variable.primary not in by_name]
    unused = [fits_nothing(pattern, "partitions", "variable", names) for pattern, _ in rules]
    problems = [problem for problem in unused if problem]
    problems += [
        f"{name!r} {list(by_name[name].shape)} cannot be in {count:,} parts: a part has at least one row"
        for name, count in found.items()
        if count > by_name[name].shape[0]
    ]
    if problems:
        raise WarmStartError("partitions cannot be made", problems)
    return found


def slices_of(shape: Shape, count: int) -> List[TensorSlice]:
    """Returns the slices of `count` parts along the first axis, as TensorFlow's `fixed_size_partitioner` makes them.

    Example:
      >>> [part.shape for part in slices_of((5, 2), 2)]
      [(3, 2), (2, 2)]
    """
    least, longer = divmod(shape[0], count)
    lengths = [least + (number < longer) for number in range(count)]
    others = (0,) * (len(shape) - 1)
    return [TensorSlice((sum(lengths[:at]), *others), (length, *shape[1:])) for at, length in enumerate(lengths)]


def cut_rows(windows: Iterator[np.ndarray], boxes: Sequence[TensorSlice]) -> Iterator[Tuple[TensorSlice, Iterator[np.ndarray]]]:
    """Yields each of `boxes`, which are of whole rows in order, with its rows, to be used up before the next is asked for."""
    cutter = _RowCutter(windows)
    for number, box in enumerate(boxes, 1):
        yield box, cutter.next_rows(box.shape[0], is_last=number == len(boxes))


class _RowCutter:
    """Cuts windows of rows anew."""

    def __init__(self, windows: Iterator[np.ndarray]):
        self._windows, self._window = windows, np.zeros([0])

    def next_rows(self, count: int, is_last: bool) -> Iterator[np.ndarray]:
        """Yields the next `count` rows; after the last ones, runs what comes after these: checksums are verified then."""
        while count:
            if not len(self._window):
                self._window = next(self._windows, self._window)
                if not len(self._window):
                    return  # The old value could not be read, which has been told.
            yield self._window[:count]
            done = min(count, len(self._window))
            count, self._window = count - done, self._window[done:]
        for _ in self._windows if is_last else ():
            pass
