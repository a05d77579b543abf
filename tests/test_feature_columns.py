"""The rows of a dense layer follow their feature columns, as `DenseFeatures` and `input_layer` put them side by side."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_keras_2, save_checkpoint
from estimator_warmstart import ShapeAdaptingRecoverHook, WarmStartError, adapters

tf1 = tf.compat.v1
column = tf.feature_column
pytestmark = pytest.mark.skipif(not hasattr(tf1.feature_column, "input_layer"), reason="no feature columns")

FEATURES = {
    "age": [[20.0], [40.0], [60.0]],
    "place": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
    "color": [["red"], ["blue"], ["green"]],
    "film": [["alien"], ["dune"], ["brazil"]],
    "other": [["dune"], ["alien"], ["alien"]],
}


def hashed(name, buckets=7):
    return column.categorical_column_with_hash_bucket(name, buckets)


def old_columns(layer):
    # Each layer knows the shared embeddings of its own generation.
    make_shared = tf.compat.v2.feature_column.shared_embeddings
    if layer == "input_layer":
        make_shared = tf1.feature_column.shared_embedding_columns
    return [
        column.numeric_column("age"),
        column.numeric_column("place", shape=[2]),
        column.indicator_column(column.categorical_column_with_vocabulary_list("color", ["red", "green"])),
        column.embedding_column(hashed("color"), 2),
        column.bucketized_column(column.numeric_column("place", shape=[2]), [2.5, 4.5]),
        *make_shared([hashed("film"), hashed("other")], 2),
    ]


def new_columns(layer):
    """In another order; the embedding of the color is wider, the bucketized column has one more boundary, one is new."""
    numbers = old_columns(layer)
    numbers[3] = column.embedding_column(hashed("color"), 3)
    numbers[4] = column.bucketized_column(column.numeric_column("place", shape=[2]), [2.5, 4.5, 100.0])
    return [column.numeric_column("aaa", default_value=0.0), *reversed(numbers)]


def dense(columns, layer):
    features = {name: tf.constant(values) for name, values in FEATURES.items()}
    features["aaa"] = tf.zeros([3, 1])
    if layer == "input_layer":
        return tf1.feature_column.input_layer(features, columns)
    return tf1.keras.layers.DenseFeatures(columns)(features)


class Model:
    """A dense layer behind columns, and all that it is made of."""

    def __init__(self, columns, layer):
        self.inputs = dense(columns, layer)
        width = self.inputs.shape.as_list()[1]
        self.kernel = tf1.get_variable("kernel", [width, 2], initializer=tf1.random_normal_initializer())
        self.outputs = tf.matmul(self.inputs, self.kernel)


@needs_keras_2
@pytest.mark.parametrize("layer", ["DenseFeatures", "input_layer"])
def test_a_model_computes_the_same_behind_other_columns(old_dir, layer):
    with tf.Graph().as_default(), tf1.Session() as session:
        model = Model(old_columns(layer), layer)
        session.run([tf1.global_variables_initializer(), tf1.tables_initializer()])
        tf1.train.Saver().save(session, str(old_dir / "model.ckpt"))
        expected = session.run(model.outputs)
    with tf.Graph().as_default():
        model = Model(new_columns(layer), layer)
        adapter = adapters.remap_feature_columns(old_columns(layer), new_columns(layer), fill="zeros")
        hook = ShapeAdaptingRecoverHook(str(old_dir), adapters={"kernel": adapter})
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            np.testing.assert_allclose(session.run(model.outputs), expected, rtol=1e-5)


def test_rows_that_can_be_checked_by_eye(old_dir):
    save_checkpoint(old_dir, {"v": np.float32([1, 2, 3, 4]), "v/Slot": np.float32([10, 20, 30, 40])})
    with tf.Graph().as_default():
        variables = [
            tf1.get_variable(
                name, [6], initializer=tf1.constant_initializer(-1), partitioner=tf1.fixed_size_partitioner(2), trainable=first
            )
            for name, first in (("v", True), ("v/Slot", False))
        ]
        # Sorted: age 1, color_embedding 2, zip 1; then age 1, color_embedding 3, height 1, zip 1.
        old = [column.numeric_column("zip"), column.numeric_column("age"), column.embedding_column(hashed("color"), 2)]
        new = {
            "c": column.embedding_column(hashed("color"), 3),
            **{name: column.numeric_column(name) for name in ("zip", "age")},
        }
        new["h"] = column.numeric_column("height")
        hook = ShapeAdaptingRecoverHook(str(old_dir), adapters={"v": adapters.remap_feature_columns(old, new, fill="zeros")})
        values = [tf.convert_to_tensor(variable) for variable in variables]
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            value, slot = session.run(values)
    assert value.tolist() == [1, 2, 3, 0, 0, 4]
    assert slot.tolist() == [10, 20, 30, -1, -1, 40]


def test_the_older_generation():
    if not hasattr(tf1.feature_column, "shared_embedding_columns"):
        pytest.skip("no older generation")
    with tf.Graph().as_default():
        shared = tf1.feature_column.shared_embedding_columns([hashed("film"), hashed("other")], 2)
    found = adapters.remap_feature_columns(shared, shared[:1]).steps((4, 3), (2, 3), "float32")
    assert str(found) == "(MapAxis(axis=0, axis_map=(Kept(length=2, start=0, step=1),)),)"


def test_a_bucketized_column_of_several_numbers_keeps_each_of_them():
    old, new = (
        [column.bucketized_column(column.numeric_column("place", shape=[2]), boundaries)] for boundaries in ([1.0], [1.0, 2.0])
    )
    (step,) = adapters.remap_feature_columns(old, new, fill=7).steps((4, 1), (6, 1), "float32")
    assert [tuple(segment) for segment in step.axis_map] == [(2, 0, 1), (1, 7), (2, 2, 1), (1, 7)]


@pytest.mark.parametrize(
    "columns, told",
    [
        (lambda: [column.sequence_numeric_column("a")], "'a' is a sequence column; DenseFeatures and input_layer take none"),
        (
            lambda: [column.embedding_column(column.sequence_categorical_column_with_hash_bucket("a", 3), 2)],
            "'a_embedding' is a sequence column",
        ),
        (lambda: [hashed("a")], "'a' is not a dense column (HashedCategoricalColumn); wrap a categorical one in"),
        (lambda: [3], "old_columns: 3 is not a dense column (int)"),
        (lambda: [column.numeric_column("a"), column.numeric_column("a")], "old_columns: 'a' is there twice"),
        (lambda: [], "old_columns is empty"),
        (lambda: column.numeric_column("a"), "old_columns must be a list of feature columns, got NumericColumn("),
        (lambda: "a", "old_columns must be a list of feature columns, got 'a'"),
    ],
    ids=["sequence", "embedded sequence", "categorical", "int", "twice", "none", "one", "string"],
)
def test_columns_that_it_refuses(columns, told):
    with pytest.raises(WarmStartError) as caught:
        adapters.remap_feature_columns(columns(), [column.numeric_column("a")])
    assert told in str(caught.value)


def test_widths_that_do_not_add_up(old_dir, new_graph):
    save_checkpoint(old_dir, {"v": np.zeros([3, 1], np.float32)})
    tf1.get_variable("v", [2, 1])
    ages = [column.numeric_column("age", shape=[2])]
    hook = ShapeAdaptingRecoverHook(str(old_dir), adapters={"v": adapters.remap_feature_columns(ages, ages)})
    with pytest.raises(WarmStartError, match="the widths of old_columns add up to 2, the old variable has 3 on axis 0"):
        hook.begin()
