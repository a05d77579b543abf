"""A TensorFlow without `tf.estimator`, as those from 2.16 are: what needs an Estimator says so, all else works."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import run_python, save_checkpoint
from estimator_warmstart import VariableRecoverHook, WarmStartError, warm_start_settings, warm_started

tf1 = tf.compat.v1
# TensorFlow's attributes are loaded when they are touched; without the package that they are loaded from they are not there.
HIDE = "import sys; sys.modules['tensorflow_estimator'] = None\n"
CALLS = {
    "prove_recovery": "prove_recovery(object(), object(), len)",
    "warm_started": "warm_started(object(), 'old')",
    "warm_start_settings": "warm_start_settings('old', {'a': 'b'})",
}


@pytest.mark.parametrize("name", list(CALLS))
def test_what_needs_an_estimator_says_so(name):
    code = (
        f"{HIDE}import estimator_warmstart\ntry:\n  estimator_warmstart.{CALLS[name]}\nexcept ValueError as error: print(error)"
    )
    done = run_python(code)
    assert done.stdout.startswith(f"{name} needs tf.estimator, and TensorFlow {tf.__version__} here has none"), done.stderr
    assert "recover_into(model, ckp_dir)" in done.stdout and "MonitoredTrainingSession" in done.stdout


def test_a_hook_needs_none(old_dir):
    save_checkpoint(old_dir, {"w": np.float32([1, 2])})
    code = HIDE + (
        "import sys, tensorflow as tf\nfrom estimator_warmstart import VariableRecoverHook\ntf1 = tf.compat.v1\n"
        "with tf.Graph().as_default():\n"
        "  w = tf1.get_variable('w', [2])\n"
        "  with tf1.train.MonitoredTrainingSession(hooks=[VariableRecoverHook(sys.argv[1])]) as session:\n"
        "    print(session.run(w).tolist())"
    )
    assert run_python(code, old_dir).stdout == "[1.0, 2.0]\n"


def test_a_hook_is_of_the_class_that_sessions_and_estimators_know():
    assert issubclass(VariableRecoverHook, tf1.train.SessionRunHook)


@pytest.mark.skipif(hasattr(tf, "estimator"), reason=f"TensorFlow {tf.__version__} has tf.estimator")
@pytest.mark.parametrize("call", [lambda old: warm_started(object(), old), lambda old: warm_start_settings(old, {"w": "v"})])
def test_here_there_is_none(old_dir, call):
    save_checkpoint(old_dir, {"w": np.float32([1, 2])})
    with pytest.raises(WarmStartError, match=f"TensorFlow {tf.__version__} here has none .* TensorFlow 2.15 .* was the last"):
        call(str(old_dir))
