"""Importing the package with a TensorFlow that it cannot work with: one ImportError that says what to install."""

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

WORKS_WITH = "estimator_warmstart works with TensorFlow 1.15 and with every TensorFlow 2. "
STAND_INS = {
    "no TensorFlow": ("raise ModuleNotFoundError(\"No module named 'tensorflow'\")", "No module named 'tensorflow'"),
    "a broken TensorFlow": ("raise ImportError('libcudart.so.9 is not there')", "libcudart.so.9 is not there"),
    "what an uninstalled TensorFlow leaves": ("", "TensorFlow"),
    "3.0": ("__version__ = '3.0.0'", "Found: TensorFlow 3.0.0"),
    "1.14": ("__version__ = '1.14.0'", "Found: TensorFlow 1.14.0"),
    # What releases of TensorFlow raise with a numpy or a protobuf that is newer than they are.
    "2.4 with protobuf 4": (
        "raise TypeError('Descriptors cannot be created directly.\\nIf this call came from a _pb2.py file')",
        "with this protobuf, and pip install 'protobuf<3.21' is likely to help: Descriptors cannot be created directly.",
    ),
    "2.5 with numpy 1.24": (
        "raise AttributeError(\"module 'numpy' has no attribute 'object'.\\n`np.object` was a deprecated alias\")",
        "with this numpy, and pip install 'numpy<1.24' is likely to help: module 'numpy' has no attribute 'object'.",
    ),
    "2.11 with numpy 2": (
        "raise TypeError('Unable to convert function return value to a Python type! The signature was\\n\\t() -> handle')",
        "with this numpy, and pip install 'numpy<2' is likely to help: Unable to convert function return value",
    ),
    "2.15 with numpy 2": (
        "raise ImportError('numpy.core.umath failed to import')",
        "with this numpy, and pip install 'numpy<2' is likely to help: numpy.core.umath failed to import",
    ),
    "no numpy": ("raise ModuleNotFoundError(\"No module named 'numpy'\")", "here: No module named 'numpy'"),
    "another error": ("raise RuntimeError()", "TensorFlow cannot be imported here: RuntimeError"),
}


def python_with(folder, stand_in, *arguments):
    """A process of Python that finds a module `tensorflow` of that text."""
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").write_text(stand_in)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *arguments], env=dict(os.environ, PYTHONPATH=path), timeout=120, capture_output=True, text=True
    )


def printed_by_import(folder, stand_in, module="estimator_warmstart"):
    done = python_with(folder, stand_in, "-c", IMPORT.format(module=module))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("stand_in, found", list(STAND_INS.values()), ids=list(STAND_INS))
def test_with_a_tensorflow_that_will_not_do(tmp_path, stand_in, found):
    printed = printed_by_import(tmp_path, stand_in)
    assert printed.startswith(f"ImportError: {WORKS_WITH}")
    assert printed.count("\n") == 1
    assert found in printed


@pytest.mark.parametrize("module", ["hooks", "adapters", "checkpoints", "_bundle_index"])
def test_it_is_the_same_for_each_module(tmp_path, module):
    printed = printed_by_import(tmp_path, "__version__ = '1.14.0'", f"estimator_warmstart.{module}")
    assert printed == f"ImportError: {WORKS_WITH}Found: TensorFlow 1.14.0\n"


class TestCommandLine:
    """It has nobody to catch the error: the same sentence, no traceback, and the exit code of its other errors."""

    TOLD = f"estimator-warmstart: error: {WORKS_WITH}Found: TensorFlow 1.14.0\n"

    def test_as_a_module(self, tmp_path):
        done = python_with(tmp_path, "__version__ = '1.14.0'", "-m", "estimator_warmstart", "list", "old")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", self.TOLD)

    def test_as_a_script(self, tmp_path):
        script = tmp_path / "estimator-warmstart"
        script.write_text("import sys\nfrom estimator_warmstart.cli.main import main\nsys.exit(main())\n")
        done = python_with(tmp_path, "__version__ = '1.14.0'", str(script), "list", "old")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", self.TOLD)

    def test_another_program_gets_the_error(self, tmp_path):
        program = tmp_path / "train.py"
        program.write_text(IMPORT.format(module="estimator_warmstart"))
        done = python_with(tmp_path, "__version__ = '1.14.0'", str(program))
        assert (done.returncode, done.stdout) == (0, f"ImportError: {WORKS_WITH}Found: TensorFlow 1.14.0\n")

    def test_another_module_gets_the_error(self, tmp_path):
        (tmp_path / "trainer").mkdir()
        (tmp_path / "trainer" / "__init__.py").write_text(IMPORT.format(module="estimator_warmstart"))
        (tmp_path / "trainer" / "__main__.py").write_text("print('goes on')")
        done = python_with(tmp_path, "__version__ = '1.14.0'", "-m", "trainer")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"ImportError: {WORKS_WITH}Found: TensorFlow 1.14.0\ngoes on\n"
