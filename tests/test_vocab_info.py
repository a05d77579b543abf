"""The same values as TensorFlow's own VocabInfo wherever that can do the job; what it cannot do, done or refused."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import ShapeAdaptingRecoverHook, WarmStartError, adapters
from estimator_warmstart.restore import vocab_remapping
from shared_models import vocabulary

tf1 = tf.compat.v1

OLD_TOKENS, NEW_TOKENS = ["a", "b", "c", "d"], ["x", "d", "y", "a", "c"]
BACKUP = -7


def make(shape, parts=None, dtype=tf.float32):
    partitioner = tf1.fixed_size_partitioner(parts) if parts else None
    return tf1.get_variable("v", shape, dtype, initializer=tf1.constant_initializer(BACKUP), partitioner=partitioner)


def backup(shape, dtype=tf.float32, partition_info=None):
    return tf.fill(shape, tf.cast(BACKUP, dtype))  # Asked for a shape that is a tensor.


def parts_of(variable):
    return list(variable) if type(variable).__name__ == "PartitionedVariable" else [variable]


def by_vocab_info(prefix, shape, parts, dtype=tf.float32, **options):
    with tf.Graph().as_default(), tf1.Session() as session:
        v = make(shape, parts, dtype)
        info = tf1.train.VocabInfo(backup_initializer=backup, **options)
        tf1.train.warm_start(prefix, vars_to_warm_start="v", var_name_to_vocab_info={"v": info})
        session.run(tf1.global_variables_initializer())
        return np.concatenate(session.run(parts_of(v)))


def by_hook(prefix, shape, parts, adapter, dtype=tf.float32):
    with tf.Graph().as_default():
        v = make(shape, parts, dtype)
        with tf1.train.MonitoredSession(hooks=[ShapeAdaptingRecoverHook(prefix, None, {"v": adapter})]) as session:
            return np.concatenate(session.run(parts_of(v)))


@pytest.fixture
def files(tmp_path):
    """The paths of the old and the new vocabulary."""
    return vocabulary(tmp_path, *OLD_TOKENS), vocabulary(tmp_path, *NEW_TOKENS)


all_parts = pytest.mark.parametrize(
    "old_parts, new_parts",
    [
        (None, None),
        (2, None),
        (None, 2),
        (2, 3),
        (3, 2),
    ],
    ids=["whole", "old in 2", "new in 2", "2 to 3", "3 to 2"],
)


@all_parts
class TestTheSame:
    def test_rows(self, old_dir, files, old_parts, new_parts):
        old = np.arange(12, dtype=np.float32).reshape(4, 3)
        prefix = save_checkpoint(old_dir, {"v": old}, {"v": old_parts} if old_parts else None)
        theirs = by_vocab_info(
            prefix, [5, 3], new_parts, new_vocab=files[1], new_vocab_size=5, num_oov_buckets=0, old_vocab=files[0]
        )
        ours = by_hook(prefix, [5, 3], new_parts, adapters.remap_rows(*files))
        assert ours.tolist() == theirs.tolist()
        assert ours[:, 0].tolist() == [BACKUP, 9, BACKUP, 0, 6]

    def test_tokens_that_are_looked_up_in_pieces(self, monkeypatch, tmp_path, old_dir, old_parts, new_parts):
        monkeypatch.setattr(vocab_remapping, "_KEYS_PER_LOOKUP", 8)
        old_file = vocabulary(tmp_path, *map(str, range(20)))
        new_file = vocabulary(tmp_path, *map(str, range(19, 0, -1)), "x", "0")
        old = np.arange(20, dtype=np.float32)[:, np.newaxis]
        prefix = save_checkpoint(old_dir, {"v": old}, {"v": old_parts} if old_parts else None)
        ours = by_hook(prefix, [21, 1], new_parts, adapters.remap_rows(old_file, new_file))
        assert ours.ravel().tolist() == [*range(19, 0, -1), BACKUP, 0]

    def test_a_constrained_old_size(self, old_dir, files, old_parts, new_parts):
        old = np.arange(12, dtype=np.float32).reshape(4, 3)
        prefix = save_checkpoint(old_dir, {"v": old}, {"v": old_parts} if old_parts else None)
        theirs = by_vocab_info(
            prefix,
            [5, 3],
            new_parts,
            new_vocab=files[1],
            new_vocab_size=5,
            num_oov_buckets=0,
            old_vocab=files[0],
            old_vocab_size=3,
        )
        ours = by_hook(prefix, [5, 3], new_parts, adapters.remap_rows(*files, old_vocab_size=3))
        assert ours.tolist() == theirs.tolist()
        assert ours[:, 0].tolist() == [BACKUP, BACKUP, BACKUP, 0, 6]

    def test_a_constrained_new_size(self, old_dir, files, old_parts, new_parts):
        old = np.arange(12, dtype=np.float32).reshape(4, 3)
        prefix = save_checkpoint(old_dir, {"v": old}, {"v": old_parts} if old_parts else None)
        theirs = by_vocab_info(
            prefix, [4, 3], new_parts, new_vocab=files[1], new_vocab_size=4, num_oov_buckets=0, old_vocab=files[0]
        )
        ours = by_hook(prefix, [4, 3], new_parts, adapters.remap_rows(*files, new_vocab_size=4))
        assert ours.tolist() == theirs.tolist()
        assert ours[:, 0].tolist() == [BACKUP, 9, BACKUP, 0]

    @pytest.mark.parametrize("old_buckets, new_buckets", [(0, 2), (2, 1), (1, 0), (2, 2)])
    def test_buckets(self, old_dir, files, old_parts, new_parts, old_buckets, new_buckets):
        """Where as many buckets are old as new, ours keeps them bucket by bucket; VocabInfo never does.

        A token's bucket depends on their number alone, so equal numbers mean the same tokens in each. Only the rows of the
        tokens are to be the same then.
        """
        old = np.arange(3 * (4 + old_buckets), dtype=np.float32).reshape(-1, 3)
        prefix = save_checkpoint(old_dir, {"v": old}, {"v": old_parts} if old_parts else None)
        theirs = by_vocab_info(
            prefix,
            [5 + new_buckets, 3],
            new_parts,
            new_vocab=files[1],
            new_vocab_size=5,
            num_oov_buckets=new_buckets,
            old_vocab=files[0],
        )
        ours = by_hook(prefix, [5 + new_buckets, 3], new_parts, adapters.remap_rows(*files, num_oov_buckets=new_buckets))
        assert ours[:5].tolist() == theirs[:5].tolist()
        assert theirs[5:].tolist() == [[BACKUP] * 3] * new_buckets
        assert ours[5:].tolist() == (old[4:].tolist() if old_buckets == new_buckets else theirs[5:].tolist())

    def test_columns(self, old_dir, files, old_parts, new_parts):
        old = np.arange(12, dtype=np.float32).reshape(3, 4)
        prefix = save_checkpoint(old_dir, {"v": old}, {"v": old_parts} if old_parts else None)
        theirs = by_vocab_info(
            prefix, [3, 5], new_parts, new_vocab=files[1], new_vocab_size=5, num_oov_buckets=0, old_vocab=files[0], axis=1
        )
        ours = by_hook(prefix, [3, 5], new_parts, adapters.remap_rows(*files, axis=1))
        assert ours.tolist() == theirs.tolist()
        assert ours[0].tolist() == [BACKUP, 3, BACKUP, 0, 2]


@pytest.mark.parametrize(
    "dtype, shape",
    [(np.float32, [4]), (np.float64, [4, 3]), (np.int64, [4, 3])],
    ids=[
        "a vector",
        "float64",
        "int64",
    ],
)
def test_what_vocab_info_cannot_do(old_dir, files, dtype, shape):
    old = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    prefix = save_checkpoint(old_dir, {"v": old})
    new_shape = [5] + shape[1:]
    with pytest.raises(Exception):  # noqa: B017 - which one differs between TensorFlow's versions.
        by_vocab_info(
            prefix,
            new_shape,
            None,
            dtype=tf.as_dtype(dtype),
            new_vocab=files[1],
            new_vocab_size=5,
            num_oov_buckets=0,
            old_vocab=files[0],
        )
    ours = by_hook(prefix, new_shape, None, adapters.remap_rows(*files), tf.as_dtype(dtype))
    backup = np.full(shape[1:], BACKUP)
    expected = np.stack([backup, old[3], backup, old[0], old[2]])
    assert ours.dtype == dtype and ours.tolist() == expected.tolist()


def test_duplicate_tokens_are_refused_before_the_session(tmp_path, files):
    twice = vocabulary(tmp_path, *"aba")
    with pytest.raises(WarmStartError, match=rf"{twice} contains duplicate tokens.*'a' in lines 1 and 3"):
        adapters.remap_rows(twice, files[1])
    with pytest.raises(WarmStartError, match=rf"{twice} contains duplicate tokens"):
        adapters.remap_rows(files[0], twice)
