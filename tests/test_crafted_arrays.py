"""Damaged and hostile .npz and .safetensors files: one error says all that is wrong, and nothing is unpickled."""

import os
import pathlib
import random
import re
import struct
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from crafted_arrays import described, npy, npz, safetensors, save_npz, save_safetensors
from estimator_warmstart import VariableRecoverHook, WarmStartError, convert_checkpoint, plan_recovery
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.checkpoint.statistics import value_statistics
from estimator_warmstart.cli import main
from estimator_warmstart.errors import CheckpointError
from mutations import mutated

tf1 = tf.compat.v1


def member(content, name="a.npy"):
    return lambda path: npz(path, [(name, content)])


def members(*pairs, **options):
    return lambda path: npz(path, pairs, **options)


def changed(old, new, count=1, compression=zipfile.ZIP_STORED):
    """An archive of one good array with some of its bytes replaced."""

    def make(path):
        npz(path, [("a.npy", npy())], compression)
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, count))
        return str(path)

    return make


def cut(size):
    def make(path):
        npz(path, [("a.npy", npy())])
        path.write_bytes(path.read_bytes()[:size])
        return str(path)

    return make


def said_size(size, compression=zipfile.ZIP_DEFLATED):
    """An archive whose directory says that the array has so many bytes."""

    def make(path):
        content = npy()
        npz(path, [("a.npy", content)], compression)
        packed = bytearray(path.read_bytes())
        at = packed.rindex(b"PK\x01\x02") + 24
        assert struct.unpack("<I", packed[at : at + 4]) == (len(content),)
        packed[at : at + 4] = struct.pack("<I", size)
        path.write_bytes(packed)
        return str(path)

    return make


def overlapping(path):
    """The second member lies in the values of the first."""
    npz(path, [("b.npy", npy())])
    inner = path.read_bytes()[: 30 + len("b.npy") + len(npy())]
    npz(path, [("a.npy", npy("'|u1'", f"({len(inner)},)", inner)), ("b.npy", npy())])
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 42 : at + 46] = struct.pack("<I", content.index(inner))
    path.write_bytes(content)
    return str(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def twice(path):
    return npz(path, [("a.npy", npy()), ("a", npy())])


DEEP = "(" * 3000 + ")" * 3000
NPZ = [
    pytest.param(lambda path: save_npz(path, {"a": np.array([{}])}), ["'a' holds Python objects"], id="pickled objects"),
    pytest.param(
        lambda path: save_npz(path, {"a": np.array([None]), "b": np.array(["x"]), "c": np.array([b"x"]), "d": np.float32([1])}),
        ["3 problems", "'a' holds Python objects", "'b' has the dtype '<U1'", "'c' has the dtype '|S1'"],
        id="all that is no number",
    ),
    pytest.param(
        lambda path: save_npz(path, {"a": np.zeros(2, [("x", "f4"), ("y", "i4")])}),
        ["'a' has the structured dtype [('x', '<f4'), ('y', '<i4')]"],
        id="structured",
    ),
    pytest.param(lambda path: save_npz(path, {"a": np.zeros(2, "M8[s]")}), ["'a' has the dtype '<M8[s]'"], id="dates"),
    pytest.param(lambda path: save_npz(path, {"a": np.zeros(2, "V3")}), ["'a' has the dtype '|V3'"], id="three bytes"),
    pytest.param(lambda path: save_npz(path, {"a": np.zeros(2, np.longdouble)}), ["'a' has the dtype"], id="long double"),
    pytest.param(member(npy("'f4,f4'")), ["'a' has the dtype 'f4,f4'"], id="structured in words"),
    pytest.param(member(npy("'(2,)f4'")), ["'a' has the dtype '(2,)f4'"], id="an array in an array"),
    pytest.param(member(npy("'nonsense'")), ["'a' has the dtype 'nonsense'"], id="no dtype"),
    pytest.param(member(npy("3")), ["'a' has the structured dtype 3"], id="a number for a dtype"),
    pytest.param(member(npy(shape="(-2,)")), ["'a' has a header that is not NumPy's"], id="negative shape"),
    pytest.param(member(npy(shape="(2.5,)")), ["'a' has a header that is not NumPy's"], id="half a row"),
    pytest.param(member(npy(shape="(True,)")), ["'a' has the shape (True,)"], id="a truth for a length"),
    pytest.param(member(npy(shape="2")), ["'a' has the shape 2"], id="a number for a shape"),
    pytest.param(member(npy(shape="(2, 99999999999, 99999999999)")), ["'a' has too many elements, 2 * 999"], id="overflow"),
    pytest.param(member(npy(shape=f"({'1, ' * 300})")), ["'a' has 300 dimensions"], id="300 dimensions"),
    pytest.param(member(npy(shape="(3,)")), ["'a' has 76 bytes, 80 by its shape [3]"], id="values missing"),
    pytest.param(member(npy(shape="(1,)")), ["'a' has 76 bytes, 72 by its shape [1]"], id="values left over"),
    pytest.param(member(npy(fortran="7")), ["'a' has a header with another fortran_order"], id="another order"),
    pytest.param(member(npy(header="{'descr': '<f4'}")), ["'a' has a header that is not NumPy's"], id="half a header"),
    pytest.param(member(npy(header="print(1)")), ["'a' has a header that is not NumPy's"], id="a call"),
    pytest.param(member(npy(header=DEEP, version=2)), ["'a' has a header that is not NumPy's"], id="brackets in brackets"),
    pytest.param(member(npy(header="-" * 9000 + "1")), ["'a' has a header that is not NumPy's"], id="a sign 9,000 times"),
    pytest.param(member(npy(header="9" * 9000)), ["'a' has a header that is not NumPy's"], id="a number of 9,000 digits"),
    pytest.param(member(npy(header=" " * 20000)), ["'a' has a header of 20,000 bytes"], id="a long header"),
    pytest.param(member(npy(version=9)), ["'a' has the version 9.0 of NumPy's format"], id="another version"),
    pytest.param(member(b"\x93NUMPY\1\0\xff\0{"), ["'a' is cut short in its header"], id="cut in its header"),
    pytest.param(member(b"\x93NUMPY\1\0"), ["'a' "], id="cut before its header"),
    pytest.param(member(b"text", "README.txt"), ["'README.txt' is not an array of NumPy"], id="not an array"),
    pytest.param(member(b"", "a.npy"), ["'a' is not an array of NumPy"], id="nothing"),
    pytest.param(twice, ["'a' is there twice"], id="a name twice"),
    pytest.param(member(npy(), ".npy"), ["'' is not a name"], id="no name"),
    pytest.param(member(npy(), "x" * 20000 + ".npy"), ["name of 20,000 bytes"], id="a name of 20,000 characters"),
    pytest.param(member(npy(), "_CHECKPOINTABLE_OBJECT_GRAPH.npy"), ["keeps for itself"], id="TensorFlow's name"),
    pytest.param(member(npy(), "\x1b[31m\n.npy"), None, id="escapes in a name"),
    pytest.param(cut(0), ["is not an .npz file, or is damaged"], id="an empty file"),
    pytest.param(cut(40), ["is not an .npz file, or is damaged"], id="cut short"),
    pytest.param(changed(b"<f4", b"<f8"), ["'a' "], id="another dtype"),
    pytest.param(changed(b"PK\x03\x04", b"PK\x03\x05"), ["'a' "], id="no member"),
    pytest.param(members(("a.npy", npy()), compression=zipfile.ZIP_BZIP2), ["compressed by method 12"], id="bzip2"),
    pytest.param(said_size(2**31), ["'a' is said to have 2,147,483,648 bytes, made of"], id="a bomb"),
    pytest.param(said_size(200), ["'a' has 200 bytes, 76 by its shape"], id="more than there is"),
    # Python itself has noticed it since 3.13, and in later releases of older versions.
    pytest.param(
        overlapping,
        ["Overlapped entries" if "_end_offset" in zipfile.ZipInfo.__slots__ else "is said to end at"],
        id="two in one place",
    ),
]


def one(value, data=b"\0" * 8):
    return lambda path: safetensors(path, {"a": value}, data)


def header(text, **options):
    return lambda path: safetensors(path, text.encode("utf-8"), b"\0" * 8, **options)


SAFETENSORS = [
    pytest.param(lambda path: (path.write_bytes(b"") and "") or str(path), ["it has 0 bytes"], id="an empty file"),
    pytest.param(header("{}", length=2**63), ["is said to have 9,223,372,036,854,775,808 bytes"], id="a header of 2**63"),
    pytest.param(header("{}", length=50), ["is said to have 50 bytes, and the file has 18"], id="a header beyond the file"),
    pytest.param(header("[]"), ["does not begin with a brace"], id="a list"),
    pytest.param(header("{"), ["is not a .safetensors file, or is damaged"], id="half an object"),
    pytest.param(header('{"a":' + "[" * 100000), ["is not a .safetensors file, or is damaged"], id="lists in lists"),
    pytest.param(header('{"a": 1, "a": 2}'), ["its header has 'a' twice"], id="a name twice"),
    pytest.param(header('{"a": {"dtype": "F32", "dtype": "F32"}}'), ["its header has 'dtype' twice"], id="a key twice"),
    pytest.param(lambda path: safetensors(path, b"{\xff}"), ["is not a .safetensors file"], id="not UTF-8"),
    pytest.param(header(r'{"\ud800": 1}'), ["is a name that is not UTF-8"], id="half a character"),
    pytest.param(header(r'{"a\u0000": 1}'), ["has a NUL in it"], id="NUL in a name"),
    pytest.param(header('{"": 1}'), ["'' is not a name"], id="no name"),
    pytest.param(one(1), ["'a' is not described by dtype, shape and data_offsets"], id="a number"),
    pytest.param(one({"dtype": "F32"}), ["'a' is not described by"], id="dtype only"),
    pytest.param(one(described(dtype="F8_E4M3")), ["'a' has the dtype F8_E4M3"], id="a dtype of eight bits"),
    pytest.param(one(described(dtype=["F32"])), ["'a' has the dtype ['F32']"], id="a list for a dtype"),
    pytest.param(one(described(shape=(-2,))), ["'a' has the shape [-2]"], id="negative shape"),
    pytest.param(one(described(shape=(2.0,))), ["'a' has the shape [2.0]"], id="a fraction"),
    pytest.param(one(described(shape=(True, 2))), ["'a' has the shape [True, 2]"], id="a truth for a length"),
    pytest.param(one(described(shape=(2**40, 2**40))), ["'a' has too many elements"], id="overflow"),
    pytest.param(one(described(shape=(2**62, 2**62, 0))), ["'a' has too many elements"], id="overflow before a zero"),
    pytest.param(one(described(shape=(1,) * 300)), ["'a' has 300 dimensions"], id="300 dimensions"),
    pytest.param(one(described(shape=(3,))), ["which is 8 bytes, and has 12 by its shape [3]"], id="another shape"),
    pytest.param(one(described(begin=8, end=0)), ["is said to be at [8, 0], which is -8 bytes"], id="backwards"),
    pytest.param(one(described(begin=-8, end=0)), ["'a' is said to be at [-8, 0]"], id="before the values"),
    pytest.param(one({**described(), "data_offsets": [0]}), ["'a' is said to be at [0]"], id="one offset"),
    pytest.param(one({**described(), "data_offsets": [0, 8.0]}), ["'a' is said to be at [0, 8.0]"], id="a fraction of a byte"),
    pytest.param(one(described(), b"\0" * 4), ["it is cut short"], id="cut short"),
    pytest.param(one(described(), b"\0" * 9), ["the arrays end at byte"], id="bytes left over"),
    pytest.param(
        lambda path: safetensors(path, {"a": described(), "b": described(begin=4, end=12)}, b"\0" * 12),
        ["'b' begins at byte", "it overlaps what is before it"],
        id="overlap",
    ),
    pytest.param(
        lambda path: safetensors(path, {"a": described(), "b": described(begin=12, end=20)}, b"\0" * 20),
        ["it does not follow what is before it"],
        id="a hole",
    ),
    pytest.param(
        lambda path: safetensors(path, {f"{number}": described("X") for number in range(100)}),
        ["21 problems", "and 80 more"],
        id="a hundred at once",
    ),
]
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class TestIsRefused:
    @pytest.mark.parametrize(
        "name, make, words",
        [pytest.param("m.npz", *case.values, id=f"npz: {case.id}") for case in NPZ]
        + [pytest.param("m.safetensors", *case.values, id=f"safetensors: {case.id}") for case in SAFETENSORS],
    )
    def test_in_one_printable_message(self, old_dir, capsys, name, make, words):
        path = make(old_dir / name)
        code = main(["list", path])
        out, err = capsys.readouterr()
        assert not CONTROLS.search(out + err) and len(err) < 20000
        if words is None:  # Unusual, but right.
            assert code == 0
            return
        assert code == 2 and err.startswith(f"estimator-warmstart: error: {path} ")
        for word in words:
            assert word in err

    @pytest.mark.parametrize("name, make", [("m.npz", NPZ[1].values[0]), ("m.safetensors", SAFETENSORS[-2].values[0])])
    def test_by_all_that_reads_it(self, old_dir, tmp_path, new_graph, name, make):
        path = make(old_dir / name)
        tf1.get_variable("a", [2])
        for read in (lambda: plan_recovery(path), lambda: convert_checkpoint(path, tmp_path / "new")):
            with pytest.raises(CheckpointError):
                read()

    @pytest.mark.parametrize("name", ["m.npz", "m.safetensors"])
    def test_a_pipe(self, old_dir, capsys, name):
        os.mkfifo(str(old_dir / name))
        assert main(["list", str(old_dir / name)]) == 2
        assert "it is a pipe, not a file" in capsys.readouterr().err


class TestIsRead:
    def test_what_the_crafting_writes(self, old_dir):
        values = [struct.pack("<2f", 1, 2)]
        for path in (
            npz(old_dir / "m.npz", [("a.npy", npy(data=values[0]))]),
            safetensors(old_dir / "m.safetensors", {"a": described()}, values[0]),
        ):
            checkpoint = open_checkpoint(path)
            found = value_statistics(checkpoint, checkpoint.variables.values(), lambda done, total: None)
            assert (found["a"].minimum, found["a"].maximum) == (1, 2)

    @pytest.mark.parametrize(
        "content",
        [npy(version=2), npy(version=3), npy(shape="(2L,)"), npy(header='{"shape":(2,),"fortran_order":False,"descr":"<f4"}')],
        ids=["version 2", "version 3", "Python 2", "another writer"],
    )
    def test_a_header_as_others_write_it(self, old_dir, content):
        assert open_checkpoint(npz(old_dir / "m.npz", [("a.npy", content)])).variables["a"].shape == (2,)

    @pytest.mark.parametrize("name", ["a.npy", "scope/a", "ä", "a b", "a.npy.npy"])
    def test_any_name(self, old_dir, name):
        for path in (
            save_npz(old_dir / "m.npz", {name: np.float32([1])}),
            save_safetensors(old_dir / "m.safetensors", {name: np.float32([1])}),
        ):
            assert list(open_checkpoint(path).variables) == [name]

    def test_no_arrays(self, old_dir):
        assert open_checkpoint(save_npz(old_dir / "m.npz", {})).variables == {}
        assert open_checkpoint(save_safetensors(old_dir / "m.safetensors", {})).variables == {}

    def test_a_member_without_the_suffix_of_numpy(self, old_dir):
        assert list(open_checkpoint(npz(old_dir / "m.npz", [("a", npy())])).variables) == ["a"]


class TestDamagedValues:
    """The CRC-32 of an .npz file is verified before anything is recovered; .safetensors files have no checksum."""

    @pytest.fixture(params=[np.savez, np.savez_compressed], ids=["stored", "compressed"])
    def path(self, request, old_dir):
        chance = np.random.RandomState(1)
        path = pathlib.Path(save_npz(old_dir / "m.npz", {"a": chance.rand(40000), "b": chance.rand(40000)}, request.param))
        content = bytearray(path.read_bytes())
        for at in (len(content) // 4, len(content) * 3 // 4):
            content[at] ^= 1
        path.write_bytes(content)
        return str(path)

    def test_are_listed_and_not_read(self, path, capsys):
        assert main(["list", path]) == 0
        assert main(["list", path, "--stats"]) == 2
        err = capsys.readouterr().err
        assert "2 problems" in err and "'a' " in err and "'b' " in err

    @pytest.mark.parametrize("check_finite", [False, True])
    def test_are_not_recovered(self, path, new_graph, check_finite):
        tf1.get_variable("a", [40000], tf.float64)
        tf1.get_variable("b", [40000], tf.float64)
        before = len(new_graph.get_operations())
        with pytest.raises(CheckpointError, match=r"'a' (in|cannot be read)"):
            VariableRecoverHook(path, check_finite=check_finite).begin()
        assert len(new_graph.get_operations()) == before

    def test_are_not_converted(self, path, tmp_path):
        with pytest.raises(CheckpointError, match="2 problems"):
            convert_checkpoint(path, tmp_path / "new" / "m", to="name")
        assert not (tmp_path / "new").exists()

    def test_are_no_matter_where_they_are_not_taken(self, old_dir, new_graph):
        path = pathlib.Path(save_npz(old_dir / "m.npz", {"a": np.random.rand(4000), "b": np.float64([1])}))
        content = bytearray(path.read_bytes())
        content[20000] ^= 1
        path.write_bytes(content)
        tf1.get_variable("b", [1], tf.float64)
        VariableRecoverHook(str(path)).begin()

    @pytest.mark.parametrize("name", ["m.npz", "m.safetensors"])
    def test_a_file_that_is_cut_between_the_plan_and_the_session(self, old_dir, new_graph, name):
        save = save_npz if name == "m.npz" else save_safetensors
        path = pathlib.Path(save(old_dir / name, {"a": np.float32([1, 2])}))
        tf1.get_variable("a", [2])
        hook = VariableRecoverHook(str(path))
        hook.begin()
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(tf.errors.OpError), tf1.Session() as session:
            session.run(tf1.global_variables_initializer())


@pytest.mark.parametrize("name", ["m.npz", "compressed.npz", "m.safetensors"])
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")
def test_random_changes(old_dir, tmp_path, name, count):
    """Whatever is changed, it is read as a whole or is one of the package's errors."""
    save = {"m.npz": np.savez, "compressed.npz": np.savez_compressed}.get(name)
    values = {"a": np.float32([[1, 2], [3, 4]]), "s": np.int64(7), "f": np.asfortranarray(np.ones((2, 3), ">f8"))}
    if save is None:
        path = pathlib.Path(save_safetensors(old_dir / name, {"a": values["a"], "s": values["s"]}))
    else:
        path = pathlib.Path(save_npz(old_dir / name, values, save))
    content, refused = path.read_bytes(), 0
    for number in range(count):
        path.write_bytes(mutated(random.Random(number), content))
        try:
            checkpoint = open_checkpoint(str(path))
            value_statistics(checkpoint, checkpoint.variables.values(), lambda done, total: None)
            convert_checkpoint(str(path), tmp_path / str(number) / "m", to="name")
        except WarmStartError as error:
            str(error).encode("utf-8")
            refused += 1
    assert refused > count // 2
