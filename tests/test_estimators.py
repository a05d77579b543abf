"""warm_started: any Estimator, through everything that an Estimator does."""

import json
import logging
import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import (
    VariableRecoverHook,
    WarmStartError,
    adapters,
    make_saver,
    warm_start_settings,
    warm_started,
)
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.restore.warm_start_json import read_step
from shared_models import one_row, serving_input, value_at

pytestmark = needs_estimator

tf1 = tf.compat.v1


def collision_model(features, labels, mode, params):
    """The article's collision: the new model has an A of its own, and B is to take the old A."""
    a = tf1.get_variable("A", [2], initializer=tf1.constant_initializer(params["a"]))
    b = tf1.get_variable("B", [2], initializer=tf1.zeros_initializer())
    loss = -tf.reduce_sum(a) - tf.reduce_sum(b)
    return tf.estimator.EstimatorSpec(
        mode,
        loss=loss,
        predictions={"b": tf.expand_dims(tf.identity(b), 0)},
        train_op=tf1.train.GradientDescentOptimizer(1.0).minimize(loss, tf1.train.get_global_step()),
        export_outputs={"serving_default": tf.estimator.export.PredictOutput(tf.identity(b))},
    )


@pytest.fixture
def old_a(old_dir):
    save_checkpoint(old_dir, {"A": np.float32([3, 4])}, step=70)
    return str(old_dir)


def custom(tmp_path, **config):
    return tf.estimator.Estimator(
        collision_model, params={"a": 7.0}, config=tf.estimator.RunConfig(model_dir=str(tmp_path / "new"), **config)
    )


class TestCustom:
    def test_the_collision_case(self, old_a, tmp_path):
        new = warm_started(custom(tmp_path), old_a, {"A": "B"})
        new.train(one_row, steps=1)
        assert value_at(tmp_path / "new", 0, "B") == [3, 4]
        assert value_at(tmp_path / "new", 0, "A") == [7, 7]

    def test_is_the_same_estimator_otherwise(self, old_a, tmp_path):
        before = custom(tmp_path, save_checkpoints_steps=2, keep_checkpoint_max=3)
        new = warm_started(before, old_a, {"A": "B"})
        assert (new.model_dir, new.params) == (before.model_dir, before.params)
        assert new.config.save_checkpoints_steps == 2 and new.config.keep_checkpoint_max == 3
        assert isinstance(new, type(before))

    def test_a_second_train_goes_on(self, old_a, tmp_path):
        new = warm_started(custom(tmp_path), old_a, {"A": "B"})
        new.train(one_row, steps=2)
        new.train(one_row, steps=1)
        assert value_at(tmp_path / "new", 3, "B") == [6, 7]

    def test_evaluate_predict_and_export(self, old_a, tmp_path):
        new = warm_started(custom(tmp_path), old_a, {"A": "B"})
        new.train(one_row, steps=1)
        assert new.evaluate(one_row, steps=1)["loss"] == -(8 + 8 + 4 + 5)
        assert next(new.predict(one_row))["b"].tolist() == [4, 5]
        exported = os.fsdecode(new.export_saved_model(str(tmp_path / "export"), serving_input))
        assert value_at_export(exported, "B") == [4, 5]

    def test_train_and_evaluate_with_an_exporter(self, old_a, tmp_path):
        new = warm_started(custom(tmp_path), old_a, {"A": "B"})
        exporter = tf.estimator.FinalExporter("final", serving_input)
        metrics, exports = tf.estimator.train_and_evaluate(
            new,
            tf.estimator.TrainSpec(one_row, max_steps=2),
            tf.estimator.EvalSpec(one_row, steps=1, exporters=[exporter], start_delay_secs=0, throttle_secs=0),
        )
        assert metrics["loss"] == -(9 + 9 + 5 + 6)
        assert value_at_export(os.fsdecode(exports[0]), "B") == [5, 6]

    @pytest.mark.parametrize("first", ["add_metrics", "warm_started"])
    def test_with_add_metrics(self, old_a, tmp_path, first):
        def more(predictions):
            return {"b": tf1.metrics.mean(predictions["b"])}

        # TensorFlow 2's own wants Keras metrics.
        add_metrics = tf1.estimator.add_metrics if hasattr(tf1.estimator, "add_metrics") else tf.estimator.add_metrics
        before = tf1.estimator.Estimator(collision_model, params={"a": 7.0}, model_dir=str(tmp_path / "new"))
        if first == "add_metrics":
            new = warm_started(add_metrics(before, more), old_a, {"A": "B"})
        else:
            new = add_metrics(warm_started(before, old_a, {"A": "B"}), more)
        new.train(one_row, steps=1)
        assert new.evaluate(one_row, steps=1)["b"] == 4.5

    def test_a_warm_start_of_its_own_stays(self, old_a, tmp_path):
        (tmp_path / "other").mkdir()
        other = save_checkpoint(tmp_path / "other", {"A": np.float32([11, 12])})
        before = tf.estimator.Estimator(
            collision_model, str(tmp_path / "new"), params={"a": 7.0}, warm_start_from=warm_start_settings(other, {"A": "A"})
        )
        warm_started(before, old_a, {"A": "B"}).train(one_row, steps=1)
        assert value_at(tmp_path / "new", 0, "A") == [11, 12]
        assert value_at(tmp_path / "new", 0, "B") == [3, 4]

    def test_patterns_and_adapters(self, old_a, tmp_path):
        squared = {"B": adapters.transform(tf.square)}
        new = warm_started(custom(tmp_path), old_a, rename={"A": "B"}, include="B", adapters=squared)
        new.train(one_row, steps=1)
        assert value_at(tmp_path / "new", 0, "B") == [9, 16]


def value_at_export(folder, name):
    prefix = os.path.join(folder, "variables", "variables")
    return tf.train.load_variable(prefix, open_checkpoint(folder).variables[name].key).tolist()


def head_with_slots(features, labels, mode, params):
    """`model` of any mode; in training it has momentum slots and an auxiliary head too."""
    w = tf1.get_variable("w", [2], initializer=tf1.zeros_initializer())
    loss, train_op = -tf.reduce_sum(w), None
    if mode == tf.estimator.ModeKeys.TRAIN:
        auxiliary = tf1.get_variable("auxiliary", [3], initializer=tf1.zeros_initializer())
        loss -= tf.reduce_sum(auxiliary)
        train_op = tf1.train.MomentumOptimizer(1.0, 0.5).minimize(loss, tf1.train.get_global_step())
    return tf.estimator.EstimatorSpec(
        mode,
        loss=loss,
        train_op=train_op,
        predictions={"w": tf.expand_dims(tf.identity(w), 0)},
        export_outputs={"serving_default": tf.estimator.export.PredictOutput(tf.identity(w))},
    )


def files_in(folder):
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def training_input():
    x, y = tf1.placeholder(tf.float32, [None], "x"), tf1.placeholder(tf.float32, [None], "y")
    return tf.estimator.experimental.build_raw_supervised_input_receiver_fn({"x": x}, y)()


class TestUntrained:
    """What TensorFlow's own `warm_start_from` leaves cold, or refuses."""

    def untrained(self, old, tmp_path, *arguments, **options):
        return warm_started(custom(tmp_path), old, *arguments, **options)

    def test_evaluates_and_predicts_warm_and_leaves_nothing(self, old_a, tmp_path):
        new = self.untrained(old_a, tmp_path, {"A": "B"})
        assert next(new.predict(one_row))["b"].tolist() == [3, 4]
        assert files_in(tmp_path / "new") == []
        assert new.evaluate(one_row, steps=1)["loss"] == -(7 + 7 + 3 + 4)
        assert new.evaluate(one_row, steps=1)["global_step"] == 0
        assert files_in(tmp_path / "new") == ["eval"]  # TensorFlow's own summary of the metrics.
        new.train(one_row, steps=1)
        assert value_at(tmp_path / "new", 0, "B") == [3, 4]
        assert (tmp_path / "new" / "warm_start.json").exists()

    def test_exports_warm(self, old_a, tmp_path):
        new = self.untrained(old_a, tmp_path, {"A": "B"})
        exported = os.fsdecode(new.export_saved_model(str(tmp_path / "export"), serving_input))
        assert value_at_export(exported, "B") == [3, 4]
        assert value_at_export(exported, "A") == [7, 7]
        assert files_in(tmp_path / "export") == [os.path.basename(exported)]
        assert files_in(tmp_path / "new") == []

    def test_exports_all_modes_warm(self, old_dir, tmp_path):
        save_checkpoint(old_dir, {"w": np.float32([3, 4]), "w/Momentum": np.float32([5, 6])})
        new = warm_started(
            tf.estimator.Estimator(head_with_slots, str(tmp_path / "new")), str(old_dir), with_slots=True, missing="keep"
        )
        exported = os.fsdecode(
            new.experimental_export_all_saved_models(
                str(tmp_path / "export"),
                {tf.estimator.ModeKeys.TRAIN: training_input, tf.estimator.ModeKeys.PREDICT: serving_input},
            )
        )
        assert value_at_export(exported, "w") == [3, 4]
        assert value_at_export(exported, "w/Momentum") == [5, 6]

    def test_a_checkpoint_path_is_what_counts(self, old_a, tmp_path):
        custom(tmp_path / "other").train(one_row, steps=5)
        trained = str(tmp_path / "other" / "new" / "model.ckpt-5")
        new = self.untrained(old_a, tmp_path, {"A": "B"})
        assert new.evaluate(one_row, steps=1, checkpoint_path=trained)["loss"] == -(12 + 12 + 5 + 5)
        assert next(new.predict(one_row, checkpoint_path=trained))["b"].tolist() == [5, 5]
        exported = os.fsdecode(new.export_saved_model(str(tmp_path / "export"), serving_input, checkpoint_path=trained))
        assert value_at_export(exported, "B") == [5, 5]
        os.rename(old_a, old_a + "-gone")
        assert next(new.predict(one_row, checkpoint_path=trained))["b"].tolist() == [5, 5]

    def test_once_it_is_trained_the_old_model_may_be_gone(self, old_a, tmp_path):
        new = self.untrained(old_a, tmp_path, {"A": "B"})
        new.train(one_row, steps=1)
        os.rename(old_a, old_a + "-gone")
        assert new.evaluate(one_row, steps=1)["loss"] == -(8 + 8 + 4 + 5)

    @pytest.mark.parametrize(
        "options",
        [
            {"recover_vars": {"w": "w", "w/Momentum": "w/Momentum", "auxiliary": "auxiliary"}},
            {"include": ["w", "auxiliary"], "adapters": {"w/Momentum": adapters.crop_or_pad()}},
            {"include": "w", "exclude": "auxiliary"},
            {"rename": {"w": "w", "auxiliary": "auxiliary"}},
            {"adapters": {"auxiliary": adapters.crop_or_pad()}, "min_coverage": 0.9},
        ],
        ids=["recover_vars", "include", "exclude", "rename", "adapters"],
    )
    def test_what_only_training_has_is_no_problem(self, old_dir, tmp_path, options):
        save_checkpoint(
            old_dir, {"w": np.float32([3, 4]), "w/Momentum": np.float32([5, 6]), "auxiliary": np.float32([1, 1, 1])}
        )
        new = warm_started(tf.estimator.Estimator(head_with_slots, str(tmp_path / "new")), str(old_dir), **options)
        assert next(new.predict(one_row))["w"].tolist() == [3, 4]
        new.train(one_row, steps=1)
        assert value_at(tmp_path / "new", 0, "w") == [3, 4]

    @pytest.mark.parametrize(
        "run",
        [
            lambda new, _: new.evaluate(one_row, steps=1),
            lambda new, _: next(new.predict(one_row)),
            lambda new, folder: new.export_saved_model(folder, serving_input),
        ],
        ids=["evaluate", "predict", "export_saved_model"],
    )
    def test_what_does_not_fit_is_a_problem_as_in_training(self, old_a, tmp_path, run):
        (tmp_path / "larger").mkdir()
        larger = save_checkpoint(tmp_path / "larger", {"A": np.float32([3, 4, 5])})
        with pytest.raises(WarmStartError, match=r"the new 'B' has shape \[2\], the old 'A' \[3\]"):
            run(self.untrained(larger, tmp_path, {"A": "B"}), str(tmp_path / "export"))
        assert files_in(tmp_path / "export") == []

    def test_a_name_that_may_be_misspelt_is_told(self, old_dir, tmp_path, caplog):
        save_checkpoint(old_dir, {"w": np.float32([3, 4]), "w/Momentum": np.float32([5, 6]), "x": np.float32([1])})
        new = warm_started(
            tf.estimator.Estimator(head_with_slots, str(tmp_path / "new")),
            str(old_dir),
            {"w": "w:0", "w/Momentum": "w/Momentum", "x": "auxilary"},
        )
        assert next(new.predict(one_row))["w"].tolist() == [3, 4]
        assert "This graph has no new variable 'auxilary': an error when training begins" in caplog.text
        with pytest.raises(WarmStartError, match="the graph has no new variable 'auxilary'"):
            new.train(one_row, steps=1)

    def test_a_collection_that_only_training_fills(self, old_a, tmp_path):
        new = self.untrained(old_a, tmp_path, collection="of training", missing="keep")
        assert next(new.predict(one_row))["b"].tolist() == [0, 0]

    def test_with_more_metrics(self, old_a, tmp_path):
        add_metrics = tf1.estimator.add_metrics if hasattr(tf1.estimator, "add_metrics") else tf.estimator.add_metrics
        before = tf1.estimator.Estimator(collision_model, params={"a": 7.0}, model_dir=str(tmp_path / "new"))
        new = add_metrics(
            warm_started(before, old_a, {"A": "B"}), lambda predictions: {"b": tf1.metrics.mean(predictions["b"])}
        )
        assert new.evaluate(one_row, steps=1)["b"] == 3.5

    def test_mirrored(self, old_a, tmp_path):
        strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
        new = warm_started(custom(tmp_path, eval_distribute=strategy), old_a, {"A": "B"})
        assert new.evaluate(one_row, steps=1)["loss"] == -(7 + 7 + 3 + 4)

    def test_a_saver_of_its_own_format(self, old_a, tmp_path):
        def model_fn(features, labels, mode, params):
            return collision_model(features, labels, mode, params)._replace(
                scaffold=tf1.train.Scaffold(saver=make_saver(saver_format="object"))
            )

        before = tf.estimator.Estimator(model_fn, str(tmp_path / "new"), params={"a": 7.0})
        new = warm_started(before, old_a, {"A": "B"})
        assert next(new.predict(one_row))["b"].tolist() == [3, 4]
        exported = os.fsdecode(new.export_saved_model(str(tmp_path / "export"), serving_input))
        assert value_at_export(exported, "B") == [3, 4]


class TestTrainedAlready:
    def test_it_says_so_and_changes_nothing(self, old_a, tmp_path, caplog):
        custom(tmp_path).train(one_row, steps=5)
        with caplog.at_level(logging.WARNING, logger="tensorflow"):
            new = warm_started(custom(tmp_path), old_a, {"A": "B"})
        assert "is trained already (step 5): it goes on from there, nothing is recovered" in caplog.text
        new.train(one_row, steps=1)
        assert value_at(tmp_path / "new", 6, "B") == [6, 6]
        assert not (tmp_path / "new" / "warm_start.json").exists()

    def test_the_old_model_may_be_gone_then(self, old_a, tmp_path):
        warm_started(custom(tmp_path), old_a, {"A": "B"}).train(one_row, steps=1)
        os.rename(old_a, old_a + "-gone")
        warm_started(custom(tmp_path), old_a, {"A": "B"}).train(one_row, steps=1)
        assert value_at(tmp_path / "new", 2, "B") == [5, 6]


def columns(vocabulary, extra):
    column = tf.feature_column
    cities = column.categorical_column_with_vocabulary_file("city", str(vocabulary))
    deep = [column.embedding_column(cities, 2)] + ([column.numeric_column("age")] if extra else [])
    return {"linear_feature_columns": [cities], "dnn_feature_columns": deep}


def rides(extra):
    features = {"city": [["rome"], ["oslo"], ["bern"]], **({"age": [[1.0], [2.0], [3.0]]} if extra else {})}
    return lambda: tf.data.Dataset.from_tensors((features, [[0], [1], [1]])).repeat()


class TestCanned:
    def test_a_changed_vocabulary_and_an_extra_column_in_one_expression(self, tmp_path):
        (tmp_path / "old.txt").write_text("rome\noslo\n")
        (tmp_path / "new.txt").write_text("bern\noslo\nrome\n")

        def classifier(name, extra):
            return tf.estimator.DNNLinearCombinedClassifier(
                dnn_hidden_units=[3], model_dir=str(tmp_path / name), **columns(tmp_path / f"{name}.txt", extra)
            )

        classifier("old", False).train(rides(False), steps=3)
        old = open_checkpoint(str(tmp_path / "old"))
        cities = adapters.remap_rows(str(tmp_path / "old.txt"), str(tmp_path / "new.txt"))

        new = warm_started(
            classifier("new", True),
            str(tmp_path / "old"),
            adapters={
                ".*/city_embedding": cities,
                "linear/.*/city": cities,
                "dnn/hiddenlayer_0/kernel": adapters.remap_segments({"city": 2}, {"age": 1, "city": 2}),
            },
        )
        new.evaluate(rides(True), steps=1)  # No slots there.
        new.train(rides(True), steps=1)

        def values(folder, checkpoint):
            reader = tf.train.load_checkpoint(checkpoint.prefix)
            return {name: reader.get_tensor(each.key) for name, each in checkpoint.variables.items()}

        was = values("old", old)
        now = values("new", open_checkpoint(str(tmp_path / "new" / "model.ckpt-0")))
        tables = [name for name in now if "city" in name and now[name].ndim == 2]
        assert len([name for name in tables if name.endswith("embedding_weights") or "linear" in name]) >= 2
        for name in tables:
            assert now[name][[2, 1]].tolist() == was[name].tolist(), name
        assert now["dnn/hiddenlayer_0/kernel"][1:].tolist() == was["dnn/hiddenlayer_0/kernel"].tolist()
        assert now["dnn/logits/kernel"].tolist() == was["dnn/logits/kernel"].tolist()

    def test_a_keras_model(self, tmp_path):
        def estimator(name, value):
            tf.keras.backend.clear_session()
            model = tf.keras.Sequential(
                [
                    tf.keras.layers.Dense(
                        1, input_shape=(2,), name="dense", kernel_initializer=tf1.keras.initializers.Constant(value)
                    )
                ]
            )
            model.compile("sgd", "mse")
            return tf.keras.estimator.model_to_estimator(model, model_dir=str(tmp_path / name))

        def data():
            return tf.data.Dataset.from_tensors(([[1.0, 2.0]], [[3.0]])).repeat()

        estimator("old", 1.0).train(data, steps=2)
        trained = value_at(tmp_path / "old", 2, "dense/kernel")
        new = warm_started(estimator("new", 5.0), str(tmp_path / "old"))
        predicted = next(new.predict(lambda: tf.data.Dataset.from_tensors([[1.0, 2.0]])))["dense"]
        assert predicted == pytest.approx(trained[0][0] + 2 * trained[1][0])
        new.train(data, steps=1)
        assert value_at(tmp_path / "new", 0, "dense/kernel") == trained


class TestTraces:
    def test_warm_start_json(self, old_a, tmp_path):
        warm_started(custom(tmp_path), old_a, {"A": "B"}).train(one_row, steps=1)
        trace = json.loads((tmp_path / "new" / "warm_start.json").read_text())
        assert trace["tensorflow"] == tf.__version__
        assert trace["checkpoint"] == os.path.join(old_a, "model.ckpt-70")
        assert (trace["coverage"], trace["recovered_bytes"]) == (0.5, 8)
        assert {each["new"]: each["action"] for each in trace["variables"]} == {
            "A": "initialized",
            "B": "restored",
            "global_step": "initialized",
        }
        assert trace["seconds"] >= 0 and len(trace["index_sha256"]) == 64

    def test_the_source_step(self, fm_checkpoint, tmp_path):
        assert read_step(open_checkpoint(fm_checkpoint)) == 7

    def test_is_written_once(self, old_a, tmp_path):
        new = warm_started(custom(tmp_path), old_a, {"A": "B"})
        new.train(one_row, steps=1)
        (tmp_path / "new" / "warm_start.json").unlink()
        new.train(one_row, steps=1)
        assert not (tmp_path / "new" / "warm_start.json").exists()

    def test_tensorboard(self, old_a, tmp_path):
        warm_started(custom(tmp_path), old_a, {"A": "B"}).train(one_row, steps=1)
        found = {}
        for path in (tmp_path / "new").glob("events.*"):
            for event in tf1.train.summary_iterator(str(path)):
                found.update((value.tag, value) for value in event.summary.value)
        assert found["warm_start/coverage"].simple_value == 0.5
        assert "warm_start/slot_coverage" in found
        assert found["warm_start/report"].metadata.plugin_data.plugin_name == "text"
        assert "Recovered: 1 of 3 new variables" in tf.make_ndarray(found["warm_start/report"].tensor).item().decode()

    @pytest.mark.parametrize("task", ["chief", "worker"])
    def test_only_the_chief_writes(self, old_a, tmp_path, monkeypatch, new_graph, task):
        cluster = {"chief": ["localhost:1"], "worker": ["localhost:2"], "ps": ["localhost:3"]}
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": task, "index": 0}}))
        tf1.get_variable("A", [2])
        with tf1.train.MonitoredSession(hooks=[VariableRecoverHook(old_a, model_dir=str(tmp_path / "new"))]):
            assert (tmp_path / "new" / "warm_start.json").exists() == (task == "chief")

    def test_that_cannot_be_written_stops_nothing(self, old_a, tmp_path, caplog):
        (tmp_path / "new" / "warm_start.json").mkdir(parents=True)
        warm_started(custom(tmp_path), old_a, {"A": "B"}).train(one_row, steps=1)
        assert "warm_start.json, cannot be written" in caplog.text
        assert value_at(tmp_path / "new", 1, "B") == [4, 5]


class TestBadArguments:
    @pytest.mark.parametrize(
        "make, message",
        [
            (lambda new, old: warm_started(new, old, {"A": "B"}, with_slot=True), r"no argument 'with_slot' \(did you mean"),
            (lambda new, old: warm_started(new, old, ["A"]), "recover_vars must be a dict"),
            (lambda new, old: warm_started(new, old + "x"), "does not exist"),
            (lambda new, old: warm_started(new.model_fn, old), "estimator must be a tf.estimator.Estimator, got function"),
            (lambda new, old: warm_started(new, old, adapters={"B": 3}), "adapters"),
            (lambda new, old: warm_started(new, old, when="often"), "when must be"),
        ],
    )
    def test_are_refused_at_once(self, old_a, tmp_path, make, message):
        with pytest.raises(WarmStartError, match=message):
            make(custom(tmp_path), old_a)

    def test_a_keras_model_itself(self, old_a):
        model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(2,))])
        with pytest.raises(WarmStartError, match="model_to_estimator makes one of a Keras model"):
            warm_started(model, old_a)

    def test_its_own_directory(self, old_a):
        new = tf.estimator.Estimator(collision_model, params={"a": 7.0}, model_dir=old_a)
        with pytest.raises(WarmStartError, match="ckp_dir is the new model's own model_dir"):
            warm_started(new, old_a, {"A": "B"})

    def test_a_tpu_estimator(self, old_a, tmp_path):
        tpu = tf1.estimator.tpu
        new = tpu.TPUEstimator(
            collision_model, config=tpu.RunConfig(model_dir=str(tmp_path / "new")), use_tpu=False, train_batch_size=1
        )
        with pytest.raises(WarmStartError, match="give the hook to training_hooks of the TPUEstimatorSpec"):
            warm_started(new, old_a)

    def test_from_train_all_that_cannot_be_done(self, old_a, tmp_path):
        new = warm_started(custom(tmp_path), old_a, {"A": "C", "Z": "B"})
        with pytest.raises(WarmStartError, match="2 problems"):
            new.train(one_row, steps=1)
