"""Tells the user what was recovered: warnings at level WARNING, the report at INFO."""

from __future__ import annotations

import logging

from estimator_warmstart._tf import logger
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.plan.report import format_report


def log_recovered(plan: Plan, what: str) -> None:
    """Logs that `plan` was carried out, and how, which is `what`."""
    for warning in plan.warnings:
        logger.warning("%s", warning)
    if plan.recovers_nothing:
        logger.warning("No variable of the model takes an old value: it begins cold.\n%s", format_report(plan))
    elif logger.isEnabledFor(logging.INFO):  # For ten thousand variables the report takes its time.
        logger.info("%s\n%s", what, format_report(plan))
