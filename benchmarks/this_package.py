"""This package's contenders. Each takes a `model.Work` and returns the hooks of the session, as the peers do."""

from __future__ import annotations

from typing import Any, Dict, List

import estimator_warmstart
import model


def variable_recover_hook(work: model.Work) -> List[Any]:
    """The hook as the article uses it, with the optimizer's slots."""
    tables = {name: work.variables[name] for name in ("fm/w", "fm/v")}
    return [estimator_warmstart.VariableRecoverHook(ckp_dir=work.checkpoint, recover_vars=tables, with_slots=True)]


def shape_adapting_recover_hook(work: model.Work) -> List[Any]:
    """Without adapters: what fits of the tables and their slots is kept, and the rest takes initial values."""
    tables = {name: work.variables[name] for name in ("fm/w", "fm/v")}
    return [estimator_warmstart.ShapeAdaptingRecoverHook(ckp_dir=work.checkpoint, recover_vars=tables)]


def remapping_recover_hook(work: model.Work) -> List[Any]:
    """The rows of the tables and their slots follow their tokens; one adapter, and so one join, for both tables."""
    tables = {name: work.variables[name] for name in ("fm/w", "fm/v")}
    remap = estimator_warmstart.adapters.remap_rows(work.old_vocabulary, work.new_vocabulary)
    return [estimator_warmstart.ShapeAdaptingRecoverHook(work.checkpoint, tables, {"fm": remap})]


def rehashing_recover_hook(work: model.Work) -> List[Any]:
    """Each id of the tables and their slots finds the row that it had, among twice the buckets."""
    tables = {name: work.variables[name] for name in ("fm/w", "fm/v")}
    rehash = estimator_warmstart.adapters.rehash_rows(work.old_rows, work.new_rows)
    return [estimator_warmstart.ShapeAdaptingRecoverHook(work.checkpoint, tables, {"fm": rehash})]


def plan_by_name(ckp_dir: str, variables: Dict[str, Any]) -> Any:
    """A plan for the variables that the checkpoint has under the same name."""
    return estimator_warmstart.plan_recovery(ckp_dir)


def plan_by_dict(ckp_dir: str, variables: Dict[str, Any]) -> Any:
    """A plan for variables that are all named one by one."""
    return estimator_warmstart.plan_recovery(ckp_dir, variables)
