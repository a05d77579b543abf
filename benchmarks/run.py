"""Compares this package with what a user would use instead, and prints medians and ratios.

    python benchmarks/run.py                       # the article's table, every task
    python benchmarks/run.py --rows 100000 --only 'same-shape/*' --rounds 3

Writes the old checkpoint once into a temporary directory, runs every contender in a fresh process, in turn, for several
rounds, and removes the directory. README.md says what is measured. This process imports only the standard library: see
`measuring.peak_memory`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, Optional, Sequence

import cases
import measuring
import table

_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child.py")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the benchmark; 0 when every contender left the right values in every round."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="warm-start-benchmark-") as directory:
        runs, facts = _measure_all(options, directory)
    summaries = table.summarize(options.cases, runs)
    print(table.render(summaries, facts, options.output_markdown), end="")
    if options.json:
        _write_json(options.json, summaries, runs, facts)
    return 1 if any(summary.problem for summary in summaries) else 0


def _options(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=_positive, default=cases.ARTICLE_ROWS, help="rows of the old table (%(default)s)")
    parser.add_argument("--rounds", type=_positive, default=6, help="runs of each contender, best an even number (%(default)s)")
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        action="append",
        default=[],
        help="cases to run, a shell pattern on task/contender; may be repeated; a task's baseline always runs with it",
    )
    parser.add_argument("--plan-variables", type=_positive, default=10000, help="variables of the planning task (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="also write every measurement and the medians to this file")
    parser.add_argument("--output-markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    options = parser.parse_args(arguments)
    try:
        options.cases = cases.select(options.only)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print("\n".join(f"{case.key}: {case.what}" for case in options.cases))
        parser.exit()
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _measure_all(options: argparse.Namespace, directory: str) -> Any:
    """Every run of every case, and the facts that the tables name."""
    _note(f"writing the old checkpoints and vocabularies to {directory}")
    written = _child("prepare", [case.key for case in options.cases], options, directory)
    if "error" in written:
        raise SystemExit(f"The old checkpoints could not be written: {written['error']}")
    sources = measuring.files_below(directory)
    idle, runs = [], []
    for number in range(options.rounds):
        idle.append(_child("idle", [], options, directory))
        if "error" in idle[-1]:
            raise SystemExit(f"TensorFlow's Estimator could not be loaded: {idle[-1]['error']}")
        for case in _order(options.cases, number):
            measuring.warm_page_cache(sources)
            command = "plan" if case.task == cases.PLAN else "recover"
            run = {"case": case.key, "round": number, **_child(command, [case.key], options, directory)}
            _note(f"round {number + 1} of {options.rounds}, {case.key}: {_outcome(run)}")
            runs.append(run)
    return runs, _facts(options, directory, sources, idle)


def _child(command: str, keys: Sequence[str], options: argparse.Namespace, directory: str) -> Dict[str, Any]:
    """Starts a fresh process and returns what it measured, or `{"error": its last words}`."""
    with tempfile.TemporaryDirectory(prefix="warm-start-result-") as results:
        result = os.path.join(results, "result.json")
        numbers = ["--rows", str(options.rows), "--plan-variables", str(options.plan_variables)]
        places = ["--directory", directory, "--result", result]
        chosen = [argument for key in keys for argument in ("--case", key)]
        ended = subprocess.run(
            [sys.executable, _CHILD, command, *chosen, *numbers, *places],
            env=measuring.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if ended.returncode == 0:
            with open(result) as file:
                return json.load(file)
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    return {"error": f"exit status {ended.returncode}, {lines[-1].strip() if lines else 'silent'}"}


def _facts(options: argparse.Namespace, directory: str, sources: List[str], idle: List[Dict[str, Any]]) -> Dict[str, Any]:
    old = os.path.join(directory, f"checkpoint-{options.rows}")
    return {
        "tensorflow": idle[0]["tensorflow"],
        "numpy": idle[0]["numpy"],
        "python": idle[0]["python"],
        "system": platform.system(),
        "cores": measuring.cores(),
        "rows": options.rows,
        "rounds": options.rounds,
        "plan_variables": options.plan_variables,
        "checkpoint_bytes": sum(os.path.getsize(path) for path in sources if path.startswith(old + os.sep)),
        "idle_bytes": statistics.median(each["peak_bytes"] for each in idle),
    }


def _order(chosen: Sequence[cases.Case], number: int) -> List[cases.Case]:
    """The order of one round: drawn for every second round, and backwards in the round after it.

    The process before may slow down the next one, above all a large one. In a rotation, each contender would follow the same
    other one in each round. Here, in an even number of rounds, each of any two contenders runs first equally often.
    """
    drawn = random.Random(number // 2).sample(list(chosen), len(chosen))
    return drawn[::-1] if number % 2 else drawn


def _outcome(run: Dict[str, Any]) -> str:
    if "error" in run:
        return f"failed: {run['error']}"
    return f"{run['total_seconds']:.2f} s{', WRONG VALUES' if run['problems'] else ''}"


def _write_json(path: str, summaries: Sequence[table.Summary], runs: Sequence[Dict[str, Any]], facts: Dict[str, Any]) -> None:
    by_case = {
        each.case.key: {
            "medians": each.medians,
            "lowest": each.lowest,
            "highest": each.highest,
            "problem": each.problem,
            "ratios": {
                name: table.ratio(each, table.baseline_of(cases.task_named(each.case.task), summaries), name)
                for name in ("session_seconds", "total_seconds", "cpu_seconds", "peak_bytes")
            },
        }
        for each in summaries
    }
    with open(path, "w") as file:
        json.dump({"facts": facts, "cases": by_case, "runs": list(runs)}, file, indent=2)
        file.write("\n")


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    # Ended by a signal, Python would leave the temporary directory with the checkpoints behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
