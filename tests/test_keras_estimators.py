"""Keras models as Estimators: recovered from Keras weights and from one another, slots too, before anyone sees a cold value."""

import numpy as np
import pytest
import tensorflow as tf

import keras_models
from conftest import needs_estimator
from estimator_warmstart import ShapeAdaptingRecoverHook, VariableRecoverHook, plan_recovery
from keras_models import SLOTS, WEIGHTS, optimizers, saved_values

pytestmark = needs_estimator

tf1 = tf.compat.v1

FORMATS = [
    ("checkpoint", "checkpoint"),
    ("checkpoint", "saver"),
    pytest.param("saver", "checkpoint", marks=pytest.mark.slow),
    pytest.param("saver", "saver", marks=pytest.mark.slow),
]


def train(estimator, hook, steps=1):
    estimator.train(keras_models.input_fn, steps=steps, hooks=[hook])


def first(folder):
    """What `model.ckpt-0` holds: what an evaluation at step 0, or a restart after an early crash, begins with."""
    return saved_values(folder / "model.ckpt-0")


def assert_same(new, old, names, prefix=""):
    """`new` holds the old values of `names`, below `prefix` there."""
    for name in names:
        np.testing.assert_array_equal(new[prefix + name], old[name], err_msg=name)
        assert np.any(new[prefix + name] != 0), f"nothing to see: {name} is 0"


@pytest.fixture(params=["legacy", "new"])
def old_optimizer(request):
    """Adam, as Keras had it until 2.10 and as it has it since."""
    if request.param == "new" and optimizers is tf.keras.optimizers:
        pytest.skip("this Keras has one Adam")
    return {"legacy": optimizers, "new": tf.keras.optimizers}[request.param].Adam(0.1)


@pytest.fixture(params=["save_weights", "Checkpoint"])
def old_weights(request, old_dir, old_optimizer):
    """A directory with a Keras model that was trained for three steps, and its values by name."""
    with keras_models.place_to_train():
        model = keras_models.trained(old_optimizer)
        if request.param == "save_weights":
            model.save_weights(str(old_dir / "weights"), save_format="tf")
        else:
            tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(str(old_dir / "objects"))
        return old_dir, keras_models.state_of(model)


@pytest.fixture
def old(old_dir):
    """The values by name of a Keras model whose weights are in `old_dir`."""
    with keras_models.place_to_train():
        model = keras_models.trained(optimizers.Adam(0.1))
        model.save_weights(str(old_dir / "weights"), save_format="tf")
        return keras_models.state_of(model)


class TestFromKerasWeights:
    def test_weights_and_slots_but_not_the_optimizers_settings(self, old_weights, tmp_path):
        folder, old = old_weights
        new_optimizer = optimizers.Adam(0.5, beta_1=0.75, beta_2=0.25)
        hook = VariableRecoverHook(folder, with_slots=True)
        train(keras_models.estimator(tmp_path / "new", optimizer=new_optimizer), hook)
        new = first(tmp_path / "new")
        assert_same(new, old, WEIGHTS)
        assert_same(new, old, SLOTS, "training/Adam/")
        settings = ["learning_rate", "beta_1", "beta_2", "decay"]
        assert [new[f"training/Adam/{name}"] for name in settings] == [0.5, 0.75, 0.25, 0]
        assert hook.plan.coverage == 1.0

    def test_slots_only_if_asked(self, old_dir, old, tmp_path):
        train(keras_models.estimator(tmp_path / "new"), VariableRecoverHook(old_dir))
        new = first(tmp_path / "new")
        assert_same(new, old, WEIGHTS)
        for name in SLOTS:
            assert np.all(new[f"training/Adam/{name}"] == 0)

    def test_by_object_path(self, old_weights, tmp_path):
        """Where layers are called otherwise, or by themselves `dense_7`, paths say which is which; slots follow."""
        folder, old = old_weights
        root = "" if "weights" in tf.train.latest_checkpoint(str(folder)) else "model/"
        pairs = {
            f"{root}layer_with_weights-{number}/{what}": f"{layer}/{what}"
            for number, layer in enumerate(["body", "top"])
            for what in ("kernel", "bias")
        }
        hook = VariableRecoverHook(folder, pairs, with_slots=True)
        train(keras_models.estimator(tmp_path / "new", names=("body", "top")), hook)
        new = {name.replace("body", "dense").replace("top", "head"): value for name, value in first(tmp_path / "new").items()}
        assert_same(new, old, WEIGHTS)
        assert_same(new, old, SLOTS, "training/Adam/")


class TestTheModelsOwnWeights:
    """`model_to_estimator` warm-starts by itself from the weights that the Keras model has already."""

    @staticmethod
    def estimator_of_nines(folder, inputs=3):
        with keras_models.place_to_train():
            model = keras_models.build(inputs=inputs)
            model.set_weights([np.full(weight.shape, 9, np.float32) for weight in model.get_weights()])
            return tf.keras.estimator.model_to_estimator(model, model_dir=str(folder))

    def test_yield_to_what_is_recovered_and_stay_elsewhere(self, old_dir, old, tmp_path):
        estimator = self.estimator_of_nines(tmp_path / "new")
        train(estimator, VariableRecoverHook(old_dir, include="dense"))
        new = first(tmp_path / "new")
        assert_same(new, old, ["dense/kernel", "dense/bias"])
        assert new["head/kernel"].tolist() == [[9], [9]]
        assert new["head/bias"].tolist() == [9]

    def test_are_what_new_rows_begin_with(self, old_dir, old, tmp_path):
        estimator = self.estimator_of_nines(tmp_path / "new", inputs=4)
        hook = ShapeAdaptingRecoverHook(old_dir, {"dense/kernel": "dense/kernel"})
        estimator.train(lambda: keras_models.input_fn(4), steps=1, hooks=[hook])
        new = first(tmp_path / "new")
        np.testing.assert_array_equal(new["dense/kernel"][:3], old["dense/kernel"])
        assert new["dense/kernel"][3].tolist() == [9, 9]
        np.testing.assert_array_equal(new["training/Adam/dense/kernel/m"][:3], old["dense/kernel/m"])
        assert new["training/Adam/dense/kernel/m"][3].tolist() == [0, 0]


class Values(tf1.train.SessionRunHook):
    """Takes the values of a session before its first step."""

    def after_create_session(self, session, coord):
        self.values = {variable.op.name: session.run(variable) for variable in tf1.global_variables()}


@pytest.mark.parametrize("old_format, new_format", FORMATS)
class TestFromAnotherEstimator:
    def test_predicts_the_same_at_step_0(self, tmp_path, old_format, new_format):
        old = keras_models.estimator(tmp_path / "old", old_format, optimizer=optimizers.Adam(0.1))
        old.train(keras_models.input_fn, steps=3)
        new = keras_models.estimator(tmp_path / "new", new_format)
        train(new, VariableRecoverHook(tmp_path / "old", with_slots=True))
        values, old_values = first(tmp_path / "new"), saved_values(tmp_path / "old" / "model.ckpt-3")
        assert_same(values, old_values, WEIGHTS + [f"training/Adam/{name}" for name in SLOTS])
        assert (values["global_step"], old_values["global_step"]) == (0, 3)
        predictions = [
            next(estimator.predict(keras_models.input_fn, checkpoint_path=str(checkpoint)))
            for estimator, checkpoint in [(old, tmp_path / "old" / "model.ckpt-3"), (new, tmp_path / "new" / "model.ckpt-0")]
        ]
        np.testing.assert_array_equal(*(prediction["head"] for prediction in predictions))

    def test_a_resumed_run_keeps_its_own(self, tmp_path, old_format, new_format):
        keras_models.estimator(tmp_path / "old", old_format).train(keras_models.input_fn, steps=3)
        new = keras_models.estimator(tmp_path / "new", new_format)
        hook = VariableRecoverHook(tmp_path / "old", with_slots=True)
        train(new, hook, steps=2)
        seen = Values()
        new.train(keras_models.input_fn, steps=1, hooks=[hook, seen])
        own = saved_values(tmp_path / "new" / "model.ckpt-2")
        for name, value in seen.values.items():
            np.testing.assert_array_equal(value, own[name], err_msg=name)
        assert np.any(own["dense/kernel"] != first(tmp_path / "new")["dense/kernel"])


def build_with(optimizer):
    """The same layers in plain graph code, with a Keras optimizer that counts its steps itself."""
    layers = [tf.keras.layers.Dense(2, name="dense"), tf.keras.layers.Dense(1, name="head")]
    value = tf.constant(keras_models.examples()[0])
    for layer in layers:
        value = layer(value)
    weights = [weight for layer in layers for weight in layer.trainable_weights]
    return optimizer.get_updates(tf.reduce_sum(value), weights)


class TestStepsOfAdam:
    """Keras Adam corrects its moments' bias by a count of steps: moments without it make first updates of another size."""

    def test_go_with_its_moments(self, old_weights, new_graph):
        folder, old = old_weights
        build_with(optimizers.Adam(0.5))
        hook = VariableRecoverHook(folder, with_slots=True)
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            new = {variable.op.name: session.run(variable) for variable in tf1.global_variables()}
        assert new["Adam/iter"] == 3
        assert_same(new, old, SLOTS, "Adam/")

    def test_stay_without_them(self, old_weights, new_graph):
        folder, _ = old_weights
        build_with(optimizers.Adam(0.5))
        fates = {planned.new.name: planned for planned in plan_recovery(folder).variables}
        assert fates["Adam/iter"].action == "initialized"

    def test_a_note_says_when_the_global_step_is_the_count(self, old_dir, old, tmp_path):
        """`model_to_estimator` makes it so, and the global step of a new model begins at 0."""
        hook = VariableRecoverHook(old_dir, with_slots=True)
        train(keras_models.estimator(tmp_path / "new"), hook)
        assert any("global_step" in note and "Adam" in note for note in hook.plan.notes)
