"""Conversions and merges on bad days: a damaged source, a full disk, a kill or an interruption at any moment."""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pytest
import tensorflow as tf

from conftest import TESTS, run_python, save_checkpoint
from estimator_warmstart.checkpoint.bundle_writer import write_tensors
from estimator_warmstart.checkpoint.copies import write_copies
from estimator_warmstart.checkpoint.leveldb_table import encode_table
from estimator_warmstart.convert.convert import convert_checkpoint
from estimator_warmstart.errors import WarmStartError

tf1 = tf.compat.v1

VALUES = {"a": np.float32([1, 2, 3]), "b/c": np.arange(8.0).reshape(4, 2), "words": np.array([b"one", b"three"])}


@pytest.fixture
def old(old_dir):
    """An old model with a partitioned variable and strings."""
    return save_checkpoint(old_dir, VALUES, {"b/c": 2})


def snapshot(folder):
    """{path: (when it was changed, hash of its bytes)} of all files."""
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(pathlib.Path(str(folder)).rglob("*"))
        if path.is_file()
    }


class TestDamagedSource:
    @pytest.mark.parametrize(
        "data, names",
        [
            (np.float32([1, 2, 3]).tobytes(), "'a'"),
            (np.arange(4.0).tobytes(), "'b/c'"),
            (np.arange(4.0, 8).tobytes(), "'b/c'"),
            (b"three", "'words'"),
        ],
        ids=["plain", "first slice", "last slice", "string"],
    )
    def test_a_flipped_bit(self, old, old_dir, tmp_path, data, names):
        path = pathlib.Path(old + ".data-00000-of-00001")
        content = path.read_bytes()
        place = content.index(data) + len(data) - 1
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        before = snapshot(old_dir)
        with pytest.raises(WarmStartError) as raised:
            convert_checkpoint(old, tmp_path / "new" / "model.ckpt")
        assert names in str(raised.value) and str(path) in str(raised.value)
        assert not (tmp_path / "new").exists() and snapshot(old_dir) == before

    def test_all_that_is_damaged_is_told(self, old, tmp_path):
        path = pathlib.Path(old + ".data-00000-of-00001")
        path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
        with pytest.raises(WarmStartError) as raised:
            convert_checkpoint(old, tmp_path / "new")
        # Each once: both slices of 'b/c' are damaged.
        assert re.findall(r"\* '(.*?)'", str(raised.value)) == ["a", "b/c", "words"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]

    @pytest.mark.parametrize(
        "spoil, says",
        [
            (lambda path: path.write_bytes(path.read_bytes()[:-1]), "it is cut short"),
            (lambda path: path.unlink(), "is missing"),
        ],
        ids=["cut short", "missing"],
    )
    def test_a_data_file(self, old, tmp_path, spoil, says):
        spoil(pathlib.Path(old + ".data-00000-of-00001"))
        with pytest.raises(WarmStartError, match="data-00000-of-00001 .*" + says):
            convert_checkpoint(old, tmp_path / "new" / "model.ckpt")
        assert not (tmp_path / "new").exists()

    def test_the_source_is_left_as_it_was(self, old, old_dir, tmp_path):
        before = snapshot(old_dir)
        objects = convert_checkpoint(old, tmp_path / "objects" / "new")
        between = snapshot(tmp_path / "objects")
        convert_checkpoint(objects, tmp_path / "names" / "new", to="name")
        assert snapshot(old_dir) == before and snapshot(tmp_path / "objects") == between


CONVERT = """
import os, resource, sys
import tensorflow as tf
from estimator_warmstart.convert.convert import convert_checkpoint
from estimator_warmstart.errors import WarmStartError
source, destination, limit, user = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
if user:
    os.setuid(user)
try:
    convert_checkpoint(source, destination)
except WarmStartError as error:
    print(error)
"""


class TestPlaceThatCannotBeWritten:
    def save_large(self, folder):
        return save_checkpoint(folder, {"large": np.zeros([1000000], np.float32), "small": np.float32(1)})

    def test_a_file_that_may_not_grow(self, old_dir, tmp_path):
        done = run_python(CONVERT, self.save_large(old_dir), tmp_path / "new" / "model.ckpt", 1 << 20, 0)
        assert "model.ckpt cannot be written, and nothing of it is left: " in done.stdout, done.stderr
        assert "File too large" in done.stdout and sorted(path.name for path in tmp_path.iterdir()) == ["old"]

    def test_a_full_disk(self, old_dir, tmp_path):
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = (
            shutil.which("mount")
            and subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
                stderr=subprocess.DEVNULL,
            ).returncode
            == 0
        )
        if not mounted:
            pytest.skip("a disk that is small enough to fill needs the right to mount one")
        try:
            with pytest.raises(WarmStartError, match=r"model\.ckpt cannot be written, .*No space left on device"):
                convert_checkpoint(self.save_large(old_dir), disk / "new" / "model.ckpt")
            assert list(disk.iterdir()) == []
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)

    def test_a_directory_of_somebody_else(self):
        # Where another user can read the source, which pytest's own folders do not let anybody do.
        with tempfile.TemporaryDirectory() as place:
            os.chmod(place, 0o755)
            source = save_checkpoint(os.path.join(place, "old"), VALUES)
            folder = pathlib.Path(place) / "locked"
            folder.mkdir()
            folder.chmod(0o555)
            user = 65534 if os.getuid() == 0 else 0
            done = run_python(CONVERT, source, folder / "new" / "model.ckpt", 0, user)
            assert "model.ckpt cannot be written, and nothing of it is left: " in done.stdout, done.stderr
            assert "ermission denied" in done.stdout and list(folder.iterdir()) == []

    def test_a_file_where_a_directory_must_be(self, old, tmp_path):
        (tmp_path / "file").write_text("here")
        with pytest.raises(WarmStartError, match=r"model\.ckpt cannot be written"):
            convert_checkpoint(old, tmp_path / "file" / "model.ckpt")
        assert (tmp_path / "file").read_text() == "here"

    def test_what_others_put_there_meanwhile_stays(self, old, tmp_path, monkeypatch):
        def put(*_):
            (tmp_path / "new" / "theirs").write_text("here")
            raise KeyboardInterrupt

        monkeypatch.setattr("estimator_warmstart.convert.convert.write_copies", put)
        with pytest.raises(KeyboardInterrupt):
            convert_checkpoint(old, tmp_path / "new" / "made" / "model.ckpt")
        assert [path.name for path in (tmp_path / "new").rglob("*")] == ["theirs"]


# Ends a process at the nth of the lines that come to be run for the first time, for each n: at every moment there is. With a
# stride, at some, and at the last ones, when the index is in its place.
KILL = """
import os, shutil, signal, sys
import numpy as np
import tensorflow as tf
from estimator_warmstart.checkpoint import bundle_writer, copies, index_file
from estimator_warmstart.convert import placing
from estimator_warmstart.convert import destination as staging
from estimator_warmstart.convert.convert import convert_checkpoint
source, folder, replaces, every = sys.argv[1], sys.argv[2], sys.argv[3] == "True", int(sys.argv[5])
destination = os.path.join(folder, "model.ckpt")
files = [staging.__file__, placing.__file__, index_file.__file__]
files += [] if replaces else [bundle_writer.__file__, copies.__file__]

def convert(kill_at, overwrite):
    # In a process of its own, the threads of whose session end with it.
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    seen = set()
    def trace(frame, event, argument):
        code = frame.f_code
        if code.co_filename not in files:
            return None
        seen.add((code, frame.f_lineno))
        if len(seen) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)
    try:
        convert_checkpoint(source, destination, overwrite=overwrite)
    finally:
        sys.settrace(None)
        with open(folder + ".lines", "w") as file:
            file.write(str(len(seen)))
        os._exit(0 if sys.exc_info()[0] is None else 1)

def is_new():
    reader = tf.train.load_checkpoint(destination)
    names = reader.get_variable_to_shape_map()
    values = {name: reader.get_tensor(name) for name in names}  # Raises for half a checkpoint.
    return "vars/a/.ATTRIBUTES/VARIABLE_VALUE" in values

def make_ready():
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    for name in os.listdir(sys.argv[4]) if replaces else ():
        with open(os.path.join(sys.argv[4], name), "rb") as old, open(os.path.join(folder, name), "wb") as new:
            new.write(old.read())

whole = {False: 0, True: 0}
unfinished = 0
make_ready()
assert convert(0, replaces) == 0 and is_new()
with open(folder + ".lines") as file:
    lines = int(file.read())
for kill_at in sorted({*range(1, lines, every), *range(lines - 4, lines + 1)}):
    make_ready()
    status = convert(kill_at, replaces)
    assert status == signal.SIGKILL, status
    if os.path.exists(destination + ".index"):
        whole[is_new()] += 1
    unfinished += any(".converting-" in name for name in os.listdir(folder))
    assert convert(0, True) == 0 and is_new()
print(lines, unfinished, whole[False], whole[True])
"""


EVERY = pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.slow)], ids=["some moments", "each moment"])


class TestKilled:
    @EVERY
    @pytest.mark.parametrize("replaces", [False, True], ids=["new", "in place of another"])
    def test_at_any_moment(self, old, tmp_path, replaces, every):
        (tmp_path / "new").mkdir()
        (tmp_path / "there").mkdir()
        save_checkpoint(tmp_path / "there", {"x": np.float32(1)})
        (tmp_path / "there" / "checkpoint").unlink()
        done = run_python(KILL, old, tmp_path / "new", replaces, tmp_path / "there", every)
        assert done.returncode == 0, done.stderr
        lines, unfinished, whole_old, whole_new = map(int, done.stdout.split())
        print(lines, unfinished, whole_old, whole_new)
        assert lines > (100 if replaces else 60) and unfinished * every > 15
        # Before the index is renamed it is the old one, or none; after, the new one.
        assert (whole_old * every > 15) == replaces and 0 < whole_new < lines / 2


# What is at the destination is printed after each kill.
KILL_OPERATIONS = """
import os, shutil, sys
import tensorflow as tf
from estimator_warmstart.convert.convert import convert_checkpoint
from estimator_warmstart.convert.merge import merge_checkpoints
from killed_processes import kill_before_each
source, folder, there, every, what = *sys.argv[1:4], int(sys.argv[4]), sys.argv[5]
destination = os.path.join(folder, "model.ckpt")

def write():
    if what == "convert":
        convert_checkpoint(source, destination, overwrite=True)
    else:
        merge_checkpoints(source.split(","), destination, overwrite=True)

def make_ready():
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(there, folder)

for _ in kill_before_each(write, make_ready, every):
    reader = tf.train.load_checkpoint(destination)
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}  # Raises for half a checkpoint.
    print("old" if "x0" in values else "new")
print(*sorted(os.listdir(folder)))
"""


class TestKilledBeforeAFileOperation:
    @EVERY
    @pytest.mark.parametrize(
        "shards, what",
        [
            pytest.param(1, "convert", id="convert"),
            pytest.param(2, "convert", id="convert, two data files"),
            pytest.param(2, "merge", id="merge, two data files"),
        ],
    )
    def test_the_old_one_is_whole_or_the_new_one(self, old, tmp_path, shards, what, every):
        source = old
        if what == "merge":
            (tmp_path / "other").mkdir()
            source = f"{old},{save_checkpoint(tmp_path / 'other', VALUES)}"
        there = tmp_path / "there"
        there.mkdir()
        with tf.Graph().as_default(), tf1.Session() as session:
            parts = [str(tmp_path / f"part-{number}") for number in range(shards)]
            for number, part in enumerate(parts):
                session.run(
                    tf.raw_ops.SaveV2(
                        prefix=part, tensor_names=[f"x{number}"], shape_and_slices=[""], tensors=[tf.constant(1.0)]
                    )
                )
            session.run(
                tf.raw_ops.MergeV2Checkpoints(
                    checkpoint_prefixes=parts, destination_prefix=str(there / "model.ckpt"), delete_old_dirs=False
                )
            )
        (there / "model.ckpt.meta").write_text("of the old one")
        (there / "model.ckpt.notes").write_text("of somebody")
        done = run_python(KILL_OPERATIONS, source, tmp_path / "new", there, every, what, cwd=TESTS)
        assert done.returncode == 0, done.stderr
        *found, left = done.stdout.splitlines()
        first_new = found.index("new")
        assert first_new * every > 10 and (len(found) - first_new) * every > 10 and set(found[first_new:]) == {"new"}
        assert left == "model.ckpt.data-00000-of-00001 model.ckpt.index model.ckpt.notes"


class TestWhatIsNotOurs:
    def test_stays_where_it_is(self, old, tmp_path):
        precious = tmp_path / "precious"
        for folder in (precious, tmp_path / "new", tmp_path / "new" / "m.converting-notes"):
            folder.mkdir()
            (folder / "here").write_text("here")
        (tmp_path / "new" / "m.converting-link").symlink_to(precious)
        (tmp_path / "new" / "m.data-00000-of-00001").write_text("here")
        (tmp_path / "new" / "m.data-notes").write_text("here")
        new = convert_checkpoint(old, tmp_path / "new" / "m")
        assert (precious / "here").exists() and (tmp_path / "new" / "m.converting-notes" / "here").exists()
        assert (tmp_path / "new" / "m.data-00000-of-00001").read_text() == "here"
        assert tf.train.load_variable(new, "vars/a/.ATTRIBUTES/VARIABLE_VALUE").tolist() == [1, 2, 3]
        convert_checkpoint(old, tmp_path / "new" / "m", overwrite=True)
        assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
            "here",
            "m.converting-link",
            "m.converting-notes",
            "m.data-00000-of-00001",
            "m.data-notes",
            "m.index",
        ]
        assert tf.train.load_variable(new, "vars/a/.ATTRIBUTES/VARIABLE_VALUE").tolist() == [1, 2, 3]

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_checkpoint_that_appears_meanwhile(self, old, tmp_path, monkeypatch, overwrite):
        def write_and_save(prefix, *rest):
            write_copies(prefix, *rest)
            save_checkpoint(tmp_path / "new", {"theirs": np.float32([7])})

        monkeypatch.setattr("estimator_warmstart.convert.convert.write_copies", write_and_save)
        if overwrite:
            new = convert_checkpoint(old, tmp_path / "new" / "model.ckpt", overwrite=True)
            assert tf.train.load_variable(new, "vars/a/.ATTRIBUTES/VARIABLE_VALUE").tolist() == [1, 2, 3]
            return
        with pytest.raises(WarmStartError, match="exists already"):
            convert_checkpoint(old, tmp_path / "new" / "model.ckpt")
        assert tf.train.load_variable(str(tmp_path / "new" / "model.ckpt"), "theirs").tolist() == [7]
        assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
            "checkpoint",
            "model.ckpt.data-00000-of-00001",
            "model.ckpt.index",
        ]

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_two_at_once(self, old_dir, tmp_path, overwrite):
        sources = []
        for number in range(2):
            (old_dir / str(number)).mkdir()
            sources.append(save_checkpoint(old_dir / str(number), {"a": np.full([1000], number, np.float32)}))
        for attempt in range(20):
            destination, ended = str(tmp_path / str(attempt) / "new" / "m"), []
            barrier = threading.Barrier(2)

            def convert(source, destination=destination, ended=ended, barrier=barrier):
                barrier.wait()
                try:
                    ended.append(convert_checkpoint(source, destination, overwrite=overwrite))
                except WarmStartError as error:
                    assert "exists already" in str(error)

            threads = [threading.Thread(target=convert, args=[source]) for source in sources]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(ended) == (2 if overwrite else 1)
            values = tf.train.load_variable(destination, "vars/a/.ATTRIBUTES/VARIABLE_VALUE")
            assert values.tolist() in ([0] * 1000, [1] * 1000)
            assert sorted(os.listdir(os.path.dirname(destination))) == ["m.data-00000-of-00001", "m.index"]


class TestInterrupted:
    def test_from_the_keyboard_nothing_is_left(self, old, tmp_path):
        # What writes is below these in their files, what reads is above.
        writers = (write_copies, write_tensors, encode_table)
        first_lines = {begin.__code__.co_filename: begin.__code__.co_firstlineno for begin in writers}
        seen = set()
        stop_at, measuring = 0, sys.gettrace()  # The latter is coverage's, if it runs.

        def trace(frame, event, argument):
            code = frame.f_code
            if code.co_firstlineno < first_lines.get(code.co_filename, sys.maxsize):
                return None
            seen.add((code, frame.f_lineno))
            if len(seen) == stop_at:
                sys.settrace(measuring)
                raise KeyboardInterrupt
            return trace

        for moment in range(1, 1000):
            stop_at = moment
            seen.clear()
            sys.settrace(trace)
            try:
                convert_checkpoint(old, tmp_path / "new" / "model.ckpt")
                break
            except KeyboardInterrupt:
                assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]
            finally:
                sys.settrace(measuring)
        assert stop_at > 60
        assert len(list((tmp_path / "new").iterdir())) == 2


MEMORY = """
import resource, sys
import tensorflow as tf
from estimator_warmstart.convert.convert import convert_checkpoint
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
hasattr(tf, "estimator") and tf.estimator.Estimator
small, large, new = sys.argv[1:]
convert_checkpoint(small, new + "_small")  # What TensorFlow takes for its first session is not a matter of the tensors.
before = peak()
convert_checkpoint(large, new)
print((peak() - before) * (1 if sys.platform == "darwin" else 1024))
"""


class TestMemory:
    @pytest.mark.parametrize(
        "values", [np.zeros([15000000], np.float32), np.full([400000], b"x" * 200)], ids=["numbers", "strings"]
    )
    def test_is_less_than_the_largest_tensor(self, old_dir, tmp_path, values):
        small = save_checkpoint(tmp_path / "small", {"v": values[:1]})
        old = save_checkpoint(old_dir, {"v": values})
        # By way of a small process: Linux takes the peak of the one it was forked from for a process' own.
        start = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', *sys.argv[1:]]))"
        done = run_python(start, MEMORY, small, old, tmp_path / "new")
        assert done.returncode == 0, done.stderr
        assert 1e6 < int(done.stdout) < values.nbytes / 2
