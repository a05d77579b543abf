"""The old checkpoint changes, is damaged or answers late after the plan was made: an error that says where, or patience."""

import os
import shutil

import numpy as np
import pytest

from cluster import Cluster
from conftest import save_checkpoint
from model_values import OLD, assert_trained_from_old, assert_untrained, save_old

ROLES = {"chief": 1, "worker": 1, "ps": 2}


def data_file(old):
    return os.path.join(old, "model.ckpt.data-00000-of-00001")


def flip_a_byte(old):
    with open(data_file(old), "r+b") as file:
        # Whatever is stored there: every tensor has its checksum.
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))


def delete(old):
    shutil.rmtree(old)


def delete_the_data(old):
    os.remove(data_file(old))


def cut_the_data(old):
    os.truncate(data_file(old), 10)


def replace_by_another_shape(old):
    shutil.rmtree(old)
    os.makedirs(old)
    save_checkpoint(old, {name: np.concatenate([value, value]) for name, value in OLD.items()})


def replace_by_another_model(old):
    shutil.rmtree(old)
    os.makedirs(old)
    save_checkpoint(old, {"other/emb": OLD["emb"], "other/bias": OLD["bias"]})


@pytest.mark.parametrize(
    "damage, parts",
    [
        (flip_a_byte, 2),
        (delete, 2),
        (delete_the_data, 2),
        (cut_the_data, 2),
        (replace_by_another_shape, 2),
        (replace_by_another_model, 2),
        (flip_a_byte, 1),
        (replace_by_another_shape, 1),
    ],
)
def test_a_checkpoint_that_changes_after_the_plan(tmp_path, damage, parts):
    old = save_old(tmp_path / "old", parts)
    shutil.copytree(old, str(tmp_path / "copy"))
    with Cluster(tmp_path / "job", ROLES, old=old, way="hook", steps=20, save_steps=10) as job:
        job.close("begin-chief-0")
        job.start_all("ps")
        chief = job.start("chief")
        job.wait_for_event(chief, "at gate", gate="begin-chief-0")
        damage(old)
        job.open("begin-chief-0")
        assert job.wait_for_end(chief) == [1]
        error = chief.text()
        assert os.path.join(old, "model.ckpt").strip("/") in error[error.rindex("Traceback") :]
        assert "restore/new/" in error[error.rindex("Traceback") :]
        assert not chief.events("session") and not chief.events("first step")
        assert not list(job.model_dir.glob("model.ckpt-*"))

        shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(str(tmp_path / "copy"), old)
        chief = job.start("chief")
        job.wait_for_event(chief, "session")
        assert job.wait_for_end(chief, job.start("worker")) == [0, 0]
        assert_untrained(job.model_dir / "model.ckpt-0")
        assert_trained_from_old(job.model_dir, 20, slack=2)


def test_a_server_whose_disk_answers_late(tmp_path):
    old = save_old(tmp_path / "old")
    with Cluster(tmp_path / "job", ROLES, old=old, way="hook", steps=20, save_steps=10) as job:
        job.close("begin-chief-0")
        _, second = job.start_all("ps")
        chief = job.start("chief")
        job.wait_for_event(chief, "at gate", gate="begin-chief-0")
        second.stop()
        job.open("begin-chief-0")
        job.hold("worker-0", 0)  # It may else train before TensorFlow has saved model.ckpt-0.
        worker = job.start("worker")
        job.wait_for_event(worker, "begin")
        # Both have all they need but the second server's answer.
        assert not chief.events("session") and not worker.events("session")
        second.go_on()
        job.wait_for_event(chief, "session")
        job.release("worker-0")
        assert job.wait_for_end(chief, worker) == [0, 0]
        assert_untrained(job.model_dir / "model.ckpt-0")
        assert_trained_from_old(job.model_dir, 20, slack=2)
