"""Damaged and hostile files with right checksums: one error says what is wrong, and the process goes on."""

import json
import os
import pathlib
import re
import struct
import subprocess
import sys

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import tensor_bundle_pb2

import crafted_files as crafted
from conftest import save_checkpoint
from crafted_files import entry, object_based, object_graph, table, varint, write
from estimator_warmstart import VariableRecoverHook, adapters, convert_checkpoint, plan_recovery, recover_variables
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.checkpoint.index_checks import slice_key
from estimator_warmstart.checkpoint.leveldb_table import encode_table
from estimator_warmstart.checkpoint.statistics import value_statistics
from estimator_warmstart.cli import main
from estimator_warmstart.errors import WarmStartError

tf1 = tf.compat.v1
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def index_of(**entries):
    return lambda folder: write(folder, entries)


def raw(*blocks, **options):
    return lambda folder: write(folder, table(blocks, **options))


def plain(*keys):
    """A block of such keys in this order, each stored whole; the header first."""
    return [(0, b"", crafted.header())] + [(0, key, entry()) for key in keys]


def key_of(name, *extents):
    proto = tensor_bundle_pb2.BundleEntryProto.FromString(entry(slices=[extents]))
    return slice_key(name.encode(), proto.slices[0])


FIRST, LAST = ((0, 1),), ((1, 1),)
WHOLE = ((0, None),)


def sliced(slices, stored=(), shape=(2,), data=b"\0" * 8):
    """An index with the variable v of such `slices`, and an entry for each of `stored`, {slice: entry}."""

    def make(folder):
        entries = {"v": entry(shape, slices=slices)}
        entries.update((key_of("v", *extents), value) for extents, value in dict(stored).items())
        return write(folder, entries, data)

    return make


ONE = entry((1,))
HALVES = {FIRST: entry((1,)), LAST: entry((1,), offset=4)}
INDEXES = [
    pytest.param(index_of(a=entry((-2,), size=8)), ["'a' has a negative dimension, -2"], id="negative dimension"),
    pytest.param(index_of(a=entry((2**40, 2**40), size=8)), ["'a' has too many elements, 1099511627776 * "], id="overflow"),
    pytest.param(index_of(a=entry((2**62, 2**62, 0), size=0)), ["'a' has too many elements"], id="overflow before a zero"),
    pytest.param(index_of(a=entry((1,) * 300)), ["'a' has 300 dimensions"], id="300 dimensions"),
    pytest.param(index_of(a=entry((), unknown_rank=True)), ["'a' has no shape"], id="unknown rank"),
    pytest.param(index_of(a=entry(dtype=0)), ["'a' has no dtype"], id="no dtype"),
    pytest.param(index_of(a=entry(dtype=99)), ["'a' has the dtype 99"], id="unknown dtype"),
    pytest.param(index_of(a=entry(dtype=101)), ["'a' has the dtype 101"], id="a reference's dtype"),
    pytest.param(index_of(a=entry(dtype=20)), ["'a' has the dtype 20"], id="a resource's dtype"),
    pytest.param(index_of(a=entry(shard=1)), ["'a' is in data file 1, there are 1"], id="shard that is not there"),
    pytest.param(index_of(a=entry(shard=-1)), ["'a' is in data file -1"], id="negative shard"),
    pytest.param(index_of(a=entry(offset=-4)), ["'a' is said to be at -4"], id="negative offset"),
    pytest.param(index_of(a=entry(size=-8)), ["'a' is said to be at 0 and to have -8"], id="negative size"),
    pytest.param(index_of(a=entry(offset=2**63 - 4)), ["'a' is said to be at 9223372036854775804"], id="end overflows"),
    pytest.param(index_of(a=entry(size=0, checksum=5)), ["'a' has 0 bytes, 8 by its shape [2] and dtype float32"], id="size 0"),
    pytest.param(index_of(a=entry(size=4)), ["'a' has 4 bytes, 8 by its shape"], id="size of another shape"),
    pytest.param(index_of(a=entry((100,), 7, size=8)), ["'a' has 8 bytes, too few for 100 values"], id="too few strings"),
    pytest.param(index_of(a=b"\xff\xff"), ["is not the index of a checkpoint, or is damaged"], id="garbage entry"),
    pytest.param(index_of(a=entry((-1,), size=8), b=entry(dtype=0)), ["2 problems", "'a' has", "'b' has"], id="all at once"),
    pytest.param(
        lambda folder: write(folder, {f"{number:03}": entry((-1,), size=8) for number in range(100)}),
        ["21 problems", "and 80 more"],
        id="a hundred at once",
    ),
    pytest.param(index_of(**{"a": entry(), "\x1b[31m\n": entry(dtype=0)}), [r"\x1b[31m\n"], id="escapes in a name"),
    pytest.param(index_of(a=entry(), **{"x" * 2000000: entry()}), ["name of 2,000,000 bytes"], id="name of 2 MB"),
    pytest.param(index_of(**{"a/" * 1000000 + "a": entry()}), ["name of 2,000,001 bytes"], id="a million scopes"),
    pytest.param(
        lambda folder: write(folder, {b"\xff\xfe": entry()}), [r"'\xff\xfe' is a name that is not UTF-8"], id="not UTF-8"
    ),
]
HEADERS = [
    pytest.param(dict(num_shards=2**31 - 1), ["2147483647 data files"], id="2147483647 shards"),
    pytest.param(dict(num_shards=0), ["says that there are 0 data files"], id="no shards"),
    pytest.param(dict(num_shards=-1), ["says that there are -1 data files"], id="negative shards"),
    pytest.param(dict(endianness=7), ["says that the byte order is 7"], id="another byte order"),
    pytest.param(dict(version={"producer": 9, "min_consumer": 9}), ["needs a reader of version 9"], id="a later version"),
]
SLICES = [
    pytest.param(sliced([FIRST, FIRST, LAST], HALVES), ["'v' has a slice that is listed twice"], id="listed twice"),
    pytest.param(sliced([FIRST, LAST], {FIRST: ONE}), ["'v': the slice of shape [1] at [1] is not there"], id="missing"),
    pytest.param(sliced([FIRST], HALVES), ["is a slice that no tensor lists"], id="not listed"),
    pytest.param(sliced([FIRST, ((0, 2),)], HALVES), ["'v' has slices of 3 elements, its shape is [2]"], id="too many"),
    pytest.param(sliced([((0, 2),), ((1, 2),)], HALVES, (5,)), ["'v' has slices that overlap"], id="overlap, not the whole"),
    pytest.param(
        sliced([((0, 2),), ((1, 2),)], HALVES, (4,)), ["'v' has slices that overlap"], id="overlap, as many as the whole"
    ),
    pytest.param(sliced([FIRST, ((1, 2),)], HALVES), ["'v' has a slice of shape [2] at [1]"], id="goes beyond"),
    pytest.param(sliced([((-1, 1),), LAST], HALVES), ["'v' has a slice of shape [1] at [-1]"], id="begins before"),
    pytest.param(sliced([((0, -5),), LAST], HALVES), ["'v' has a slice of shape [-5] at [0]"], id="negative length"),
    pytest.param(sliced([((0, 1), (0, 1)), LAST], HALVES), ["'v' has a slice of 2 dimensions"], id="other rank"),
    pytest.param(
        sliced([FIRST, LAST], {FIRST: entry((2,)), LAST: ONE}), ["at [0] is another tensor, of shape [2]"], id="other shape"
    ),
    pytest.param(sliced([FIRST, LAST], {FIRST: entry((1,), 3), LAST: ONE}), ["at [0] is another tensor"], id="other dtype"),
    pytest.param(
        sliced([FIRST, LAST], {FIRST: entry((1,), size=0), LAST: ONE}), ["at [0] has 0 bytes, 4 by its shape"], id="no bytes"
    ),
    pytest.param(
        lambda folder: write(folder, {"v": entry(slices=[FIRST, LAST], size=8)}),
        ["'v' has slices and 8 bytes besides"],
        id="bytes too",
    ),
]
TABLES = [
    pytest.param(raw(plain(b"a", b"a")), ["one is there twice: 'a'"], id="a key twice"),
    pytest.param(raw(plain(b"b", b"a")), ["its keys are not in order, or one is there twice: 'a'"], id="keys out of order"),
    pytest.param(raw(plain(b"b"), [(0, b"a", entry())]), ["not in order"], id="blocks out of order"),
    pytest.param(raw(plain(b"b"), index_keys=[b"a"]), ["its blocks are not in order at 'a'"], id="a block's key before it"),
    pytest.param(
        raw(plain(b"a"), [(0, b"b", entry())], index_keys=[b"c", b"d"]), ["not in order"], id="a block's key in the next one"
    ),
    pytest.param(raw([(0, b"", b""), (5, b"a", entry())]), ["goes beyond its block"], id="shares what is not there"),
    pytest.param(
        raw([(0, b"", crafted.header()), (0, b"x" * 2000000, b"")] + [(2000000, b"%05d" % n, b"") for n in range(9999)]),
        ["its keys are longer than the file can hold"],
        id="keys of 20 GB",
    ),
    pytest.param(raw([(0, b"a", entry())]), ["it has no header"], id="no header"),
    pytest.param(raw([(0, b"", b"\xff\xff")]), ["is not the index of a checkpoint"], id="garbage header"),
    pytest.param(raw(plain(b"a"), restarts=[]), ["does not begin with a whole key"], id="no restarts"),
    pytest.param(raw(plain(b"a"), restarts=[0, 9999]), ["a restart that is not there"], id="a restart beyond"),
    pytest.param(raw(plain(b"a"), restarts=[4]), ["does not begin with a whole key"], id="no restart at the begin"),
    pytest.param(
        raw(
            [(0, b"", crafted.header()), (0, b"aa", entry()), (1, b"b", entry())],
            restarts=[0, 7 + len(crafted.header()) - 4, 7 + len(crafted.header() + entry()) + 1],
        ),
        ["does not begin with a whole key"],
        id="a restart with half a key",
    ),
]


def with_body(body, restarts=(0,)):
    """An index whose only block has the bytes `body`."""

    def make(folder):
        content = bytearray()
        handle = crafted.append_block(content, body, list(restarts))
        meta = crafted.append_block(content, b"", [0])
        index = crafted.append_block(content, varint(0) + varint(1) + varint(len(handle)) + b"z" + handle, [0])
        return write(folder, bytes(content) + (meta + index).ljust(40, b"\0") + crafted.struct.pack("<Q", crafted.MAGIC))

    return make


def with_blocks(*handles):
    """An index that says that its blocks are at such places."""

    def make(folder):
        content = bytearray()
        crafted.append_block(content, varint(0) * 2 + varint(len(crafted.header())) + crafted.header(), [0])
        meta = crafted.append_block(content, b"", [0])
        body, starts = b"", []
        for number, (offset, size) in enumerate(handles):
            starts.append(len(body))
            handle = varint(offset) + varint(size)
            body += varint(0) + varint(1) + varint(len(handle)) + b"%d" % number + handle
        index = crafted.append_block(content, body, starts)
        return write(folder, bytes(content) + (meta + index).ljust(40, b"\0") + crafted.struct.pack("<Q", crafted.MAGIC))

    return make


BYTES = [
    pytest.param(with_body(varint(0, 1000000)), ["a number has more than 64 bits"], id="varint of a megabyte"),
    pytest.param(with_body(varint(0) + varint(2**62) + varint(0)), ["goes beyond its block"], id="a key of 2**62 bytes"),
    pytest.param(with_body(varint(0) + varint(0) + varint(2**62)), ["goes beyond its block"], id="a value of 2**62 bytes"),
    pytest.param(with_body(b"\x80"), ["is not the index of a checkpoint"], id="cut in a varint"),
    pytest.param(with_blocks((0, 2**40)), ["it is cut short"], id="a block of a terabyte"),
    pytest.param(with_blocks((2**60, 40)), ["it is cut short"], id="a block beyond the file"),
    pytest.param(with_blocks((0, 3)), ["it is cut short"], id="a block of 3 bytes"),
    pytest.param(
        with_blocks(*[(0, len(crafted.header()) + 11)] * 1000), ["its blocks overlap"], id="one block a thousand times"
    ),
]
GRAPHS = [
    pytest.param(lambda folder: object_based(folder, b"\xff garbage"), ["is not an object graph"], id="garbage"),
    pytest.param(
        lambda folder: object_based(folder, object_graph(({"b": 5}, {"a": "a"}, []))),
        ["node 0 leads to node 5, there are 1"],
        id="child out of range",
    ),
    pytest.param(
        lambda folder: object_based(folder, object_graph(({"b": -1}, {"a": "a"}, []))),
        ["leads to node -1"],
        id="negative child",
    ),
    pytest.param(
        lambda folder: object_based(folder, object_graph(({}, {"a": "a"}, [("m", 0, 7)]))),
        ["leads to node 7"],
        id="slot out of range",
    ),
    pytest.param(
        lambda folder: object_based(folder, object_graph(({}, {"a": "a"}, [("m", -3, 0)]))),
        ["leads to node -3"],
        id="slot of a variable out of range",
    ),
    pytest.param(
        lambda folder: object_based(folder, object_graph(({}, {"a": "a" * 20000}, []))),
        ["more than 10,000 characters"],
        id="a name of 20,000 characters",
    ),
    pytest.param(index_of(**{crafted.OBJECT_GRAPH: entry()}), ["is not one string"], id="numbers for a graph"),
    pytest.param(
        lambda folder: write(folder, {crafted.OBJECT_GRAPH: entry((2,), 7, size=8)}), ["is not one string"], id="two graphs"
    ),
    pytest.param(
        lambda folder: write(folder, {crafted.OBJECT_GRAPH: entry((), 7, size=10)}, crafted.strings(b"", lengths=[2**40])),
        ["lengths of its strings are damaged"],
        id="a graph of a terabyte",
    ),
    pytest.param(
        lambda folder: write(folder, {crafted.OBJECT_GRAPH: entry((), 7, size=6)}, crafted.strings(b"x")),
        ["cannot be read"],
        id="a graph without its checksum",
    ),
]


# The index is right, but the data file is too short.
CUT_SHORT = [
    pytest.param(index_of(a=entry(offset=4)), ["has 8 bytes, 12 by the index"], id="beyond the data file"),
    pytest.param(index_of(a=entry((2**33,))), ["has 8 bytes, 34,359,738,368 by the index"], id="32 GB in 8 bytes"),
]


def check_refused(capsys, arguments, words):
    """Runs the command and checks that it ends with one printable error."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert err.startswith("estimator-warmstart: error: ") and not CONTROLS.search(out + err)
    for word in words:
        assert word in err
    assert len(err) < 10000


class TestIndex:
    @pytest.mark.parametrize("make, words", INDEXES + SLICES + TABLES + BYTES)
    def test_is_refused(self, old_dir, capsys, make, words):
        check_refused(capsys, ["list", make(old_dir)], words)

    @pytest.mark.parametrize("make, words", CUT_SHORT)
    def test_whose_data_is_cut_short_is_listed_and_not_read(self, old_dir, capsys, make, words):
        prefix = make(old_dir)
        assert main(["list", prefix]) == 1
        err = capsys.readouterr().err
        assert all(word in err for word in words)
        check_refused(capsys, ["list", "--stats", prefix], words)

    @pytest.mark.parametrize("fields, words", HEADERS)
    def test_a_header(self, old_dir, capsys, fields, words):
        prefix = write(old_dir, encode_table({b"": crafted.header(**fields), b"a": entry()}))
        check_refused(capsys, ["list", prefix], words)

    @pytest.mark.parametrize("make, words", GRAPHS)
    @pytest.mark.filterwarnings("ignore:Unexpected end-group tag")
    def test_an_object_graph(self, old_dir, capsys, make, words):
        check_refused(capsys, ["list", make(old_dir)], words)

    @pytest.mark.parametrize("make, words", INDEXES[:3] + SLICES[:2])
    def test_is_refused_by_all_that_reads_it(self, old_dir, tmp_path, new_graph, make, words):
        prefix = make(old_dir)
        tf1.get_variable("a", [2])
        for read in (lambda: plan_recovery(prefix), lambda: convert_checkpoint(prefix, tmp_path / "new")):
            with pytest.raises(WarmStartError, match=re.escape(words[0])):
                read()


class TestWhatIsRight:
    """What is unusual but right is read as TensorFlow reads it."""

    def test_what_the_crafting_writes(self, old_dir):
        prefix = write(old_dir, {"a": entry(data=b"\0" * 8)})
        assert tf.train.load_variable(prefix, "a").tolist() == [0, 0]
        assert open_checkpoint(prefix).variables["a"].shape == (2,)

    @pytest.mark.parametrize(
        "start, length",
        [
            (0, 1),
            (62, 2),
            (63, 64),
            (64, 65),
            (8191, 1),
            (8192, 8192),
            (2**20 - 1, 1),
            (2**20, 2),
            (2**34, 3),
            (2**55, 1),
            (2**61 + 5, 1),
        ],
    )
    def test_the_key_of_a_slice(self, old_dir, start, length):
        prefix = str(old_dir / "model.ckpt")
        with tf.Graph().as_default(), tf1.Session() as session:
            session.run(
                tf.raw_ops.SaveV2(
                    prefix=prefix,
                    tensor_names=["v"],
                    shape_and_slices=[f"{2**62} 1 {start},{length}:-"],
                    tensors=[tf.zeros([length, 1])],
                )
            )
        assert open_checkpoint(prefix).variables["v"].slices == (((start, 0), (length, 1)),)

    @pytest.mark.parametrize("big_endian", [False, True], ids=["little endian", "big endian"])
    def test_either_byte_order(self, old_dir, big_endian):
        data = struct.pack(">2f" if big_endian else "<2f", 1, 2)
        index = encode_table({b"": crafted.header(endianness=int(big_endian)), b"a": entry(data=data)})
        prefix = write(old_dir, index, data)
        try:
            tf.train.load_variable(prefix, "a")
        except tf.errors.UnimplementedError:  # TensorFlow 1.15 reads the order of its own machine only.
            with pytest.raises(WarmStartError, match=r"cannot be opened as a checkpoint: .*endian"):
                open_checkpoint(prefix)
            return
        checkpoint = open_checkpoint(prefix)
        found = value_statistics(checkpoint, checkpoint.variables.values(), lambda done, total: None)
        assert (found["a"].minimum, found["a"].maximum, found["a"].mean) == (1, 2, 1.5)

    def test_slices_of_two_axes(self, old_dir):
        quarters = {((row, 1), (column, 1)): entry((1, 1)) for row in (0, 1) for column in (0, 1)}
        prefix = sliced(list(quarters), quarters, (2, 2))(old_dir)
        assert len(open_checkpoint(prefix).variables["v"].slices) == 4

    def test_a_slice_alone_is_listed_and_not_recovered(self, old_dir, new_graph):
        prefix = sliced([FIRST], {FIRST: ONE})(old_dir)
        assert open_checkpoint(prefix).variables["v"].slices == (((0,), (1,)),)
        tf1.get_variable("v", [2])
        with pytest.raises(WarmStartError, match=r"the old 'v' \[2\] is stored in part only"):
            plan_recovery(prefix)

    def test_names_of_many_scopes(self, old_dir):
        names = ["a/" * length + "a" for length in (10, 199, 4000)]
        names += [name + "/Adagrad" for name in names]
        found = open_checkpoint(write(old_dir, {name: entry(data=b"\0" * 8) for name in names}))
        assert sorted(found.variables) == sorted(names) and found.slots_by_name[names[3]].primary == names[0]

    def test_an_object_graph_with_cycles(self, old_dir):
        graph = object_graph(({"a": 1, "a/a": 0, "b": 0, "": 0}, {}, []), ({"up": 0, "a": 1}, {"a": "w"}, []))
        found = open_checkpoint(object_based(old_dir, graph))
        assert list(found.variables) == ["w"]
        assert found.find("b/b/a").name == "w" and found.find("a/up/" * 400 + "a").name == "w"
        assert found.find("a/" * 400 + "none") is None

    def test_an_object_graph_without_nodes(self, old_dir):
        assert open_checkpoint(object_based(old_dir, object_graph())).find("a") is None


class TestStrings:
    """TensorFlow allocates as much memory as the length of a string says, and ends the process if there is not enough."""

    @pytest.fixture
    def prefix(self, old_dir):
        data = crafted.strings(b"", lengths=[2**40])
        return write(old_dir, {"s": entry((1,), 7, size=len(data)), "a": entry(offset=len(data))}, data + b"\0" * 8)

    def test_are_not_recovered(self, prefix, new_graph):
        tf1.get_variable("s", initializer=tf.constant([b"new"]))
        with pytest.raises(WarmStartError, match=r"'s' cannot be read from .*: the lengths of its strings are damaged"):
            VariableRecoverHook(prefix, {"s": "s"}).begin()

    def test_are_not_recovered_into_a_later_hooks_variable(self, prefix, new_graph):
        class MakesTheVariable(tf1.train.SessionRunHook):
            def begin(self):
                tf1.get_variable("s", initializer=tf.constant([b"new"]))

        tf1.get_variable("a", [2])
        with pytest.raises(WarmStartError, match="the lengths of its strings are damaged"):
            tf1.train.MonitoredSession(hooks=[VariableRecoverHook(prefix), MakesTheVariable()])

    def test_are_not_converted(self, prefix, tmp_path):
        with pytest.raises(WarmStartError, match="the lengths of its strings are damaged"):
            convert_checkpoint(prefix, tmp_path / "new")
        assert not (tmp_path / "new.index").exists()

    def test_that_are_right_are_recovered(self, old_dir, new_graph):
        words = [b"", b"one", b"x" * 200]
        data = crafted.strings(*words)
        prefix = write(old_dir, {"s": entry((3,), 7, size=len(data), checksum=crafted.string_checksum(*words))}, data)
        s = tf1.get_variable("s", initializer=tf.constant([b""] * 3))
        with tf1.Session() as session:
            recover_variables(session, prefix, {"s": "s"})
            assert session.run(s).tolist() == words


@pytest.fixture
def pipe(tmp_path):
    """Nothing writes into it, so opening it never ends."""
    os.mkfifo(str(tmp_path / "pipe"))
    return tmp_path / "pipe"


class TestNotAFile:
    def test_as_a_checkpoint(self, pipe, capsys):
        check_refused(capsys, ["list", str(pipe)], ["it is a pipe, not a file"])

    @pytest.mark.parametrize("name", ["model.ckpt.index", "checkpoint"])
    def test_as_one_of_its_files(self, old_dir, capsys, name):
        save_checkpoint(old_dir, {"a": [1.0]})
        (old_dir / name).unlink()
        os.mkfifo(str(old_dir / name))
        check_refused(capsys, ["list", str(old_dir)], ["it is a pipe, not a file"])

    def test_as_params(self, pipe, capsys):
        check_refused(capsys, ["plan", str(pipe), "--graph", "."], ["cannot be read: it is a pipe, not a file"])

    def test_a_device(self, capsys):
        check_refused(capsys, ["plan", "/dev/zero", "--graph", "."], ["cannot be read: it is a device, not a file"])
        check_refused(capsys, ["list", "/dev/zero"], ["cannot be read: it is a device, not a file"])

    def test_as_a_vocabulary(self, pipe):
        with pytest.raises(WarmStartError, match="cannot be read: it is a pipe, not a file"):
            adapters.remap_rows(str(pipe), ["a"])

    @pytest.mark.parametrize("name", ["m.meta", "checkpoint"])
    def test_as_a_graph(self, tmp_path, capsys, name):
        os.mkfifo(str(tmp_path / name))
        (tmp_path / "params.json").write_text('{"ckp_dir": "old"}')
        graph = tmp_path if name == "checkpoint" else tmp_path / name
        check_refused(capsys, ["plan", str(tmp_path / "params.json"), "--graph", str(graph)], ["it is a pipe"])

    @pytest.mark.parametrize("command", [["list", "--stats"], ["convert"]], ids=" ".join)
    def test_a_shard_that_cannot_be_opened(self, old_dir, tmp_path, capsys, command):
        prefix = write(old_dir, {"a": entry(), "b": entry(shard=1), "c": entry(data=b"\0" * 8)}, shards=2)
        os.mkdir(prefix + ".data-00001-of-00002")  # Which has a size, as a file has.
        new = [str(tmp_path / "new")] if command == ["convert"] else []
        check_refused(capsys, [*command, prefix, *new], ["'b' cannot be read from", "'a' in", "2 problems"])


@pytest.fixture
def meta(tmp_path):
    """The graph of a model, written by a Saver, and the first arguments of a command that reads a graph."""
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.get_variable("w", [2])
        tf1.train.get_or_create_global_step()
        session.run(tf1.global_variables_initializer())
        prefix = tf1.train.Saver().save(session, str(tmp_path / "m"))
    (tmp_path / "params.json").write_text(json.dumps({"ckp_dir": prefix}))
    return tf1.MetaGraphDef.FromString((tmp_path / "m.meta").read_bytes()), ["plan", str(tmp_path / "params.json"), "--graph"]


class TestGraphs:
    @pytest.mark.parametrize(
        "kind, value, words",
        [
            ("int64_list", 5, "holds 5, which is not a"),
            ("float_list", 0.5, "holds 0.5, which is not a"),
            ("bytes_list", b"\xff\xff", "cannot be imported"),
            ("bytes_list", b"", "cannot be imported"),
            ("node_list", "\x1b[31m", r"\x1b[31m"),
            ("node_list", "nothere:0", "does not exist in the graph"),
        ],
    )
    @pytest.mark.parametrize("key", ["variables", "trainable_variables", "global_step"])
    def test_collections_with_other_things(self, meta, tmp_path, capsys, key, kind, value, words):
        graph, arguments = meta
        graph.collection_def[key].Clear()
        getattr(graph.collection_def[key], kind).value.append(value)
        (tmp_path / "other.meta").write_bytes(graph.SerializeToString())
        check_refused(capsys, [*arguments, str(tmp_path / "other.meta")], ["other.meta", words])

    @pytest.mark.parametrize("content", [b"", b"\xff garbage", b"\x0a\x00"], ids=["empty", "garbage", "no graph"])
    def test_garbage(self, meta, tmp_path, capsys, content):
        (tmp_path / "other.meta").write_bytes(content)
        check_refused(capsys, [*meta[1], str(tmp_path / "other.meta")], ["other.meta"])


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_changes(tmp_path, count):
    """In a process of its own, since what is tested is that it lives on: its last number is the one that ended it."""
    program = pathlib.Path(__file__).resolve().parent / "mutations.py"
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "work"), "0", str(count)],
        capture_output=True,
        text=True,
        timeout=300,
        env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3"),
    )
    assert (done.returncode, done.stdout.split()[-1:]) == (0, [str(count - 1)]), done.stderr[-3000:]
