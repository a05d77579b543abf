"""Resolves `recover_vars` to pairs of an old name and a new one.

A user may give a new variable as an object, by its name, or as a list of parts. Here, each becomes a logical name or a problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Set, Tuple, Union

from estimator_warmstart._tf import copies_of, is_variable, variable_graph
from estimator_warmstart.errors import did_you_mean
from estimator_warmstart.graph.variables import NewVariable
from estimator_warmstart.plan.name_matching import Pair

if TYPE_CHECKING:
    import tensorflow as tf


def resolve_pairs(
    recover_vars: Mapping[str, Any], new: Mapping[str, NewVariable], graph: tf.Graph, lacks_some: bool = False
) -> Tuple[List[Pair], List[str]]:
    """Returns the pairs that a `recover_vars` dict asks for, and the problems of its new variables.

    Args:
      recover_vars: {old name: a variable, its name, a list of a partitioned one's parts, or a list of several of these}.
      new: the graph's logical variables.
      graph: the graph that they are of.
      lacks_some: whether a name that the graph does not have is left out instead of a problem.
    """
    finder = _TargetFinder(new, graph, lacks_some)
    pairs: List[Pair] = []
    for old, value in recover_vars.items():
        pairs.extend(Pair(str(old), name) for name in finder.names(str(old), value))
    return pairs, finder.problems


class _TargetFinder:
    """Turns what a user gives for a new variable into logical names, and collects problems."""

    def __init__(self, new: Mapping[str, NewVariable], graph: tf.Graph, lacks_some: bool):
        self._new, self._graph, self._lacks_some = new, graph, lacks_some
        self._by_id = {
            id(variable): (name, number)
            for name, logical in new.items()
            for number, part in enumerate(logical.parts)
            for variable in (part.variable,) + part.copies
        }
        self._part_names = {part.name: name for name, logical in new.items() for part in logical.parts}
        self.problems: List[str] = []

    def names(self, old: str, value: object) -> List[str]:
        """Returns the logical names that `value` stands for, each once."""
        parts: Dict[str, Set[int]] = {}
        names: Dict[str, None] = {}
        for item in self._flat(old, value):
            if isinstance(item, str):
                names.update(dict.fromkeys(self._by_name(old, item)))
            elif id(item) in self._by_id:
                name, number = self._by_id[id(item)]
                parts.setdefault(name, set()).add(number)
                names[name] = None
            else:
                self.problems.append(self._why_not_found(old, item))
        for name, numbers in parts.items():
            whole = len(self._new[name].parts)
            if len(numbers) < whole:
                self.problems.append(
                    f"{old!r}: {len(numbers)} of the {whole} parts of the new {name!r} given; give all, or its name {name!r}"
                )
        return list(names)

    def _flat(self, old: str, value: object) -> List[Union[str, tf.Variable]]:
        if isinstance(value, str) or is_variable(value):
            return [value]
        if isinstance(value, (list, tuple)) or type(value).__name__ == "PartitionedVariable":
            items = list(value)  # type: ignore[call-overload]
            if not items:
                self.problems.append(f"{old!r}: an empty list of new variables; leave {old!r} out instead")
            return [flat for item in items for flat in self._flat(old, item)]
        self.problems.append(
            f"{old!r}: {value!r} is not a variable; give a variable of the new graph, its name, or a list of these"
        )
        return []

    def _by_name(self, old: str, text: str) -> List[str]:
        name = text[:-2] if text.endswith(":0") else text
        if name in self._new:
            return [name]
        if name in self._part_names:
            self.problems.append(f"{old!r}: {name!r} is one part of the new {self._part_names[name]!r}; give that name")
        elif not self._lacks_some:
            self.problems.append(f"{old!r}: the graph has no new variable {name!r}{did_you_mean(name, self._new)}")
        return []

    def _why_not_found(self, old: str, item: tf.Variable) -> str:
        name = item.name.split(":")[0]
        if self._graph is None:
            return f"{old!r}: the variable {name!r} is not one of the model's that recover_into was given; give a name instead"
        try:
            elsewhere = variable_graph(copies_of(item)[0]) is not self._graph
        except (AttributeError, RuntimeError, ValueError):  # An eager variable has no graph.
            elsewhere = True
        if elsewhere:
            return f"{old!r}: the variable {name!r} is not of the graph that is trained; give its name instead of the object"
        return f"{old!r}: {name!r} is neither among the graph's global variables nor its local ones, so no session has it"
