"""Whose session initializes the variables, as TF_CONFIG has it; the same with an Estimator's RunConfig and without one."""

import json

import pytest

from estimator_warmstart._tf import session_has_own_variables
from estimator_warmstart._tf_estimator import own_device

JOBS = {"chief": ["localhost:1"], "worker": ["localhost:2", "localhost:3"], "ps": ["localhost:4"]}


def task(kind, index):
    return json.dumps({"cluster": JOBS, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    "config, has_own",
    [
        ("", True),
        ("{}", True),
        (task("chief", 0), True),
        (task("worker", 0), False),
        (task("worker", 1), False),
        (task("evaluator", 0), False),
    ],
    ids=["nothing", "empty", "chief", "worker 0", "worker 1", "evaluator"],
)
def test_who_initializes(monkeypatch, config, has_own):
    monkeypatch.setenv("TF_CONFIG", config)
    assert session_has_own_variables() is has_own


def test_the_device_of_a_process(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", task("worker", 1))
    assert own_device() == "/job:worker/task:1/device:CPU:0"
