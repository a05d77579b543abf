"""What is measured: the tasks, and for each task its contenders.

A contender is a function, named here as `module:function`. It takes a `model.Work` and returns the hooks of the session. This
module imports only the standard library, since the process that starts the others must stay small (`measuring.peak_memory`).
"""

from __future__ import annotations

import fnmatch
from typing import Callable, List, NamedTuple, Sequence

ARTICLE_ROWS = 4809162
PLAN = "plan"


class Task(NamedTuple):
    """What every contender of the task does, and the contender that is the baseline of the ratios."""

    name: str
    title: str
    baseline: str
    new_rows: Callable[[int], int]
    uses_vocabulary: bool = False


class Case(NamedTuple):
    """One contender of one task.

    Attributes:
        task: the task's name.
        name: the contender's name.
        what: one line for the reader of the table.
        function: `module:function` in this folder, called with a `model.Work`, returns the session's hooks.
        recovers: False for a contender that leaves every value as initialized.
        old_rows: rows of the checkpoint it reads, from the old and the new table's rows.
        uses_vocabulary: True for a contender that reads the vocabulary files.
    """

    task: str
    name: str
    what: str
    function: str
    recovers: bool = True
    old_rows: Callable[[int, int], int] = lambda old, new: old
    uses_vocabulary: bool = False

    @property
    def key(self) -> str:
        """`task/name`, what `--only` is matched against."""
        return f"{self.task}/{self.name}"


def _scaled(article_rows: int) -> Callable[[int], int]:
    """Rows of a changed table: `article_rows` if the old table is the article's, in proportion if it is smaller."""
    return lambda rows: max(1, round(rows * article_rows / ARTICLE_ROWS))


TASKS = (
    Task("same-shape", "The same table", "tf.train.warm_start", lambda rows: rows),
    Task("crop", "Cropped table (4,000,000 of 4,809,162 rows)", "plain warm start", _scaled(4000000)),
    Task("grow", "Grown table (5,500,000 from 4,809,162 rows)", "cold", _scaled(5500000)),
    Task(
        "vocabulary",
        "Vocabulary reordered, a tenth gone, a tenth new",
        "warm_start + VocabInfo",
        lambda rows: rows,
        uses_vocabulary=True,
    ),
    Task("rehash", "Twice the hash buckets", "cold", lambda rows: 2 * rows),
    Task(PLAN, "Planning alone, nothing restored", "", lambda rows: rows),
)

CASES = (
    Case("same-shape", "cold", "initializers alone, nothing recovered", "peers:cold", recovers=False),
    Case(
        "same-shape",
        "Saver.restore in a hook",
        "the article's hook: restored in after_create_session",
        "peers:saver_hook",
    ),
    Case("same-shape", "tf.train.warm_start", "replaced initializers", "peers:warm_start"),
    Case("same-shape", "load_variable + assign, fed", "load_variable, then assign of a placeholder", "peers:fed_assign"),
    Case(
        "same-shape",
        "load_variable + assign, constant",
        "load_variable, then assign of the array",
        "peers:constant_assign",
    ),
    Case("same-shape", "VariableRecoverHook", "this package", "this_package:variable_recover_hook"),
    Case("crop", "cold", "initializers alone, nothing recovered", "peers:cold", recovers=False),
    Case(
        "crop",
        "plain warm start",
        "warm_start of as many bytes from a table of the same shape",
        "peers:warm_start",
        old_rows=lambda old, new: new,
    ),
    Case("crop", "numpy + constant", "load_variable, numpy, convert_to_tensor, assign", "peers:constant_assign"),
    Case("crop", "v.load", "load_variable, numpy, Variable.load", "peers:variable_load"),
    Case(
        "crop",
        "warm_start + VocabInfo",
        "the rows named by two vocabulary files",
        "peers:vocabulary_warm_start",
        uses_vocabulary=True,
    ),
    Case("crop", "ShapeAdaptingRecoverHook", "this package, crop_or_pad()", "this_package:shape_adapting_recover_hook"),
    Case("grow", "cold", "initializers alone, nothing recovered", "peers:cold", recovers=False),
    Case("grow", "numpy + constant", "load_variable, numpy, convert_to_tensor, assign", "peers:constant_assign"),
    Case("grow", "v.load", "load_variable, numpy, Variable.load", "peers:variable_load"),
    Case("grow", "sliced assign", "load_variable, v[:n].assign of a placeholder", "peers:sliced_assign"),
    Case(
        "grow",
        "warm_start + VocabInfo",
        "the rows named by two vocabulary files",
        "peers:vocabulary_warm_start",
        uses_vocabulary=True,
    ),
    Case("grow", "ShapeAdaptingRecoverHook", "this package, crop_or_pad()", "this_package:shape_adapting_recover_hook"),
    Case("vocabulary", "cold", "initializers alone, nothing recovered", "peers:cold", recovers=False),
    Case("vocabulary", "numpy + constant", "a dict of the tokens, numpy, convert_to_tensor", "peers:constant_assign"),
    Case("vocabulary", "v.load", "a dict of the tokens, numpy, Variable.load", "peers:variable_load"),
    Case("vocabulary", "warm_start + VocabInfo", "the same two vocabulary files", "peers:vocabulary_warm_start"),
    Case("vocabulary", "ShapeAdaptingRecoverHook", "this package, remap_rows()", "this_package:remapping_recover_hook"),
    Case("rehash", "cold", "initializers alone, nothing recovered", "peers:cold", recovers=False),
    Case("rehash", "ShapeAdaptingRecoverHook", "this package, rehash_rows()", "this_package:rehashing_recover_hook"),
    Case(PLAN, "names alone", "plan_recovery(ckp_dir)", "this_package:plan_by_name"),
    Case(PLAN, "a dict of all", "plan_recovery(ckp_dir, {old: new, ...})", "this_package:plan_by_dict"),
)


def task_named(name: str) -> Task:
    """The task of that name."""
    return next(task for task in TASKS if task.name == name)


def case_named(key: str) -> Case:
    """The case whose `key` this is."""
    return next(case for case in CASES if case.key == key)


def select(patterns: Sequence[str]) -> List[Case]:
    """The cases that a shell pattern names, each task's baseline included, in the order of `CASES`.

    Args:
        patterns: shell patterns on `task/name`; none at all takes every case.

    Raises:
        ValueError: a pattern names no case.
    """
    if not patterns:
        return list(CASES)
    keys = [case.key for case in CASES]
    for pattern in patterns:
        if not fnmatch.filter(keys, pattern):
            raise ValueError(f"--only {pattern!r} names no case; there are: {', '.join(keys)}")
    wanted = {key for pattern in patterns for key in fnmatch.filter(keys, pattern)}
    tasks = {key.split("/")[0] for key in wanted}
    return [
        case for case in CASES if case.key in wanted or (case.task in tasks and case.name == task_named(case.task).baseline)
    ]
