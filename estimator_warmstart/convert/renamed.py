"""New names for the variables of a checkpoint that is converted without a model."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.copies import ElementwiseFn, TensorCopy
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.patterns import Renames, fits_nothing


def copy_of(old: OldVariable, new_key: str, change: Optional[ElementwiseFn] = None) -> TensorCopy:
    """Returns the copy of an old variable under a new key, its values changed by `change`."""
    return TensorCopy(old.prefix, old.key, new_key, change, old.stored)


def renamed_variables(old: Checkpoint, renames: Sequence[Renames]) -> Dict[str, str]:
    """Returns {new name: old name} of all variables. Each goes by the first rename that fits it, a slot with its variable.

    Raises:
      WarmStartError: for a rename that fits no variable, and for names that several variables would have.
    """
    names: Dict[str, List[str]] = {name: _new_names(name, renames) for name in old.variables}
    for slot, slot_of in old.slots_by_name.items():
        primary = slot_of.primary
        if names[slot] == [slot] and primary in slot:
            names[slot] = [slot.replace(primary, new, 1) for new in names[primary]]
        elif names[slot] == [slot]:  # Keras 3's have it with `_` for `/`.
            names[slot] = [slot.replace(primary.replace("/", "_"), new.replace("/", "_"), 1) for new in names[primary]]
    takers: Dict[str, List[str]] = {}
    for name, news in names.items():
        for new in news:
            takers.setdefault(new, []).append(name)
    problems = [
        fits_nothing(same_pattern[0], "rename", "variable of the checkpoint", old.variables) or "" for same_pattern in renames
    ]
    problems = [problem for problem in problems if problem]
    problems += [
        f"{len(olds)} variables would be called {new!r}: {', '.join(map(repr, olds))}" if new else f"{olds[0]!r} gets no name"
        for new, olds in takers.items()
        if len(olds) > 1 or not new
    ]
    if problems:
        raise WarmStartError(f"the variables of {old.prefix} cannot be renamed as asked", problems)
    return {new: olds[0] for new, olds in sorted(takers.items())}


def _new_names(name: str, renames: Sequence[Renames]) -> List[str]:
    fitting = next((same_pattern for same_pattern in renames if same_pattern[0].fits(name)), ())
    return [each.rename(name) for each in fitting] or [name]
