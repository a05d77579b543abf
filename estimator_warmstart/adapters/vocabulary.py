"""Vocabularies: which token has which row, and which row of an old vocabulary a new token takes.

A file is read here once, to count and check its tokens. A graph reads it again by its path.
"""

from __future__ import annotations

import os
from typing import Any, Collection, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from estimator_warmstart.arguments import is_integer
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import FILE_ERRORS, checked_path, error_text, open_file

# A path, or tokens that are str, bytes or int.
VocabularySource = Union[str, "os.PathLike[str]", Sequence[Any], np.ndarray]

# An odd multiplier (2**64 / golden ratio) spreads the bits of words that differ little.
_HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_HASH_SHIFT = np.uint64(29)


class Vocabulary(NamedTuple):
    r"""A checked vocabulary.

    Attributes:
      size: how many tokens are used, from the first on.
      path: the path of the text file; `None` for a sequence.
      tokens: the tokens of a sequence; empty for a file.
      has_carriage_returns: whether the file's lines end in `\r\n`.
      has_empty_token: whether one of the lines is empty.
      fingerprints: sorted 64-bit hashes of the tokens, for counting what two vocabularies share.
    """

    size: int
    path: Optional[str]
    tokens: Tuple[bytes, ...]
    has_carriage_returns: bool
    has_empty_token: bool
    fingerprints: np.ndarray

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.path if self.path is not None else f"the sequence of {self.size:,} tokens"

    @property
    def short_label(self) -> str:
        """Its name in a table's row: the last part of a path."""
        return os.path.basename(self.path) if self.path is not None else f"{self.size:,} tokens"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self[:5] == other[:5]

    def __hash__(self) -> int:
        return hash(self[:5])


class HashBuckets(NamedTuple):
    """The old side of a column that was hashed: the old row of a token is its hash modulo the number of buckets.

    Attributes:
      size: the number of buckets.
      key: the two numbers of `tf.strings.to_hash_bucket_strong`; empty for `to_hash_bucket_fast`.
    """

    size: int
    key: Tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"hash_buckets({self.size:,}{f', key={list(self.key)}' if self.key else ''})"

    @property
    def short_label(self) -> str:
        """Its name in a table's row."""
        return f"{self.size:,} hash buckets"


class VocabRemapping(NamedTuple):
    """How new tokens find their old rows.

    Attributes:
      old: the old vocabulary, or the old hash buckets.
      new: the new vocabulary.
      kept: how many new rows have an old one, at most.
      buckets: how many out-of-vocabulary rows follow the new tokens.
      old_buckets: how many old rows are kept as new buckets: as many as there are, or 0.
      aliases: ((new token, old token), ...): new tokens that take another old token's row.
    """

    old: Union[Vocabulary, HashBuckets]
    new: Vocabulary
    kept: int
    buckets: int
    old_buckets: int
    aliases: Tuple[Tuple[bytes, bytes], ...]


def read_vocabulary(source: VocabularySource, size: Optional[int] = None) -> Vocabulary:
    r"""Reads, counts and checks a vocabulary.

    Args:
      source: a path that `tf.io.gfile` reads, of a text file in UTF-8 with one token per line, lines ending in `\n` or
        `\r\n`, with or without one at the end; or a sequence of str, bytes or int.
      size: how many tokens to use, from the first on; `None`: all.

    Raises:
      WarmStartError: if it is missing, is empty, is shorter than `size` or contains duplicate tokens. The message names the
        first few of these with their line numbers.
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        path = checked_path("a vocabulary", source, "a file's path or a sequence of tokens")
        content = _read_tokens(path)
        return _check_vocabulary(content, size, path, ())
    tokens = tuple(token_bytes(token) for token in source) if isinstance(source, (Sequence, np.ndarray, range)) else None
    if tokens is None:
        raise WarmStartError(f"a vocabulary must be a file or a sequence of tokens, got {source!r}")
    for number, token in enumerate(tokens):
        if b"\n" in token:
            raise WarmStartError(f"token {number} contains a newline: {token!r}")
    tokens = tokens if size is None else tokens[:size]
    return _check_vocabulary(b"".join(token + b"\n" for token in tokens), size, None, tokens)


def count_shared(old: Vocabulary, new: Vocabulary) -> int:
    """Returns how many tokens of `new` are in `old`."""
    positions = np.searchsorted(old.fingerprints, new.fingerprints)
    positions[positions == old.size] = 0
    return int(np.count_nonzero(old.fingerprints[positions] == new.fingerprints))


def token_bytes(token: Any) -> bytes:
    """Returns a token as a line of a file would hold it.

    Raises:
      WarmStartError: if it is neither str, bytes nor int.
    """
    if isinstance(token, bytes):
        return token
    if isinstance(token, str):
        try:
            return token.encode("utf-8")
        except UnicodeEncodeError as error:
            raise WarmStartError(f"the token {token!r} is not valid text: {error}") from error
    if is_integer(token):
        return str(int(token)).encode("ascii")
    raise WarmStartError(f"a token must be str, bytes or int, got {token!r}")


def has_token(vocabulary: Vocabulary, token: bytes) -> bool:
    """Whether `token` is in `vocabulary`."""
    fingerprint = _hash_lines(token, np.array([0]), np.array([len(token)]))[0]
    place = int(np.searchsorted(vocabulary.fingerprints, fingerprint))
    return place < vocabulary.size and bool(vocabulary.fingerprints[place] == fingerprint)


def rows_of(vocabulary: Vocabulary, tokens: Collection[bytes]) -> Dict[bytes, int]:
    """Returns the rows of those of `tokens` that are in `vocabulary`."""
    wanted = frozenset(tokens)
    return {token: row for row, token in enumerate(tokens_of(vocabulary)) if token in wanted}


def tokens_of(vocabulary: Vocabulary) -> Sequence[bytes]:
    """Returns the tokens that are used, in their order; those of a file are read again."""
    if vocabulary.path is None:
        return vocabulary.tokens
    lines = _read_tokens(vocabulary.path).split(b"\n")[: vocabulary.size]
    return [line[:-1] if line.endswith(b"\r") else line for line in lines] if vocabulary.has_carriage_returns else lines


def _check_vocabulary(content: bytes, size: Optional[int], path: Optional[str], tokens: Tuple[bytes, ...]) -> Vocabulary:
    name = f"the vocabulary {path}" if path is not None else "the vocabulary (a sequence)"
    starts, ends, has_carriage_returns = _line_bounds(content, is_file=path is not None)
    if not len(starts):
        raise WarmStartError(f"{name} is empty")
    if size is not None and size > len(starts):
        raise WarmStartError(f"{name} has {len(starts):,} tokens, fewer than the {size:,} that are to be used")
    starts, ends = starts[:size], ends[:size]
    hashes = _hash_lines(content, starts, ends)
    fingerprints = np.sort(hashes)
    if np.any(fingerprints[1:] == fingerprints[:-1]):
        _refuse_duplicates(name, content, starts, ends, hashes, "line" if path is not None else "token")
    return Vocabulary(len(starts), path, tokens, has_carriage_returns, bool((starts == ends).any()), fingerprints)


def _refuse_duplicates(name: str, content: bytes, starts: np.ndarray, ends: np.ndarray, hashes: np.ndarray, unit: str) -> None:
    """Raises if tokens of equal hashes are equal. Two tokens that only share a hash are not duplicates."""
    order = np.argsort(hashes, kind="mergesort")
    lines: Dict[bytes, List[int]] = {}
    for place in np.flatnonzero(hashes[order][1:] == hashes[order][:-1]):
        for row in order[place : place + 2]:
            rows = lines.setdefault(content[starts[row] : ends[row]], [])
            if row not in rows:
                rows.append(int(row))
    twice = sorted((rows, token) for token, rows in lines.items() if len(rows) > 1)
    if twice:
        shown = "; ".join(
            f"{token.decode('utf-8', 'replace')!r} in {unit}s {' and '.join(f'{row + 1:,}' for row in sorted(rows))}"
            for rows, token in twice[:3]
        )
        more = f"; and {len(twice) - 3:,} more" if len(twice) > 3 else ""
        raise WarmStartError(f"{name} contains duplicate tokens, so a row would have two places: {shown}{more}")


def _read_tokens(path: str) -> bytes:
    try:
        with open_file(path, "rb") as file:
            return bytes(file.read())
    except FILE_ERRORS as error:
        raise WarmStartError(f"the vocabulary {path} cannot be read: {error_text(error)}") from error


def _line_bounds(content: bytes, is_file: bool) -> Tuple[np.ndarray, np.ndarray, bool]:
    r"""Returns where each line begins and ends, without its line ending, and whether any ends in `\r\n`."""
    data = np.frombuffer(content, np.uint8)
    newlines = np.flatnonzero(data == 10)
    if len(data) and data[-1] != 10:
        newlines = np.append(newlines, len(data))
    starts = np.concatenate([[0], newlines[:-1] + 1]).astype(np.int64) if len(newlines) else newlines.astype(np.int64)
    ends = newlines.astype(np.int64)
    if not is_file or b"\r" not in content:
        return starts, ends, False
    has_return = (ends > starts) & (data[np.maximum(ends - 1, 0)] == 13)
    return starts, ends - has_return, bool(has_return.any())


def _hash_lines(content: bytes, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Returns a 64-bit hash of each line, made of eight bytes at a time for all lines at once."""
    padded = np.frombuffer(content + b"\0" * 8, np.uint8)
    words: np.ndarray = np.ndarray((len(content) + 1,), "<u8", padded, strides=(1,))  # The eight bytes from each position on.
    lengths = ends - starts
    hashes = lengths.astype(np.uint64) * _HASH_MULTIPLIER
    rows = np.arange(len(starts))
    for begin in range(0, int(lengths.max()) if len(lengths) else 0, 8):
        rows = rows[lengths[rows] > begin]
        taken = np.minimum(lengths[rows] - begin, 8).astype(np.uint64)
        mask = ~np.uint64(0) >> ((np.uint64(8) - taken) * np.uint64(8))
        mixed = (hashes[rows] ^ (words[starts[rows] + begin] & mask)) * _HASH_MULTIPLIER
        hashes[rows] = mixed ^ (mixed >> _HASH_SHIFT)
    return hashes
