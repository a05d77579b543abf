"""Evaluation curves as a table, as a sentence and as a picture."""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

METRICS = ("AUC", "RMSE", "log loss")
"""The metrics, the one to judge by before the others."""

LOWER_IS_BETTER = ("RMSE", "log loss")


COLORS = ("tab:blue", "tab:red", "tab:orange")


class Point(NamedTuple):
    """An evaluation: after how many training steps, and `{metric: value}`."""

    step: int
    metrics: Dict[str, float]


Curves = Mapping[str, Sequence[Point]]
"""`{name: curve}`, all with the same steps and metrics, in the order to show them in; at most as many as `COLORS`."""


def table(curves: Curves) -> str:
    """All curves as one aligned table, a row per evaluated step, a group of columns per metric."""
    points = list(curves.values())
    metrics = [metric for metric in METRICS if metric in points[0][0].metrics]
    names = "".join(f"{name:>11}" for name in curves)
    lines = [" " * 8 + "".join(f"{metric:^{len(names)}}" for metric in metrics)]
    lines.append(f"{'step':>8}" + names * len(metrics))
    for row in zip(*points):
        values = "".join(f"{point.metrics[metric]:11.4f}" for metric in metrics for point in row)
        lines.append(f"{row[0].step:8d}" + values)
    return "\n".join(line.rstrip() for line in lines)


def steps_to_reach(curve: Sequence[Point], metric: str, goal: float) -> Optional[int]:
    """The first evaluated step at which the curve is as good as `goal`, `None` if it never is."""
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    for point in curve:
        if sign * point.metrics[metric] >= sign * goal:
            return point.step
    return None


def verdict(cold: Sequence[Point], warm: Sequence[Point], metric: str) -> str:
    """What the warm start gained, in two sentences."""
    goal = warm[0].metrics[metric]
    reached = steps_to_reach(cold, metric, goal)
    start = f"The warm model starts at {metric} {goal:.4f}, the cold one at {cold[0].metrics[metric]:.4f}."
    if reached is None:
        best = (min if metric in LOWER_IS_BETTER else max)(point.metrics[metric] for point in cold)
        return f"{start} Cold training did not get there within {cold[-1].step} steps; its best is {best:.4f}."
    every = cold[1].step - cold[0].step
    return f"{start} Cold training needs {reached} steps to get there (evaluated every {every})."


def worth_of_slots(warm: Sequence[Point], without: Sequence[Point], metric: str) -> str:
    """By how much the warm model is better than the one without slots, in a sentence."""
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    leads = [(sign * (left.metrics[metric] - right.metrics[metric]), left.step) for left, right in zip(warm[1:], without[1:])]
    (least, where_least), (most, where_most) = min(leads), max(leads)
    mean = sum(lead for lead, _ in leads) / len(leads)
    return (
        f"What slots were worth, in {metric} (above 0: better with them): {mean:+.4f} on average after step 0, "
        f"{least:+.4f} at the least (step {where_least}), {most:+.4f} at the most (step {where_most}), "
        f"{leads[-1][0]:+.4f} at the end."
    )


def write_png(path: str, title: str, metric: str, curves: Curves) -> bool:
    """Draws the curves, one of them named "warm", into a PNG file.

    Returns:
        Whether it did: `False` if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    # Figure itself and not pyplot: no display, no global state, no backend to choose.
    figure = Figure(figsize=(7.0, 4.5), dpi=120)
    axes = figure.add_subplot(1, 1, 1)
    for (name, curve), color in zip(curves.items(), COLORS):
        axes.plot(_steps(curve), [point.metrics[metric] for point in curve], "o-", color=color, label=name)
    axes.axhline(curves["warm"][0].metrics[metric], color="tab:red", linestyle=":", linewidth=1.0)
    axes.set_title(title.replace("$", r"\$"), fontsize=10)  # In a path, matplotlib would take `$` for mathematics.
    axes.set_xlabel("training steps on the new days")
    axes.set_ylabel(f"{metric} on the days after")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    return True


def _steps(curve: Sequence[Point]) -> List[int]:
    return [point.step for point in curve]
