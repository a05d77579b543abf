"""make_saver(saver_format="both"): one file that is read by name and by object, with each value in it once."""

import glob
import os

import pytest
import tensorflow as tf

from conftest import needs_estimator, needs_keras_2, run_python
from estimator_warmstart import WarmStartError, convert_checkpoint, make_saver
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from shared_models import one_row, zeros

tf1 = tf.compat.v1


def save(folder, saver, assigned=None, step=None):
    """Saves the default graph, with the values `assigned` {variable: value}."""
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        for variable, value in (assigned or {}).items():
            variable.load(value, session)
        return saver.save(session, os.path.join(str(folder), "model.ckpt"), global_step=step)


def model(partitions=None):
    """fm/w [2] and fm/v [4, 1] with their Adam; what a step of training makes of them."""
    w = tf1.get_variable("fm/w", initializer=tf.constant([1.0, 2.0]), use_resource=True)
    v = tf1.get_variable(
        "fm/v",
        [4, 1],
        initializer=tf1.ones_initializer(),
        use_resource=True,
        partitioner=tf1.fixed_size_partitioner(partitions) if partitions else None,
    )
    loss = tf.reduce_sum(w * w) + tf.reduce_sum(tf.convert_to_tensor(v) ** 2)
    return w, v, tf1.train.AdamOptimizer(0.5).minimize(loss, tf1.train.get_or_create_global_step())


def save_trained(folder, saver_format="both", partitions=None, **options):
    """Returns the prefix, and {name: value} of what was saved."""
    with tf.Graph().as_default(), tf1.Session() as session:
        *_, train_op = model(partitions)
        saver = make_saver(saver_format=saver_format, **options)
        session.run(tf1.global_variables_initializer())
        session.run(train_op)
        prefix = saver.save(session, os.path.join(str(folder), "model.ckpt"))
        with tf.Graph().as_default(), tf1.Session() as other:
            values = {}
            for name, old in open_checkpoint(prefix).variables.items():
                values[name] = other.run(
                    tf.raw_ops.RestoreV2(
                        prefix=prefix, tensor_names=[old.key], shape_and_slices=[""], dtypes=[tf.as_dtype(old.dtype)]
                    )[0]
                )
    return prefix, values


NAMES = ["beta1_power", "beta2_power", "fm/v", "fm/v/Adam", "fm/v/Adam_1", "fm/w", "fm/w/Adam", "fm/w/Adam_1", "global_step"]

# Reads the file as programs without a graph do. Prints what they find.
EAGER = """
import json, sys
import tensorflow as tf
tf.compat.v1.enable_eager_execution()
prefix, names = sys.argv[1], sys.argv[2].split(",")
reader = tf.train.load_checkpoint(prefix)
holder = tf.train.Checkpoint()
holder.vars = {name: tf.Variable(tf.zeros_like(reader.get_tensor(name))) for name in names}
holder.restore(prefix).assert_consumed()
print(json.dumps({name: each.numpy().tolist() for name, each in holder.vars.items()}))
"""


@pytest.mark.parametrize("partitions", [None, 2], ids=["whole", "partitioned"])
@pytest.mark.parametrize("sharded", [True, False], ids=["sharded", "one file"])
class TestWhoReadsIt:
    def test_by_name(self, tmp_path, partitions, sharded):
        prefix, values = save_trained(tmp_path, partitions=partitions, sharded=sharded)
        assert sorted(values) == NAMES and values["global_step"] == 1
        for name in NAMES:
            assert (tf.train.load_variable(prefix, name) == values[name]).all(), name
        with tf.Graph().as_default(), tf1.Session() as session:
            w, v, _ = model(partitions)
            tf1.train.Saver().restore(session, prefix)
            assert session.run(w).tolist() == values["fm/w"].tolist() != [1, 2]
            assert session.run(tf.convert_to_tensor(v)).tolist() == values["fm/v"].tolist()

    def test_by_object_in_eager_execution(self, tmp_path, partitions, sharded):
        prefix, values = save_trained(tmp_path, partitions=partitions, sharded=sharded)
        done = run_python(EAGER, prefix, ",".join(NAMES))
        assert done.returncode == 0, done.stderr
        assert eval(done.stdout) == {name: value.tolist() for name, value in values.items()}

    def test_by_this_package(self, tmp_path, partitions, sharded):
        (tmp_path / "both").mkdir()
        prefix, values = save_trained(tmp_path / "both", partitions=partitions, sharded=sharded)
        old = open_checkpoint(prefix)
        assert old.slots_by_name["fm/w/Adam_1"].primary == "fm/w" and old.find("vars/fm/w").name == "fm/w"
        assert len(old.variables["fm/v"].slices) == (partitions or 0)
        again = convert_checkpoint(prefix, tmp_path / "names" / "model.ckpt", to="name")
        assert sorted(name for name, _ in tf.train.list_variables(again)) == NAMES
        assert (tf.train.load_variable(again, "fm/v") == values["fm/v"]).all()

    def test_nothing_is_stored_twice(self, tmp_path, partitions, sharded):
        sizes = {}
        for saver_format in ("name", "both"):
            (tmp_path / saver_format).mkdir()
            prefix, _ = save_trained(tmp_path / saver_format, saver_format, partitions=partitions, sharded=sharded)
            sizes[saver_format] = sum(map(os.path.getsize, glob.glob(prefix + ".data-*")))
        graph = len(tf.train.load_variable(prefix, "_CHECKPOINTABLE_OBJECT_GRAPH"))
        # The save counter, and the string's length and checksum.
        assert 0 < sizes["both"] - sizes["name"] - graph <= 8 + 2 + 4
        assert {name for name, _ in tf.train.list_variables(prefix)} == {
            *NAMES,
            *(f"vars/{name.replace('/', '.S')}/.ATTRIBUTES/VARIABLE_VALUE" for name in NAMES),
            "_CHECKPOINTABLE_OBJECT_GRAPH",
            "save_counter/.ATTRIBUTES/VARIABLE_VALUE",
        }


class TestResuming:
    @pytest.mark.parametrize("partitions", [None, 2], ids=["whole", "partitioned"])
    @pytest.mark.parametrize("found", ["name", "object", "both"])
    def test_from_each_format_in_a_finalized_graph(self, tmp_path, found, partitions):
        prefix, values = save_trained(tmp_path, found, None if found == "object" else partitions)
        with tf.Graph().as_default() as graph, tf1.Session() as session:
            w, v, _ = model(partitions)
            values_of = [w.read_value(), tf.convert_to_tensor(v), graph.get_tensor_by_name("fm/w/Adam:0")]
            values_of[2] = next(each for each in tf1.global_variables() if each.op.name == "fm/w/Adam").read_value()
            saver = make_saver(saver_format="both")
            saver.build()
            graph.finalize()
            saver.restore(session, prefix)
            read = [value.tolist() for value in session.run(values_of)]
        assert read == [values[name].tolist() for name in ("fm/w", "fm/v", "fm/w/Adam")]

    @pytest.mark.parametrize("found", ["name", "object", "both"])
    def test_names_of_the_users_own(self, tmp_path, new_graph, found):
        w = zeros("a/b", [2], use_resource=True)
        prefix = save(tmp_path, make_saver({"mine": w}, saver_format=found), {w: [1, 2]})
        with tf1.Session() as session:
            make_saver({"mine": w}, saver_format="both").restore(session, prefix)
            assert session.run(w).tolist() == [1, 2]

    def test_from_one_that_was_killed_before_it_was_finished(self, tmp_path, new_graph, monkeypatch):
        w = zeros("w", [2], use_resource=True)
        monkeypatch.setattr("estimator_warmstart.api.both_formats.add_keys", lambda *_: None)
        prefix = save(tmp_path, make_saver(saver_format="both"), {w: [1, 2]})
        assert tf.train.load_variable(prefix, "w").tolist() == [1, 2]
        assert open_checkpoint(prefix).format == "name-based"
        with tf1.Session() as session:
            make_saver(saver_format="both").restore(session, prefix)
            assert session.run(w).tolist() == [1, 2]

    def test_another_model(self, tmp_path):
        prefix, _ = save_trained(tmp_path, "object")
        with tf.Graph().as_default(), tf1.Session() as session:
            zeros("fm/w", [2], use_resource=True), zeros("fm/u", [2], use_resource=True)
            with pytest.raises(WarmStartError, match=r"model.ckpt cannot be restored, it has no 'fm/u', by name or by object"):
                make_saver(saver_format="both").restore(session, prefix)
        with tf.Graph().as_default(), tf1.Session() as session:
            zeros("fm/w", [3], use_resource=False)
            with pytest.raises(WarmStartError, match=r"model.ckpt cannot be restored, it is of another model: "):
                make_saver(saver_format="both").restore(session, prefix)

    def test_no_checkpoint_is_tensorflows_own_error(self, tmp_path, new_graph):
        zeros("w", [2], use_resource=True)
        with tf1.Session() as session, pytest.raises(ValueError, match="not a valid checkpoint"):
            make_saver(saver_format="both").restore(session, str(tmp_path / "nothing"))


class TestWhatIsSaved:
    def test_a_checkpoint_of_objects_with_an_optimizer(self, tmp_path):
        """The object paths are the object's, the names the variables'; slots are slots for both."""

        def build():
            w = tf1.get_variable("fm/w", initializer=tf.constant([1.0, 2.0]), use_resource=True)
            module = tf.Module()
            module.weights = w
            optimizer = tf1.train.AdagradOptimizer(0.5, initial_accumulator_value=3.0)
            train_op = optimizer.minimize(tf.reduce_sum(w), var_list=[w])
            return w, optimizer, train_op, tf.train.Checkpoint(model=module, optimizer=optimizer)

        with tf.Graph().as_default(), tf1.Session() as session:
            w, optimizer, train_op, objects = build()
            saver = make_saver(objects, saver_format="both")
            session.run(tf1.global_variables_initializer())
            session.run(train_op)
            prefix = saver.save(session, str(tmp_path / "model.ckpt"))
        assert tf.train.load_variable(prefix, "fm/w/Adagrad").tolist() == [4, 4]
        assert tf.train.load_variable(prefix, "fm/w").tolist() == [0.75, 1.75]
        assert "model/weights/.ATTRIBUTES/VARIABLE_VALUE" in dict(tf.train.list_variables(prefix))
        with tf.Graph().as_default(), tf1.Session() as session:
            w, optimizer, _, objects = build()
            objects.restore(prefix).assert_consumed().run_restore_ops(session)
            assert session.run([w, optimizer.get_slot(w, "accumulator")])[1].tolist() == [4, 4]
        with tf.Graph().as_default(), tf1.Session() as session:
            w, optimizer, _, objects = build()
            make_saver(objects, saver_format="both").restore(session, prefix)
            assert session.run(optimizer.get_slot(w, "accumulator")).tolist() == [4, 4]

    @needs_keras_2
    def test_a_keras_model(self, tmp_path, new_graph):
        layers = [tf.keras.layers.Dense(1, name="dense", input_shape=[2])]
        model = tf.keras.Sequential(layers)
        prefix = save(tmp_path, make_saver(model, saver_format="both"))
        names = dict(tf.train.list_variables(prefix))
        assert {"dense/kernel", "dense/bias", "layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"} <= set(names)

    def test_tables_are_saved_with_the_variables(self, tmp_path, new_graph):
        zeros("a", [1], use_resource=True)
        tf.lookup.experimental.DenseHashTable(tf.int64, tf.int64, -1, 0, -2)
        prefix = save(tmp_path, make_saver(saver_format="both"))
        assert {name.rpartition("-")[2] for name, _ in tf.train.list_variables(prefix)} >= {"a", "keys", "values"}

    def test_reference_variables(self, tmp_path, new_graph):
        w = tf1.get_variable("w", initializer=tf.constant([1.0]), use_resource=False)
        prefix = save(tmp_path, make_saver(saver_format="both"))
        assert {"w", "vars/w/.ATTRIBUTES/VARIABLE_VALUE"} <= set(dict(tf.train.list_variables(prefix)))
        with tf1.Session() as session:
            make_saver(saver_format="both").restore(session, prefix)
            assert session.run(w).tolist() == [1]

    def test_no_variables(self, tmp_path, new_graph):
        saver = make_saver(saver_format="both", allow_empty=True)
        with tf1.Session() as session:
            assert saver.save(session, str(tmp_path / "model.ckpt")) is None

    def test_a_part_of_a_partitioned_variable_in_an_object(self, new_graph):
        module = tf.Module()
        partitioner = tf1.fixed_size_partitioner(2)
        module.part, _ = tf1.get_variable("fm/v", [4, 1], use_resource=True, partitioner=partitioner)
        with pytest.raises(WarmStartError, match="an object cannot hold partitioned variables, here 'fm/v'"):
            make_saver(module, saver_format="both").build()

    def test_how_many_are_kept(self, tmp_path, new_graph):
        zeros("w", [1], use_resource=True)
        saver = make_saver(saver_format="both", max_to_keep=2, keep_checkpoint_every_n_hours=1)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for step in range(4):
                saver.save(session, str(tmp_path / "model.ckpt"), global_step=step, write_meta_graph=False)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "checkpoint",
            "model.ckpt-2.data-00000-of-00001",
            "model.ckpt-2.index",
            "model.ckpt-3.data-00000-of-00001",
            "model.ckpt-3.index",
        ]

    def test_the_state_names_only_what_is_finished(self, tmp_path, new_graph, monkeypatch):
        zeros("w", [1], use_resource=True)

        def fail(*_):
            raise WarmStartError("cannot be written")

        monkeypatch.setattr("estimator_warmstart.api.both_formats.add_keys", fail)
        with pytest.raises(WarmStartError, match="cannot be written"):
            save(tmp_path, make_saver(saver_format="both"))
        assert not (tmp_path / "checkpoint").exists()

    def test_without_a_state_file(self, tmp_path, new_graph):
        """As a SavedModel's variables are saved."""
        zeros("w", [1], use_resource=True)
        saver = make_saver(saver_format="both")
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            prefix = saver.save(session, str(tmp_path / "variables"), write_state=False, write_meta_graph=False)
        assert "vars/w/.ATTRIBUTES/VARIABLE_VALUE" in dict(tf.train.list_variables(prefix))

    def test_a_place_where_the_index_cannot_be_changed(self, tmp_path, new_graph):
        zeros("w", [1], use_resource=True)
        (tmp_path / "model.ckpt.index.unfinished").mkdir()
        with pytest.raises(WarmStartError, match=r"model.ckpt.index cannot be written: "):
            save(tmp_path, make_saver(saver_format="both"))
        assert tf.train.load_variable(str(tmp_path / "model.ckpt"), "w").tolist() == [0]


@needs_estimator
class TestEstimator:
    @pytest.mark.parametrize("first", ["name", "object"])
    def test_goes_on_in_both_formats_and_back(self, tmp_path, first):
        def train(saver_format, steps):
            def model_fn(features, labels, mode):
                w = zeros("w", [1], use_resource=True)
                train_op = tf.group(w.assign_add([1.0]), tf1.assign_add(tf1.train.get_or_create_global_step(), 1))
                scaffold = tf1.train.Scaffold(saver=make_saver(saver_format=saver_format))
                return tf.estimator.EstimatorSpec(mode, loss=tf.reduce_sum(w), train_op=train_op, scaffold=scaffold)

            config = tf.estimator.RunConfig(model_dir=str(tmp_path), save_checkpoints_steps=1)
            estimator = tf.estimator.Estimator(model_fn, config=config)
            estimator.train(one_row, steps=steps)
            return estimator

        train(first, 2)
        estimator = train("both", 2)
        assert estimator.get_variable_value("w").tolist() == [4]
        train(first, 1)
        latest = tf.train.latest_checkpoint(str(tmp_path))
        assert latest.endswith("-5")
        key = "w" if first == "name" else "vars/w/.ATTRIBUTES/VARIABLE_VALUE"
        assert tf.train.load_variable(latest, key).tolist() == [5]
