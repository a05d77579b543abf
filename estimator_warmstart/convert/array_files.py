"""Writes the variables of a checkpoint to a file of arrays, `.npz` or `.safetensors`, a few MB at a time."""

from __future__ import annotations

from contextlib import closing
from typing import Dict, Iterator, List, Mapping

from estimator_warmstart.checkpoint import npz, safetensors
from estimator_warmstart.checkpoint.arrays import NPZ, in_order, little_endian, name_problem
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.row_windows import row_windows
from estimator_warmstart.checkpoint.statistics import Reader, value_reader
from estimator_warmstart.errors import CheckpointError, WarmStartError
from estimator_warmstart.files import open_file, sync
from estimator_warmstart.progress import Progress
from estimator_warmstart.tensors import NATIVE_ORDER


def arrays_to_write(old: Checkpoint, names: Mapping[str, str], file_format: str) -> Dict[str, OldVariable]:
    """Returns {name in the new file: variable}, in the order in which they are written.

    Args:
      old: the old model.
      names: {new name: old name}.
      file_format: `"npz"` or `"safetensors"`.

    Raises:
      WarmStartError: naming all that the format cannot hold.
    """
    described = {new: (old.variables[name].shape, old.variables[name].dtype) for new, name in names.items()}
    problems = [f"{new!r} {name_problem(new)}" for new in names if name_problem(new)]
    problems += [
        f"{name!r} {list(old.variables[name].shape)} is stored in part only"
        for name in names.values()
        if not old.variables[name].is_whole
    ]
    problems += (npz if file_format == NPZ else safetensors).what_cannot_be_held(described)
    if problems:
        raise WarmStartError(
            f"an .{file_format} file cannot hold what {old.prefix} holds; exclude or rename what it cannot", problems
        )
    return {new: old.variables[names[new]] for new in in_order(described)}


def write_arrays(path: str, file_format: str, old: Checkpoint, arrays: Mapping[str, OldVariable], progress: Progress) -> None:
    """Writes a file of arrays.

    Args:
      path: of the new file, in a directory that exists.
      file_format: `"npz"` or `"safetensors"`.
      old: the old model.
      arrays: what goes into it, as `arrays_to_write` returns it.
      progress: is called with the bytes done and the bytes in all, after each few MB.

    Raises:
      CheckpointError: listing each old variable that cannot be read or is damaged.
      FILE_ERRORS: if the new file cannot be written.
    """
    described = {name: (variable.shape, variable.dtype) for name, variable in arrays.items()}
    done, total = [0], sum(variable.nbytes for variable in arrays.values())
    problems: List[str] = []

    def checked(pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for piece in pieces:
                yield piece
                done[0] += len(piece)
                progress(done[0], total)
        except CheckpointError as error:  # The others are looked at too; then the new file is thrown away.
            problems.append(str(error))

    with closing(value_reader(old)) as reader, open_file(path, "wb") as file:
        values = (checked(_values_of(reader, variable)) for variable in arrays.values())
        if file_format == NPZ:
            npz.write_npz(file, path, described, values)
        else:
            safetensors.write_safetensors(file, described, values)
        sync(file)
    if problems:
        raise CheckpointError(f"the checkpoint {old.prefix} is not whole", problems)


def _values_of(reader: Reader, old: OldVariable) -> Iterator[bytes]:
    """Yields the values of a variable in C order and little endian, in pieces."""
    if old.slices:
        return (little_endian(window.tobytes(), old.dtype, NATIVE_ORDER) for window in row_windows(reader, old))
    return (little_endian(piece, old.dtype, reader.byte_order) for piece in reader.read_tensor(old.key))
