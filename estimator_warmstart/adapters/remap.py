"""The adapters that let rows follow their names: tokens of a vocabulary, features of a concatenation."""

from __future__ import annotations

from typing import Any, Dict, Hashable, List, Mapping, Optional, Sequence, Tuple, Union, cast

from estimator_warmstart.adapters.axis_map import AxisMap, Fill, Filled, Kept, Remapped, Segment, merge_segments
from estimator_warmstart.adapters.similar_rows import similar_rows, with_similar_rows
from estimator_warmstart.adapters.transforms import (
    Adapter,
    MapAxis,
    Misfit,
    Transform,
    check_fill,
)
from estimator_warmstart.adapters.vocabulary import (
    HashBuckets,
    VocabRemapping,
    Vocabulary,
    VocabularySource,
    count_shared,
    has_token,
    read_vocabulary,
    token_bytes,
)
from estimator_warmstart.arguments import is_integer
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.tensors import Shape


def remap_rows(
    old_vocab: Union[VocabularySource, HashBuckets],
    new_vocab: VocabularySource,
    *,
    axis: int = 0,
    num_oov_buckets: int = 0,
    fill: Fill = "initial",
    old_vocab_size: Optional[int] = None,
    new_vocab_size: Optional[int] = None,
    aliases: Optional[Mapping[Any, Any]] = None,
    similar: Optional[Mapping[Any, Sequence[Any]]] = None,
) -> Adapter:
    """Moves each row to its token's place in the new vocabulary.

    Use it where ids were added, removed or reordered. Rows after the tokens are out-of-vocabulary buckets, laid out as in
    `tf.feature_column.categorical_column_with_vocabulary_file`. Where old and new have the same number of buckets, each keeps
    its row; else they are filled.

    Args:
      old_vocab: the old vocabulary: a text file with one token per line, or a sequence of str, bytes or int. Its tokens belong
        to the first rows. `tf.io.gfile` must be able to read the file, also on the machine that holds the variable. A sequence
        becomes part of the graph's definition, which cannot exceed 2 GB: give many tokens as a file. If the old column
        was hashed, `adapters.hash_buckets(n)`: the old row of each token is that of its hash, exactly.
      new_vocab: the new vocabulary, likewise. Its tokens and buckets are all the rows of the new variable.
      axis: the axis whose positions are tokens; a negative one counts from the end.
      num_oov_buckets: the number of out-of-vocabulary buckets of the new variable.
      fill: the fill value for new tokens and buckets, as for `crop_or_pad`.
      old_vocab_size: how many of the old tokens to use, from the first on; `None`: all.
      new_vocab_size: how many of the new tokens to use, from the first on; `None`: all.
      aliases: `{new token: old token}` for new tokens that take another old token's row; several may take the same row.
      similar: `{new token: [old token, ...]}` for new tokens that begin as the mean of these old tokens' rows, in slots
        too. An old token that is named twice counts twice. In a list of adapters this one must be the first that changes its
        axis, and no `remap_rows` may follow on that axis.

    Returns:
      An adapter that changes the length of one axis.

    Raises:
      WarmStartError: for a vocabulary that is missing, is empty or contains duplicate tokens (with line numbers), for an alias
        of a token that its vocabulary does not have, for unknown tokens in `similar` (with close spellings), and
        for a negative number of buckets.

    Example:
      >>> from estimator_warmstart import adapters
      >>> adapters.remap_rows(["a", "b"], ["b", "c", "a"]).steps((2, 8), (3, 8), "float32")[0].axis
      0

    Source: `tf.train.VocabInfo` and `tf.compat.v1.train.warm_start`, which do this for float32 matrices.
    """
    check_fill(fill)
    check_axis(axis)
    _check_numbers(num_oov_buckets, old_vocab_size, new_vocab_size)
    _check_hashed(old_vocab, new_vocab, old_vocab_size, similar)
    old = old_vocab if isinstance(old_vocab, HashBuckets) else read_vocabulary(old_vocab, old_vocab_size)
    new = read_vocabulary(new_vocab, new_vocab_size)
    pairs = _alias_pairs(aliases, old, new)
    means = similar_rows(similar, old, new, pairs) if isinstance(old, Vocabulary) else ()
    not_shared = sum(isinstance(old, Vocabulary) and has_token(old, token_bytes(token)) for token in similar or ())
    label = f"remap_rows({old.short_label} -> {new.short_label})"

    def steps(old_shape: Shape, new_shape: Shape, dtype: str, new_dtype: str = "") -> Tuple[Transform, ...]:
        where = axis_within(axis, old_shape, label)
        left = _rows_left(old, old_shape[where], where)
        buckets = left if left == num_oov_buckets else 0
        # An upper bound where aliases name tokens that are in both already.
        shared = count_shared(old, new) - not_shared if isinstance(old, Vocabulary) else new.size
        kept = min(shared + len(pairs), new.size - len(means)) + buckets
        remapping = VocabRemapping(old, new, kept, int(num_oov_buckets), buckets, pairs)
        whole = Remapped(new.size + num_oov_buckets, 0, 1, remapping, fill)
        return (MapAxis(where, with_similar_rows(whole, means)),)

    return Adapter(label, steps)


def remap_segments(
    old_widths: Mapping[str, int], new_widths: Mapping[str, int], *, axis: int = 0, fill: Fill = "initial"
) -> Adapter:
    """Moves the rows of a dense kernel behind a concatenation to their feature's new place.

    Use it where features were inserted, removed, reordered or widened in front of a dense layer. A feature that was widened
    keeps its old rows at its beginning; one that was narrowed loses its last rows.

    Args:
      old_widths: `{feature name: width}` in the order of the old concatenation, widths in positions of the axis.
      new_widths: the same for the new concatenation.
      axis: the concatenated axis of the kernel; a negative one counts from the end.
      fill: the fill value for new features and the new part of widened ones, as for `crop_or_pad`.

    Returns:
      An adapter that changes the length of one axis.

    Raises:
      WarmStartError: for widths that are not positive ints.

    Example:
      >>> from estimator_warmstart import adapters
      >>> swap = adapters.remap_segments({"user": 8, "film": 4}, {"film": 4, "user": 8})
      >>> swap.steps((12, 3), (12, 3), "float32")[0].axis_map
      (Kept(length=4, start=8, step=1), Kept(length=8, start=0, step=1))
    """
    check_fill(fill)
    check_axis(axis)
    old, new = _checked_widths(old_widths, "old_widths"), _checked_widths(new_widths, "new_widths")
    label = f"remap_segments({len(old)} -> {len(new)} features)"
    return segments_adapter(label, old, new, axis, fill, "old_widths add up to")


def segments_adapter(
    label: str, old: Mapping[Hashable, int], new: Mapping[Hashable, int], axis: int, fill: Fill, total_text: str
) -> Adapter:
    """Returns an adapter that moves the segments of `axis`, each called by its key, from the old order to the new one."""

    def steps(old_shape: Shape, new_shape: Shape, dtype: str, new_dtype: str = "") -> Tuple[Transform, ...]:
        where = axis_within(axis, old_shape, label)
        total = sum(old.values())
        if total != old_shape[where]:
            raise Misfit(f"{total_text} {total:,}, the old variable has {old_shape[where]:,} on axis {where}")
        return (MapAxis(where, _map_of_segments(old, new, fill)),)

    return Adapter(label, steps)


def _check_numbers(num_oov_buckets: object, old_vocab_size: object, new_vocab_size: object) -> None:
    if not (is_integer(num_oov_buckets) and cast(int, num_oov_buckets) >= 0):
        raise WarmStartError(f"remap_rows: num_oov_buckets must be 0 or more, got {num_oov_buckets!r}")
    for argument, size in (("old_vocab_size", old_vocab_size), ("new_vocab_size", new_vocab_size)):
        if size is not None and not (is_integer(size) and cast(int, size) > 0):
            raise WarmStartError(f"remap_rows: {argument} must be positive or None, got {size!r}")


def _check_hashed(old_vocab: object, new_vocab: object, old_vocab_size: object, similar: object) -> None:
    if isinstance(new_vocab, HashBuckets):
        raise WarmStartError("remap_rows: hash_buckets is for old_vocab; rehash_rows is for a column that is hashed now too")
    if isinstance(old_vocab, HashBuckets) and (old_vocab_size is not None or similar):
        raise WarmStartError(
            "remap_rows: old_vocab_size and similar are for an old vocabulary; with hash_buckets every new token has an old row"
        )


def _rows_left(old: Union[Vocabulary, HashBuckets], rows: int, axis: int) -> int:
    """Returns how many of the old variable's `rows` are not of a token, or raises `Misfit` if there are too few."""
    if isinstance(old, HashBuckets) and old.size != rows:
        raise Misfit(f"{old.label} is not the number of the old variable's rows: {rows:,} on axis {axis}")
    if old.size > rows:
        raise Misfit(f"{old.label} has {old.size:,} tokens, more than the old variable's {rows:,} on axis {axis}")
    return rows - old.size


def check_axis(axis: object) -> None:
    """Raises `WarmStartError` for an axis that is not an int."""
    if not is_integer(axis):
        raise WarmStartError(f"axis must be an int, got {axis!r}")


def axis_within(axis: int, shape: Shape, label: str) -> int:
    """Returns `axis`, counted from 0, or raises `Misfit` if `shape` has no such axis."""
    if not -len(shape) <= axis < len(shape):
        raise Misfit(f"{label}: {list(shape)} has no axis {axis}")
    return axis % len(shape)


def _checked_widths(widths: Any, argument: str) -> Dict[Hashable, int]:
    try:
        pairs = list(widths.items()) if isinstance(widths, Mapping) else [(name, width) for name, width in widths]
    except (TypeError, ValueError) as error:
        raise WarmStartError(f"remap_segments: {argument} must be {{feature name: width}} in order, got {widths!r}") from error
    for name, width in pairs:
        if not (is_integer(width) and width > 0):
            raise WarmStartError(f"remap_segments: {argument}[{name!r}] must be a positive int, got {width!r}")
    if not pairs:
        raise WarmStartError(f"remap_segments: {argument} is empty")
    if len(dict(pairs)) != len(pairs):
        raise WarmStartError(f"remap_segments: {argument} names a feature twice: {[name for name, _ in pairs]}")
    return dict(pairs)


def _map_of_segments(old: Mapping[Hashable, int], new: Mapping[Hashable, int], fill: Fill) -> AxisMap:
    starts: Dict[Hashable, int] = {}
    position = 0
    for name, width in old.items():
        starts[name], position = position, position + width
    segments: List[Segment] = []
    for name, width in new.items():
        kept = min(width, old.get(name, 0))
        segments += [Kept(kept, starts.get(name, 0)), Filled(width - kept, fill)]
    return merge_segments(segments)


def _alias_pairs(
    aliases: Optional[Mapping[Any, Any]], old: Union[Vocabulary, HashBuckets], new: Vocabulary
) -> Tuple[Tuple[bytes, bytes], ...]:
    if aliases is None:
        return ()
    if not isinstance(aliases, Mapping):
        raise WarmStartError(f"remap_rows: aliases must be {{new token: old token}}, got {aliases!r}")
    for new_token, old_token in aliases.items():
        for token, vocabulary in ((new_token, new), (old_token, old)):
            if isinstance(vocabulary, Vocabulary) and not has_token(vocabulary, token_bytes(token)):
                raise WarmStartError(
                    f"remap_rows: aliases[{new_token!r}] = {old_token!r}, but {token!r} is not in {vocabulary.label}"
                )
    return tuple((token_bytes(new_token), token_bytes(old_token)) for new_token, old_token in aliases.items())
