"""Finds the state of a graph that is not in variables, such as lookup tables and tree ensembles, and judges it for a plan.

Such state is in a resource and has no initializer that could recover it. Without these problems and warnings, a report would
call a BoostedTrees model recovered that has no trees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart._tf import tf, tf1
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.errors import first_few
from estimator_warmstart.patterns import Pattern, Renames, fits_any
from estimator_warmstart.plan.request import Request

if TYPE_CHECKING:
    from tensorflow.python.training.saving.saveable_object import SaveableObject

_TREE_ENSEMBLE, _LOOKUP_TABLE = "tree ensemble", "lookup table"
# The suffixes of the keys of TensorFlow's saveables. An imported graph only has the names of its saveables.
_KIND_OF_SUFFIX = {
    "_serialized": _TREE_ENSEMBLE,
    "_stamp": _TREE_ENSEMBLE,
    "-keys": _LOOKUP_TABLE,
    "-values": _LOOKUP_TABLE,
    "_STATE": "iterator",
    "-state": "iterator",
}


class Saveable(NamedTuple):
    """One member of the collection SAVEABLE_OBJECTS, with its tensors in the old model.

    Attributes:
      name: its name for patterns.
      kind: what it is, for messages.
      old: its tensors in the old model.
      is_renamed: whether a rename gives them its name.
    """

    name: str
    kind: str
    old: Tuple[OldVariable, ...]
    is_renamed: bool

    @property
    def held(self) -> str:
        """Its tensors in the checkpoint, for messages."""
        return f"what the checkpoint holds of it ({first_few([old.key for old in self.old])})"

    @property
    def is_learned(self) -> bool:
        """Whether it may hold parameters of a model: trees, embeddings, or numbers of unknown meaning."""
        numbers = [old for old in self.old if tf.as_dtype(old.dtype).is_floating]
        if self.kind == _LOOKUP_TABLE:
            return any(len(old.shape) > 1 and old.shape[-1] > 1 for old in numbers)
        return self.kind == _TREE_ENSEMBLE or bool(numbers)


class Judgement(NamedTuple):
    """Problems, warnings and notes about a graph's saveables."""

    problems: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()


def saveables_of_graph(
    graph: tf.Graph, checkpoints: Sequence[Checkpoint], new: Iterable[str], renames: Sequence[Sequence[Renames]]
) -> List[Saveable]:
    """Returns the saveables of `graph` that are not variables.

    Args:
      graph: a `tf.Graph`.
      checkpoints: the old models. The first that has tensors of a saveable counts.
      new: the names of the graph's variables.
      renames: the user's for each old model, compiled.
    """
    collected = graph.get_collection(tf1.GraphKeys.SAVEABLE_OBJECTS)
    if not collected:
        return []
    found: List[Saveable] = []
    sides = [(each.variables, _renamed(each.variables, own)) for each, own in zip(checkpoints, renames)]
    for item in collected:
        in_each = [_describe_saveable(item, old, set(new), renamed) for old, renamed in sides]
        found.append(next((saveable for saveable in in_each if saveable.old), in_each[0]))
    return found


def _renamed(old: Mapping[str, OldVariable], renames: Sequence[Renames]) -> Dict[str, OldVariable]:
    """Returns {new name: old variable} of those that a rename fits."""
    renamed: Dict[str, OldVariable] = {}
    for name, variable in old.items():
        for rename in next((each for each in renames if each[0].fits(name)), ()):
            renamed[rename.rename(name)] = variable
    return renamed


def _describe_saveable(
    item: SaveableObject, old: Mapping[str, OldVariable], new: Iterable[str], renamed: Mapping[str, OldVariable]
) -> Saveable:
    keys = {f"{item.name}{suffix}": kind for suffix, kind in _KIND_OF_SUFFIX.items()}
    keys.update((spec.name, keys.get(spec.name, "saveable object")) for spec in getattr(item, "specs", ()))
    found = {key: renamed.get(key, old.get(key)) for key in keys if key not in new and (key in renamed or key in old)}
    kind = next((keys[key] for key in found), "saveable object")
    held = tuple(variable for variable in found.values() if variable is not None)
    return Saveable(item.name.split(":")[0], kind, held, any(key in renamed for key in found))


def judge(saveables: Sequence[Saveable], request: Request, has_trainable: bool) -> Judgement:
    """Judges the saveables that the old model has.

    Args:
      saveables: the graph's.
      request: what the user asks for.
      has_trainable: whether the graph has trainable variables. A model without them has its parameters elsewhere.
    """
    rules = request.name_rules[0]  # Those on new names are the same for each old model.
    include, exclude = rules.include or (), rules.exclude or ()
    is_open = request.recover_vars is None and not rules._replace(exclude=None).are_given
    named = _given_names(request.recover_vars.values()) if request.recover_vars is not None else []
    problems, warnings, notes = [], [], []
    for saveable in saveables:
        what, way_out = f"the {saveable.kind} {saveable.name!r}", f"exclude={saveable.name!r} leaves it as initialized"
        if saveable.name in named:
            problems.append(f"{what} is not a variable, so nothing can be recovered into it; leave it out of recover_vars")
        elif not saveable.old:
            continue
        elif fits_any(exclude, saveable.name):
            notes.append(f"{what} is left as initialized, as exclude says")
        elif fits_any(include, saveable.name) or (not include and saveable.is_renamed):
            problems.append(f"{what} is not a variable, and {saveable.held} cannot be recovered; {way_out}")
        elif is_open and (saveable.is_learned or not has_trainable):
            problems.append(
                f"the model's parameters are in {what}, which is not a variable, and {saveable.held} cannot be recovered; to "
                f"continue its training, use the old model's own directory; {way_out}"
            )
        else:
            warnings.append(f"{what} begins as initialized: it is not a variable, and {saveable.held} is not recovered")
    return Judgement(tuple(problems), tuple(warnings), tuple(notes))


def without_saveables(
    exclude: Optional[Tuple[Pattern, ...]], saveables: Sequence[Saveable], new: Iterable[str]
) -> Optional[Tuple[Pattern, ...]]:
    """Returns `exclude` without patterns that fit saveables only, since no variable has to fit those."""
    if not saveables:
        return exclude
    names = list(new)
    left = [
        pattern
        for pattern in exclude or ()
        if any(map(pattern.fits, names)) or not any(pattern.fits(saveable.name) for saveable in saveables)
    ]
    return tuple(left) or None


def _given_names(values: Iterable[object]) -> List[str]:
    """Returns the names among the new variables of `recover_vars`."""
    found: List[str] = []
    for value in values:
        if isinstance(value, str):
            found.append(value.split(":")[0])
        elif isinstance(value, (list, tuple)):
            found += _given_names(value)
    return found
