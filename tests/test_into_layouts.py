"""`recover_into` from models of `tf.compat.v1.layers` and the like: what layers of two generations call and keep differently.

Every value has one layout in all generations, so a rename is enough; the predictions are equal.
"""

import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from eager import eagerly, empty_model, keras_modules
from estimator_warmstart import WarmStartError, format_report, recover_into

tf1 = tf.compat.v1
KERAS = keras_modules()
EACH_KERAS = pytest.mark.parametrize("keras", list(KERAS.values()), ids=list(KERAS))
ANY_KERAS = next(iter(KERAS.values()))
HAS_TF1_LAYERS = hasattr(tf1, "layers") and hasattr(tf1.layers, "dense")
IMAGES = np.random.RandomState(0).uniform(-1, 1, [2, 6, 6, 2]).astype(np.float32)
ROWS = np.random.RandomState(1).uniform(-1, 1, [4, 3]).astype(np.float32)
IDS = np.int32([[0, 2], [1, 1]])


def write_old_model(folder, build, inputs):
    """Builds a model in a graph, gives each variable values of its own, saves it; returns what it predicts."""
    with tf.Graph().as_default(), tf1.Session() as session:
        outputs = build(tf.constant(inputs))
        session.run(tf1.global_variables_initializer())
        random = np.random.RandomState(2)
        for variable in tf1.global_variables():
            # Variances are positive.
            session.run(tf1.assign(variable, random.uniform(0.1, 1, variable.shape.as_list()).astype(np.float32)))
        tf1.train.Saver().save(session, os.path.join(str(folder), "model.ckpt"))
        return session.run(outputs)


def weights(*names_and_shapes):
    return [tf1.get_variable(name, shape, use_resource=True) for name, shape in names_and_shapes]


def batch_norm(x, scope, fused):
    """What `tf.compat.v1.layers.batch_normalization` makes of `x` in an evaluation, with its names."""
    with tf1.variable_scope(scope):
        gamma, beta, mean, variance = weights(*((name, [2]) for name in ("gamma", "beta", "moving_mean", "moving_variance")))
    if fused:
        return tf1.nn.fused_batch_norm(x, gamma, beta, mean, variance, 0.001, is_training=False)[0]
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 0.001)


# {title: (inputs, the old graph, the layers of the new model)}, the old one with the names of `tf.compat.v1.layers`.
def old_dense(x):
    kernel, bias = weights(("old/dense/kernel", [3, 2]), ("old/dense/bias", [2]))
    return tf.matmul(x, kernel) + bias


def old_convolution(x):
    kernel, bias = weights(("old/conv2d/kernel", [3, 3, 2, 4]), ("old/conv2d/bias", [4]))
    return tf1.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME") + bias


def old_separable(x):
    depthwise, pointwise, bias = weights(
        ("old/separable/depthwise_kernel", [3, 3, 2, 1]),
        ("old/separable/pointwise_kernel", [1, 1, 2, 4]),
        ("old/separable/bias", [4]),
    )
    return tf1.nn.separable_conv2d(x, depthwise, pointwise, strides=[1, 1, 1, 1], padding="SAME") + bias


def old_depthwise(x):
    kernel, bias = weights(("old/depthwise/depthwise_kernel", [3, 3, 2, 1]), ("old/depthwise/bias", [2]))
    return tf1.nn.depthwise_conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME") + bias


def old_embedding(ids):
    (table,) = weights(("old/embedding/embeddings", [3, 4]))
    return tf.nn.embedding_lookup(table, ids)


LAYERS = {
    "dense": (ROWS, old_dense, lambda keras: keras.layers.Dense(2, name="dense")),
    "conv2d": (IMAGES, old_convolution, lambda keras: keras.layers.Conv2D(4, 3, padding="same", name="conv2d")),
    "separable": (IMAGES, old_separable, lambda keras: keras.layers.SeparableConv2D(4, 3, padding="same", name="separable")),
    "depthwise": (IMAGES, old_depthwise, lambda keras: keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")),
    "embedding": (IDS, old_embedding, lambda keras: keras.layers.Embedding(3, 4, name="embedding")),
    "batch normalization": (
        IMAGES,
        lambda x: batch_norm(x, "old/bn", fused=False),
        lambda keras: keras.layers.BatchNormalization(name="bn"),
    ),
    "fused batch normalization": (
        IMAGES,
        lambda x: batch_norm(x, "old/bn", fused=True),
        lambda keras: keras.layers.BatchNormalization(name="bn"),
    ),
}


def new_model(keras, layer, inputs):
    model = empty_model(keras, "new")
    model.add(keras.layers.InputLayer(inputs.shape[1:], dtype=inputs.dtype.name))
    model.add(layer)
    return model


@pytest.mark.parametrize("title", list(LAYERS))
@EACH_KERAS
@eagerly
def test_predictions_are_equal_after_a_rename(old_dir, keras, title):
    inputs, build, make_layer = LAYERS[title]
    expected = write_old_model(old_dir, build, inputs)
    model = new_model(keras, make_layer(keras), inputs)
    # Keras 3 calls it depthwise_kernel in a separable convolution, and kernel in a depthwise one.
    is_kernel = any(getattr(weight, "path", weight.name).split(":")[0].endswith("depthwise/kernel") for weight in model.weights)
    rename = {"old/depthwise/depthwise_kernel": "depthwise/kernel"} if is_kernel else {}
    plan = recover_into(model, str(old_dir), rename={**rename, "old": ""})
    np.testing.assert_allclose(model(inputs, training=False).numpy(), expected, rtol=1e-6, atol=1e-6)
    assert plan.coverage == 1.0


@eagerly
def test_a_kernel_of_another_name_is_said(old_dir):
    save_checkpoint(old_dir, {"old/c/filter": np.zeros([3, 3, 2, 4], np.float32), "old/c/bias": np.zeros([4], np.float32)})
    model = new_model(ANY_KERAS, ANY_KERAS.layers.Conv2D(4, 3, name="c"), IMAGES)
    plan = recover_into(model, str(old_dir), rename={"old": ""}, missing="keep")
    assert plan.notes == (
        "the new 'c/kernel' [3, 3, 2, 4] is left as initialized, and the old 'old/c/filter' of that shape is not used; if they "
        "are the same, put rename={'old/c/filter': 'c/kernel'} in front of other renames",
    )


@pytest.mark.skipif(not HAS_TF1_LAYERS, reason="this TensorFlow has no tf.compat.v1.layers")
@pytest.mark.parametrize("fused", [False, True], ids=["not fused", "fused"])
@eagerly
def test_from_tf1_layers_themselves(old_dir, fused):
    def build(x):
        with tf1.variable_scope("old"):
            x = tf1.layers.conv2d(x, 4, 3, name="conv")
            x = tf1.layers.batch_normalization(x, fused=fused, name="bn")
            x = tf1.layers.separable_conv2d(x, 4, 3, name="separable")
            return tf1.layers.dense(tf1.layers.flatten(x), 1, name="head")

    expected = write_old_model(old_dir, build, IMAGES)
    keras = ANY_KERAS
    model = new_model(keras, keras.layers.Conv2D(4, 3, name="conv"), IMAGES)
    model.add(keras.layers.BatchNormalization(name="bn"))
    model.add(keras.layers.SeparableConv2D(4, 3, name="separable"))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(1, name="head"))
    plan = recover_into(model, str(old_dir), rename={"old": ""})
    np.testing.assert_allclose(model(IMAGES, training=False).numpy(), expected, rtol=1e-6, atol=1e-6)
    assert plan.coverage == 1.0 and plan.unused == ()


@eagerly
def test_moving_statistics_of_another_name_are_not_left_out_silently(old_dir):
    """tf.contrib.slim's batch_norm has no gamma by default, others have other names: the report has both sides."""
    save_checkpoint(old_dir, {"bn/beta": np.float32([1, 2]), "bn/running_mean": np.float32([3, 4])})
    model = new_model(ANY_KERAS, ANY_KERAS.layers.BatchNormalization(name="bn"), np.zeros([1, 2], np.float32))
    report = format_report(recover_into(model, str(old_dir)))
    assert "bn/running_mean [2]" in report.partition("Old variables not used: 1")[2]
    assert "as initialized: the checkpoint has no variable of this name" in report
    # Three variables of the layer have no old one, so for each of them the note asks whether this is it.
    assert "put rename={'bn/running_mean': 'bn/moving_mean'} in front of other renames" in report
    problem = ""
    try:
        recover_into(model, str(old_dir), include="bn")
    except WarmStartError as error:
        problem = str(error)
    assert "'bn/moving_mean' [2] is chosen, but the checkpoint has nothing of that name" in problem
    assert "did you mean 'bn/running_mean'" in problem
    recover_into(model, str(old_dir), rename={"bn/running_mean": "bn/moving_mean"})
    assert model.get_layer("bn").moving_mean.numpy().tolist() == [3, 4]


@eagerly
def test_a_kernel_of_another_layout_is_said(old_dir):
    """A depthwise kernel has its multiplier last, an ordinary one its outputs: nothing is moved by itself."""
    save_checkpoint(old_dir, {"c/depthwise_kernel": np.zeros([3, 3, 2, 1], np.float32), "c/bias": np.zeros([2], np.float32)})
    model = new_model(ANY_KERAS, ANY_KERAS.layers.Conv2D(2, 3, name="c"), IMAGES)
    with pytest.raises(WarmStartError) as caught:
        recover_into(model, str(old_dir), rename={"c/depthwise_kernel": "c/kernel"})
    assert "the new 'c/kernel' has shape [3, 3, 2, 2], the old 'c/depthwise_kernel' [3, 3, 2, 1]" in str(caught.value)


@eagerly
def test_tf1_code_in_eager_tensorflow(old_dir):
    """As TensorFlow's migration guide has it: the old code runs as it is, its variables are tracked by a decorator."""
    utils = getattr(getattr(getattr(tf1, "keras", None), "utils", None), "track_tf1_style_variables", None)
    if utils is None:
        pytest.skip("this TensorFlow does not track the variables of TF1 code")

    def forward(x):
        with tf1.variable_scope("old"):
            kernel = tf1.get_variable("dense/kernel", [3, 2], use_resource=True)
            return tf.matmul(x, kernel)

    expected = write_old_model(old_dir, forward, ROWS)

    class Model(tf.Module):
        @utils
        def __call__(self, x):
            return forward(x)

    model = Model(name="mine")
    with pytest.raises(WarmStartError, match="has no variables; call it once first"):
        recover_into(model, str(old_dir))
    model(ROWS)
    plan = recover_into(model, str(old_dir))
    np.testing.assert_allclose(model(ROWS).numpy(), expected, rtol=1e-6, atol=1e-6)
    assert [planned.new.name for planned in plan.recovered] == ["old/dense/kernel"]
