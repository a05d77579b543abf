"""Who reads how much of the old checkpoint: the servers, each its share, and nobody else."""

import numpy as np
import pytest

from cluster import Cluster
from conftest import save_checkpoint

SHAPE = (400000, 16)
NBYTES = SHAPE[0] * SHAPE[1] * 4


# In the checkpoint, in the new model: the part of the table's bytes that each of two servers reads.
@pytest.mark.parametrize(
    "old_parts, new_parts, share",
    [
        pytest.param(2, 2, 0.5, id="partitioned alike"),
        pytest.param(4, 2, 0.5, id="finer in the checkpoint"),
        pytest.param(4, 4, 0.5, id="several parts on each"),
        # RestoreV2 reads a stored slice to its end even if it is asked for a piece.
        pytest.param(1, 2, 1.0, id="whole in the checkpoint"),
        # Once on each server, not once for each of its parts.
        pytest.param(1, 4, 1.0, id="whole in the checkpoint, several parts on each"),
    ],
)
def test_bytes_that_each_server_reads(tmp_path, old_parts, new_parts, share):
    old = tmp_path / "old"
    old.mkdir()
    values = {"emb": np.ones(SHAPE, np.float32), "bias": np.float32([13, 14, 15])}
    save_checkpoint(old, values, {"emb": old_parts} if old_parts > 1 else None)
    with Cluster(
        tmp_path / "job",
        {"chief": 1, "ps": 2},
        old=str(old),
        way="hook",
        steps=5,
        parts=new_parts,
        shape=SHAPE,
        options={"with_slots": False},
    ) as job:
        job.close("begin-chief-0")
        job.hold("chief-0", 0)
        tasks = [*job.start_all("ps"), job.start("chief")]
        job.wait_for_event(tasks[-1], "at gate", gate="begin-chief-0")
        job.wait_until_served("ps")
        before = [task.bytes_read() for task in tasks]
        job.open("begin-chief-0")
        job.wait_until_held(tasks[-1], 0)
        *servers, chief = [task.bytes_read() - earlier for task, earlier in zip(tasks, before)]
        # The rest is TensorFlow's: the index, the other variables.
        assert servers == pytest.approx([share * NBYTES] * 2, abs=0.08 * NBYTES)
        assert chief < 0.08 * NBYTES
