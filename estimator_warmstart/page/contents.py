"""What a page shows, as plain data: the dictionaries of `--json`, and for each variable its strips and its values."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from estimator_warmstart.checkpoint.checkpoint import Checkpoint
from estimator_warmstart.page.histograms import Pair, histograms
from estimator_warmstart.page.packed import pack
from estimator_warmstart.page.strips import strips_of
from estimator_warmstart.plan.differences import Differences, differences_as_dict
from estimator_warmstart.plan.plan import Plan, PlannedVariable
from estimator_warmstart.plan.report import report_as_dict
from estimator_warmstart.printable import printable
from estimator_warmstart.version import VERSION


def contents_of_plans(
    plans: Sequence[Plan], with_values: bool = False, new: Optional[Checkpoint] = None, **more: Any
) -> Dict[str, Any]:
    """Returns what the page of one or several warm starts shows.

    Args:
      plans: of one new model.
      with_values: whether to read the old values, and those of `new`.
      new: a checkpoint of the new model.
      **more: is shown too.

    Raises:
      CheckpointError: listing each variable that cannot be read.
    """
    reports = []
    for plan in plans:
        report = report_as_dict(plan)
        values: Sequence[Dict[str, Any]] = [{}] * len(plan.variables)
        if with_values:
            variables = new.variables if new else {}
            pairs: List[Pair] = [(planned.old, variables.get(planned.new.name)) for planned in plan.variables]
            values = histograms(plan.checkpoints, new, pairs)
        rows = zip(report["variables"], plan.variables, values)
        report["variables"] = _packed([{**row, **_more_of(plan, planned), **value} for row, planned, value in rows])
        report["old_models"] = [checkpoint.prefix for checkpoint in plan.checkpoints]
        report["unused"] = _packed(report["unused"])
        reports.append(report)
    values_of = new.prefix if new and with_values else None
    return _printable({**_made_by("plan"), "values_of": values_of, "reports": reports, **more})


def contents_of_differences(differences: Differences, with_values: bool = False) -> Dict[str, Any]:
    """Returns what the page of a comparison of two checkpoints shows; raises as `contents_of_plans`."""
    report = differences_as_dict(differences)
    values: Sequence[Dict[str, Any]] = [{}] * len(differences.found)
    if with_values:
        pairs: List[Pair] = [(each.old, each.new) for each in differences.found]
        values = histograms([differences.old], differences.new, pairs)
    rows = [{**_flat(row), **value} for row, value in zip(report["variables"], values)]
    del report["recover_vars"]
    report["variables"] = _packed(rows)
    return _printable({**_made_by("diff"), "values_of": differences.new.prefix if with_values else None, "reports": [report]})


def _more_of(plan: Plan, planned: PlannedVariable) -> Dict[str, Any]:
    """Returns what the page shows of a variable besides its row; its old model only if there are several."""
    source = planned.old.prefix if planned.old is not None and len(plan.checkpoints) > 1 else None
    return {"strips": strips_of(planned), "source": source}


def contents_of_proof(report: Dict[str, Any]) -> Dict[str, Any]:
    """Returns what the page of a proof shows; `report` is the proof as a dict."""
    return _printable({**_made_by("proof"), "reports": [report]})


def _made_by(kind: str) -> Dict[str, Any]:
    return {"kind": kind, "estimator_warmstart": VERSION}


def _flat(row: Dict[str, Any]) -> Dict[str, Any]:
    """Returns a row of a comparison with the keys of a row of a plan."""
    old, new = row["old"] or {}, row["new"] or {}
    return {
        "new": new.get("name"),
        "new_shape": new.get("shape"),
        "dtype": (new or old)["dtype"],
        "bytes": new.get("bytes", 0),
        "action": row["kind"],
        "old": old.get("name"),
        "old_shape": old.get("shape"),
        "old_dtype": old.get("dtype"),
        "reason": "; ".join(row["slots"]),
    }


def _packed(records: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    return pack([_printable(record) for record in records])


def _printable(value: Any) -> Any:
    """Returns plain data with the control characters of its texts escaped, as all reports show them."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {key: _printable(inner) for key, inner in value.items()}
    return [_printable(inner) for inner in value] if isinstance(value, (list, tuple)) else value
