"""Old models of the other TensorFlow: what it wrote, and what it says is in there."""

import os
import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf

import keras_models

OTHER_PYTHON = "ESTIMATOR_WARMSTART_OTHER_PYTHON"
HERE = pathlib.Path(__file__).resolve().parent
IS_TF2 = tf.__version__.startswith("2.")


def write_old_models(what, folder):
    """Has the other TensorFlow write old models below `folder`; skips where there is none."""
    python = os.environ.get(OTHER_PYTHON)
    if not python:
        pytest.skip(f"set {OTHER_PYTHON} to the Python of an environment with the other TensorFlow, 1.15 or 2.15")
    # The models in tests/ are the only thing of this checkout that it imports.
    environment = dict(os.environ, PYTHONPATH=str(HERE.parent))
    child = subprocess.run(
        [python, str(HERE / "write_old_models.py"), what, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr[-4000:]
    other = child.stdout.split()[-1]
    assert other.startswith("1.") == IS_TF2, f"{OTHER_PYTHON} has TensorFlow {other}, and here is {tf.__version__}"


class OldModel:
    """One old model.

    Attributes:
      values: {variable's name: value} as the other TensorFlow read it.
      predictions: as the other TensorFlow made them.
    """

    def __init__(self, folder):
        self.folder = folder
        with np.load(str(folder / "values.npz")) as values:
            self.values = dict(values)
        self.predictions = np.load(str(folder / "predictions.npy"))

    def assert_in(self, new, names):
        """`new` {name: value} has the old values under the same names."""
        for name in names:
            np.testing.assert_array_equal(new[name], self.values[name], err_msg=name)
        # One bias may be 0 still, where a unit is dead.
        assert any(np.any(new[name] != 0) for name in names), f"nothing to see in {names}"

    def assert_predicted(self, predictions):
        # Another version may add up in another order.
        np.testing.assert_allclose(predictions, self.predictions, rtol=1e-5)


def warm_keras(folder, hook):
    """Trains a Keras Estimator a step; what `model.ckpt-0` holds, and predicts at step 0."""
    estimator = keras_models.estimator(folder)
    estimator.train(keras_models.input_fn, steps=1, hooks=[hook])
    first = folder / "model.ckpt-0"
    return keras_models.saved_values(first), next(estimator.predict(keras_models.input_fn, checkpoint_path=str(first)))["head"]
