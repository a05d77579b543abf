"""Several old models for one new one: opens all of them, and finds a name in the first that has it."""

from __future__ import annotations

import os
from typing import Dict, List, Sequence, Tuple, Union, cast

from estimator_warmstart.checkpoint.checkpoint import Checkpoint, open_checkpoint
from estimator_warmstart.errors import WarmStartError, did_you_mean, raise_together
from estimator_warmstart.files import PathArgument, checked_path

# What a user gives as `ckp_dir` where it may be a list.
OldModelsArgument = Union[PathArgument, Sequence[PathArgument]]


def checked_ckp_dirs(ckp_dir: OldModelsArgument) -> Tuple[PathArgument, ...]:
    """Returns what `ckp_dir` names, one path for each old model.

    Raises:
      WarmStartError: for a list that is empty, or has something in it that is not a path, listing all that is not.
    """
    if not isinstance(ckp_dir, (list, tuple)):
        return (cast(PathArgument, ckp_dir),)
    if not ckp_dir:
        raise WarmStartError("ckp_dir is an empty list; name an old model, or several")
    problems: List[str] = []
    for number, each in enumerate(ckp_dir):
        try:
            checked_path(f"ckp_dir[{number}]", each, "a directory or a checkpoint prefix")
        except WarmStartError as error:
            problems.append(str(error))
    if problems:
        raise WarmStartError("a list as ckp_dir holds one path for each old model", problems)
    return tuple(ckp_dir)


def open_checkpoints(ckp_dirs: Sequence[PathArgument]) -> Tuple[Checkpoint, ...]:
    """Opens each old model.

    Raises:
      CheckpointError: if there is no whole checkpoint at one of the paths; the message tells of all of them.
      WarmStartError: if two paths lead to the same checkpoint.
    """
    opened: List[Checkpoint] = []
    errors: List[WarmStartError] = []
    places: Dict[str, PathArgument] = {}
    for ckp_dir in ckp_dirs:
        try:
            opened.append(open_checkpoint(ckp_dir))
        except WarmStartError as error:
            errors.append(error)
            continue
        place = os.path.realpath(opened[-1].prefix)
        if place in places:
            errors.append(
                WarmStartError(f"ckp_dir has {opened[-1].prefix} twice, as {places[place]!r} and as {ckp_dir!r}; keep one")
            )
        places.setdefault(place, ckp_dir)
    raise_together(errors)
    return tuple(opened)


def prefixes_of(checkpoints: Sequence[Checkpoint]) -> str:
    """Returns the prefixes, for messages: `a, b and c`."""
    *others, last = [checkpoint.prefix for checkpoint in checkpoints]
    return f"{', '.join(others)} and {last}" if others else last


def title_of(checkpoints: Sequence[Checkpoint]) -> str:
    """Returns `the old model a` or `the old models a and b`, for messages."""
    return f"the old model{'s' if len(checkpoints) > 1 else ''} {prefixes_of(checkpoints)}"


def none_has(checkpoints: Sequence[Checkpoint], name: str) -> str:
    """Returns the words for a name that no old model has."""
    return f"no old model has {name!r}" if len(checkpoints) > 1 else f"the checkpoint has no {name!r}"


def number_with(checkpoints: Sequence[Checkpoint], name: str) -> int:
    """Returns the number, from 0, of the first old model that has `name`, or in which it stands for several; 0 for none."""
    found = (
        number
        for number, checkpoint in enumerate(checkpoints)
        if checkpoint.find(name) is not None or checkpoint.why_ambiguous(name)
    )
    return next(found, 0)


def why_none_has(checkpoints: Sequence[Checkpoint], name: str) -> str:
    """Returns why no old model has a variable `name`, with close spellings; or in which one it stands for several."""
    first = checkpoints[number_with(checkpoints, name)]
    ambiguous = first.why_ambiguous(name)
    if ambiguous:
        return f"{first.prefix}: {ambiguous}" if len(checkpoints) > 1 else ambiguous
    known = dict.fromkeys(spelling for checkpoint in checkpoints for spelling in checkpoint.spellings())
    return f"{none_has(checkpoints, name)}{did_you_mean(name, known)}"
