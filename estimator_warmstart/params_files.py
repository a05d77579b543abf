"""A params file, JSON or YAML, as plain data.

Enters: a path. Leaves: what the file holds. A key that stands twice in one mapping is an error: both formats' readers would
take the last one without a word. This module must not know what params mean.
"""
from __future__ import annotations

import importlib
import json
import os
from typing import Any, Dict, List, Tuple

from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import FILE_ERRORS, open_file
from estimator_warmstart.locations import checked_path

_YAML_SUFFIXES = (".yaml", ".yml")


def read_params(path: Any) -> Any:
    """What the file at `path` holds: YAML if its name ends in .yaml or .yml, else JSON.

    Raises:
      WarmStartError: if it cannot be read, with the place.
    """
    path = checked_path("config", path, "a JSON or YAML file")
    try:
        with open_file(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except FILE_ERRORS as error:
        raise WarmStartError(f"{path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise WarmStartError(f"{path} is not a text file in UTF-8: {error}") from error
    is_yaml = os.path.splitext(path)[1].lower() in _YAML_SUFFIXES
    return _from_yaml(path, text) if is_yaml else _from_json(path, text)


def _from_json(path: str, text: str) -> Any:
    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise WarmStartError(f"{path}: the key {key!r} is there twice in one mapping")
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (json.JSONDecodeError, RecursionError) as error:
        raise WarmStartError(f"{path} is not JSON: {error}") from error


def _from_yaml(path: str, text: str) -> Any:
    try:
        yaml: Any = importlib.import_module("yaml")
    except ImportError as error:
        raise WarmStartError(f"{path} is YAML, which needs PyYAML: pip install pyyaml; or write the file in JSON") from error

    class Loader(yaml.SafeLoader):
        """Plain data only, each key once."""

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)  # Before `<<` merges mappings, whose keys may be overridden.
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            twice = next((key for key in keys if keys.count(key) > 1), None)
            if twice is not None:
                line = node.start_mark.line + 1
                raise WarmStartError(f"{path}: the key {twice!r} is there twice in the mapping of line {line}")
            return node

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, WarmStartError):
            raise
        raise WarmStartError(f"{path} is not YAML: {error}") from error
