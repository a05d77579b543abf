"""What the tests share: old checkpoints with values small enough to check by eye, and a tiny Estimator."""

import os
import pathlib
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
import tensorflow as tf

tf1 = tf.compat.v1
DISTRIBUTED = pathlib.Path(__file__).resolve().parent / "distributed"
# Programs that tests start: with --doctest-modules pytest would import them.
collect_ignore = ["across_versions/write_old_models.py", "mutations.py", "distributed/job.py"]

# `--hypothesis-profile=thorough` chooses the other. Both draw the same examples on each run, so that CI never fails by chance.
for _profile, _examples in (("quick", 100), ("thorough", 1000)):
    hypothesis.settings.register_profile(_profile, max_examples=_examples, derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("quick")


def pytest_collection_modifyitems(items):
    """Marks the distributed tests; begins with what takes longest, so that no worker of pytest-xdist is left waiting."""
    for item in items:
        if DISTRIBUTED in item.path.parents:
            item.add_marker("distributed")
            item.add_marker(needs_estimator)  # job.py trains one.
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("distributed", "slow")])


def save_checkpoint(folder, values, partitions=None, step=None):
    """Saves `values` {name: array} as a name-based checkpoint and returns its prefix.

    `partitions` {name: parts along axis 0} saves those as partitioned variables.
    """
    partitions = partitions or {}
    with tf.Graph().as_default():
        for name, value in values.items():
            value = np.asarray(value)
            partitioner = tf1.fixed_size_partitioner(partitions[name]) if name in partitions else None
            tf1.get_variable(name, initializer=tf.constant(value), partitioner=partitioner)
        saver = tf1.train.Saver()
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            return saver.save(session, os.path.join(str(folder), "model.ckpt"), global_step=step, write_meta_graph=False)


# TensorFlow has Estimators up to 2.15. From 2.16 on `tf.keras` is Keras 3, unless TF_USE_LEGACY_KERAS=1 asks for tf_keras.
needs_estimator = pytest.mark.skipif(not hasattr(tf, "estimator"), reason=f"TensorFlow {tf.__version__} has no tf.estimator")
needs_keras_2 = pytest.mark.skipif(hasattr(tf.keras, "ops"), reason=f"tf.keras is Keras 3 in TensorFlow {tf.__version__}")
needs_keras_3 = pytest.mark.skipif(not hasattr(tf.keras, "ops"), reason=f"tf.keras is Keras 2 in TensorFlow {tf.__version__}")


TESTS = pathlib.Path(__file__).resolve().parent


def run_python(code, *arguments, **options):
    """Runs `code` in a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3"),
        timeout=300,
        **options,
    )


@pytest.fixture
def old_dir(tmp_path):
    """An empty directory for the old model."""
    path = tmp_path / "old"
    path.mkdir()
    return path


@pytest.fixture
def fm_checkpoint(old_dir):
    """The article's old model: fm/w [3, 1], fm/v [3, 2], both with Adagrad accumulators, and its global step."""
    save_checkpoint(
        old_dir,
        {
            "fm/w": np.float32([[1], [2], [3]]),
            "fm/v": np.float32([[1, 2], [3, 4], [5, 6]]),
            "fm/w/Adagrad": np.float32([[10], [20], [30]]),
            "fm/v/Adagrad": np.float32([[10, 20], [30, 40], [50, 60]]),
            "global_step": np.int64(7),
        },
    )
    return str(old_dir)


@pytest.fixture
def new_graph():
    """An empty graph, made the default one."""
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def real_data_dir():
    """The folder with the real data sets; skips where there is none (CONTRIBUTING.md says how to get them)."""
    named = os.environ.get("ESTIMATOR_WARMSTART_DATA")
    folder = pathlib.Path(named) if named else pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data: set ESTIMATOR_WARMSTART_DATA to a folder that holds it")
    return folder
