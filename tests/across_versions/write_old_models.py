"""Run by another TensorFlow's Python: trains old models and writes them, with all their values, below a folder.

    write_old_models.py (estimators | objects) FOLDER

Next to each model is `values.npz`, {variable's name: value}, and `predictions.npy`, as this TensorFlow sees them.
"""

import os
import sys

import numpy as np
import tensorflow as tf

import canned_models
import keras_models

STEPS = 3


def write(folder, values, predictions):
    os.makedirs(folder, exist_ok=True)
    np.savez(os.path.join(folder, "values.npz"), **values)
    np.save(os.path.join(folder, "predictions.npy"), predictions)


def write_estimators(folder):
    for api in canned_models.APIS:
        for kind in canned_models.KINDS:
            path = os.path.join(folder, api, kind)
            estimator = canned_models.build(kind, api, os.path.join(path, "model"))
            estimator.train(canned_models.input_fn, steps=STEPS)
            values = {name: estimator.get_variable_value(name) for name in estimator.get_variable_names()}
            write(path, values, canned_models.probabilities(estimator))
            if kind == "dnn":
                canned_models.export(estimator, os.path.join(path, "export"))
    path = os.path.join(folder, "keras")
    estimator = keras_models.estimator(os.path.join(path, "model"), optimizer=keras_models.optimizers.Adam(0.1))
    estimator.train(keras_models.input_fn, steps=STEPS)
    predictions = next(estimator.predict(keras_models.input_fn))["head"]
    write(path, keras_models.saved_values(tf.train.latest_checkpoint(estimator.model_dir)), predictions)


def write_objects(folder):
    tf.compat.v1.enable_v2_behavior()
    for name, optimizers in {"legacy": keras_models.optimizers, "new": tf.keras.optimizers}.items():
        model = keras_models.trained(optimizers.Adam(0.1), steps=STEPS)
        path = os.path.join(folder, name)
        model.save_weights(os.path.join(path, "save_weights", "weights"), save_format="tf")
        objects = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        objects.save(os.path.join(path, "Checkpoint", "objects"))
        tf.saved_model.save(model, os.path.join(path, "SavedModel"))
        write(path, keras_models.state_of(model), model.predict(keras_models.examples()[0])[0])


if __name__ == "__main__":
    {"estimators": write_estimators, "objects": write_objects}[sys.argv[1]](sys.argv[2])
    print(tf.__version__)
