"""Knows the names of slots in TensorFlow 1, in Keras up to 2.10, in Keras 2 since 2.11 and in Keras 3, and which mean the same.

Source: tensorflow/python/training/*.py, tensorflow/python/keras/optimizer_v2/*.py, keras/src/optimizers/*.py (2.15, 3.15).
"""

from __future__ import annotations

import re
from typing import Collection, Dict, List, Mapping, NamedTuple, Optional, Set, Tuple

from estimator_warmstart.slots import SlotOf, family_of


class Optimizer(NamedTuple):
    """One optimizer with its slots.

    Attributes:
      name: Keras's name of it.
      tf1_family: the name of the slots in TensorFlow 1 without a number: `Adam` of `Adam` and `Adam_1`; empty if it has none.
      slots: (name up to 2.10, name since 2.11, name in Keras 3) in Keras, in the order in which TensorFlow 1 makes them.
    """

    name: str
    tf1_family: str
    slots: Tuple[Tuple[str, str, str], ...]

    def tf1_slot_names(self) -> List[str]:
        """Returns the names of the slots in TensorFlow 1."""
        return [self.tf1_family + end for end in ("", "_1", "_2")[: len(self.slots)]]

    def tf1_ends(self) -> Dict[str, str]:
        """Returns {name of a slot in either generation of Keras: what TensorFlow 1 appends to the family}."""
        return {slot_name: end for end, slot in zip(("", "_1", "_2"), self.slots) for slot_name in slot}


_M, _V, _VHAT = ("m", "m", "momentum"), ("v", "v", "velocity"), ("vhat", "vhat", "velocity_hat")
_RMS, _MOMENTUM = ("rms", "velocity", "velocity"), ("momentum", "momentum", "momentum")
_MEAN = ("mg", "average_gradient", "average_gradient")
_ACCUMULATOR = ("accumulator", "accumulator", "accumulator")
CENTERED_RMSPROP = Optimizer("RMSprop", "RMSProp", (_RMS, _MEAN, _MOMENTUM))
# Adam comes before others whose slots have the same names. Those are recognized by the optimizer's own name.
OPTIMIZERS = (
    Optimizer("Adam", "Adam", (_M, _V)),
    Optimizer("Adam", "", (_M, _V, _VHAT)),
    Optimizer("Adagrad", "Adagrad", (_ACCUMULATOR,)),
    Optimizer("Ftrl", "Ftrl", (_ACCUMULATOR, ("linear", "linear", "linear"))),
    Optimizer("SGD", "Momentum", (("momentum", "m", "momentum"),)),
    Optimizer("RMSprop", "RMSProp", (_RMS, _MOMENTUM)),
    CENTERED_RMSPROP,
    Optimizer("RMSprop", "", (_RMS,)),
    Optimizer("RMSprop", "", (_RMS, _MEAN)),
    Optimizer(
        "Adadelta",
        "Adadelta",
        (
            ("accum_grad", "accumulated_grad", "accumulated_grad"),
            ("accum_var", "accumulated_delta_var", "accumulated_delta_var"),
        ),
    ),
    Optimizer("Adamax", "", (_M, ("v", "u", "norm"))),
    Optimizer("Nadam", "", (_M, _V)),
    Optimizer("AdamW", "", (_M, _V)),
    Optimizer("AdamW", "", (_M, _V, _VHAT)),
    Optimizer("Lion", "", (_M,)),
)
_NAMES = {optimizer.name for optimizer in OPTIMIZERS}
_TF1_FAMILIES = {optimizer.tf1_family for optimizer in OPTIMIZERS if optimizer.tf1_family}
_KERAS_SLOT_NAMES = {slot_name for optimizer in OPTIMIZERS for slot in optimizer.slots for slot_name in slot}
_LAST_NUMBER = re.compile(r"_\d+$")
# AdamW's moments are the same as Adam's. It only updates the variable in another way.
_SAME_SLOTS = {"AdamW": "Adam"}
_CORRECT_BIAS = ("Adam", "Adamax", "Nadam")


class Meaning(NamedTuple):
    """What a slot means, whatever its name.

    Attributes:
      optimizer: Keras's name of the optimizer.
      slot: Keras's name of the slot up to 2.10.
      is_tf1: whether TensorFlow 1's optimizer made it.
    """

    optimizer: str
    slot: str
    is_tf1: bool

    @property
    def what(self) -> Tuple[str, str]:
        """The meaning without the generation that made it."""
        return self.optimizer, self.slot

    @property
    def title(self) -> str:
        """The name of the optimizer in its own generation."""
        return "Momentum" if self.is_tf1 and self.optimizer == "SGD" else self.optimizer


def corrects_bias(optimizer: str) -> bool:
    """Returns whether the optimizer of that name of Keras's divides its moments by a power of the steps."""
    return _SAME_SLOTS.get(optimizer, optimizer) in _CORRECT_BIAS


def class_of(optimizer: object, known: Optional[Collection[str]] = None) -> Optional[str]:
    """Returns what Keras calls optimizers of this class, or of the class that a user has derived it from.

    Args:
      optimizer: a Keras optimizer.
      known: the names to look for; `None`: all that are known here.

    Returns:
      `None` if it is of none of them.
    """
    names = _NAMES if known is None else known
    return next((base.__name__ for base in type(optimizer).__mro__ if base.__name__ in names), None)


def uses_slots(optimizer: str, config: Mapping[str, object]) -> bool:
    """Returns whether an optimizer with this name of Keras's and this config ever reads its slots.

    SGD without momentum does not, and has slots since 2.11 all the same.
    """
    return optimizer != "SGD" or bool(config.get("momentum", True))


def meanings_of(slots_by_name: Mapping[str, SlotOf]) -> Dict[str, Meaning]:
    """Returns the meaning of each slot, as far as its name and those of the variable's other slots tell.

    Args:
      slots_by_name: the slots of a graph or of a checkpoint.

    Example:
      >>> slots = meanings_of({"w/Adam_1": SlotOf("", "w", "Adam_1"), "w/Adam": SlotOf("", "w", "Adam")})
      >>> slots["w/Adam_1"]
      Meaning(optimizer='Adam', slot='v', is_tf1=True)
    """
    groups: Dict[Tuple[str, str, str], List[str]] = {}
    for name, slot_of in slots_by_name.items():
        family = family_of(slot_of.slot_name)
        groups.setdefault((slot_of.primary, slot_of.prefix, family if family in _TF1_FAMILIES else ""), []).append(name)
    return {
        name: meaning
        for (_, prefix, family), names in groups.items()
        for name, meaning in _meanings({slots_by_name[name].slot_name: name for name in names}, prefix, family).items()
    }


def _meanings(names: Mapping[str, str], prefix: str, family: str) -> Dict[str, Meaning]:
    """Returns the meanings of one variable's slots `{slot name: name}`, all of one optimizer."""
    slot_names = set(names) if family else set(names) & _KERAS_SLOT_NAMES
    if family:
        optimizer = next(
            (each for each in OPTIMIZERS if each.tf1_family == family and set(each.tf1_slot_names()) == slot_names), None
        )
        slots = [] if optimizer is None else list(zip(optimizer.tf1_slot_names(), optimizer.slots))
    else:
        optimizer = _of_keras(slot_names, prefix)
        slots = [] if optimizer is None else [(slot_name, slot) for slot in optimizer.slots for slot_name in slot]
    return {
        names[slot_name]: Meaning(_SAME_SLOTS.get(optimizer.name, optimizer.name), slot[0], bool(family))
        for slot_name, slot in slots
        if optimizer is not None and slot_name in names
    }


def _of_keras(slot_names: Set[str], prefix: str) -> Optional[Optimizer]:
    # Keras 3 calls itself rm_sprop, adam_w.
    own_name = _LAST_NUMBER.sub("", prefix.rstrip("/").rsplit("/", 1)[-1]).lower().replace("_", "")
    named = [optimizer for optimizer in OPTIMIZERS if optimizer.name.lower() == own_name]
    # Adam's slots in Keras 3 have the names of RMSprop's elsewhere: there only the optimizer's own name tells.
    for optimizers, generations in ((named, (0, 1, 2)), (OPTIMIZERS, (0, 1))):
        for optimizer in optimizers:
            if any({slot[generation] for slot in optimizer.slots} == slot_names for generation in generations):
                return optimizer
    return None
