"""V1 checkpoints, which have no index, as the old model, in all ways in: whole, sharded, damaged and crafted."""

import contextlib
import glob
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import (
    ShapeAdaptingRecoverHook,
    VariableRecoverHook,
    WarmStartError,
    convert_checkpoint,
    format_report,
    plan_recovery,
    warm_start_settings,
)
from estimator_warmstart._tf import saved_tensor_slice_pb2
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.checkpoint.leveldb_table import encode_table
from estimator_warmstart.cli import main

tf1 = tf.compat.v1
V1 = tf1.train.SaverDef.V1

VALUES = {
    "fm/w": np.float32([[1], [2], [3]]),
    "fm/w/Adagrad": np.float32([[10], [20], [30]]),
    "fm/v": np.arange(10, dtype=np.float64).reshape(5, 2),
    "half": np.float16([[0.5], [1.5], [2.5]]),
    "mask": np.bool_([True, False]),
    "words": np.array([b"a", b"bc"]),
    "global_step": np.int64(7),
}
PARTITIONS = {"fm/v": 2, "half": 3}


def save_v1(folder, values=VALUES, partitions=PARTITIONS, sharded=False):
    """Saves `values` as V1, in two files if it is `sharded`, and returns what TensorFlow calls the checkpoint."""
    with tf.Graph().as_default():
        for number, (name, value) in enumerate(values.items()):
            partitioner = tf1.fixed_size_partitioner(partitions[name]) if name in partitions else None
            with tf.device(f"/cpu:{number % 2}" if sharded else None):
                tf1.get_variable(name, initializer=tf.constant(value), partitioner=partitioner, use_resource=False)
        saver = tf1.train.Saver(write_version=V1, sharded=sharded)
        with tf1.Session(config=tf1.ConfigProto(device_count={"CPU": 2})) as session:
            session.run(tf1.global_variables_initializer())
            return saver.save(session, os.path.join(str(folder), "model.ckpt"), global_step=7, write_meta_graph=False)


def new_variables(values=VALUES, partitions=PARTITIONS):
    for name, value in values.items():
        if name == "global_step":
            continue
        partitioner = tf1.fixed_size_partitioner(partitions[name]) if name in partitions else None
        zeros = tf.zeros(value.shape, tf.as_dtype(value.dtype)) if value.dtype.kind != "S" else tf.constant(["", ""])
        tf1.get_variable(name, initializer=zeros, partitioner=partitioner, use_resource=False)


def recovered(hook):
    with tf1.train.MonitoredSession(hooks=[hook]) as session:
        return {new.op.name: session.run(new).tolist() for new in tf1.global_variables()}


@pytest.fixture(params=[False, True], ids=["one file", "two files"])
def v1(request, old_dir):
    """The prefix of a V1 checkpoint with `VALUES` in `old_dir`."""
    return save_v1(old_dir, sharded=request.param)


class TestWhatItHolds:
    def test_names_shapes_dtypes_slices_and_slots(self, v1):
        checkpoint = open_checkpoint(v1)
        assert {name: (old.shape, old.dtype) for name, old in checkpoint.variables.items()} == {
            "fm/w": ((3, 1), "float32"),
            "fm/w/Adagrad": ((3, 1), "float32"),
            "fm/v": ((5, 2), "float64"),
            "half": ((3, 1), "float16"),
            "mask": ((2,), "bool"),
            "words": ((2,), "string"),
            "global_step": ((), "int64"),
        }
        assert checkpoint.variables["fm/v"].slices == (((0, 0), (3, 2)), ((3, 0), (2, 2)))
        assert checkpoint.slots_by_name["fm/w/Adagrad"].primary == "fm/w"

    def test_found_by_directory_prefix_and_what_tensorflow_calls_it(self, v1, old_dir):
        prefix = str(old_dir / "model.ckpt-7")
        for given in (old_dir, prefix, v1):
            assert open_checkpoint(given).prefix == v1

    def test_the_report_says_the_format(self, v1, new_graph):
        tf1.get_variable("fm/w", [3, 1])
        assert format_report(plan_recovery(v1)).splitlines()[0] == f"Warm start from {v1} (name-based, V1)"


class TestRecovery:
    @pytest.mark.parametrize("partitions", [{}, PARTITIONS, {"fm/v": 5, "fm/w": 2, "half": 2}], ids=["whole", "same", "other"])
    def test_every_dtype_and_partition(self, v1, new_graph, partitions):
        new_variables(partitions=partitions)
        names = [name for name in VALUES if name != "global_step"]
        values = recovered(VariableRecoverHook(v1, {name: name for name in names}))
        for name in names:
            parts = [new for full, new in sorted(values.items()) if full == name or full.startswith(name + "/part_")]
            assert [value for part in parts for value in part] == VALUES[name].tolist()

    def test_adapters_and_slots(self, v1, new_graph):
        w = tf1.get_variable("w", [4, 1], initializer=tf1.zeros_initializer())
        tf1.train.AdagradOptimizer(0.1, initial_accumulator_value=0.5).minimize(tf.reduce_sum(w))
        values = recovered(ShapeAdaptingRecoverHook(v1, rename={"fm": ""}))
        assert values == {"w": [[1], [2], [3], [0]], "w/Adagrad": [[10], [20], [30], [0.5]]}

    @needs_estimator
    def test_warm_start_settings(self, v1):
        assert warm_start_settings(v1, {"fm/w": "w"}).ckpt_to_initialize_from == v1

    def test_not_finite(self, old_dir, new_graph):
        values = {"a": np.float32([np.nan, 1]), "v": np.float64([[1], [np.inf], [np.nan]])}
        prefix = save_v1(old_dir, values, {"v": 2})
        new_variables(values, {})
        with pytest.raises(WarmStartError) as caught:
            VariableRecoverHook(prefix, check_finite=True).begin()
        assert [problem.split(";")[0] for problem in caught.value.problems] == [
            "the old 'a' [2] has 1 NaN and 0 infinite values",
            "the old 'v' [3, 1] has 1 NaN and 1 infinite values",
        ]

    def test_leaves_its_trace(self, v1, tmp_path, new_graph):
        tf1.get_variable("fm/w", [3, 1])
        recovered(VariableRecoverHook(v1, model_dir=str(tmp_path / "new")))
        trace = json.loads((tmp_path / "new" / "warm_start.json").read_text())
        assert (trace["format"], trace["source_step"], trace["index_sha256"]) == ("name-based, V1", 7, None)


class TestCommands:
    def test_list(self, v1, capsys):
        assert main(["list", v1, "--pattern", "fm", "--stats", "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        assert listed["format"] == "name-based, V1"
        v, w = listed["variables"]
        assert (v["name"], v["parts"], v["statistics"]["mean"], v["statistics"]["size"]) == ("fm/v", 2, 4.5, 10)
        assert w["slots"][0]["statistics"]["maximum"] == 30

    def test_diff(self, v1, tmp_path, capsys):
        new = save_checkpoint(tmp_path / "new", VALUES)
        assert main(["diff", v1, new]) == 0
        assert "(name-based, V1)" in capsys.readouterr().out

    @pytest.mark.parametrize("to", ["name", "object"])
    def test_convert(self, v1, tmp_path, new_graph, to):
        converted = convert_checkpoint(v1, tmp_path / "new" / "model.ckpt", to=to)
        assert open_checkpoint(converted).format == f"{to}-based"
        assert open_checkpoint(converted).variables["fm/v"].slices == open_checkpoint(v1).variables["fm/v"].slices
        if to == "name":
            assert not glob.glob(str(tmp_path / "new" / "*unfinished*"))
            new_variables()
            with tf1.Session() as session:
                tf1.train.Saver().restore(session, converted)
                values = {new.op.name: session.run(new).tolist() for new in tf1.global_variables()}
            assert values["fm/w"] == [[1], [2], [3]] and values["fm/v/part_1"] == [[6, 7], [8, 9]]
            assert values["half/part_2"] == [[2.5]] and values["words"] == [b"a", b"bc"]


def contents(path):
    return {name: (old.shape, old.dtype, old.slices) for name, old in open_checkpoint(path).variables.items()}


class TestDamage:
    def test_cut_anywhere(self, old_dir, new_graph):
        prefix = save_v1(old_dir)
        whole = (old_dir / "model.ckpt-7").read_bytes()
        for length in range(0, len(whole), 7):
            (old_dir / "model.ckpt-7").write_bytes(whole[:length])
            for given in (prefix, str(old_dir)):
                with pytest.raises(WarmStartError, match=r"damaged|not a checkpoint"):
                    open_checkpoint(given)

    def test_a_changed_byte_is_found_or_of_no_use(self, old_dir):
        prefix = save_v1(old_dir, {"a": np.float32([1, 2]), "v": np.float32([[1], [2]])}, {"v": 2})
        whole, before = (old_dir / "model.ckpt-7").read_bytes(), contents(prefix)
        for place in range(len(whole)):
            (old_dir / "model.ckpt-7").write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
            with contextlib.suppress(WarmStartError):
                assert contents(prefix) == before

    def test_a_shard_is_missing(self, old_dir):
        prefix = save_v1(old_dir, sharded=True)
        os.remove(str(old_dir / "model.ckpt-7-00001-of-00002"))
        for given in (prefix, str(old_dir / "model.ckpt-7"), str(old_dir)):
            with pytest.raises(WarmStartError, match=r"model\.ckpt-7-00001-of-00002 is missing"):
                open_checkpoint(given)

    def test_shards_of_two(self, old_dir):
        save_v1(old_dir, sharded=True)
        (old_dir / "model.ckpt-7-00000-of-00001").write_bytes(b"")
        with pytest.raises(WarmStartError, match=r"may be one of several V1 checkpoints; name one: .*-of-00001, .*-of-00002"):
            open_checkpoint(old_dir / "model.ckpt-7")
        assert open_checkpoint(old_dir / "model.ckpt-7-?????-of-00002").variables

    def test_a_path_that_is_a_pattern_to_tensorflow(self, tmp_path):
        folder = tmp_path / "a[1]"
        folder.mkdir()
        save_v1(folder)
        with pytest.raises(WarmStartError, match="whose path TensorFlow reads as a pattern; move it"):
            open_checkpoint(folder)


def crafted(folder, shape=(2,), dtype=1, slices=(((0, 2),),), name="a", times=1, values=(1.0, 2.0)):
    """Writes a V1 file that lists one tensor as told, with right checksums."""
    listed = saved_tensor_slice_pb2.SavedTensorSlices()
    for _ in range(times):
        tensor = listed.meta.tensor.add(name=name, type=dtype)
        for length in shape:
            tensor.shape.dim.add(size=length)
        for extents in slices:
            part = tensor.slice.add()
            for start, length in extents:
                part.extent.add(start=start, length=length)
    stored = saved_tensor_slice_pb2.SavedTensorSlices()
    stored.data.name = name
    stored.data.slice.CopyFrom(listed.meta.tensor[0].slice[0] if listed.meta.tensor[0].slice else stored.data.slice)
    stored.data.data.float_val.extend(values)
    path = folder / "model.ckpt"
    path.write_bytes(encode_table({b"": listed.SerializeToString(), b"\0a\0\1": stored.SerializeToString()}))
    return str(path)


class TestCrafted:
    def test_the_file_is_read_if_nothing_is_wrong(self, old_dir):
        assert contents(crafted(old_dir)) == {"a": ((2,), "float32", ())}

    @pytest.mark.parametrize(
        "wrong",
        [
            dict(shape=(-2,)),
            dict(shape=(2**40, 2**40), slices=(((0, 2**40), (0, 2**40)),)),
            dict(shape=(1,) * 300),
            dict(dtype=0),
            dict(dtype=9999),
            dict(slices=()),
            dict(slices=(((0, 3),),)),
            dict(slices=(((-1, 2),),)),
            dict(slices=(((0, 2), (0, 1)),)),
            dict(slices=(((0, 1),),)),
            dict(slices=(((0, 2),), ((0, 2),))),
            dict(times=2),
            dict(name=""),
            dict(slices=(((0, 1),), ((0, 1),))),
        ],
        ids=lambda wrong: repr(wrong)[:60],
    )
    def test_what_tensorflow_could_not_read(self, old_dir, wrong):
        with pytest.raises(WarmStartError):
            open_checkpoint(crafted(old_dir, **wrong))

    def test_values_that_are_not_there(self, old_dir, capsys):
        path = crafted(old_dir, values=(1.0,))
        assert main(["list", path, "--stats"]) == 2
        assert "'a' has 1 values where 2 are needed" in capsys.readouterr().err

    def test_a_table_without_a_list(self, old_dir):
        (old_dir / "model.ckpt").write_bytes(encode_table({b"a": b"b"}))
        with pytest.raises(WarmStartError, match="does not begin with a list of its tensors"):
            open_checkpoint(old_dir / "model.ckpt")
