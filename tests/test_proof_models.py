"""prove_recovery on whole models: a canned Estimator with every kind of feature column, a Keras model, the book's."""

import os

import numpy as np
import pytest
import tensorflow as tf

import test_book
from conftest import needs_estimator, needs_keras_2
from estimator_warmstart import prove_recovery, warm_started

pytestmark = needs_estimator

tf1 = tf.compat.v1
fc = tf.feature_column
book, digits = test_book.book, test_book.digits

ROWS = {
    "age": [[31.0], [7.0], [64.0], [25.0]],
    "hours": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [0.5, 0.0]],
    "city": [["rome"], ["oslo"], ["lima"], ["rome"]],
    "film": [["alien"], ["brazil"], ["casino"], ["nobody knows"]],
    "seen": [["brazil"], ["alien"], ["alien"], ["casino"]],
    "month": [[0], [11], [5], [5]],
    "tags": [["a", "b"], ["b", "b"], ["c", "a"], ["d", "c"]],
    "weights": [[0.5, 1.0], [2.0, 1.0], [1.0, 1.0], [0.1, 3.0]],
}


def rows():
    return tf.data.Dataset.from_tensors((dict(ROWS), [[1], [0], [2], [1]])).repeat()


def columns(vocabulary_file):
    """(linear, deep) columns of every kind."""
    age = fc.numeric_column("age", normalizer_fn=lambda age: age / 100)
    aged = fc.bucketized_column(fc.numeric_column("age"), [18, 40])
    city = fc.categorical_column_with_hash_bucket("city", 50)
    film = fc.categorical_column_with_vocabulary_file("film", vocabulary_file, 3, num_oov_buckets=1)
    month = fc.categorical_column_with_identity("month", 12)
    tags = fc.weighted_categorical_column(fc.categorical_column_with_vocabulary_list("tags", ["a", "b", "c"]), "weights")
    both = [fc.categorical_column_with_vocabulary_list(name, ["alien", "brazil", "casino"]) for name in ("film", "seen")]
    with tf.Graph().as_default():  # TensorFlow 2 makes shared columns in no other place.
        share = getattr(fc, "shared_embeddings", None) or tf1.feature_column.shared_embedding_columns
        shared = share(both, 2)
    linear = [aged, city, month, tags, fc.crossed_column(["city", aged], 100), fc.crossed_column(["film", "seen"], 30)]
    deep = [age, fc.numeric_column("hours", shape=[2]), aged, fc.embedding_column(city, 3), fc.embedding_column(tags, 2)]
    return linear, deep + [fc.indicator_column(month), fc.indicator_column(film), *shared]


@pytest.mark.slow
def test_a_canned_estimator_with_every_kind_of_column(tmp_path):
    (tmp_path / "films.txt").write_text("alien\nbrazil\ncasino\n")

    def canned(name):
        linear, deep = columns(str(tmp_path / "films.txt"))
        return tf.estimator.DNNLinearCombinedClassifier(
            str(tmp_path / name),
            linear_feature_columns=linear,
            dnn_feature_columns=deep,
            dnn_hidden_units=[8, 4],
            n_classes=3,
            batch_norm=True,
            dnn_dropout=0.5,
        )

    old = canned("old").train(rows, steps=5)
    proof = prove_recovery(old, warm_started(canned("new"), old.model_dir), rows)
    assert proof.holds and proof.max_difference == 0
    assert {compared.name for compared in proof.predictions} >= {"logits", "probabilities", "class_ids", "classes"}
    assert {compared.expected for compared in proof.predictions} == {"identical"}
    assert {compared.rows for compared in proof.predictions} == {4}
    assert not (tmp_path / "new").exists()

    statistics = "dnn/hiddenlayer_0/batchnorm_0/moving_variance"
    proof = prove_recovery(old, warm_started(canned("new"), old.model_dir, exclude=statistics), rows)
    assert not proof.holds and proof.first_difference.variable == statistics
    assert proof.first_difference.layer == "dnn/hiddenlayer_0/batchnorm_0"


@pytest.mark.slow
@needs_keras_2
def test_an_estimator_of_a_keras_model(tmp_path):
    def estimator(name, units):
        inputs = tf.keras.Input([3], name="x")
        hidden = tf.keras.layers.Dense(units, "relu", name="hidden")(inputs)
        hidden = tf.keras.layers.BatchNormalization(name="norm")(tf.keras.layers.Dropout(0.5)(hidden))
        model = tf.keras.Model(inputs, tf.keras.layers.Dense(1, name="score")(hidden))
        model.compile(tf1.train.AdagradOptimizer(0.1), "mse")
        return tf.keras.estimator.model_to_estimator(model, model_dir=str(tmp_path / name))

    def input_fn():
        x = np.random.RandomState(0).normal(size=[4, 3]).astype(np.float32)
        return tf.data.Dataset.from_tensors(({"x": x}, x[:, :1])).repeat()

    old = estimator("old", 4).train(input_fn, steps=3)
    new = estimator("new", 4)
    before = sorted(os.listdir(new.model_dir))
    proof = prove_recovery(old, warm_started(new, old.model_dir), input_fn)
    assert proof.holds and proof.max_difference == 0 and proof.predictions[0].expected == "identical"
    assert sorted(os.listdir(new.model_dir)) == before

    cold = warm_started(new, old.model_dir, exclude="norm/moving_.*")
    proof = prove_recovery(old, cold, input_fn)
    assert not proof.holds and proof.first_difference.layer == "norm"


@pytest.mark.slow
def test_the_books_model(book, digits, tmp_path):
    images, labels = digits

    def model_fn(features, labels, mode):
        logits = test_book.network(features["image"])
        if mode == tf.estimator.ModeKeys.PREDICT:
            return tf.estimator.EstimatorSpec(mode, {"logits": logits, "digit": tf.argmax(logits, axis=1)})
        loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        train_op = tf1.train.MomentumOptimizer(0.02, 0.9).minimize(loss, tf1.train.get_global_step())
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    def input_fn():
        return tf.data.Dataset.from_tensors(({"image": images}, labels))

    def estimator(name):
        return tf.estimator.Estimator(model_fn, str(tmp_path / name))

    new = warm_started(estimator("new"), book)
    proof = prove_recovery(estimator("old"), new, input_fn, checkpoint_path=book)
    assert proof.holds and proof.max_difference == 0
    assert [(each.name, each.expected, each.rows) for each in proof.predictions] == [
        ("logits", "identical", 10000),
        ("digit", "identical", 10000),
    ]
    assert os.listdir(str(tmp_path)) == []

    new = warm_started(estimator("new"), book, exclude="hidden3/bias")
    proof = prove_recovery(estimator("old"), new, input_fn, checkpoint_path=book)
    assert not proof.holds
    assert (proof.first_difference.layer, proof.first_difference.variable) == ("hidden3", "hidden3/bias")
    assert np.isfinite(proof.max_difference)
