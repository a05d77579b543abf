"""Finds the old slot for a new one: of the same name, or of the same optimizer in another generation.

TensorFlow 1's `fm/w/Adam` is `Adam/fm/w/m` in Keras until 2.10 and `Adam/m/fm/w` in Keras since.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional

from estimator_warmstart.adapters.transforms import Misfit, Scale
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.graph.initial_values import known_initial
from estimator_warmstart.graph.variables import NewVariable
from estimator_warmstart.optimizers import Meaning, meanings_of
from estimator_warmstart.slots import SlotFinder
from estimator_warmstart.tensors import Shape

_RATE = "learning_rate"


class OldSlot(NamedTuple):
    """The old slot for a new one.

    Attributes:
      old: the old slot.
      scale: its factor if the two optimizers keep the same quantity in different units; else `None`.
    """

    old: OldVariable
    scale: Optional[Scale] = None


class OldSlots:
    """Finds the old slot for each slot of a graph.

    Args:
      checkpoint: the old model.
      new: the graph's logical variables.
    """

    def __init__(self, checkpoint: Checkpoint, new: Mapping[str, NewVariable]):
        self._checkpoint, self._new = checkpoint, new
        new_slots = {name: slot.slot_of for name, slot in new.items() if slot.slot_of is not None}
        self._finder, self._new_slot_names = SlotFinder(checkpoint.slots_by_name), SlotFinder(new_slots)
        self._new_meanings, self._old_meanings = meanings_of(new_slots), meanings_of(checkpoint.slots_by_name)
        self._by_primary: Dict[str, List[str]] = {}
        for name, slot_of in checkpoint.slots_by_name.items():
            self._by_primary.setdefault(slot_of.primary, []).append(name)

    def find(self, slot: NewVariable, primary: str) -> OldSlot:
        """Returns the old slot for the new `slot`, whose variable takes the value of the old `primary`.

        Raises:
          Misfit: with the reason if there is no such slot.
        """
        slot_of = slot.slot_of
        if slot_of is None:
            raise LookupError(f"{slot.name!r} is not a slot")
        found = self._finder.find(primary, slot_of.slot_name, slot_of.prefix)
        old, new = self._old_meanings.get(found or ""), self._new_meanings.get(slot.name)
        # RMSProp_1 is the momentum, or the mean gradient if the optimizer is centered.
        if found is None or (old is not None and new is not None and old.what != new.what):
            return self._with_same_meaning(slot, new, primary)
        old_family = self._finder.family(primary, slot_of.slot_name)
        if (old is None or new is None) and old_family != self._new_slot_names.family(slot_of.primary, slot_of.slot_name):
            raise Misfit(f"the checkpoint has other slots of this kind: {', '.join(old_family)}")
        return OldSlot(self._checkpoint.variables[found])

    def _with_same_meaning(self, slot: NewVariable, meaning: Optional[Meaning], primary: str) -> OldSlot:
        there = {name: self._old_meanings[name] for name in self._by_primary.get(primary, ()) if name in self._old_meanings}
        same = [name for name, old in there.items() if meaning is not None and old.what == meaning.what]
        if meaning is None or not same:
            slot_name = slot.slot_of.slot_name if slot.slot_of is not None else ""
            reason = f"the checkpoint has no slot {slot_name!r} of {primary!r}"
            others = sorted({old.title for old in there.values() if meaning is not None and old.optimizer != meaning.optimizer})
            if meaning is not None and others:
                reason += f", only those of {' and '.join(others)}, which have no counterpart in {meaning.title}"
            raise Misfit(reason)
        name = min(same, key=len)
        if meaning.optimizer != "SGD" or meaning.is_tf1 == there[name].is_tf1:
            return OldSlot(self._checkpoint.variables[name])
        scale = self._gradients_of_steps(name) if meaning.is_tf1 else self._steps_of_gradients(slot, name)
        return OldSlot(self._checkpoint.variables[name], scale)

    def _steps_of_gradients(self, slot: NewVariable, old: str) -> Scale:
        """Returns the factor from TensorFlow 1's sums of gradients to Keras's sums of steps `-learning_rate * gradient`."""
        if slot.settings is not None:
            if slot.settings.learning_rate is None:
                raise Misfit(
                    f"the old {old!r} sums gradients, Keras's SGD sums steps, and the learning rate between them changes with "
                    "the steps"
                )
            return Scale(-slot.settings.learning_rate)
        prefix = slot.slot_of.prefix if slot.slot_of is not None else ""
        rates = _optimizer_scalar(_RATE, prefix, {name: new.shape for name, new in self._new.items()})
        rate = known_initial(self._new[rates].parts[0].copies[0]) if rates else None
        decay = self._new.get(f"{prefix}decay")
        if rate is None or (decay is not None and known_initial(decay.parts[0].copies[0]) != 0):
            raise Misfit(
                f"the old {old!r} sums gradients, Keras's SGD sums steps, and the graph does not tell the learning rate, the "
                "factor between them"
            )
        return Scale(-rate)

    def _gradients_of_steps(self, old: str) -> Scale:
        """Returns the factor in the other direction."""
        variables = self._checkpoint.variables
        rate = _optimizer_scalar(
            _RATE, self._checkpoint.slots_by_name[old].prefix, {name: each.shape for name, each in variables.items()}
        )
        if not rate:
            raise Misfit(
                f"the old {old!r} sums steps, TensorFlow 1's Momentum sums gradients, and the checkpoint has no learning rate "
                "to divide by"
            )
        return Scale(-1.0, rate)


def describe_scale(scale: Scale) -> str:
    """Returns the factor of `scale` as text, for the report."""
    return f"{scale.factor:.6g} / {scale.divisor!r}" if scale.divisor else f"{scale.factor:.6g}"


def _optimizer_scalar(slot_name: str, prefix: str, shapes: Mapping[str, Shape]) -> str:
    """Returns the name of the optimizer's scalar: below its scope, or the only one of that name; else empty."""
    if prefix and shapes.get(prefix + slot_name) == ():
        return prefix + slot_name
    names = [name for name, shape in shapes.items() if shape == () and name.rsplit("/", 1)[-1].lstrip("_") == slot_name]
    return names[0] if len(names) == 1 else ""
