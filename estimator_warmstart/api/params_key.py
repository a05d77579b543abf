"""Finds the warm start in params, and tells a misspelled key from params without a warm start."""

from __future__ import annotations

from typing import Mapping

from estimator_warmstart._tf import logger
from estimator_warmstart.api.params_schema import as_mapping
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.spellings import is_alike, is_misspelt


def value_at(params: object, key: object) -> object:
    """Returns the value of `key`, or `None` if the params have no such key.

    Raises:
      WarmStartError: for params of another kind, and for a misspelled key.
    """
    if not isinstance(key, str) or not key:
        raise WarmStartError(f"key must be a name, got {key!r}")
    if not isinstance(params, Mapping) and hasattr(params, key):
        value: object = getattr(params, key)
        return value
    mapping = as_mapping(params)
    if mapping is None:
        raise WarmStartError(f"params must be a mapping or an object like HParams, got {params!r}")
    if key in mapping:
        return mapping[key]
    # With a misspelled key, training would silently start cold.
    misspelt = [other for other, value in mapping.items() if is_misspelt(str(other), key) and _may_be_warm_start(value)]
    if misspelt:
        raise WarmStartError(
            f"the params have no {key!r}, but {first_few([str(other) for other in misspelt])}, which looks like one; write "
            f"{key!r}, or add {key!r}: None if nothing is to be recovered"
        )
    for other, value in mapping.items():
        if isinstance(value, Mapping) and "ckp_dir" in value:
            logger.warning("The params have no %r, so nothing is recovered; but %r has a ckp_dir: is it meant?", key, other)
    return None


def _may_be_warm_start(value: object) -> bool:
    """Returns whether `value`, or an item of it, has a key like `ckp_dir`."""
    return any(
        is_alike(name, "ckp_dir")
        for each in (value if isinstance(value, (list, tuple)) else [value])
        if isinstance(each, Mapping)
        for name in each
        if isinstance(name, str)
    )
