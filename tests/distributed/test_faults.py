"""kill -9 of any process at any moment, then a restart: the job ends as a warm-started one that nobody disturbed."""

import shutil

import pytest

from cluster import Cluster
from model_values import assert_trained_from_old, assert_untrained, save_old

ROLES = {"chief": 1, "worker": 1, "ps": 2}
# The flag that tells a recovered session is on ps-0, with the global step; the table has a part on each.
EVERYTHING = [("chief", 0), ("worker", 0), ("ps", 0), ("ps", 1)]
CASES = [
    pytest.param([("chief", 0)], "hook", id="chief"),
    pytest.param([("worker", 0)], "hook", id="worker"),
    pytest.param([("ps", 0)], "hook", id="first ps"),
    pytest.param([("ps", 1)], "hook", id="second ps"),
    pytest.param(EVERYTHING, "hook", id="everything"),
    pytest.param([("chief", 0), ("ps", 0)], "scaffold", id="chief and first ps, scaffold"),
]


def start_held(job, step):
    """Starts everything; the chief and the worker stand still at `step`."""
    for name in ("chief-0", "worker-0"):
        job.hold(name, step)
    job.start_all("ps")
    job.wait_until_held(job.start("chief"), step)
    job.wait_until_held(job.start("worker"), step)


def kill_and_restart(job, victims, released_at):
    """Kills, restarts what can come back at once, and lets the job go on."""
    for victim in victims:
        job.tasks[victim].kill()
    for victim in victims:
        if victim != ("worker", 0):
            job.start(*victim)
    chief, worker = job.tasks["chief", 0], job.tasks["worker", 0]
    sessions = len(chief.events("session"))
    if any(role in ("chief", "ps") for role, _ in victims):
        # A worker that looks before the chief is there again sleeps for half a minute.
        job.hold("chief-0", released_at)
        job.wait_for("the chief's next session", lambda: len(chief.events("session")) > sessions)
    if ("worker", 0) in victims:
        job.start("worker")
    job.release("chief-0")
    job.release("worker-0")
    assert job.wait_for_end(chief, worker) == [0, 0]


def assert_warm(job, steps):
    for task in job.tasks.values():
        assert not task.events("cold")
        # Warm at each session, whatever became of the one before: the lowest old value is 1.
        assert all(event["lowest"] >= 1 for event in task.events("session"))
    assert_untrained(job.model_dir / "model.ckpt-0")
    assert_trained_from_old(job.model_dir, steps, slack=2)


@pytest.mark.parametrize("victims, way", CASES)
class TestKill:
    def test_while_values_are_recovered(self, tmp_path, victims, way):
        old = save_old(tmp_path / "old")
        with Cluster(tmp_path / "job", ROLES, old=old, way=way, steps=40, save_steps=20, gated=True) as job:
            job.close("recover")
            job.start_all("ps")
            chief = job.start("chief")
            # The bias is recovered meanwhile, the table is not.
            job.wait_for_event(chief, "at gate", gate="recover")
            if ("worker", 0) in victims:
                worker = job.start("worker")
                job.wait_for("the worker's first look", lambda: worker.count("Waiting for model to be ready"))
            for victim in victims:
                job.tasks[victim].kill()
            job.open("recover")
            for victim in victims:
                if victim != ("worker", 0):
                    job.start(*victim)
            job.wait_for_event(chief, "session")
            assert job.wait_for_end(chief, job.start("worker")) == [0, 0]
            assert_warm(job, 40)

    def test_before_the_first_later_checkpoint(self, tmp_path, victims, way):
        old = save_old(tmp_path / "old")
        with Cluster(tmp_path / "job", ROLES, old=old, way=way, steps=40, save_steps=20) as job:
            start_held(job, 3)
            kill_and_restart(job, victims, released_at=5)
            assert_warm(job, 40)

    def test_well_into_training(self, tmp_path, victims, way):
        old = save_old(tmp_path / "old")
        with Cluster(tmp_path / "job", ROLES, old=old, way=way, steps=60, save_steps=20) as job:
            start_held(job, 30)
            kill_and_restart(job, victims, released_at=35)
            assert_warm(job, 60)
            # Not from the beginning: from what was saved.
            chief = job.tasks["chief", 0]
            assert ("chief", 0) not in victims or chief.events("session")[1]["step"] >= 20


@pytest.mark.parametrize("victim", [("chief", 0), ("ps", 0), ("ps", 1)], ids=["chief", "first ps", "second ps"])
def test_an_init_op_that_passes_the_initializers_by(tmp_path, victim):
    """The chief then recovers after model.ckpt-0 was saved, and must do so again whenever it resumes from that."""
    old = save_old(tmp_path / "old")
    with Cluster(tmp_path / "job", ROLES, old=old, way="hook", steps=40, save_steps=20, init_op="own") as job:
        start_held(job, 3)
        kill_and_restart(job, [victim], released_at=5)
        assert_trained_from_old(job.model_dir, 40, slack=2)
        assert not job.tasks["worker", 0].events("cold")


def test_a_restart_after_the_old_model_is_gone(tmp_path):
    """With `model_dir` the chief resumes without the old model; a worker that still knows it must not wait for a recovery."""
    old = save_old(tmp_path / "old")
    options = {"model_dir": str(tmp_path / "job" / "new"), "max_wait_secs": 15}
    with Cluster(tmp_path / "job", ROLES, old=old, way="hook", steps=60, save_steps=20, options=options) as job:
        start_held(job, 30)
        shutil.rmtree(old)
        kill_and_restart(job, [("chief", 0), ("ps", 0)], released_at=35)
        assert_warm(job, 60)
