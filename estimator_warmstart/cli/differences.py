"""What warm-starting one checkpoint's model from another checkpoint would meet: the same variables, changed ones, renamed ones.

Enters: two `Checkpoint`s, old and new. Leaves: `Differences`. Names, shapes and dtypes count, values do not; slots go with
their variable. What may have been renamed is a guess, offered as the rules that would say so, and held to the package's own
matching. This module must not know how differences are shown.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.cli.renames import Rules, guess_renames, rules_for
from estimator_warmstart.slots import bias_correction, hyperparameters

SAME, RENAMED, SHAPE, DTYPE = "same", "renamed", "shape changed", "dtype changed"
ONLY_OLD, ONLY_NEW = "only old", "only new"
KINDS = (SAME, RENAMED, SHAPE, DTYPE, ONLY_OLD, ONLY_NEW)
EXPLANATIONS = {
    RENAMED: "a guess by shape, dtype and name; no hook makes it. If it is right, tell the hook:",
    SHAPE: "adapters={} (or ShapeAdaptingRecoverHook) takes what fits; without, it is an error",
    DTYPE: "no hook takes it as it is; adapters.cast() casts it, or exclude it",
    ONLY_OLD: "not used",
    ONLY_NEW: "left as initialized",
}

_STEP = "global_step"


class Difference(NamedTuple):
    """One variable of either model, or of both.

    Attributes:
      kind: one of `KINDS`; `"renamed"` is a guess.
      old: the old variable, or `None`.
      new: the new one, or `None`.
      slots: what differs in their optimizer slots, one text for each; empty where nothing does.
    """

    kind: str
    old: Optional[OldVariable]
    new: Optional[OldVariable]
    slots: Tuple[str, ...] = ()

    @property
    def described(self) -> str:
        """In a few words, shapes left out."""
        words = f"{self.kind}?" if self.kind == RENAMED else self.kind
        if self.old is not None and self.new is not None:
            words += ", shape changed" if self.kind == RENAMED and self.old.shape != self.new.shape else ""
            words += f" {self.old.dtype} -> {self.new.dtype}" if self.kind == DTYPE else ""
        return words + (f"; slots: {', '.join(self.slots)}" if self.slots else "")


class Differences(NamedTuple):
    """All of two checkpoints.

    Attributes:
      old: the old checkpoint.
      new: the one whose model is to be warm-started.
      found: each variable of either once, but for slots.
      rename: the rules `(old pattern, new name or scope)` that say the guessed renames; empty where there are none.
    """

    old: Checkpoint
    new: Checkpoint
    found: Tuple[Difference, ...]
    rename: Rules = ()

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return any(difference.kind != SAME or difference.slots for difference in self.found)

    def of_kind(self, kind: str) -> List[Difference]:
        """Those of one kind."""
        return [difference for difference in self.found if difference.kind == kind]

    @property
    def recover_vars(self) -> Dict[str, str]:
        """{old name: new name} of the model's own variables that go over as they are, the guessed renames among them."""
        model = _model(self.new)
        return {
            each.old.name: each.new.name
            for each in self.found
            if each.old
            and each.new
            and each.new.name in model
            and (each.old.shape, each.old.dtype) == (each.new.shape, each.new.dtype)
        }


def find_differences(old: Checkpoint, new: Checkpoint) -> Differences:
    """Compares two checkpoints."""
    model = _model(new)
    # What a Keras optimizer or Adam keeps beside its slots, and the step, is never renamed into anything.
    lost = [old.variables[name] for name in _model(old) if name not in new.variables]
    added = [new.variables[name] for name in model if name not in old.variables]
    guessed = guess_renames(lost, added)
    rename: Rules = ()
    if guessed:
        guessed, rename = rules_for(guessed, old, new, model)
    sources = {**{name: name for name in new.variables if name in old.variables}, **guessed}
    pairs: List[Tuple[Optional[OldVariable], Optional[OldVariable]]] = [
        (old.variables.get(sources.get(name, "")), new.variables[name])
        for name in new.variables
        if name not in new.slots_by_name
    ]
    used = {before.name for before, _ in pairs if before is not None}
    pairs += [(old.variables[name], None) for name in old.variables if name not in used and name not in old.slots_by_name]
    slot_names = _leaves(old), _leaves(new)
    return Differences(old, new, tuple(_difference(before, after, *slot_names) for before, after in pairs), rename)


def differences_as_dict(differences: Differences) -> Dict[str, Any]:
    """Differences as plain dicts and lists."""

    def plain(variable: Optional[OldVariable]) -> Optional[Dict[str, Any]]:
        return variable and {"name": variable.name, "shape": list(variable.shape), "dtype": variable.dtype}

    return {
        "old": differences.old.prefix,
        "new": differences.new.prefix,
        "differs": differences.differs,
        "variables": [
            {"kind": each.kind, "old": plain(each.old), "new": plain(each.new), "slots": list(each.slots)}
            for each in differences.found
        ],
        "rename": [list(rule) for rule in differences.rename],
        "recover_vars": differences.recover_vars,
    }


def _model(checkpoint: Checkpoint) -> List[str]:
    """The names of the model's own variables: without slots, powers, hyperparameters and the step."""
    shapes = {name: variable.shape for name, variable in checkpoint.variables.items()}
    others = {*checkpoint.slots_by_name, *hyperparameters(shapes, checkpoint.slots_by_name), _STEP}
    return [
        name
        for name, variable in checkpoint.variables.items()
        if name not in others and not bias_correction(name, variable.shape)
    ]


def _leaves(checkpoint: Checkpoint) -> Dict[str, Dict[str, str]]:
    """{variable: {its slot's own name: dtype}}."""
    slot_names: Dict[str, Dict[str, str]] = {}
    for name, slot_of in checkpoint.slots_by_name.items():
        slot_names.setdefault(slot_of.primary, {})[slot_of.slot_name] = checkpoint.variables[name].dtype
    return slot_names


def _difference(
    old: Optional[OldVariable],
    new: Optional[OldVariable],
    old_leaves: Mapping[str, Mapping[str, str]],
    new_leaves: Mapping[str, Mapping[str, str]],
) -> Difference:
    if old is None or new is None:
        return Difference(ONLY_NEW if old is None else ONLY_OLD, old, new)
    before, after = old_leaves.get(old.name, {}), new_leaves.get(new.name, {})
    slots = [f"{slot_name} {ONLY_OLD}" for slot_name in sorted(before) if slot_name not in after]
    slots += [f"{slot_name} {ONLY_NEW}" for slot_name in sorted(after) if slot_name not in before]
    slots += [
        f"{slot_name} {before[slot_name]} -> {after[slot_name]}"
        for slot_name in sorted(before)
        if after.get(slot_name, before[slot_name]) != before[slot_name]
    ]
    kind = DTYPE if old.dtype != new.dtype else SHAPE if old.shape != new.shape else SAME
    return Difference(RENAMED if old.name != new.name else kind, old, new, tuple(slots))
