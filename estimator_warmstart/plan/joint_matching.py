"""Joins what several old models match by themselves: for each new variable the first model that has it counts.

A rule that fits nothing in one old model is right if it fits something in another that it is for.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from estimator_warmstart.patterns import PatternsArgument, RenamesArgument, compile_renames_of_each
from estimator_warmstart.plan.name_matching import Matched, NameRules, Pair, Problem, compile_name_rules


def compile_rules_of_each(
    include: PatternsArgument = None,
    exclude: PatternsArgument = None,
    rename: RenamesArgument = None,
    collection: Optional[str] = None,
    count: int = 1,
) -> Tuple[NameRules, ...]:
    """Compiles the arguments of `match_variables` that choose variables, for each of `count` old models.

    Raises:
      WarmStartError: for a pattern or rename that is not valid, or renames that are not one for each old model.
    """
    rules = compile_name_rules(include, exclude, None, collection)
    return tuple(rules._replace(renames=renames) for renames in compile_renames_of_each(rename, count))


def join_matched(found: Sequence[Matched], rules: Sequence[NameRules], prefixes: Sequence[str]) -> Matched:
    """Returns what all old models match together.

    Args:
      found: what each of them matches.
      rules: those of each.
      prefixes: where each of them is, for messages.
    """
    if len(found) == 1:
        return found[0]
    taken: Dict[str, Pair] = {}
    doubled: List[Problem] = []
    for number, matched in enumerate(found):
        doubled += [
            problem._replace(says=f"{prefixes[number]}: {problem.says}")
            for problem in matched.doubled
            if problem.about[1] not in taken
        ]
        for pair in matched.pairs:
            taken.setdefault(pair.new, pair._replace(model=number))
    return Matched(
        tuple(taken.values()),
        tuple(dict.fromkeys(name for matched in found for name in matched.chosen)),
        _of_all([matched.unused for matched in found], rules, prefixes),
        tuple(doubled),
        _of_all([matched.missing for matched in found], rules, prefixes),
    )


def _of_all(found: Sequence[Sequence[Problem]], rules: Sequence[NameRules], prefixes: Sequence[str]) -> Tuple[Problem, ...]:
    """Returns the problems that every old model has which a rule is for."""
    says: Dict[Tuple, Dict[str, str]] = {}
    for prefix, problems in zip(prefixes, found):
        for problem in problems:
            says.setdefault(problem.about, {})[prefix] = problem.says
    return tuple(
        Problem(about, _together(by_prefix, len(prefixes)))
        for about, by_prefix in says.items()
        if len(by_prefix) == sum(each.have(about) for each in rules)
    )


def _together(by_prefix: Dict[str, str], count: int) -> str:
    if len(by_prefix) == count and len(set(by_prefix.values())) == 1:
        return next(iter(by_prefix.values()))
    return "; ".join(f"{prefix}: {says}" for prefix, says in by_prefix.items())
