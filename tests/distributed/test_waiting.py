"""A worker that waits for its chief says so and for how long, gives up in the end, and leaves the processor alone meanwhile."""

import re
import time

from cluster import Cluster
from model_values import save_old

ROLES = {"chief": 1, "worker": 1, "ps": 2}


def wait_for_end_at_rest(job, worker):
    """Waits until the process gives up; it may have used a tenth of a processor since, TensorFlow's own threads included."""
    process = worker.process
    started, before, spent = time.monotonic(), worker.cpu_seconds(), 0.0
    worker.may_end = True

    def ended():
        nonlocal spent
        if process.poll() is None and "Traceback" not in worker.text():
            spent = worker.cpu_seconds() - before
        return process.poll() is not None

    job.wait_for("the worker to give up", ended)
    assert process.returncode == 1
    assert spent < 0.1 * (time.monotonic() - started) + 0.5
    return worker.text()[worker.text().rindex("Traceback") :]


def test_a_chief_that_never_comes(tmp_path):
    old = save_old(tmp_path / "old")
    with Cluster(tmp_path / "job", ROLES, old=old, way="hook", steps=20, options={"max_wait_secs": 10}) as job:
        job.start_all("ps")
        worker = job.start("worker")
        # TensorFlow looks every half minute.
        job.wait_for("the worker's word", lambda: worker.count("Waiting for the chief to initialize the model"))
        error = wait_for_end_at_rest(job, worker)
        assert re.search(r"waited \d\d s for the chief to initialize the model .*/old/model.ckpt, and gave up", error)
        assert not worker.events("session")


def test_a_chief_that_never_recovers(tmp_path):
    old = save_old(tmp_path / "old")
    with Cluster(tmp_path / "job", ROLES, old=old, way="hook", steps=20, options={"max_wait_secs": 6}) as job:
        job.hold("chief-0", 0)
        job.start_all("ps")
        # As somebody's older program, which does not have the hook.
        job.wait_for_event(job.start("chief", way=""), "session")
        worker = job.start("worker")
        job.wait_for("the worker's word", lambda: worker.count("Waiting for the chief to recover from"))
        error = wait_for_end_at_rest(job, worker)
        assert re.search(r"WarmStartError: waited \d+ s for the chief to recover from .*/old/model.ckpt, and gave up", error)
        assert not worker.events("session")
