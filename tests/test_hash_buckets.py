"""Another number of hash buckets: every id finds its old row, whichever of TensorFlow's functions hashes it."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import ShapeAdaptingRecoverHook, WarmStartError, adapters, format_report

tf1 = tf.compat.v1

OLD, NEW = 1000, 10000
TOKENS = [f"token {number}" for number in range(100000)]
NUMBERS = np.arange(0, 7 * 100000, 7, dtype=np.int64)


def by_column(buckets):
    """What a column hashes with, without the one-hot vectors of a hundred thousand tokens."""
    from tensorflow.python.feature_column import feature_column_v2

    column = feature_column_v2.categorical_column_with_hash_bucket("f", buckets)
    cache = feature_column_v2.FeatureTransformationCache({"f": tf.constant(TOKENS)[:, tf.newaxis]})
    return cache.get(column, None).values


HASHES = {
    "fast": lambda buckets: tf.strings.to_hash_bucket_fast(TOKENS, buckets),
    "strong": lambda buckets: tf.strings.to_hash_bucket_strong(TOKENS, buckets, [1, 2]),
    "column": by_column,
    "integers": lambda buckets: tf.math.floormod(tf.constant(NUMBERS), buckets),
}
if hasattr(tf.keras.layers, "Hashing"):
    HASHES["keras"] = lambda buckets: tf.keras.layers.Hashing(buckets)(tf.constant(TOKENS))
    HASHES["keras with a salt"] = lambda buckets: tf.keras.layers.Hashing(buckets, salt=7)(tf.constant(TOKENS))
    HASHES["keras of integers"] = lambda buckets: tf.keras.layers.Hashing(buckets)(tf.constant(NUMBERS))


def recovered(folder, old, new, adapter):
    """The new table, of an old one whose rows are their own numbers."""
    save_checkpoint(folder, {"v": np.arange(old, dtype=np.float32)})
    with tf.Graph().as_default():
        table = tf1.get_variable("v", [new], initializer=tf1.constant_initializer(-1))
        with tf1.train.MonitoredSession(hooks=[ShapeAdaptingRecoverHook(str(folder), adapters={"v": adapter})]) as session:
            return session.run(table)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    return recovered(tmp_path_factory.mktemp("grown"), OLD, NEW, adapters.rehash_rows(OLD, NEW))


@pytest.fixture(scope="module")
def shrunk(tmp_path_factory):
    return recovered(tmp_path_factory.mktemp("shrunk"), NEW, OLD, adapters.rehash_rows(NEW, OLD))


@pytest.mark.parametrize("name", sorted(HASHES))
class TestEachHash:
    def run(self, name):
        with tf.Graph().as_default(), tf1.Session() as session:
            return session.run([HASHES[name](buckets) for buckets in (OLD, NEW)])

    def test_every_id_finds_its_old_row(self, name, grown):
        old_ids, new_ids = self.run(name)
        assert len(new_ids) == 100000 and len(set(new_ids.tolist())) > 9000
        np.testing.assert_array_equal(grown[new_ids], old_ids)

    def test_a_new_row_is_the_mean_of_those_that_share_it(self, name, shrunk):
        new_ids, old_ids = self.run(name)
        # Of r, r + 1000, ..., r + 9000.
        np.testing.assert_array_equal(old_ids % OLD, new_ids)
        np.testing.assert_array_equal(shrunk[new_ids], new_ids + 4500)


@pytest.mark.parametrize(
    "old, new, told",
    [
        (10, 25, "neither of 10 and 25 does; near 25, 20 or 30 would do"),
        (1000, 1500, "near 1,500, 1,000 or 2,000 would do"),
        (12, 5, "near 5, 4 or 6 would do"),
        (7, 3, "near 3, 1 or 7 would do"),
    ],
)
def test_numbers_that_do_not_divide_each_other(old, new, told):
    with pytest.raises(WarmStartError, match=told):
        adapters.rehash_rows(old, new)


@pytest.mark.parametrize("old, new, told", [(0, 3, "old_buckets must be a pos.*got 0"), (3, 1.5, "new_buckets .* got 1.5")])
def test_what_is_not_a_number_of_buckets(old, new, told):
    with pytest.raises(WarmStartError, match=told):
        adapters.rehash_rows(old, new)


@pytest.mark.parametrize(
    "adapter, told",
    [
        (adapters.rehash_rows(2, 4), "old_buckets is 2, the old variable has 3 on axis 0"),
        (adapters.rehash_rows(3, 9), r"into \[9\], but the new 'v' has shape \[6\]"),
        (adapters.rehash_rows(3, 6, axis=1), r"\[3\] has no axis 1"),
        ([adapters.take(np.s_[::-1]), adapters.rehash_rows(3, 1)], "the mean of old rows is not possible after another"),
    ],
    ids=["old", "new", "axis", "after another"],
)
def test_tables_that_it_does_not_fit(old_dir, adapter, told):
    with pytest.raises(WarmStartError, match=told):
        recovered(old_dir, 3, 6, adapter)


def test_strings_have_no_mean(old_dir, new_graph):
    save_checkpoint(old_dir, {"v": np.array([b"a", b"b"])})
    tf1.get_variable("v", [1], tf.string, initializer=tf1.constant_initializer(b""))
    with pytest.raises(WarmStartError, match="string values have no mean"):
        ShapeAdaptingRecoverHook(str(old_dir), adapters={"v": adapters.rehash_rows(2, 1)}).begin()


def test_the_plan_counts_what_is_kept(old_dir, new_graph):
    save_checkpoint(old_dir, {"v": np.zeros([4, 2], np.float32), "w": np.zeros([4], np.float32)})
    tf1.get_variable("v", [8, 3])
    tf1.get_variable("w", [2])
    grown = [adapters.rehash_rows(4, 8), adapters.crop_or_pad("zeros")]
    hook = ShapeAdaptingRecoverHook(str(old_dir), adapters={"v": grown, "w": adapters.rehash_rows(4, 2)})
    hook.begin()
    text = format_report(hook.plan)
    assert "adapted, 66.67 % old, 100 % of the old kept: rehash_rows(4 -> 8 buckets) then crop_or_pad(fill='zeros')" in text
    assert "adapted, 100 % old, 100 % of the old kept: rehash_rows(4 -> 2 buckets)" in text
