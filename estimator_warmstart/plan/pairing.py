"""Decides by names which new variable takes which old one, and of which old model, for all ways to say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Mapping, NamedTuple, Sequence

from estimator_warmstart.checkpoint.checkpoint import Checkpoint
from estimator_warmstart.checkpoint.old_models import number_with
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.graph.variables import NewVariable
from estimator_warmstart.plan.matching import match_graph
from estimator_warmstart.plan.name_matching import NameRules, Pair, sentences
from estimator_warmstart.plan.recover_vars import resolve_pairs
from estimator_warmstart.plan.request import Request

if TYPE_CHECKING:
    import tensorflow as tf

# Close spellings take time to find, and nobody reads more of them.
_MOST_WITH_SPELLINGS = 100


class Pairing(NamedTuple):
    """What goes where, by names.

    Attributes:
      pairs: each new variable with the old one that it takes. There may be none of that name in the old model.
      why_not: the reason for a variable that is not in any pair.
      problems: all that is wrong with it.
      missing: the new variables that were chosen explicitly and that no old model has.
    """

    pairs: Sequence[Pair]
    why_not: str
    problems: Sequence[str] = ()
    missing: Sequence[str] = ()


def pair_up(
    request: Request,
    checkpoints: Sequence[Checkpoint],
    new: Mapping[str, NewVariable],
    graph: tf.Graph,
    rules: Sequence[NameRules],
) -> Pairing:
    """Pairs the variables of old models with new ones as `request` says.

    Args:
      request: what the user asks for.
      checkpoints: the old models. For each new variable the first counts that has it.
      new: the graph's logical variables.
      graph: the graph that they are of.
      rules: the request's rules on names for each old model, without those for saveables.

    Raises:
      WarmStartError: for rules that fit nothing, or give a new variable two old values.
    """
    if request.recover_vars is not None:
        named, problems = resolve_pairs(request.recover_vars, new, graph, request.lacks_some)
        pairs = _found(named, checkpoints, new)
        return Pairing(pairs, "not in recover_vars", [*problems, *_collisions(pairs)])
    if rules[0].are_given:
        return _matched(request, checkpoints, new, graph, rules)
    return _of_same_name(request, checkpoints, new)


def _found(named: Sequence[Pair], checkpoints: Sequence[Checkpoint], new: Mapping[str, NewVariable]) -> List[Pair]:
    """Returns the pairs with old variables' own names, in the first old model that has each; a slot's is its variable's."""
    first = {name: number_with(checkpoints, name) for name in dict.fromkeys(pair.old for pair in named)}
    model_of = {pair.new: first[pair.old] for pair in named if checkpoints[first[pair.old]].find(pair.old) is not None}
    pairs: List[Pair] = []
    for pair in named:
        slot_of = new[pair.new].slot_of
        model = model_of.get(slot_of.primary, first[pair.old]) if slot_of is not None else first[pair.old]
        old = checkpoints[model].find(pair.old)
        pairs.append(Pair(pair.old if old is None else old.name, pair.new, model))
    return pairs


def why_elsewhere(checkpoints: Sequence[Checkpoint], pair: Pair) -> str:
    """Returns why `pair`, whose old model does not have it, is not taken from another one that does; empty if none does."""
    if checkpoints[number_with(checkpoints, pair.old)].find(pair.old) is None:
        return ""
    own = checkpoints[pair.model].prefix
    return f"{own} has no {pair.old!r}, and the variable that the new {pair.new!r} is a slot of takes its value from there"


def _collisions(pairs: Sequence[Pair]) -> List[str]:
    takers: Dict[str, List[str]] = {}
    for pair in pairs:
        takers.setdefault(pair.new, []).append(pair.old)
    return [
        f"the new {name!r} is given {len(olds)} old values: {', '.join(map(repr, olds))}; keep one"
        for name, olds in takers.items()
        if len(olds) > 1
    ]


def _matched(
    request: Request,
    checkpoints: Sequence[Checkpoint],
    new: Mapping[str, NewVariable],
    graph: tf.Graph,
    rules: Sequence[NameRules],
) -> Pairing:
    matched = match_graph(checkpoints, new, graph, rules)
    problems = list(matched.doubled)
    if not request.lacks_some:
        problems += matched.unused
        # Of what is chosen explicitly, each variable has a problem of its own.
        problems += () if rules[0].choose_explicitly else matched.missing
    if problems:
        raise WarmStartError("the variables cannot be matched", sentences(problems))
    if request.lacks_some:
        return Pairing(matched.pairs, "not matched")
    found = {pair.new for pair in matched.pairs}
    missing = [name for name in matched.chosen if name not in found]
    return Pairing(matched.pairs, "not matched", _why_missing(request, checkpoints, new, missing), missing)


def _why_missing(
    request: Request, checkpoints: Sequence[Checkpoint], new: Mapping[str, NewVariable], missing: Sequence[str]
) -> List[str]:
    """Returns the problems of new variables that were chosen explicitly and that no old model has."""
    if request.missing != "error":
        return []
    known = dict.fromkeys(name for checkpoint in checkpoints for name in checkpoint.variables)
    says = "no old model has anything of that name" if len(checkpoints) > 1 else "the checkpoint has nothing of that name"
    return [
        f"the new {name!r} {list(new[name].shape)} is chosen, but {says} and no rename gives it anything"
        f"{did_you_mean(name, known) if number < _MOST_WITH_SPELLINGS else ''}; exclude={name!r} leaves it out, missing='keep' "
        "leaves all such variables as initialized"
        for number, name in enumerate(missing)
    ]


def _of_same_name(request: Request, checkpoints: Sequence[Checkpoint], new: Mapping[str, NewVariable]) -> Pairing:
    first: Dict[str, int] = {}
    for number, checkpoint in enumerate(checkpoints):
        first.update((name, number) for name in checkpoint.variables if name not in first)
    pairs = [
        Pair(name, name, first[name]) for name, each in new.items() if each.is_parameter and not each.is_local and name in first
    ]
    problems = []
    if not pairs and request.missing == "error" and not request.lacks_some:
        problems.append(
            f"no new variable has a name that {'an old model' if len(checkpoints) > 1 else 'the checkpoint'} has; "
            "recover_vars={old name: new variable} says what goes where. The first old names are "
            f"{', '.join(list(first)[:5])}; the first new ones {', '.join(list(new)[:5])}"
        )
    why_not = "no old model has a variable" if len(checkpoints) > 1 else "the checkpoint has no variable"
    return Pairing(pairs, f"{why_not} of this name", problems)
