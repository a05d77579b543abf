"""Shortens the names in one column of a table such that each still shows what tells it from the others.

If all were cut at the same place, `linear/model/age/weights` and `linear/model/job/weights` would look the same.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Callable, Dict, Iterable, List, Sequence, Set, Tuple

ELLIPSIS = "..."
# Pieces that are left out whole: first scopes, then words, at last single characters.
_SCOPES, _WORDS, _CHARACTERS = (re.compile(pattern, re.DOTALL) for pattern in ("[^/]*/|[^/]+", "[^/_]*[/_]+|[^/_]+", "."))

_Shortening = Callable[[Iterable[str], Iterable[str], int], Dict[str, str]]


def shorten_names(names: Sequence[str], length: int) -> List[str]:
    """Returns `names`; those that are longer than `length` are shortened to it.

    Scopes that all have in common are left out first. What differs stays, and so does the end of a name, as far as there is
    room. Different names stay different unless `length` has no room for that.

    Args:
      names: those of one column; they may repeat.
      length: the number of characters for each, 4 or more.

    Example:
      >>> shorten_names(["linear/model/age_buckets/weights", "linear/model/job/weights", "dnn/bias"], 23)
      ['...age_buckets/weights', '...model/job/weights', 'dnn/bias']
    """
    short = {name: name for name in names if len(name) <= length}
    for shortening in _SHORTENINGS:
        left = {name for name in names if name not in short}
        if not left:
            break
        tried = shortening({*names}, left, length)
        count = Counter([*short.values(), *tried.values()])
        short.update({name: text for name, text in tried.items() if count[text] == 1})
    return [short.get(name) or _end_of(name, length) for name in names]


def _end_of(name: str, length: int) -> str:
    return ELLIPSIS + name[len(name) - length + len(ELLIPSIS) :]


def _ends(_: Iterable[str], left: Iterable[str], length: int) -> Dict[str, str]:
    return {name: _end_of(name, length) for name in left}


def _windows(names: Iterable[str], left: Iterable[str], length: int) -> Dict[str, str]:
    """Shortens each name to the last stretch of it that no other name has."""
    size = max(length - 2 * len(ELLIPSIS), 1)
    stretches = {name: [name[end - size : end] for end in range(len(name) - 1, size, -1)] for name in names}
    count = Counter(stretch for found in stretches.values() for stretch in {*found})
    last = {name: next((stretch for stretch in stretches[name] if count[stretch] == 1), "") for name in left}
    return {name: ELLIPSIS + stretch + ELLIPSIS for name, stretch in last.items() if stretch}


def _without_common(pieces: re.Pattern[str], from_end: bool) -> _Shortening:
    """Makes a function that leaves out pieces of names which, read from one side, do not tell them apart."""

    def split(name: str) -> Tuple[str, ...]:
        found = pieces.findall(name)
        return tuple(reversed(found)) if from_end else tuple(found)

    def shorten(names: Iterable[str], left: Iterable[str], length: int) -> Dict[str, str]:
        following: Dict[str, Set[str]] = {}
        for name in names:
            for before, piece in _steps(split(name)):
                following.setdefault(before, set()).add(piece)
        shortened = {}
        for name in left:
            is_kept = [len(following[before]) > 1 for before, _ in _steps(split(name))][:-1]
            text = _leave_out(pieces.findall(name), is_kept[::-1] if from_end else is_kept, length)
            if text:
                shortened[name] = text
        return shortened

    return shorten


def _steps(pieces: Sequence[str]) -> Iterable[Tuple[str, str]]:
    """Yields, for each piece and for the end, what comes before it and itself."""
    before = ""
    for piece in [*pieces, ""]:
        yield before, piece
        before += piece


def _leave_out(pieces: Sequence[str], is_kept: Sequence[bool], length: int) -> str:
    """Returns the pieces that are kept, and of the others as many as `length` has room for, the last first; "" without room."""
    kept = [True, *is_kept, True]  # With the edges.
    gaps = sum(kept[place] and not kept[place + 1] for place in range(len(kept) - 1))
    room = length - gaps * len(ELLIPSIS) - sum(len(piece) for piece, keep in zip(pieces, is_kept) if keep)
    for place in range(len(pieces), 0, -1):
        cost = len(pieces[place - 1]) + (1 - kept[place - 1] - kept[place + 1]) * len(ELLIPSIS)
        if not kept[place] and cost <= room:
            kept[place], room = True, room - cost
    if room < 0:
        return ""
    shown = [piece if keep else "\0" for piece, keep in zip(pieces, kept[1:])]
    return re.sub("\0+", ELLIPSIS, "".join(shown))


_SHORTENINGS: Tuple[_Shortening, ...] = (
    _without_common(_SCOPES, True),
    _without_common(_SCOPES, False),
    _ends,
    _without_common(_WORDS, True),
    _without_common(_WORDS, False),
    _windows,
    _without_common(_CHARACTERS, True),
    _without_common(_CHARACTERS, False),
)
