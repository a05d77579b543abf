"""What has changed since a plan was saved by `plan --json`: a check for CI that a warm start still recovers what it did.

Plans are compared as the dictionaries of their reports. Where the old model's files are is not compared: CI has them elsewhere.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, cast

from estimator_warmstart.arguments import is_number
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.plan.plan import INITIALIZED, percent
from estimator_warmstart.plan.report import REPORT_VERSION

Report = Mapping[str, Any]

_AGAIN = "; save it again: estimator-warmstart plan ... --json > FILE"


def _is_share(value: object) -> bool:
    return is_number(value) and 0 <= cast(float, value) <= 1


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_list_or_none(value: object) -> bool:
    return value is None or isinstance(value, list)


# What is looked at, and what it must be.
_OF_A_REPORT = {
    "coverage": _is_share,
    "slot_coverage": _is_share,
    "variables": lambda value: isinstance(value, list),
    "checkpoints": _is_list_or_none,
}
_OF_A_VARIABLE = {
    "new": _is_text,
    "new_shape": _is_list_or_none,
    "dtype": _is_text,
    "action": _is_text,
    "old": _is_text_or_none,
    "old_share": _is_share,
    "reason": _is_text,
    "checkpoint": _is_text_or_none,
}


def reports_of_baseline(path: str, saved: object) -> List[Report]:
    """Returns the reports in what `plan --json` has printed, with or without `--baseline`.

    Raises:
      WarmStartError: if it is something else, or of another version.
    """
    reports = saved.get("plans") if isinstance(saved, Mapping) else saved
    if not isinstance(reports, list) or not all(isinstance(report, Mapping) for report in reports):
        raise WarmStartError(f"{path} is not what `plan --json` prints{_AGAIN}")
    versions = {repr(report.get("report_version")) for report in reports}
    if versions - {repr(REPORT_VERSION)}:
        raise WarmStartError(
            f"{path} is of another version of the report ({', '.join(sorted(versions))}, this one is {REPORT_VERSION}){_AGAIN}"
        )
    problems = [
        f"plan {number}: {problem}" for number, report in enumerate(reports) for problem in _problems_of(report, _OF_A_REPORT)
    ]
    for number, report in enumerate(reports if not problems else ()):
        for place, variable in enumerate(report["variables"]):
            found = _problems_of(variable, _OF_A_VARIABLE) if isinstance(variable, Mapping) else ["not a mapping"]
            problems += [f"plan {number}, variable {place}: {problem}" for problem in found]
    if problems:
        raise WarmStartError(f"{path} is damaged{_AGAIN}", problems[:20])
    return reports


def _problems_of(found: Mapping[str, Any], rules: Mapping[str, Callable[[object], bool]]) -> List[str]:
    wrong = [key for key, is_right in rules.items() if not is_right(found.get(key))]
    return [f"{key!r} is {found.get(key)!r}"[:200] for key in wrong]


def changes_since(baseline: Sequence[Report], reports: Sequence[Report]) -> List[Dict[str, Any]]:
    """Returns what differs between two lists of reports, in the order of the plans and of their new variables.

    Returns:
      For each change: `plan`, the number of the plan or `None`; `variable`, its new name or `None`; `change`, its kind;
      `before` and `now`, what differs; `text`, the same in words.

    Example:
      >>> was = {"coverage": 1.0, "slot_coverage": 0.0, "variables": [
      ...     {"new": "w", "new_shape": [2], "dtype": "float32", "action": "restored", "old": "w", "old_share": 1.0,
      ...      "reason": ""}]}
      >>> now = {**was, "coverage": 0.0, "variables": [
      ...     {**was["variables"][0], "action": "initialized", "old": None, "old_share": 0.0, "reason": "not matched"}]}
      >>> for change in changes_since([was], [now]):
      ...     print(change["text"])
      w: was restored from 'w'; is left as initialized (not matched) now
      coverage: was 100.0 %; is 0.0 % now
    """
    changes: List[Dict[str, Any]] = []
    if len(baseline) != len(reports):
        counts = (len(baseline), len(reports))
        changes.append(_change(None, "number of plans", *counts, f"{counts[0]} warm starts before, {counts[1]} now"))
    for number, (was, now) in enumerate(zip(baseline, reports)):
        where = f"warm start {number + 1}, " if len(reports) > 1 else ""
        for change in _changes_of_plan(was, now):
            changes.append({**change, "plan": number, "text": where + change["text"]})
    return changes


def _change(variable: Optional[str], kind: str, before: Any, now: Any, text: str) -> Dict[str, Any]:
    return {"plan": None, "variable": variable, "change": kind, "before": before, "now": now, "text": text}


def _changes_of_plan(was: Report, now: Report) -> List[Dict[str, Any]]:
    before = {variable["new"]: variable for variable in was["variables"]}
    after = {variable["new"]: variable for variable in now["variables"]}
    before, after = _with_models(was, before), _with_models(now, after)
    changes = [
        _change(name, "gone", before[name]["action"], None, f"{name}: is no longer in the model; was {_fate(before[name])}")
        for name in before
        if name not in after
    ]
    for name, variable in after.items():
        if name not in before:
            changes.append(_change(name, "new", None, variable["action"], f"{name}: is new in the model; is {_fate(variable)}"))
        else:
            changes += _changes_of_variable(name, before[name], variable)
    for key, label in (("coverage", "coverage"), ("slot_coverage", "coverage of the optimizer's state")):
        if now[key] < was[key]:
            text = f"{label}: was {percent(was[key])}; is {percent(now[key])} now"
            changes.append(_change(None, f"{key} lower", was[key], now[key], text))
    return changes


def _changes_of_variable(name: str, was: Report, now: Report) -> List[Dict[str, Any]]:
    """Returns the first thing that differs: what follows from it would say the same again."""
    is_taken = INITIALIZED not in (was["action"], now["action"])
    lost = "not recovered" if was["action"] != INITIALIZED else "recovered"
    looked_at = (
        (lost if not is_taken else "action", "action", f"was {_fate(was)}; is {_fate(now)} now"),
        ("source", "old", f"was {_fate(was)}; is {_fate(now)} now"),
        ("source", "old_model", f"was {_fate(was)}; is {_fate(now)} now"),
        ("shape", "new_shape", f"its shape was {was['new_shape']}; is {now['new_shape']} now"),
        ("dtype", "dtype", f"its dtype was {was['dtype']}; is {now['dtype']} now"),
        ("old share", "old_share", f"was {_old_share(was)} old; is {_old_share(now)} old now"),
        ("adapter", "reason", f"was adapted by {was['reason']}; is by {now['reason']} now"),
    )
    for kind, key, text in looked_at:
        # The reason why a variable is left as initialized may be put in other words.
        if was[key] != now[key] and (key != "reason" or is_taken):
            return [_change(name, kind, was[key], now[key], f"{name}: {text}")]
    return []


def _old_share(variable: Report) -> str:
    return percent(variable["old_share"], ".4g")


def _fate(variable: Report) -> str:
    """Returns what happens to a variable, in words."""
    if variable["action"] == INITIALIZED:
        return f"left as initialized ({variable['reason']})"
    how = f" ({variable['reason']})" if variable["reason"] else ""
    model = f" of old model {variable['old_model']}" if variable["old_model"] else ""
    return f"{variable['action']} from {variable['old']!r}{model}{how}"


def _with_models(report: Report, variables: Mapping[str, Report]) -> Dict[str, Report]:
    """Returns the variables with the number of their old model, from 1 on; 0 if there is only one.

    A number, since the same old models may be elsewhere.
    """
    models = [str(each.get("checkpoint")) for each in report.get("checkpoints") or () if isinstance(each, Mapping)]
    numbers = {model: number for number, model in enumerate(models, 1)} if len(models) > 1 else {}
    return {name: {**each, "old_model": numbers.get(str(each.get("checkpoint")), 0)} for name, each in variables.items()}
