"""Name-based checkpoints: what their index says they hold, and the errors where there is none."""

import glob
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import VariableRecoverHook, WarmStartError, plan_recovery, warm_start_settings
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from shared_models import save_raw, save_sharded

tf1 = tf.compat.v1

VALUES = {
    "a": np.float32([1, 2]),
    "scope/b": np.arange(6, dtype=np.float64).reshape(3, 2),
    "step": np.int64(7),
    "mask": np.bool_([True]),
    "half": np.float16([[0.5]]),
}


def contents(ckp_dir):
    return {name: (old.shape, old.dtype) for name, old in open_checkpoint(ckp_dir).variables.items()}


def data_files(folder):
    return sorted(glob.glob(glob.escape(str(folder)) + "/*.data-*"))


def overwrite(path, content):
    with open(str(path), "wb") as file:
        file.write(content)


def read(path):
    with open(str(path), "rb") as file:
        return file.read()


class TestContents:
    def test_names_shapes_and_dtypes(self, old_dir):
        save_checkpoint(old_dir, VALUES)
        assert contents(old_dir) == {
            "a": ((2,), "float32"),
            "half": ((1, 1), "float16"),
            "mask": ((1,), "bool"),
            "scope/b": ((3, 2), "float64"),
            "step": ((), "int64"),
        }

    def test_sizes(self, old_dir):
        save_checkpoint(old_dir, VALUES)
        sizes = {name: old.nbytes for name, old in open_checkpoint(old_dir).variables.items()}
        assert sizes == {"a": 8, "half": 2, "mask": 1, "scope/b": 48, "step": 8}

    def test_a_string_has_a_shape_and_no_known_size(self, old_dir):
        save_checkpoint(old_dir, {"words": np.array([b"one", b"three"])})
        words = open_checkpoint(old_dir).variables["words"]
        assert (words.shape, words.dtype, words.nbytes) == ((2,), "string", 0)

    def test_slices_of_a_partitioned_variable(self, old_dir):
        save_checkpoint(old_dir, {"v": np.zeros([5, 2], np.float32), "w": np.zeros([5, 2], np.float32)}, {"v": 3})
        variables = open_checkpoint(old_dir).variables
        assert variables["v"].shape == (5, 2)
        assert variables["v"].slices == (((0, 0), (2, 2)), ((2, 0), (2, 2)), ((4, 0), (1, 2)))
        assert variables["w"].slices == ()

    def test_slices_along_the_last_axis(self, old_dir, new_graph):
        tf1.get_variable("v", [2, 5], partitioner=tf1.fixed_size_partitioner(2, axis=1))
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            prefix = tf1.train.Saver().save(session, str(old_dir / "model.ckpt"))
        assert open_checkpoint(prefix).variables["v"].slices == (((0, 0), (2, 3)), ((0, 3), (2, 2)))

    def test_a_slice_of_all_columns(self, old_dir):
        prefix = save_raw(old_dir, {"v": np.zeros([2, 3], np.float32)}, ["4 3 1,2:-"])
        variable = open_checkpoint(prefix).variables["v"]
        assert (variable.shape, variable.slices) == ((4, 3), (((1, 0), (2, 3)),))

    def test_several_shards(self, old_dir):
        prefix = save_sharded(old_dir)
        assert len(data_files(old_dir)) == 2
        variables = open_checkpoint(prefix).variables
        assert {name: (old.shape, old.dtype) for name, old in variables.items()} == {
            "a": ((2,), "float32"),
            "b": ((3,), "int32"),
            "v": ((3, 2), "float32"),
        }
        assert variables["v"].slices == (((0, 0), (2, 2)), ((2, 0), (1, 2)))

    def test_an_index_of_several_blocks(self, old_dir):
        values = {f"{number:03d}/{'x' * 900}": np.zeros([number % 3 + 1, 1], np.float32) for number in range(400)}
        in_parts = {name: 2 for name, value in values.items() if len(value) == 3}
        prefix = save_checkpoint(old_dir, values, in_parts)
        assert os.path.getsize(prefix + ".index") > 2**18  # What TensorFlow puts into one block.
        variables = open_checkpoint(prefix).variables
        assert {name: list(old.shape) for name, old in variables.items()} == dict(tf.train.list_variables(prefix))
        assert {name for name, old in variables.items() if old.slices} == set(in_parts)
        assert {variables[name].slices for name in in_parts} == {(((0, 0), (2, 1)), ((2, 0), (1, 1)))}

    def test_slots_are_tied_to_their_variables(self, fm_checkpoint):
        ties = open_checkpoint(fm_checkpoint).slots_by_name
        assert {name: (tie.primary, tie.slot_name) for name, tie in ties.items()} == {
            "fm/v/Adagrad": ("fm/v", "Adagrad"),
            "fm/w/Adagrad": ("fm/w", "Adagrad"),
        }

    @pytest.mark.parametrize("partitions", [None, {"v": 2}], ids=["whole", "in parts"])
    def test_a_plan_reads_no_value(self, old_dir, new_graph, partitions):
        prefix = save_checkpoint(old_dir, {"v": np.float32([[1], [2], [3]])}, partitions)
        (data,) = data_files(old_dir)
        overwrite(data, b"\xa5" * os.path.getsize(data))
        with pytest.raises((tf.errors.OpError, RuntimeError)):
            tf.train.load_variable(prefix, "v")
        tf1.get_variable("v", [3, 1])
        assert [planned.action for planned in plan_recovery(prefix).variables] == ["restored"]


class TestWhere:
    @pytest.mark.parametrize(
        "form",
        [
            pytest.param(lambda prefix: os.path.dirname(prefix), id="directory"),
            pytest.param(lambda prefix: os.path.dirname(prefix) + "/", id="directory with a slash"),
            pytest.param(lambda prefix: prefix, id="prefix"),
            pytest.param(lambda prefix: pathlib.Path(prefix), id="prefix as a path"),
            pytest.param(lambda prefix: pathlib.Path(prefix).parent, id="directory as a path"),
            pytest.param(lambda prefix: prefix.encode(), id="prefix as bytes"),
        ],
    )
    def test_forms(self, old_dir, form):
        prefix = save_checkpoint(old_dir, {"a": np.float32([1])}, step=3)
        assert os.path.samefile(open_checkpoint(form(prefix)).prefix + ".index", prefix + ".index")

    @pytest.mark.parametrize("name", ["old", "old/model.ckpt"])
    def test_relative_to_the_current_directory(self, old_dir, monkeypatch, name):
        save_checkpoint(old_dir, {"a": np.float32([1])})
        monkeypatch.chdir(str(old_dir.parent))
        assert list(open_checkpoint(name).variables) == ["a"]

    def test_a_directory_means_its_latest(self, old_dir):
        save_checkpoint(old_dir, {"first": np.float32([1])}, step=10)
        save_checkpoint(old_dir, {"latest": np.float32([1])}, step=9)
        assert list(open_checkpoint(old_dir).variables) == ["latest"]
        assert list(open_checkpoint(old_dir / "model.ckpt-10").variables) == ["first"]

    def test_a_moved_directory(self, old_dir, tmp_path):
        save_checkpoint(old_dir, {"a": np.float32([1])})
        overwrite(old_dir / "checkpoint", b'model_checkpoint_path: "model.ckpt"\n')  # Relative, as an Estimator writes it.
        shutil.move(str(old_dir), str(tmp_path / "moved"))
        assert open_checkpoint(tmp_path / "moved").prefix == str(tmp_path / "moved" / "model.ckpt")

    @pytest.mark.parametrize("name", ["with space", "a=1,b=2&c%d", "µ/модель", "-dash", "a//b"])
    def test_unusual_directories(self, tmp_path, new_graph, name):
        folder = str(tmp_path) + "/" + name
        os.makedirs(folder)
        save_checkpoint(folder, {"a": np.float32([1])})
        assert list(open_checkpoint(folder).variables) == ["a"]


class TestADirectoryOfTheSameName:
    @pytest.mark.parametrize(
        "fill",
        [
            pytest.param(lambda folder: None, id="empty"),
            pytest.param(lambda folder: (folder / "notes.txt").write_text("x"), id="other files"),
            pytest.param(
                lambda folder: (folder / "checkpoint").write_text('model_checkpoint_path: "x"'), id="its latest is gone"
            ),
        ],
    )
    def test_the_prefix_is_read(self, old_dir, fill):
        prefix = save_checkpoint(old_dir, {"a": np.float32([1])})
        (old_dir / "model.ckpt").mkdir()
        fill(old_dir / "model.ckpt")
        assert open_checkpoint(prefix).prefix == open_checkpoint(old_dir).prefix == prefix

    def test_both_hold_one(self, old_dir):
        prefix = save_checkpoint(old_dir, {"outside": np.float32([1])})
        (old_dir / "model.ckpt").mkdir()
        save_checkpoint(old_dir / "model.ckpt", {"inside": np.float32([1])})
        with pytest.raises(
            WarmStartError,
            match=r"is a directory with a checkpoint in it, .*/model.ckpt/model.ckpt, and the "
            r"prefix of another.*name .*/model.ckpt/ for the former, .*.index for the",
        ):
            open_checkpoint(prefix)
        assert list(open_checkpoint(prefix + "/").variables) == ["inside"]
        assert list(open_checkpoint(prefix + ".index").variables) == ["outside"]
        assert list(open_checkpoint(old_dir).variables) == ["outside"]  # The file `checkpoint` names a prefix.

    def test_the_values_are_read(self, old_dir, new_graph, tmp_path):
        prefix = save_checkpoint(old_dir, {"a": np.float32([3]), "global_step": np.int64(7)})
        (old_dir / "model.ckpt").mkdir()
        a = tf1.get_variable("a", [1])
        hook = VariableRecoverHook(prefix, check_finite=True, model_dir=str(tmp_path / "new"))
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            assert session.run(a).tolist() == [3]

    @needs_estimator
    def test_tensorflows_own_settings_cannot(self, old_dir):
        prefix = save_checkpoint(old_dir, {"a": np.float32([3])})
        (old_dir / "model.ckpt").mkdir()
        with pytest.raises(WarmStartError, match="TensorFlow would look into the directory"):
            warm_start_settings(prefix, {"a": "a"})

    def test_only_the_directory_holds_one(self, old_dir):
        (old_dir / "model.ckpt").mkdir()
        save_checkpoint(old_dir / "model.ckpt", {"inside": np.float32([1])})
        assert list(open_checkpoint(old_dir / "model.ckpt").variables) == ["inside"]


def nothing_there(folder):
    return folder / "nothing"


def empty_directory(folder):
    return folder


def unrelated_files(folder):
    overwrite(folder / "events.out", b"x")
    return folder


def near_spelling(folder):
    save_checkpoint(folder, {"a": np.float32([1])}, step=100)
    return folder / "model.ckpt-1000"


def no_checkpoint_file(folder):
    save_checkpoint(folder, {"a": np.float32([1])})
    os.remove(str(folder / "checkpoint"))
    return folder


def checkpoint_file_of(content):
    def make(folder):
        save_checkpoint(folder, {"a": np.float32([1])})
        overwrite(folder / "checkpoint", content)
        return folder

    return make


def latest_gone(folder):
    save_checkpoint(folder, {"a": np.float32([1])}, step=1)
    overwrite(folder / "checkpoint", b'model_checkpoint_path: "/where/it/was/model.ckpt-1"\n')
    return folder


def no_data_file(folder):
    prefix = save_checkpoint(folder, {"a": np.float32([1])})
    os.remove(data_files(folder)[0])
    return prefix


def one_of_two_data_files(folder):
    prefix = save_sharded(folder)
    os.remove(data_files(folder)[1])
    return prefix


def both_data_files_missing(folder):
    prefix = save_sharded(folder)
    for path in data_files(folder):
        os.remove(path)
    return prefix


def short_data_file(folder):
    prefix = save_checkpoint(folder, {"a": np.float32([1, 2, 3])})
    overwrite(data_files(folder)[0], read(data_files(folder)[0])[:11])
    return prefix


def short_data_file_in_another_order(folder):
    """The first name is the last in the file."""
    prefix = save_raw(folder, {"b": np.float32([1, 2]), "a": np.float32([3, 4])})
    overwrite(data_files(folder)[0], read(data_files(folder)[0])[:11])
    return prefix


def short_data_file_of_a_partitioned_variable(folder):
    prefix = save_checkpoint(folder, {"v": np.zeros([4, 1], np.float32)}, {"v": 2})
    overwrite(data_files(folder)[0], read(data_files(folder)[0])[:11])
    return prefix


def both_data_files_short(folder):
    prefix = save_sharded(folder)
    for path in data_files(folder):
        overwrite(path, b"")
    return prefix


def index_of(change):
    def make(folder):
        prefix = save_checkpoint(folder, {"a": np.float32([1])})
        overwrite(prefix + ".index", change(read(prefix + ".index")))
        return prefix

    return make


def index_is_a_directory(folder):
    prefix = save_checkpoint(folder, {"a": np.float32([1])})
    os.remove(prefix + ".index")
    os.mkdir(prefix + ".index")
    return prefix


def file_of_a_checkpoint(suffix):
    def make(folder):
        prefix = save_checkpoint(folder, {"a": np.float32([1])})
        overwrite(prefix + ".meta", b"")
        return prefix + suffix

    return make


def another_file(folder):
    overwrite(folder / "notes.txt", b"x")
    return folder / "notes.txt"


@pytest.mark.parametrize("wrong", ["model.ckpt-10", "model.ckpt-100.inde", "model.ckpt-100.mta", "chekpoint"])
def test_only_what_can_be_given_is_suggested(old_dir, wrong):
    prefix = save_checkpoint(old_dir, {"a": np.float32([1])}, step=100)
    overwrite(old_dir / "model.ckpt-100.meta", b"x")
    with pytest.raises(WarmStartError) as raised:
        open_checkpoint(old_dir / wrong)
    suggested = str(raised.value).partition("did you mean ")[2]
    assert f"{prefix!r}?" in suggested and suggested.count("model.ckpt-100") == 1 and "'checkpoint" not in suggested


@pytest.mark.parametrize(
    "make, words",
    [
        pytest.param(nothing_there, ["nothing' does not exist", "neither as a directory nor as"], id="missing"),
        pytest.param(lambda folder: folder / "a" / "b", ["does not exist, nor does '", "/old/a'"], id="parent missing"),
        pytest.param(empty_directory, ["is a directory with nothing in it"], id="empty directory"),
        pytest.param(unrelated_files, ["is a directory with no checkpoint in it"], id="no checkpoint in it"),
        pytest.param(near_spelling, ["did you mean '", "/old/model.ckpt-100'"], id="near spelling"),
        pytest.param(no_checkpoint_file, ["no readable file `checkpoint`", "/old/model.ckpt"], id="no file `checkpoint`"),
        pytest.param(checkpoint_file_of(b"what?"), ["`checkpoint`", "/old/model.ckpt"], id="unreadable file `checkpoint`"),
        pytest.param(checkpoint_file_of(b""), ["`checkpoint`", "/old/model.ckpt"], id="empty file `checkpoint`"),
        pytest.param(checkpoint_file_of(b"\xff\xfe\0"), ["`checkpoint`", "/old/model.ckpt"], id="binary file `checkpoint`"),
        pytest.param(
            latest_gone,
            [
                "/checkpoint names '/where/it/was/model.ckpt-1'",
                "was the directory moved",
                "/old/model.ckpt-1",
            ],
            id="latest is not there",
        ),
        pytest.param(no_data_file, ["is not whole", "model.ckpt.data-00000-of-00001 is missing"], id="no data file"),
        pytest.param(one_of_two_data_files, ["is not whole", "data-00001-of-00002 is missing"], id="one shard missing"),
        pytest.param(
            both_data_files_missing,
            [
                "2 problems",
                "data-00000-of-00002 is missing",
                "data-00001-of-00002 is missing",
            ],
            id="both shards missing",
        ),
        pytest.param(short_data_file, ["is not whole", "has 11 bytes, 12 by the index"], id="data file too short"),
        pytest.param(
            short_data_file_in_another_order, ["is not whole", "has 11 bytes, 16 by the index"], id="short, in another order"
        ),
        pytest.param(
            short_data_file_of_a_partitioned_variable, ["is not whole", "has 11 bytes, 16 by the index"], id="slices cut short"
        ),
        pytest.param(
            both_data_files_short,
            [
                "2 problems",
                "data-00000-of-00002 has 0 bytes",
                "data-00001-of-00002 has 0 bytes",
            ],
            id="both shards too short",
        ),
        pytest.param(index_of(lambda content: b""), ["model.ckpt.index", "damaged"], id="empty index"),
        pytest.param(index_of(lambda content: content[:-1]), ["model.ckpt.index", "damaged"], id="truncated index"),
        pytest.param(index_of(lambda content: content[20:]), ["model.ckpt.index", "damaged"], id="index without its head"),
        pytest.param(index_of(lambda content: b"\x07" * 500), ["model.ckpt.index", "damaged"], id="garbage index"),
        pytest.param(index_is_a_directory, ["model.ckpt.index"], id="index is a directory"),
        pytest.param(file_of_a_checkpoint(".index"), ["is one file of a checkpoint", "name its prefix: /"], id="an index file"),
        pytest.param(file_of_a_checkpoint(".meta"), ["is one file of a checkpoint", "name its prefix: /"], id="a meta file"),
        pytest.param(
            file_of_a_checkpoint(".data-00000-of-00001"),
            ["is one file of a checkpoint", "name its prefix: /"],
            id="a data file",
        ),
        pytest.param(another_file, ["is a file, not a checkpoint"], id="another file"),
        pytest.param(
            lambda folder: None,
            ["ckp_dir must be a directory, a checkpoint prefix or an .npz"],
            id="None",
        ),
        pytest.param(lambda folder: 7, ["ckp_dir must be", "got 7"], id="int"),
        pytest.param(lambda folder: [7], ["ckp_dir", "got 7"], id="list"),
        pytest.param(lambda folder: "", ["ckp_dir must be", "got ''"], id="empty string"),
        pytest.param(lambda folder: "a\0b", ["ckp_dir must be", r"got 'a\x00b'"], id="NUL"),
        pytest.param(lambda folder: b"\xff", ["ckp_dir"], id="no UTF-8"),
        pytest.param(lambda folder: "nosuchfs://a/b", ["ckp_dir 'nosuchfs://a/b' cannot be read"], id="unknown filesystem"),
    ],
)
def test_bad_ckp_dir(old_dir, new_graph, make, words):
    ckp_dir = make(old_dir)
    tf1.get_variable("a", [1])
    with pytest.raises(WarmStartError) as caught:
        plan_recovery(ckp_dir)
    for word in words:
        assert word in str(caught.value)


# The protobuf of Python 3.7 warns, in C, where it then raises.
@pytest.mark.filterwarnings("ignore:Unexpected end-group tag")
def test_no_damaged_byte_of_the_index_goes_unnoticed(old_dir):
    prefix = save_checkpoint(old_dir, {"a": np.float32([1, 2]), "v": np.float32([[1], [2], [3]])}, {"v": 2})
    good, before = read(prefix + ".index"), open_checkpoint(prefix)
    harmless = 0
    for at in range(len(good)):
        overwrite(prefix + ".index", good[:at] + bytes([good[at] ^ 0x81]) + good[at + 1 :])
        try:
            assert open_checkpoint(prefix) == before  # A byte that nothing depends on, such as the footer's padding.
            harmless += 1
        except WarmStartError as error:
            assert "model.ckpt" in str(error)
    assert 0 < harmless < len(good) / 2


@pytest.mark.filterwarnings("ignore:Unexpected end-group tag")
def test_an_index_is_refused_wherever_it_was_cut(old_dir):
    prefix = save_checkpoint(old_dir, {"a": np.float32([1, 2])})
    good = read(prefix + ".index")
    for length in range(len(good)):
        overwrite(prefix + ".index", good[:length])
        with pytest.raises(WarmStartError, match=r"model\.ckpt"):
            open_checkpoint(prefix)
