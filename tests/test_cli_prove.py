"""The command `prove`: what it prints, its exit code, and its one error for what it cannot load."""

import json
import sys

import pytest
import tensorflow as tf

from conftest import needs_estimator
from estimator_warmstart.cli.main import main

pytestmark = needs_estimator

MODELS = """
import tensorflow as tf
from estimator_warmstart import warm_started

def data():
    return tf.data.Dataset.from_tensors(({"x": [[1.0], [2.0]]}, [[1.0], [3.0]])).repeat()

def estimator(folder):
    return tf.estimator.DNNRegressor([4], [tf.feature_column.numeric_column("x")], model_dir=folder)

def old():
    return estimator("old")

def new():
    return warm_started(estimator("new"), "old")

def cold():
    return estimator("new")

def without_bias():
    return warm_started(estimator("new"), "old", exclude="dnn/logits/bias")

class Models:
    made = old()

def broken():
    raise RuntimeError("no data today")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the program `my_models.py`, and its old model."""
    made = tmp_path_factory.mktemp("prove")
    (made / "my_models.py").write_text(MODELS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.syspath_prepend(str(made))
        import my_models

        my_models.old().train(my_models.data, steps=2)
        del sys.modules["my_models"]
    return made


@pytest.fixture
def prove(folder, monkeypatch, capsys):
    """Runs the command in that folder; returns the exit code, and what is on stdout and stderr."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments):
        capsys.readouterr()
        code = main(["prove", *arguments])
        sys.modules.pop("my_models", None)
        return (code, *capsys.readouterr())

    return run


def test_a_proof_that_holds(prove, folder):
    code, out, err = prove("my_models:old", "my_models:new", "my_models:data")
    assert (code, err) == (0, "")
    assert out.startswith("The proof holds: the old model is ") and "predictions  identical" in out
    assert not (folder / "new").exists()


def test_a_proof_that_does_not_hold(prove):
    code, out, err = prove("my_models:Models.made", "my_models:without_bias", "my_models:data", "--atol", "1e-6")
    assert code == 1 and "the proof does not hold" in err
    assert "First layer that differs: dnn/logits (dnn/logits/bias): it is cold" in out


def test_json(prove):
    code, out, _ = prove("my_models:old", "my_models:without_bias", "my_models:data", "--json")
    read = json.loads(out)
    assert (code, read["holds"], read["predictions"][0]["cold"]) == (1, False, ["dnn/logits/bias"])


def test_a_checkpoint_that_is_named(prove):
    code, _, err = prove("my_models:old", "my_models:new", "my_models:data", "--checkpoint", "old/model.ckpt-0")
    assert code == 1 and "does not hold" in err  # The warm start takes the latest.


@pytest.mark.parametrize("exclude, code", [([], 0), (["dnn/logits/bias"], 1)], ids=["all", "without the bias"])
def test_hooks_from_params(prove, tmp_path, exclude, code):
    (tmp_path / "params.json").write_text(json.dumps({"mine": {"ckp_dir": "old", "exclude": exclude}}))
    options = ["--params", str(tmp_path / "params.json"), "--key", "mine"]
    found, out, _ = prove("my_models:old", "my_models:cold", "my_models:data", *options)
    assert found == code and ("dnn/logits/bias" in out) is bool(exclude)


def test_params_that_are_bad_are_told_before_anything_is_loaded(prove, tmp_path):
    (tmp_path / "params.json").write_text(json.dumps({"warm_start": {"ckp_dir": "old", "exclud": "w", "html": 1}}))
    code, _, err = prove("my_models:old", "my_models:broken", "my_models:data", "--params", str(tmp_path / "params.json"))
    assert code == 2 and "2 problems" in err and "did you mean 'exclude'" in err
    code, _, err = prove("my_models:old", "my_models:cold", "my_models:data", "--params", str(tmp_path / "none.json"))
    assert code == 2 and "none.json cannot be read" in err


def test_a_model_that_nothing_warm_starts(prove):
    code, _, err = prove("my_models:old", "my_models:cold", "my_models:data")
    assert code == 2 and "nothing warm-starts new_estimator" in err and "--params" in err


def test_all_bad_references_are_one_error(prove):
    code, out, err = prove("my_models:odl", "my_models:broken", "no_such_module:data")
    assert (code, out) == (2, "")
    assert "3 problems" in err and "has no 'odl' (did you mean 'old'" in err
    assert "NEW 'my_models:broken' fails when it is called without arguments: RuntimeError: no data today" in err
    assert "INPUT_FN 'no_such_module:data' cannot be loaded: importing 'no_such_module' fails" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("reference", ["my_models", "my_models:", ":old", "my models:old", "my_models.py:old()"])
def test_what_is_not_a_reference(prove, reference):
    code, _, err = prove(reference, "my_models:new", "my_models:data")
    assert code == 2 and "is not a reference such as 'package.module:function'" in err


def test_what_is_not_an_estimator(prove):
    code, _, err = prove("my_models:data", "my_models:MODE", "my_models:data")
    assert code == 2 and "has no 'MODE'" in err
    code, _, err = prove("my_models:data", "my_models:new", "my_models:data")
    assert code == 2 and "old_estimator must be a tf.estimator.Estimator" in err


@pytest.mark.parametrize("atol", ["-1", "inf", "nan", "small"])
def test_a_tolerance_that_is_none(prove, atol):
    with pytest.raises(SystemExit):
        prove("my_models:old", "my_models:new", "my_models:data", f"--atol={atol}")


def test_tensorflow_is_quiet(prove):
    assert tf.get_logger() is not None
    _, out, err = prove("my_models:old", "my_models:new", "my_models:data")
    assert "INFO" not in out + err and "WARNING" not in out + err


def test_a_page(prove, folder):
    code, out, _ = prove("my_models:old", "my_models:without_bias", "my_models:data", "--html", str(folder / "proof.html"))
    assert code == 1 and out.endswith(f"Page: {folder / 'proof.html'}\n")
    assert "dnn/logits/bias" in (folder / "proof.html").read_text(encoding="utf-8")
    code, _, err = prove("my_models:old", "my_models:new", "my_models:data", "--html", str(folder / "none" / "proof.html"))
    assert code == 2 and "--html" in err
