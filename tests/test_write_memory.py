"""`write_checkpoint` and `convert_checkpoint(partitions=)` in a fresh process each: at most 64 MB above the loaded package."""

import numpy as np
import pytest

from conftest import run_python
from estimator_warmstart.checkpoint.bundle_writer import NewTensor, write_tensors

ROWS = 4_000_000  # Of 16 floats: 256 MB.

WRITE = """
import resource, sys
import numpy as np
import tensorflow as tf
from estimator_warmstart import adapters, convert_checkpoint, plan_recovery, write_checkpoint
tf1, peak = tf.compat.v1, lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
old, place, kind, rows = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
more = {"rehash_more": 2 * rows, "rehash_fewer": rows // 4, "pad": rows + 10000, "pad_mean": rows + 1000, "crop": rows * 5 // 6}
named = {
    "crop": lambda: adapters.crop_or_pad(),
    "pad": lambda: adapters.crop_or_pad("initial"),
    "take": lambda: adapters.take(np.s_[::-1]),
    "segments": lambda: adapters.remap_segments({"a": rows // 4, "b": rows // 4 * 3}, {"b": rows // 4 * 3, "a": rows // 4}),
    "rehash_more": lambda: adapters.rehash_rows(rows, 2 * rows),
    "rehash_fewer": lambda: adapters.rehash_rows(rows, rows // 4),
    "cast": lambda: adapters.cast(),
    "shrink": lambda: adapters.shrink_perturb(0.5, 0.01),
    "pad_mean": lambda: adapters.crop_or_pad("mean"),
    "remap": lambda: adapters.remap_rows(sys.argv[5], sys.argv[6]),
    "same": lambda: None,
    "parts": lambda: None,
}
if kind == "convert":
    with tf.Graph().as_default(), tf1.Session() as session:
        session.run(tf.constant(1))
    before = peak()
    convert_checkpoint(old, place, to="name", partitions={"table": 50})
else:
    with tf.Graph().as_default(), tf1.Session() as session:
        session.run(tf.constant(1))
    with tf.Graph().as_default():
        dtype = tf.float16 if kind == "cast" else tf.float32
        tf1.get_variable("table", [more.get(kind, rows), 16], dtype)
        adapter = named[kind]()
        plan = plan_recovery(old, adapters=None if adapter is None else {"table": adapter})
        before = peak()
        write_checkpoint(plan, place, partitions={"table": 50} if kind == "parts" else None)
print((peak() - before) / 1024)
"""
# By way of a small process: Linux takes the peak of the one it was forked from for a process' own.
START = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', *sys.argv[1:]]))"
KINDS = ["same", "crop", "pad", "take", "segments", "rehash_more", "rehash_fewer", "cast", "parts", "convert"]


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    rows = ROWS // 100
    windows = (np.arange(at, at + rows * 16, dtype=np.float32).reshape(rows, 16) for at in range(100))
    tensor = NewTensor("table", "float32", (ROWS, 16), None, windows)
    write_tensors(str(folder / "model.ckpt"), [tensor], lambda done, total: None)
    return folder / "model.ckpt"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_at_most_64_mb_whatever_the_table(old, tmp_path, kind):
    done = run_python(START, WRITE, old, tmp_path / "new" / "model.ckpt-0", kind, ROWS)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[0]) < 64


@pytest.mark.slow
def test_rows_that_are_remapped_take_the_vocabulary_besides(old, tmp_path):
    rows = 400_000
    small = tmp_path / "old" / "model.ckpt"
    small.parent.mkdir()
    windows = iter([np.zeros((rows // 10, 160), np.float32)] * 10)
    write_tensors(str(small), [NewTensor("table", "float32", (rows, 160), None, windows)], lambda done, total: None)
    for name, order in (("old.txt", 1), ("new.txt", -1)):
        (tmp_path / name).write_text("".join(f"t{number}\n" for number in range(rows)[::order]))
    code = WRITE.replace("[more.get(kind, rows), 16]", "[rows, 160]")
    done = run_python(
        START, code, small, tmp_path / "new" / "model.ckpt-0", "remap", rows, tmp_path / "old.txt", tmp_path / "new.txt"
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[0]) < 64 + rows * 200 / 1e6  # A hash table has up to 200 bytes for each token.
