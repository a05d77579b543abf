"""What `merge_checkpoints` is given, checked: checkpoints of one model, and a weight for each. All problems are one error."""

from __future__ import annotations

import math
import os
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from estimator_warmstart.arguments import is_number
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable, open_checkpoint
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.files import PathArgument


def open_sources(sources: Sequence[PathArgument], with_slots: bool) -> List[Checkpoint]:
    """Opens the checkpoints.

    Args:
      sources: two at least.
      with_slots: whether the optimizer's state must agree too.

    Raises:
      WarmStartError: listing all that cannot be opened, is there twice, or is not in all of them in the same shape and dtype.
    """
    if isinstance(sources, (str, bytes, os.PathLike)) or not hasattr(sources, "__iter__"):
        raise WarmStartError(f"sources must be a list of two checkpoints or more, got {sources!r}")
    paths = list(sources)
    if len(paths) < 2:
        raise WarmStartError(f"there is no mean of {len(paths)} checkpoints: give two or more; convert_checkpoint copies one")
    opened: List[Checkpoint] = []
    problems: List[str] = []
    for path in paths:
        try:
            opened.append(open_checkpoint(path))
        except WarmStartError as error:
            problems.append(str(error))
    prefixes = [_real_path(old.prefix) for old in opened]
    problems += [
        f"{prefix} is there {prefixes.count(prefix)} times; give it once, with a larger weight if it is to count more"
        for prefix in sorted({prefix for prefix in prefixes if prefixes.count(prefix) > 1})
    ]
    if not problems:
        problems = _disagreements(opened, with_slots)
    if problems:
        raise WarmStartError("the checkpoints cannot be merged", problems)
    return opened


def checked_weights(weights: Optional[Sequence[float]], count: int) -> np.ndarray:
    """Returns the weights of `count` sources in float64.

    Raises:
      WarmStartError: unless there is one for each, all finite and 0 or more, and one at least above 0.
    """
    if weights is None:
        return np.ones(count)
    given: List[Any] = list(weights) if hasattr(weights, "__iter__") else [weights]
    problems = [
        f"weight {number} must be a finite number, 0 or more, got {weight!r}"
        for number, weight in enumerate(given, 1)
        if not (is_number(weight) and math.isfinite(weight) and weight >= 0)
    ]
    if len(given) != count:
        problems.append(f"there are {len(given)} weights for {count} sources; give one for each")
    elif not problems and not 0 < sum(map(float, given)) < math.inf:
        problems.append(f"the sum of the weights must be above 0 and finite, got {given!r}")
    if problems:
        raise WarmStartError("weights cannot be used", problems)
    return np.array(given, np.float64)


def _disagreements(opened: Sequence[Checkpoint], with_slots: bool) -> List[str]:
    """Returns what is not the same in all checkpoints; each is compared with the last."""
    last = opened[-1]
    wanted = _chosen(last, with_slots)
    problems: List[str] = [] if wanted else [f"{last.prefix} has no variables"]
    for old in opened[:-1]:
        found = _chosen(old, with_slots)
        problems += [f"{old.prefix} has no {name!r}{did_you_mean(name, found)}" for name in wanted if name not in found]
        problems += [f"{last.prefix} has no {name!r}, which {old.prefix} has" for name in found if name not in wanted]
        problems += [
            f"{name!r} is {_described(found[name])} in {old.prefix}, {_described(wanted[name])} in {last.prefix}"
            for name in wanted
            if name in found and (found[name].shape, found[name].dtype) != (wanted[name].shape, wanted[name].dtype)
        ]
    return problems


def _chosen(old: Checkpoint, with_slots: bool) -> Dict[str, OldVariable]:
    left_out = set() if with_slots else old.optimizer_state
    return {name: variable for name, variable in old.variables.items() if name not in left_out}


def _described(old: OldVariable) -> str:
    return f"{old.dtype} {list(old.shape)}"


def _real_path(prefix: str) -> str:
    return prefix if "://" in prefix else os.path.realpath(prefix)
