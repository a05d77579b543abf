"""A params file, JSON or YAML, as plain data.

Enters: a path. Leaves: what the file holds. A key that stands twice in one mapping is an error: both formats' readers would
take the last one without a word. This module must not know what params mean.
"""

from __future__ import annotations

import importlib
import json
import math
import os
from collections import Counter
from typing import Any, Dict, List, Tuple

from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import FILE_ERRORS, checked_path, error_text, open_file

_YAML_SUFFIXES = (".yaml", ".yml")
_MOST_DIGITS = 400
_MOST_NODES = 1_000_000


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
        raise WarmStartError(f"{path} cannot be read: {error_text(error)}") from error
    except UnicodeDecodeError as error:
        raise WarmStartError(f"{path} is not a text file in UTF-8: {error}") from error
    is_yaml = os.path.splitext(path)[1].lower() in _YAML_SUFFIXES
    return _from_yaml(path, text) if is_yaml else _from_json(path, text)


def _check_number(path: str, number: str) -> None:
    # Python 3.11 neither reads nor shows one of thousands of digits.
    if len(number) > _MOST_DIGITS:
        raise WarmStartError(f"{path}: a number has {len(number):,} digits: {number[:20]}...")


def _size_of(node: Any, sizes: Dict[int, float]) -> float:
    """How many values a YAML node stands for, each alias counted for all that it stands for."""
    if id(node) not in sizes:
        sizes[id(node)] = math.inf  # If it leads to itself.
        value = getattr(node, "value", None)
        inner = value if isinstance(value, list) else []
        pieces = [piece for each in inner for piece in (each if isinstance(each, tuple) else (each,))]
        sizes[id(node)] = 1 + sum(_size_of(piece, sizes) for piece in pieces)
    return sizes[id(node)]


def _from_json(path: str, text: str) -> Any:
    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise WarmStartError(f"{path}: the key {key!r} is there twice in one mapping")
            found[key] = value
        return found

    def short(number: str) -> int:
        _check_number(path, number)
        return int(number)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_int=short)
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
            count = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            twice = next((key for key in count if count[key] > 1), None)
            if twice is not None:
                line = node.start_mark.line + 1
                raise WarmStartError(f"{path}: the key {twice!r} is there twice in the mapping of line {line}")
            return node

        def compose_document(self) -> Any:
            node = super().compose_document()
            if _size_of(node, {}) > _MOST_NODES:  # Before it is built: `<<` copies what it merges.
                raise WarmStartError(f"{path}: its aliases make more than {_MOST_NODES:,} values of it, or lead to themselves")
            return node

        def construct_yaml_int(self, node: Any) -> Any:
            _check_number(path, self.construct_scalar(node))
            return super().construct_yaml_int(node)

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    try:
        return yaml.load(text, Loader)
    except WarmStartError:
        raise
    except Exception as error:  # PyYAML lets out what it meets in a value with a wrong tag.
        raise WarmStartError(f"{path} is not YAML: {error}") from error
