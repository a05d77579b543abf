"""`convert_checkpoint`: name-based checkpoints become object-based ones and the reverse, every tensor bit for bit."""

import contextlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from conftest import save_checkpoint
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.convert.convert import convert_checkpoint
from estimator_warmstart.errors import WarmStartError
from shared_models import save_objects, save_raw, save_sharded, variable

tf1 = tf.compat.v1

BOOKKEEPING = {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/.ATTRIBUTES/VARIABLE_VALUE"}
DTYPES = [
    "bfloat16",
    "bool",
    "complex64",
    "complex128",
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "qint8",
    "quint8",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]


def contents(prefix):
    """{key: (dtype, shape, bytes or list)} of every tensor, read by TensorFlow, which verifies its checksum."""
    reader = tf.train.load_checkpoint(prefix)
    dtypes, found = reader.get_variable_to_dtype_map(), {}
    for key in dtypes:
        value = reader.get_tensor(key)
        data = np.asarray(value, object).tolist() if dtypes[key] == tf.string else np.asarray(value).tobytes()
        found[key] = (dtypes[key].name, np.shape(value), data)
    return found


def restored_dict(prefix, names_and_initial):
    """What `tf.train.Checkpoint` restores into a dict of variables by their names; raises unless all of it is used."""
    with tf.Graph().as_default(), tf1.Session() as session:
        checkpoint = tf.train.Checkpoint()
        checkpoint.vars = {name: tf.Variable(value) for name, value in names_and_initial.items()}
        checkpoint.restore(prefix).assert_consumed().run_restore_ops()
        return {name: np.asarray(session.run(checkpoint.vars[name]), object).tolist() for name in names_and_initial}


class TestNameToObject:
    def test_a_dict_of_names_restores_slots_and_step_too(self, fm_checkpoint, tmp_path):
        new = convert_checkpoint(fm_checkpoint, tmp_path / "new" / "model.ckpt")
        assert new == str(tmp_path / "new" / "model.ckpt")
        assert restored_dict(
            new,
            {
                "fm/w": np.zeros([3, 1], np.float32),
                "fm/v": np.zeros([3, 2], np.float32),
                "fm/w/Adagrad": np.zeros([3, 1], np.float32),
                "fm/v/Adagrad": np.zeros([3, 2], np.float32),
                "global_step": np.int64(0),
            },
        ) == {
            "fm/w": [[1], [2], [3]],
            "fm/v": [[1, 2], [3, 4], [5, 6]],
            "fm/w/Adagrad": [[10], [20], [30]],
            "fm/v/Adagrad": [[10, 20], [30, 40], [50, 60]],
            "global_step": 7,
        }

    def test_the_keys_are_those_of_tensorflow(self, old_dir, tmp_path):
        names = ["a", "a/b", "a.b", "a.S/b", "vars", "save_counter", "w/Adam_1", "..", "grün/b"]
        old = save_raw(old_dir, {name: lambda: tf.constant(1.0) for name in names})
        new = convert_checkpoint(old, tmp_path / "new")
        with tf.Graph().as_default(), tf1.Session() as session:
            checkpoint = tf.train.Checkpoint()
            checkpoint.vars = {name: tf.Variable(0.0) for name in names}
            session.run(tf1.global_variables_initializer())
            theirs = checkpoint.save(str(tmp_path / "theirs"))
        assert tf.train.list_variables(new) == tf.train.list_variables(theirs)
        assert contents(new)["save_counter/.ATTRIBUTES/VARIABLE_VALUE"] == ("int64", (), np.int64(1).tobytes())

    def test_it_can_be_restored_when_the_variables_come_later(self, fm_checkpoint, tmp_path):
        new = convert_checkpoint(fm_checkpoint, tmp_path / "new")
        with tf.Graph().as_default(), tf1.Session() as session:
            checkpoint = tf.train.Checkpoint()
            checkpoint.vars = {}
            status = checkpoint.restore(new)
            checkpoint.vars["fm/w"] = tf.Variable(np.zeros([3, 1], np.float32))
            status.initialize_or_restore(session)
            assert session.run(checkpoint.vars["fm/w"]).tolist() == [[1], [2], [3]]

    def test_what_is_saved_next_does_not_take_its_number(self, fm_checkpoint, tmp_path):
        new = convert_checkpoint(fm_checkpoint, tmp_path / "model.ckpt-1")
        with tf.Graph().as_default(), tf1.Session() as session:
            checkpoint = tf.train.Checkpoint()
            checkpoint.restore(new).initialize_or_restore(session)
            assert checkpoint.save(str(tmp_path / "model.ckpt")) == str(tmp_path / "model.ckpt-2")

    def test_every_dtype(self, old_dir, tmp_path):
        values = {
            dtype: lambda dtype=dtype: (
                tf.bitcast(tf.constant([1, 0], tf.uint8), dtype)
                if dtype.startswith("q")
                else tf.cast(tf.constant([1, 0]), dtype)
            )
            for dtype in DTYPES
        }
        old = save_raw(old_dir, values)
        found = contents(convert_checkpoint(old, tmp_path / "new"))
        assert {key: found[f"vars/{key}/.ATTRIBUTES/VARIABLE_VALUE"] for key in values} == contents(old)

    def test_strings(self, old_dir, tmp_path):
        words = [[b"one", b""], ["drei \N{SNOWMAN}".encode(), b"\0\xff" * 300]]
        old = save_raw(old_dir, {"words": lambda: tf.constant(words), "word": lambda: tf.constant(b"x" * 100000)})
        new = convert_checkpoint(old, tmp_path / "new")
        assert restored_dict(new, {"words": np.full([2, 2], b"-", object), "word": b""}) == {
            "words": words,
            "word": b"x" * 100000,
        }

    def test_no_elements(self, old_dir, tmp_path):
        old = save_checkpoint(old_dir, {"none": np.zeros([0, 3], np.float32), "one": np.float32(1)})
        assert restored_dict(convert_checkpoint(old, tmp_path / "new"), {"none": np.zeros([0, 3], np.float32), "one": 0.0}) == {
            "none": [],
            "one": 1.0,
        }

    def test_a_tensor_of_many_pieces(self, old_dir, tmp_path):
        value = np.arange(5000011, dtype=np.float32)  # 20 MB, not a multiple of the piece or of a word.
        old = save_checkpoint(old_dir, {"a": np.float32([1, 2, 3]), "b": value, "c": np.float32(4)})
        new = contents(convert_checkpoint(old, tmp_path / "new"))
        assert new["vars/b/.ATTRIBUTES/VARIABLE_VALUE"] == ("float32", (5000011,), value.tobytes())
        assert new["vars/c/.ATTRIBUTES/VARIABLE_VALUE"] == ("float32", (), np.float32(4).tobytes())

    def test_many_variables(self, old_dir, tmp_path):
        names = [f"{number:04d}/{'x' * 200}" for number in range(1500)]
        one = tf.constant  # An index of several blocks.
        old = save_raw(old_dir, {name: lambda number=number: one(float(number)) for number, name in enumerate(names)})
        new = contents(convert_checkpoint(old, tmp_path / "new"))
        assert [new[f"vars/{name.replace('/', '.S')}/.ATTRIBUTES/VARIABLE_VALUE"][2] for name in names] == [
            np.float32(number).tobytes() for number in range(1500)
        ]

    def test_a_partitioned_variable_stays_in_its_slices_and_is_restored_whole(self, old_dir, tmp_path):
        value = np.arange(10, dtype=np.float32).reshape(5, 2)
        old = save_checkpoint(old_dir, {"v": value, "w": value}, {"v": 3})
        new = convert_checkpoint(old, tmp_path / "new")
        assert open_checkpoint(new).variables["v"].slices == (((0, 0), (2, 2)), ((2, 0), (2, 2)), ((4, 0), (1, 2)))
        empty = np.zeros([5, 2], np.float32)
        assert restored_dict(new, {"v": empty, "w": empty}) == {"v": value.tolist(), "w": value.tolist()}


def save_all_kinds(folder):
    return save_raw(
        folder,
        {
            "a/b.c": lambda: tf.constant([[1.5, float("nan")]]),
            "step": lambda: tf.constant(2**40, tf.int64),
            "words": lambda: tf.constant([b"a", b"\0"]),
            "half": lambda: tf.cast(tf.constant([1, 2]), tf.bfloat16),
            "none": lambda: tf.zeros([0]),
            "p\0q": lambda: tf.constant(-0.0),
        },
    )


def save_partitioned(folder):
    values = {"v": np.arange(10.0).reshape(5, 2), "v/Adam": np.arange(10, 20), "w": np.float16([1, 2])}
    return save_checkpoint(folder, values, {"v": 3, "v/Adam": 2})


def described(prefix):
    """{name: variable} of a checkpoint, wherever it is."""
    return {name: old._replace(prefix="") for name, old in open_checkpoint(prefix).variables.items()}


class TestRoundTrip:
    @pytest.mark.parametrize("save", [save_all_kinds, save_sharded, save_partitioned])
    def test_is_bit_for_bit_the_same(self, old_dir, tmp_path, save):
        old = save(old_dir)
        objects = convert_checkpoint(old, tmp_path / "objects" / "new")
        back = convert_checkpoint(objects, tmp_path / "names" / "new", to="name")
        assert contents(back) == contents(old)
        assert described(back) == described(old)  # Their slices too.


class TestObjectToName:
    def test_a_plain_saver_restores_it(self, old_dir, tmp_path):
        old = save_objects(
            old_dir,
            lambda: tf.train.Checkpoint(w=variable("fm/w", [1.0, 2.0]), step=variable("global_step", np.int64(9))),
        )
        new = convert_checkpoint(old, tmp_path / "new", to="name")
        with tf.Graph().as_default(), tf1.Session() as session:
            w, step = tf1.get_variable("fm/w", [2]), tf1.train.get_or_create_global_step()
            tf1.train.Saver().restore(session, new)
            assert session.run([w, step])[0].tolist() == [1, 2] and session.run(step) == 9
        assert sorted(contents(new)) == ["fm/w", "global_step"]

    def test_a_variable_called_like_the_save_counter_is_kept(self, fm_checkpoint, old_dir, tmp_path):
        old = save_raw(old_dir, {"save_counter": lambda: tf.constant(5.0), "a": lambda: tf.constant(6.0)})
        back = convert_checkpoint(convert_checkpoint(old, tmp_path / "objects" / "new"), tmp_path / "names" / "new", to="name")
        assert contents(back) == contents(old)

    def test_what_only_part_of_a_slice_is_known_of_stays_so(self, old_dir, tmp_path):
        old = save_raw(old_dir, {"rows": lambda: tf.constant([[1, 2, 3], [4, 5, 6]])}, ["9 3 4,2:-"])
        back = convert_checkpoint(convert_checkpoint(old, tmp_path / "objects" / "new"), tmp_path / "names" / "new", to="name")
        assert described(back)["rows"] == described(old)["rows"]
        with tf.Graph().as_default(), tf1.Session() as session:
            (rows,) = tf.raw_ops.RestoreV2(
                prefix=back, tensor_names=["rows"], shape_and_slices=["9 3 4,2:-"], dtypes=[tf.int32]
            )
            assert session.run(rows).tolist() == [[1, 2, 3], [4, 5, 6]]

    def test_two_variables_of_one_name(self, old_dir, tmp_path):
        old = save_with_graph(old_dir, {"a": "w", "b/c": "w", "d": "x"})
        with pytest.raises(WarmStartError, match="2 variables have the name 'w': 'a', 'b/c'"):
            convert_checkpoint(old, tmp_path / "new" / "model.ckpt", to="name")
        assert not (tmp_path / "new").exists()

    def test_no_variables(self, old_dir, tmp_path):
        with pytest.raises(WarmStartError, match="has no variables"):
            convert_checkpoint(save_with_graph(old_dir, {}), tmp_path / "new", to="name")

    @pytest.mark.skipif(not tf.executing_eagerly(), reason="tf.saved_model.save needs eager execution")
    def test_a_saved_model(self, old_dir, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        module = tf.Module()
        module.w = tf.Variable([1.0, 2.0], name="fm/w")
        tf.saved_model.save(module, str(old_dir))
        assert contents(convert_checkpoint(old_dir, tmp_path / "new", to="name")) == {
            "fm/w": ("float32", (2,), np.float32([1, 2]).tobytes()),
        }
        for source in (old_dir, os.fsencode(str(old_dir)), "~/old"):
            with pytest.raises(WarmStartError, match="is inside the source's directory"):
                convert_checkpoint(source, old_dir / "new", to="name")


def save_with_graph(folder, names):
    """An object-based checkpoint of scalars, {path: full name}, with an object graph made by hand."""
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.nodes.add()
    for path, name in names.items():
        graph.nodes[0].children.add(node_id=len(graph.nodes), local_name=path)
        key = path.replace("/", ".S") + "/.ATTRIBUTES/VARIABLE_VALUE"
        graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name=name, checkpoint_key=key)
    keys = [node.attributes[0].checkpoint_key for node in list(graph.nodes)[1:]]
    return save_raw(
        folder,
        {
            "_CHECKPOINTABLE_OBJECT_GRAPH": lambda: tf.constant(graph.SerializeToString()),
            **{key: lambda: tf.constant(1.0) for key in keys},
        },
    )


class TestArguments:
    @pytest.mark.parametrize(
        "arguments, says",
        [
            (
                {"to": "objects"},
                r"'npz' or 'object' or 'safetensors', got 'objects' \(did you mean 'object'\?\)",
            ),
            ({"to": None}, "to must be 'name' or 'npz' or 'object' or 'safetensors', got None"),
            ({"to": "name", "model": tf.Module()}, "model is for to='object'"),
            ({"optimizer": "adam"}, "optimizer needs model"),
            ({"to": "name"}, "model.ckpt is name-based already; copy its files, .*model.ckpt.\\*"),
            ({"source": "nowhere"}, "'nowhere' does not exist"),
            ({"destination": 7}, "destination must be the prefix of the new checkpoint, such as 'new/model.ckpt', got 7"),
            ({"destination": ""}, "destination must be the prefix of the new checkpoint"),
            ({"destination": "FOLDER"}, "FOLDER' is a directory; name the prefix of the files in it: '.*FOLDER/model.ckpt'"),
            ({"destination": "new/"}, "is a directory; name the prefix"),
            ({"destination": "OLD/new"}, "OLD/new' is inside the source's directory '.*old', which is never written to"),
            ({"destination": "OLD/below/it/new"}, "is inside the source's directory"),
            ({"destination": "LINK/new"}, "is inside the source's directory"),
            ({"model": "model"}, "model must be a Keras model or a tf.Module, got 'model'"),
            ({"model": tf.Module()}, "model has no variables yet; build it first"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, dict) else str(value),
    )
    def test_one_clear_error(self, fm_checkpoint, tmp_path, arguments, says):
        (tmp_path / "FOLDER").mkdir()
        (tmp_path / "LINK").symlink_to(fm_checkpoint, target_is_directory=True)
        (tmp_path / "OLD").symlink_to(fm_checkpoint, target_is_directory=True)
        before = sorted(tmp_path.rglob("*"))
        given = dict({"source": fm_checkpoint, "destination": "there/model.ckpt"}, **arguments)
        if isinstance(given["destination"], str) and given["destination"]:
            given["destination"] = os.path.join(str(tmp_path), given["destination"])
        with pytest.raises(WarmStartError, match=says):
            convert_checkpoint(given.pop("source"), given.pop("destination"), **given)
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_name_that_begins_like_the_source_is_another(self, fm_checkpoint):
        assert tf.train.list_variables(convert_checkpoint(fm_checkpoint, fm_checkpoint + "er/model.ckpt"))

    def test_object_based_already(self, fm_checkpoint, tmp_path):
        new = convert_checkpoint(fm_checkpoint, tmp_path / "a" / "model.ckpt")
        with pytest.raises(WarmStartError, match=r"is object-based already; copy its files"):
            convert_checkpoint(new, tmp_path / "b")


class TestDestination:
    def test_it_is_replaced_only_when_asked(self, fm_checkpoint, old_dir, tmp_path):
        (tmp_path / "there").mkdir()
        there = save_checkpoint(tmp_path / "there", {"x": np.float32(1)})
        pathlib.Path(there + ".meta").write_bytes(b"of x")
        pathlib.Path(there + ".data-00001-of-00002").write_bytes(b"of x")
        before = {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()}
        with pytest.raises(WarmStartError, match="exists already; name another, or say overwrite=True"):
            convert_checkpoint(fm_checkpoint, there)
        assert {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()} == before
        convert_checkpoint(fm_checkpoint, there, overwrite=True)
        assert set(contents(there)) > BOOKKEEPING
        assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
            "checkpoint",
            "model.ckpt.data-00000-of-00001",
            "model.ckpt.index",
        ]

    def test_directories_that_are_missing_are_made_and_nothing_else_is(self, fm_checkpoint, tmp_path):
        convert_checkpoint(fm_checkpoint, tmp_path / "a" / "b" / "model.ckpt")
        assert sorted(path.name for path in (tmp_path / "a").rglob("*")) == [
            "b",
            "model.ckpt.data-00000-of-00001",
            "model.ckpt.index",
        ]

    def test_a_name_without_a_directory(self, fm_checkpoint, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert convert_checkpoint(fm_checkpoint, "new.ckpt") == "new.ckpt"
        assert set(contents("new.ckpt")) > BOOKKEEPING

    @pytest.mark.skipif(not hasattr(tf.io.gfile, "get_registered_schemes"), reason="this TensorFlow has local files only")
    def test_any_filesystem_of_gfile(self, fm_checkpoint, tmp_path):
        new = convert_checkpoint(fm_checkpoint, "ram://folder/new/model.ckpt")
        reader = tf1.train.NewCheckpointReader(new)
        assert reader.get_tensor("vars/fm.Sw/.ATTRIBUTES/VARIABLE_VALUE").tolist() == [[1], [2], [3]]
        assert tf.io.gfile.listdir("ram://folder/new") == ["model.ckpt.data-00000-of-00001", "model.ckpt.index"]


SHOW = """
import sys, tensorflow as tf
from estimator_warmstart import progress
from estimator_warmstart.convert.convert import convert_checkpoint
progress.QUIET_SECS = float(sys.argv[4])
convert_checkpoint(sys.argv[1], sys.argv[2], progress={"None": None, "True": True, "False": False}[sys.argv[3]])
"""


class TestProgress:
    def run(self, stderr, *arguments):
        command = [sys.executable, "-c", SHOW, *map(str, arguments)]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3"))

    def test_on_a_terminal_one_line_is_rewritten(self, fm_checkpoint, tmp_path):
        master, slave = os.openpty()
        assert self.run(slave, fm_checkpoint, tmp_path / "new.ckpt", None, 0).returncode == 0
        os.close(slave)
        shown = os.read(master, 100000).decode()
        os.close(master)
        # What TensorFlow's C++ says when it is loaded comes first.
        assert "\rConverting new.ckpt [" in shown and shown.endswith("] 0.0 of 0.0 MB, 100 %\r\n")

    def test_what_takes_no_two_seconds_shows_none(self, fm_checkpoint, tmp_path):
        master, slave = os.openpty()
        assert self.run(slave, fm_checkpoint, tmp_path / "new.ckpt", None, 3600).returncode == 0
        os.set_blocking(master, False)
        os.close(slave)
        with contextlib.suppress(OSError):  # Linux says so at the end of what a closed terminal was sent.
            assert b"new.ckpt" not in os.read(master, 100000)
        os.close(master)

    @pytest.mark.parametrize("progress, shows", [(None, False), (True, True), (False, False)])
    def test_in_a_pipe_only_when_asked(self, fm_checkpoint, tmp_path, progress, shows):
        done = self.run(subprocess.PIPE, fm_checkpoint, tmp_path / "new.ckpt", progress, 2)
        assert (b"100 %" in done.stderr) == shows and done.stdout == b"" and done.returncode == 0
