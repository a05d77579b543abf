"""The cases of TensorFlow's own guide for moving between checkpoint formats, each with an Estimator or against TensorFlow.

Source: https://www.tensorflow.org/guide/migrate/migrating_checkpoints, and the forms of an assignment map in the
documentation of `tf.compat.v1.train.init_from_checkpoint`.
"""

import os
import subprocess
import sys
from typing import Callable, Dict, NamedTuple, Optional

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import VariableRecoverHook, match_variables
from shared_models import zeros

tf1 = tf.compat.v1
# The one that a Scaffold takes: in 1.15 `tf.train.Checkpoint` is another class.
ScaffoldCheckpoint = tf.compat.v2.train.Checkpoint

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
TF1_VALUES = {"a": np.float32(1), "b": np.float32(2), "scoped/c": np.float32([3, 4])}


def dataset():
    return tf.data.Dataset.from_tensors(([1.0], [1.0])).repeat()


def values_in(folder, checkpoint):
    """{key: value} of all numbers in a checkpoint of the new model."""
    reader = tf.train.load_checkpoint(os.path.join(str(folder), checkpoint))
    dtypes = reader.get_variable_to_dtype_map()
    return {key: reader.get_tensor(key).tolist() for key, dtype in dtypes.items() if dtype != tf.string}


class TestTf1CheckpointIntoTf2Code:
    """A name-based checkpoint; the new code has `tf.Variable`s in modules or layers, and saves objects."""

    @needs_estimator
    def test_variables_of_a_module(self, old_dir, tmp_path):
        save_checkpoint(old_dir, TF1_VALUES)

        def model_fn(features, labels, mode):
            model = tf.Module()
            model.a, model.b = tf.Variable(0.0, name="a"), tf.Variable(0.0, name="b")
            model.inner = tf.Module()
            with tf.name_scope("scoped"):
                model.inner.c = tf.Variable([0.0, 0.0], name="c")
            step = tf1.train.get_or_create_global_step()
            return tf.estimator.EstimatorSpec(
                mode,
                loss=tf.constant(1.0),
                train_op=tf.group(model.a.assign_add(10.0), step.assign_add(1)),
                training_hooks=[VariableRecoverHook(old_dir)],
                scaffold=tf1.train.Scaffold(saver=ScaffoldCheckpoint(model=model, step=step)),
            )

        tf.estimator.Estimator(model_fn, str(tmp_path / "new")).train(dataset, steps=1)
        recovered = {"model/a" + VALUE: 1, "model/b" + VALUE: 2, "model/inner/c" + VALUE: [3, 4]}
        assert values_in(tmp_path / "new", "model.ckpt-0") == {**recovered, "step" + VALUE: 0}
        assert values_in(tmp_path / "new", "model.ckpt-1") == {**recovered, "model/a" + VALUE: 11, "step" + VALUE: 1}

    @needs_estimator
    def test_a_keras_layer_for_a_tf1_one(self, old_dir, tmp_path):
        """The names are those of `tf.compat.v1.layers.dense` in a scope, and of a Keras layer called like the scope."""
        old = {"head/dense/kernel": np.float32([[2], [3]]), "head/dense/bias": np.float32([5])}
        save_checkpoint(old_dir, old)

        def model_fn(features, labels, mode):
            layer = tf.keras.layers.Dense(1, name="ranker")
            output = layer(tf.reshape(tf.cast([1.0, 10.0], tf.float32), [1, 2]))
            step = tf1.train.get_or_create_global_step()
            hook = VariableRecoverHook(old_dir, rename={"head/dense": "ranker"})
            return tf.estimator.EstimatorSpec(
                mode,
                predictions={"y": output},
                loss=tf.reduce_sum(output),
                train_op=step.assign_add(1),
                training_hooks=[hook],
            )

        estimator = tf.estimator.Estimator(model_fn, str(tmp_path / "new"))
        estimator.train(dataset, steps=1)
        first = str(tmp_path / "new" / "model.ckpt-0")
        # 2 * 1 + 3 * 10 + 5
        assert next(estimator.predict(dataset, checkpoint_path=first))["y"].tolist() == [37]


@pytest.fixture(scope="module")
def tf2_checkpoints(tmp_path_factory):
    """What TF2 code saves eagerly, {kind: directory}: in a child, since TensorFlow 1.15 must decide on that at its start."""
    program = (
        "import os, sys\n"
        "import tensorflow as tf\n"
        "tf.compat.v1.enable_v2_behavior()\n"
        "def save(kind, **objects):\n"
        "    checkpoint = tf.train.Checkpoint()\n"
        "    for name, value in objects.items():\n"
        "        setattr(checkpoint, name, value)  # The constructor of 1.15 takes neither lists nor dicts.\n"
        "    checkpoint.save(os.path.join(sys.argv[1], kind, 'tf2-ckpt'))\n"
        "a, b = tf.Variable(1.0, name='a'), tf.Variable(2.0, name='b')\n"
        "with tf.name_scope('scoped'):\n"
        "    c = tf.Variable([3.0, 4.0], name='c')\n"
        "save('list', variables=[a, b, c])\n"
        "save('lists', unscoped=[a, b], scoped=[c])\n"
        "save('dict', var_list={'a': a, 'b': b, 'scoped/c': c})\n"
        "unnamed = [tf.Variable(1.0), tf.Variable(2.0), tf.Variable([3.0, 4.0])]\n"
        "save('unnamed list', variables=unnamed)\n"
        "save('unnamed dict', var_list=dict(zip(['a', 'b', 'scoped/c'], unnamed)))\n"
    )
    folder = tmp_path_factory.mktemp("tf2")
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, stderr=subprocess.PIPE)
    return folder


class TestTf2CheckpointIntoTf1Code:
    """An object-based checkpoint; the new code has `get_variable` and saves by name."""

    @pytest.mark.parametrize(
        ("kind", "recovery"),
        [
            ("list", {}),
            ("lists", {}),
            ("lists", {"recover_vars": {"unscoped/0": "a", "unscoped/1": "b", "scoped/0": "scoped/c"}}),
            ("dict", {}),
            ("unnamed list", {"recover_vars": {"variables/0": "a", "variables/1": "b", "variables/2": "scoped/c"}}),
            ("unnamed dict", {"rename": {"var_list": ""}}),
        ],
        ids=["list", "lists", "lists by path", "dict", "unnamed list", "unnamed dict"],
    )
    @needs_estimator
    def test_into_an_estimator(self, tf2_checkpoints, tmp_path, kind, recovery):
        def model_fn(features, labels, mode):
            a, b, c = zeros("a", []), zeros("b", []), zeros("scoped/c", [2])
            step = tf1.train.get_or_create_global_step()
            return tf.estimator.EstimatorSpec(
                mode,
                loss=a + b + tf.reduce_sum(c),
                train_op=tf1.assign_add(step, 1),
                training_hooks=[VariableRecoverHook(tf2_checkpoints / kind, **recovery)],
            )

        tf.estimator.Estimator(model_fn, str(tmp_path)).train(dataset, steps=1)
        assert values_in(tmp_path, "model.ckpt-0") == {"a": 1, "b": 2, "scoped/c": [3, 4], "global_step": 0}


OLD_SCOPES = {
    "old_scope_1/var1": np.float32([[1, 2], [3, 4], [5, 6]]),
    "old_scope_1/var2": np.float32([7, 8]),
    "old_scope_2/var3": np.float32([[10], [20], [30], [40], [50]]),
    "var4": np.float32([9]),
}


def scopes():
    """The new variables of the documentation's example, var3 in three parts."""
    partitioner = tf1.fixed_size_partitioner(3)
    return {
        "var1": zeros("new_scope_1/var1", [3, 2]),
        "var2": zeros("new_scope_1/var2", [2]),
        "other": zeros("new_scope_2/var2", [2]),
        "var3": tf1.get_variable("new_scope_2/var3", [5, 1], initializer=tf1.zeros_initializer(), partitioner=partitioner),
    }


def root():
    """The whole old model below one new scope."""
    with tf1.variable_scope("new_scope"):
        return [zeros(name, value.shape) for name, value in OLD_SCOPES.items()]


class Form(NamedTuple):
    """One form of TensorFlow's assignment map; it is said by `match_variables` with `rename`, or with `None` word for word."""

    build: Callable
    assignment_map: Callable
    rename: Optional[Dict[str, str]]
    expected: Dict[str, str]


NAMES = {"old_scope_1/var1": "new_scope_1/var1", "old_scope_1/var2": "new_scope_2/var2"}
FORMS = {
    "scope to scope": Form(
        scopes,
        lambda new: {"old_scope_1/": "new_scope_1/"},
        {"old_scope_1": "new_scope_1"},
        {"old_scope_1/var1": "new_scope_1/var1", "old_scope_1/var2": "new_scope_1/var2"},
    ),
    "name to name": Form(scopes, lambda new: NAMES, None, NAMES),
    "name to variable": Form(
        scopes,
        lambda new: {"old_scope_1/var1": new["var1"], "old_scope_1/var2": new["other"]},
        None,
        NAMES,
    ),
    "name to list of partitions": Form(
        scopes,
        lambda new: {"old_scope_2/var3": list(new["var3"])},
        None,
        {"old_scope_2/var3": "new_scope_2/var3"},
    ),
    "name of a partitioned one": Form(
        scopes,
        lambda new: {"old_scope_2/var3": "new_scope_2/var3"},
        None,
        {"old_scope_2/var3": "new_scope_2/var3"},
    ),
    "root to scope": Form(
        root,
        lambda new: {"/": "new_scope/"},
        {"": "new_scope"},
        {name: f"new_scope/{name}" for name in OLD_SCOPES},
    ),
}


@pytest.mark.parametrize("form", list(FORMS.values()), ids=list(FORMS))
def test_the_forms_of_an_assignment_map(old_dir, form):
    """Value for value what `init_from_checkpoint` does with the form."""
    save_checkpoint(old_dir, OLD_SCOPES)
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.train.init_from_checkpoint(str(old_dir), form.assignment_map(form.build()))
        session.run(tf1.global_variables_initializer())
        theirs = {variable.op.name: session.run(variable).tolist() for variable in tf1.global_variables()}
    with tf.Graph().as_default():
        new = form.build()
        pairs = form.assignment_map(new) if form.rename is None else match_variables(old_dir, rename=form.rename)
        hook = VariableRecoverHook(old_dir, pairs)
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            ours = {variable.op.name: session.run(variable).tolist() for variable in tf1.global_variables()}
    assert ours == theirs
    assert {planned.old.name: planned.new.name for planned in hook.plan.recovered} == form.expected
    # Not two equal graphs of zeros.
    assert sum(np.sum(value) for value in ours.values()) == sum(OLD_SCOPES[old].sum() for old in form.expected)


@needs_estimator
class TestAnEstimatorWithACheckpointScaffold:
    """Each step adds 2 to `v`: 3 old steps make 6 of 0, and 5 more make 16 of that."""

    @staticmethod
    def estimator(folder, saves_objects, hooks=()):
        def model_fn(features, labels, mode):
            step = tf1.train.get_or_create_global_step()
            v = zeros("var", [])
            checkpoint = ScaffoldCheckpoint(step=step)
            checkpoint.var_list = {"var": v}  # The constructor of 1.15 takes no dict.
            return tf.estimator.EstimatorSpec(
                mode,
                predictions=v,
                loss=tf.constant(1.0),
                train_op=tf.group(tf1.assign_add(v, 2.0), tf1.assign_add(step, 1)),
                training_hooks=list(hooks),
                scaffold=tf1.train.Scaffold(saver=checkpoint) if saves_objects else None,
            )

        return tf.estimator.Estimator(model_fn, str(folder))

    @pytest.mark.parametrize(
        ("old_objects", "new_objects"),
        [(False, True), (True, False), (True, True)],
        ids=[
            "TF1 to TF2",
            "TF2 to TF1",
            "TF2 to TF2",
        ],
    )
    def test_is_warm_started(self, tmp_path, old_objects, new_objects):
        self.estimator(tmp_path / "old", old_objects).train(dataset, steps=3)
        hook = VariableRecoverHook(tmp_path / "old")
        new = self.estimator(tmp_path / "new", new_objects, [hook])
        new.train(dataset, steps=5)
        v, step = ("var_list/var" + VALUE, "step" + VALUE) if new_objects else ("var", "global_step")
        assert values_in(tmp_path / "new", "model.ckpt-0") == {v: 6, step: 0}
        assert values_in(tmp_path / "new", "model.ckpt-5") == {v: 16, step: 5}
        # A resumed run goes on from its own value, whatever saved it.
        new.train(dataset, steps=1)
        assert values_in(tmp_path / "new", "model.ckpt-6") == {v: 18, step: 6}
