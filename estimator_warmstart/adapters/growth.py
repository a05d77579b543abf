"""Hash tables: another number of buckets, or a vocabulary, with which each id finds the row that it had."""

from __future__ import annotations

from typing import List, Sequence, Tuple

from estimator_warmstart.adapters.axis_map import Averaged, AxisMap, Kept, merge_segments
from estimator_warmstart.adapters.remap import axis_within, check_axis
from estimator_warmstart.adapters.transforms import Adapter, MapAxis, Misfit, Transform
from estimator_warmstart.adapters.vocabulary import HashBuckets
from estimator_warmstart.arguments import is_integer
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.tensors import Shape


def hash_buckets(num_buckets: int, *, key: Sequence[int] = ()) -> HashBuckets:
    """Stands for the old vocabulary of `remap_rows` where the old column was hashed.

    Use it to move a hash table to a vocabulary: the row of a token is the old row of its hash, exactly.

    Args:
      num_buckets: the number of buckets of the old column, which is the number of the old variable's rows.
      key: the two numbers of `tf.strings.to_hash_bucket_strong`, if that is the old column's hash. A salt of
        `tf.keras.layers.Hashing` is such a key: `salt=7` is `key=(7, 7)`. Empty for `tf.strings.to_hash_bucket_fast`, which
        `tf.feature_column.categorical_column_with_hash_bucket` and `tf.keras.layers.Hashing` use. These hash an integer by
        its digits, as a vocabulary writes it.

    Returns:
      A value for `old_vocab` of `remap_rows`.

    Raises:
      WarmStartError: for a number of buckets or a key that is not valid.

    Example:
      >>> from estimator_warmstart import adapters
      >>> adapters.remap_rows(adapters.hash_buckets(1000), ["alien", "brazil"])
      remap_rows(1,000 hash buckets -> 2 tokens)
    """
    if not (is_integer(num_buckets) and num_buckets > 0):
        raise WarmStartError(f"hash_buckets: num_buckets must be a positive int, got {num_buckets!r}")
    is_key = isinstance(key, Sequence) and len(key) in (0, 2)
    if not is_key or not all(is_integer(number) and 0 <= number < 2**63 for number in key):
        raise WarmStartError(f"hash_buckets: key must be two ints of 0 or more, or empty, got {key!r}")
    return HashBuckets(int(num_buckets), tuple(int(number) for number in key))


def rehash_rows(old_buckets: int, new_buckets: int, *, axis: int = 0) -> Adapter:
    """Lets each id of a hash table find the row that it had, with another number of buckets.

    Use it where a column is hashed into more buckets now, or into fewer. The row of an id is its hash modulo the number of
    buckets, and `(hash mod 2n) mod n` is `hash mod n`. So if the new number is a multiple of the old one, the new table is the
    old one, repeated, and the model computes the same for every id. Ids that shared a row begin alike, and training separates
    them. If the old number is a multiple of the new one, each new row is the mean of the old rows that now share it. Slots go
    with their rows.

    Args:
      old_buckets: the number of buckets of the old variable: all its positions on `axis`.
      new_buckets: the number of buckets of the new variable. One of the two numbers divides the other.
      axis: the axis whose positions are buckets; a negative one counts from the end.

    Returns:
      An adapter that changes the length of one axis. The hash function must be the same as before.

    Raises:
      WarmStartError: for numbers of which neither divides the other, with the nearest ones that work.

    Example:
      >>> from estimator_warmstart import adapters
      >>> adapters.rehash_rows(3, 6).steps((3, 8), (6, 8), "float32")[0].axis_map
      (Kept(length=3, start=0, step=1), Kept(length=3, start=0, step=1))
      >>> adapters.rehash_rows(2, 1).steps((2, 8), (1, 8), "float32")[0].axis_map
      (Averaged(length=1, runs=(Kept(length=1, start=0, step=1), Kept(length=1, start=1, step=1))),)

    Source: `tf.strings.to_hash_bucket_fast` and `_strong`, `tf.feature_column.categorical_column_with_hash_bucket` and
    `tf.keras.layers.Hashing` without a `mask_value` take a hash modulo the number of buckets.
    """
    check_axis(axis)
    for argument, buckets in (("old_buckets", old_buckets), ("new_buckets", new_buckets)):
        if not (is_integer(buckets) and buckets > 0):
            raise WarmStartError(f"rehash_rows: {argument} must be a positive int, got {buckets!r}")
    old, new = int(old_buckets), int(new_buckets)
    if new % old and old % new:
        raise WarmStartError(
            f"rehash_rows: an old row says nothing about the new ones unless one number of buckets divides the other, and "
            f"neither of {old:,} and {new:,} does; near {new:,}, {_near(old, new)} would do"
        )
    label = f"rehash_rows({old:,} -> {new:,} buckets)"

    def steps(old_shape: Shape, new_shape: Shape, dtype: str, new_dtype: str = "") -> Tuple[Transform, ...]:
        where = axis_within(axis, old_shape, label)
        if old_shape[where] != old:
            raise Misfit(f"old_buckets is {old:,}, the old variable has {old_shape[where]:,} on axis {where}")
        return (MapAxis(where, _map_of_buckets(old, new)),) if new != old else ()

    return Adapter(label, steps)


def _map_of_buckets(old: int, new: int) -> AxisMap:
    if new > old:
        return (Kept(old, 0),) * (new // old)
    return merge_segments([Averaged(new, tuple(Kept(new, start) for start in range(0, old, new)))])


def _near(old: int, new: int) -> str:
    """Returns the nearest numbers of buckets on both sides of `new` that `old` goes with."""
    if new > old:
        found = [new // old * old, (new // old + 1) * old]
    else:
        found = [max(each for each in _divisors(old) if each < new), min(each for each in _divisors(old) if each > new)]
    return " or ".join(f"{each:,}" for each in found)


def _divisors(number: int) -> List[int]:
    small = [each for each in range(1, int(number**0.5) + 1) if number % each == 0]
    return small + [number // each for each in small]
