"""Lists the variables of a checkpoint, each with its optimizer slots. Reads no values."""

from __future__ import annotations

from collections import Counter
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.statistics import Statistics, as_plain
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.patterns import compile_patterns, fits_any, fits_nothing


class ListedSlot(NamedTuple):
    """An optimizer slot, listed under its variable.

    Attributes:
      slot_name: such as `Adagrad`.
      variable: the slot as the checkpoint holds it.
    """

    slot_name: str
    variable: OldVariable


class ListedVariable(NamedTuple):
    """A variable with its slots."""

    variable: OldVariable
    slots: Tuple[ListedSlot, ...]

    @property
    def slot_labels(self) -> List[str]:
        """The label of each slot: its slot name, or its full name if two optimizers use the same slot name."""
        count = Counter(slot.slot_name for slot in self.slots)
        return [slot.slot_name if count[slot.slot_name] == 1 else slot.variable.name for slot in self.slots]


class Listing(NamedTuple):
    """A checkpoint's variables, or those that patterns choose.

    Attributes:
      checkpoint: the old model.
      entries: sorted by name.
    """

    checkpoint: Checkpoint
    entries: Tuple[ListedVariable, ...]

    @property
    def has_paths(self) -> bool:
        """Whether the object path of a variable differs from its name."""
        return any(old.path not in ("", old.name) for old in self.variables)

    @property
    def variables(self) -> List[OldVariable]:
        """All listed variables, slots after their variable."""
        return [old for entry in self.entries for old in (entry.variable, *(slot.variable for slot in entry.slots))]


def list_variables(checkpoint: Checkpoint, patterns: Optional[Sequence[str]] = None, argument: str = "patterns") -> Listing:
    """Lists the variables of a checkpoint.

    Args:
      checkpoint: the old model.
      patterns: a variable that fits one of these is listed with all its slots; a slot that fits one, and whose variable does
        not, is listed by itself. `None`: everything.
      argument: the name of `patterns` in messages.

    Raises:
      WarmStartError: if a pattern is not a regular expression or fits nothing.
    """
    compiled = compile_patterns(patterns, argument) or ()
    problems = [fits_nothing(pattern, argument, "old variable", checkpoint.variables) for pattern in compiled]
    found = [problem for problem in problems if problem]
    if found:
        raise WarmStartError(f"nothing of {checkpoint.prefix} can be listed by that", found)
    chosen = {name for name in checkpoint.variables if not compiled or fits_any(compiled, name)}
    slots: Dict[str, List[ListedSlot]] = {}
    for name, slot_of in checkpoint.slots_by_name.items():
        slots.setdefault(slot_of.primary, []).append(ListedSlot(slot_of.slot_name, checkpoint.variables[name]))
    return Listing(
        checkpoint,
        tuple(
            ListedVariable(old, tuple(sorted(slots.get(name, ()))))
            for name, old in checkpoint.variables.items()
            if name in chosen and (name not in checkpoint.slots_by_name or checkpoint.slots_by_name[name].primary not in chosen)
        ),
    )


def count_all(variables: Iterable[OldVariable]) -> Tuple[int, int]:
    """Returns the number of variables and of their bytes."""
    variables = list(variables)
    return len(variables), sum(old.nbytes for old in variables)


def listing_as_dict(listing: Listing, statistics: Mapping[str, Statistics]) -> Dict[str, object]:
    """Returns a listing as plain dicts and lists, for JSON, with the statistics of the variables that have some."""

    def plain(old: OldVariable) -> Dict[str, object]:
        described = {
            "name": old.name,
            "shape": list(old.shape),
            "dtype": old.dtype,
            "bytes": old.nbytes,
            "parts": max(len(old.slices), 1),
            "path": old.path or None,
        }
        return {**described, "statistics": as_plain(statistics.get(old.name))} if statistics else described

    count, nbytes = count_all(listing.variables)
    slot_count, slot_bytes = count_all(slot.variable for entry in listing.entries for slot in entry.slots)
    return {
        "checkpoint": listing.checkpoint.prefix,
        "format": listing.checkpoint.format,
        "is_saved_model": listing.checkpoint.is_saved_model,
        "problems": list(listing.checkpoint.problems),
        "variables": [
            {**plain(entry.variable), "slots": [{"slot": slot.slot_name, **plain(slot.variable)} for slot in entry.slots]}
            for entry in listing.entries
        ],
        "totals": {
            "variables": count - slot_count,
            "bytes": nbytes - slot_bytes,
            "slots": slot_count,
            "slot_bytes": slot_bytes,
        },
    }
