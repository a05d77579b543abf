"""New tokens that begin as the mean of old ones: what `remap_rows(similar=...)` names, as rows."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Tuple

from estimator_warmstart.adapters.axis_map import Averaged, AxisMap, Kept, Remapped, Segment, map_window, merge_segments
from estimator_warmstart.adapters.vocabulary import Vocabulary, has_token, rows_of, token_bytes, tokens_of
from estimator_warmstart.errors import WarmStartError, did_you_mean

# ((new row, (old row, ...)), ...), by new rows.
SimilarRows = Tuple[Tuple[int, Tuple[int, ...]], ...]
# Close spellings are looked for among so many tokens, not among millions.
_MOST_SPELLINGS = 100000


def similar_rows(
    similar: Optional[Mapping[Any, Sequence[Any]]], old: Vocabulary, new: Vocabulary, aliases: Tuple[Tuple[bytes, bytes], ...]
) -> SimilarRows:
    """Returns the rows that `similar` names.

    Raises:
      WarmStartError: listing each token that is unknown, or that `aliases` names too.
    """
    if similar is None:
        return ()
    named = _named_tokens(similar)
    problems = list(_problems(named, old, new, frozenset(token for token, _ in aliases)))
    if problems:
        raise WarmStartError("remap_rows: similar names tokens that do not fit", problems)
    old_rows = rows_of(old, {token for tokens in named.values() for token in tokens})
    new_rows = rows_of(new, named)
    return tuple(sorted((new_rows[token], tuple(old_rows[other] for other in others)) for token, others in named.items()))


def with_similar_rows(whole: Remapped, means: SimilarRows) -> AxisMap:
    """Returns the map of `whole`, a remapping from its row 0 on, with means in place of the rows that `means` names."""
    segments: List[Segment] = []
    position = 0
    for row, old_rows in means:
        segments.extend(map_window((whole,), position, row - position))
        segments.append(Averaged(1, tuple(Kept(1, old_row) for old_row in old_rows)))
        position = row + 1
    segments.extend(map_window((whole,), position, whole.length - position))
    return merge_segments(segments)


def _named_tokens(similar: object) -> Dict[bytes, List[bytes]]:
    if not isinstance(similar, Mapping):
        raise WarmStartError(f"remap_rows: similar must be {{new token: [old token, ...]}}, got {similar!r}")
    named: Dict[bytes, List[bytes]] = {}
    for token, others in similar.items():
        if isinstance(others, (str, bytes)) or not isinstance(others, Sequence) or not others:
            raise WarmStartError(f"remap_rows: similar[{token!r}] must be a list of old tokens, got {others!r}")
        named[token_bytes(token)] = [token_bytes(other) for other in others]
    return named


def _problems(named: Dict[bytes, List[bytes]], old: Vocabulary, new: Vocabulary, aliases: FrozenSet[bytes]) -> Iterator[str]:
    for token, others in named.items():
        place = f"similar[{_text(token)!r}]"
        if not has_token(new, token):
            yield f"{place}: the token is not in {new.label}{_hint(token, new)}"
        elif token in aliases:
            yield f"{place}: aliases names the token too; leave it out of one of them"
        for other in others:
            if not has_token(old, other):
                yield f"{place}: {_text(other)!r} is not in {old.label}{_hint(other, old)}"


def _hint(token: bytes, vocabulary: Vocabulary) -> str:
    return did_you_mean(_text(token), [_text(known) for known in tokens_of(vocabulary)[:_MOST_SPELLINGS]])


def _text(token: bytes) -> str:
    return token.decode("utf-8", "replace")
