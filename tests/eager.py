"""What tests of eager models share: Keras of each generation that is there, and eager mode on TensorFlow 1.15 too."""

import contextlib
import functools

import tensorflow as tf

tf1 = tf.compat.v1


def eager_mode():
    """A context in which TensorFlow is eager. On 1.15 it must be a private one: the public switch is for whole programs."""
    if tf.executing_eagerly():
        return contextlib.ExitStack()
    from tensorflow.python.eager import context

    return context.eager_mode()


def eagerly(test):
    """Runs a test in eager mode."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        with eager_mode():
            return test(*args, **kwargs)

    return run


def is_keras_3(keras):
    return not hasattr(keras.layers.Dense, "add_weight") or not issubclass(keras.layers.Layer, tf.Module)


def keras_modules():
    """{title: Keras}: TensorFlow's own, and tf_keras where it is installed."""
    found = {f"tf.keras {getattr(tf.keras, '__version__', '')}".strip(): tf.keras}
    with contextlib.suppress(ImportError):
        import tf_keras

        found[f"tf_keras {tf_keras.__version__}"] = tf_keras
    return found


def generations():
    """{title: (Keras, its optimizers)}: each Keras with its optimizers, and with those until 2.10 where it has them too."""
    found = {}
    for title, keras in keras_modules().items():
        found[title] = (keras, keras.optimizers)
        legacy = getattr(keras.optimizers, "legacy", None)
        if legacy is not None and hasattr(legacy, "Adagrad") and not is_keras_3(keras):
            found[f"{title}, legacy optimizers"] = (keras, legacy)
    return found


def empty_model(keras, name):
    """A Sequential without layers."""
    if tuple(map(int, tf.__version__.split(".")[:2])) < (2, 2):
        # These count up the names of layers in a process, whatever name is given: each model begins anew.
        keras.backend.clear_session()
    return keras.Sequential(name=name)


def dense_model(keras, layers=(("hidden", 2), ("head", 1)), inputs=3, name="net", **options):
    """A Sequential of dense layers with `options`."""
    model = empty_model(keras, name)
    model.add(keras.layers.InputLayer((inputs,)))
    for layer, units in layers:
        model.add(keras.layers.Dense(units, activation="tanh", name=layer, **options))
    return model
