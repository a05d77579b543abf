"""Object-based checkpoints and SavedModels as the old model: names, paths, slots, and errors."""

import glob
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import (
    ShapeAdaptingRecoverHook,
    VariableRecoverHook,
    WarmStartError,
    format_report,
    match_variables,
    plan_recovery,
    recover_variables,
)
from estimator_warmstart._tf import object_graph_pb2
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from keras_models import place_to_train
from shared_models import save_objects, variable, zeros

tf1 = tf.compat.v1


def fm_objects():
    """fm/w with an Adagrad accumulator of 10 times it, and fm/v of no optimizer, held by a module."""
    w, v = variable("fm/w", [1.0, 2.0]), variable("fm/v", [3.0, 4.0, 5.0])
    optimizer = tf1.train.AdagradOptimizer(1.0, initial_accumulator_value=10.0)
    optimizer.apply_gradients([(tf.zeros([2]), w)])
    module = tf.Module()
    module.w, module.tower = w, tf.Module()
    module.tower.v = v
    return tf.train.Checkpoint(model=module, optimizer=optimizer)


def recovered(folder, recover_vars=None, **options):
    """The new graph's values after a recovery with a `VariableRecoverHook`."""
    hook = VariableRecoverHook(folder, recover_vars, **options)
    with tf1.train.MonitoredSession(hooks=[hook]) as session:
        return {new.op.name: session.run(new).tolist() for new in tf1.global_variables()}


class TestNamesAndPaths:
    def test_by_variable_name(self, old_dir, new_graph):
        save_objects(old_dir, fm_objects)
        zeros("fm/w", [2]), zeros("fm/v", [3])
        assert recovered(old_dir) == {"fm/w": [1, 2], "fm/v": [3, 4, 5]}

    @pytest.mark.parametrize("path", ["model/tower/v", "/model/tower/v/", "fm/v"])
    def test_by_path(self, old_dir, new_graph, path):
        save_objects(old_dir, fm_objects)
        zeros("ranker/v", [3])
        assert recovered(old_dir, {path: "ranker/v"}) == {"ranker/v": [3, 4, 5]}

    def test_by_each_of_several_paths_that_lead_to_it(self, old_dir, new_graph):
        def build():
            module = tf.Module()
            module.w = module.weight = variable("w", [1.0, 2.0])
            return tf.train.Checkpoint(model=module)

        save_objects(old_dir, build)
        zeros("a", [2]), zeros("b", [2])
        for path, new in (("model/w", "a"), ("model/weight", "b")):
            (plan,) = plan_recovery(old_dir, {path: new}).recovered
            assert plan.old.name == "w"

    def test_names_that_variables_share_go_by_their_paths(self, old_dir, new_graph):
        save_objects(
            old_dir,
            lambda: tf.train.Checkpoint(
                **{
                    key: tf1.Variable([float(number)], name="same", use_resource=True)
                    if number < 2
                    else variable("other", [2.0])
                    for number, key in enumerate(["first", "second", "third"])
                }
            ),
        )
        # In one graph the second is called same_1; a model that is built twice, each time in its own, has the name twice.
        assert sorted(open_checkpoint(old_dir).variables) == ["other", "same", "same_1"]
        name_alike(old_dir, b"same_1", b"same")
        assert sorted(open_checkpoint(old_dir).variables) == ["first", "other", "second"]
        zeros("new", [1])
        assert recovered(old_dir, {"second": "new"}) == {"new": [1]}
        with pytest.raises(WarmStartError, match=r"2 variables of the checkpoint have the name 'same'.*'first', 'second'"):
            plan_recovery(old_dir, {"same": "new"})

    def test_a_path_that_leads_nowhere(self, old_dir, new_graph):
        save_objects(old_dir, fm_objects)
        zeros("new", [3])
        with pytest.raises(WarmStartError, match=r"no 'model/tower/u' \(did you mean 'model/tower/v'"):
            plan_recovery(old_dir, {"model/tower/u": "new"})

    def test_a_dict_of_names_as_the_migration_guide_makes_it(self, old_dir, new_graph):
        """Unnamed variables in a dict of names: all of them are called `Variable`, and the keys have slashes and dots."""
        with tf.Graph().as_default(), tf1.Session() as session:
            values = {"fm/w": [1.0], "fm.v/x": [2.0]}
            model = tf.Module()
            model.vars = {name: tf1.Variable(value, use_resource=True, name="Variable") for name, value in values.items()}
            checkpoint = tf.train.Checkpoint(model=model)
            session.run(tf1.global_variables_initializer())
            checkpoint.save(os.path.join(str(old_dir), "objects"))
        zeros("fm/w", [1]), zeros("v", [1])
        name_alike(old_dir, b"Variable_1", b"Variable")
        pairs = match_variables(old_dir, include="fm", rename={"model/vars": ""})
        assert {old: new.op.name for old, new in pairs.items()} == {"model/vars/fm/w": "fm/w"}
        assert recovered(old_dir, {"model/vars/fm/w": "fm/w", "model/vars/fm.v/x": "v"}) == {"fm/w": [1], "v": [2]}

    @pytest.mark.parametrize(
        "rename, found",
        [
            pytest.param(
                {"model/tower": "ranker", "model": "top"}, {"fm/v": "ranker/v", "fm/w": "top/w"}, id="scopes of paths"
            ),
            pytest.param({"model/w": ["top/w", "copy"]}, {"fm/w": ["top/w", "copy"]}, id="a path, to two"),
            pytest.param({r"/model/(\w+)/v": r"ranker/v"}, {"fm/v": "ranker/v"}, id="a group and a slash"),
            pytest.param({"fm/w": "top/w", "model": ""}, {"fm/w": "top/w", "fm/v": "tower/v"}, id="names and paths"),
            pytest.param(
                {"model/w/.OPTIMIZER_SLOT/optimizer/accumulator": "copy"}, {"fm/w/Adagrad": "copy"}, id="a slot's path"
            ),
            pytest.param({"model/w/Adagrad": "copy"}, {"fm/w/Adagrad": "copy"}, id="a slot, by its variable's path"),
        ],
    )
    def test_rename_takes_paths(self, old_dir, new_graph, rename, found):
        save_objects(old_dir, fm_objects)
        zeros("ranker/v", [3]), zeros("tower/v", [3]), zeros("top/w", [2]), zeros("copy", [2])
        pairs = match_variables(old_dir, rename=rename)
        assert {
            old: [each.op.name for each in new] if isinstance(new, list) else new.op.name for old, new in pairs.items()
        } == found

    def test_a_pattern_that_fits_names_is_none_of_paths(self, old_dir, new_graph):
        save_objects(old_dir, lambda: tf.train.Checkpoint(fm=variable("b", [1.0]), x=variable("fm/w", [2.0])))
        zeros("new/w", [1]), zeros("new", [1])
        assert list(match_variables(old_dir, rename={"fm": "new"})) == ["fm/w"]

    def test_a_rename_that_fits_neither_name_nor_path(self, old_dir, new_graph):
        save_objects(old_dir, fm_objects)
        zeros("ranker/v", [3])
        with pytest.raises(WarmStartError, match=r"rename 'model/tover' fits no old variable \(did you mean 'model/tower'"):
            plan_recovery(old_dir, rename={"model/tover": "ranker"})

    def test_bookkeeping_is_no_variable(self, old_dir):
        save_objects(old_dir, fm_objects)
        assert sorted(open_checkpoint(old_dir).variables) == ["fm/v", "fm/w", "fm/w/Adagrad"]

    def test_the_report_says_the_format(self, old_dir, new_graph):
        save_objects(old_dir, fm_objects)
        zeros("fm/w", [2])
        assert "(object-based)" in format_report(plan_recovery(old_dir))


def name_alike(folder, longer, shorter):
    """Rewrites the object graph of the checkpoint in `folder`: what is called `longer` is called `shorter`."""
    prefix = tf.train.latest_checkpoint(str(folder))
    key = "_CHECKPOINTABLE_OBJECT_GRAPH"
    reader = tf.train.load_checkpoint(prefix)
    tensors = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    proto = object_graph_pb2.TrackableObjectGraph.FromString(tensors[key])
    for node in proto.nodes:
        for attribute in node.attributes:
            if attribute.full_name == longer.decode():
                attribute.full_name = shorter.decode()
    tensors[key] = proto.SerializeToString()
    with tf.Graph().as_default(), tf1.Session() as session:
        session.run(
            tf.raw_ops.SaveV2(
                prefix=prefix,
                tensor_names=list(tensors),
                shape_and_slices=[""] * len(tensors),
                tensors=[tf.constant(value) for value in tensors.values()],
            )
        )


class TestSlots:
    def test_of_a_tf1_optimizer(self, old_dir, new_graph):
        save_objects(old_dir, fm_objects)
        w = zeros("ranker/w", [2])
        tf1.train.AdagradOptimizer(1.0).minimize(tf.reduce_sum(w))
        values = recovered(old_dir, {"fm/w": "ranker/w"}, with_slots=True)
        assert values["ranker/w/Adagrad"] == [10, 10]

    def test_adam_and_its_powers(self, old_dir, new_graph):
        def build():
            w = variable("w", [1.0])
            optimizer = tf1.train.AdamOptimizer()
            optimizer.minimize(tf.reduce_sum(w), var_list=[w])
            return tf.train.Checkpoint(weights=w, optimizer=optimizer)

        save_objects(old_dir, build)
        w = zeros("w", [1])
        tf1.train.AdamOptimizer().minimize(tf.reduce_sum(w))
        plan = plan_recovery(old_dir, with_slots=True)
        assert sorted(planned.new.name for planned in plan.recovered) == [
            "beta1_power",
            "beta2_power",
            "w",
            "w/Adam",
            "w/Adam_1",
        ]

    def test_follow_their_variables_shape(self, old_dir, new_graph):
        save_objects(old_dir, fm_objects)
        w = zeros("fm/w", [3])
        tf1.train.AdagradOptimizer(1.0, initial_accumulator_value=0.5).minimize(tf.reduce_sum(w))
        hook = ShapeAdaptingRecoverHook(old_dir)
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            (slot,) = (new for new in tf1.global_variables() if new.op.name.endswith("Adagrad"))
            assert session.run(slot).tolist() == [10, 10, 0.5]


class TestSavedModel:
    def export(self, folder, step=None):
        with tf.Graph().as_default(), tf1.Session() as session:
            x = tf1.placeholder(tf.float32, [None, 2])
            w = variable("fm/w", [1.0, 2.0])
            session.run(tf1.global_variables_initializer())
            path = os.path.join(str(folder), "export", "1700000000")
            tf1.saved_model.simple_save(session, path, {"x": x}, {"y": x * w})
        return path

    def test_is_an_old_model(self, old_dir, new_graph):
        path = self.export(old_dir)
        zeros("fm/w", [2])
        assert recovered(path) == {"fm/w": [1, 2]}

    def test_says_that_it_has_no_slots(self, old_dir, new_graph):
        path = self.export(old_dir)
        w = zeros("fm/w", [2])
        tf1.train.AdagradOptimizer(1.0).minimize(tf.reduce_sum(w))
        report = format_report(plan_recovery(path, with_slots=True))
        assert "name-based SavedModel" in report
        assert "a SavedModel holds no optimizer slots" in report

    def test_of_objects(self, old_dir, new_graph):
        export_module(old_dir)
        zeros("new", [2])
        assert recovered(old_dir, {"weights/w": "new"}) == {"new": [1, 2]}
        assert "object-based SavedModel" in format_report(plan_recovery(old_dir, {"weights/w": "new"}))

    def test_one_directory_above(self, old_dir, new_graph):
        path = self.export(old_dir)
        zeros("fm/w", [2])
        with pytest.raises(WarmStartError, match="no checkpoint in it; name one of the directories in it: '1700000000'"):
            plan_recovery(os.path.dirname(path))

    def test_its_file_instead_of_its_directory(self, old_dir, new_graph):
        path = self.export(old_dir)
        zeros("fm/w", [2])
        with pytest.raises(WarmStartError, match=f"one file of a SavedModel; name its directory: {path}"):
            plan_recovery(os.path.join(path, "saved_model.pb"))

    def test_without_variables(self, old_dir, new_graph):
        path = self.export(old_dir)
        for file in os.listdir(os.path.join(path, "variables")):
            os.remove(os.path.join(path, "variables", file))
        zeros("fm/w", [2])
        with pytest.raises(WarmStartError, match="has no variables"):
            plan_recovery(path)


def export_module(folder):
    """Exports a module with a variable `weights/w` by `tf.saved_model.save`, which needs eager execution: in a child."""
    program = (
        "import sys, tensorflow as tf\n"
        "tf.compat.v1.enable_v2_behavior()\n"
        "module = tf.Module()\n"
        "module.weights = tf.Module()\n"
        "module.weights.w = tf.Variable([1.0, 2.0])\n"
        "tf.saved_model.save(module, sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, stderr=subprocess.PIPE)


class TestKerasFiles:
    @pytest.mark.parametrize("name", ["new.weights.h5", "weights"])
    def test_hdf5(self, old_dir, name):
        path = old_dir / name
        with place_to_train():
            model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(2,))])
            model.save_weights(str(old_dir / "new.weights.h5"))
        (old_dir / "new.weights.h5").rename(path)
        with tf.Graph().as_default():
            zeros("new", [1])
            said = r"a Keras HDF5 file \(.h5\), not a checkpoint; save it .*save_format=\"tf\""
            with pytest.raises(WarmStartError, match=said):
                plan_recovery(path)

    def test_keras_zip(self, old_dir, new_graph):
        with zipfile.ZipFile(str(old_dir / "model.keras"), "w") as archive:
            archive.writestr("config.json", "{}")
        zeros("new", [1])
        with pytest.raises(WarmStartError, match=r"a Keras file \(.keras\), not a checkpoint; save it"):
            plan_recovery(old_dir / "model.keras")

    def test_a_directory_with_one(self, old_dir, new_graph):
        (old_dir / "model.h5").write_bytes(b"")
        zeros("new", [1])
        with pytest.raises(WarmStartError, match=r"no checkpoint in it but a Keras file, model.h5; save it"):
            plan_recovery(old_dir)


def test_a_damaged_object_graph(old_dir, new_graph):
    prefix = save_objects(old_dir, fm_objects)
    for path in glob.glob(prefix + ".data-*"):
        with open(path, "rb") as file:
            content = file.read()
        with open(path, "wb") as file:
            file.write(content.replace(b"VARIABLE_VALUE", b"VARIABLE?VALUE"))
    zeros("new", [1])
    with pytest.raises(WarmStartError, match=f"the object graph of {prefix} cannot be read"):
        plan_recovery(old_dir)


def test_a_path_may_have_a_tilde_or_a_variable(tmp_path, new_graph, monkeypatch):
    save_checkpoint(tmp_path, {"w": np.float32([1])})
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    monkeypatch.setenv("OLD_MODEL", str(tmp_path))
    zeros("w", [1])
    for ckp_dir in (f"~/{tmp_path.name}", "$OLD_MODEL", "${OLD_MODEL}/model.ckpt"):
        assert plan_recovery(ckp_dir).coverage == 1.0


def test_recover_variables_reads_objects_too(old_dir, new_graph):
    save_objects(old_dir, fm_objects)
    w = zeros("fm/w", [2])
    with tf1.Session() as session:
        recover_variables(session, old_dir)
        assert session.run(w).tolist() == [1, 2]
