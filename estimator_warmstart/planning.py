"""Old x new -> `Plan`. Pure: no session, no graph operation, no value read.

Enters: a checkpoint, a graph's logical variables, what the user asked for. Leaves: a `Plan` that holds every new
variable exactly once, with what becomes of it and why; or one error with all problems. This module must not know how a
value is restored.
"""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import tf1
from estimator_warmstart.checkpoints import Checkpoint, OldVariable, open_checkpoint
from estimator_warmstart.errors import PlanError, WarmStartError, check_choice, did_you_mean
from estimator_warmstart.matching import Pair, is_matched_by_default, resolve_pairs
from estimator_warmstart.slots import SlotFinder, is_power
from estimator_warmstart.variables import NewVariable, logical_variables

RESTORED, INITIALIZED = "restored", "initialized"


class Fate(NamedTuple):
    """What becomes of one new variable.

    Attributes:
      new: the new variable.
      action: `"restored"` (the old value as it is) or `"initialized"` (left to its own initializer).
      old: the old variable whose value it takes, or `None`.
      reason: why it is left as initialized; else empty.
    """

    new: NewVariable
    action: str
    old: Optional[OldVariable] = None
    reason: str = ""

    @property
    def recovered_bytes(self) -> int:
        """Bytes of the new variable that hold old values afterwards."""
        return self.new.nbytes if self.action == RESTORED else 0


class Plan(NamedTuple):
    """What a warm start does, as plain data.

    Attributes:
      checkpoint: the old model.
      fates: one `Fate` for each new variable, in the order of the graph.
      unused: the old variables that no new one takes.
      notes: sentences on what deserves a second look.
    """

    checkpoint: Checkpoint
    fates: Tuple[Fate, ...]
    unused: Tuple[OldVariable, ...]
    notes: Tuple[str, ...] = ()

    @property
    def recovered(self) -> Tuple[Fate, ...]:
        """The fates of the new variables that take an old value."""
        return tuple(fate for fate in self.fates if fate.old is not None)

    @property
    def coverage(self) -> float:
        """The share, 0 to 1, of the new model's bytes that old values fill; optimizer state and step do not count."""
        return covered_share([fate for fate in self.fates if is_matched_by_default(fate.new)])

    @property
    def slot_coverage(self) -> float:
        """The same share of the optimizer's state."""
        return covered_share([fate for fate in self.fates if fate.new.is_optimizer_state])

    def __str__(self) -> str:
        return (
            f"{len(self.recovered)} of {len(self.fates)} new variables recovered from {self.checkpoint.prefix}, "
            f"coverage {100 * self.coverage:.1f} %"
        )


def covered_share(fates: List[Fate]) -> float:
    """The bytes with old values among all bytes of `fates`; 0 where there are none."""
    total = sum(fate.new.nbytes for fate in fates)
    return sum(fate.recovered_bytes for fate in fates) / total if total else 0.0


def plan_recovery(
    ckp_dir: Any, recover_vars: Optional[Mapping[str, Any]] = None, *, graph: Any = None, with_slots: bool = False,
    missing: str = "error"
) -> Plan:
    """Says what a warm start would do, and touches nothing.

    Use it to look before training, in a test or a notebook: the hooks make the same plan.

    Args:
      ckp_dir: a directory with a `checkpoint` file (its latest is taken), or a checkpoint's prefix.
      recover_vars: `{old name: new}`, where *new* is a variable, a list of a partitioned one's parts, a variable's
        name, or a list of several of these. `None`: every new variable that the checkpoint has under its own name, but
        for the global step.
      graph: a `tf.Graph`; `None`: the default graph.
      with_slots: whether each recovered variable's optimizer slots are recovered too.
      missing: what to do about an old name that the checkpoint does not have: `"error"`, or `"keep"` the new variable
        as initialized and report it.

    Returns:
      A `Plan`.

    Raises:
      WarmStartError: listing everything that cannot be done as asked and what to change.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import plan_recovery
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     _ = tf1.get_variable("w", [3, 1])
      ...     session.run(tf1.global_variables_initializer())
      ...     prefix = tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
      >>> with tf.Graph().as_default():
      ...     _, _ = tf1.get_variable("w", [3, 1]), tf1.get_variable("tower/kernel", [3, 3])
      ...     plan = plan_recovery(folder)
      >>> [(fate.new.name, fate.action) for fate in plan.fates], plan.coverage
      ([('w', 'restored'), ('tower/kernel', 'initialized')], 0.25)
    """
    check_arguments(recover_vars, with_slots, missing)
    graph = graph or tf1.get_default_graph()
    return _Planner(open_checkpoint(ckp_dir), logical_variables(graph), with_slots, missing).plan(recover_vars, graph)


def check_arguments(recover_vars: Any, with_slots: Any, missing: Any) -> None:
    """Raises `WarmStartError` for arguments that no checkpoint and no graph could make right."""
    if recover_vars is not None and not isinstance(recover_vars, Mapping):
        raise WarmStartError(
            f"recover_vars must be a dict {{old name: new variable}} or None, got {type(recover_vars).__name__}"
        )
    if recover_vars is not None and not recover_vars:
        raise WarmStartError("recover_vars is empty: name what to recover, or give None for every variable of the same name")
    for name in recover_vars or ():
        if not isinstance(name, str):
            raise WarmStartError(f"recover_vars: an old name is a string, got {name!r}; the dict goes {{old name: new variable}}")
    if not isinstance(with_slots, bool):
        raise WarmStartError(f"with_slots must be True or False, got {with_slots!r}")
    check_choice("missing", missing, ("error", "keep"))


class _Planner:
    """Makes one plan; collects problems instead of stopping at the first."""

    def __init__(self, checkpoint: Checkpoint, new: Dict[str, NewVariable], with_slots: bool, missing: str):
        self._checkpoint, self._old, self._new = checkpoint, checkpoint.variables, new
        self._with_slots, self._missing = with_slots, missing
        self._sources: Dict[str, OldVariable] = {}
        self._reasons: Dict[str, str] = {}
        self._problems: List[str] = []
        self._notes: List[str] = []

    def plan(self, recover_vars: Optional[Mapping[str, Any]], graph: Any) -> Plan:
        """The plan for what the user asked.

        Raises:
          PlanError: with every problem.
        """
        if recover_vars is None:
            pairs = [Pair(name, name) for name, new in self._new.items() if is_matched_by_default(new) and name in self._old]
            if not pairs and self._missing == "error":
                self._problems.append(self._nothing_in_common())
        else:
            pairs, self._problems = resolve_pairs(recover_vars, self._new, graph)
        self._take(pairs)
        if self._with_slots:
            self._take_slots()
        self._take_powers()
        if self._problems:
            raise PlanError(f"the old model {self._checkpoint.prefix} cannot be recovered as asked", self._problems)
        why_not = "the checkpoint has no variable of this name" if recover_vars is None else "not in recover_vars"
        fates = tuple(self._fate(new, why_not) for new in self._new.values())
        used = {fate.old.name for fate in fates if fate.old is not None}
        unused = tuple(old for name, old in self._old.items() if name not in used)
        return Plan(self._checkpoint, fates, unused, tuple(self._notes))

    def _nothing_in_common(self) -> str:
        return (
            "no new variable has a name that the checkpoint has; recover_vars={old name: new variable} says what goes "
            f"where. Old names begin with: {', '.join(list(self._old)[:5])}; new ones with: {', '.join(list(self._new)[:5])}"
        )

    def _take(self, pairs: List[Pair]) -> None:
        takers: Dict[str, List[str]] = {}
        for pair in pairs:
            takers.setdefault(pair.new, []).append(pair.old)
        for name, olds in takers.items():
            if len(olds) > 1:
                self._problems.append(f"the new {name!r} is given {len(olds)} old values: {', '.join(map(repr, olds))}; keep one")
        missing = dict.fromkeys(pair.old for pair in pairs if pair.old not in self._old)
        for pair in pairs:
            if pair.old in missing:
                self._reasons[pair.new] = f"the checkpoint has no {pair.old!r} (missing='keep')"
            elif self._fits(pair):
                self._sources[pair.new] = self._old[pair.old]
        if self._missing == "error":
            for name in missing:
                self._problems.append(
                    f"the checkpoint has no {name!r}{did_you_mean(name, self._old)}; missing='keep' leaves its new variable "
                    "as initialized"
                )

    def _fits(self, pair: Pair) -> bool:
        old, new = self._old[pair.old], self._new[pair.new]
        problem = misfit(old, new)
        if problem:
            self._problems.append(problem)
        return not problem

    def _take_slots(self) -> None:
        finder = SlotFinder(self._checkpoint.ties)
        for name, new in self._new.items():
            if new.tie is None or name in self._sources:
                continue
            primary = self._sources.get(new.tie.primary)
            if primary is None:
                self._reasons[name] = f"slot of {new.tie.primary!r}, which is not recovered"
                continue
            slot = finder.find(primary.name, new.tie.leaf, new.tie.prefix)
            if slot is None:
                self._reasons[name] = f"the checkpoint has no slot {new.tie.leaf!r} of {primary.name!r}"
            elif misfit(self._old[slot], new):
                self._reasons[name] = misfit(self._old[slot], new)
            else:
                self._sources[name] = self._old[slot]

    def _take_powers(self) -> None:
        """Lets Adam's powers travel with its moments, and neither without the other (bias correction needs both)."""
        groups: Dict[Tuple[str, ...], List[str]] = {}
        for name, new in self._new.items():
            if new.powers:
                groups.setdefault(new.powers, []).append(name)
        for powers, moments in groups.items():
            recovered = [name for name in moments if name in self._sources]
            if recovered:
                self._take_powers_of(powers, recovered, moments)
                continue
            for power in powers:
                if self._sources.pop(power, None) is not None:
                    self._problems.append(
                        f"{power!r} is asked for without the moments it belongs to ({moments[0]!r}, ...): the first updates "
                        "would be several times too large; recover the slots too (with_slots=True) or leave it out"
                    )
                self._reasons[power] = "goes with Adam's moments, of which none is recovered"

    def _take_powers_of(self, powers: Tuple[str, ...], recovered: List[str], moments: List[str]) -> None:
        found = {power: self._sources.get(power) or self._old_power(power) for power in powers}
        absent = [power for power, old in found.items() if old is None or misfit(old, self._new[power])]
        if absent:
            for name in recovered:
                del self._sources[name]
                self._reasons[name] = f"Adam's moment, left because the checkpoint has no {absent[0]!r} to go with it"
            return
        self._sources.update({power: old for power, old in found.items() if old is not None})
        fresh = [name for name in moments if name not in self._sources]
        if fresh:
            self._notes.append(
                f"{' and '.join(powers)} are recovered with {len(recovered)} of {len(moments)} moments; the first updates of "
                f"variables whose moments start fresh are larger than Adam's usual ones: {', '.join(fresh[:4])}"
                f"{', ...' if len(fresh) > 4 else ''}"
            )

    def _old_power(self, power: str) -> Optional[OldVariable]:
        if power in self._old:
            return self._old[power]
        last = power.rsplit("/", 1)[-1]
        same = [old for name, old in self._old.items() if is_power(name, old.shape) and name.rsplit("/", 1)[-1] == last]
        return same[0] if len(same) == 1 else None

    def _fate(self, new: NewVariable, why_not: str) -> Fate:
        old = self._sources.get(new.name)
        if old is not None:
            return Fate(new, RESTORED, old)
        if new.name not in self._reasons and new.is_step:
            return Fate(new, INITIALIZED, None, "the global step is not carried over")
        if new.name not in self._reasons and new.tie is not None and not self._with_slots:
            primary = new.tie.primary
            recoverable = primary in self._sources
            why_not = f"slot of {primary!r}" + (" (with_slots=True would recover it)" if recoverable else ", which is not recovered")
        return Fate(new, INITIALIZED, None, self._reasons.get(new.name, why_not))


def misfit(old: OldVariable, new: NewVariable) -> str:
    """Why the old value cannot be the new one as it is, and what to change; an empty string where it can."""
    if new.shape is None:
        return f"the graph does not know the shape of the new {new.name!r} (validate_shape=False); give it a static shape"
    if old.dtype != new.dtype:
        return f"the new {new.name!r} is {new.dtype}, the old {old.name!r} is {old.dtype}; make the dtypes the same"
    if old.shape != new.shape:
        return (
            f"the new {new.name!r} has shape {list(new.shape)}, the old {old.name!r} {list(old.shape)}; "
            "ShapeAdaptingRecoverHook takes what fits of the old value"
        )
    return ""
