"""The harness itself: it shows what went wrong, and leaves no process behind, however the tests end."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from cluster import Cluster

STARTS_A_SERVER = """
import pathlib, signal, sys, time
sys.path.insert(0, sys.argv[1])
# What a shell has started in the background ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from cluster import Cluster
with Cluster(pathlib.Path(sys.argv[2]), {"chief": 1, "ps": 1}, way="", steps=1) as job:
    server = job.start("ps")
    job.wait_for("the server's first word", server.text)
    print(server.process.pid, flush=True)
    time.sleep(600)
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that nobody waits for stays until its new parent does.
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_tests(tmp_path, end):
    folder = os.path.dirname(os.path.abspath(__file__))
    tests = subprocess.Popen(
        [sys.executable, "-c", STARTS_A_SERVER, folder, str(tmp_path / "job")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    server = int(tests.stdout.readline())
    assert is_alive(server)
    tests.send_signal(end)
    tests.communicate()
    deadline = time.monotonic() + 30
    while is_alive(server):
        assert time.monotonic() < deadline, "the server outlived the tests"
        time.sleep(0.05)


def test_a_process_that_ends_too_early_is_an_error_with_all_logs(tmp_path, capsys):
    with pytest.raises(AssertionError, match="chief-0 ended while the test waited for: a wonder"), Cluster(
        tmp_path / "job", {}, way="", steps=1, distribute="no such strategy"
    ) as job:
        job.start("chief")
        job.wait_for("a wonder", lambda: False)
    assert "KeyError: 'no such strategy'" in capsys.readouterr().out
