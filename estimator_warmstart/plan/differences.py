"""Compares a checkpoint with another or a Keras file: what a warm start of the new model would find the same or changed.

Names, shapes and dtypes are compared, values are not. A slot is compared with its variable. Renames are guesses.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart.adapters.dtypes import why_no_cast
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.keras_files import KERAS_FILE
from estimator_warmstart.checkpoint.value_differences import ValueDifference, compare_values, difference_as_dict
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.plan.rename_guesses import GuessedRules, guess_renames, rules_for
from estimator_warmstart.progress import Progress

SAME, RENAMED, RESIZED, RETYPED = "same", "renamed", "shape changed", "dtype changed"
ONLY_OLD, ONLY_NEW = "only old", "only new"
KINDS_OF_DIFFERENCE = (SAME, RENAMED, RESIZED, RETYPED, ONLY_OLD, ONLY_NEW)


class Difference(NamedTuple):
    """A variable of the old model, of the new one, or a pair of them.

    Attributes:
      kind: one of `KINDS_OF_DIFFERENCE`; `"renamed"` is a guess.
      old: the old variable, or `None`.
      new: the new variable, or `None`.
      slots: a short text for each difference between their optimizer slots.
      values: how the values differ: of the variable under an empty name, and under the slot name of each slot that both have;
        empty if they are not compared.
    """

    kind: str
    old: Optional[OldVariable]
    new: Optional[OldVariable]
    slots: Tuple[str, ...] = ()
    values: Mapping[str, ValueDifference] = {}

    @property
    def differs(self) -> bool:
        """Whether anything of it differs."""
        return self.kind != SAME or bool(self.slots) or not all(each.is_identical for each in self.values.values())


class Differences(NamedTuple):
    """What differs between two checkpoints.

    Attributes:
      old: the old checkpoint.
      new: the checkpoint of the model that is to be warm-started.
      found: every variable of both once, without slots.
      rename: rules `(old pattern, new name or scope)` that give the guessed renames; may be empty.
    """

    old: Checkpoint
    new: Checkpoint
    found: Tuple[Difference, ...]
    rename: GuessedRules = ()

    @property
    def differs(self) -> bool:
        """Whether anything differs."""
        return any(difference.differs for difference in self.found)

    def of_kind(self, kind: str) -> List[Difference]:
        """Returns the differences of one kind."""
        return [difference for difference in self.found if difference.kind == kind]

    @property
    def recover_vars(self) -> Dict[str, str]:
        """`{old name: new name}` of the model's variables that can be recovered as they are; includes guessed renames."""
        model = _own_variables(self.new)
        return {
            each.old.name: each.new.name
            for each in self.found
            if each.old
            and each.new
            and each.new.name in model
            and (each.old.shape, each.old.dtype) == (each.new.shape, each.new.dtype)
        }


def find_differences(old: Checkpoint, new: Checkpoint) -> Differences:
    """Compares two checkpoints. Of a Keras file, the optimizer is not read, and no slots are compared."""
    model = _own_variables(new)
    # No rename is guessed for the step and an optimizer's scalars.
    lost = [old.variables[name] for name in _own_variables(old) if name not in new.variables]
    added = [new.variables[name] for name in model if name not in old.variables]
    guessed = guess_renames(lost, added)
    rename: GuessedRules = ()
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
    slots = ({}, {}) if KERAS_FILE in (old.format, new.format) else (_slot_dtypes(old), _slot_dtypes(new))
    return Differences(old, new, tuple(_difference_of(before, after, *slots) for before, after in pairs), rename)


def with_values(differences: Differences, progress: Progress) -> Differences:
    """Returns differences with those of the values too, of variables and of slots that both have. Reads both checkpoints.

    Args:
      differences: between two checkpoints of TensorFlow.
      progress: is called with the bytes done and the bytes in all.

    Raises:
      CheckpointError: if values cannot be read, or one is a Keras file.
    """
    old, new = differences.old, differences.new
    if KERAS_FILE in (old.format, new.format):
        raise CheckpointError(f"{new.prefix} is a Keras file, whose values are not read; leave out --values")
    old_slots, new_slots = _slots_of(old), _slots_of(new)
    pairs: List[Dict[str, Tuple[OldVariable, OldVariable]]] = []
    for each in differences.found:
        pairs.append({})
        if each.old is not None and each.new is not None:
            before, after = old_slots.get(each.old.name, {}), new_slots.get(each.new.name, {})
            slots = {
                name: (old.variables[before[name]], new.variables[after[name]]) for name in sorted(before) if name in after
            }
            pairs[-1] = {"": (each.old, each.new), **slots}
    values = compare_values(old, new, [pair for named in pairs for pair in named.values()], progress)
    found = [
        each._replace(values={name: values[after.name] for name, (_, after) in named.items()})
        for each, named in zip(differences.found, pairs)
    ]
    return differences._replace(found=tuple(found))


def _slots_of(checkpoint: Checkpoint) -> Dict[str, Dict[str, str]]:
    """Returns `{variable: {slot name: name of the slot}}`."""
    slots: Dict[str, Dict[str, str]] = {}
    for name, slot_of in checkpoint.slots_by_name.items():
        slots.setdefault(slot_of.primary, {})[slot_of.slot_name] = name
    return slots


def warm_start_params(differences: Differences, ckp_dir: str) -> Dict[str, object]:
    """Returns the params of a warm start of the new model: guessed renames, and adapters where shapes or dtypes differ.

    Args:
      differences: between the old checkpoint and the new model.
      ckp_dir: the old model, as the params are to name it.
    """
    params: Dict[str, object] = {"ckp_dir": ckp_dir}
    pairs = [(each.old, each.new) for each in differences.found if each.old is not None and each.new is not None]
    unfit = [new.name for old, new in pairs if len(old.shape) != len(new.shape) or _cannot_be_cast(old, new)]
    pairs = [(old, new) for old, new in pairs if new.name not in unfit]
    if differences.rename:
        params["rename"] = dict(differences.rename)
        if differences.of_kind(ONLY_NEW):
            params["missing"] = "keep"  # A rename chooses all variables in its new scopes.
    elif differences.of_kind(RENAMED):
        model = _own_variables(differences.new)
        params["recover_vars"] = {old.name: new.name for old, new in pairs if new.name in model}
    if unfit and "recover_vars" not in params:
        params["exclude"] = [re.escape(name) for name in unfit]
    retyped = [(old, new) for old, new in pairs if old.dtype != new.dtype]
    if retyped or any(old.shape != new.shape for old, new in pairs):
        params["adapters"] = {
            re.escape(new.name): "cast" if old.shape == new.shape else ["crop_or_pad", "cast"] for old, new in retyped
        }
    return params


def _cannot_be_cast(old: OldVariable, new: OldVariable) -> bool:
    return old.dtype != new.dtype and bool(why_no_cast(old.dtype, new.dtype))


def differences_as_dict(differences: Differences) -> Dict[str, Any]:
    """Returns differences as plain dicts and lists, for JSON."""

    def plain(variable: Optional[OldVariable]) -> Optional[Dict[str, object]]:
        return variable and {
            "name": variable.name,
            "shape": list(variable.shape),
            "dtype": variable.dtype,
            "bytes": variable.nbytes,
        }

    return {
        "old": differences.old.prefix,
        "new": differences.new.prefix,
        "differs": differences.differs,
        "variables": [
            {
                "kind": each.kind,
                "old": plain(each.old),
                "new": plain(each.new),
                "slots": list(each.slots),
                **({"values": {name: difference_as_dict(value) for name, value in each.values.items()}} if each.values else {}),
            }
            for each in differences.found
        ],
        "rename": [list(rule) for rule in differences.rename],
        "recover_vars": differences.recover_vars,
    }


def _own_variables(checkpoint: Checkpoint) -> List[str]:
    """Returns the names of the model's own variables: no optimizer state, no global step."""
    others = {*checkpoint.optimizer_state, "global_step"}
    return [name for name in checkpoint.variables if name not in others]


def _slot_dtypes(checkpoint: Checkpoint) -> Dict[str, Dict[str, str]]:
    """Returns `{variable: {slot name: dtype of the slot}}`."""
    slot_dtypes: Dict[str, Dict[str, str]] = {}
    for name, slot_of in checkpoint.slots_by_name.items():
        slot_dtypes.setdefault(slot_of.primary, {})[slot_of.slot_name] = checkpoint.variables[name].dtype
    return slot_dtypes


def _difference_of(
    old: Optional[OldVariable],
    new: Optional[OldVariable],
    old_slots: Mapping[str, Mapping[str, str]],
    new_slots: Mapping[str, Mapping[str, str]],
) -> Difference:
    if old is None or new is None:
        return Difference(ONLY_NEW if old is None else ONLY_OLD, old, new)
    before, after = old_slots.get(old.name, {}), new_slots.get(new.name, {})
    slots = [f"{slot_name} {ONLY_OLD}" for slot_name in sorted(before) if slot_name not in after]
    slots += [f"{slot_name} {ONLY_NEW}" for slot_name in sorted(after) if slot_name not in before]
    slots += [
        f"{slot_name} {before[slot_name]} -> {after[slot_name]}"
        for slot_name in sorted(before)
        if after.get(slot_name, before[slot_name]) != before[slot_name]
    ]
    kind = RETYPED if old.dtype != new.dtype else RESIZED if old.shape != new.shape else SAME
    return Difference(RENAMED if old.name != new.name else kind, old, new, tuple(slots))
