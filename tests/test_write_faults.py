"""`write_checkpoint` in a process that is killed before any of its file operations: nobody resumes from half a checkpoint."""

import pytest

from conftest import TESTS, run_python

KILL = """
import os, shutil, sys
import numpy as np
import tensorflow as tf
from estimator_warmstart import adapters, plan_recovery, write_checkpoint
from estimator_warmstart.checkpoint.bundle_writer import NewTensor, write_tensors
from estimator_warmstart.convert import planned_values
from killed_processes import kill_before_each, status_of
place, replaces = sys.argv[1], sys.argv[2] == "True"
source, folder = os.path.join(place, "old", "model.ckpt"), os.path.join(place, "new")
destination = os.path.join(folder, "model.ckpt-0")
planned_values.SMALL_BYTES = 0  # In windows, and rows in another order by way of a file.

def save(prefix, value):
    os.makedirs(os.path.dirname(prefix), exist_ok=True)
    write_tensors(prefix, [NewTensor("w", "float32", (3,), None, iter([np.float32(value)]))], lambda done, total: None)

def write():
    write_checkpoint(plan, destination, overwrite=True)

def make_ready():
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    if replaces:
        save(destination, [7, 7, 7])
        with open(os.path.join(folder, "checkpoint"), "w") as file:
            file.write('model_checkpoint_path: "model.ckpt-0"')

def found():
    latest = tf.train.latest_checkpoint(folder)
    return "nothing" if latest is None else str(tf.train.load_variable(latest, "w").tolist())

save(source, [1, 2, 3])
with tf.Graph().as_default():
    tf.compat.v1.get_variable("w", [3])
    plan = plan_recovery(source, adapters={"w": adapters.take(np.s_[::-1])})
seen = []
for operation in kill_before_each(write, make_ready):
    seen.append(found())
    assert status_of(write) == 0 and found() == "[3.0, 2.0, 1.0]", found()
print(operation, *dict.fromkeys(seen), sep="|")
"""


@pytest.mark.slow
@pytest.mark.parametrize("replaces", [False, True], ids=["new", "in place of another"])
def test_killed_before_each_file_operation(tmp_path, replaces):
    done = run_python(KILL, tmp_path, replaces, cwd=TESTS)
    assert done.returncode == 0, done.stderr
    operations, *seen = done.stdout.strip().split("|")
    assert int(operations) > 15
    # The state file comes last, so that nobody resumes from half a checkpoint.
    assert seen == (["[7.0, 7.0, 7.0]", "[3.0, 2.0, 1.0]"] if replaces else ["nothing", "[3.0, 2.0, 1.0]"])
