"""A job of real processes on the loopback, as a user would start it, and the means to hurt it.

A test waits for conditions with a limit and holds processes at gates; it never sleeps and hopes. Every process ends with its
cluster: each is a process group that is killed on the way out, and each ends by itself when the pipe to its standard input
breaks, so none outlives a test run that was killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

JOB = Path(__file__).resolve().with_name("job.py")
WAYS = ["hook", "scaffold", "warm_started"]
_POLL_SECS = 0.05
_TAIL_LINES = 40
# Below the ports that Linux and macOS give to outgoing connections: none of these takes a dead server's port.
_PORTS = range(12000, 32000)


def free_ports(count: int) -> List[int]:
    """Ports of the loopback on which nobody listens."""
    found: List[int] = []
    while len(found) < count:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("localhost", port))
            except OSError:
                continue
        found.append(port)
    return found


class Task:
    """One process of a job. Its log goes on over restarts."""

    def __init__(self, role: str, index: int, log: Path):
        self.role, self.index, self.log = role, index, log
        self.process: Optional[subprocess.Popen] = None
        self.may_end = False

    def __str__(self) -> str:
        return f"{self.role}-{self.index}"

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def count(self, text: str) -> int:
        return self.text().count(text)

    def events(self, kind: str) -> List[Dict[str, Any]]:
        """What the process has reported of `kind`, see `job.py`."""
        lines = [line[len("EVENT ") :] for line in self.text().splitlines() if line.startswith("EVENT ")]
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Kills the process, and whatever it has started, as `kill -9` does."""
        self.may_end = True
        if self.is_running():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.process is not None:
            self.process.stdin.close()

    def stop(self) -> None:
        """Makes the process stand still, as a machine does that waits for its disk."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def bytes_read(self) -> int:
        """Bytes that the process has asked files and sockets for so far."""
        lines = Path(f"/proc/{self.process.pid}/io").read_text().splitlines()
        return int(dict(line.split(": ") for line in lines)["rchar"])


class Cluster:
    """A job; use it in a `with` statement.

    Args:
      folder: where gates, logs and the model's directory go.
      addressed: {role: how many} of the processes that others talk to.
      config: what `job.py` is told, see there.
    """

    def __init__(self, folder: Path, addressed: Dict[str, int], **config: Any):
        self.folder, self.gates = folder, folder / "gates"
        self.model_dir = folder / "new"
        self.gates.mkdir(parents=True)
        ports = iter(free_ports(sum(addressed.values())))
        self._addresses = {role: [f"localhost:{next(ports)}" for _ in range(count)] for role, count in addressed.items()}
        self.config = dict(config, model_dir=str(self.model_dir), gates=str(self.gates))
        self.tasks: Dict[Tuple[str, int], Task] = {}

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        for task in self.tasks.values():
            task.kill()
        if kind is not None:
            print(self.tails())

    def start(self, role: str, index: int = 0, **config: Any) -> Task:
        """Starts a process, or starts it again; `config` is for this one alone."""
        task = self.tasks.setdefault((role, index), Task(role, index, self.folder / f"{role}-{index}.log"))
        assert not task.is_running(), f"{task} is running"
        task.may_end = False
        environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2", JOB=json.dumps({**self.config, **config}))
        environment.pop("TF_CONFIG", None)
        if self._addresses:
            environment["TF_CONFIG"] = json.dumps({"cluster": self._addresses, "task": {"type": role, "index": index}})
        with task.log.open("a") as log:
            task.process = subprocess.Popen(
                [sys.executable, str(JOB)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return task

    def start_all(self, *roles: str) -> List[Task]:
        """Starts every addressed process of `roles`, of all if none is named."""
        return [self.start(role, i) for role in roles or self._addresses for i in range(len(self._addresses[role]))]

    def wait_for(self, what: str, condition: Callable[[], Any], seconds: float = 90.0) -> Any:
        """The first true result of `condition`; an error if it takes too long, or if a process ends before its time."""
        deadline = time.monotonic() + seconds
        while True:
            result = condition()
            if result:
                return result
            ended = [str(task) for task in self.tasks.values() if not task.may_end and not task.is_running()]
            assert not ended, f"{', '.join(ended)} ended while the test waited for: {what}"
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s for: {what}"
            time.sleep(_POLL_SECS)

    def wait_for_event(self, task: Task, kind: str, count: int = 1, **fields: Any) -> Dict[str, Any]:
        """The `count`-th event of `kind` of a task that has these fields."""

        def found() -> List[Dict[str, Any]]:
            return [event for event in task.events(kind) if fields.items() <= event.items()][count - 1 : count]

        return self.wait_for(f"{task}: {kind} {fields or ''}, number {count}", found)[0]

    def wait_for_end(self, *tasks: Task, seconds: float = 90.0) -> List[int]:
        """The exit codes of `tasks`, once all have ended by themselves."""
        for task in tasks:
            task.may_end = True
        names = ", ".join(map(str, tasks))
        self.wait_for(f"end of {names}", lambda: not any(task.is_running() for task in tasks), seconds)
        return [task.process.returncode for task in tasks]

    def hold(self, task_name: str, step: int) -> None:
        """Lets a process take no further step once it has seen this global step."""
        draft = self.gates / f"{task_name}.draft"
        draft.write_text(str(step))
        draft.replace(self.gates / f"{task_name}.hold")

    def release(self, task_name: str) -> None:
        (self.gates / f"{task_name}.hold").unlink()

    def wait_until_held(self, task: Task, step: int) -> None:
        """Returns once the process stands still before its next step, at `step` or beyond, in its present life."""
        pid = task.process.pid
        self.wait_for(
            f"{task} held at step {step}",
            lambda: any(event["pid"] == pid and event["step"] >= step for event in task.events("held")),
        )

    def wait_until_served(self, *roles: str) -> None:
        """Returns once every addressed process of `roles` takes connections, and so has loaded all that it needs."""

        def takes_connections(address: str) -> bool:
            host, _, port = address.rpartition(":")
            with socket.socket() as client:
                return client.connect_ex((host, int(port))) == 0

        for address in (address for role in roles for address in self._addresses[role]):
            self.wait_for(f"a server at {address}", lambda address=address: takes_connections(address))

    def close(self, gate: str) -> None:
        """Makes each process that comes to the gate wait there."""
        (self.gates / f"{gate}.closed").touch()

    def open(self, gate: str) -> None:
        (self.gates / f"{gate}.closed").unlink()

    def tails(self) -> str:
        """The end of every log."""
        return "\n".join(
            f"---- {task} ----\n" + "\n".join(task.text().splitlines()[-_TAIL_LINES:]) for task in self.tasks.values()
        )
