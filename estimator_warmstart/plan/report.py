"""Formats a `Plan` as a text table and as JSON.

Rows that differ only in the number of a scope are folded into one (`layer{0..11}/kernel`), so a table of a deep model stays
short.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from estimator_warmstart.checkpoint.checkpoint import Checkpoint
from estimator_warmstart.folding import Foldable, fold_lines
from estimator_warmstart.plan.plan import Plan, PlannedVariable, percent
from estimator_warmstart.printable import printable
from estimator_warmstart.tables import NAME, NUMBER, SENTENCE, Column, Table, fit_table
from estimator_warmstart.tensors import Shape

_NO_NAME = "-"
# What is said of an adapted slot. A terminal has no room for a second long name.
_AS_VARIABLE = re.compile(": as '[^']+'")
# Of the JSON. It changes when a key gets another name or another meaning, not when one is added.
REPORT_VERSION = 1


class Row(NamedTuple):
    """One line of the table before it is aligned. It stands for `folded` variables, `changed` of whose bytes are not old."""

    old: str
    old_shape: str
    new: str
    new_shape: str
    what: str
    nbytes: int
    folded: int = 1
    changed: int = 0
    model: str = ""  # The number of the old model, if there are several.

    @property
    def name(self) -> str:
        """The new variable's name, or the old one's if there is no new one."""
        return self.new if self.new not in ("", _NO_NAME) else self.old

    @property
    def shapes(self) -> str:
        """Both shapes; one if they are equal or there is only one."""
        return " -> ".join(dict.fromkeys(shape for shape in (self.old_shape, self.new_shape) if shape))

    @property
    def words(self) -> str:
        """What is said of the row where `name` is all that is shown of its names."""
        what = _AS_VARIABLE.sub(": as its variable", self.what)
        return f"from {self.old}: {what}" if self.old not in (_NO_NAME, self.name) else what


def format_report(plan: Plan) -> str:
    """Formats a plan as an aligned text table.

    It tells the action for each new variable, why a variable is left as initialized, the totals, and the old variables that are
    not used. Several old models are numbered, and a column has the number of the one that a value comes from.

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
    lines = [title_line(plan)]
    lines += [f"  {line}" for line in fit_table(report_tables(recovery_rows(plan))[0])]
    lines.append(totals_line(plan))
    if plan.unused:
        lines.append(f"Old variables not used: {len(plan.unused)}")
        lines += [f"  {line}" for line in fit_table(unused_table(unused_rows(plan)))[2:]]
    return "\n".join(lines + remarks(plan))


def report_as_json(plan: Plan) -> str:
    """Formats a plan as a JSON object.

    Its keys: `report_version`, `checkpoint`, `format`, `is_saved_model`, `checkpoints`, `coverage`, `slot_coverage`, `bytes`,
    `variables`, `unused`, `notes`, `warnings`. Nothing is folded: each new variable has an object of its own, with the share of
    it that old values fill (`old_share`), the share of the old variable that it keeps (`kept_share`) and the prefix of the old
    model that it comes from (`checkpoint`). The keys of a checkpoint tell of the first old model, and `checkpoints` of each.

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
        **_checkpoint_as_dict(plan.checkpoint),
        "checkpoints": [
            {**_checkpoint_as_dict(each), "recovered_bytes": sum(planned.recovered_bytes for planned in filled)}
            for each, filled in plan.filled_by
        ],
        "coverage": plan.coverage,
        "slot_coverage": plan.slot_coverage,
        "bytes": {
            "parameters": _byte_totals([planned for planned in plan.variables if planned.new.is_parameter]),
            "optimizer": _byte_totals([planned for planned in plan.variables if planned.new.is_optimizer_state]),
            "all": _byte_totals(plan.variables),
        },
        "variables": [_planned_as_dict(planned) for planned in plan.variables],
        "unused": [
            {"name": old.name, "shape": list(old.shape), "dtype": old.dtype, "checkpoint": old.prefix} for old in plan.unused
        ],
        "notes": list(plan.notes),
        "warnings": list(plan.warnings),
    }


def _checkpoint_as_dict(old: Checkpoint) -> Dict[str, Any]:
    return {"checkpoint": old.prefix, "format": old.format, "is_saved_model": old.is_saved_model}


def _planned_as_dict(planned: PlannedVariable) -> Dict[str, Any]:
    return {
        "new": planned.new.name,
        "new_shape": list(planned.new.shape) if planned.new.has_static_shape else None,
        "dtype": planned.new.dtype,
        "bytes": planned.new.nbytes,
        "action": planned.action,
        "old": planned.old.name if planned.old else None,
        "old_shape": list(planned.old.shape) if planned.old else None,
        "checkpoint": planned.old.prefix if planned.old else None,
        "recovered_bytes": planned.recovered_bytes,
        "old_share": planned.old_share,
        "kept_share": planned.kept_share,
        "slot_of": planned.new.slot_of.primary if planned.new.slot_of else None,
        "reason": planned.reason,
    }


def recovery_rows(plan: Plan, folded: bool = True) -> List[Row]:
    """Returns the rows of the new variables: first of those that take an old value, then of those that take none."""
    numbers = _numbers(plan)
    recovered = [_row_of(planned, numbers) for planned in plan.variables if planned.old is not None]
    kept = [_row_of(planned, numbers) for planned in plan.variables if planned.old is None]
    return fold(recovered, folded) + fold(kept, folded)


def unused_rows(plan: Plan, folded: bool = True) -> List[Row]:
    """Returns the rows of the old variables that no new one takes."""
    numbers = _numbers(plan)
    rows = [
        Row(old.name, shape_text(old.shape), "", "", "", old.nbytes, model=numbers.get(old.prefix, "")) for old in plan.unused
    ]
    return fold(rows, folded)


def fold(rows: Sequence[Row], folded: bool = True) -> List[Row]:
    """Folds rows that differ only in one number of a scope, which is the same in the old and the new name.

    Example:
      >>> row = Row("enc/layer0/kernel", "[4, 4]", "layer0/kernel", "[4, 4]", "restored", 64)
      >>> folded, = fold([row, row._replace(old="enc/layer1/kernel", new="layer1/kernel")])
      >>> folded.old, folded.new, folded.nbytes, folded.folded
      ('enc/layer{0..1}/kernel', 'layer{0..1}/kernel', 128, 2)
    """
    found = []
    for line in fold_lines([_foldable(row) for row in rows], folded):
        members = [rows[place] for place in line.members]
        old, new = line.names[0] or members[0].old, line.names[1] or members[0].new
        nbytes, count, changed = (sum(numbers) for numbers in zip(*((row.nbytes, row.folded, row.changed) for row in members)))
        found.append(members[0]._replace(old=old, new=new, what=line.words, nbytes=nbytes, folded=count, changed=changed))
    return found


def _foldable(row: Row) -> Foldable:
    old, new = ("" if name == _NO_NAME else name for name in (row.old, row.new))
    return Foldable((old, new), row.what, tuple(row._replace(old="", new="", what="")))


def _row_of(planned: PlannedVariable, numbers: Mapping[str, str]) -> Row:
    old = planned.old
    what = planned.action if old is not None else "as initialized"
    if planned.steps:
        what += f", {percent(planned.old_share, '.4g')} old"
        what += "" if planned.kept_share is None else f", {percent(planned.kept_share, '.4g')} of the old kept"
    if planned.reason:
        what += f": {planned.reason}"
    return Row(
        old.name if old else _NO_NAME,
        shape_text(old.shape) if old else "",
        planned.new.name,
        shape_text(planned.new.shape) if planned.new.has_static_shape else "[?]",
        what,
        planned.new.nbytes,
        changed=planned.new.nbytes - planned.recovered_bytes,
        model=numbers.get(old.prefix, "") if old else "",
    )


def shape_text(shape: Shape) -> str:
    """Returns a shape as reports show it."""
    return f"[{', '.join(str(length) for length in shape)}]"


def report_tables(rows: Sequence[Row]) -> Tuple[Table, Table]:
    """Returns the rows of new variables as the table of the report, and as one of fewer columns."""
    has_several = any(row.model for row in rows)
    of = [Column("of")] * has_several
    old, new, shape = Column("old variable", NAME), Column("new variable", NAME), Column("shape")
    ends = [Column("bytes", NUMBER), Column("what happens", SENTENCE)]
    wide, narrow = [old, shape, *of, new, shape, *ends], [new, shape, *of, *ends]
    cells: Tuple[List[List[str]], List[List[str]]] = ([], [])
    for row in rows:
        model, nbytes = [row.model] * has_several, f"{row.nbytes:,}"
        cells[0].append([row.old, row.old_shape, *model, row.new, row.new_shape, nbytes, row.what])
        cells[1].append([row.name, row.shapes, *model, nbytes, row.words])
    return Table(wide, cells[0]), Table(narrow, cells[1])


def unused_table(rows: Sequence[Row]) -> Table:
    """Returns the rows of old variables as a table without a header."""
    return Table([Column("", NAME)], [[f"{row.old} {row.old_shape}{f' of {row.model}' if row.model else ''}"] for row in rows])


def _byte_totals(decided: Sequence[PlannedVariable]) -> Dict[str, int]:
    return {
        "recovered": sum(planned.recovered_bytes for planned in decided),
        "total": sum(planned.new.nbytes for planned in decided),
    }


def _share_text(decided: Sequence[PlannedVariable], share: float, whole: str) -> str:
    """Formats a share of `whole`, also in bytes."""
    found = _byte_totals(decided)
    return f"{percent(share)} of {whole} ({found['recovered']:,} of {found['total']:,} bytes)"


def totals_line(plan: Plan) -> str:
    """Returns the line that says how much is recovered."""
    found = _byte_totals(plan.variables)
    slots = [planned for planned in plan.variables if planned.new.is_optimizer_state]
    share = _share_text(
        [planned for planned in plan.variables if planned.new.is_parameter], plan.coverage, "the model's parameters"
    )
    if slots:
        share += ", " + _share_text(slots, plan.slot_coverage, "its optimizer's state")
    count = f"{len(plan.recovered)} of {len(plan.variables)} new variables"
    return f"Recovered: {count}, {found['recovered']:,} of {found['total']:,} bytes; {share}"


def title_line(plan: Plan) -> str:
    """Returns the line that says where the old values come from; several old models are numbered, with a line for each."""
    if len(plan.checkpoints) == 1:
        return f"Warm start from {printable(plan.checkpoint.title)}"
    titles = [f"Warm start from {len(plan.checkpoints)} old models"]
    for number, (checkpoint, filled) in enumerate(plan.filled_by, 1):
        count, nbytes = len(filled), sum(planned.recovered_bytes for planned in filled)
        what = f"{count} new variable{'' if count == 1 else 's'}, {nbytes:,} bytes"
        titles.append(f"  {number}: {printable(checkpoint.title)}: {what}")
    return "\n".join(titles)


def _numbers(plan: Plan) -> Dict[str, str]:
    """Returns {prefix of an old model: its number in the report}; the only one has no number."""
    has_several = len(plan.checkpoints) > 1
    return {each.prefix: str(number) if has_several else "" for number, each in enumerate(plan.checkpoints, 1)}


def remarks(plan: Plan) -> List[str]:
    """Returns a line for each warning and each note."""
    return [f"Warning: {printable(warning)}" for warning in plan.warnings] + [f"Note: {printable(note)}" for note in plan.notes]
