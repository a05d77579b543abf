"""Finds the names that look most like another one among many.

`difflib` takes a minute for a hundred misspelt names among twenty thousand. An index of the pairs of bytes in each name leaves
few of them to compare.
"""

from __future__ import annotations

import difflib
import functools
import re
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

ALIKE = 0.6  # As in `difflib.get_close_matches`.
_SHORTLIST = 24
_SHORTLIST_FOR_PAIRS = 4
# Up to this number, names are compared one by one.
_MOST_WITHOUT_INDEX = 256


class Spellings:
    """An index of names by the pairs of bytes in them."""

    def __init__(self, names: Sequence[str]):
        self._names = list(names)
        pieces = [_with_marks(name) for name in self._names]
        text = np.frombuffer(b"".join(pieces), np.uint8).astype(np.int64)
        owners = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
        # A pair across two names consists of an end mark and a begin mark, so no name has it.
        keys = np.unique((text[:-1] * 256 + text[1:]) * max(len(pieces), 1) + owners[:-1])
        pairs, self._owners = np.divmod(keys, max(len(pieces), 1))
        self._begins = np.searchsorted(pairs, np.arange(256 * 256 + 1))
        self._counts = np.bincount(self._owners, minlength=len(pieces))
        self._last_parts: Dict[str, List[int]] = {}
        for number, name in enumerate(self._names):
            self._last_parts.setdefault(last_part(name), []).append(number)

    def likely(self, name: str, count: int = _SHORTLIST, last: Optional[str] = None) -> List[str]:
        """Returns the `count` names that share most with `name`; with `last`, only names with this last part."""
        numbers = None if last is None else np.asarray(self._last_parts.get(last, []), np.int64)
        framed = _with_marks(name)
        pairs = {first * 256 + second for first, second in zip(framed, framed[1:])}
        found = [self._owners[self._begins[pair] : self._begins[pair + 1]] for pair in sorted(pairs)]
        shared = np.bincount(np.concatenate(found), minlength=len(self._names))
        scores = 2 * shared / (len(pairs) + self._counts)
        scores = scores if numbers is None else scores[numbers]
        best = np.argpartition(-scores, count)[:count] if len(scores) > count else np.arange(len(scores))
        return [self._names[number] for number in (best if numbers is None else numbers[best])]


def closest(name: str, known: Tuple[str, ...], count: int) -> List[str]:
    """Returns the `count` names in `known` that look most like `name`, best first. Names with the same last part fill up."""
    index = _index_of(known) if len(known) > _MOST_WITHOUT_INDEX else None
    close = difflib.get_close_matches(name, index.likely(name) if index else known, n=count, cutoff=ALIKE)
    if len(close) < count:
        last = last_part(name)
        same_last = index.likely(name, last=last) if index else [other for other in known if last_part(other) == last]
        others = [other for other in same_last if other not in close]
        close += difflib.get_close_matches(name, others, n=count - len(close), cutoff=0.0)
    return close


def likely_pairs(olds: Sequence[str], news: Sequence[str], least: float, most: int) -> List[Tuple[str, str]]:
    """Returns pairs (old name, new name) that look alike, the most alike first.

    Args:
      olds: old names, each once.
      news: new names, each once.
      least: 0 to 1, how alike two must be.
      most: the most pairs to compare one by one; if there are more, only the likely ones are compared.
    """
    index = Spellings(olds) if len(olds) * len(news) > most else None
    found = []
    for new in news:
        for old in olds if index is None else index.likely(new, _SHORTLIST_FOR_PAIRS):
            likeness = difflib.SequenceMatcher(None, old, new, autojunk=False).ratio()
            if likeness >= least:
                found.append((-likeness, new, old))
    return [(old, new) for _, new, old in sorted(found)]


def is_misspelt(name: str, right: str) -> bool:
    """Whether `name` is `right` with an error in it (`warmstart`), not another name (`warm_start_2`, `user_warm_start`)."""
    words, right_words = _words_of(name), _words_of(right)
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
    """Whether two names have at least this share of their characters in common, in the same order."""
    return difflib.SequenceMatcher(None, name, other, autojunk=False).ratio() >= least


def _words_of(name: str) -> List[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]


def last_part(name: str) -> str:
    """Returns the part of `name` after its scopes."""
    return name.rpartition("/")[2]


def _with_marks(name: str) -> bytes:
    return b"\x01" + name.encode("utf-8", "surrogatepass") + b"\x02"


@functools.lru_cache(maxsize=4)  # All problems of a plan are about the same names.
def _index_of(known: Tuple[str, ...]) -> Spellings:
    return Spellings(known)
