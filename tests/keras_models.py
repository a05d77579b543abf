"""A small Keras model and its examples, and what was saved of it, by the names that a user would say.

It runs without `estimator_warmstart`, so that another TensorFlow's Python can write old models with it.
"""

import contextlib

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

tf1 = tf.compat.v1

WEIGHTS = ["dense/kernel", "dense/bias", "head/kernel", "head/bias"]
SLOTS = [f"{name}/{slot}" for name in WEIGHTS for slot in ("m", "v")]
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# The optimizers that an Estimator can use: since 2.11 Keras has others, which it cannot.
optimizers = getattr(tf.keras.optimizers, "legacy", tf.keras.optimizers)


def build(optimizer=None, names=("dense", "head"), inputs=3):
    """Two dense layers, `inputs` x 2 and 2 x 1, compiled."""
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Dense(2, input_shape=(inputs,), name=names[0]),
            tf.keras.layers.Dense(1, name=names[1]),
        ]
    )
    model.compile(optimizer or optimizers.Adam(0.5), "mse")
    return model


def examples(inputs=3):
    return np.arange(1, inputs + 1, dtype=np.float32)[None], np.float32([[1]])


def input_fn(inputs=3):
    return tf.data.Dataset.from_tensors(examples(inputs)).repeat()


def estimator(model_dir, checkpoint_format=None, **model):
    """The model as an Estimator, built in a graph of its own: names do not depend on what was built before.

    Left out, the format is the version's own: "saver" in 1.15, "checkpoint" in 2.15.
    """
    options = {} if checkpoint_format is None else {"checkpoint_format": checkpoint_format}
    with tf.Graph().as_default(), tf1.Session():
        return tf.keras.estimator.model_to_estimator(build(**model), model_dir=str(model_dir), **options)


@contextlib.contextmanager
def place_to_train():
    """Where a Keras model can be trained: eagerly, or in a graph and session of its own where execution is not eager."""
    if tf.executing_eagerly():
        yield
    else:
        with tf.Graph().as_default(), tf1.Session():
            yield


def trained(optimizer, steps=3):
    model = build(optimizer)
    model.fit(*examples(), epochs=steps, verbose=0)
    return model


def state_of(model, slots=("m", "v")):
    """{name: value} of a trained model's variables and slots, those as `dense/kernel/m` whatever the optimizer calls them."""
    variables = {weight.name.split(":")[0]: weight for weight in model.weights}
    for name, weight in list(variables.items()):
        variables.update((f"{name}/{slot}", _slot(model.optimizer, weight, slot)) for slot in slots)
    return dict(zip(variables, tf.keras.backend.batch_get_value(list(variables.values()))))


def _slot(optimizer, weight, slot):
    if hasattr(optimizer, "get_slot"):
        return optimizer.get_slot(weight, slot)
    variables = optimizer.variables
    if callable(variables):  # In 2.11.
        variables = variables()
    return next(variable for variable in variables if variable.name.endswith(f"/{slot}/{weight.name}"))


def saved_values(prefix):
    """{variable's name: value} of a checkpoint of either format."""
    reader = tf.train.load_checkpoint(str(prefix))
    names = {key: key for key in reader.get_variable_to_shape_map()}
    if OBJECT_GRAPH in names:
        proto = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(OBJECT_GRAPH))
        names = {attribute.checkpoint_key: attribute.full_name for node in proto.nodes for attribute in node.attributes}
    return {name: reader.get_tensor(key) for key, name in names.items()}
