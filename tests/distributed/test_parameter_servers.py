"""Parameter servers, workers that come late and an evaluator: recovered once, where the variables are, before anyone looks."""

import glob
import re

import pytest
import tensorflow as tf

from cluster import Cluster
from estimator_warmstart import convert_checkpoint
from model_values import assert_trained_from_old, assert_untrained, save_old


def assert_on_the_servers(operations):
    """Every operation that recovers is on a parameter server: a restoring one on that of the variables it is named for."""
    variables = operations["variables"]
    restored = {}
    for kind, name, device in operations["recovering"]:
        if kind == "NoOp":  # Moves nothing.
            continue
        assert "/job:ps/" in device, f"{kind} {name} is on {device or 'no device of its own'}"
        if kind == "RestoreV2":
            names = re.sub(r"estimator_warmstart/restore/(.*)/from/.*", r"\1", name)
            restored.update((each, device) for each in names.split("-and-"))
    assert {name: server(device) for name, device in restored.items()} == {
        name: server(device) for name, device in variables.items() if name != "global_step"
    }
    assert {server(device) for device in restored.values()} == {"0", "1"}


def server(device):
    return re.search(r"/job:ps/.*task:(\d+)", device).group(1)


@pytest.mark.parametrize(
    "distribute, way, options",
    [
        pytest.param("", "hook", {}, id="device setter, hook"),
        pytest.param("", "warm_started", {}, id="device setter, warm_started"),
        pytest.param("ParameterServerStrategy", "hook", {}, id="strategy, hook"),
        pytest.param("ParameterServerStrategy", "scaffold", {}, id="strategy, scaffold"),
        pytest.param("", "scaffold", {"saver_format": "both"}, id="device setter, scaffold, both formats"),
    ],
)
def test_a_whole_job(tmp_path, distribute, way, options):
    old = save_old(tmp_path / "old")
    with Cluster(
        tmp_path / "job",
        {"chief": 1, "worker": 2, "ps": 2},
        old=old,
        way=way,
        distribute=distribute,
        options=options,
        steps=600,
        save_steps=500,
    ) as job:
        # Nobody trains until the evaluator has seen model.ckpt-0.
        for name in ("chief-0", "worker-0", "worker-1"):
            job.hold(name, 0)
        job.start_all("ps")
        evaluator = job.start("evaluator")
        chief = job.start("chief")
        job.wait_until_held(chief, 0)
        worker = job.start("worker", 0)
        job.wait_for("the evaluation at step 0", lambda: evaluator.count("Saving dict for global step 0"))
        job.wait_until_held(worker, 0)
        assert_untrained(job.model_dir / "model.ckpt-0")
        # The sum of all old values is 1 + 2 + ... + 15.
        assert re.search(r"Saving dict for global step 0: .*loss = -120\.0", evaluator.text())

        assert_on_the_servers(chief.events("operations")[0])

        job.hold("chief-0", 505)
        job.release("worker-0")
        job.hold("worker-0", 500)
        job.wait_until_held(chief, 505)
        late = job.start("worker", 1)
        job.wait_until_held(late, 0)
        assert late.events("session")[0]["step"] >= 505
        for name in ("chief-0", "worker-0", "worker-1"):
            job.release(name)
        assert job.wait_for_end(chief, worker, late, evaluator) == [0, 0, 0, 0]
        assert chief.count("Recovered while the variables were initialized") == 1
        for other in (worker, late):
            assert "Recovered" not in other.text()
        for process in (chief, worker, late):
            assert not process.events("cold")
        for index in glob.glob(str(job.model_dir / "model.ckpt-*.index")):
            assert_trained_from_old(index[: -len(".index")], slack=3)
            has_objects = "_CHECKPOINTABLE_OBJECT_GRAPH" in dict(tf.train.list_variables(index[: -len(".index")]))
            assert has_objects == ("saver_format" in options)


@pytest.mark.smoke
def test_a_worker_that_finds_cold_variables_waits(tmp_path):
    """An `init_op` of the user's lets workers in before the chief has recovered."""
    old = save_old(tmp_path / "old")
    with Cluster(
        tmp_path / "job", {"chief": 1, "worker": 1, "ps": 2}, old=old, way="hook", steps=20, init_op="own", gated=True
    ) as job:
        job.close("recover")
        job.start_all("ps")
        chief = job.start("chief")
        job.wait_for_event(chief, "at gate", gate="recover")
        worker = job.start("worker")
        job.wait_for("the worker's word", lambda: worker.count("Waiting for the chief to recover"))
        job.open("recover")
        assert job.wait_for_end(chief, worker) == [0, 0]
        assert not worker.events("cold")
        assert_trained_from_old(job.model_dir, 20, slack=2)


@pytest.mark.parametrize("init_op", ["", "own"])
def test_the_chief_says_how_far_it_is(tmp_path, init_op):
    old = save_old(tmp_path / "old")
    options = dict(way="hook", steps=4, init_op=init_op, gated=True, large=True)
    with Cluster(tmp_path / "job", {"chief": 1, "worker": 1, "ps": 2}, old=old, **options) as job:
        job.close("recover")
        job.start_all("ps")
        chief, worker = job.start("chief"), job.start("worker")
        # The table's 48 bytes wait, with its accumulator's 48. The bias and its accumulator have 24.
        job.wait_for("a fifth of it", lambda: chief.count(f"Recovering from {old}/model.ckpt: 0.0 of 0.0 MB, 20 %"))
        job.open("recover")
        assert job.wait_for_end(chief, worker) == [0, 0]
        assert not worker.count("Recovering from") and not worker.events("cold")
        told = chief.text()
        assert told.rindex("Recovering from") < told.index("Recovered ")
        assert_trained_from_old(job.model_dir, 4, slack=2)


@pytest.mark.parametrize("to", ["npz", "safetensors"])
def test_servers_read_a_file_of_arrays_themselves(tmp_path, to):
    old = convert_checkpoint(save_old(tmp_path / "old"), tmp_path / f"old.{to}", to=to)
    with Cluster(tmp_path / "job", {"chief": 1, "ps": 2}, old=old, way="hook", steps=2) as job:
        job.start_all("ps")
        chief = job.start("chief")
        assert job.wait_for_end(chief) == [0]
        recovering = chief.events("operations")[0]["recovering"]
        assert all("/job:ps/" in device for kind, _, device in recovering if kind != "NoOp")
        assert {server(device) for kind, _, device in recovering if kind == "ImmutableConst"} == {"0", "1"}
        assert_trained_from_old(job.model_dir, 2, slack=1)
