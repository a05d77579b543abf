"""Reads a params file, JSON or YAML, as plain data, and writes one.

A key that occurs twice in a mapping is an error: the readers of both formats would silently take the last one.
"""

from __future__ import annotations

import importlib
import json
import math
import os
from collections import Counter
from typing import Any, Dict, List, Mapping, Tuple

from estimator_warmstart._tf import tf
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.files import FILE_ERRORS, checked_path, error_text, is_local, open_file

_YAML_SUFFIXES = (".yaml", ".yml")
_MOST_DIGITS = 400
_MOST_VALUES = 1_000_000


def read_params_with(key: str, path: str) -> Mapping[str, object]:
    """Reads params from a file; if the file holds a warm start and nothing else, returns it under `key`.

    Raises:
      WarmStartError: if the file cannot be read, or has neither the key nor a warm start.
    """
    params = read_params(path)
    if isinstance(params, list) or (isinstance(params, dict) and key not in params and "ckp_dir" in params):
        return {key: params}
    if not isinstance(params, dict):
        raise WarmStartError(f"{path} must hold a mapping, got {params!r}")
    if key not in params:
        hint = did_you_mean(key, [str(name) for name in params])
        raise WarmStartError(
            f"{path} has no key {key!r}{hint} and, unlike a warm start by itself, no ckp_dir; --key names another key"
        )
    return params


def read_params(path: str, argument: str = "config") -> object:
    """Reads the file that `argument` names as YAML if its name ends in .yaml or .yml, else as JSON.

    Raises:
      WarmStartError: if the file cannot be read; the message says where in the file the problem is.
    """
    path = checked_path(argument, path, "a JSON or YAML file")
    try:
        with open_file(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except FILE_ERRORS as error:
        raise WarmStartError(f"{path} cannot be read: {error_text(error)}") from error
    except UnicodeDecodeError as error:
        raise WarmStartError(f"{path} is not a text file in UTF-8: {error}") from error
    return _from_yaml(path, text) if _is_yaml(path) else _from_json(path, text)


def check_no_params(path: str) -> None:
    """Refuses to write where something is, or YAML without PyYAML."""
    path = checked_path("--write-params", path, "a file to be written")
    if tf.io.gfile.exists(path):
        raise WarmStartError(f"--write-params: {path} exists already; name another file")
    if _is_yaml(path):
        _import_yaml(path)


def write_params(path: str, params: Mapping[str, object]) -> None:
    """Writes params to a new file, as YAML if its name ends in .yaml or .yml, else as JSON.

    Raises:
      WarmStartError: if the file exists or cannot be written.
    """
    path = checked_path("--write-params", path, "a file to be written")
    if _is_yaml(path):
        text = str(_import_yaml(path).safe_dump(params, sort_keys=False, default_flow_style=False))
    else:
        text = json.dumps(params, indent=2) + "\n"
    try:
        with open_file(path, "xb" if is_local(path) else "wb") as file:
            file.write(text.encode("ascii"))
    except FILE_ERRORS as error:
        raise WarmStartError(f"--write-params: {path} cannot be written: {error_text(error)}") from error


def _is_yaml(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in _YAML_SUFFIXES


def _import_yaml(path: str) -> Any:
    try:
        return importlib.import_module("yaml")
    except ImportError as error:
        raise WarmStartError(f"{path} is YAML, which needs PyYAML: pip install pyyaml; or write the file in JSON") from error


def _check_number(path: str, number: str) -> None:
    # Python 3.11 can neither read nor show a number of thousands of digits.
    if len(number) > _MOST_DIGITS:
        raise WarmStartError(f"{path}: a number has {len(number):,} digits: {number[:20]}...")


def _count_values(node: object, counts: Dict[int, float]) -> float:
    """Counts the values that a YAML node stands for, with all values of each of its aliases."""
    if id(node) not in counts:
        counts[id(node)] = math.inf  # If the node contains itself.
        value = getattr(node, "value", None)
        inner = value if isinstance(value, list) else []
        pieces = [piece for each in inner for piece in (each if isinstance(each, tuple) else (each,))]
        counts[id(node)] = 1 + sum(_count_values(piece, counts) for piece in pieces)
    return counts[id(node)]


def _from_json(path: str, text: str) -> object:
    def unique(pairs: List[Tuple[str, object]]) -> Dict[str, object]:
        found: Dict[str, object] = {}
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


def _from_yaml(path: str, text: str) -> object:
    yaml = _import_yaml(path)

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined]
        """Loads plain data only, and refuses a mapping with a key twice."""

        def compose_mapping_node(self, anchor: object) -> Any:
            node = super().compose_mapping_node(anchor)  # Before `<<` merges mappings: merged keys may be overridden.
            count = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            twice = next((key for key in count if count[key] > 1), None)
            if twice is not None:
                line = node.start_mark.line + 1
                raise WarmStartError(f"{path}: the key {twice!r} is there twice in the mapping of line {line}")
            return node

        def compose_document(self) -> Any:
            node = super().compose_document()
            if _count_values(node, {}) > _MOST_VALUES:  # Before they are made: `<<` copies what it merges.
                raise WarmStartError(f"{path}: its aliases make more than {_MOST_VALUES:,} values, or lead to themselves")
            return node

        def construct_yaml_int(self, node: object) -> Any:
            _check_number(path, self.construct_scalar(node))
            return super().construct_yaml_int(node)

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    try:
        return yaml.load(text, Loader)
    except WarmStartError:
        raise
    except Exception as error:  # PyYAML raises errors of any type for values with a wrong tag.
        raise WarmStartError(f"{path} is not YAML: {error}") from error
