"""Chooses which variables of a checkpoint are converted, by patterns of their names."""

from __future__ import annotations

from typing import Optional

from estimator_warmstart.checkpoint.checkpoint import Checkpoint
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.patterns import PatternsArgument, compile_patterns, fits_any, fits_nothing


def chosen_variables(old: Checkpoint, include: PatternsArgument, exclude: PatternsArgument) -> Checkpoint:
    """Returns the checkpoint as if it had the chosen variables only. A slot goes with its variable, or by its own name.

    Raises:
      WarmStartError: for a pattern that is not valid or fits nothing, or if nothing is left.
    """
    included, excluded = compile_patterns(include, "include"), compile_patterns(exclude, "exclude") or ()
    problems = [
        fits_nothing(pattern, argument, "variable of the checkpoint", old.variables)
        for argument, patterns in (("include", included or ()), ("exclude", excluded))
        for pattern in patterns
    ]
    chosen = {}
    for name, variable in old.variables.items():
        slot_of = old.slots_by_name.get(name)
        names = [name] if slot_of is None else [name, slot_of.primary]
        is_included = included is None or any(fits_any(included, each) for each in names)
        if is_included and not any(fits_any(excluded, each) for each in names):
            chosen[name] = variable
    found = [problem for problem in problems if problem] or (["nothing is left"] if old.variables and not chosen else [])
    if found:
        raise WarmStartError(f"the variables of {old.prefix} cannot be chosen as asked", found)
    slots = {name: slot_of for name, slot_of in old.slots_by_name.items() if name in chosen and slot_of.primary in chosen}
    shared = {name: [path for path in paths if path in chosen] for name, paths in old.shared_names.items()}

    def find_by_path(path: str) -> Optional[str]:
        name = old.find_by_path(path) if old.find_by_path is not None else None
        return name if name in chosen else None

    return old._replace(
        variables=chosen,
        find_by_path=find_by_path if old.find_by_path is not None else None,
        slots_by_name=slots,
        shared_names={name: paths for name, paths in shared.items() if len(paths) > 1},
    )
