"""What the adapters of growing models make of eager variables is what they make in a graph."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from eager import eagerly
from estimator_warmstart import adapters, recover_into

OLD = [[1, 2], [3, 4], [5, 6]]


def hashed_rows():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        return [OLD[row] for row in session.run(tf.strings.to_hash_bucket_fast(["x", "y"], 3))]


@pytest.mark.parametrize(
    "adapter, expected",
    [
        (adapters.crop_or_pad(("zeros", "initial")), [[1, 2, -1], [3, 4, -1], [5, 6, -1], [0, 0, 0]]),
        (adapters.rehash_rows(3, 6), OLD + OLD),
        (adapters.rehash_rows(3, 1), [[3, 4]]),
        (adapters.remap_rows(list("abc"), list("cda"), similar={"d": ["a", "b"]}), [[5, 6], [2, 3], [1, 2]]),
        (adapters.remap_rows(adapters.hash_buckets(3), ["x", "y"]), hashed_rows()),
        (adapters.reshape(), [[1, 2, 3], [4, 5, 6]]),
        (adapters.transform(np.rot90, numpy=True), [[2, 4, 6], [1, 3, 5]]),
        (adapters.shrink_perturb(0.5, 0), [[0.5, 1], [1.5, 2], [2.5, 3]]),
    ],
    ids=["fills", "more buckets", "fewer buckets", "similar", "hashed", "reshape", "numpy", "shrink"],
)
@eagerly
def test_an_eager_variable(old_dir, adapter, expected):
    save_checkpoint(old_dir, {"v": np.float32(OLD)})
    variable = tf.Variable(tf.fill(np.shape(expected), -1.0))
    recover_into({"v": variable}, str(old_dir), adapters={"v": adapter})
    np.testing.assert_allclose(variable.numpy(), expected)


@pytest.mark.skipif(not hasattr(tf, "feature_column"), reason="no feature columns")
@eagerly
def test_an_eager_kernel_behind_feature_columns(old_dir):
    """`height` comes between the two that were there: columns are sorted by name."""
    age, place, height = (tf.feature_column.numeric_column(*each) for each in (["age"], ["place", [2]], ["height"]))
    save_checkpoint(old_dir, {"kernel": np.float32(OLD)})
    kernel = tf.Variable(tf.fill([4, 2], -1.0))
    adapter = adapters.remap_feature_columns([age, place], [place, height, age])
    recover_into({"kernel": kernel}, str(old_dir), adapters={"kernel": adapter})
    assert kernel.numpy().tolist() == [[1, 2], [-1, -1], [3, 4], [5, 6]]
