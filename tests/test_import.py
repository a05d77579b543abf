"""Importing the package beside a TensorFlow that it cannot work with: one ImportError that names those it can."""

import os
import subprocess
import sys

import pytest

IMPORT = """
try:
    import {module}
except ImportError as error:
    print(type(error).__name__ + ": " + str(error))
"""

STAND_INS = {
    "no TensorFlow": ("raise ModuleNotFoundError(\"No module named 'tensorflow'\")", "No module named 'tensorflow'"),
    "a broken TensorFlow": ("raise ImportError('libcudart.so.9 is not there')", "libcudart.so.9 is not there"),
    "what an uninstalled TensorFlow leaves": ("", "TensorFlow"),
    "3.0": ("__version__ = '3.0.0'", "Found: TensorFlow 3.0.0"),
    "1.14": ("__version__ = '1.14.0'", "Found: TensorFlow 1.14.0"),
}


def import_beside(folder, stand_in, module):
    """What is printed when `module` is imported beside a module `tensorflow` of that text."""
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").write_text(stand_in)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", IMPORT.format(module=module)],
        env=dict(os.environ, PYTHONPATH=path),
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("stand_in, found", list(STAND_INS.values()), ids=list(STAND_INS))
def test_beside_a_tensorflow_that_will_not_do(tmp_path, stand_in, found):
    printed = import_beside(tmp_path, stand_in, "estimator_warmstart")
    works_with = "estimator_warmstart works with TensorFlow 1.15 (Python 3.7) and with TensorFlow 2"
    assert printed.startswith(f"ImportError: {works_with}")
    assert printed.count("\n") == 1
    assert found in printed


@pytest.mark.parametrize("module", ["hooks", "adapters", "checkpoints", "_bundle_index"])
def test_it_is_the_same_for_each_module(tmp_path, module):
    printed = import_beside(tmp_path, "__version__ = '1.14.0'", f"estimator_warmstart.{module}")
    assert printed.startswith("ImportError: estimator_warmstart works with") and "Found: TensorFlow 1.14.0" in printed
