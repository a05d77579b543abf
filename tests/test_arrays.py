"""Files of arrays, .npz and .safetensors, as the old model, in all ways in: what they hold, and values bit for bit."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from crafted_arrays import save_npz, save_safetensors
from eager import eagerly
from estimator_warmstart import (
    ShapeAdaptingRecoverHook,
    VariableRecoverHook,
    WarmStartError,
    adapters,
    format_report,
    hooks_from_params,
    match_variables,
    plan_recovery,
    recover_into,
    recover_scaffold,
    recover_variables,
    warm_start_settings,
    warm_started,
)
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.cli import main

tf1 = tf.compat.v1
BFLOAT16 = tf.bfloat16.as_numpy_dtype

VALUES = {
    "fm/w": np.float32([[1], [2], [3]]),
    "fm/w/Adagrad": np.float32([[10], [20], [30]]),
    "fm/v": np.float32([[1, 2], [3, 4], [5, 6]]),
    "global_step": np.int64(7),
}
SAVERS = {
    "npz": lambda folder, values: save_npz(folder / "m.npz", values),
    "compressed npz": lambda folder, values: save_npz(folder / "m.npz", values, np.savez_compressed),
    "safetensors": lambda folder, values: save_safetensors(folder / "m.safetensors", values),
}


@pytest.fixture(params=SAVERS)
def save(request, old_dir):
    """Saves values in one of the formats and returns the path of the file."""
    return lambda values: SAVERS[request.param](old_dir, values)


@pytest.fixture
def path(save):
    return save(VALUES)


def new_variables():
    return tf1.get_variable("fm/w", [3, 1]), tf1.get_variable("fm/v", [3, 2])


class TestWhatItHolds:
    def test_names_shapes_dtypes_and_slots(self, path):
        checkpoint = open_checkpoint(path)
        assert {name: (old.shape, old.dtype) for name, old in checkpoint.variables.items()} == {
            "fm/w": ((3, 1), "float32"),
            "fm/w/Adagrad": ((3, 1), "float32"),
            "fm/v": ((3, 2), "float32"),
            "global_step": ((), "int64"),
        }
        assert checkpoint.slots_by_name["fm/w/Adagrad"].primary == "fm/w"
        assert checkpoint.format in ("npz", "safetensors") and checkpoint.title == f"{path} ({checkpoint.format})"

    def test_list(self, path, capsys):
        assert main(["list", path, "--stats", "--pattern", "fm/w"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[3].split() == ["fm/w", "[3,", "1]", "float32", "12", "1", "3", "2", "3.74166", "0"]
        assert lines[4].split() == ["Adagrad", "[3,", "1]", "float32", "12", "10", "30", "20", "37.4166", "0"]

    def test_diff(self, path, tmp_path, capsys):
        new = save_checkpoint(tmp_path / "new", {"fm/w": VALUES["fm/w"], "fm/v": np.zeros([4, 2], np.float32)})
        assert main(["diff", path, new]) == 1
        assert "shape changed" in capsys.readouterr().out
        assert main(["diff", path, path]) == 0

    def test_a_directory_with_such_a_file_only(self, path):
        with pytest.raises(WarmStartError, match=f"but a file of arrays; name it as ckp_dir: '{path}'"):
            open_checkpoint(os.path.dirname(path))

    def test_a_prefix_of_that_name_is_a_checkpoint(self, path):
        os.rename(save_checkpoint(os.path.dirname(path), {"w": [1.0]}) + ".index", path + ".index")
        os.rename(os.path.join(os.path.dirname(path), "model.ckpt.data-00000-of-00001"), path + ".data-00000-of-00001")
        assert open_checkpoint(path).format == "name-based"

    def test_a_file_of_another_name_says_what_to_do(self, path):
        os.rename(path, path + ".old")
        with pytest.raises(WarmStartError, match=r"(a zip archive that is not named .npz|a file, not a checkpoint)"):
            open_checkpoint(path + ".old")


def checked(session, new_w, new_v):
    assert session.run(new_w).tolist() == [[1], [2], [3]]
    assert session.run(new_v).tolist() == [[1, 2], [3, 4], [5, 6]]


class TestWaysIn:
    def test_hooks(self, path, new_graph):
        w, v = new_variables()
        with tf1.train.MonitoredSession(hooks=[VariableRecoverHook(path)]) as session:
            checked(session, w, v)

    def test_slots_follow(self, path, new_graph):
        w = tf1.get_variable("fm/w", [4, 1])
        tf1.train.AdagradOptimizer(0.1, initial_accumulator_value=0.5).minimize(tf.reduce_sum(w))
        (slot,) = [each for each in tf1.global_variables() if each.op.name == "fm/w/Adagrad"]
        with tf1.train.MonitoredSession(hooks=[ShapeAdaptingRecoverHook(path, adapters={})]) as session:
            assert session.run(slot).tolist() == [[10], [20], [30], [0.5]]

    def test_adapters(self, path, new_graph):
        v = tf1.get_variable("fm/v", [2, 3])
        rules = {"fm/v": adapters.crop_or_pad(fill="zeros")}
        with tf1.train.MonitoredSession(hooks=[ShapeAdaptingRecoverHook(path, adapters=rules)]) as session:
            assert session.run(v).tolist() == [[1, 2, 0], [3, 4, 0]]

    def test_scaffold(self, path, new_graph):
        w, v = new_variables()
        scaffold = recover_scaffold(path)
        with tf1.train.MonitoredSession(tf1.train.ChiefSessionCreator(scaffold)) as session:
            checked(session, w, v)

    def test_plain_session(self, path, new_graph):
        w, v = new_variables()
        with tf1.Session() as session:
            recover_variables(session, path, {"fm/w": w, "fm/v": v})
            checked(session, w, v)

    def test_params(self, path, new_graph):
        w, v = new_variables()
        hooks = hooks_from_params({"warm_start": {"ckp_dir": path, "check_finite": True}})
        with tf1.train.MonitoredSession(hooks=hooks) as session:
            checked(session, w, v)

    def test_plan_and_match(self, path, new_graph):
        new_variables()
        assert f"Warm start from {path}" in format_report(plan_recovery(path))
        assert sorted(match_variables(path)) == ["fm/v", "fm/w"]

    def test_plan_of_the_command_line(self, path, tmp_path, capsys):
        with tf.Graph().as_default():
            new_variables()
            tf1.train.export_meta_graph(str(tmp_path / "new.meta"))
        (tmp_path / "params.json").write_text(json.dumps({"ckp_dir": path}))
        assert main(["plan", str(tmp_path / "params.json"), "--graph", str(tmp_path / "new.meta")]) == 0
        assert "Recovered: 2 of 2" in capsys.readouterr().out

    @eagerly
    def test_eager_variables(self, path):
        model = {"fm/w": tf.Variable(tf.zeros([3, 1])), "fm/v": tf.Variable(tf.zeros([4, 2]))}
        recover_into(model, path, adapters={})
        assert model["fm/w"].numpy().tolist() == [[1], [2], [3]]
        assert model["fm/v"].numpy().tolist() == [[1, 2], [3, 4], [5, 6], [0, 0]]

    @needs_estimator
    def test_an_estimator_whose_own_directory_has_the_file(self, tmp_path):
        model_dir = tmp_path / "model"
        model_dir.mkdir()
        path = save_npz(model_dir / "m.npz", {"w": np.float32([3, 4])})

        def model_fn(features, labels, mode):
            w = tf1.get_variable("w", [2])
            step = tf1.assign_add(tf1.train.get_or_create_global_step(), 1)
            return tf.estimator.EstimatorSpec(mode, loss=tf.reduce_sum(w), train_op=step)

        estimator = warm_started(tf.estimator.Estimator(model_fn, str(model_dir)), path, {"w": "w"})
        estimator.train(lambda: tf.data.Dataset.from_tensors(({"x": [0.0]}, [0.0])), steps=1)
        first = tf.train.load_variable(str(model_dir / "model.ckpt-0"), "w")
        assert first.tolist() == [3, 4]
        trace = json.loads((model_dir / "warm_start.json").read_text())
        assert (trace["format"], trace["source_step"], trace["index_sha256"]) == ("npz", None, None)

    @needs_estimator
    def test_settings_of_tensorflow_cannot(self, path):
        with pytest.raises(WarmStartError, match=r"TensorFlow itself would read it, and reads no \.(npz|safetensors) file"):
            warm_start_settings(path, {"fm/w": "fm/w"})


BITS = {
    "bool": np.bool_([True, False, True]),
    "int8": np.int8([-128, 127, 0]),
    "uint8": np.uint8([0, 255, 7]),
    "int16": np.int16([-(2**15), 258, 1]),
    "uint16": np.uint16([2**16 - 1, 258, 1]),
    "int32": np.int32([-(2**31), 1, 66051]),
    "uint32": np.uint32([2**32 - 1, 1, 66051]),
    "int64": np.int64([-(2**63), 1, 2**40 + 3]),
    "uint64": np.uint64([2**64 - 1, 1, 2**40 + 3]),
    "float16": np.array([0x7E01, 0x0001, 0x8000], np.uint16).view(np.float16),
    "float32": np.array([0x7F800001, 0xFFC12345, 0x00000001], np.uint32).view(np.float32),
    "float64": np.array([0x7FF0000000000001, 1, 1 << 63], np.uint64).view(np.float64),
    "bfloat16": np.array([0x7F81, 0x0001, 0x8000], np.uint16).view(BFLOAT16),
    "complex64": np.array([1 + 2j, -0.0 - 3j, np.inf], np.complex64),
    "complex128": np.array([1 + 2j, -0.0 - 3j, np.nan]),
}


def recovered_bits(path, name, value):
    """The bytes of a resource variable of that dtype and shape after the recovery."""
    with tf.Graph().as_default(), tf1.Session() as session:
        zeros = tf.constant(np.zeros(value.shape, value.dtype.newbyteorder("=")))
        new = tf1.get_variable("new", initializer=zeros, use_resource=True)
        recover_variables(session, path, {name: new})
        return session.run(new.read_value()).tobytes()


class TestBits:
    @pytest.mark.parametrize("dtype", BITS)
    def test_of_each_dtype(self, save, dtype):
        if "complex128" in dtype and "npz" not in save({}):
            pytest.skip("no complex128 in safetensors")
        value = BITS[dtype]
        path = save({"a": value, "odd": np.uint8([1]), "b": value[1]})  # Neither begins at a multiple of anything.
        assert open_checkpoint(path).variables["a"].dtype == dtype
        assert recovered_bits(path, "a", value) == value.tobytes()
        assert recovered_bits(path, "b", value[1]) == value[1].tobytes()

    @pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (1, 1, 1), (2, 3, 4)], ids=str)
    def test_of_each_shape(self, save, shape):
        value = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        assert recovered_bits(save({"a": value}), "a", value) == value.tobytes()

    @pytest.mark.parametrize("dtype", [">i2", ">f4", ">f8", ">c8", ">c16"])
    @pytest.mark.parametrize("order", "CF")
    def test_of_another_byte_order_and_of_fortran_order(self, old_dir, dtype, order):
        value = np.arange(24).reshape(2, 3, 4).astype(dtype, order=order)
        for number, save in enumerate([np.savez, np.savez_compressed]):
            path = save_npz(old_dir / f"{number}.npz", {"a": value}, save)
            assert recovered_bits(path, "a", value) == value.astype(dtype[1:]).tobytes(order="C")

    def test_of_any_filesystem(self, save):
        value = BITS["bfloat16"].reshape(3, 1)
        assert recovered_bits("file://" + save({"a": value}), "a", value) == value.tobytes()

    @pytest.mark.parametrize("partitions", [1, 2, 3])
    def test_of_parts(self, save, new_graph, partitions):
        value = np.arange(35, dtype=np.float32).reshape(7, 5)
        path = save({"odd": np.uint8([1]), "v": value})
        partitioner = tf1.fixed_size_partitioner(partitions)
        rows = tf1.get_variable("rows", [7, 5], partitioner=partitioner)
        columns = tf1.get_variable("columns", [7, 5], partitioner=tf1.fixed_size_partitioner(partitions, axis=1))
        with tf1.Session() as session:
            recover_variables(session, path, {"v": ["rows", "columns"]})
            assert session.run([tf.convert_to_tensor(rows), tf.convert_to_tensor(columns)])[0].tolist() == value.tolist()
            assert session.run(tf.convert_to_tensor(columns)).tolist() == value.tolist()

    def test_a_part_reads_its_own_rows_only(self, old_dir, new_graph):
        path = save_safetensors(old_dir / "m.safetensors", {"v": np.arange(8, dtype=np.float32).reshape(4, 2)})
        tf1.get_variable("v", [4, 2], partitioner=tf1.fixed_size_partitioner(2))
        plan = VariableRecoverHook(path)
        plan.begin()
        slices = [each for each in new_graph.get_operations() if each.type == "Slice" and "restore/" in each.name]
        with tf1.Session() as session:
            places = sorted(tuple(int(session.run(each.inputs[number])[0]) for number in (1, 2)) for each in slices)
        begin = open_checkpoint(path).variables["v"].stored.begin
        assert places == [(begin, 16), (begin + 16, 16)]

    def test_a_trained_variable_does_not_write_into_the_file(self, path, new_graph):
        with open(path, "rb") as file:
            before = file.read()
        w, _ = new_variables()
        train = tf1.train.GradientDescentOptimizer(1.0).minimize(tf.reduce_sum(w))
        with tf1.train.MonitoredSession(hooks=[VariableRecoverHook(path)]) as session:
            session.run(train)
            assert session.run(w).tolist() == [[0], [1], [2]]
        with open(path, "rb") as file:
            assert file.read() == before
