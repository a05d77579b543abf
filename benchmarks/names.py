"""Many names: times the error for misspelled names in a plan, and `diff` of a renamed scope.

    python benchmarks/names.py                             # 20,000 and 10,000 variables, three rounds of each
    python benchmarks/names.py --variables 200 --renamed 100

Each run is a fresh process, in turn with the others; medians. The exit status is 1 if an error does not offer the right name
first, or `diff` another rule than the one that was applied.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from typing import Any, Callable, Dict, Tuple

import measuring

_MISSPELLED = 100


def main() -> int:
    """Measures in processes of its own and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--variables", type=int, default=20000, help="variables of the old model that is planned (%(default)s)")
    parser.add_argument("--renamed", type=int, default=10000, help="variables in the renamed scope (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (%(default)s)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_CHILDREN[options.child](options)))
        return 0
    runs: Dict[str, Any] = {kind: [] for kind in _TITLES}
    with tempfile.TemporaryDirectory(prefix="names-benchmark-") as directory:
        numbers = {"variables": options.variables, "renamed": options.renamed}
        measuring.run_child(__file__, "write", directory, **numbers)
        for number in range(options.rounds):
            for kind in runs if number % 2 else reversed(list(runs)):
                runs[kind].append(measuring.run_child(__file__, kind, directory, **numbers))
    print("| | seconds | of it CPU |\n| --- | ---: | ---: |")
    for kind, title in _TITLES.items():
        seconds = [run["seconds"] for run in runs[kind]]
        cpu = statistics.median(run["cpu"] for run in runs[kind])
        what = title.format(
            variables=options.variables, renamed=options.renamed, misspelled=min(_MISSPELLED, options.variables)
        )
        print(f"| {what} | {statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f}) | {cpu:.2f} |")
    wrong = sorted({run["wrong"] for each in runs.values() for run in each if run["wrong"]})
    print("\n" + ("\n".join(wrong) or "every name and rule as expected"))
    return 1 if wrong else 0


def _write(options: argparse.Namespace) -> Dict[str, Any]:
    import many_variables

    many_variables.write_checkpoint(os.path.join(options.directory, "model"), options.variables)
    for scope in ("enc", "encoder"):
        many_variables.write_checkpoint(os.path.join(options.directory, scope), options.renamed, scope + "/")
    return {}


def _plan(options: argparse.Namespace) -> Dict[str, Any]:
    plan, measured = _planned(options, lambda names: {name: name for name in names})
    return {**measured, "wrong": f"right names failed: {plan}" if isinstance(plan, str) else ""}


def _misspelled(options: argparse.Namespace) -> Dict[str, Any]:
    def misspell(names: Any) -> Dict[str, str]:
        return {name.replace("layer", "layr"): name for name in names}

    said, measured = _planned(options, misspell)
    offers = [line for line in str(said).splitlines() if "did you mean 'layer_" in line]
    right = [line for line in offers if f"did you mean {line.split(chr(39))[1].replace('layr', 'layer')!r}" in line]
    count = min(_MISSPELLED, options.variables)
    return {**measured, "wrong": "" if len(right) == count else f"{len(right)} of {count} right names offered first"}


def _planned(options: argparse.Namespace, spell: Callable[[Any], Dict[str, str]]) -> Tuple[Any, Dict[str, Any]]:
    """A plan, or the text of its error; and what it took."""
    import tensorflow as tf

    import many_variables
    from estimator_warmstart import WarmStartError, plan_recovery

    with tf.Graph().as_default():
        # Only as many new variables as are named: building thousands would take longer than what is measured.
        recover_vars = spell(many_variables.build(min(_MISSPELLED, options.variables)))
        start, cpu = time.perf_counter(), time.process_time()
        try:
            made: Any = plan_recovery(os.path.join(options.directory, "model"), recover_vars)
        except WarmStartError as error:
            made = str(error)
        return made, measuring.taken_since(start, cpu)


def _diff(options: argparse.Namespace) -> Dict[str, Any]:
    from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
    from estimator_warmstart.plan.differences import find_differences

    start, cpu = time.perf_counter(), time.process_time()
    old, new = (open_checkpoint(os.path.join(options.directory, scope)) for scope in ("enc", "encoder"))
    found = find_differences(old, new)
    is_right = found.rename == (("enc", "encoder"),) and len(found.of_kind("renamed")) == options.renamed
    return {**measuring.taken_since(start, cpu), "wrong": "" if is_right else f"diff offers {found.rename[:3]}"}


_TITLES = {
    "plan": "`plan_recovery`, {misspelled:,} names of {variables:,} old variables",
    "misspelled": "the same with each name misspelled: the error with close spellings",
    "diff": "`diff` of {renamed:,} variables in a renamed scope",
}
_CHILDREN = {"write": _write, "plan": _plan, "misspelled": _misspelled, "diff": _diff}

if __name__ == "__main__":
    sys.exit(main())
