"""Formats a `Plan` as a text table and as JSON.

Rows that differ only in the number of a scope are folded into one (`layer{0..11}/kernel`), so a table of a deep model stays
short.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Match, NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart.plan.plan import Plan, PlannedVariable, percent
from estimator_warmstart.printable import printable
from estimator_warmstart.tensors import Shape
from estimator_warmstart.text_output import format_table

# A number without a leading zero that is not part of a fold ({0..11}).
_FOLDABLE_NUMBER = re.compile(r"(?<![\d.{])(?:0|[1-9]\d*)(?![\d.}])")
_QUOTED = re.compile(r"'[^']*'")
_NO_NAME = "-"


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

    Its keys: `checkpoint`, `format`, `is_saved_model`, `coverage`, `slot_coverage`, `bytes`, `variables`, `unused`, `notes`,
    `warnings`. Nothing is folded: each new variable has an object of its own, with the share of it that old values fill
    (`old_share`) and the share of the old variable that it keeps (`kept_share`).

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
    rows = list(rows)
    # Innermost scope first: tower{0..1}/layer{0..11}/kernel. A folded number is not folded again.
    for place in (-1, -2, -1, -3, -2, -1):
        groups: Dict[Tuple, List[Tuple[int, Row]]] = {}
        for row in rows:
            key, number = _fold_key(row, place)
            groups.setdefault(key, []).append((number, row))
        rows = [row for members in groups.values() for row in _fold_runs(members, place)]
    return rows


def _fold_key(row: Row, place: int) -> Tuple[Tuple, int]:
    """Returns what rows must share to be folded at one place of their names, and the number there; -1 if there is none."""
    names = [name for name in (row.old, row.new) if name not in ("", _NO_NAME)]
    numbers = {match.group() if match else "" for match in (_scope_number(name, place) for name in names)}
    number = numbers.pop() if len(numbers) == 1 else ""
    if not number:
        return (row,), -1
    blank = row._replace(
        old=_replace_number(row.old, place, "#"),
        new=_replace_number(row.new, place, "#"),
        what=_replace_quoted_number(row.what, place, number, "#"),
    )
    return tuple(blank), int(number)


def _scope_number(name: str, place: int) -> Optional[Match]:
    numbers = list(_FOLDABLE_NUMBER.finditer(name, 0, name.rfind("/") + 1))
    return numbers[place] if len(numbers) >= -place else None


def _replace_number(name: str, place: int, text: str) -> str:
    match = _scope_number(name, place)
    return name[: match.start()] + text + name[match.end() :] if match else name


def _replace_quoted_number(what: str, place: int, number: str, text: str) -> str:
    """Replaces the number at `place` of the names that `what` quotes, if it is `number`."""

    def put(quoted: Match) -> str:
        match = _scope_number(quoted.group(), place)
        return _replace_number(quoted.group(), place, text) if match and match.group() == number else quoted.group()

    return _QUOTED.sub(put, what)


def _fold_runs(members: List[Tuple[int, Row]], place: int) -> List[Row]:
    """Folds each run of consecutive numbers."""
    if len(members) == 1:
        return [members[0][1]]
    folded: List[Row] = []
    run: List[Tuple[int, Row]] = []
    for member in sorted(members, key=lambda member: member[0]):
        if run and member[0] != run[-1][0] + 1:
            folded.append(_fold_run(run, place))
            run = []
        run.append(member)
    return folded + [_fold_run(run, place)]


def _fold_run(run: List[Tuple[int, Row]], place: int) -> Row:
    (first, row), (last, _) = run[0], run[-1]
    if len(run) == 1:
        return row
    span = f"{{{first}..{last}}}"
    return row._replace(
        old=_replace_number(row.old, place, span),
        new=_replace_number(row.new, place, span),
        what=_replace_quoted_number(row.what, place, str(first), span),
        nbytes=sum(member.nbytes for _, member in run),
        folded=sum(member.folded for _, member in run),
    )


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
