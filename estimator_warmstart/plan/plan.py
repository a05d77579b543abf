"""What a warm start does, as plain data: one `PlannedVariable` for each new variable, all of them in a `Plan`. Pure.

Enters: what the planner decided. Leaves: records, and the questions that can be asked of them.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart.adapters.dtypes import describe_cast
from estimator_warmstart.adapters.transforms import Transform, count_kept, kept_share
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.graph.variables import NewVariable
from estimator_warmstart.tensors import count_bytes

RESTORED, ADAPTED, INITIALIZED = "restored", "adapted", "initialized"


class PlannedVariable(NamedTuple):
    """What becomes of one new variable.

    Attributes:
      new: the new variable.
      action: `"restored"` (the old value as it is), `"adapted"` (what the steps make of it) or `"initialized"` (left to its
        own initializer).
      old: the old variable whose value it takes, or `None`.
      reason: how it is adapted, or why it is left as initialized; else empty.
      steps: from the old shape to the new one; empty for a value that is taken as it is.
    """

    new: NewVariable
    action: str
    old: Optional[OldVariable] = None
    reason: str = ""
    steps: Tuple[Transform, ...] = ()

    @property
    def source(self) -> OldVariable:
        """The old variable, of a variable that takes one."""
        if self.old is None:
            raise LookupError(f"{self.new.name!r} takes no old value")
        return self.old

    @property
    def recovered_bytes(self) -> int:
        """Bytes of the new variable that hold old values afterwards."""
        if self.old is None:
            return 0
        return count_kept(self.old.shape, self.steps) * count_bytes((), self.new.dtype)

    @property
    def old_share(self) -> float:
        """The share, 0 to 1, of the new variable's values that are old ones."""
        if self.old is None:
            return 0.0
        size = count_bytes(self.new.shape, "int8")
        return count_kept(self.old.shape, self.steps) / size if size else 1.0

    @property
    def kept_share(self) -> Optional[float]:
        """The share, 0 to 1, of the old variable's values that the new one has; `None` where a function decides that."""
        return kept_share(self.old.shape, self.steps) if self.old is not None else None


def recovered(new: NewVariable, old: OldVariable, steps: Tuple[Transform, ...] = (), how: str = "") -> PlannedVariable:
    """A new variable that takes the value of `old`, by `steps` if there are any."""
    if not steps:
        return PlannedVariable(new, RESTORED, old)
    cast = describe_cast(old.dtype, new.dtype)
    return PlannedVariable(new, ADAPTED, old, f"{how}, {cast}" if cast else how, steps)


def initialized(new: NewVariable, reason: str) -> PlannedVariable:
    """A new variable that is left as initialized."""
    return PlannedVariable(new, INITIALIZED, None, reason)


class Plan(NamedTuple):
    """What a warm start does, as plain data.

    Attributes:
      checkpoint: the old model.
      variables: one `PlannedVariable` for each new variable, in the order of the graph.
      unused: the old variables that no new one takes.
      notes: sentences on what deserves a second look.
      warnings: sentences on what is likely not as it was meant; a training logs them at level WARNING.
    """

    checkpoint: Checkpoint
    variables: Tuple[PlannedVariable, ...]
    unused: Tuple[OldVariable, ...]
    notes: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()

    @property
    def fates(self) -> Tuple[PlannedVariable, ...]:
        """What `variables` was called at first."""
        return self.variables

    @property
    def recovered(self) -> Tuple[PlannedVariable, ...]:
        """Those of the new variables that take an old value."""
        return tuple(planned for planned in self.variables if planned.old is not None)

    @property
    def coverage(self) -> float:
        """The share, 0 to 1, of the new model's bytes that old values fill; optimizer state and step do not count."""
        return covered_share([planned for planned in self.variables if planned.new.is_parameter])

    @property
    def slot_coverage(self) -> float:
        """The same share of the optimizer's state."""
        return covered_share([planned for planned in self.variables if planned.new.is_optimizer_state])

    def left_undone(self, reason: str) -> Plan:
        """What happens where nothing is done: every new variable keeps its value, no old one is used."""
        decided = tuple(
            initialized(planned.new, reason if planned.old is not None else planned.reason) for planned in self.variables
        )
        used = dict.fromkeys(planned.source for planned in self.recovered)
        return self._replace(variables=decided, unused=self.unused + tuple(used))

    @property
    def recovers_nothing(self) -> bool:
        """Whether the model itself begins as if there were no old one."""
        parameters = [planned for planned in self.recovered if planned.new.is_parameter]
        return not any(planned.recovered_bytes or not planned.new.nbytes for planned in parameters)

    def __str__(self) -> str:
        return (
            f"{len(self.recovered)} of {len(self.variables)} new variables recovered from {self.checkpoint.prefix}, "
            f"coverage {percent(self.coverage)}"
        )


def covered_share(decided: Sequence[PlannedVariable]) -> float:
    """The bytes with old values among all bytes of `decided`; 0 where there are none."""
    total = sum(planned.new.nbytes for planned in decided)
    return sum(planned.recovered_bytes for planned in decided) / total if total else 0.0


def percent(share: float, form: str = ".1f") -> str:
    """A share, 0 to 1, as text; only all of it is 100 %, and only nothing is 0 %.

    Example:
      >>> percent(0.25), percent(0.99999), percent(1.0), percent(0.0001)
      ('25.0 %', '> 99.9 %', '100.0 %', '< 0.1 %')
    """
    text = format(100 * share, form)
    if float(text) == 100 and share < 1:
        return "> 99.9 %"
    return "< 0.1 %" if float(text) == 0 and share > 0 else f"{text} %"


def joint_coverage(plans: Sequence[Plan]) -> float:
    """The coverage of several plans for one graph: each variable counts as the last plan that recovers it leaves it."""
    if not plans:
        return 0.0
    decided = {planned.new.name: planned for plan in plans for planned in plan.recovered}
    return plans[0]._replace(variables=tuple(decided.get(planned.new.name, planned) for planned in plans[0].variables)).coverage


def check_coverage(plan: Plan, least: Optional[float]) -> Plan:
    """`plan`, unless it covers less than `least`.

    Raises:
      WarmStartError: if it does.
    """
    if least is not None and plan.coverage < least:
        raise WarmStartError(
            f"{plan}, but min_coverage is {100 * least:g} %; what is left as initialized: "
            f"{first_few([planned.new.name for planned in plan.variables if planned.old is None and planned.new.is_parameter])}"
        )
    return plan
