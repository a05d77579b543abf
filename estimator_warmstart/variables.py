"""The new side: what a graph has, as logical variables.

Enters: a `tf.Graph`. Leaves: one `NewVariable` for each variable that the user would name: the parts of a partitioned
one and the copies of a mirrored one grouped, slots tied to their primary variable. This module must not know of any
checkpoint, and changes nothing in the graph.
"""
from __future__ import annotations

from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import copies_of, slice_of, tf1
from estimator_warmstart.checkpoints import count_bytes
from estimator_warmstart.slots import SlotOf, is_power, tie_slots


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


class NewVariable(NamedTuple):
    """One logical variable of the new graph.

    Attributes:
      name: as a checkpoint of this graph would call it.
      shape: of the whole; empty where the graph does not know it.
      dtype: TensorFlow's name of it, such as `"float32"`.
      parts: in the order of their offsets.
      has_static_shape: whether the graph knows the shape.
      tie: for an optimizer's slot, its primary variable; else `None`.
      powers: for a slot that Adam made, the names of the `beta*_power` scalars that go with it.
      is_power: whether this is such a scalar.
      is_step: whether this is the global step.
    """

    name: str
    shape: Tuple[int, ...]
    dtype: str
    parts: Tuple[Part, ...]
    has_static_shape: bool = True
    tie: Optional[SlotOf] = None
    powers: Tuple[str, ...] = ()
    is_power: bool = False
    is_step: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of one copy of the values; 0 where the shape is not known."""
        return count_bytes(self.shape, self.dtype) if self.has_static_shape else 0

    @property
    def is_optimizer_state(self) -> bool:
        """Whether this is a slot or a power: part of the optimizer, not of the model."""
        return self.tie is not None or self.is_power

    @property
    def is_parameter(self) -> bool:
        """Whether this is part of the model itself: neither the optimizer's nor the global step."""
        return not self.is_optimizer_state and not self.is_step

    @property
    def target(self) -> Any:
        """The variable as a user holds it: the variable itself, or the list of a partitioned one's parts."""
        variables = [part.variable for part in self.parts]
        return variables if slice_of(self.parts[0].copies[0]) else variables[0]


def logical_variables(graph: Any = None) -> Dict[str, NewVariable]:
    """The logical variables of `graph`'s global variables, by name, in the order of their creation.

    Args:
      graph: a `tf.Graph`; `None`: the current default graph.
    """
    graph = graph or tf1.get_default_graph()
    collected = graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES)
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
    ties = tie_slots(known, [name for name in known if name not in trainable])
    steps = {logical_name(step) for step in graph.get_collection(tf1.GraphKeys.GLOBAL_STEP)} | {tf1.GraphKeys.GLOBAL_STEP}
    powers = _powers_by_slot(known, ties)
    return {
        name: NewVariable(
            name, known.get(name, ()), parts[0][1].copies[0].dtype.base_dtype.name,
            tuple(sorted((part for _, part in parts), key=lambda part: part.offset)), name in known,
            ties.get(name), powers.get(name, ()), name in known and is_power(name, known[name]), name in steps,
        )
        for name, parts in found.items()
    }


def logical_name(variable: Any) -> str:
    """The name under which a checkpoint of the graph would hold `variable`."""
    info = slice_of(copies_of(variable)[0])
    return info.full_name if info else variable.name.split(":")[0]


def names_in_collection(graph: Any, collection: str) -> Iterable[str]:
    """The logical names of the variables in one of `graph`'s collections."""
    return dict.fromkeys(logical_name(variable) for variable in graph.get_collection(collection))


def _part(variable: Any) -> Tuple[str, Any, Part]:
    copies = tuple(copies_of(variable))
    info = slice_of(copies[0])
    physical = variable.name.split(":")[0]
    static = copies[0].shape
    shape = tuple(static.as_list()) if static.is_fully_defined() else ()
    offset = tuple(info.var_offset) if info else (0,) * len(shape)
    return (info.full_name if info else physical), info, Part(physical, offset, shape, variable, copies)


def _whole_shape(parts: List[Tuple[Any, Part]]) -> Optional[Tuple[int, ...]]:
    info, part = parts[0]
    if info:
        return tuple(info.full_shape)
    return part.shape if part.copies[0].shape.is_fully_defined() else None


def _powers_by_slot(shapes: Dict[str, Tuple[int, ...]], ties: Dict[str, SlotOf]) -> Dict[str, Tuple[str, ...]]:
    """Which powers go with which moments.

    An Adam makes its powers first and then its moments (adam.py, `_create_slots`), so the moments are those slots that
    follow the powers up to the next optimizer's; that other optimizers' slots may follow too shows in their leaf.
    """
    found: Dict[str, Tuple[str, ...]] = {}
    powers: Tuple[str, ...] = ()
    in_slots, leaf = True, ""
    for name, shape in shapes.items():
        if is_power(name, shape):
            powers, in_slots, leaf = ((name,) if in_slots else powers + (name,)), False, ""
        elif name in ties and powers:
            in_slots = True
            base = ties[name].leaf.rsplit("_", 1)[0] if ties[name].leaf[-1:].isdigit() else ties[name].leaf
            leaf = leaf or base
            if base == leaf:
                found[name] = powers
    return found
