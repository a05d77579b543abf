"""recover_scaffold and make_saver: who saves, what the Scaffold keeps of the user's, and when it recovers."""

import glob
import json
import logging
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import WarmStartError, adapters, make_saver, recover_scaffold
from shared_models import one_row, serving_input, value_at, zeros

tf1 = tf.compat.v1


def model_of(make_scaffold, learning_rate=0.5):
    """A model_fn with the Scaffold in every mode; each step adds `learning_rate` to new/w."""

    def model_fn(features, labels, mode):
        w = zeros("new/w", [3, 1], use_resource=True)
        total = tf.reduce_sum(w)
        train_op = (
            tf1.train.AdagradOptimizer(learning_rate, initial_accumulator_value=1.0).minimize(
                -total, tf1.train.get_global_step()
            )
            if mode == "train"
            else None
        )
        return tf.estimator.EstimatorSpec(
            mode,
            predictions={"total": tf.reshape(total, [1])},
            loss=-total,
            train_op=train_op,
            scaffold=make_scaffold(),
            export_outputs={"serving_default": tf.estimator.export.PredictOutput(tf.reshape(total, [1]))},
        )

    return model_fn


def estimator_of(make_scaffold, model_dir, **config):
    return tf.estimator.Estimator(model_of(make_scaffold), config=tf.estimator.RunConfig(model_dir=str(model_dir), **config))


def steps_kept(model_dir):
    paths = glob.glob(os.path.join(str(model_dir), "model.ckpt-*.index"))
    return sorted(int(path.rpartition("-")[2][: -len(".index")]) for path in paths)


OLD_W = [[1], [2], [3]]


@needs_estimator
class TestEstimator:
    @pytest.mark.parametrize("saver_format", ["name", "object", "both"])
    def test_train_resume_evaluate_predict_export(self, fm_checkpoint, tmp_path, saver_format):
        def scaffold():
            return recover_scaffold(fm_checkpoint, {"fm/w": "new/w"}, saver_format=saver_format, with_slots=True)

        new_dir = tmp_path / "new"
        estimator = estimator_of(scaffold, new_dir)
        estimator.train(one_row, steps=2)
        assert value_at(new_dir, 0) == OLD_W
        assert value_at(new_dir, 0, "new/w/Adagrad") == [[10], [20], [30]]
        trained = value_at(new_dir, 2)
        assert trained != OLD_W
        estimator.train(one_row, steps=1)
        assert (np.float32(value_at(new_dir, 3)) > np.float32(trained)).all()  # It went on from there.
        total = np.sum(value_at(new_dir, 3))
        assert estimator.evaluate(one_row, steps=1)["loss"] == pytest.approx(-total)
        assert next(estimator.predict(one_row))["total"] == pytest.approx(total)
        exported = estimator.export_saved_model(str(tmp_path / "export"), serving_input)
        assert os.path.isfile(os.path.join(os.fsdecode(exported), "saved_model.pb"))
        objects = "_CHECKPOINTABLE_OBJECT_GRAPH" in dict(tf.train.list_variables(os.path.join(str(new_dir), "model.ckpt-3")))
        assert objects == (saver_format != "name")

    @pytest.mark.parametrize("saver_format", ["name", "object", "both"])
    def test_saver_options_are_honoured(self, fm_checkpoint, tmp_path, saver_format):
        def scaffold():
            return recover_scaffold(
                fm_checkpoint, {"fm/w": "new/w"}, saver_format=saver_format, max_to_keep=2, pad_step_number=True, sharded=False
            )

        estimator_of(scaffold, tmp_path / "new", save_checkpoints_steps=1).train(one_row, steps=5)
        names = {os.path.basename(path) for path in glob.glob(str(tmp_path / "new" / "model.ckpt-*"))}
        assert {name for name in names if not name.endswith(".meta")} == {
            f"model.ckpt-0000000{step}.{suffix}" for step in (4, 5) for suffix in ("index", "data-00000-of-00001")
        }

    def test_shapes_may_change(self, old_dir, tmp_path):
        save_checkpoint(old_dir, {"new/w": np.float32([[1], [2]])})
        estimator_of(lambda: recover_scaffold(old_dir, adapters={"new/w": adapters.crop_or_pad(7)}), tmp_path / "new").train(
            one_row, steps=1
        )
        assert value_at(tmp_path / "new", 0) == [[1], [2], [7]]

    def test_the_report_is_logged(self, fm_checkpoint, tmp_path, caplog):
        with caplog.at_level(logging.INFO, logger="tensorflow"):
            estimator_of(lambda: recover_scaffold(fm_checkpoint, {"fm/w": "new/w"}), tmp_path / "new").train(one_row, steps=1)
            estimator_of(lambda: recover_scaffold(fm_checkpoint, {"fm/w": "new/w"}), tmp_path / "new").train(one_row, steps=1)
        reports = [record.getMessage() for record in caplog.records if "Warm start from" in record.getMessage()]
        assert len(reports) == 1
        assert "Recovered: 1 of 3 new variables" in reports[0]

    def test_a_problem_stops_training_before_anything_is_written(self, fm_checkpoint, tmp_path):
        estimator = estimator_of(lambda: recover_scaffold(fm_checkpoint, {"fm/u": "new/w"}), tmp_path / "new")
        with pytest.raises(WarmStartError, match=r"no 'fm/u' \(did you mean 'fm/"):
            estimator.train(one_row, steps=1)
        assert steps_kept(tmp_path / "new") == []

    def test_a_problem_stops_training_before_anything_is_initialized(self, fm_checkpoint, new_graph):
        tf1.train.GradientDescentOptimizer(1.0).minimize(tf.reduce_sum(zeros("new/w", [3, 1], use_resource=True)))
        with pytest.raises(WarmStartError, match="no 'fm/u'"):
            recover_scaffold(fm_checkpoint, {"fm/u": "new/w"}).finalize()

    def test_a_name_that_only_training_has_does_not_stop_a_prediction(self, fm_checkpoint, tmp_path):
        pairs = {"fm/w": "new/w", "fm/w/Adagrad": "new/w/Adagrad"}
        estimator = estimator_of(lambda: recover_scaffold(fm_checkpoint, pairs), tmp_path / "new")
        estimator.train(one_row, steps=1)
        assert value_at(tmp_path / "new", 0, "new/w/Adagrad") == [[10], [20], [30]]
        assert next(estimator.predict(one_row))["total"] > 6
        assert estimator.evaluate(one_row, steps=1)["loss"] < -6


@needs_estimator
class TestTheUsersOwn:
    def test_init_op_init_fn_local_init_op_and_summary_op_are_kept(self, fm_checkpoint, tmp_path):
        calls = []

        def scaffold():
            counter = tf1.get_variable("counter", [], initializer=tf1.zeros_initializer(), collections=["local_variables"])
            other = zeros("other", [1], use_resource=True)
            given = {
                "init_op": tf.group(tf1.global_variables_initializer(), name="my_init"),
                "local_init_op": tf.group(tf1.local_variables_initializer(), tf1.tables_initializer(), name="my_local_init"),
                "summary_op": tf1.summary.scalar("mine", counter),
                "init_fn": lambda scaffold, session: calls.append(
                    (
                        type(scaffold).__name__ != "NoneType",
                        session.run(tf1.get_default_graph().get_tensor_by_name("new/w/Read/ReadVariableOp:0")).tolist(),
                        session.run(other).tolist(),
                    )
                ),
            }
            made = recover_scaffold(fm_checkpoint, {"fm/w": "new/w"}, **given)
            assert [made.init_op, made.local_init_op, made.summary_op] == [
                given["init_op"],
                given["local_init_op"],
                given["summary_op"],
            ]
            return made

        estimator_of(scaffold, tmp_path / "new").train(one_row, steps=1)
        assert calls == [(True, OLD_W, [0])]
        assert value_at(tmp_path / "new", 0) == OLD_W

    @pytest.mark.parametrize("has_saver", [False, True])
    def test_a_scaffold_of_the_users_is_copied(self, fm_checkpoint, tmp_path, has_saver):
        calls = []

        def scaffold():
            own = tf1.train.Scaffold(
                init_fn=lambda scaffold, session: calls.append(scaffold is own),
                saver=make_saver(max_to_keep=1) if has_saver else None,
            )
            return recover_scaffold(fm_checkpoint, {"fm/w": "new/w"}, copy_from_scaffold=own)

        estimator_of(scaffold, tmp_path / "new", save_checkpoints_steps=1).train(one_row, steps=3)
        assert calls == [True]
        assert steps_kept(tmp_path / "new") == ([3] if has_saver else [0, 1, 2, 3])

    def test_an_init_op_that_passes_the_initializers_by(self, fm_checkpoint, tmp_path):
        def scaffold():
            assigns = [variable.assign(tf.zeros_like(variable)) for variable in tf1.global_variables()]
            return recover_scaffold(fm_checkpoint, {"fm/w": "new/w"}, init_op=tf.group(*assigns))

        estimator_of(scaffold, tmp_path / "new").train(one_row, steps=1)
        assert value_at(tmp_path / "new", 0) == OLD_W


class TestBadArguments:
    @pytest.mark.parametrize(
        "options, message",
        [
            ({"saver_format": "objects"}, r"'name' or 'object' or 'both', got 'objects' \(did you mean 'object'"),
            ({"max_to_kep": 3}, r"recover_scaffold has no argument 'max_to_kep' \(did you mean 'max_to_keep'"),
            ({"with_slot": True}, r"no argument 'with_slot' \(did you mean 'with_slots'"),
            ({"when": "every_train"}, "use a hook for when='every_train'"),
            ({"max_to_keep": "3"}, "max_to_keep must be a number, 0 or more, got '3'"),
            ({"max_to_keep": -1}, "max_to_keep must be a number"),
            ({"keep_checkpoint_every_n_hours": True}, "keep_checkpoint_every_n_hours must be a number"),
            ({"saver_format": "object", "reshape": True}, "cannot be restored into other shapes"),
            ({"min_coverage": 7}, "min_coverage must be"),
            ({"missing": "kep"}, "missing must be"),
        ],
    )
    def test_refused_at_once(self, options, message):
        with tf.Graph().as_default(), pytest.raises(WarmStartError, match=message):
            recover_scaffold("anywhere", **options)

    @pytest.mark.parametrize("options", [{"max_to_keep": 3}, {"saver_format": "object"}, {"var_list": []}])
    def test_two_savers(self, options):
        with tf.Graph().as_default():
            own = tf1.train.Scaffold(saver=make_saver())
            with pytest.raises(WarmStartError, match="copy_from_scaffold has a saver already"):
                recover_scaffold("anywhere", copy_from_scaffold=own, **options)


def saved_by(saver, folder):
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        return dict(tf.train.list_variables(saver.save(session, str(folder / "model.ckpt"))))


class TestMakeSaver:
    def test_names_and_objects_of_a_list(self, tmp_path, new_graph):
        a, _ = zeros("a/b", [1], use_resource=True), zeros("other", [1], use_resource=True)
        assert list(saved_by(make_saver([a]), tmp_path)) == ["a/b"]
        assert sorted(saved_by(make_saver([a], saver_format="object"), tmp_path)) == [
            "_CHECKPOINTABLE_OBJECT_GRAPH",
            "vars/a.Sb/.ATTRIBUTES/VARIABLE_VALUE",
        ]

    def test_names_and_objects_of_a_dict(self, tmp_path, new_graph):
        named = {"mine": zeros("a/b", [1], use_resource=True)}
        assert list(saved_by(make_saver(named), tmp_path)) == ["mine"]
        assert "vars/mine/.ATTRIBUTES/VARIABLE_VALUE" in saved_by(make_saver(named, saver_format="object"), tmp_path)

    def test_objects_of_a_checkpoint_and_a_model(self, tmp_path, new_graph):
        module = tf.Module()
        module.kernel = zeros("a/b", [1], use_resource=True)
        for trackable, path in ((tf.train.Checkpoint(model=module), "model/kernel"), (module, "kernel")):
            saved = saved_by(make_saver(trackable, saver_format="object"), tmp_path)
            assert f"{path}/.ATTRIBUTES/VARIABLE_VALUE" in saved
            with pytest.raises(WarmStartError, match='give saver_format="object" or "both"'):
                make_saver(trackable)

    def test_variables_made_after_it_are_saved(self, tmp_path, new_graph):
        saver = make_saver(saver_format="object")
        tf1.get_variable("reference", [1], use_resource=False)
        assert "vars/reference/.ATTRIBUTES/VARIABLE_VALUE" in saved_by(saver, tmp_path)

    def test_what_tensorflow_reads_back(self, tmp_path, new_graph):
        a = zeros("a", [2], use_resource=True)
        saver = make_saver(saver_format="object")
        with tf1.Session() as session:
            session.run(a.assign([3.0, 4.0]))
            prefix = saver.save(session, str(tmp_path / "model.ckpt"))
        with tf.Graph().as_default(), tf1.Session() as session:
            again = zeros("another_name", [2], use_resource=True)
            module = tf.Module()
            module.a = again
            tf.train.Checkpoint(vars=module).restore(prefix).initialize_or_restore(session)
            assert session.run(again).tolist() == [3, 4]

    def test_a_table_that_says_itself_how_it_is_saved_is_saved_with_the_objects(self, tmp_path, new_graph):
        zeros("a", [1], use_resource=True)
        tf.lookup.experimental.DenseHashTable(tf.int64, tf.int64, -1, 0, -2)
        assert tf1.get_collection(tf1.GraphKeys.SAVEABLE_OBJECTS)
        saved = saved_by(make_saver(saver_format="object"), tmp_path)
        assert {name.rpartition("-")[2] for name in saved} >= {"keys", "values"}

    def test_partitioned_variables_cannot_be_objects(self, tmp_path, new_graph):
        tf1.get_variable("fm/v", [4, 1], partitioner=tf1.fixed_size_partitioner(2))
        with pytest.raises(WarmStartError, match="cannot hold partitioned variables, here 'fm/v'; save this model with"):
            make_saver(saver_format="object").build()
        assert list(saved_by(make_saver(), tmp_path)) == ["fm/v"]


UNDER_MIRRORED = """
    import json, sys
    import tensorflow as tf
    from estimator_warmstart import recover_scaffold

    tf1 = tf.compat.v1
    cpu = tf.config.experimental.list_physical_devices("CPU")[0]
    tf.config.experimental.set_virtual_device_configuration(cpu, [tf.config.experimental.VirtualDeviceConfiguration()] * 2)
    old_dir, new_dir, saver_format = sys.argv[1:]
    found, calls = {}, []


    class Look(tf1.train.SessionRunHook):
        def after_create_session(self, session, coord):
            for variable in tf1.global_variables():
                found[variable.name] = [session.run(copy).tolist() for copy in variable.values]


    def model_fn(features, labels, mode):
        w = tf1.get_variable("new/w", [2], initializer=tf1.zeros_initializer())
        train_op = None
        if mode == "train":
            train_op = tf1.train.AdagradOptimizer(0.5).minimize(-tf.reduce_sum(w), tf1.train.get_global_step())
        scaffold = recover_scaffold(
            old_dir, {"fm/w": "new/w"}, with_slots=True, saver_format=saver_format, max_to_keep=1,
            init_fn=lambda scaffold, session: calls.append(1))
        return tf.estimator.EstimatorSpec(mode, loss=-tf.reduce_sum(w), train_op=train_op, scaffold=scaffold)


    def estimator():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"], tf.distribute.ReductionToOneDevice())
        config = tf.estimator.RunConfig(
            model_dir=new_dir, train_distribute=strategy, eval_distribute=strategy, save_checkpoints_steps=1)
        return tf.estimator.Estimator(model_fn, config=config)


    one_row = lambda: tf.data.Dataset.from_tensors(({"x": [0.0]}, [0.0])).repeat()
    estimator().train(one_row, steps=1, hooks=[Look()])
    fresh = dict(found)
    estimator().train(one_row, steps=1, hooks=[Look()])
    evaluated = estimator().evaluate(one_row, steps=1)
    print(json.dumps([fresh, dict(found), calls, float(evaluated["loss"]), tf.train.latest_checkpoint(new_dir)]))
"""


@pytest.mark.parametrize("saver_format", ["name", "object", "both"])
@needs_estimator
def test_under_mirrored_strategy_every_replica_is_recovered(tmp_path, saver_format):
    (tmp_path / "old").mkdir()
    save_checkpoint(tmp_path / "old", {"fm/w": np.float32([1, 2]), "fm/w/Adagrad": np.float32([0.5, 0.25])})
    program = textwrap.dedent(UNDER_MIRRORED)
    command = [sys.executable, "-c", program, str(tmp_path / "old"), str(tmp_path / "new"), saver_format]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2"))
    assert done.returncode == 0, done.stderr[-3000:]
    fresh, resumed, calls, loss, latest = json.loads(done.stdout.splitlines()[-1])
    assert fresh["new/w:0"] == [[1, 2]] * 2
    assert fresh["new/w/Adagrad:0"] == [[0.5, 0.25]] * 2
    assert resumed["new/w:0"][0] == resumed["new/w:0"][1] != [1, 2]
    assert calls == [1]
    assert loss < -3
    assert steps_kept(tmp_path / "new") == [2] and latest.endswith("model.ckpt-2")
