"""The new side: what a graph has, as logical variables.

Enters: a `tf.Graph`. Leaves: one `NewVariable` for each variable that the user would name: the parts of a partitioned
one and the copies of a mirrored one grouped, slots tied to their primary variable. This module must not know of any
checkpoint, and changes nothing in the graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set, Tuple

from estimator_warmstart._tf import copies_of, is_variable, slice_of, tf1
from estimator_warmstart.graph.bias_correction import powers_by_slot
from estimator_warmstart.graph.keras_scalars import keras_scalars
from estimator_warmstart.slots import SlotOf, find_slots, is_power
from estimator_warmstart.tensors import count_bytes

if TYPE_CHECKING:
    import tensorflow as tf


class Part(NamedTuple):
    """One stored piece of a logical variable: the whole of a plain one.

    Attributes:
      name: the physical variable's name, such as `fm/v/part_0`.
      offset: where the part begins in the whole, one number for each axis.
      shape: of the part.
      variable: what the collection of global variables holds.
      copies: the physical variables: one, or one for each replica of a mirrored variable.
    """

    name: str
    offset: Tuple[int, ...]
    shape: Tuple[int, ...]
    variable: Any
    copies: Tuple[Any, ...]


class OptimizerSettings(NamedTuple):
    """What an optimizer that is there as an object says of itself; in a graph its operations must tell.

    Attributes:
      betas: {"beta1_power": beta_1, "beta2_power": beta_2} of one that corrects a bias.
      learning_rate: a number, or `None` where it changes with the steps.
      momentum_decay: of Nadam, whose momentum at step `t` is `beta_1 * (1 - 0.5 * 0.96 ** (momentum_decay * t))`.
    """

    betas: Mapping[str, float]
    learning_rate: Optional[float]
    momentum_decay: float = 1.0


class NewVariable(NamedTuple):
    """One logical variable of the new graph.

    Attributes:
      name: as a checkpoint of this graph would call it.
      shape: of the whole; empty where the graph does not know it.
      dtype: TensorFlow's name of it, such as `"float32"`.
      parts: in the order of their offsets.
      has_static_shape: whether the graph knows the shape.
      is_whole: whether the parts make up the whole shape. They do not for slots of partitioned variables made below a
        variable scope: TensorFlow cuts their names wrongly, one name for each part (slot_creator.py).
      slot_of: for an optimizer's slot, its primary variable; else `None`.
      powers: for a slot that Adam made, the names of the `beta*_power` scalars that go with it; for one that a Keras optimizer
        made, of its count of steps.
      is_power: whether this is such a scalar.
      is_step: whether this is the global step.
      is_hyperparameter: whether this is a Keras optimizer's learning rate or the like.
      is_local: whether this is no global variable: each session initializes its own.
      settings: those of the optimizer whose slot or count this is, where it is eager; else `None`.
    """

    name: str
    shape: Tuple[int, ...]
    dtype: str
    parts: Tuple[Part, ...]
    has_static_shape: bool = True
    is_whole: bool = True
    slot_of: Optional[SlotOf] = None
    powers: Tuple[str, ...] = ()
    is_power: bool = False
    is_step: bool = False
    is_hyperparameter: bool = False
    is_local: bool = False
    settings: Optional[OptimizerSettings] = None

    @property
    def nbytes(self) -> int:
        """Bytes of one copy of the values; 0 where the shape is not known."""
        return sum(count_bytes(part.shape, self.dtype) for part in self.parts) if self.has_static_shape else 0

    @property
    def is_optimizer_state(self) -> bool:
        """Whether this is a slot, a power or a hyperparameter: part of the optimizer, not of the model."""
        return self.slot_of is not None or self.is_power or self.is_hyperparameter

    @property
    def is_parameter(self) -> bool:
        """Whether this is part of the model itself: neither the optimizer's nor the global step."""
        return not self.is_optimizer_state and not self.is_step

    @property
    def target(self) -> Any:
        """The variable as a user holds it: the variable itself, or the list of a partitioned one's parts."""
        variables = [part.variable for part in self.parts]
        return variables if slice_of(self.parts[0].copies[0]) else variables[0]


def variables_to_choose(graph: Any, collection: Optional[str] = None) -> Dict[str, NewVariable]:
    """All that may be recovered: the global variables, then the local ones and those of `collection` that are not global."""
    new = logical_variables(graph)
    for name in (tf1.GraphKeys.LOCAL_VARIABLES, collection):
        # Optimizers make no local variables: one that is called as a slot would be is none.
        new.update(
            (other.name, other._replace(slot_of=None, powers=(), is_power=False, is_hyperparameter=False, is_local=True))
            for other in (logical_variables(graph, name).values() if name else ())
            if other.name not in new
        )
    return new


def logical_variables(graph: Any = None, collection: str = tf1.GraphKeys.GLOBAL_VARIABLES) -> Dict[str, NewVariable]:
    """The logical variables in one of `graph`'s collections, by name, in the order of their creation.

    Args:
      graph: a `tf.Graph`; `None`: the current default graph.
      collection: its name; what else is in it is left out.
    """
    graph = graph or tf1.get_default_graph()
    collected = [item for item in graph.get_collection(collection) if is_variable(item)]
    found: Dict[str, List[Tuple[Any, Part]]] = {}
    seen = set()
    for variable in collected:
        if id(variable) not in seen:
            seen.add(id(variable))
            name, info, part = _part(variable)
            found.setdefault(name, []).append((info, part))
    shapes = {name: _whole_shape(parts) for name, parts in found.items()}
    trainable = {logical_name(variable) for variable in graph.get_collection(tf1.GraphKeys.TRAINABLE_VARIABLES)}
    known = {name: shape for name, shape in shapes.items() if shape is not None}
    whole = {name for name, shape in known.items() if _covers(found[name], shape)}
    may_be_slots = whole - trainable
    slots_by_name = find_slots({name: known[name] for name in known if name in whole}, [n for n in known if n in may_be_slots])
    slots_by_name.update(_slots_of_parts({name: found[name] for name in known if name not in trainable}, found, known, whole))
    steps = {logical_name(step) for step in graph.get_collection(tf1.GraphKeys.GLOBAL_STEP)} | {tf1.GraphKeys.GLOBAL_STEP}
    parts_of = {name: tuple(sorted((part for _, part in parts), key=lambda part: part.offset)) for name, parts in found.items()}
    powers = powers_by_slot({name: parts_of[name][0].copies[0] for name in known}, known, slots_by_name)
    hypers = keras_scalars(
        {name: parts_of[name][0].variable for name, shape in known.items() if shape == () and name not in trainable | steps},
        slots_by_name,
    )
    all_powers = {power for found_powers in powers.values() for power in found_powers}
    return {
        name: NewVariable(
            name,
            known.get(name, ()),
            parts[0].copies[0].dtype.base_dtype.name,
            parts,
            name in known,
            name in whole or name not in known,
            slots_by_name.get(name),
            powers.get(name, ()),
            name in all_powers or (name in known and is_power(name, known[name])),
            name in steps,
            name in hypers,
        )
        for name, parts in parts_of.items()
    }


def _covers(parts: List[Tuple[Any, Part]], shape: Tuple[int, ...]) -> bool:
    return _size(shape) == sum(_size(part.shape) for _, part in parts)


def _size(shape: Tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _slots_of_parts(
    may_be_slots: Dict[str, Any], found: Dict[str, List[Tuple[Any, Part]]], known: Dict[str, Tuple[int, ...]], whole: Set[str]
) -> Dict[str, SlotOf]:
    """The ties of slots whose parts do not make up a whole: by the names of the parts, which are right."""
    broken = {part.name: name for name in may_be_slots if name not in whole for _, part in found[name]}
    if not broken:
        return {}
    owners = {part.name: name for name in known for _, part in found[name]}
    slots_by_name = find_slots({part.name: part.shape for name in known for _, part in found[name]}, list(broken))
    return {broken[part]: slot_of._replace(primary=owners[slot_of.primary]) for part, slot_of in slots_by_name.items()}


def logical_name(variable: Any) -> str:
    """The name under which a checkpoint of the graph would hold `variable`."""
    info = slice_of(copies_of(variable)[0])
    return info.full_name if info else variable.name.split(":")[0]


def global_step(graph: tf.Graph) -> Optional[tf.Variable]:
    """Returns the variable that is the global step of `graph`, or `None` if it has none.

    `tf.compat.v1.train.get_global_step` raises for a resource variable that is not in the collection GLOBAL_STEP, and returns
    a tensor that has no initializer for a reference variable.
    """
    collected = graph.get_collection(tf1.GraphKeys.GLOBAL_STEP)
    if len(collected) > 1:
        return None
    name = collected[0].name if collected else f"{tf1.GraphKeys.GLOBAL_STEP}:0"
    variables = [*collected, *graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES)]
    step = next((each for each in variables if is_variable(each) and each.name == name), None)
    is_counter = step is not None and step.dtype.base_dtype.is_integer and step.shape.rank in (0, None)
    return step if is_counter else None


def names_in_collection(graph: Any, collection: str) -> Iterable[str]:
    """The logical names of the variables in one of `graph`'s collections."""
    return dict.fromkeys(logical_name(variable) for variable in graph.get_collection(collection) if is_variable(variable))


def _part(variable: Any) -> Tuple[str, Any, Part]:
    copies = tuple(copies_of(variable))
    info = slice_of(copies[0])
    physical = variable.name.split(":")[0]
    shape = _static_shape(copies[0]) or ()
    offset = tuple(info.var_offset) if info else (0,) * len(shape)
    return (info.full_name if info else physical), info, Part(physical, offset, shape, variable, copies)


def _whole_shape(parts: List[Tuple[Any, Part]]) -> Optional[Tuple[int, ...]]:
    info, part = parts[0]
    if info:
        return tuple(info.full_shape)
    return part.shape or _static_shape(part.copies[0])


def _static_shape(variable: Any) -> Optional[Tuple[int, ...]]:
    shape = variable.shape
    return tuple(shape.as_list()) if shape.is_fully_defined() else None
