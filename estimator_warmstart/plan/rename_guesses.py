"""Guesses which old variables were renamed, and the `rename` rules that say so.

A guess goes by shape, dtype and name. A rule counts only if `match_names` makes the guessed pairs of it. Thousands of renamed
layers are found by what their names have in common apart from numbers, since comparing each with each takes minutes.
"""

from __future__ import annotations

import re
from typing import Callable, Dict, Iterable, List, Mapping, Sequence, Tuple

from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.plan.name_matching import compile_name_rules, match_names
from estimator_warmstart.spellings import ALIKE, last_part, likely_pairs

GuessedRules = Tuple[Tuple[str, str], ...]

# More parts than any name has.
_ALL_PARTS = 1 << 30
# Comparing so many pairs of names one by one takes a second.
_FEW_PAIRS = 20000
# Trying rules on names so many times takes a second or two.
_FEW_TRIALS = 2000000
_DIGITS = re.compile(r"\d+")


def guess_renames(lost: Sequence[OldVariable], added: Sequence[OldVariable]) -> Dict[str, str]:
    """Returns `{new name: old name}` of variables with the same shape and dtype, and the same last part or a similar name."""
    guessed: Dict[str, str] = {}
    for group_of, least in ((_shape_dtype_and_last_part, 0.0), (_shape_and_dtype, ALIKE)):
        taken = set(guessed.values())
        lost = [each for each in lost if each.name not in taken]
        added = [each for each in added if each.name not in guessed]
        _pair_up(lost, added, group_of, least, guessed)
    return guessed


def _shape_and_dtype(variable: OldVariable) -> Tuple:
    return variable.shape, variable.dtype


def _shape_dtype_and_last_part(variable: OldVariable) -> Tuple:
    return variable.shape, variable.dtype, last_part(variable.name)


def _pair_up(
    lost: Iterable[OldVariable],
    added: Iterable[OldVariable],
    group_of: Callable[[OldVariable], Tuple],
    least: float,
    guessed: Dict[str, str],
) -> None:
    """Adds pairs of variables in the same group to `guessed`, the most similar names first."""
    groups: Dict[Tuple, Tuple[List[str], List[str]]] = {}
    for side, variables in enumerate((lost, added)):
        for each in variables:
            groups.setdefault(group_of(each), ([], []))[side].append(each.name)
    both = [group for group in groups.values() if group[0] and group[1]]
    if sum(len(olds) * len(news) for olds, news in both) > _FEW_PAIRS:
        for olds, news in both:
            guessed.update(_of_same_end(olds, news))
            taken = set(guessed.values())
            guessed.update(
                _of_same_numbers([name for name in olds if name not in taken], [name for name in news if name not in guessed])
            )
    taken = set(guessed.values())
    budget = _FEW_PAIRS // max(len(both), 1)
    for olds, news in both:
        olds, news = [name for name in olds if name not in taken], [name for name in news if name not in guessed]
        for old, new in likely_pairs(olds, news, least, budget):
            if new not in guessed and old not in taken:
                guessed[new] = old
                taken.add(old)


def _of_same_end(olds: Sequence[str], news: Sequence[str]) -> Dict[str, str]:
    """Returns `{new name: old name}` of pairs whose longest common end occurs in one old and one new name only.

    An end has two parts or more: `kernel` alone is in too many names.
    """
    with_end: Tuple[Dict[str, List[str]], Dict[str, List[str]]] = ({}, {})
    for names, ends in zip((olds, news), with_end):
        for name in names:
            for end in _ends(name):
                ends.setdefault(end, []).append(name)
    found: Dict[str, str] = {}
    for new in news:
        end = next((end for end in _ends(new) if end in with_end[0]), "")
        if len(with_end[0].get(end, ())) == len(with_end[1].get(end, ())) == 1:
            found[new] = with_end[0][end][0]
    return found


def _ends(name: str) -> List[str]:
    parts = name.split("/")
    return ["/".join(parts[begin:]) for begin in range(len(parts) - 1)]


def _of_same_numbers(olds: Sequence[str], news: Sequence[str]) -> Dict[str, str]:
    """Returns `{new name: old name}` of names that have the same numbers, and are similar without them."""
    old_forms, new_forms = _by_form(olds), _by_form(news)
    found: Dict[str, str] = {}
    taken = set()
    if 2 * len(new_forms) > len(news):  # Names without numbers are compared as they are.
        return found
    for old_form, new_form in likely_pairs(list(old_forms), list(new_forms), ALIKE, _FEW_PAIRS):
        for numbers, new in new_forms[new_form].items():
            old = old_forms[old_form].get(numbers)
            if old is not None and new not in found and old not in taken:
                found[new] = old
                taken.add(old)
    return found


def _by_form(names: Iterable[str]) -> Dict[str, Dict[Tuple[str, ...], str]]:
    """Returns `{name without its numbers: {its numbers: name}}`."""
    forms: Dict[str, Dict[Tuple[str, ...], str]] = {}
    for name in names:
        forms.setdefault(_DIGITS.sub("#", name), {})[tuple(_DIGITS.findall(name))] = name
    return forms


def rules_for(
    guessed: Dict[str, str], old: Checkpoint, new: Checkpoint, model: Sequence[str]
) -> Tuple[Dict[str, str], GuessedRules]:
    """Returns the guesses and the fewest rules that give them.

    A rule may also rename variables in the same scope that were resized; these are then among the guesses.
    """
    same = {name: name for name in model if name in old.variables}
    possible: List[Tuple[Dict[str, str], GuessedRules]] = []
    tried = set()
    for merges in (False, True):
        for keep in (1, 0, _ALL_PARTS):
            rename = dict(_guessed_rule(old_name, new_name, keep) for new_name, old_name in guessed.items())
            rules = _inner_scopes_first(_merged(rename) if merges else rename)
            if rules in tried or len(rules) * len(old.variables) > _FEW_TRIALS:
                continue
            tried.add(rules)
            try:
                name_rules = compile_name_rules(rename=rules)
            except WarmStartError:
                continue
            matched = match_names(dict.fromkeys(old.variables, ()), model, name_rules)
            if matched.problems:
                continue
            pairs = {pair.new: pair.old for pair in matched.pairs}
            more = {name: source for name, source in pairs.items() if name not in same and name not in guessed}
            if pairs == {**same, **guessed, **more} and all(
                _is_resized(old.variables[source], new.variables[name]) for name, source in more.items()
            ):
                possible.append(({**guessed, **more}, rules))
    return min(possible, key=lambda found: len(found[1]), default=(guessed, ()))


def _inner_scopes_first(rename: Mapping[str, str]) -> GuessedRules:
    return tuple(sorted(rename.items(), reverse=True))


def _is_resized(old: OldVariable, new: OldVariable) -> bool:
    return old.dtype == new.dtype and len(old.shape) == len(new.shape)


def _guessed_rule(old_name: str, new_name: str, keep: int) -> Tuple[str, str]:
    """Returns a pattern and its replacement: both names without their common last parts; `keep` old parts stay at least."""
    old, new = old_name.split("/"), new_name.split("/")
    while len(old) > keep and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return re.escape("/".join(old)), "/".join(new).replace("\\", "\\\\")


def _merged(rename: Mapping[str, str]) -> Dict[str, str]:
    r"""Merges rules that differ in numbers only: `layer_(\d+)` -> `block_\1`."""
    forms: Dict[Tuple[str, str], List[str]] = {}
    for pattern, replacement in rename.items():
        numbers = _DIGITS.findall(pattern)
        form = pattern, replacement
        if numbers and numbers == _DIGITS.findall(replacement):
            pieces = _DIGITS.split(replacement)
            groups = [rf"\{place}" for place in range(1, len(pieces))]
            form = _DIGITS.sub(r"(\\d+)", pattern), "".join(map("".join, zip(pieces, [*groups, ""])))
        forms.setdefault(form, []).append(pattern)
    return dict(form if len(patterns) > 1 else (patterns[0], rename[patterns[0]]) for form, patterns in forms.items())
