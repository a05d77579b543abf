"""`write_checkpoint` in a process that is killed before any of its file operations: nobody resumes from half a checkpoint."""

import pytest

from conftest import run_python

KILL = """
import builtins, os, shutil, signal, sys
import numpy as np
import tensorflow as tf
from estimator_warmstart import plan_recovery, write_checkpoint
from estimator_warmstart.checkpoint.bundle_writer import NewTensor, write_tensors
from estimator_warmstart.convert import planned_values
place, replaces, every = sys.argv[1], sys.argv[2] == "True", int(sys.argv[3])
source, folder = os.path.join(place, "old", "model.ckpt"), os.path.join(place, "new")
destination = os.path.join(folder, "model.ckpt-0")
planned_values.SMALL_BYTES = 0  # In windows, and rows in another order by way of a file.

def save(prefix, value):
    os.makedirs(os.path.dirname(prefix), exist_ok=True)
    write_tensors(prefix, [NewTensor("w", "float32", (3,), None, iter([np.float32(value)]))], lambda done, total: None)

def write(kill_at):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    count = 0
    def counted(function):
        def call(*arguments, **options):
            nonlocal count
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return call
    try:
        with tf.Graph().as_default():
            tf.compat.v1.get_variable("w", [3])
            from estimator_warmstart import adapters
            plan = plan_recovery(source, adapters={"w": adapters.take(np.s_[::-1])})
            for name in ("mkdir", "link", "replace", "rename", "rmdir", "unlink", "remove", "fsync", "open", "close"):
                setattr(os, name, counted(getattr(os, name)))
            for name in ("remove", "rename", "makedirs", "rmtree", "copy"):
                setattr(tf.io.gfile, name, counted(getattr(tf.io.gfile, name)))
            builtins.open = counted(builtins.open)
            write_checkpoint(plan, destination, overwrite=True)
    finally:
        failed = sys.exc_info()[0] is not None
        with io_open(os.path.join(place, "count"), "w") as file:
            file.write(str(count))
        os._exit(1 if failed else 0)

io_open = builtins.open

def make_ready():
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    if replaces:
        save(destination, [7, 7, 7])
        with io_open(os.path.join(folder, "checkpoint"), "w") as file:
            file.write('model_checkpoint_path: "model.ckpt-0"')

def found():
    latest = tf.train.latest_checkpoint(folder)
    return "nothing" if latest is None else str(tf.train.load_variable(latest, "w").tolist())

save(source, [1, 2, 3])
make_ready()
assert write(0) == 0 and found() == "[3.0, 2.0, 1.0]", found()
with io_open(os.path.join(place, "count")) as file:
    total = int(file.read())
seen = []
for kill_at in range(1, total + 1, every):
    make_ready()
    assert write(kill_at) == signal.SIGKILL
    seen.append(found())
    assert write(0) == 0 and found() == "[3.0, 2.0, 1.0]"
print(total, *dict.fromkeys(seen), sep="|")
"""


@pytest.mark.slow
@pytest.mark.parametrize("replaces", [False, True], ids=["new", "in place of another"])
def test_killed_before_each_file_operation(tmp_path, replaces):
    done = run_python(KILL, tmp_path, replaces, 1)
    assert done.returncode == 0, done.stderr
    total, *seen = done.stdout.strip().split("|")
    assert int(total) > 15
    # The state file comes last, so that nobody resumes from half a checkpoint.
    assert seen == (["[7.0, 7.0, 7.0]", "[3.0, 2.0, 1.0]"] if replaces else ["nothing", "[3.0, 2.0, 1.0]"])
