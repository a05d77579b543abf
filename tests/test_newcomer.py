"""From a checkout to a first warm start by the README alone: its blocks in order, on a model that this package did not make."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest
import tensorflow as tf

from conftest import needs_estimator

ROOT = pathlib.Path(__file__).resolve().parents[1]
MOST_LINES = 5

# What the newcomer has: a model that was trained yesterday, and the same one changed.
THEIRS = """
import sys
import tensorflow as tf

tf1 = tf.compat.v1
tf1.logging.set_verbosity(tf1.logging.INFO)


def input_fn():
    return tf.data.Dataset.from_tensors(({"x": [[1.0, 2.0]]}, [[1.0]])).repeat()


def make_estimator(scope, has_tower, model_dir):
    def model_fn(features, labels, mode):
        output = tf.matmul(features["x"], tf1.get_variable(scope + "/w", [2, 1]))
        if has_tower:
            output += tf.matmul(features["x"], tf1.get_variable("tower/kernel", [2, 1]))
        loss = tf.reduce_mean(tf.square(output - labels))
        train_op = tf1.train.AdagradOptimizer(0.1).minimize(loss, tf1.train.get_global_step())
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return tf.estimator.Estimator(model_fn, model_dir)
"""
YESTERDAY = f"{THEIRS}\nmake_estimator('fm', False, sys.argv[1]).train(input_fn, steps=3)\n"
TODAY = f"{THEIRS}\nestimator = make_estimator('ranker/fm', True, sys.argv[1])\n"


def first_blocks():
    """The commands and the code that the README begins with."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (language, commands), (code_language, code) = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)[:2]
    assert (language, code_language) == ("sh", "python")
    return commands, code


def new_environment(folder):
    """Makes a virtual environment that has this one's packages, and so TensorFlow, but a place of its own for new ones."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
    (packages,) = folder.glob("lib/python*/site-packages")
    for path in [*packages.glob("setuptools*"), *packages.glob("pkg_resources")]:
        shutil.rmtree(str(path))  # Those that Python brings along may be too old for pyproject.toml.
    (packages / "zz_others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return packages


def run(command, **options):
    """Runs a command that takes nothing from a network: what a build needs is here already."""
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    environment.update(options.pop("variables", {}))
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
        check=False,
        **options,
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said
    return said


def test_it_takes_five_lines_at_most():
    lines = [line for block in first_blocks() for line in block.splitlines() if re.sub(r"\s*#.*", "", line).strip()]
    assert 3 <= len(lines) <= MOST_LINES


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the README's commands are for a POSIX shell")
@needs_estimator
def test_a_first_warm_start_by_the_readme_alone(tmp_path):
    commands, code = first_blocks()
    checkout, environment, old, new = (tmp_path / name for name in ("checkout", "environment", "old", "new"))
    ignored = shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info")
    shutil.copytree(str(ROOT), str(checkout), ignore=ignored)
    packages = new_environment(environment)
    assert "'.' alone if TensorFlow is installed already" in commands
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run(["sh", "-e", "-c", commands.replace("'.[tensorflow]'", ".")], cwd=str(checkout), variables={"PATH": path})
    assert (packages / "estimator_warmstart").is_dir()

    python = str(environment / "bin" / "python")
    run([python, "-c", YESTERDAY, str(old)], cwd=str(tmp_path))
    code = code.replace("/models/old", str(old)).replace("(input_fn)", "(input_fn, steps=1)")
    said = run([python, "-c", TODAY + code, str(new)])
    assert f"Warm start from {old}/model.ckpt-3 (name-based)" in said and "Recovered: 2 of 5 new variables" in said
    for name in ("fm/w", "fm/w/Adagrad"):
        was, became = tf.train.load_variable(str(old), name), tf.train.load_variable(f"{new}/model.ckpt-0", f"ranker/{name}")
        assert was.tolist() == became.tolist()
