"""Makes medians, ratios and the printed tables from the measurements."""

from __future__ import annotations

import statistics
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import cases

Run = Dict[str, Any]

RECOVERY_HEADER = (
    "contender",
    "session to recovered, s",
    "ratio",
    "with preparation, s",
    "ratio",
    "of it CPU, s",
    "model graph, s",
    "peak MB",
    "above TensorFlow",
    "above the variables",
    "GraphDef kB",
    "values",
)
PLAN_HEADER = (
    "contender",
    "plan, s",
    "of it CPU, s",
    "building the graph, s",
    "peak MB",
    "above TensorFlow",
    "plan complete",
)


class Summary(NamedTuple):
    """One contender over all rounds.

    Attributes:
        case: its `task/name`.
        medians: measured quantity -> median over the rounds; empty if no round ended.
        lowest: measured quantity -> lowest of the rounds.
        highest: measured quantity -> highest of the rounds.
        problem: what was wrong in the first round that failed, None if all values were right in every round.
    """

    case: cases.Case
    medians: Dict[str, float]
    lowest: Dict[str, float]
    highest: Dict[str, float]
    problem: Optional[str]


def summarize(chosen: Sequence[cases.Case], runs: Sequence[Run]) -> List[Summary]:
    """One summary for each case, in their order."""
    return [_summary(case, [run for run in runs if run["case"] == case.key]) for case in chosen]


def render(summaries: Sequence[Summary], facts: Dict[str, Any], markdown: bool) -> str:
    """All tables, with the facts that they depend on."""
    parts = [_facts(facts, markdown)]
    for task in cases.TASKS:
        of_task = [summary for summary in summaries if summary.case.task == task.name]
        if not of_task:
            continue
        rows = _plan_rows(of_task, facts) if task.name == cases.PLAN else _recovery_rows(task, of_task, facts)
        parts.append(f"{'### ' if markdown else ''}{_title(task, facts)}")
        parts.append(_grid(rows, markdown))
        parts.extend(f"{each.case.name}: {each.problem}" for each in of_task if each.problem)
    return "\n\n".join(parts) + "\n"


def ratio(summary: Summary, baseline: Optional[Summary], quantity: str) -> Optional[float]:
    """The quantity's median divided by the baseline's; None where one of them has none."""
    if baseline is None or quantity not in summary.medians or quantity not in baseline.medians:
        return None
    return summary.medians[quantity] / baseline.medians[quantity]


def baseline_of(task: cases.Task, summaries: Sequence[Summary]) -> Optional[Summary]:
    """The summary that the others of the task are divided by."""
    found = [each for each in summaries if each.case.task == task.name and each.case.name == task.baseline]
    return found[0] if found else None


def _summary(case: cases.Case, runs: Sequence[Run]) -> Summary:
    ended = [run for run in runs if "error" not in run]
    numbers = {name for run in ended for name, value in run.items() if isinstance(value, (int, float))}
    values = {name: [run[name] for run in ended] for name in sorted(numbers - {"round"})}
    return Summary(
        case,
        {name: statistics.median(each) for name, each in values.items()},
        {name: min(each) for name, each in values.items()},
        {name: max(each) for name, each in values.items()},
        _first_problem(runs),
    )


def _first_problem(runs: Sequence[Run]) -> Optional[str]:
    for run in runs:
        if "error" in run:
            return f"failed: {run['error']}"
        if run["problems"]:
            return f"wrong: {'; '.join(run['problems'])}"
    return None if runs else "not run"


def _facts(facts: Dict[str, Any], markdown: bool) -> str:
    size = facts["checkpoint_bytes"]
    lines = [
        f"TensorFlow {facts['tensorflow']}, Python {facts['python']}, {facts['cores']} cores, {facts['system']}",
        f"{facts['rounds']} rounds, in turn, a fresh process each; medians (lowest to highest)",
    ]
    if size:
        lines.append(f"old table of {facts['rows']:,} rows, checkpoint of {size / 1e6:,.1f} MB")
    return "\n".join(f"* {line}" if markdown else line for line in lines)


def _title(task: cases.Task, facts: Dict[str, Any]) -> str:
    if task.name == cases.PLAN:
        return f"{task.title}: {facts['plan_variables']:,} variables"
    rows = task.new_rows(facts["rows"])
    return f"{task.title}: {facts['rows']:,} to {rows:,} rows; ratios to {task.baseline}"


def _recovery_rows(task: cases.Task, summaries: Sequence[Summary], facts: Dict[str, Any]) -> List[Sequence[str]]:
    baseline = baseline_of(task, summaries)
    rows: List[Sequence[str]] = [RECOVERY_HEADER]
    for each in summaries:
        medians = each.medians
        above = medians["peak_bytes"] - facts["idle_bytes"] if medians else None
        rows.append(
            (
                each.case.name,
                _spread(each, "session_seconds"),
                _number(ratio(each, baseline, "session_seconds"), 2),
                _spread(each, "total_seconds"),
                _number(ratio(each, baseline, "total_seconds"), 2),
                _spread(each, "cpu_seconds"),
                _number(medians.get("model_seconds"), 2),
                _number(medians.get("peak_bytes"), 0, 1e6),
                _number(above, 0, 1e6),
                _number(None if above is None else above - medians["variable_bytes"], 0, 1e6),
                _number(medians.get("graph_bytes"), 0, 1e3),
                "as expected" if each.problem is None else "NOT as expected",
            )
        )
    return rows


def _plan_rows(summaries: Sequence[Summary], facts: Dict[str, Any]) -> List[Sequence[str]]:
    rows: List[Sequence[str]] = [PLAN_HEADER]
    for each in summaries:
        peak = each.medians.get("peak_bytes")
        rows.append(
            (
                each.case.name,
                _spread(each, "total_seconds"),
                _spread(each, "cpu_seconds"),
                _number(each.medians.get("model_seconds"), 2),
                _number(peak, 0, 1e6),
                _number(None if peak is None else peak - facts["idle_bytes"], 0, 1e6),
                "as expected" if each.problem is None else "NOT as expected",
            )
        )
    return rows


def _spread(summary: Summary, quantity: str) -> str:
    if quantity not in summary.medians:
        return "-"
    low, high = summary.lowest[quantity], summary.highest[quantity]
    return f"{summary.medians[quantity]:.2f} ({low:.2f} to {high:.2f})"


def _number(value: Optional[float], digits: int, unit: float = 1.0) -> str:
    return "-" if value is None else f"{value / unit:,.{digits}f}"


def _grid(rows: Sequence[Sequence[str]], markdown: bool) -> str:
    """Aligned columns: the first to the left, numbers to the right, the last to the left."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") if markdown else cell for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    last = len(widths) - 1

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()

    ends = [":" if markdown and column not in (0, last) else "-" for column in range(len(widths))]
    rule = [end.rjust(width, "-") for end, width in zip(ends, widths)]
    return "\n".join([line(cells[0]), line(rule), *(line(row) for row in cells[1:])])
