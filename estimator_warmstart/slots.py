"""Which variables are an optimizer's slots, and of which variable. Pure.

Enters: names and shapes, of a graph or of a checkpoint. Leaves: for each slot its primary variable. TensorFlow keeps no
record of this tie in either place, but it always names a slot after its primary: `fm/w/Adagrad`, below a variable scope
`training/fm/w/Adam`, from a Keras optimizer `training/Adam/fm/w/m` (tensorflow/python/training/slot_creator.py).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Collection, Dict, List, Mapping, NamedTuple, Optional

from estimator_warmstart.tensors import Shape

# TensorFlow's own graphs have no names that are as long; to compare names takes the square of it.
LONGEST_NAME = 10_000
# A name of more parts is no slot's: to try each of its ends takes the square of their number.
MOST_PARTS = 200

# Adam's bias correction (AdaMax has the first one only): scalars of the whole optimizer, uniquified by a number.
_POWER = re.compile(r"(?:^|/)beta[12]_power(?:_\d+)?$")
# A Keras optimizer counts its own steps for the same correction: `iter`, since 2.11 `iteration`.
_COUNTER = re.compile(r"(?:^|/)iter(?:ation)?(?:_\d+)?$")
# Keras's Nadam has the product of its momenta too.
MOMENTUM_CACHE = "momentum_cache"
# What Keras's Adam, Adamax and Nadam call theirs. Its other optimizers correct no bias: they have no use for the count.
KERAS_MOMENTS = ("m", "v", "vhat")
# What Keras optimizers keep in variables beside their slots (optimizer_v2.py and the optimizers' `_set_hyper`).
HYPERPARAMETERS = (
    "beta",
    "beta_1",
    "beta_2",
    "decay",
    "iter",
    "l1_regularization_strength",
    "l2_regularization_strength",
    "learning_rate",
    "learning_rate_power",
    "momentum",
    "rho",
)
# Since 2.11 a slot is called OPTIMIZER/SLOT/VARIABLE, and there is a count below no scope.
_COUNT = re.compile(r"iteration(?:_\d+)?$")
_KERAS_OPTIMIZERS = ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lion", "Nadam", "RMSprop", "SGD")
_KERAS_SLOTS = (
    "accumulated_delta_var",
    "accumulated_grad",
    "accumulator",
    "average_gradient",
    "linear",
    "m",
    "momentum",
    "u",
    "v",
    "velocity",
    "vhat",
)
# In Keras 3 it is OPTIMIZER/VARIABLE_SLOT, with _ for each / of the variable's name, next to OPTIMIZER/iteration.
_COUNT_OF_KERAS_3 = re.compile(r"(.+/)iteration$")
_KERAS_3_SLOTS = (
    "accumulated_delta_var",
    "accumulated_grad",
    "accumulator",
    "average",
    "average_gradient",
    "linear",
    "momentum",
    "norm",
    "velocity",
    "velocity_hat",
)
_NUMBERS_AT_END = re.compile(r"(?:_\d+)+$")


class SlotOf(NamedTuple):
    """A slot's name taken apart.

    It is `prefix + primary + "/" + slot_name`, of a Keras optimizer since 2.11 `prefix + slot_name + "/" + primary`, and of
    Keras 3 `prefix + primary.replace("/", "_") + "_" + slot_name`.
    """

    prefix: str
    primary: str
    slot_name: str


def is_power(name: str, shape: Shape) -> bool:
    """Whether this is Adam's `beta1_power` or `beta2_power`."""
    return shape == () and _POWER.search(name) is not None


def bias_correction(name: str, shape: Shape) -> str:
    """What this is for Adam's bias correction: `beta1_power`, `beta2_power`, `iter`, `momentum_cache` or empty."""
    if shape == () and _COUNTER.search(name):
        return "iter"
    if shape == () and name.rsplit("/", 1)[-1] == MOMENTUM_CACHE:
        return MOMENTUM_CACHE
    return family_of(name.rsplit("/", 1)[-1]) if is_power(name, shape) else ""


def hyperparameters(shapes: Mapping[str, Shape], slots_by_name: Mapping[str, SlotOf]) -> Collection[str]:
    """The names of the learning rates and the like that Keras optimizers keep beside these slots, of a checkpoint."""
    prefixes = {slot_of.prefix for slot_of in slots_by_name.values() if slot_of.prefix}
    names = (prefix + slot_name for prefix in prefixes for slot_name in HYPERPARAMETERS)
    return {name for name in names if shapes.get(name) == ()}


def find_slots(shapes: Mapping[str, Shape], may_be_slot: Optional[Collection[str]] = None) -> Dict[str, SlotOf]:
    """Finds the slots among `shapes` and the primary variable of each.

    A slot has the shape of its primary and its primary's name within its own. Where two primaries would do (`a` and
    `scope/a` for `scope/a/Adagrad`) the longer name is meant, unless that one has a slot of this kind without it.

    Args:
      shapes: {name: shape} of all variables of a graph or a checkpoint.
      may_be_slot: the names that can be slots; in a graph those that are not trainable. `None`: all.

    Returns:
      {slot's name: SlotOf}. A slot of a slot (a moving average of an accumulator) is tied to the first primary.

    Example:
      >>> slots = find_slots({"fm/w": (5, 1), "fm/w/Adagrad": (5, 1), "fm/b": ()})
      >>> slots["fm/w/Adagrad"]
      SlotOf(prefix='', primary='fm/w', slot_name='Adagrad')
    """
    whatever_scope = may_be_slot is not None or any(_COUNT.match(name) for name, shape in shapes.items() if shape == ())
    candidates = {
        name: _candidates(name, shapes) or _of_keras_since_2_11(name, shapes, whatever_scope)
        for name in (shapes if may_be_slot is None else may_be_slot)
    }
    for name, slot_of in _of_keras_3(shapes).items():
        if not candidates.get(name, True):
            candidates[name] = [slot_of]
    direct = {name: slots_by_name[0] for name, slots_by_name in candidates.items() if slots_by_name}
    owned = Counter((slot_of.primary, slot_of.slot_name) for slot_of in direct.values())
    for name in sorted(direct, key=len):
        for slot_of in candidates[name][1:]:
            first = direct[name]
            if owned[first.primary, first.slot_name] > 1 and not owned[slot_of.primary, slot_of.slot_name]:
                owned.subtract([(first.primary, first.slot_name)])
                owned.update([(slot_of.primary, slot_of.slot_name)])
                direct[name] = slot_of
    return {name: _to_the_first(slot_of, direct) for name, slot_of in direct.items()}


def family_of(slot_name: str) -> str:
    """The name that the slots of one optimizer share: `Adam` of `Adam` and `Adam_1`."""
    return _NUMBERS_AT_END.sub("", slot_name)


def _candidates(name: str, shapes: Mapping[str, Shape]) -> List[SlotOf]:
    owner, separator, slot_name = name.rpartition("/")
    found: List[SlotOf] = []
    if name.count("/") >= MOST_PARTS:
        return found
    start = 0
    while separator:
        if shapes.get(owner[start:]) == shapes[name]:
            found.append(SlotOf(owner[:start], owner[start:], slot_name))
        start = owner.find("/", start) + 1
        if start == 0:
            break
    return found or _primaries_of_one_part(name, shapes)


def _primaries_of_one_part(name: str, shapes: Mapping[str, Shape]) -> List[SlotOf]:
    """The primary of a slot whose name TensorFlow has cut: `fm/w/t_0/Adagrad` of the one part `fm/w/part_0`.

    Below a variable scope the slot is called `dnn/fm/w/part_0/Adagrad`; its name in checkpoints is what is left of that
    after as many characters as `fm/w/part_0/` has (slot_creator.py). Canned Estimators' variables have one part as a rule.
    """
    owner, _, slot_name = name.rpartition("/")
    end = owner.rfind("/")
    while end > 0:
        primary, left = owner[:end], owner[end + 1 :]
        part = f"{primary}/part_0"
        # A second part has a slot of its own name: then neither is the whole.
        is_whole = shapes.get(primary) == shapes[name] and f"{owner[:-1]}1/{slot_name}" not in shapes
        if is_whole and (part.endswith(left) or left.endswith(part)):
            return [SlotOf("", primary, slot_name)]
        end = owner.rfind("/", 0, end)
    return []


def _of_keras_since_2_11(name: str, shapes: Mapping[str, Shape], whatever_scope: bool) -> List[SlotOf]:
    """The primary of a slot that is called `Adam/m/fm/w`, or `m/fm/w` if the optimizer was built before its first use.

    Args:
      name: of the slot.
      shapes: of all variables.
      whatever_scope: whether the scope need not be an optimizer's: where the model's own variables are known to be none, or
        an optimizer has left its count.
    """
    scope, separator, primary = name.partition("/")
    while separator:
        prefix, _, slot_name = scope.rpartition("/")
        optimizer = _NUMBERS_AT_END.sub("", prefix.rsplit("/", 1)[-1])
        if (
            shapes.get(primary) == shapes[name]
            and slot_name in _KERAS_SLOTS
            and (optimizer in _KERAS_OPTIMIZERS or whatever_scope)
        ):
            return [SlotOf(prefix + "/" if prefix else "", primary, slot_name)]
        more, separator, primary = primary.partition("/")
        scope = f"{scope}/{more}"
    return []


def _of_keras_3(shapes: Mapping[str, Shape]) -> Dict[str, SlotOf]:
    """The slots of Keras 3's optimizers, each of which leaves a count next to its slots."""
    counts = [_COUNT_OF_KERAS_3.match(name) for name, shape in shapes.items() if shape == ()]
    prefixes = [count.group(1) for count in counts if count]
    found: Dict[str, SlotOf] = {}
    for prefix in prefixes:
        for primary, shape in shapes.items():
            for slot_name in _KERAS_3_SLOTS if not primary.startswith(prefix) else ():
                name = f"{prefix}{primary.replace('/', '_')}_{slot_name}"
                if shapes.get(name) == shape:
                    found[name] = SlotOf(prefix, primary, slot_name)
    return found


def _to_the_first(slot_of: SlotOf, direct: Mapping[str, SlotOf]) -> SlotOf:
    while slot_of.primary in direct:
        outer = direct[slot_of.primary]
        slot_of = SlotOf(slot_of.prefix + outer.prefix, outer.primary, f"{outer.slot_name}/{slot_of.slot_name}")
    return slot_of


class SlotFinder:
    """Finds old slots by their primary's old name, whatever scope the old optimizer was built in."""

    def __init__(self, slots_by_name: Mapping[str, SlotOf]):
        self._by_primary: Dict[str, Dict[str, List[str]]] = {}
        for name, slot_of in slots_by_name.items():
            self._by_primary.setdefault(slot_of.primary, {}).setdefault(slot_of.slot_name, []).append(name)

    def family(self, primary: str, slot_name: str) -> List[str]:
        """The leaves of all slots of the old variable `primary` that are of the same family as `slot_name`."""
        return sorted(found for found in self._by_primary.get(primary, {}) if family_of(found) == family_of(slot_name))

    def find(self, primary: str, slot_name: str, prefix: str) -> Optional[str]:
        """The old slot `slot_name` of the old variable `primary`, or None; the one below `prefix` first if there are more."""
        names = self._by_primary.get(primary, {}).get(slot_name, [])
        same_scope = f"{prefix}{primary}/{slot_name}"
        if same_scope in names or not names:
            return same_scope if names else None
        return min(names, key=len)
