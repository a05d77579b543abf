"""What warm-starting one checkpoint's model from another checkpoint would meet: the same variables, changed ones, renamed ones.

Enters: two `Checkpoint`s, old and new. Leaves: `Differences`. Names, shapes and dtypes count, values do not; slots go with
their variable. What may have been renamed is a guess, offered as the rules that would say so, and held to the package's own
matching. This module must not know how differences are shown.
"""
from __future__ import annotations

import difflib
import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart.checkpoints import Checkpoint, OldVariable
from estimator_warmstart.errors import MatchError
from estimator_warmstart.matching import match_names
from estimator_warmstart.slots import bias_correction, hyperparameters
from estimator_warmstart.variables import NewVariable

SAME, RENAMED, SHAPE, DTYPE = "same", "renamed", "shape changed", "dtype changed"
ONLY_OLD, ONLY_NEW = "only old", "only new"
KINDS = (SAME, RENAMED, SHAPE, DTYPE, ONLY_OLD, ONLY_NEW)
EXPLANATIONS = {
    RENAMED: "a guess by shape, dtype and name; no hook makes it. If it is right, tell the hook:",
    SHAPE: "ShapeAdaptingRecoverHook takes what fits, VariableRecoverHook refuses",
    DTYPE: "no hook takes it as it is; adapters.cast() casts it, or exclude it",
    ONLY_OLD: "not used",
    ONLY_NEW: "left as initialized",
}

_STEP = "global_step"
# How alike two names must be where not even their last parts are the same; as in difflib.get_close_matches.
_ALIKE = 0.6
# More parts than a name has.
_WHOLE = 1 << 30

Rules = Tuple[Tuple[str, str], ...]


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
            each.old.name: each.new.name for each in self.found
            if each.old and each.new and each.new.name in model
            and (each.old.shape, each.old.dtype) == (each.new.shape, each.new.dtype)
        }


def find_differences(old: Checkpoint, new: Checkpoint) -> Differences:
    """Compares two checkpoints."""
    model = _model(new)
    # What a Keras optimizer or Adam keeps beside its slots, and the step, is never renamed into anything.
    lost = [old.variables[name] for name in _model(old) if name not in new.variables]
    added = [new.variables[name] for name in model if name not in old.variables]
    guessed = _guess_renames(lost, added)
    rename: Rules = ()
    if guessed:
        guessed, rename = _rules_for(guessed, old, new, model)
    sources = {**{name: name for name in new.variables if name in old.variables}, **guessed}
    pairs: List[Tuple[Optional[OldVariable], Optional[OldVariable]]] = [
        (old.variables.get(sources.get(name, "")), new.variables[name]) for name in new.variables if name not in new.ties
    ]
    used = {before.name for before, _ in pairs if before is not None}
    pairs += [(old.variables[name], None) for name in old.variables if name not in used and name not in old.ties]
    leaves = _leaves(old), _leaves(new)
    return Differences(old, new, tuple(_difference(before, after, *leaves) for before, after in pairs), rename)


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


def _model(checkpoint: Checkpoint) -> Dict[str, NewVariable]:
    """The model's own variables, as the new side of a match: without slots, powers, hyperparameters and the step."""
    shapes = {name: variable.shape for name, variable in checkpoint.variables.items()}
    others = {*checkpoint.ties, *hyperparameters(shapes, checkpoint.ties), _STEP}
    return {
        name: NewVariable(name, variable.shape, variable.dtype, ()) for name, variable in checkpoint.variables.items()
        if name not in others and not bias_correction(name, variable.shape)
    }


def _leaves(checkpoint: Checkpoint) -> Dict[str, Dict[str, str]]:
    """{variable: {its slot's own name: dtype}}."""
    leaves: Dict[str, Dict[str, str]] = {}
    for name, tie in checkpoint.ties.items():
        leaves.setdefault(tie.primary, {})[tie.leaf] = checkpoint.variables[name].dtype
    return leaves


def _difference(
    old: Optional[OldVariable], new: Optional[OldVariable],
    old_leaves: Mapping[str, Mapping[str, str]], new_leaves: Mapping[str, Mapping[str, str]]
) -> Difference:
    if old is None or new is None:
        return Difference(ONLY_NEW if old is None else ONLY_OLD, old, new)
    before, after = old_leaves.get(old.name, {}), new_leaves.get(new.name, {})
    slots = [f"{leaf} {ONLY_OLD}" for leaf in sorted(before) if leaf not in after]
    slots += [f"{leaf} {ONLY_NEW}" for leaf in sorted(after) if leaf not in before]
    slots += [
        f"{leaf} {before[leaf]} -> {after[leaf]}" for leaf in sorted(before) if after.get(leaf, before[leaf]) != before[leaf]
    ]
    kind = DTYPE if old.dtype != new.dtype else SHAPE if old.shape != new.shape else SAME
    return Difference(RENAMED if old.name != new.name else kind, old, new, tuple(slots))


def _guess_renames(lost: List[OldVariable], added: List[OldVariable]) -> Dict[str, str]:
    """{new name: old name}: the same shape and dtype, and the same last part of the name or else a name much alike."""
    guessed: Dict[str, str] = {}
    _pair_up(lost, added, lambda each: (each.shape, each.dtype, each.name.rpartition("/")[2]), 0.0, guessed)
    taken = set(guessed.values())
    _pair_up(
        [each for each in lost if each.name not in taken], [each for each in added if each.name not in guessed],
        lambda each: (each.shape, each.dtype), _ALIKE, guessed,
    )
    return guessed


def _pair_up(
    lost: Iterable[OldVariable], added: Iterable[OldVariable], group_of: Callable[[OldVariable], Tuple], least: float,
    guessed: Dict[str, str]
) -> None:
    """Pairs those of the same group, the most alike first."""
    groups: Dict[Tuple, List[str]] = {}
    for old in lost:
        groups.setdefault(group_of(old), []).append(old.name)
    likenesses = sorted(
        (-difflib.SequenceMatcher(None, name, new.name, autojunk=False).ratio(), new.name, name)
        for new in added for name in groups.get(group_of(new), ())
    )
    taken = set(guessed.values())
    for likeness, new_name, old_name in likenesses:
        if -likeness >= least and new_name not in guessed and old_name not in taken:
            guessed[new_name] = old_name
            taken.add(old_name)


def _rules_for(
    guessed: Dict[str, str], old: Checkpoint, new: Checkpoint, model: Mapping[str, NewVariable]
) -> Tuple[Dict[str, str], Rules]:
    """The guesses, and the fewest rules that say just them and, maybe, what else in these scopes was renamed and resized."""
    same = {name: name for name in model if name in old.variables}
    possible: List[Tuple[Dict[str, str], Rules]] = []
    for keep in (1, 0, _WHOLE):
        rename = dict(_rule(old_name, new_name, keep) for new_name, old_name in guessed.items())
        rules = tuple(sorted(rename.items(), reverse=True))  # The inner scope before the outer one.
        try:
            pairs = {pair.new: pair.old for pair in match_names(old.variables, model, rename=rules)}
        except MatchError:
            continue
        more = {name: source for name, source in pairs.items() if name not in same and name not in guessed}
        if pairs == {**same, **guessed, **more} and all(_is_resized(old.variables[source], new.variables[name])
                                                        for name, source in more.items()):
            possible.append(({**guessed, **more}, rules))
    return min(possible, key=lambda found: len(found[1]), default=(guessed, ()))


def _is_resized(old: OldVariable, new: OldVariable) -> bool:
    return old.dtype == new.dtype and len(old.shape) == len(new.shape)


def _rule(old_name: str, new_name: str, keep: int) -> Tuple[str, str]:
    """A pattern and its replacement: both names without the last parts that they share, but for the first `keep` old parts."""
    old, new = old_name.split("/"), new_name.split("/")
    while len(old) > keep and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return re.escape("/".join(old)), "/".join(new).replace("\\", "\\\\")

