"""Starts a process for each measurement, measures the process itself, and prepares the page cache.

It imports only the standard library.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any, Dict, List, Mapping


def peak_memory() -> int:
    """The most bytes of main memory this process has had so far.

    Linux takes the larger of a process' own peak and that of the process it was forked from, so the one that starts
    the measured processes must stay small: it imports neither TensorFlow nor numpy.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cores() -> int:
    """Processor cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def files_below(directory: str) -> List[str]:
    """Every file of the directory and the ones below it."""
    return [os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in sorted(names)]


def warm_page_cache(paths: List[str]) -> None:
    """Reads the files once, so that every measured process finds them in memory."""
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def environment() -> Dict[str, str]:
    """The environment of a measured process: without a GPU, and quiet unless the caller's says otherwise."""
    return {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, "CUDA_VISIBLE_DEVICES": "-1"}


def run_child(script: str, kind: str, directory: str, **numbers: int) -> Dict[str, Any]:
    """Runs `script --child kind` to its end and returns what it measured, which it prints last, as JSON."""
    command = [sys.executable, script, "--child", kind, "--directory", directory]
    for name, number in numbers.items():
        command += [f"--{name}", str(number)]
    ended = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


def taken_since(start: float, cpu: float) -> Dict[str, Any]:
    """What it took since `time.perf_counter()` was `start` and `time.process_time()` was `cpu`, in seconds; and peak bytes."""
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "peak": peak_memory()}


def print_ratios(titles: Mapping[str, str], runs: Mapping[str, List[Dict[str, Any]]], peer: str, above: str) -> None:
    """Prints medians, seconds also as a ratio to those of `peer`, and the peak above that of the runs called "idle"."""

    def median(kind: str, what: str) -> float:
        return statistics.median(run[what] for run in runs[kind])

    print(f"| | seconds | ratio | of it CPU | peak above {above}, MB |\n| --- | ---: | ---: | ---: | ---: |")
    for kind, title in titles.items():
        seconds = [run["seconds"] for run in runs[kind]]
        spread = f"({min(seconds):.2f} to {max(seconds):.2f})"
        ratio = median(kind, "seconds") / median(peer, "seconds")
        peak = median(kind, "peak") - median("idle", "peak")
        cells = [title, f"{median(kind, 'seconds'):.2f} {spread}", f"{ratio:.2f}", f"{median(kind, 'cpu'):.2f}"]
        print(f"| {' | '.join(cells)} | {peak / 1e6:,.0f} |")
