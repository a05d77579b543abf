"""What a comparison of an old model with its warm-started successor found, as plain data, as text and as JSON.

What is expected of a prediction follows from the plan and from the variables that feed it; no session is needed to say it.
"""

from __future__ import annotations

import json
import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from estimator_warmstart.errors import first_few
from estimator_warmstart.plan.plan import ADAPTED, INITIALIZED, RESTORED, PlannedVariable
from estimator_warmstart.printable import printable
from estimator_warmstart.text_output import format_table

IDENTICAL, CLOSE, FREE = "identical", "close", "free"
_ACTIONS = {RESTORED: IDENTICAL, ADAPTED: CLOSE, INITIALIZED: FREE}


class ComparedValue(NamedTuple):
    """A prediction of both models, or a variable after one training step of both.

    Attributes:
      name: the prediction's, or the new variable's.
      expected: `"identical"`, `"close"` or `"free"`.
      max_difference: the largest difference of two elements; infinity where they cannot be compared.
      mean_difference: the mean difference.
      rows: how many rows were compared.
      cold: the new variables without an old value that feed it; of a variable, its cold slots and powers, and the global step
        if training uses it.
      left_behind: the old variables that fed it, and that nothing that feeds it now has taken; of a variable, its old slots,
        powers and step that nothing has taken.
      holds: whether it is as expected.
      note: why the two cannot be compared, or why they differ, if that is known; else empty.
    """

    name: str
    expected: str
    max_difference: float
    mean_difference: float
    rows: int
    cold: Tuple[str, ...] = ()
    left_behind: Tuple[str, ...] = ()
    holds: bool = True
    note: str = ""


class LayerDifference(NamedTuple):
    """The first layer that differs.

    Attributes:
      layer: its variable scope in the new model.
      variable: the new variable in it.
      old_variable: the old variable whose value that has; `None` if it is cold.
      reason: in words.
      max_difference: of what the layer returns; `None` where it cannot be compared.
      cold: the new variables without an old value that reach it.
    """

    layer: str
    variable: str
    old_variable: Optional[str]
    reason: str
    max_difference: Optional[float] = None
    cold: Tuple[str, ...] = ()


class Proof(NamedTuple):
    """Whether a warm-started model computes what the old one does, as `prove_recovery` found on one batch.

    Attributes:
      old_checkpoint: the prefix of the old model's checkpoint.
      atol: the largest difference that was allowed.
      predictions: a `ComparedValue` for each prediction that both models have.
      layers: how many layers were compared; 0 where no prediction gave a reason to.
      first_difference: the first layer that differs, a `LayerDifference`; `None` if no layer does.
      notes: sentences on what may surprise.
      after_one_step: a `ComparedValue` for each recovered variable after one training step; empty unless that was asked for.
    """

    old_checkpoint: str
    atol: float
    predictions: Tuple[ComparedValue, ...]
    layers: int = 0
    first_difference: Optional[LayerDifference] = None
    notes: Tuple[str, ...] = ()
    after_one_step: Tuple[ComparedValue, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether everything is as expected."""
        return all(compared.holds for compared in self.predictions + self.after_one_step)

    @property
    def max_difference(self) -> float:
        """The largest difference of all predictions that are not free; of all if every one is free."""
        judged = [compared for compared in self.predictions if compared.expected != FREE] or self.predictions
        return max(compared.max_difference for compared in judged)

    def as_dict(self) -> Dict[str, Any]:
        """Returns the proof as plain dicts and lists; a difference that is infinite is `None`."""
        first = self.first_difference
        return {
            "holds": self.holds,
            "max_difference": _finite(self.max_difference),
            "old_checkpoint": self.old_checkpoint,
            "atol": self.atol,
            "predictions": [_compared_as_dict(compared) for compared in self.predictions],
            "layers": self.layers,
            "first_difference": None if first is None else {**first._asdict(), "max_difference": _finite(first.max_difference)},
            "notes": list(self.notes),
            "after_one_step": [_compared_as_dict(compared) for compared in self.after_one_step],
        }

    def as_json(self) -> str:
        """Returns what `as_dict` returns as JSON text."""
        return json.dumps(self.as_dict(), indent=2)

    def __str__(self) -> str:
        verdict = "The proof holds" if self.holds else "The proof does not hold"
        allowed = f"differences up to {self.atol:g} are allowed" if self.atol else "no difference is allowed"
        lines = [f"{verdict}: the old model is {printable(self.old_checkpoint)}; {allowed}."]
        lines += _table("prediction", self.predictions)
        if self.after_one_step:
            lines += _table("after one step", self.after_one_step)
        if self.first_difference is not None:
            lines.append(f"First layer that differs: {_layer_text(self.first_difference)}")
        return "\n".join(lines + [f"Note: {printable(note)}" for note in self.notes])


def _finite(number: Optional[float]) -> Optional[float]:
    return number if number is not None and math.isfinite(number) else None


def _compared_as_dict(compared: ComparedValue) -> Dict[str, Any]:
    return {
        **compared._asdict(),
        "max_difference": _finite(compared.max_difference),
        "mean_difference": _finite(compared.mean_difference),
    }


def _table(what: str, found: Sequence[ComparedValue]) -> List[str]:
    numbers = ["largest difference", "mean", "rows"]
    rows = []
    remarks: Dict[str, List[str]] = {}
    for each in found:
        cells = [f"{each.max_difference:.3g}", f"{each.mean_difference:.3g}", f"{each.rows:,}"]
        rows.append([printable(each.name), each.expected, *cells, "yes" if each.holds else "NO"])
        remarks.setdefault(_remark(each), []).append(each.name)
    table = format_table([what, "expected", *numbers, "holds"], rows, numbers)
    return [line.rstrip() for line in table] + [
        printable(f"  {first_few(names, 3)}: {remark}") for remark, names in remarks.items() if remark
    ]


def _remark(compared: ComparedValue) -> str:
    told = [compared.note] if compared.note else []
    if compared.cold:
        told.append(f"cold: {first_few(compared.cold, 3)}")
    if compared.left_behind:
        told.append(f"left behind: {first_few(compared.left_behind, 3)}")
    return "; ".join(told)


def _layer_text(first: LayerDifference) -> str:
    return f"{printable(first.layer)} ({printable(first.variable)}): {printable(first.reason)}"


class Expectation(NamedTuple):
    """What is expected of a value, and why.

    Attributes:
      expected: `"identical"`, `"close"` or `"free"`.
      cold: as in `ComparedValue`.
      left_behind: as in `ComparedValue`.
    """

    expected: str
    cold: Tuple[str, ...]
    left_behind: Tuple[str, ...]


def expectation(new_feeding: Sequence[str], old_feeding: Sequence[str], decided: Mapping[str, PlannedVariable]) -> Expectation:
    """Returns what is expected of a value that both models have.

    Args:
      new_feeding: the new variables that feed it in the new model.
      old_feeding: the old variables that feed it in the old model.
      decided: what is planned for each new variable, by name.
    """
    actions = {name: decided[name].action if name in decided else INITIALIZED for name in new_feeding}
    cold = tuple(name for name, action in actions.items() if action == INITIALIZED)
    expected = FREE if cold else CLOSE if ADAPTED in actions.values() else IDENTICAL
    taken = {decided[name].source.name for name, action in actions.items() if action != INITIALIZED}
    return Expectation(expected, cold, tuple(name for name in old_feeding if name not in taken))


def decided_by_name(recoveries: Sequence[Sequence[PlannedVariable]]) -> Dict[str, PlannedVariable]:
    """Returns what several recoveries in one graph do with each new variable: recover it, if one of them does."""
    decided = {planned.new.name: planned for variables in recoveries for planned in variables}
    decided.update((planned.new.name, planned) for variables in recoveries for planned in variables if planned.old is not None)
    return decided


def difference(old: Any, new: Any) -> Tuple[float, float, str]:
    """Returns the largest and the mean difference of two values, and why they cannot be compared, if they cannot.

    Two NaN are equal, as are two infinities. What is not a number differs by 1 where it is not equal.

    Example:
      >>> difference(np.float32([1, 2]), np.float32([1, 4]))
      (2.0, 1.0, '')
      >>> difference(np.float32(np.nan), np.float32(np.nan))
      (0.0, 0.0, '')
      >>> difference(np.float32([1]), np.float32([[1]]))
      (inf, inf, 'shape [1] is now [1, 1]')
    """
    old, new = np.asarray(old), np.asarray(new)
    if old.shape != new.shape:
        return math.inf, math.inf, f"shape {list(old.shape)} is now {list(new.shape)}"
    if old.size == 0:
        return 0.0, 0.0, ""
    if not all(np.issubdtype(each.dtype, np.number) for each in (old, new)):
        apart = (old != new).astype(np.float64)
    else:
        wide = np.complex128 if np.iscomplexobj(old) or np.iscomplexobj(new) else np.float64
        old, new = old.astype(wide), new.astype(wide)
        with np.errstate(invalid="ignore"):
            apart = np.abs(new - old)
        apart = np.where((old == new) | (np.isnan(old) & np.isnan(new)), 0.0, np.where(np.isnan(apart), math.inf, apart))
    return float(apart.max()), float(apart.mean()), ""
