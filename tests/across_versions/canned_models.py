"""TensorFlow's own Estimators, small, the same from every version.

It runs without `estimator_warmstart`: another TensorFlow's Python writes old models with it.
"""

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

KINDS = ["linear", "dnn", "both"]
# Estimators of 1.x, with its optimizers, are in every version; those of 2.x take none but Keras optimizers.
APIS = ["v1", "v2"] if tf.__version__.startswith("2.") else ["v1"]


def build(kind, api, model_dir):
    """A classifier of three classes with its API's default optimizers: Ftrl for what is linear, Adagrad for the rest."""
    number = tf.feature_column.numeric_column("number")
    word = tf.feature_column.categorical_column_with_vocabulary_list("word", ["a", "b", "c"])
    linear, deep = [number, word], [number, tf.feature_column.embedding_column(word, 2)]
    estimators = (tf1 if api == "v1" else tf).estimator
    common = {"n_classes": 3, "model_dir": str(model_dir)}
    if kind == "linear":
        return estimators.LinearClassifier(linear, **common)
    if kind == "dnn":
        return estimators.DNNClassifier([4], deep, **common)
    return estimators.DNNLinearCombinedClassifier(
        linear_feature_columns=linear, dnn_feature_columns=deep, dnn_hidden_units=[4], **common
    )


def input_fn():
    features = {"number": np.float32([[1], [2], [3]]), "word": np.array([["a"], ["b"], ["c"]])}
    return tf.data.Dataset.from_tensors((features, np.int32([[0], [1], [2]]))).repeat()


def probabilities(estimator, checkpoint=None):
    """What the model says of the three examples."""
    predictions = estimator.predict(
        lambda: input_fn().take(1), predict_keys=["probabilities"], checkpoint_path=checkpoint and str(checkpoint)
    )
    return np.stack([prediction["probabilities"] for prediction in predictions])


def export(estimator, folder):
    """Exports the model as a name-based SavedModel."""
    inputs = {"number": tf.float32, "word": tf.string}

    def receiver():
        features = {name: tf1.placeholder(dtype, [None, 1]) for name, dtype in inputs.items()}
        return tf.estimator.export.ServingInputReceiver(features, features)

    estimator.export_saved_model(str(folder), receiver)
