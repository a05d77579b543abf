"""Measures how a recovery grows with rows, with variables and with parameter servers, and prints Markdown tables.

    python benchmarks/scale.py --rounds 5
    python benchmarks/scale.py --only servers --rows 400000 --rounds 1

Every measurement is a fresh process (with servers: fresh servers on the loopback too), the checkpoint is in the page
cache, and each round runs all points once. It needs Linux, since /proc says what a server has read. This process imports only
the standard library: see `measuring.peak_memory`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from typing import Any, Dict, Iterator, List, Optional, Sequence

import measuring

_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scale_child.py")
_SERVERS_ROWS = 4000000
# A row of the table: 16 floats, and as many of its slot.
_ROW_BYTES = 2 * 16 * 4
_MB = 1e6
_WAYS = {
    "cold": "cold",
    "hook": "`VariableRecoverHook`",
    "warm_start": "`tf.compat.v1.train.warm_start`",
    "saver": "a hook with `Saver.restore`",
}


def points(options: argparse.Namespace) -> List[Dict[str, Any]]:
    """Everything that is measured."""
    empty = {"rows": 0, "variables": 0, "servers": 0, "old_parts": 1, "way": "hook"}
    rows = (100000, 1000000, 4000000, 16000000)
    found = [dict(empty, sweep="rows", rows=count, way=way) for count in rows for way in ("cold", "hook")]
    found += [dict(empty, sweep="variables", variables=count, way=way) for count in (10, 100, 1000, 10000) for way in _WAYS]
    for servers in (count for count in (1, 2, 4) if count <= options.servers):
        for old_parts in sorted({1, servers}):
            found.append(dict(empty, sweep="servers", rows=_SERVERS_ROWS, servers=servers, old_parts=old_parts))
    if options.rows:
        found = [dict(point, rows=min(point["rows"], options.rows)) for point in found]
    if options.variables:
        found = [dict(point, variables=min(point["variables"], options.variables)) for point in found]
    chosen = [point for point in found if options.only in (None, point["sweep"])]
    return [point for number, point in enumerate(chosen) if point not in chosen[:number]]


def child(task: str, point: Dict[str, Any]) -> Dict[str, Any]:
    """What a fresh process says in the end."""
    ended = subprocess.run(_command(task, point), env=_environment(), capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{task} {point} failed:\n{ended.stderr}")
    return json.loads(ended.stdout.splitlines()[-1])


def _command(task: str, point: Dict[str, Any]) -> List[str]:
    return [sys.executable, _CHILD, json.dumps(dict(point, task=task))]


def _environment() -> Dict[str, str]:
    environment = measuring.environment()
    environment.pop("TF_CONFIG", None)
    return environment


@contextlib.contextmanager
def running_servers(point: Dict[str, Any]) -> Iterator[Any]:
    """Starts the parameter servers of a point and kills them afterwards; yields them and the cluster."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(point["servers"] + 1)]
        for each in sockets:
            each.bind(("localhost", 0))
        worker, *addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    cluster = {"ps": addresses, "worker": [worker]}
    servers: List[subprocess.Popen] = []
    try:
        for index in range(point["servers"]):
            command = _command("serve", dict(point, cluster=cluster, index=index))
            servers.append(subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        for server in servers:
            if server.stdout is None or server.stdout.readline().strip() != b"ready":
                raise SystemExit("a parameter server did not start")
        yield servers, cluster
    finally:
        for server in servers:
            server.kill()
            server.communicate()


def _of_process(pid: int, file: str, key: str) -> int:
    """The number that a file below /proc has for a key."""
    with open(f"/proc/{pid}/{file}") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key))


def measure(point: Dict[str, Any]) -> Dict[str, Any]:
    """One recovery."""
    if not point["servers"]:
        return child("recover", point)
    with running_servers(point) as (servers, cluster):
        pids = [server.pid for server in servers]
        before = [(_of_process(pid, "io", "rchar"), _of_process(pid, "status", "VmRSS") * 1024) for pid in pids]
        result = child("recover", dict(point, cluster=cluster))
        after = [(_of_process(pid, "io", "rchar"), _of_process(pid, "status", "VmHWM") * 1024) for pid in pids]
    result["read_bytes"] = max(late[0] - early[0] for early, late in zip(before, after))
    result["peak_bytes"] = max(late[1] - early[1] for early, late in zip(before, after))
    return result


def measure_all(options: argparse.Namespace, directory: str) -> List[Dict[str, Any]]:
    """Every point with the medians of its rounds."""
    chosen = points(options)
    for point in chosen:
        point["checkpoint"] = os.path.join(directory, f"{point['rows']}-{point['variables']}-{point['old_parts']}")
        if not os.path.exists(point["checkpoint"]):
            child("write", point)
    runs: List[List[Dict[str, Any]]] = [[] for _ in chosen]
    for number in range(options.rounds):
        for point, results in zip(chosen, runs):
            measuring.warm_page_cache(measuring.files_below(point["checkpoint"]))
            results.append(measure(point))
            print(f"round {number + 1}: {_label(point)}: {results[-1]['seconds']:.3f} s", file=sys.stderr, flush=True)
    for point, results in zip(chosen, runs):
        for name in results[0]:
            values = [result[name] for result in results]
            point[name] = values[0] if name == "tensorflow" else statistics.median(values)
        point["slowest"] = max(result["seconds"] for result in results)
    return chosen


def _label(point: Dict[str, Any]) -> str:
    return ", ".join(f"{name} {point[name]}" for name in ("sweep", "rows", "variables", "servers", "old_parts", "way"))


def render(measured: Sequence[Dict[str, Any]]) -> str:
    """The tables, in Markdown."""
    tables = []
    for sweep, head, line in (("rows", _ROWS, _rows), ("variables", _VARIABLES, _variables), ("servers", _SERVERS, _servers)):
        chosen = [point for point in measured if point["sweep"] == sweep]
        cold = {point[sweep]: point for point in chosen if point["way"] == "cold"}
        lines = [line(point, cold.get(point[sweep])) for point in chosen if sweep == "variables" or point["way"] == "hook"]
        if lines:
            tables.append("\n".join([head, "| ---: " * (head.count("|") - 1) + "|", *lines]))
    return "\n\n".join(tables) + "\n"


_ROWS = "| rows | MB | cold, s | recovered, s | slowest round, s | MB/s | peak above the variables, MB |"
_VARIABLES = "| variables | | seconds | slowest round, s | ratio | of it CPU, s | ratio | peak above the cold session's, MB |"
_SERVERS = (
    "| parameter servers | parts in the checkpoint | MB | recovered, s | slowest round, s | MB/s, all servers "
    "| most that one server reads, MB | peak of one server above its variables, MB |"
)


def _rows(point: Dict[str, Any], cold: Dict[str, Any]) -> str:
    megabytes = point["rows"] * _ROW_BYTES / _MB
    return (
        f"| {point['rows']:,} | {megabytes:,.0f} | {cold['seconds']:.2f} | {point['seconds']:.2f} | {point['slowest']:.2f} "
        f"| {megabytes / point['seconds']:,.0f} | {point['peak_bytes'] / _MB - megabytes:,.0f} |"
    )


def _variables(point: Dict[str, Any], cold: Dict[str, Any]) -> str:
    seconds, cpu = [f"{point[what]:.2f} | {point[what] / cold[what]:.2f}" for what in ("seconds", "cpu")]
    seconds = seconds.replace(" | ", f" | {point['slowest']:.2f} | ")
    more = (point["peak_bytes"] - cold["peak_bytes"]) / _MB
    return f"| {point['variables']:,} | {_WAYS[point['way']]} | {seconds} | {cpu} | {more:,.0f} |"


def _servers(point: Dict[str, Any], cold: None) -> str:
    megabytes = point["rows"] * _ROW_BYTES / _MB
    peak = point["peak_bytes"] / _MB - megabytes / point["servers"]
    return (
        f"| {point['servers']} | {point['old_parts']} | {megabytes:,.0f} | {point['seconds']:.2f} | {point['slowest']:.2f} "
        f"| {megabytes / point['seconds']:,.0f} | {point['read_bytes'] / _MB:,.0f} | {peak:,.0f} |"
    )


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of each point (%(default)s)")
    parser.add_argument("--only", choices=("rows", "variables", "servers"), help="one sweep alone")
    parser.add_argument("--rows", type=int, help="no table longer than this")
    parser.add_argument("--variables", type=int, help="no more variables than this")
    parser.add_argument("--servers", type=int, default=4, help="no more servers than this (%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="warm-start-scale-") as directory:
        measured = measure_all(options, directory)
    print(
        f"TensorFlow {measured[0]['tensorflow']}, Python {platform.python_version()}, {measuring.cores()} cores, "
        f"{platform.system()}; medians of {options.rounds} rounds.\n\n{render(measured)}",
        end="",
    )
    return 0


if __name__ == "__main__":
    # Ended by a signal, Python would leave servers and checkpoints behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
