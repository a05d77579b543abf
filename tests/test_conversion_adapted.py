"""`convert_checkpoint(rename=..., adapters=...)`: the same values as `recover_into`, in the object paths of a Keras model."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_keras_2, save_checkpoint
from estimator_warmstart import WarmStartError, adapters, recover_into
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.cli import main
from estimator_warmstart.convert.convert import convert_checkpoint

tf1 = tf.compat.v1
needs_eager = pytest.mark.skipif(not tf.executing_eagerly(), reason="models of a graph have values only in a session")
KERNEL = np.float32([[1, 2], [3, 4], [5, 6]])
OLD = {
    "net/kernel": KERNEL,
    "net/bias": np.float32([7, 8]),
    "net/kernel/Adagrad": KERNEL * 10,
    "net/bias/Adagrad": np.float32([70, 80]),
    "global_step": np.int64(5),
}
RENAME = {"net": "dense"}
CASES = {
    "renamed": (3, 2, None),
    "default": (4, 2, {}),
    "smaller": (2, 3, {"dense/bias": adapters.crop_or_pad(fill=0.5)}),
    "zeros": (5, 2, {"dense/kernel": adapters.crop_or_pad(fill="zeros")}),
    "mean": (5, 2, {"dense/kernel": adapters.crop_or_pad(fill="mean")}),
    "taken": (2, 2, {"dense/kernel": adapters.take(np.s_[1:])}),
    "remapped": (3, 2, {"dense/kernel": adapters.remap_rows(["a", "b", "c"], ["c", "new", "a"])}),
    "function": (3, 2, {"dense/kernel": adapters.transform(lambda kernel: kernel / 3)}),
}


@pytest.fixture
def old(old_dir):
    return save_checkpoint(old_dir, OLD)


def new_model(inputs=3, units=2):
    tf.keras.backend.clear_session()
    model = tf.keras.Sequential([tf.keras.layers.Dense(units, input_shape=(inputs,), name="dense")])
    if tf.executing_eagerly():
        model.set_weights([np.float32(np.arange(weight.size).reshape(weight.shape)) / 7 for weight in model.get_weights()])
    return model


def new_optimizer():
    return tf.keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.3)


def slots_of(optimizer, model):
    if hasattr(optimizer, "get_slot"):
        return [optimizer.get_slot(weight, "accumulator").numpy().tolist() for weight in model.trainable_variables]
    return [slot.numpy().tolist() for slot in optimizer._accumulators]


@needs_keras_2
@needs_eager
class TestAgreesWithRecoverInto:
    @pytest.mark.parametrize("inputs, units, adapting", list(CASES.values()), ids=list(CASES))
    def test_bit_for_bit(self, old, tmp_path, inputs, units, adapting):
        expected, expected_optimizer = new_model(inputs, units), new_optimizer()
        recover_into(expected, old, adapters=adapting, rename=RENAME, optimizer=expected_optimizer, with_slots=True)
        values = [weight.tolist() for weight in expected.get_weights()]
        slots = slots_of(expected_optimizer, expected)

        model, optimizer = new_model(inputs, units), new_optimizer()
        before = [weight.tolist() for weight in model.get_weights()]
        new = convert_checkpoint(
            old, tmp_path / "new" / "x", model=model, optimizer=optimizer, rename=RENAME, adapters=adapting
        )
        assert [weight.tolist() for weight in model.get_weights()] == before
        tf.train.Checkpoint(model=model, optimizer=optimizer).restore(new).assert_consumed()
        assert [weight.tolist() for weight in model.get_weights()] == values
        assert slots_of(optimizer, model) == slots
        assert int(optimizer.iterations) == 5

    def test_load_weights(self, old, tmp_path):
        model = new_model(4)
        model.load_weights(convert_checkpoint(old, tmp_path / "new" / "x", model=model, rename=RENAME, adapters={}))
        assert model.get_weights()[0][:3].tolist() == KERNEL.tolist()

    def test_a_partitioned_one(self, old_dir, tmp_path):
        old = save_checkpoint(old_dir, OLD, {"net/kernel": 2})
        model = new_model(4)
        model.load_weights(convert_checkpoint(old, tmp_path / "new" / "x", model=model, rename=RENAME, adapters={}))
        assert model.get_weights()[0][:3].tolist() == KERNEL.tolist()

    def test_another_dtype(self, old_dir, tmp_path):
        old = save_checkpoint(old_dir, {"net/kernel": np.float64(KERNEL), "net/bias": np.float32([7, 8])})
        model = new_model(3)
        new = convert_checkpoint(old, tmp_path / "new" / "x", model=model, rename=RENAME, adapters={"": adapters.cast()})
        model.load_weights(new)
        assert model.get_weights()[0].tolist() == KERNEL.tolist()


@needs_keras_2
def test_a_model_of_a_graph(old, tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.keras.backend.set_session(session)
        model = tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(4,), name="dense")])
        adapting = {"dense/kernel": [adapters.crop_or_pad(fill="mean"), adapters.transform(lambda kernel: kernel * 2)]}
        new = convert_checkpoint(old, tmp_path / "new" / "x", model=model, rename=RENAME, adapters=adapting)
        model.load_weights(new)
        kernel, bias = session.run(model.weights)
    assert kernel.tolist() == [[2, 4], [6, 8], [10, 12], [6, 8]] and bias.tolist() == [7, 8]


@needs_keras_2
class TestProblems:
    def problem(self, old, tmp_path, **options):
        with pytest.raises(WarmStartError) as caught:
            convert_checkpoint(old, tmp_path / "new" / "x", **options)
        assert not (tmp_path / "new" / "x.index").exists()
        return str(caught.value)

    def test_a_rename_that_fits_nothing(self, old, tmp_path):
        assert "rename 'nett' fits no" in self.problem(old, tmp_path, model=new_model(), rename={"nett": "dense"})

    def test_what_no_rename_gives(self, old, tmp_path):
        problem = self.problem(old, tmp_path, model=new_model(), rename={"net/kernel": "dense/kernel"})
        assert "has no 'dense/bias'" in problem and "and no rename gives it anything" in problem

    def test_another_shape_without_adapters(self, old, tmp_path):
        assert "[4, 2]" in self.problem(old, tmp_path, model=new_model(4), rename=RENAME)

    def test_an_adapter_that_fits_nothing(self, old, tmp_path):
        problem = self.problem(old, tmp_path, model=new_model(), rename=RENAME, adapters={"dens": adapters.crop_or_pad()})
        assert "the adapter for 'dens' fits no" in problem

    def test_adapters_without_a_model(self, old, tmp_path):
        assert "adapters need model" in self.problem(old, tmp_path, adapters={})


class TestWithoutAModel:
    @pytest.mark.parametrize("to", ["name", "object"])
    def test_slots_go_with_their_variables(self, old, tmp_path, to):
        new = open_checkpoint(convert_checkpoint(old, tmp_path / "new" / "x", to=to, rename={"net/kernel": "a/w"}))
        names = ["a/w", "a/w/Adagrad", "global_step", "net/bias", "net/bias/Adagrad"]
        assert sorted(set(new.variables) - {"save_counter"}) == names

    def test_one_for_several(self, old, tmp_path):
        new = convert_checkpoint(old, tmp_path / "new" / "x", to="name", rename={"net": ["a", "b"]})
        assert tf.train.load_variable(new, "a/kernel").tolist() == tf.train.load_variable(new, "b/kernel").tolist()

    @pytest.mark.parametrize(
        "rename, says",
        [
            ({"nett": "a"}, "rename 'nett' fits no variable of the checkpoint"),
            ({"net/kernel": "net/bias"}, "2 variables would be called 'net/bias'"),
            ({"net/bias": ""}, "gets no name"),
        ],
    )
    def test_problems(self, old, tmp_path, rename, says):
        with pytest.raises(WarmStartError, match=says):
            convert_checkpoint(old, tmp_path / "new" / "x", rename=rename)

    def test_on_the_command_line(self, old, tmp_path, capsys):
        new = str(tmp_path / "new" / "x")
        assert main(["convert", old, new, "--to", "name", "--rename", "net=tower", "--rename", r"tower/b=c"]) == 2
        assert "rename 'tower/b' fits no" in capsys.readouterr().err
        assert main(["convert", old, new, "--to", "name", "--rename", "net=tower"]) == 0
        assert "tower/kernel/Adagrad" in open_checkpoint(new).variables
        with pytest.raises(SystemExit):
            main(["convert", old, new, "--rename", "net"])
