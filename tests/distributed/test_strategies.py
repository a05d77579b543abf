"""Every strategy: each copy of each variable, slots too, starts from the old values, whatever the way in."""

import numpy as np
import pytest

from cluster import WAYS, Cluster
from model_values import OLD, assert_trained_from_old, assert_untrained, save_old


def assert_copies_warm(session, count):
    """Every variable has `count` copies in the session, and each holds the old values."""
    for name, value in OLD.items():
        copies = session["copies"][f"new/{name}:0"]
        assert len(copies) == count
        for copy in copies:
            np.testing.assert_array_equal(copy, value, err_msg=name)


@pytest.mark.parametrize(
    "distribute, copies, way",
    [
        *[("OneDeviceStrategy", 1, way) for way in WAYS],
        *[("MirroredStrategy", 2, way) for way in WAYS],
        # A TPUEstimator cannot be wrapped.
        ("TPUEstimator", 1, "hook"),
        ("TPUEstimator", 1, "scaffold"),
    ],
)
def test_one_process(tmp_path, distribute, copies, way):
    old = save_old(tmp_path / "old")
    with Cluster(tmp_path / "job", {}, old=old, way=way, distribute=distribute, parts=1, steps=20, save_steps=10) as job:
        chief = job.start("chief")
        assert job.wait_for_end(chief) == [0]
        assert_copies_warm(chief.events("session")[0], copies)
        assert_untrained(job.model_dir / "model.ckpt-0")
        assert_trained_from_old(job.model_dir, 20)
        # Resumed, not recovered again.
        assert job.wait_for_end(job.start("chief", steps=30)) == [0]
        assert chief.events("session")[1]["step"] == 20
        assert_trained_from_old(job.model_dir, 30)


@pytest.mark.parametrize("way", WAYS)
def test_replicas_say_how_far_they_are(tmp_path, way):
    old = save_old(tmp_path / "old")
    options = dict(way=way, distribute="MirroredStrategy", parts=1, steps=2, gated=True, large=True)
    with Cluster(tmp_path / "job", {}, old=old, **options) as job:
        job.close("recover")
        chief = job.start("chief")
        # In each copy, the table's 48 bytes wait, with its accumulator's 48. The bias and its accumulator have 24.
        job.wait_for("a fifth of it", lambda: chief.count(f"Recovering from {old}/model.ckpt: 0.0 of 0.0 MB, 20 %"))
        job.open("recover")
        assert job.wait_for_end(chief) == [0]
        assert_copies_warm(chief.events("session")[0], 2)


@pytest.mark.parametrize("way", WAYS)
def test_many_workers_with_their_own_copies(tmp_path, way):
    old = save_old(tmp_path / "old")
    with Cluster(
        tmp_path / "job",
        {"chief": 1, "worker": 1},
        old=old,
        way=way,
        distribute="MultiWorkerMirroredStrategy",
        parts=1,
        steps=20,
        save_steps=10,
    ) as job:
        tasks = job.start_all()
        assert job.wait_for_end(*tasks) == [0, 0]
        for task in tasks:
            assert_copies_warm(task.events("session")[0], 1)
        assert_untrained(job.model_dir / "model.ckpt-0")
        assert_trained_from_old(job.model_dir, 20)
        tasks = [job.start(task.role, task.index, steps=30) for task in tasks]
        assert job.wait_for_end(*tasks) == [0, 0]
        assert [task.events("session")[1]["step"] for task in tasks] == [20, 20]
        assert_trained_from_old(job.model_dir, 30)
