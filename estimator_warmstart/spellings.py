"""Which of many names look like another one, without a comparison with each of them.

`difflib` takes a minute for a hundred misspelt names among twenty thousand; an index of what stands next to what in a name
leaves it few to compare.
"""

from __future__ import annotations

import difflib
import functools
import re
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

ALIKE = 0.6  # As in `difflib.get_close_matches`.
_SHORTLIST = 24
_CANDIDATES = 4
# So many names are compared one by one.
_FEW = 256


class Spellings:
    """An index of names by the pairs of bytes in them."""

    def __init__(self, names: Sequence[str]):
        self._names = list(names)
        pieces = [_framed(name) for name in self._names]
        text = np.frombuffer(b"".join(pieces), np.uint8).astype(np.int64)
        owners = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
        # A pair across two names begins with the one's end and ends with the other's begin: no name has it.
        keys = np.unique((text[:-1] * 256 + text[1:]) * max(len(pieces), 1) + owners[:-1])
        pairs, self._owners = np.divmod(keys, max(len(pieces), 1))
        self._begins = np.searchsorted(pairs, np.arange(256 * 256 + 1))
        self._counts = np.bincount(self._owners, minlength=len(pieces))
        self._last_parts: Dict[str, List[int]] = {}
        for number, name in enumerate(self._names):
            self._last_parts.setdefault(last_part(name), []).append(number)

    def likely(self, name: str, count: int = _SHORTLIST, last: Optional[str] = None) -> List[str]:
        """About the `count` names that share most with `name`; with `last`, of those whose last part that is."""
        numbers = None if last is None else np.asarray(self._last_parts.get(last, []), np.int64)
        framed = _framed(name)
        pairs = {first * 256 + second for first, second in zip(framed, framed[1:])}
        found = [self._owners[self._begins[pair] : self._begins[pair + 1]] for pair in sorted(pairs)]
        shared = np.bincount(np.concatenate(found), minlength=len(self._names))
        scores = 2 * shared / (len(pairs) + self._counts)
        scores = scores if numbers is None else scores[numbers]
        best = np.argpartition(-scores, count)[:count] if len(scores) > count else np.arange(len(scores))
        return [self._names[number] for number in (best if numbers is None else numbers[best])]


def closest(name: str, known: Tuple[str, ...], count: int) -> List[str]:
    """The `count` names in `known` that look most like `name`, best first, the same last part of the name preferred."""
    index = _index(known) if len(known) > _FEW else None
    close = difflib.get_close_matches(name, index.likely(name) if index else known, n=count, cutoff=ALIKE)
    if len(close) < count:
        last = last_part(name)
        same_last = index.likely(name, last=last) if index else [other for other in known if last_part(other) == last]
        others = [other for other in same_last if other not in close]
        close += difflib.get_close_matches(name, others, n=count - len(close), cutoff=0.0)
    return close


def likely_pairs(olds: Sequence[str], news: Sequence[str], least: float, most: int) -> List[Tuple[str, str]]:
    """Pairs (old name, new name) that look alike, the most alike first.

    Args:
      olds: old names, each once.
      news: new names, each once.
      least: 0 to 1, how alike two must be.
      most: how many pairs are compared one by one; where there are more, only the likely ones are.
    """
    index = Spellings(olds) if len(olds) * len(news) > most else None
    found = []
    for new in news:
        for old in olds if index is None else index.likely(new, _CANDIDATES):
            likeness = difflib.SequenceMatcher(None, old, new, autojunk=False).ratio()
            if likeness >= least:
                found.append((-likeness, new, old))
    return [(old, new) for _, new, old in sorted(found)]


def is_misspelt(name: str, right: str) -> bool:
    """Whether `name` is `right` with an error in it (`warmstart`), not another name (`warm_start_2`, `user_warm_start`)."""
    words, right_words = _words(name), _words(right)
    joined, right_joined = "".join(words), "".join(right_words)
    if joined == right_joined:
        return name != right
    if re.findall(r"\d+", name) != re.findall(r"\d+", right):
        return False
    if len(words) == len(right_words):
        return all(is_alike(word, other) for word, other in zip(words, right_words))
    if set(words) <= set(right_words) or set(right_words) <= set(words):
        return False
    return is_alike(joined, right_joined, 0.85)


def is_alike(name: str, other: str, least: float = ALIKE) -> bool:
    """Whether two names have that share of their characters in common, in the same order."""
    return difflib.SequenceMatcher(None, name, other, autojunk=False).ratio() >= least


def _words(name: str) -> List[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]


def last_part(name: str) -> str:
    """The part of `name` after its scopes."""
    return name.rpartition("/")[2]


def _framed(name: str) -> bytes:
    return b"\x01" + name.encode("utf-8", "surrogatepass") + b"\x02"


@functools.lru_cache(maxsize=4)  # A hundred problems are of the same few thousand names.
def _index(known: Tuple[str, ...]) -> Spellings:
    return Spellings(known)
