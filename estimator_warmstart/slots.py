"""Finds an optimizer's slots and their primary variables by names and shapes.

Neither a graph nor a checkpoint records which variable a slot belongs to, but TensorFlow names a slot after its primary:
`fm/w/Adagrad`, below a variable scope `training/fm/w/Adam`, from a Keras optimizer `training/Adam/fm/w/m`
(tensorflow/python/training/slot_creator.py).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Collection, Dict, List, Mapping, NamedTuple, Optional

from estimator_warmstart.tensors import Shape

# TensorFlow's graphs have no longer names. The time to compare two names grows with the square of their length.
LONGEST_NAME = 10_000
# A name of more parts is not a slot's. The time to try each of its ends grows with the square of their number.
MOST_PARTS = 200

# Adam's bias correction: one scalar of each for the whole optimizer, with a number to make the name unique. AdaMax has only
# the first.
_POWER = re.compile(r"(?:^|/)beta[12]_power(?:_\d+)?$")
# For the same correction, a Keras optimizer counts its own steps: `iter`, since 2.11 `iteration`.
_KERAS_STEPS = re.compile(r"(?:^|/)iter(?:ation)?(?:_\d+)?$")
# Keras's Nadam also has the product of its momenta.
MOMENTUM_CACHE = "momentum_cache"
# The moments of Keras's Adam, Adamax and Nadam. Its other optimizers do not correct a bias, so their count does not matter.
KERAS_MOMENTS = ("m", "v", "vhat")
# The scalars that Keras optimizers keep next to their slots (optimizer_v2.py and the optimizers' `_set_hyper`).
KERAS_SETTINGS = (
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
# Since 2.11, a slot is called OPTIMIZER/SLOT/VARIABLE, and there is a count in the root scope.
_ROOT_COUNT = re.compile(r"iteration(?:_\d+)?$")
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
    """The pieces of a slot's name.

    The name is `prefix + primary + "/" + slot_name`, or `prefix + slot_name + "/" + primary` of a Keras optimizer since 2.11,
    or `prefix + primary.replace("/", "_") + "_" + slot_name` of Keras 3.
    """

    prefix: str
    primary: str
    slot_name: str


def is_power(name: str, shape: Shape) -> bool:
    """Whether this is Adam's `beta1_power` or `beta2_power`."""
    return shape == () and _POWER.search(name) is not None


def bias_correction(name: str, shape: Shape) -> str:
    """Returns the role in Adam's bias correction: `beta1_power`, `beta2_power`, `iter`, `momentum_cache` or empty."""
    if shape == () and _KERAS_STEPS.search(name):
        return "iter"
    if shape == () and name.rsplit("/", 1)[-1] == MOMENTUM_CACHE:
        return MOMENTUM_CACHE
    return family_of(name.rsplit("/", 1)[-1]) if is_power(name, shape) else ""


def hyperparameters(shapes: Mapping[str, Shape], slots_by_name: Mapping[str, SlotOf]) -> Collection[str]:
    """Returns the names of the settings, such as learning rates, that a checkpoint holds of the optimizers of these slots."""
    prefixes = {slot_of.prefix for slot_of in slots_by_name.values() if slot_of.prefix}
    names = (prefix + slot_name for prefix in prefixes for slot_name in KERAS_SETTINGS)
    return {name for name in names if shapes.get(name) == ()}


def find_slots(shapes: Mapping[str, Shape], may_be_slot: Optional[Collection[str]] = None) -> Dict[str, SlotOf]:
    """Finds the slots among `shapes` and the primary variable of each.

    A slot has the shape of its primary, and its name contains the primary's name. If two primaries are possible (`a` and
    `scope/a` for `scope/a/Adagrad`), the longer name wins, unless that variable already has another slot of this kind.

    Args:
      shapes: {name: shape} of all variables of a graph or a checkpoint.
      may_be_slot: the names that can be slots: in a graph, those that are not trainable. `None`: all.

    Returns:
      {slot's name: SlotOf}. A slot of a slot, such as a moving average of an accumulator, belongs to the first primary.

    Example:
      >>> slots = find_slots({"fm/w": (5, 1), "fm/w/Adagrad": (5, 1), "fm/b": ()})
      >>> slots["fm/w/Adagrad"]
      SlotOf(prefix='', primary='fm/w', slot_name='Adagrad')
    """
    any_scope = may_be_slot is not None or any(_ROOT_COUNT.match(name) for name, shape in shapes.items() if shape == ())
    candidates = {
        name: _possible_primaries(name, shapes) or _of_keras_since_2_11(name, shapes, any_scope)
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
    return {name: _of_first_primary(slot_of, direct) for name, slot_of in direct.items()}


def family_of(slot_name: str) -> str:
    """Returns the name that the slots of one optimizer share: `Adam` of `Adam` and `Adam_1`."""
    return _NUMBERS_AT_END.sub("", slot_name)


def _possible_primaries(name: str, shapes: Mapping[str, Shape]) -> List[SlotOf]:
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
    """Finds the primary of a slot whose name TensorFlow has cut: `fm/w/t_0/Adagrad` of the only part `fm/w/part_0`.

    Below a variable scope, the slot is called `dnn/fm/w/part_0/Adagrad`. Its name in checkpoints is what is left of that after
    as many characters as `fm/w/part_0/` has (slot_creator.py). The variables of canned Estimators usually have one part.
    """
    owner, _, slot_name = name.rpartition("/")
    end = owner.rfind("/")
    while end > 0:
        primary, left = owner[:end], owner[end + 1 :]
        part = f"{primary}/part_0"
        # If a second part has a slot of its own, neither of the slots is the whole.
        is_whole = shapes.get(primary) == shapes[name] and f"{owner[:-1]}1/{slot_name}" not in shapes
        if is_whole and (part.endswith(left) or left.endswith(part)):
            return [SlotOf("", primary, slot_name)]
        end = owner.rfind("/", 0, end)
    return []


def _of_keras_since_2_11(name: str, shapes: Mapping[str, Shape], any_scope: bool) -> List[SlotOf]:
    """Finds the primary of a slot that is called `Adam/m/fm/w`, or `m/fm/w` if the optimizer was built before its first use.

    Args:
      name: of the slot.
      shapes: of all variables.
      any_scope: whether the scope may have any name, not only an optimizer's. This is safe if the model's own variables are
        known not to be slots, or if an optimizer has left its count.
    """
    scope, separator, primary = name.partition("/")
    while separator:
        prefix, _, slot_name = scope.rpartition("/")
        optimizer = _NUMBERS_AT_END.sub("", prefix.rsplit("/", 1)[-1])
        if shapes.get(primary) == shapes[name] and slot_name in _KERAS_SLOTS and (optimizer in _KERAS_OPTIMIZERS or any_scope):
            return [SlotOf(prefix + "/" if prefix else "", primary, slot_name)]
        more, separator, primary = primary.partition("/")
        scope = f"{scope}/{more}"
    return []


def _of_keras_3(shapes: Mapping[str, Shape]) -> Dict[str, SlotOf]:
    """Finds the slots of Keras 3's optimizers, each of which has a count next to its slots."""
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


def _of_first_primary(slot_of: SlotOf, direct: Mapping[str, SlotOf]) -> SlotOf:
    while slot_of.primary in direct:
        outer = direct[slot_of.primary]
        slot_of = SlotOf(slot_of.prefix + outer.prefix, outer.primary, f"{outer.slot_name}/{slot_of.slot_name}")
    return slot_of


class SlotFinder:
    """Finds slots by the name of their primary, whatever scope the optimizer was built in."""

    def __init__(self, slots_by_name: Mapping[str, SlotOf]):
        self._by_primary: Dict[str, Dict[str, List[str]]] = {}
        for name, slot_of in slots_by_name.items():
            self._by_primary.setdefault(slot_of.primary, {}).setdefault(slot_of.slot_name, []).append(name)

    def family(self, primary: str, slot_name: str) -> List[str]:
        """Returns the names of the slots of `primary` that are of the same family as `slot_name`."""
        return sorted(found for found in self._by_primary.get(primary, {}) if family_of(found) == family_of(slot_name))

    def find(self, primary: str, slot_name: str, prefix: str) -> Optional[str]:
        """Returns the slot `slot_name` of `primary`, or `None`. If there are several, the one below `prefix` comes first."""
        names = self._by_primary.get(primary, {}).get(slot_name, [])
        same_scope = f"{prefix}{primary}/{slot_name}"
        if same_scope in names or not names:
            return same_scope if names else None
        return min(names, key=len)
