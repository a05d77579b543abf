"""Checkpoints as .npz and .safetensors files and back: every bit, what cannot be held, what goes wrong meanwhile."""

import os
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from conftest import TESTS, run_python, save_checkpoint
from crafted_arrays import save_npz, save_safetensors
from estimator_warmstart import WarmStartError, convert_checkpoint
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.cli import main
from estimator_warmstart.errors import DestinationExistsError
from shared_models import save_raw
from test_arrays import BITS

tf1 = tf.compat.v1
BFLOAT16 = tf.bfloat16.as_numpy_dtype
FORMATS = ("npz", "safetensors")
both = pytest.mark.parametrize("to", FORMATS)


def bits_of(prefix):
    """{name: (dtype, shape, bytes)} of a name-based checkpoint, as TensorFlow reads it."""
    reader = tf.train.load_checkpoint(prefix)
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return {name: (np.asarray(value).dtype, np.shape(value), np.asarray(value).tobytes()) for name, value in values.items()}


def there_and_back(old, folder, to):
    """The checkpoint `old` as a file, and that as a name-based checkpoint."""
    file = convert_checkpoint(old, os.path.join(str(folder), "there", f"m.{to}"), to=to)
    return file, convert_checkpoint(file, os.path.join(str(folder), "back", "m"), to="name")


def as_slice(axis):
    """The slice of an axis that TensorFlow writes as `0,2`, or `-` for all of it."""
    return slice(None) if axis == "-" else slice(int(axis[0]), int(axis[0]) + int(axis[2]))


PLAIN = {name: value for name, value in BITS.items() if name != "complex128"}


class TestRoundTrip:
    @both
    def test_of_every_dtype(self, old_dir, tmp_path, to):
        values = {f"scope/{name}": value for name, value in (BITS if to == "npz" else PLAIN).items()}
        values.update(scalar=np.float32(2.5), empty=np.zeros([0, 3], np.float32), column=PLAIN["bfloat16"].reshape(3, 1))
        old = save_raw(old_dir, values)
        _, new = there_and_back(old, tmp_path, to)
        assert bits_of(new) == bits_of(old)

    @both
    def test_of_slots_and_the_step(self, fm_checkpoint, tmp_path, to):
        file, new = there_and_back(fm_checkpoint, tmp_path, to)
        assert bits_of(new) == bits_of(open_checkpoint(fm_checkpoint).prefix)
        assert open_checkpoint(file).slots_by_name == open_checkpoint(fm_checkpoint).slots_by_name

    @both
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    @pytest.mark.parametrize("specs", [["0,2:-", "2,1:-"], ["-:0,1", "-:1,3"], ["0,1:0,2", "0,1:2,2", "1,2:-"]], ids=str)
    def test_partitioned_variables_become_whole(self, old_dir, tmp_path, to, dtype, specs):
        value = np.arange(12, dtype=np.float32).reshape(3, 4).astype(tf.as_dtype(dtype).as_numpy_dtype)
        prefix = str(old_dir / "m")
        with tf.Graph().as_default(), tf1.Session() as session:
            pieces = [tf.constant(value[tuple(map(as_slice, spec.split(":")))]) for spec in specs]
            names, slices = ["v"] * len(specs), [f"3 4 {spec}" for spec in specs]
            session.run(tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=slices, tensors=pieces))
        assert len(open_checkpoint(prefix).variables["v"].slices) == len(specs)
        _, new = there_and_back(prefix, tmp_path, to)
        assert bits_of(new)["v"][1:] == ((3, 4), value.tobytes())

    @both
    def test_an_object_based_checkpoint(self, tmp_path, fm_checkpoint, to):
        objects = convert_checkpoint(fm_checkpoint, tmp_path / "objects" / "m")
        _, new = there_and_back(objects, tmp_path, to)
        assert bits_of(new) == bits_of(open_checkpoint(fm_checkpoint).prefix)

    @both
    def test_to_an_object_based_checkpoint(self, tmp_path, fm_checkpoint, to):
        file = convert_checkpoint(fm_checkpoint, tmp_path / "there" / f"m.{to}", to=to)
        objects = convert_checkpoint(file, tmp_path / "objects" / "m", to="object")
        with tf.Graph().as_default(), tf1.Session() as session:
            checkpoint = tf.compat.v2.train.Checkpoint()
            checkpoint.vars = {"fm/w": tf1.Variable(tf.zeros([3, 1]), use_resource=True)}
            checkpoint.restore(objects).expect_partial().run_restore_ops(session)
            assert session.run(checkpoint.vars["fm/w"].read_value()).tolist() == [[1], [2], [3]]

    @both
    def test_a_v1_checkpoint(self, old_dir, tmp_path, to):
        with tf.Graph().as_default(), tf1.Session() as session:
            tf1.get_variable("v", initializer=tf.reshape(tf.range(6.0), [3, 2]), partitioner=tf1.fixed_size_partitioner(2))
            session.run(tf1.global_variables_initializer())
            saver = tf1.train.Saver(write_version=tf1.train.SaverDef.V1)
            old = saver.save(session, str(old_dir / "m"), write_meta_graph=False)
        _, new = there_and_back(old, tmp_path, to)
        assert tf.train.load_variable(new, "v").tolist() == [[0, 1], [2, 3], [4, 5]]

    def test_from_one_file_to_the_other(self, tmp_path, fm_checkpoint):
        first = convert_checkpoint(fm_checkpoint, tmp_path / "a" / "m.npz", to="npz")
        second = convert_checkpoint(first, tmp_path / "a" / "m.safetensors", to="safetensors")
        third = convert_checkpoint(second, tmp_path / "b" / "m.npz", to="npz")
        assert pathlib.Path(third).read_bytes() == pathlib.Path(first).read_bytes()

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "compressed"])
    def test_an_npz_of_another_byte_order_and_order(self, tmp_path, save):
        value = np.asfortranarray(np.arange(2000000).reshape(1000, 2000).astype(">f4"))
        old = save_npz(tmp_path / "m.npz", {"a": value, "b": value[:3, :2]}, save)
        new = convert_checkpoint(old, tmp_path / "n" / "m", to="name")
        assert (tf.train.load_variable(new, "a") == value).all()
        assert tf.train.load_variable(new, "b").tolist() == value[:3, :2].tolist()

    @given(
        st.dictionaries(
            st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=8),
            st.tuples(st.sampled_from(sorted(PLAIN)), st.lists(st.integers(0, 3), max_size=3)),
            min_size=1,
            max_size=4,
        ),
        st.sampled_from(FORMATS),
    )
    def test_of_any_names_and_shapes(self, tmp_path_factory, drawn, to):
        folder = tmp_path_factory.mktemp("drawn")
        if to == "npz" and any(f"{name}.npy" in drawn for name in drawn):
            return
        values = {
            name: np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(tf.as_dtype(dtype).as_numpy_dtype)
            for name, (dtype, shape) in drawn.items()
        }
        (folder / "old").mkdir()
        old = save_raw(folder / "old", values)
        file, new = there_and_back(old, folder, to)
        assert bits_of(new) == bits_of(old)
        if to == "npz":
            with np.load(file, allow_pickle=False) as loaded:
                assert set(loaded) == set(values)
                assert all(loaded[name].tobytes() == value.tobytes() for name, value in values.items())


class TestOthersRead:
    def test_numpy(self, fm_checkpoint, tmp_path):
        with np.load(convert_checkpoint(fm_checkpoint, tmp_path / "m.npz", to="npz"), allow_pickle=False) as loaded:
            assert sorted(loaded) == ["fm/v", "fm/v/Adagrad", "fm/w", "fm/w/Adagrad", "global_step"]
            assert loaded["fm/v"].dtype == np.float32 and loaded["fm/v"].tolist() == [[1, 2], [3, 4], [5, 6]]
            assert loaded["global_step"].shape == () and loaded["global_step"] == 7

    def test_numpy_views_bfloat16(self, old_dir, tmp_path):
        old = save_raw(old_dir, {"a": np.float32([1.5, -2]).astype(BFLOAT16)})
        with np.load(convert_checkpoint(old, tmp_path / "m.npz", to="npz"), allow_pickle=False) as loaded:
            assert loaded["a"].dtype == "V2" and loaded["a"].view(BFLOAT16).astype(np.float32).tolist() == [1.5, -2]

    def test_safetensors(self, old_dir, tmp_path):
        library = pytest.importorskip("safetensors.numpy")
        values = {name: value for name, value in PLAIN.items() if name not in ("bfloat16", "complex64")}
        values["scope/ä"], values["empty"] = np.float32([[1, 2]]), np.zeros([2, 0], np.float32)
        loaded = library.load_file(convert_checkpoint(save_raw(old_dir, values), tmp_path / "m.safetensors", to="safetensors"))
        assert {name: (value.dtype, value.shape, value.tobytes()) for name, value in loaded.items()} == {
            name: (value.dtype, value.shape, value.tobytes()) for name, value in values.items()
        }

    def test_what_safetensors_writes(self, tmp_path):
        library = pytest.importorskip("safetensors.numpy")
        library.save_file({"a": np.float32([[1, 2]]), "b": np.array(7)}, str(tmp_path / "m.safetensors"), {"format": "tf"})
        new = convert_checkpoint(tmp_path / "m.safetensors", tmp_path / "new" / "m", to="name")
        assert tf.train.load_variable(new, "a").tolist() == [[1, 2]] and tf.train.load_variable(new, "b") == 7


class TestChoosing:
    @pytest.mark.parametrize(
        "options, names",
        [
            (dict(include="fm/w"), ["fm/w", "fm/w/Adagrad"]),
            (dict(include="fm", exclude=".*/Adagrad"), ["fm/v", "fm/w"]),
            (dict(include=["fm/v/Adagrad", "global_step"]), ["fm/v/Adagrad", "global_step"]),
            (dict(exclude=["fm/w", "global_step"]), ["fm/v", "fm/v/Adagrad"]),
            (dict(include="fm/w", rename={"fm": "ranker"}), ["ranker/w", "ranker/w/Adagrad"]),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("to", [*FORMATS, "name", "object"])
    def test_what_goes_along(self, fm_checkpoint, tmp_path, to, options, names):
        path = tmp_path / "new" / (f"m.{to}" if to in FORMATS else "m")
        assert sorted(open_checkpoint(convert_checkpoint(fm_checkpoint, path, to=to, **options)).variables) == names

    def test_on_the_command_line(self, fm_checkpoint, tmp_path, capsys):
        path = str(tmp_path / "m.npz")
        options = ["--to", "npz", "--include", "fm/w", "--include", "global_step", "--exclude", ".*/Adagrad"]
        assert main(["convert", fm_checkpoint, path, *options, "--rename", "fm=a"]) == 0
        assert capsys.readouterr().out == path + "\n"
        assert sorted(open_checkpoint(path).variables) == ["a/w", "global_step"]

    @pytest.mark.parametrize(
        "options, message",
        [
            (dict(include="fm/x", exclude="y"), r"2 problems.*include 'fm/x' fits no variable.*exclude 'y' fits no variable"),
            (dict(include="fm", exclude="fm"), "nothing is left"),
            (dict(include="("), "is not a regular expression"),
            (dict(include="fm/v", rename={"fm/w": "w"}), "rename 'fm/w' fits no variable"),
            (dict(rename={"fm/w": "fm/v"}), "2 variables would be called 'fm/v'"),
        ],
        ids=str,
    )
    @both
    def test_what_cannot_be_chosen(self, fm_checkpoint, tmp_path, to, options, message):
        with pytest.raises(WarmStartError, match=re.compile(message, re.DOTALL)):
            convert_checkpoint(fm_checkpoint, tmp_path / "new" / f"m.{to}", to=to, **options)
        assert not (tmp_path / "new").exists()

    def test_object_based_stays_so_only_as_a_whole(self, fm_checkpoint, tmp_path):
        objects = convert_checkpoint(fm_checkpoint, tmp_path / "objects" / "m")
        with pytest.raises(WarmStartError, match="to choose or rename variables, convert it to='name' first"):
            convert_checkpoint(objects, tmp_path / "new" / "m", include="fm")
        names = convert_checkpoint(objects, tmp_path / "n" / "m", to="name", include="fm/w")
        assert sorted(open_checkpoint(names).variables) == ["fm/w", "fm/w/Adagrad"]


class TestWhatCannotBeHeld:
    @pytest.mark.parametrize(
        "to, words",
        [
            ("npz", ["2 problems", "'s' is string [2]", "'q' is qint8 [1]"]),
            ("safetensors", ["3 problems", "'s' is string [2]", "'c' is complex128 []", "'q' is qint8 [1]"]),
        ],
    )
    def test_is_named_before_anything_is_written(self, old_dir, tmp_path, to, words):
        prefix = str(old_dir / "m")
        with tf.Graph().as_default(), tf1.Session() as session:
            values = {
                "s": tf.constant(["a", "b"]),
                "c": tf.constant(1j, tf.complex128),
                "q": tf.bitcast(tf.constant([1], tf.int8), tf.qint8),
                "ok": tf.constant([1.0]),
            }
            session.run(
                tf.raw_ops.SaveV2(
                    prefix=prefix, tensor_names=list(values), shape_and_slices=[""] * 4, tensors=list(values.values())
                )
            )
        with pytest.raises(WarmStartError) as caught:
            convert_checkpoint(prefix, tmp_path / "new" / f"m.{to}", to=to)
        for word in words:
            assert word in str(caught.value)
        assert not (tmp_path / "new").exists()
        convert_checkpoint(prefix, tmp_path / "new" / f"m.{to}", to=to, include="ok")

    def test_two_names_that_numpy_mixes_up(self, old_dir, tmp_path):
        old = save_raw(old_dir, {"a": np.float32([1]), "a.npy": np.float32([2])})
        with pytest.raises(WarmStartError, match=r"NumPy would take 'a' for 'a.npy'"):
            convert_checkpoint(old, tmp_path / "m.npz", to="npz")
        new = convert_checkpoint(old, tmp_path / "m.npz", to="npz", rename={r"a\.npy": "b"})
        assert sorted(np.load(new)) == ["a", "b"]

    def test_the_name_of_the_metadata(self, old_dir, tmp_path):
        old = save_raw(old_dir, {"__metadata__": np.float32([1])})
        with pytest.raises(WarmStartError, match="'__metadata__' is what the format calls something else"):
            convert_checkpoint(old, tmp_path / "m.safetensors", to="safetensors")

    @both
    def test_a_slice_alone(self, old_dir, tmp_path, to):
        with tf.Graph().as_default(), tf1.Session() as session:
            session.run(
                tf.raw_ops.SaveV2(
                    prefix=str(old_dir / "m"), tensor_names=["v"], shape_and_slices=["4 0,2"], tensors=[tf.zeros([2])]
                )
            )
        with pytest.raises(WarmStartError, match=r"'v' \[4\] is stored in part only"):
            convert_checkpoint(old_dir / "m", tmp_path / f"m.{to}", to=to)


class TestPlaces:
    @both
    def test_the_name_says_the_format(self, fm_checkpoint, tmp_path, to):
        with pytest.raises(WarmStartError, match=rf"must end in \.{to}"):
            convert_checkpoint(fm_checkpoint, tmp_path / "m.ckpt", to=to)

    @both
    def test_a_file_is_replaced_only_when_asked(self, fm_checkpoint, tmp_path, to, capsys):
        path = tmp_path / f"m.{to}"
        path.write_bytes(b"mine")
        with pytest.raises(DestinationExistsError):
            convert_checkpoint(fm_checkpoint, path, to=to)
        assert main(["convert", fm_checkpoint, str(path), "--to", to]) == 2
        assert "give --overwrite" in capsys.readouterr().err and path.read_bytes() == b"mine"
        assert main(["convert", fm_checkpoint, str(path), "--to", to, "--overwrite"]) == 0
        assert len(open_checkpoint(path).variables) == 5 and os.listdir(str(tmp_path)).count(f"m.{to}") == 1

    @both
    def test_a_file_that_appears_meanwhile_stays(self, fm_checkpoint, tmp_path, to, monkeypatch):
        path = tmp_path / f"m.{to}"
        from estimator_warmstart.convert import convert as module

        write = module.write_arrays

        def writes_while_another_does(*arguments):
            write(*arguments)
            path.write_bytes(b"mine")

        monkeypatch.setattr(module, "write_arrays", writes_while_another_does)
        with pytest.raises(DestinationExistsError):
            convert_checkpoint(fm_checkpoint, path, to=to)
        assert path.read_bytes() == b"mine" and sorted(os.listdir(str(tmp_path))) == [path.name, "old"]

    def test_never_the_source(self, tmp_path):
        path = save_npz(tmp_path / "m.npz", {"a": np.float32([1])})
        with pytest.raises(WarmStartError, match="is the source, which is never written to"):
            convert_checkpoint(path, path, to="npz", rename={"a": "b"}, overwrite=True)
        with pytest.raises(WarmStartError, match="is the source"):
            convert_checkpoint(path, path, to="name")
        with pytest.raises(WarmStartError, match="is npz already; copy its file"):
            convert_checkpoint(path, tmp_path / "n.npz", to="npz")

    @both
    def test_not_in_the_directory_of_a_checkpoint(self, fm_checkpoint, to):
        with pytest.raises(WarmStartError, match="inside the source's directory"):
            convert_checkpoint(fm_checkpoint, os.path.join(fm_checkpoint, f"m.{to}"), to=to)

    @both
    def test_on_any_filesystem(self, fm_checkpoint, tmp_path, to):
        path = convert_checkpoint(fm_checkpoint, f"file://{tmp_path}/new/m.{to}", to=to)
        new = convert_checkpoint(path, f"file://{tmp_path}/back/m", to="name")
        assert bits_of(new) == bits_of(open_checkpoint(fm_checkpoint).prefix)
        if to == "npz":
            with np.load(str(tmp_path / "new" / "m.npz"), allow_pickle=False) as loaded:
                assert loaded["global_step"] == 7

    @both
    def test_other_arguments_that_do_not_go_together(self, fm_checkpoint, tmp_path, to):
        with pytest.raises(WarmStartError, match=f"leave it out for to='{to}'"):
            convert_checkpoint(fm_checkpoint, tmp_path / f"m.{to}", to=to, model=tf.Module())


class TestDamage:
    @both
    def test_all_of_it_is_told_and_nothing_left(self, fm_checkpoint, tmp_path, to):
        data = pathlib.Path(fm_checkpoint, "model.ckpt.data-00000-of-00001")
        content = bytearray(data.read_bytes())
        content[0] ^= 1
        content[-1] ^= 1
        data.write_bytes(content)
        with pytest.raises(WarmStartError, match="is not whole, 2 problems"):
            convert_checkpoint(fm_checkpoint, tmp_path / "new" / f"m.{to}", to=to)
        assert not (tmp_path / "new").exists()

    @both
    @pytest.mark.slow
    def test_killed_at_each_step(self, fm_checkpoint, tmp_path, to):
        """Before each call of the system that changes the files: the old file is whole, or the new one is."""
        code = """
import sys
from estimator_warmstart import convert_checkpoint
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from killed_processes import kill_before_each
source, path, saved, to = sys.argv[1:]
for _ in kill_before_each(lambda: convert_checkpoint(source, path, to=to, overwrite=True)):
    print(*sorted(open_checkpoint(saved).variables))
"""
        path = tmp_path / f"m.{to}"
        saved = (save_npz if to == "npz" else save_safetensors)(path, {"mine": np.float32([1])})
        done = run_python(code, fm_checkpoint, path, saved, to, cwd=TESTS)
        assert done.returncode == 0, done.stderr
        found = done.stdout.splitlines()
        assert list(dict.fromkeys(found)) == ["mine", "fm/v fm/v/Adagrad fm/w fm/w/Adagrad global_step"]
        assert found.count("mine") > 2

    @pytest.mark.slow
    @both
    def test_memory_does_not_grow_with_the_table(self, tmp_path, to):
        """128 MB of one variable, whole or in parts of both kinds, through less than 64 MB."""
        code = """
import resource, sys
import numpy as np, tensorflow as tf
from estimator_warmstart import convert_checkpoint
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
convert_checkpoint(sys.argv[2], sys.argv[3] + "/warm." + sys.argv[4], to=sys.argv[4])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
file = convert_checkpoint(sys.argv[1], sys.argv[3] + "/m." + sys.argv[4], to=sys.argv[4])
convert_checkpoint(file, sys.argv[3] + "/back", to="name")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
        small = save_checkpoint(tmp_path / "small", {"v": [1.0]})
        for name, specs in (("rows", ["0,500000:-", "500000,500000:-"]), ("columns", ["-:0,16", "-:16,16"]), ("whole", [""])):
            with tf.Graph().as_default(), tf1.Session() as session:
                shape = {"rows": [500000, 32], "columns": [1000000, 16], "whole": [1000000, 32]}[name]
                session.run(
                    tf.raw_ops.SaveV2(
                        prefix=str(tmp_path / name / "m"),
                        tensor_names=["v"] * len(specs),
                        shape_and_slices=[f"1000000 32 {spec}" if spec else "" for spec in specs],
                        tensors=[tf.random.uniform(shape)] * len(specs),
                    )
                )
            done = run_python(code, tmp_path / name / "m", small, tmp_path / f"new {name}", to)
            assert done.returncode == 0, done.stderr
            assert int(done.stdout.split()[-1]) < 64, name
            assert bits_of(str(tmp_path / f"new {name}" / "back")) == bits_of(str(tmp_path / name / "m"))


def test_a_model_of_keras_takes_a_file(fm_checkpoint, tmp_path):
    """`model=` reads it as any source, with adapters too."""
    file = convert_checkpoint(fm_checkpoint, tmp_path / "m.npz", to="npz")
    code = """
import numpy as np, tensorflow as tf
from estimator_warmstart import convert_checkpoint
import sys
tf.compat.v1.enable_eager_execution()
model = tf.Module()
model.w, model.v = tf.Variable(tf.zeros([3, 1]), name="fm/w"), tf.Variable(tf.ones([4, 2]), name="fm/v")
type(model).variables = property(lambda self: (self.w, self.v))
new = convert_checkpoint(sys.argv[1], sys.argv[2], model=model, adapters={})
tf.compat.v2.train.Checkpoint(model=model).restore(new)
print(model.w.numpy().tolist(), model.v.numpy().tolist())
"""
    done = run_python(code, file, tmp_path / "new" / "m")
    values = "[[1.0], [2.0], [3.0]] [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [1.0, 1.0]]"
    assert done.stdout.split("\n")[-2:-1] == [values], done.stderr[-3000:]
