"""Formats a `Plan` as a text table and as JSON.

Rows that differ only in the number of a scope are folded into one (`layer{0..11}/kernel`), so a table of a deep model stays
short.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, NamedTuple, Sequence

from estimator_warmstart.plan.folding import Foldable, fold_lines
from estimator_warmstart.plan.plan import Plan, PlannedVariable, percent
from estimator_warmstart.printable import printable
from estimator_warmstart.tensors import Shape
from estimator_warmstart.text_output import format_table

_NO_NAME = "-"
# Of the JSON. It changes when a key gets another name or another meaning, not when one is added.
REPORT_VERSION = 1


class Row(NamedTuple):
    """One line of the table before it is aligned. It stands for `folded` variables."""

    old: str
    old_shape: str
    new: str
    new_shape: str
    what: str
    nbytes: int
    folded: int = 1


def format_report(plan: Plan) -> str:
    """Formats a plan as an aligned text table.

    It tells the action for each new variable, why a variable is left as initialized, the totals, and the old variables that are
    not used.

    Args:
      plan: a `Plan`, from `plan_recovery` or a hook's attribute `plan`.

    Returns:
      Several lines of text without a newline at the end. Sizes are of one copy of each new variable.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import format_report, plan_recovery
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     w = tf1.get_variable("w", [3, 1])
      ...     session.run(tf1.global_variables_initializer())
      ...     prefix = tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
      ...     report = format_report(plan_recovery(folder))
      >>> print(report.splitlines()[-1])
      Recovered: 1 of 1 new variables, 12 of 12 bytes; 100.0 % of the model's parameters (12 of 12 bytes)
    """
    recovered = [_row_of(planned) for planned in plan.variables if planned.old is not None]
    kept = [_row_of(planned) for planned in plan.variables if planned.old is None]
    lines = [f"Warm start from {printable(plan.checkpoint.title)}"]
    lines += _table_of(fold(recovered) + fold(kept))
    lines.append(_totals_line(plan))
    if plan.unused:
        unused = fold([Row(old.name, _shape_text(old.shape), "", "", "", old.nbytes) for old in plan.unused])
        lines.append(f"Old variables not used: {len(plan.unused)}")
        lines += [f"  {printable(row.old)} {row.old_shape}" for row in unused]
    lines += [f"Warning: {printable(warning)}" for warning in plan.warnings]
    lines += [f"Note: {printable(note)}" for note in plan.notes]
    return "\n".join(lines)


def report_as_json(plan: Plan) -> str:
    """Formats a plan as a JSON object.

    Its keys: `report_version`, `checkpoint`, `format`, `is_saved_model`, `coverage`, `slot_coverage`, `bytes`, `variables`,
    `unused`, `notes`, `warnings`. Nothing is folded: each new variable has an object of its own, with the share of it that old
    values fill (`old_share`) and the share of the old variable that it keeps (`kept_share`).

    Args:
      plan: a `Plan`, from `plan_recovery` or a hook's attribute `plan`.

    Returns:
      JSON text. Sizes are in bytes of one copy of each new variable; coverages are 0 to 1.

    Example:
      >>> import json, os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import plan_recovery, report_as_json
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     w = tf1.get_variable("w", [3, 1])
      ...     session.run(tf1.global_variables_initializer())
      ...     prefix = tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
      ...     report = json.loads(report_as_json(plan_recovery(folder)))
      >>> report["coverage"], report["variables"][0]["action"]
      (1.0, 'restored')
    """
    return json.dumps(report_as_dict(plan), indent=2)


def report_as_dict(plan: Plan) -> Dict[str, Any]:
    """Returns what `report_as_json` writes, as plain dicts and lists."""
    return {
        "report_version": REPORT_VERSION,
        "checkpoint": plan.checkpoint.prefix,
        "format": plan.checkpoint.format,
        "is_saved_model": plan.checkpoint.is_saved_model,
        "coverage": plan.coverage,
        "slot_coverage": plan.slot_coverage,
        "bytes": {
            "parameters": _byte_totals([planned for planned in plan.variables if planned.new.is_parameter]),
            "optimizer": _byte_totals([planned for planned in plan.variables if planned.new.is_optimizer_state]),
            "all": _byte_totals(plan.variables),
        },
        "variables": [_planned_as_dict(planned) for planned in plan.variables],
        "unused": [{"name": old.name, "shape": list(old.shape), "dtype": old.dtype} for old in plan.unused],
        "notes": list(plan.notes),
        "warnings": list(plan.warnings),
    }


def _planned_as_dict(planned: PlannedVariable) -> Dict[str, Any]:
    return {
        "new": planned.new.name,
        "new_shape": list(planned.new.shape) if planned.new.has_static_shape else None,
        "dtype": planned.new.dtype,
        "bytes": planned.new.nbytes,
        "action": planned.action,
        "old": planned.old.name if planned.old else None,
        "old_shape": list(planned.old.shape) if planned.old else None,
        "recovered_bytes": planned.recovered_bytes,
        "old_share": planned.old_share,
        "kept_share": planned.kept_share,
        "slot_of": planned.new.slot_of.primary if planned.new.slot_of else None,
        "reason": planned.reason,
    }


def fold(rows: Sequence[Row]) -> List[Row]:
    """Folds rows that differ only in one number of a scope, which is the same in the old and the new name.

    Example:
      >>> row = Row("enc/layer0/kernel", "[4, 4]", "layer0/kernel", "[4, 4]", "restored", 64)
      >>> folded, = fold([row, row._replace(old="enc/layer1/kernel", new="layer1/kernel")])
      >>> folded.old, folded.new, folded.nbytes, folded.folded
      ('enc/layer{0..1}/kernel', 'layer{0..1}/kernel', 128, 2)
    """
    folded = []
    for line in fold_lines([_foldable(row) for row in rows]):
        members = [rows[place] for place in line.members]
        old, new = (name or _NO_NAME for name in line.names)
        nbytes, count = sum(row.nbytes for row in members), sum(row.folded for row in members)
        folded.append(members[0]._replace(old=old, new=new, what=line.words, nbytes=nbytes, folded=count))
    return folded


def _foldable(row: Row) -> Foldable:
    old, new = ("" if name == _NO_NAME else name for name in (row.old, row.new))
    return Foldable((old, new), row.what, tuple(row._replace(old="", new="", what="")))


def _row_of(planned: PlannedVariable) -> Row:
    old = planned.old
    what = planned.action if old is not None else "as initialized"
    if planned.steps:
        what += f", {percent(planned.old_share, '.4g')} old"
        what += "" if planned.kept_share is None else f", {percent(planned.kept_share, '.4g')} of the old kept"
    if planned.reason:
        what += f": {planned.reason}"
    return Row(
        old.name if old else _NO_NAME,
        _shape_text(old.shape) if old else "",
        planned.new.name,
        _shape_text(planned.new.shape) if planned.new.has_static_shape else "[?]",
        what,
        planned.new.nbytes,
    )


def _shape_text(shape: Shape) -> str:
    return f"[{', '.join(str(length) for length in shape)}]"


def _table_of(rows: Sequence[Row]) -> List[str]:
    header = ("old variable", "shape", "new variable", "shape", "bytes", "what happens")
    cells = [(row.old, row.old_shape, row.new, row.new_shape, f"{row.nbytes:,}", row.what) for row in rows]
    return [f"  {line}" for line in format_table(header, cells, right=["bytes"], ends_with_text=True)]


def _byte_totals(decided: Sequence[PlannedVariable]) -> Dict[str, int]:
    return {
        "recovered": sum(planned.recovered_bytes for planned in decided),
        "total": sum(planned.new.nbytes for planned in decided),
    }


def _share_text(decided: Sequence[PlannedVariable], share: float, whole: str) -> str:
    """Formats a share of `whole`, also in bytes."""
    found = _byte_totals(decided)
    return f"{percent(share)} of {whole} ({found['recovered']:,} of {found['total']:,} bytes)"


def _totals_line(plan: Plan) -> str:
    found = _byte_totals(plan.variables)
    slots = [planned for planned in plan.variables if planned.new.is_optimizer_state]
    share = _share_text(
        [planned for planned in plan.variables if planned.new.is_parameter], plan.coverage, "the model's parameters"
    )
    if slots:
        share += ", " + _share_text(slots, plan.slot_coverage, "its optimizer's state")
    count = f"{len(plan.recovered)} of {len(plan.variables)} new variables"
    return f"Recovered: {count}, {found['recovered']:,} of {found['total']:,} bytes; {share}"
