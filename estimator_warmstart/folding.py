"""Folds lines of a table that differ only in the number of a scope into one (`layer{0..11}/kernel`): deep models stay short."""

from __future__ import annotations

import re
from typing import Dict, List, Match, NamedTuple, Optional, Sequence, Tuple

# A number without a leading zero that is not part of a fold ({0..11}).
_FOLDABLE_NUMBER = re.compile(r"(?<![\d.{])(?:0|[1-9]\d*)(?![\d.}])")
_QUOTED = re.compile(r"'[^']*'")


class Foldable(NamedTuple):
    """What a line says.

    Attributes:
      names: the variables' names, in which the same number may run; an empty one has no number.
      words: a text; the numbers of the names that it quotes run along.
      same: all else; it must be equal for lines to be folded.
    """

    names: Tuple[str, ...]
    words: str = ""
    same: Tuple[object, ...] = ()


class Folded(NamedTuple):
    """One line for several, or for one.

    Attributes:
      names: with the numbers that run, such as `layer{0..11}/kernel`.
      words: the text, likewise.
      members: the places of the lines it stands for, among those that were folded.
    """

    names: Tuple[str, ...]
    words: str
    members: Tuple[int, ...]


def fold_lines(lines: Sequence[Foldable], folded: bool = True) -> List[Folded]:
    """Folds lines that differ only in one number of a scope, which is the same in all names of a line.

    Args:
      lines: in the order of the table.
      folded: whether to fold at all; `False`: each line stands for itself.

    Example:
      >>> fold_lines([Foldable(("enc/l0/k", "l0/k")), Foldable(("enc/l1/k", "l1/k"))])
      [Folded(names=('enc/l{0..1}/k', 'l{0..1}/k'), words='', members=(0, 1))]
    """
    found = [Folded(line.names, line.words, (place,)) for place, line in enumerate(lines)]
    # Innermost scope first: tower{0..1}/layer{0..11}/kernel. A folded number is not folded again.
    for position in (-1, -2, -1, -3, -2, -1) if folded else ():
        groups: Dict[Tuple, List[Tuple[int, Folded]]] = {}
        for each in found:
            key, number = _fold_key(each, lines[each.members[0]].same, position)
            groups.setdefault(key, []).append((number, each))
        found = [each for members in groups.values() for each in _fold_runs(members, position)]
    return found


def _fold_key(line: Folded, same: Tuple[object, ...], position: int) -> Tuple[Tuple, int]:
    """Returns what lines must share to be folded at one position of their names, and the number there; -1 if there is none."""
    numbers = {match.group() if match else "" for match in (_scope_number(name, position) for name in line.names if name)}
    number = numbers.pop() if len(numbers) == 1 else ""
    if not number:
        return (line.members,), -1
    words = _replace_quoted_number(line.words, position, number, "#")
    # Lines that stand for different numbers of variables do not look alike.
    return (_replace_numbers(line.names, position, "#"), words, same, len(line.members)), int(number)


def _scope_number(name: str, position: int) -> Optional[Match]:
    numbers = list(_FOLDABLE_NUMBER.finditer(name, 0, name.rfind("/") + 1))
    return numbers[position] if len(numbers) >= -position else None


def _replace_numbers(names: Sequence[str], position: int, text: str) -> Tuple[str, ...]:
    return tuple(_replace_number(name, position, text) for name in names)


def _replace_number(name: str, position: int, text: str) -> str:
    match = _scope_number(name, position)
    return name[: match.start()] + text + name[match.end() :] if match else name


def _replace_quoted_number(words: str, position: int, number: str, text: str) -> str:
    """Replaces the number at `position` of the names that `words` quotes, if it is `number`."""

    def put(quoted: Match) -> str:
        match = _scope_number(quoted.group(), position)
        return _replace_number(quoted.group(), position, text) if match and match.group() == number else quoted.group()

    return _QUOTED.sub(put, words)


def _fold_runs(members: List[Tuple[int, Folded]], position: int) -> List[Folded]:
    """Folds each run of consecutive numbers."""
    if len(members) == 1:
        return [members[0][1]]
    folded: List[Folded] = []
    run: List[Tuple[int, Folded]] = []
    for member in sorted(members, key=lambda member: member[0]):
        if run and member[0] != run[-1][0] + 1:
            folded.append(_fold_run(run, position))
            run = []
        run.append(member)
    return [*folded, _fold_run(run, position)]


def _fold_run(run: List[Tuple[int, Folded]], position: int) -> Folded:
    (first, line), (last, _) = run[0], run[-1]
    if len(run) == 1:
        return line
    span = f"{{{first}..{last}}}"
    return Folded(
        _replace_numbers(line.names, position, span),
        _replace_quoted_number(line.words, position, str(first), span),
        tuple(place for _, each in run for place in each.members),
    )
