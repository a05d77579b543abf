"""A warm start as plain data: a `Plan` with one `PlannedVariable` for each new variable.

A plan is complete and checked before anything is recovered. Reports, the graph's operations and coverage all come from it.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart.adapters.dtypes import describe_cast
from estimator_warmstart.adapters.transforms import Transform, count_kept, kept_share
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.old_models import prefixes_of
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.graph.variables import NewVariable
from estimator_warmstart.tensors import count_bytes

RESTORED, ADAPTED, INITIALIZED = "restored", "adapted", "initialized"


class PlannedVariable(NamedTuple):
    """What is planned for one new variable.

    Attributes:
      new: the new variable.
      action: `"restored"` (it takes the old value as it is), `"adapted"` (it takes the old value after the steps) or
        `"initialized"` (it is left to its own initializer).
      old: the old variable whose value it takes, or `None`.
      reason: how the old value is adapted, or why the variable is left as initialized; else empty.
      steps: the transforms from the old value to the new one; empty if the value is taken as it is.
    """

    new: NewVariable
    action: str
    old: Optional[OldVariable] = None
    reason: str = ""
    steps: Tuple[Transform, ...] = ()

    @property
    def source(self) -> OldVariable:
        """The old variable of a variable that takes an old value."""
        if self.old is None:
            raise LookupError(f"{self.new.name!r} takes no old value")
        return self.old

    @property
    def recovered_bytes(self) -> int:
        """The bytes of the new variable that old values fill."""
        if self.old is None:
            return 0
        return count_kept(self.old.shape, self.steps) * count_bytes((), self.new.dtype)

    @property
    def old_share(self) -> float:
        """The share, 0 to 1, of the new variable that old values fill."""
        if self.old is None:
            return 0.0
        size = count_bytes(self.new.shape, "int8")
        return count_kept(self.old.shape, self.steps) / size if size else 1.0

    @property
    def kept_share(self) -> Optional[float]:
        """The share, 0 to 1, of the old variable that the new one keeps; `None` if a function decides that."""
        return kept_share(self.old.shape, self.steps) if self.old is not None else None


def recovered(new: NewVariable, old: OldVariable, steps: Tuple[Transform, ...] = (), how: str = "") -> PlannedVariable:
    """Plans a new variable that takes the value of `old`, after `steps` if there are any."""
    if not steps:
        return PlannedVariable(new, RESTORED, old)
    cast = describe_cast(old.dtype, new.dtype)
    return PlannedVariable(new, ADAPTED, old, f"{how}, {cast}" if cast else how, steps)


def initialized(new: NewVariable, reason: str) -> PlannedVariable:
    """Plans a new variable that is left as initialized."""
    return PlannedVariable(new, INITIALIZED, None, reason)


class Plan(NamedTuple):
    """A warm start as plain data.

    Attributes:
      checkpoints: the old models, in the user's order.
      variables: one `PlannedVariable` for each new variable, in the order of the graph.
      unused: the old variables that no new one takes.
      notes: sentences on what may surprise.
      warnings: sentences on what is probably not intended; training logs them at level WARNING.
    """

    checkpoints: Tuple[Checkpoint, ...]
    variables: Tuple[PlannedVariable, ...]
    unused: Tuple[OldVariable, ...]
    notes: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()

    @property
    def checkpoint(self) -> Checkpoint:
        """The old model; the first of them, if there are several."""
        return self.checkpoints[0]

    @property
    def old_place(self) -> str:
        """Where the old model is, or the old models are, for messages."""
        return prefixes_of(self.checkpoints)

    @property
    def sources(self) -> Tuple[Tuple[Checkpoint, Tuple[OldVariable, ...]], ...]:
        """Each old model with the old variables that are taken from it, each once."""
        return tuple(
            (checkpoint, tuple(dict.fromkeys(planned.source for planned in filled))) for checkpoint, filled in self.filled_by
        )

    @property
    def filled_by(self) -> Tuple[Tuple[Checkpoint, Tuple[PlannedVariable, ...]], ...]:
        """Each old model with the new variables that take their values from it."""
        filled: Dict[str, List[PlannedVariable]] = {checkpoint.prefix: [] for checkpoint in self.checkpoints}
        for planned in self.recovered:
            filled[planned.source.prefix].append(planned)
        return tuple((checkpoint, tuple(filled[checkpoint.prefix])) for checkpoint in self.checkpoints)

    @property
    def fates(self) -> Tuple[PlannedVariable, ...]:
        """The earlier name of `variables`."""
        return self.variables

    @property
    def recovered(self) -> Tuple[PlannedVariable, ...]:
        """The new variables that take an old value."""
        return tuple(planned for planned in self.variables if planned.old is not None)

    @property
    def coverage(self) -> float:
        """The share, 0 to 1, of the new model's bytes that old values fill, without optimizer state and global step."""
        return covered_share([planned for planned in self.variables if planned.new.is_parameter])

    @property
    def slot_coverage(self) -> float:
        """The share, 0 to 1, of the bytes of the optimizer's state that old values fill."""
        return covered_share([planned for planned in self.variables if planned.new.is_optimizer_state])

    def left_undone(self, reason: str) -> Plan:
        """Returns the plan of doing nothing: every new variable keeps its value, and no old one is used."""
        decided = tuple(
            initialized(planned.new, reason if planned.old is not None else planned.reason) for planned in self.variables
        )
        used = dict.fromkeys(planned.source for planned in self.recovered)
        return self._replace(variables=decided, unused=self.unused + tuple(used))

    @property
    def recovers_nothing(self) -> bool:
        """Whether no parameter of the model takes an old value."""
        parameters = [planned for planned in self.recovered if planned.new.is_parameter]
        return not any(planned.recovered_bytes or not planned.new.nbytes for planned in parameters)

    def __str__(self) -> str:
        return (
            f"{len(self.recovered)} of {len(self.variables)} new variables recovered from {self.old_place}, "
            f"coverage {percent(self.coverage)}"
        )


def covered_share(decided: Sequence[PlannedVariable]) -> float:
    """Returns the share of the bytes of `decided` that old values fill; 0 if there are no bytes."""
    total = sum(planned.new.nbytes for planned in decided)
    return sum(planned.recovered_bytes for planned in decided) / total if total else 0.0


def percent(share: float, form: str = ".1f") -> str:
    """Formats a share, 0 to 1. Only a share of 1 is 100 %, and only 0 is 0 %.

    Example:
      >>> percent(0.25), percent(0.99999), percent(1.0), percent(0.0001)
      ('25.0 %', '> 99.9 %', '100.0 %', '< 0.1 %')
    """
    text = format(100 * share, form)
    if float(text) == 100 and share < 1:
        return "> 99.9 %"
    return "< 0.1 %" if float(text) == 0 and share > 0 else f"{text} %"


def joint_coverage(plans: Sequence[Plan]) -> float:
    """Returns the coverage of several plans for one graph: each variable counts as in the last plan that recovers it."""
    if not plans:
        return 0.0
    decided = {planned.new.name: planned for plan in plans for planned in plan.recovered}
    return plans[0]._replace(variables=tuple(decided.get(planned.new.name, planned) for planned in plans[0].variables)).coverage


def check_coverage(plan: Plan, least: Optional[float]) -> Plan:
    """Returns `plan`.

    Raises:
      WarmStartError: if it covers less than `least`.
    """
    if least is not None and plan.coverage < least:
        raise WarmStartError(
            f"{plan}, but min_coverage is {100 * least:g} %; what is left as initialized: "
            f"{first_few([planned.new.name for planned in plan.variables if planned.old is None and planned.new.is_parameter])}"
        )
    return plan
