"""Measures the process itself, and prepares the page cache. It imports only the standard library."""

from __future__ import annotations

import os
import resource
import sys
from typing import List


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
