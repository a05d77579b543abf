"""Gives tensors that a checkpoint has further keys: each tensor is stored once, and both kinds of readers find it.

Only the index changes: several of its entries may stand for the same bytes of a data file.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Tuple

from estimator_warmstart.checkpoint.checkpoint import Checkpoint
from estimator_warmstart.checkpoint.data_files import BundleReader
from estimator_warmstart.checkpoint.index_file import INDEX_SUFFIX, BundleIndex, read_index, write_index
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import FILE_ERRORS, error_text, replace_file

_UNFINISHED = INDEX_SUFFIX + ".unfinished"


def second_keys(checkpoint: Checkpoint, index: BundleIndex) -> Dict[str, str]:
    """Returns {name: key of its tensor} of the variables of an object-based checkpoint whose names are keys of it too."""
    reader = BundleReader(checkpoint.prefix, index)

    def places(key: str) -> List[Tuple[int, int]]:
        return [(entry.shard_id, entry.offset) for _, entry in reader.entries(key, key)]

    return {
        name: old.key
        for name, old in checkpoint.variables.items()
        if name != old.key and name.encode("utf-8") in index.entries and places(name) == places(old.key)
    }


def add_keys(prefix: str, keys: Mapping[str, str], dropped: Iterable[str] = ()) -> None:
    """Gives tensors of the checkpoint `prefix` further keys. A process that is killed leaves the index as it was, or changed.

    Args:
      prefix: of the checkpoint.
      keys: {new key: key that the tensor has}.
      dropped: keys that are removed then.

    Raises:
      CheckpointError: if the index cannot be read.
      WarmStartError: if it cannot be written; it is as it was then.
    """
    index = read_index(prefix)
    reader = BundleReader(prefix, index)
    entries = dict(index.entries)
    for new_key, key in keys.items():
        entries.update(reader.entries(key, new_key))
    for key in dropped:
        del entries[key.encode("utf-8")]
    try:
        write_index(prefix, BundleIndex(index.header, entries), _UNFINISHED)
        replace_file(prefix + _UNFINISHED, prefix + INDEX_SUFFIX)
    except FILE_ERRORS as error:
        raise WarmStartError(f"{prefix}{INDEX_SUFFIX} cannot be written: {error_text(error)}") from error
