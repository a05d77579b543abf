"""Canned and Keras Estimators, trained by the other TensorFlow (1.15 for 2.15 and the reverse), recovered by this one."""

import numpy as np
import pytest

import canned_models
from conftest import needs_estimator
from estimator_warmstart import VariableRecoverHook, format_report
from keras_models import SLOTS, WEIGHTS, saved_values
from other_version import IS_TF2, OldModel, warm_keras, write_old_models

pytestmark = needs_estimator
KINDS = canned_models.KINDS
# What the classifiers of each version begin with when one moves from the other.
OLD_API, NEW_API = ("v1", "v2") if IS_TF2 else ("v2", "v1")


@pytest.fixture(scope="module")
def old_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("estimators")
    write_old_models("estimators", folder)
    return folder


def parameters(old):
    """The names of the model's own variables."""
    optimizers = ("Adagrad", "Ftrl", "Ftrl_1")
    return [
        name
        for name in old.values
        if name != "global_step" and not name.startswith("training/") and name.rsplit("/", 1)[-1] not in optimizers
    ]


def warm(kind, api, folder, hook):
    """Trains a step; the Estimator and what `model.ckpt-0` holds."""
    estimator = canned_models.build(kind, api, folder)
    estimator.train(canned_models.input_fn, steps=1, hooks=[hook])
    return estimator, saved_values(folder / "model.ckpt-0")


def assert_predicts(old, estimator, folder):
    old.assert_predicted(canned_models.probabilities(estimator, folder / "model.ckpt-0"))


@pytest.mark.parametrize("kind", KINDS)
class TestSameOptimizers:
    """Those of TensorFlow 1, which every version has."""

    def test_all_but_the_step(self, old_models, tmp_path, kind):
        old = OldModel(old_models / "v1" / kind)
        hook = VariableRecoverHook(old.folder / "model", with_slots=True)
        estimator, new = warm(kind, "v1", tmp_path, hook)
        assert set(new) == set(old.values)
        assert (new["global_step"], old.values["global_step"]) == (0, 3)
        old.assert_in(new, set(new) - {"global_step"})
        assert_predicts(old, estimator, tmp_path)

    def test_slots_stay_if_not_asked_for(self, old_models, tmp_path, kind):
        old = OldModel(old_models / "v1" / kind)
        estimator, new = warm(kind, "v1", tmp_path, VariableRecoverHook(old.folder / "model"))
        old.assert_in(new, parameters(old))
        assert_predicts(old, estimator, tmp_path)
        slots = set(new) - set(parameters(old)) - {"global_step"}
        assert slots
        for name in slots:
            # The accumulators' initial value, and that of Ftrl's linear term.
            assert np.all(new[name] == np.float32(0 if name.endswith("Ftrl_1") else 0.1)), name

    def test_slots_follow_a_variable_that_is_named(self, old_models, tmp_path, kind):
        old = OldModel(old_models / "v1" / kind)
        name = parameters(old)[0]
        hook = VariableRecoverHook(old.folder / "model", {name: name}, with_slots=True)
        _, new = warm(kind, "v1", tmp_path, hook)
        recovered = [planned.new.name for planned in hook.plan.recovered]
        assert sorted(recovered) == sorted(old_name for old_name in old.values if old_name.startswith(name))
        assert len(recovered) > 1
        old.assert_in(new, recovered)


@pytest.mark.parametrize("kind", KINDS)
class TestOtherOptimizers:
    """Between the optimizers of TensorFlow 1 and Keras's, the defaults of 2.x: slots have other names."""

    def test_the_model_and_its_slots_are_recovered(self, old_models, tmp_path, kind):
        old = OldModel(old_models / OLD_API / kind)
        hook = VariableRecoverHook(old.folder / "model", with_slots=True)
        estimator, new = warm(kind, NEW_API, tmp_path, hook)
        old.assert_in(new, parameters(old))
        assert_predicts(old, estimator, tmp_path)
        assert hook.plan.coverage == 1.0
        slots = [planned for planned in hook.plan.variables if planned.new.slot_of is not None]
        assert slots
        for planned in slots:
            assert planned.action == "restored", planned.new.name
            np.testing.assert_array_equal(new[planned.new.name], old.values[planned.old.name], err_msg=planned.new.name)
            assert planned.new.name in format_report(hook.plan)
        reasons = {planned.new.name: planned.reason for planned in hook.plan.variables if planned.old is None}
        for name in reasons:
            if name.startswith("training/") and not name.endswith("/iter"):
                assert reasons[name] == "the new optimizer's own setting", name


def test_slots_of_another_optimizer_by_name(old_models, tmp_path):
    """Adagrad and Ftrl keep the same numbers in both; who knows that can say so."""
    old = OldModel(old_models / OLD_API / "both")
    pairs = {}
    for name in parameters(old):
        slots = {"Ftrl": "accumulator", "Ftrl_1": "linear"} if name.startswith("linear/") else {"Adagrad": "accumulator"}
        optimizer = "Ftrl" if name.startswith("linear/") else "Adagrad"
        both = {f"{name}/{slot}": f"training/{optimizer}/{name}/{keras}" for slot, keras in slots.items()}
        pairs.update({name: name}, **(both if IS_TF2 else {keras: slot for slot, keras in both.items()}))
    _, new = warm("both", NEW_API, tmp_path, VariableRecoverHook(old.folder / "model", pairs))
    for old_name, new_name in pairs.items():
        np.testing.assert_array_equal(new[new_name], old.values[old_name], err_msg=new_name)


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_saved_model_of_an_estimator(old_models, tmp_path, api):
    if api == "v2" and IS_TF2:
        pytest.skip("TensorFlow 1.15 has one API")
    old = OldModel(old_models / api / "dnn")
    (exported,) = (old.folder / "export").iterdir()
    estimator = canned_models.build("dnn", "v1", tmp_path)
    hook = VariableRecoverHook(exported, with_slots=True)
    estimator.train(canned_models.input_fn, steps=1, hooks=[hook])
    new = saved_values(tmp_path / "model.ckpt-0")
    names = [planned.new.name for planned in hook.plan.recovered]
    assert sorted(names) == sorted(variable.old.name for variable in hook.plan.recovered)
    old.assert_in(new, names)
    old.assert_predicted(canned_models.probabilities(estimator, tmp_path / "model.ckpt-0"))
    assert "name-based SavedModel" in format_report(hook.plan)
    assert "a SavedModel holds no optimizer slots" in format_report(hook.plan)


def test_keras_estimator(old_models, tmp_path):
    """Each version writes its own default format: names in 1.15, objects in 2.15."""
    old = OldModel(old_models / "keras")
    hook = VariableRecoverHook(old.folder / "model", with_slots=True)
    new, predictions = warm_keras(tmp_path, hook)
    assert hook.plan.checkpoint.format == ("name-based" if IS_TF2 else "object-based")
    old.assert_in(new, WEIGHTS + [f"training/Adam/{name}" for name in SLOTS])
    old.assert_predicted(predictions)
