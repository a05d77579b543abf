"""What an old model holds, in the order of a person's interest: its variables, each with its slots.

Enters: a `Checkpoint` and perhaps patterns. Leaves: a `Listing`. Reads no values. This module must not know how it is shown.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Tuple

from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.statistics import Statistics, as_plain
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.patterns import compile_patterns, fits_any, fits_nothing


class Slot(NamedTuple):
    """An optimizer's slot beside its variable.

    Attributes:
      slot_name: the slot's own name, such as `Adagrad`.
      variable: what the checkpoint holds.
    """

    slot_name: str
    variable: OldVariable


class Entry(NamedTuple):
    """One variable with its slots."""

    variable: OldVariable
    slots: Tuple[Slot, ...]

    @property
    def slot_labels(self) -> List[str]:
        """What each slot is called next to its variable: its leaf, or its name where two optimizers have one of that leaf."""
        count = Counter(slot.slot_name for slot in self.slots)
        return [slot.slot_name if count[slot.slot_name] == 1 else slot.variable.name for slot in self.slots]


class Listing(NamedTuple):
    """A checkpoint, or what patterns choose of it.

    Attributes:
      checkpoint: the old model.
      entries: sorted by name.
    """

    checkpoint: Checkpoint
    entries: Tuple[Entry, ...]

    @property
    def has_paths(self) -> bool:
        """Whether one of the variables is at an object path that differs from its name."""
        return any(old.path not in ("", old.name) for old in self.variables)

    @property
    def variables(self) -> List[OldVariable]:
        """All that is listed, slots after their variable."""
        return [old for entry in self.entries for old in (entry.variable, *(slot.variable for slot in entry.slots))]


def list_variables(checkpoint: Checkpoint, patterns: Any = None) -> Listing:
    """Lists what a checkpoint holds.

    Args:
      checkpoint: the old model.
      patterns: a pattern or a list of patterns: a variable that one of them fits is listed with all its slots, a slot that
        one fits without its variable by itself. `None`: everything.

    Raises:
      WarmStartError: for patterns that do not compile or fit nothing.
    """
    compiled = compile_patterns(patterns, "--pattern") or ()
    problems = [fits_nothing(pattern, "--pattern", "old variable", checkpoint.variables) for pattern in compiled]
    found = [problem for problem in problems if problem]
    if found:
        raise WarmStartError(f"nothing of {checkpoint.prefix} can be listed by that", found)
    chosen = {name for name in checkpoint.variables if not compiled or fits_any(compiled, name)}
    slots: Dict[str, List[Slot]] = {}
    for name, slot_of in checkpoint.slots_by_name.items():
        slots.setdefault(slot_of.primary, []).append(Slot(slot_of.slot_name, checkpoint.variables[name]))
    return Listing(
        checkpoint,
        tuple(
            Entry(old, tuple(sorted(slots.get(name, ()))))
            for name, old in checkpoint.variables.items()
            if name in chosen and (name not in checkpoint.slots_by_name or checkpoint.slots_by_name[name].primary not in chosen)
        ),
    )


def count_all(variables: Iterable[OldVariable]) -> Tuple[int, int]:
    """How many, and how many bytes."""
    variables = list(variables)
    return len(variables), sum(old.nbytes for old in variables)


def listing_as_dict(listing: Listing, statistics: Mapping[str, Statistics]) -> Dict[str, Any]:
    """A listing as plain dicts and lists, with the statistics of those variables that have some."""

    def plain(old: OldVariable) -> Dict[str, Any]:
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
