"""Writes what stays of a warm start next to the new model's checkpoints: `warm_start.json`, a page, a summary for TensorBoard.

If one of them cannot be written, that is logged, and training goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import Any, Dict, Optional

from estimator_warmstart._tf import logger, tensorflow_version, tf, tf1
from estimator_warmstart.checkpoint.checkpoint import Checkpoint
from estimator_warmstart.checkpoint.statistics import read_integer
from estimator_warmstart.errors import CheckpointError, WarmStartError
from estimator_warmstart.files import FILE_ERRORS, error_text, write_whole
from estimator_warmstart.page.contents import contents_of_plans
from estimator_warmstart.page.page import write_page
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.plan.report import format_report, report_as_dict
from estimator_warmstart.version import VERSION

FILE_NAME, PAGE_NAME = "warm_start.json", "warm_start.html"
# What the page says of where it comes from.
_SHOWN = ("time", "tensorflow", "source_step", "seconds")


def write_trace(plan: Plan, model_dir: str, seconds: float, html: bool = False) -> None:
    """Writes `warm_start.json`, and a report and scalars of coverage for TensorBoard, to `model_dir`.

    Args:
      plan: what was recovered.
      model_dir: the new model's directory, on any filesystem that `tf.io.gfile` writes.
      seconds: from the plan until the values were seen in the session.
      html: whether to write `warm_start.html` too, which shows the same. It shows no values: none are read again for it.
    """
    path = os.path.join(model_dir, FILE_NAME)
    try:
        tf.io.gfile.makedirs(model_dir)
        trace = trace_of(plan, seconds)
        write_whole(path, (json.dumps(trace, indent=2) + "\n").encode("ascii"))
        if html:
            path = os.path.join(model_dir, PAGE_NAME)
            write_page(path, contents_of_plans([plan], made={key: trace[key] for key in _SHOWN}))
        writer = tf1.summary.FileWriterCache.get(model_dir)  # The one that the Estimator's own summaries go to.
        writer.add_summary(summary_of(plan), 0)
        writer.flush()
    except (CheckpointError, *FILE_ERRORS) as error:
        logger.warning("The record of the warm start, %s, cannot be written: %s", path, error)


def write_record(plan: Plan, prefix: str, seconds: float) -> None:
    """Writes `warm_start.json` next to the checkpoint `prefix`, which `plan` is already carried out in.

    Raises:
      WarmStartError: if it cannot be written: a hook would then not know that nothing is to be recovered.
    """
    folder, name = os.path.split(prefix)
    try:
        record = {**trace_of(plan, seconds), "written": name}
        write_whole(os.path.join(folder, FILE_NAME), (json.dumps(record, indent=2) + "\n").encode("ascii"))
    except (tf.errors.OpError, OSError) as error:
        raise WarmStartError(f"the record of the warm start cannot be written to {folder}: {error_text(error)}") from error


def is_written(prefix: str) -> bool:
    """Whether the checkpoint `prefix` is one that `write_checkpoint` has written, as `warm_start.json` next to it says.

    A training that begins at it saves it once more, so its bytes say nothing.
    """
    folder, name = os.path.split(prefix)
    try:
        with tf.io.gfile.GFile(os.path.join(folder, FILE_NAME), "r") as file:
            record = json.loads(file.read())
        return isinstance(record, dict) and record.get("written") == name
    except (tf.errors.OpError, OSError, ValueError):
        return False


def trace_of(plan: Plan, seconds: float) -> Dict[str, Any]:
    """Returns what `warm_start.json` holds: the report as a dict, and where, when and by which versions it was made.

    What it says of a checkpoint is of the first old model; `checkpoints` has the same of each.
    """
    found = report_as_dict(plan)
    origins = [_origin_of(checkpoint) for checkpoint in plan.checkpoints]
    found["checkpoints"] = [{**said, **origin} for said, origin in zip(found["checkpoints"], origins)]
    return {
        "estimator_warmstart": VERSION,
        "tensorflow": tensorflow_version,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 3),
        **origins[0],
        "recovered_bytes": sum(planned.recovered_bytes for planned in plan.variables),
        **found,
    }


def _origin_of(checkpoint: Checkpoint) -> Dict[str, Any]:
    """Returns at which step an old model was written, and what its index file is known by again."""
    fingerprint = None  # A V1 checkpoint and a file of arrays have no index file, and are as large as their values.
    if not checkpoint.files:
        with tf.io.gfile.GFile(checkpoint.prefix + ".index", "rb") as file:
            fingerprint = hashlib.sha256(file.read()).hexdigest()
    return {"source_step": read_step(checkpoint), "index_sha256": fingerprint}


def read_step(checkpoint: Checkpoint) -> Optional[int]:
    """Returns the global step at which `checkpoint` was written; `None` if it has none."""
    step = checkpoint.variables.get(tf1.GraphKeys.GLOBAL_STEP)
    if step is None or step.shape:
        return None
    return read_integer(checkpoint, step)


def summary_of(plan: Plan) -> tf.compat.v1.Summary:
    """Returns a summary with the report as text, and scalars from 0 to 1 of how much was recovered."""
    text = tf1.SummaryMetadata(plugin_data=tf1.SummaryMetadata.PluginData(plugin_name="text"))
    # Four blanks in front of each line make it code in TensorBoard's Markdown, so that columns stay aligned.
    report = "\n".join("    " + line for line in format_report(plan).splitlines())
    return tf1.Summary(
        value=[
            tf1.Summary.Value(tag="warm_start/report", metadata=text, tensor=tf.make_tensor_proto(report)),
            tf1.Summary.Value(tag="warm_start/coverage", simple_value=plan.coverage),
            tf1.Summary.Value(tag="warm_start/slot_coverage", simple_value=plan.slot_coverage),
        ]
    )
