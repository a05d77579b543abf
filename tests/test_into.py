"""`recover_into`: names of eager models, what is matched and adapted, all or nothing, and bad input."""

import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import run_python, save_checkpoint
from eager import dense_model, eager_mode, eagerly, is_keras_3, keras_modules
from estimator_warmstart import WarmStartError, adapters, format_report, recover_into

tf1 = tf.compat.v1
KERAS = keras_modules()
EACH_KERAS = pytest.mark.parametrize("keras", list(KERAS.values()), ids=list(KERAS))
ANY_KERAS = next(iter(KERAS.values()))
OLD = {
    "net/hidden/kernel": np.float32([[1, 2], [3, 4], [5, 6]]),
    "net/hidden/bias": np.float32([7, 8]),
    "net/head/kernel": np.float32([[9], [10]]),
    "net/head/bias": np.float32([11]),
}


@pytest.fixture
def old(old_dir):
    save_checkpoint(old_dir, OLD)
    return str(old_dir)


def values_of(model):
    return [weight.numpy().tolist() for weight in model.weights]


def problem_of(*args, **options):
    with pytest.raises(WarmStartError) as caught:
        recover_into(*args, **options)
    return str(caught.value)


class TestModels:
    @EACH_KERAS
    @eagerly
    def test_a_keras_model(self, old, keras):
        model = dense_model(keras, name="mine")
        plan = recover_into(model, old, rename={"net": ""})
        assert values_of(model) == [value.tolist() for value in OLD.values()]
        assert [planned.new.name for planned in plan.variables] == ["hidden/kernel", "hidden/bias", "head/kernel", "head/bias"]
        assert plan.coverage == 1.0 and plan.unused == ()
        assert "net/hidden/kernel  [3, 2]  hidden/kernel" in format_report(plan)

    @pytest.mark.skipif(not is_keras_3(ANY_KERAS), reason="TensorFlow's Keras is not Keras 3")
    def test_names_of_keras_3(self, old):
        keras = ANY_KERAS

        class Mine(keras.Model):
            def __init__(self):
                super().__init__(name="mine")
                self.block = keras.Sequential([keras.layers.Dense(2, name="hidden"), keras.layers.Dropout(0.5)], name="block")
                self.head = keras.layers.Dense(1, name="head")

            def call(self, inputs):
                return self.head(self.block(inputs))

        inputs = keras.Input((3,))
        hidden = keras.layers.Dense(2, name="hidden")
        functional = keras.Model(inputs, keras.layers.Dense(1, name="head")(hidden(inputs)), name="mine")
        names = {}
        for title, model, rename in (("functional", functional, ""), ("subclass", Mine(), "block")):
            plan = recover_into(
                model, old, rename={"net/hidden": f"{rename}/hidden".strip("/"), "net": ""}, input_shape=(None, 3)
            )
            names[title] = [planned.new.name for planned in plan.recovered]
        assert names == {
            "functional": ["hidden/kernel", "hidden/bias", "head/kernel", "head/bias"],
            "subclass": ["block/hidden/kernel", "block/hidden/bias", "head/kernel", "head/bias"],
        }

    @pytest.mark.skipif(not hasattr(tf.keras.callbacks, "BackupAndRestore"), reason="this Keras has no BackupAndRestore")
    def test_one_that_is_interrupted_goes_on_from_its_own_backup(self, old, tmp_path):
        class Stop(tf.keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                seen.append(values_of(self.model))
                if len(seen) == 2:
                    raise KeyboardInterrupt

        seen = []
        inputs, targets = np.full([4, 3], 0.01, np.float32), np.ones([4, 1], np.float32)

        def fit():
            model = dense_model(tf.keras, name="mine")
            model.compile(tf.keras.optimizers.SGD(0.1), "mse")
            recover_into(model, old, {"net/hidden/kernel": "hidden/kernel"})
            model.fit(
                inputs,
                targets,
                epochs=3,
                verbose=0,
                callbacks=[tf.keras.callbacks.BackupAndRestore(str(tmp_path / "backup")), Stop()],
            )

        with pytest.raises(KeyboardInterrupt):
            fit()
        fit()
        first, second, resumed, _ = seen
        assert first[0] == OLD["net/hidden/kernel"].tolist()
        assert second[0] != first[0]
        assert resumed == second

    @EACH_KERAS
    @eagerly
    def test_one_that_is_not_built(self, old, keras):
        model = keras.Sequential([keras.layers.Dense(2, name="hidden"), keras.layers.Dense(1, name="head")], name="mine")
        problem = problem_of(model, old, rename={"net": ""})
        assert problem.startswith(
            "the model 'mine' (Sequential) has no variables; it is not built yet: give input_shape=(None, "
        )
        plan = recover_into(model, old, rename={"net": ""}, input_shape=(None, 3))
        assert plan.coverage == 1.0 and values_of(model) == [value.tolist() for value in OLD.values()]

    @EACH_KERAS
    @eagerly
    def test_one_that_cannot_be_built(self, old, keras):
        model = keras.Sequential([keras.layers.Dense(2, name="hidden")], name="mine")
        problem = problem_of(model, old, input_shape=(None, None))
        assert "the model 'mine' (Sequential) cannot be built with input_shape=(None, None): ValueError: " in problem

    @eagerly
    def test_a_module(self, old):
        module = tf.Module(name="mine")
        module.parts = [tf.Variable(tf.zeros([3, 2]), name="net/hidden/kernel"), tf.Variable(tf.zeros([2]), name="other")]
        plan = recover_into(module, old)
        assert module.parts[0].numpy().tolist() == [[1, 2], [3, 4], [5, 6]]
        assert [(each.new.name, each.action) for each in plan.variables] == [
            ("net/hidden/kernel", "restored"),
            ("other", "initialized"),
        ]

    @eagerly
    def test_a_dict(self, old):
        bias, other = tf.Variable([0.0, 0.0]), tf.Variable([0.0, 0.0])
        recover_into({"a": bias, "b": other}, old, {"net/hidden/bias": ["a", other]})
        assert bias.numpy().tolist() == other.numpy().tolist() == [7, 8]

    @EACH_KERAS
    @eagerly
    def test_recover_vars_takes_the_models_own_variables(self, old, keras):
        model = dense_model(keras)
        kernel = model.weights[0]
        recover_into(model, old, {"net/hidden/kernel": kernel, "net/hidden/bias": "hidden/bias"})
        assert values_of(model)[:2] == [[[1, 2], [3, 4], [5, 6]], [7, 8]]

    @eagerly
    def test_a_variable_of_another_model(self, old):
        model, other = dense_model(ANY_KERAS), tf.Variable([0.0], name="mine")
        problem = problem_of(model, old, {"net/head/bias": other})
        assert "'net/head/bias': the variable 'mine' is not one of the model's" in problem

    @pytest.mark.parametrize(
        "strategy, copies",
        [
            ("MirroredStrategy(['CPU:0', 'CPU:1'])", 2),
            ("OneDeviceStrategy('CPU:1')", 1),
            ("experimental.MultiWorkerMirroredStrategy()", 1),
        ],
        ids=["mirrored", "one device", "multi-worker"],
    )
    def test_under_a_strategy(self, old, strategy, copies):
        code = (
            "import sys, tensorflow as tf\n"
            "tf1 = tf.compat.v1\n"
            "if tf.__version__ < '2': tf1.enable_eager_execution()\n"
            "config, cpu = tf.config.experimental, tf.config.experimental.list_physical_devices('CPU')[0]\n"
            "config.set_virtual_device_configuration(cpu, [config.VirtualDeviceConfiguration()] * 2)\n"
            "from estimator_warmstart import recover_into\n"
            f"strategy = tf.distribute.{strategy}\n"
            "with strategy.scope():\n"
            "  K = tf.keras\n"
            "  model = K.Sequential([K.layers.InputLayer((3,))])\n"
            "  model.add(K.layers.Dense(3, name='hidden'))\n"
            "  model.add(K.layers.Dense(1, name='head'))\n"
            "  model.compile(K.optimizers.Adagrad(0.1), 'mse')\n"
            "plan = recover_into(model, sys.argv[1], rename={'net': ''}, adapters={}, with_slots=True)\n"
            "variable = lambda w: w if isinstance(w, tf.Variable) else w.value\n"
            "for name in ('hidden/bias', 'Adagrad/accumulator/hidden/bias', 'head/bias'):\n"
            "  new = next(planned.new for planned in plan.variables if planned.new.name == name)\n"
            "  copies = new.parts[0].copies\n"
            "  print(name, len(copies), [copy.numpy().tolist() for copy in copies], len({copy.device for copy in copies}))\n"
        )
        save_checkpoint(old, {**OLD, "net/hidden/bias/Adagrad": np.float32([2, 3]), "global_step": np.int64(5)})
        done = run_python(code, old)
        assert done.stdout.splitlines() == [
            f"hidden/bias {copies} {[[7.0, 8.0, 0.0]] * copies} {copies}",
            f"Adagrad/accumulator/hidden/bias {copies} {[[2.0, 3.0, START]] * copies} {copies}",
            f"head/bias {copies} {[[11.0]] * copies} {copies}",
        ], done.stderr


# What Keras's Adagrad begins with, in float32.
START = float(np.float32(0.1))


class TestWhatIsDone:
    @eagerly
    def test_adapters_by_name(self, old):
        kernel, bias = tf.Variable(tf.fill([4, 2], 0.5)), tf.Variable([0.5, 0.5, 0.5])
        remap = adapters.remap_rows(["a", "b", "c"], ["c", "new", "a", "b"])
        recover_into({"net/hidden/kernel": kernel, "net/hidden/bias": bias}, old, adapters={"net/hidden/kernel": remap})
        assert kernel.numpy().tolist() == [[5, 6], [0.5, 0.5], [1, 2], [3, 4]]
        assert bias.numpy().tolist() == [7, 8, 0.5]

    @eagerly
    def test_each_remapping_has_its_own_table(self, old):
        first, second = tf.Variable(tf.zeros([3, 2])), tf.Variable(tf.zeros([3, 2]))
        recover_into(
            {"first": first, "second": second},
            old,
            {"net/hidden/kernel": ["first", "second"]},
            {
                "first": adapters.remap_rows(["a", "b", "c"], ["c", "b", "a"]),
                "second": adapters.remap_rows(["a", "b", "c"], ["b", "a", "c"]),
            },
        )
        assert first.numpy().tolist() == [[5, 6], [3, 4], [1, 2]]
        assert second.numpy().tolist() == [[3, 4], [1, 2], [5, 6]]

    @eagerly
    def test_a_function_a_cast_and_an_initializer(self, old):
        double, half = tf.Variable([0.0, 0.0]), tf.Variable(tf.zeros([3, 2], tf.float16))
        grown = tf.Variable(tf.zeros([5, 2]))
        recover_into(
            {"double": double, "half": half, "grown": grown},
            old,
            {"net/hidden/bias": "double", "net/hidden/kernel": ["half", "grown"]},
            {
                "double": adapters.transform(lambda value: 2 * value),
                "half": adapters.cast(),
                "grown": adapters.crop_or_pad(fill=tf1.ones_initializer()),
            },
        )
        assert double.numpy().tolist() == [14, 16]
        assert half.numpy().tolist() == [[1, 2], [3, 4], [5, 6]]
        assert grown.numpy().tolist() == [[1, 2], [3, 4], [5, 6], [1, 1], [1, 1]]

    @eagerly
    def test_partitions_are_put_together(self, old_dir):
        save_checkpoint(old_dir, {"w": np.float32([[1], [2], [3]])}, partitions={"w": 2})
        w = tf.Variable(tf.zeros([3, 1]))
        recover_into({"w": w}, str(old_dir))
        assert w.numpy().tolist() == [[1], [2], [3]]

    @eagerly
    def test_v1_checkpoints(self, old_dir):
        with tf.Graph().as_default(), tf1.Session() as session:
            tf1.get_variable("w", initializer=tf.constant([1.0, 2.0]))
            tf1.get_variable("v", initializer=tf.constant([[3.0], [4.0]]), partitioner=tf1.fixed_size_partitioner(2))
            session.run(tf1.global_variables_initializer())
            saver = tf1.train.Saver(write_version=tf1.train.SaverDef.V1)
            prefix = saver.save(session, str(old_dir / "model.ckpt"), write_meta_graph=False)
        w, v = tf.Variable([0.0, 0.0]), tf.Variable([[0.0], [0.0]])
        recover_into({"w": w, "v": v}, prefix)
        assert w.numpy().tolist() == [1, 2] and v.numpy().tolist() == [[3], [4]]

    @eagerly
    def test_the_global_step_only_by_name(self, old_dir):
        save_checkpoint(old_dir, {"w": np.float32([1]), "global_step": np.int64(7)})
        w, step = tf.Variable([0.0]), tf.Variable(np.int64(0))
        recover_into({"w": w, "global_step": step}, str(old_dir))
        assert (int(step.numpy()), float(w.numpy()[0])) == (0, 1.0)
        recover_into({"w": w, "global_step": step}, str(old_dir), {"global_step": step})
        assert int(step.numpy()) == 7

    @eagerly
    def test_nothing_is_touched_unless_all_can_be(self, old):
        kernel, bias = tf.Variable(tf.zeros([3, 2])), tf.Variable([0.0, 0.0, 0.0])
        problem = problem_of({"net/hidden/kernel": kernel, "net/hidden/bias": bias}, old)
        assert "the new 'net/hidden/bias' has shape [3], the old 'net/hidden/bias' [2]" in problem
        assert not kernel.numpy().any()

    @pytest.mark.parametrize("grown", [0, 1], ids=["as it is", "adapted"])
    @eagerly
    def test_nothing_is_touched_where_a_value_is_damaged(self, old, grown):
        """Its checksum is looked at when it is read, long after all is planned."""
        data = os.path.join(old, "model.ckpt.data-00000-of-00001")
        with open(data, "r+b") as file:
            file.seek(-1, os.SEEK_END)  # In net/hidden/kernel, the last by name.
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
        model = {"net/head/bias": tf.Variable([0.0]), "net/hidden/kernel": tf.Variable(tf.zeros([3 + grown, 2]))}
        problem = problem_of(model, old, adapters={})
        assert "recovering from" in problem and "model.ckpt failed" in problem
        assert float(model["net/head/bias"].numpy()[0]) == 0.0

    @eagerly
    def test_min_coverage_and_check_finite(self, old_dir):
        save_checkpoint(old_dir, {"a": np.float32([1, np.nan])})
        a, b = tf.Variable([0.0, 0.0]), tf.Variable([0.0, 0.0])
        assert "coverage 50.0 %, but min_coverage is 90 %" in problem_of({"a": a, "b": b}, str(old_dir), min_coverage=0.9)
        assert "'a' [2] has 1 NaN and 0 infinite values" in problem_of({"a": a, "b": b}, str(old_dir), check_finite=True)
        assert not a.numpy().any()

    @eagerly
    def test_the_report_is_logged(self, old, caplog):
        with caplog.at_level("INFO"):
            recover_into({"net/head/bias": tf.Variable([0.0])}, old)
        assert "net/head/bias" in caplog.text and "Recovered: 1 of 1 new variables" in caplog.text

    @eagerly
    def test_missing(self, old):
        model = {"net/hidden/bias": tf.Variable([0.0, 0.0]), "tower": tf.Variable([0.5])}
        assert "the new 'tower' [1] is chosen, but the checkpoint has nothing of that name" in problem_of(
            model, old, include=["net", "tower"]
        )
        recover_into(model, old, include=["net", "tower"], missing="keep")
        assert model["net/hidden/bias"].numpy().tolist() == [7, 8] and model["tower"].numpy().tolist() == [0.5]


class TestBadModels:
    @EACH_KERAS
    @eagerly
    def test_names_in_common(self, old, keras):
        class Twice(keras.Model):
            def __init__(self):
                super().__init__(name="twice")
                self.first = keras.layers.Dense(2, name="d")
                self.second = keras.layers.Dense(1, name="d")

            def call(self, inputs):
                return self.second(self.first(inputs))

        model = Twice()
        model(np.zeros([1, 3], np.float32))
        if len({getattr(weight, "path", weight.name) for weight in model.weights}) == 4:
            pytest.skip("this TensorFlow makes the names of layers different")
        problem = problem_of(model, old)
        assert "variables of the model have one name in common; give recover_into a dict {name: variable}" in problem
        assert "model.first." in problem and "model.second." in problem and "[3, 2]" in problem and "[2, 1]" in problem

    @eagerly
    def test_a_module_whose_variables_share_a_name(self, old):
        module = tf.Module()
        module.parts = [tf.Variable([float(number)], name="kernel") for number in range(10)]
        problem = problem_of(module, old)
        assert "'kernel' is model.parts.0 [1], model.parts.1 [1]" in problem and "model.parts.9 [1]" in problem

    @pytest.mark.parametrize(
        ("model", "problem"),
        [
            (3, "model must be a Keras model, a tf.Module or a dict {name: tf.Variable}, got 3"),
            (tf.Module, "got the class Module"),
            ({}, "model is an empty dict"),
            ({1: None}, "a variable's name is a string, got 1"),
            ({"a": np.zeros(3)}, "these of it are not variables: 'a'"),
        ],
        ids=["a number", "a class", "an empty dict", "a number for a name", "an array"],
    )
    @eagerly
    def test_what_is_not_a_model(self, old, model, problem):
        assert problem in problem_of(model, old)

    @eagerly
    def test_a_variable_of_two_names(self, old):
        variable = tf.Variable([0.0])
        problem = problem_of({"a": variable, "b": variable, "c": tf.Variable([0.0])}, old)
        assert problem == "model: one variable has several names; keep one of them: 'a', 'b'"

    @eagerly
    def test_a_module_without_variables(self, old):
        assert "the model 'mine' (Module) has no variables; call it once first" in problem_of(tf.Module(name="mine"), old)

    @eagerly
    def test_variables_of_a_graph(self, old):
        with tf.Graph().as_default():
            variable = tf1.get_variable("w", [2], use_resource=True)
        assert "'w' are of a graph, and have values only in a session: recover_variables" in problem_of({"w": variable}, old)

    def test_graph_mode(self, old):
        with tf.Graph().as_default():
            problem = problem_of({"w": None}, old)
        assert "recover_variables(session, ckp_dir) recovers into the variables of a session" in problem
        assert "tf.compat.v1.enable_eager_execution()" in problem

    @pytest.mark.skipif(not is_keras_3(ANY_KERAS), reason="TensorFlow's Keras is not Keras 3")
    def test_keras_3_on_another_backend(self, old):
        pytest.importorskip("jax")
        code = (
            "import os, sys\nos.environ['KERAS_BACKEND'] = 'jax'\nimport keras\n"
            "from estimator_warmstart import recover_into\n"
            "model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])\n"
            "try:\n  recover_into(model, sys.argv[1])\nexcept ValueError as error: print(error)"
        )
        assert "the model is of Keras 3 on the backend 'jax'" in run_python(code, old).stdout


def test_eager_mode_is_left_again():
    before = tf.executing_eagerly()
    with eager_mode():
        assert tf.executing_eagerly()
    assert tf.executing_eagerly() == before
