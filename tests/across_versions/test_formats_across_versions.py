"""Object-based checkpoints and SavedModels of Keras models, written by the other TensorFlow, recovered by this one."""

import pytest

from estimator_warmstart import VariableRecoverHook, format_report
from keras_models import SLOTS, WEIGHTS
from other_version import IS_TF2, OldModel, warm_keras, write_old_models


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objects")
    write_old_models("objects", folder)
    return folder


class TestKerasModel:
    """A Keras model trained eagerly; the new one is an Estimator."""

    @pytest.fixture(params=["legacy", "new"])
    def old(self, request, objects):
        if request.param == "new" and IS_TF2:
            pytest.skip("the Keras of TensorFlow 1.15 has one Adam")
        return OldModel(objects / request.param)

    @pytest.mark.parametrize("saved_by", ["save_weights", "Checkpoint"])
    def test_object_based(self, old, tmp_path, saved_by):
        hook = VariableRecoverHook(old.folder / saved_by, with_slots=True)
        new, predictions = warm_keras(tmp_path, hook)
        assert hook.plan.checkpoint.format == "object-based"
        slots = {name[len("training/Adam/") :]: value for name, value in new.items() if name.startswith("training/Adam/")}
        old.assert_in({**new, **slots}, WEIGHTS + SLOTS)
        old.assert_predicted(predictions)

    def test_saved_model(self, old, tmp_path):
        hook = VariableRecoverHook(old.folder / "SavedModel")
        new, predictions = warm_keras(tmp_path, hook)
        assert "object-based SavedModel" in format_report(hook.plan)
        old.assert_in(new, WEIGHTS)
        old.assert_predicted(predictions)
