"""Describes the variables of a graph as a user names them: logical variables.

The parts of a partitioned variable and the copies of a mirrored one are one logical variable. Slots know their primary
variable. Nothing is changed in the graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set, Tuple, Union

from estimator_warmstart._tf import copies_of, is_variable, slice_of, tf1
from estimator_warmstart.graph.bias_correction import powers_by_slot
from estimator_warmstart.graph.keras_scalars import keras_scalars
from estimator_warmstart.slots import SlotOf, find_slots, is_power
from estimator_warmstart.tensors import Shape, count_bytes, count_elements

if TYPE_CHECKING:
    import tensorflow as tf


class Part(NamedTuple):
    """One stored part of a logical variable. A plain variable has one part.

    Attributes:
      name: the physical variable's name, such as `fm/v/part_0`.
      offset: where the part begins in the whole, for each axis.
      shape: of the part.
      variable: the object in the graph's collection.
      copies: the physical variables: one, or one for each replica of a mirrored variable.
    """

    name: str
    offset: Shape
    shape: Shape
    variable: tf.Variable
    copies: Tuple[tf.Variable, ...]


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
      name: its name in a checkpoint of this graph.
      shape: of the whole; empty if the graph does not know it.
      dtype: TensorFlow's name of the dtype, such as `"float32"`.
      parts: in the order of their offsets.
      has_static_shape: whether the graph knows the shape.
      is_whole: whether the parts make up the whole shape. They do not for slots of partitioned variables that are made below
        a variable scope: TensorFlow gives each part a wrong name of its own (slot_creator.py).
      slot_of: the primary variable of an optimizer's slot; else `None`.
      powers: for a slot of Adam, the names of the `beta*_power` scalars that go with it; for a slot of a Keras optimizer, the
        name of its count of steps.
      is_power: whether this is such a scalar.
      is_step: whether this is the global step.
      is_hyperparameter: whether this is a Keras optimizer's learning rate or the like.
      is_local: whether this is not a global variable: each session initializes its own.
      settings: those of the optimizer whose slot or count this is, where it is eager; else `None`.
    """

    name: str
    shape: Shape
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
        """The bytes of one copy of the values; 0 if the shape is not known."""
        return sum(count_bytes(part.shape, self.dtype) for part in self.parts) if self.has_static_shape else 0

    @property
    def is_optimizer_state(self) -> bool:
        """Whether this belongs to the optimizer: a slot, a power or a hyperparameter."""
        return self.slot_of is not None or self.is_power or self.is_hyperparameter

    @property
    def is_parameter(self) -> bool:
        """Whether this belongs to the model itself, not to the optimizer, and is not the global step."""
        return not self.is_optimizer_state and not self.is_step

    @property
    def target(self) -> Union[tf.Variable, List[tf.Variable]]:
        """What a user holds: the variable, or the list of parts of a partitioned one."""
        variables = [part.variable for part in self.parts]
        return variables if slice_of(self.parts[0].copies[0]) else variables[0]


def variables_to_choose(graph: tf.Graph, collection: Optional[str] = None) -> Dict[str, NewVariable]:
    """Returns all variables that may be recovered: global ones, then local ones and those of `collection` that are neither."""
    new = logical_variables(graph)
    for name in (tf1.GraphKeys.LOCAL_VARIABLES, collection):
        # Optimizers make no local variables: one with the name of a slot is not a slot.
        new.update(
            (other.name, other._replace(slot_of=None, powers=(), is_power=False, is_hyperparameter=False, is_local=True))
            for other in (logical_variables(graph, name).values() if name else ())
            if other.name not in new
        )
    return new


class _Found(NamedTuple):
    """The variables of a collection, grouped by their logical names.

    Attributes:
      parts: {name: the parts in the order of their offsets}.
      shapes: {name: shape of the whole}, where the graph knows it.
      whole: the names of those whose parts make up the whole shape.
    """

    parts: Dict[str, Tuple[Part, ...]]
    shapes: Dict[str, Shape]
    whole: Set[str]


def logical_variables(
    graph: Optional[tf.Graph] = None, collection: str = tf1.GraphKeys.GLOBAL_VARIABLES
) -> Dict[str, NewVariable]:
    """Returns the logical variables in one of `graph`'s collections, by name, in the order of their creation.

    Args:
      graph: a `tf.Graph`; `None`: the current default graph.
      collection: its name; what is not a variable in it is left out.
    """
    graph = graph or tf1.get_default_graph()
    found = _collected(graph, collection)
    known = found.shapes
    trainable = {logical_name(variable) for variable in graph.get_collection(tf1.GraphKeys.TRAINABLE_VARIABLES)}
    slots_by_name = find_slots(
        {name: shape for name, shape in known.items() if name in found.whole},
        [name for name in known if name in found.whole and name not in trainable],
    )
    slots_by_name.update(_slots_of_parts([name for name in known if name not in trainable], found))
    steps = {logical_name(step) for step in graph.get_collection(tf1.GraphKeys.GLOBAL_STEP)} | {tf1.GraphKeys.GLOBAL_STEP}
    powers = powers_by_slot({name: found.parts[name][0].copies[0] for name in known}, known, slots_by_name)
    scalars = [name for name, shape in known.items() if shape == () and name not in trainable | steps]
    settings = keras_scalars({name: found.parts[name][0].variable for name in scalars}, slots_by_name)
    all_powers = {power for found_powers in powers.values() for power in found_powers}
    return {
        name: NewVariable(
            name,
            known.get(name, ()),
            parts[0].copies[0].dtype.base_dtype.name,
            parts,
            has_static_shape=name in known,
            is_whole=name in found.whole or name not in known,
            slot_of=slots_by_name.get(name),
            powers=powers.get(name, ()),
            is_power=name in all_powers or (name in known and is_power(name, known[name])),
            is_step=name in steps,
            is_hyperparameter=name in settings,
        )
        for name, parts in found.parts.items()
    }


def _collected(graph: tf.Graph, collection: str) -> _Found:
    parts_of: Dict[str, List[Part]] = {}
    infos: Dict[str, Optional[tf.Variable.SaveSliceInfo]] = {}
    # A collection may hold a variable twice.
    variables = {id(item): item for item in graph.get_collection(collection) if is_variable(item)}
    for variable in variables.values():
        name, info, part = _describe_part(variable)
        parts_of.setdefault(name, []).append(part)
        infos.setdefault(name, info)
    shapes = {name: _whole_shape(infos[name], parts[0]) for name, parts in parts_of.items()}
    known = {name: shape for name, shape in shapes.items() if shape is not None}
    whole = {
        name
        for name, shape in known.items()
        if count_elements(shape) == sum(count_elements(part.shape) for part in parts_of[name])
    }
    in_order = {name: tuple(sorted(parts, key=lambda part: part.offset)) for name, parts in parts_of.items()}
    return _Found(in_order, known, whole)


def _slots_of_parts(may_be_slots: Iterable[str], found: _Found) -> Dict[str, SlotOf]:
    """Finds the primaries of slots whose parts do not make up a whole, by the names of the parts, which are right."""
    broken = {part.name: name for name in may_be_slots if name not in found.whole for part in found.parts[name]}
    if not broken:
        return {}
    owners = {part.name: name for name in found.shapes for part in found.parts[name]}
    slots_by_name = find_slots({part.name: part.shape for name in found.shapes for part in found.parts[name]}, list(broken))
    return {broken[part]: slot_of._replace(primary=owners[slot_of.primary]) for part, slot_of in slots_by_name.items()}


def logical_name(variable: tf.Variable) -> str:
    """Returns the name of `variable` in a checkpoint of its graph."""
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


def names_in_collection(graph: tf.Graph, collection: str) -> Iterable[str]:
    """Returns the logical names of the variables in one of `graph`'s collections."""
    return dict.fromkeys(logical_name(variable) for variable in graph.get_collection(collection) if is_variable(variable))


def _describe_part(variable: tf.Variable) -> Tuple[str, Optional[tf.Variable.SaveSliceInfo], Part]:
    """Returns the logical name of `variable`, its place in a partitioned variable if it is part of one, and the part."""
    copies = tuple(copies_of(variable))
    info = slice_of(copies[0])
    physical = variable.name.split(":")[0]
    shape = _static_shape(copies[0]) or ()
    offset = tuple(info.var_offset) if info else (0,) * len(shape)
    return (info.full_name if info else physical), info, Part(physical, offset, shape, variable, copies)


def _whole_shape(info: Optional[tf.Variable.SaveSliceInfo], part: Part) -> Optional[Shape]:
    if info:
        return tuple(info.full_shape)
    return part.shape or _static_shape(part.copies[0])


def _static_shape(variable: tf.Variable) -> Optional[Shape]:
    shape = variable.shape
    return tuple(shape.as_list()) if shape.is_fully_defined() else None
