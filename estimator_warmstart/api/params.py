"""Makes hooks of plain data in an Estimator's params.

Nothing in the data is evaluated. Each key is described once, below, by a kind that reads it and has its JSON Schema; the file
`params_schema.json` is what `params_schema()` returns, and `docs/params.md` explains the keys.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, cast

from estimator_warmstart.api.hooks import ShapeAdaptingRecoverHook, VariableRecoverHook
from estimator_warmstart.api.params_adapters import AN_ADAPTER
from estimator_warmstart.api.params_key import value_at
from estimator_warmstart.api.params_schema import (
    A_BOOLEAN,
    A_NAME,
    A_PATH,
    A_POSITIVE_NUMBER,
    A_SHARE,
    A_STRING,
    NULL,
    Schema,
    ValueKind,
    array,
    as_mapping,
    choice,
    either,
    mapping_of,
    record,
)
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.patterns import compile_pattern, compile_renames, is_rename_of_each

_MATCHING = ("include", "exclude", "rename", "collection")


def _read_pattern(value: object, place: str, problems: List[str]) -> object:
    compile_pattern(cast(str, value), place)
    return value


def _read_adapter_key(value: object, place: str, problems: List[str]) -> object:
    # `w`, `/w` and `w:0` are one variable; no variable's own name ends in :0.
    text = cast(str, value)
    name = (text[:-2] if text.endswith(":0") else text).strip("/")
    return _read_pattern(name, place, problems)


def _read_rename(value: object, place: str, problems: List[str]) -> object:
    pairs = cast(Dict[str, object], _RENAME_PAIRS.convert(value, place, problems))
    for old, new in pairs.items():
        try:
            compile_renames([(old, name) for name in (new if isinstance(new, list) else [new]) if isinstance(name, str)], place)
        except WarmStartError as error:
            problems.append(str(error))
    return pairs


def _is_rename_of_each(value: object) -> bool:
    """Whether the value is a list of renames, one for each old model, as `is_rename_of_each` tells that of plain mappings."""
    items = value if isinstance(value, (list, tuple)) else ()
    return is_rename_of_each([item if isinstance(item, (list, tuple)) else as_mapping(item) or item for item in items])


_A_PATTERN = ValueKind("a pattern", A_STRING.takes, A_STRING.schema, _read_pattern)
_PATTERNS = either(_A_PATTERN, array(_A_PATTERN, "a list of patterns", least=0), NULL)
_RENAME_PAIRS = mapping_of(
    A_STRING,
    either(A_STRING, array(A_STRING, "a list of new names or scopes")),
    "a mapping or list of pairs: old pattern, new name or scope or list of these",
    least=0,
)
_A_RENAME = _RENAME_PAIRS._replace(convert=_read_rename)
_RENAME_OF_EACH = array(either(_A_RENAME, NULL), "a list of renames")._replace(takes=_is_rename_of_each)
_RENAMES = either(_RENAME_OF_EACH, _A_RENAME)._replace(says=f"{_RENAME_PAIRS.says}, or one of these for each old model")
_ADAPTER_BY_REFERENCE = AN_ADAPTER._replace(schema={"$ref": "#/definitions/adapter"})

HOOK_OPTIONS: Dict[str, ValueKind] = {
    "ckp_dir": either(A_PATH, array(A_PATH, "a list of paths")),
    "recover_vars": either(
        mapping_of(
            A_NAME,
            either(A_NAME, array(A_NAME, "a list of names")),
            "a mapping or list of pairs: old name, new name or names",
        ),
        NULL,
    ),
    "adapters": either(
        mapping_of(
            ValueKind("a pattern", A_STRING.takes, A_STRING.schema, _read_adapter_key),
            either(_ADAPTER_BY_REFERENCE, array(_ADAPTER_BY_REFERENCE, "a list of adapters")),
            "a mapping or list of pairs: pattern, adapter or adapters",
            least=0,
        ),
        NULL,
    ),
    "include": _PATTERNS,
    "exclude": _PATTERNS,
    "rename": either(_RENAMES, NULL),
    "collection": either(A_NAME, NULL),
    "with_slots": A_BOOLEAN,
    "when": choice("fresh", "every_train"),
    "missing": choice("error", "keep"),
    "min_coverage": either(A_SHARE, NULL),
    "check_finite": A_BOOLEAN,
    "model_dir": either(A_PATH, NULL),
    "html": A_BOOLEAN,
    "max_wait_secs": A_POSITIVE_NUMBER,
}
_A_HOOK = record(HOOK_OPTIONS, required=("ckp_dir",))


def params_schema() -> Schema:
    """Returns the JSON Schema of the value under the key, which the package has as `params_schema.json`."""
    names_or_patterns: Schema = {
        "if": {"properties": {"recover_vars": {"not": {"type": "null"}}}, "required": ["recover_vars"]},
        "then": {"properties": {name: {"type": "null"} for name in _MATCHING}},
    }
    page_needs_a_place: Schema = {
        "if": {"properties": {"html": {"const": True}}, "required": ["html"]},
        "then": {"properties": {"model_dir": {"not": {"type": "null"}}}, "required": ["model_dir"]},
    }
    one: Schema = {"$ref": "#/definitions/hook"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "What to recover from an old model (estimator_warmstart.hooks_from_params)",
        "anyOf": [{"type": "null"}, one, {"type": "array", "items": one}],
        "definitions": {
            "hook": {**_A_HOOK.schema, "allOf": [names_or_patterns, page_needs_a_place]},
            "adapter": AN_ADAPTER.schema,
        },
    }


def hooks_from_params(params: Any, key: str = "warm_start") -> Tuple[VariableRecoverHook, ...]:
    """Makes hooks of the value of one key of an Estimator's params.

    Use it in `model_fn` if the params come from a file or a config service: `training_hooks=hooks_from_params(params)`. The
    value is a mapping of the hooks' arguments to plain data. A list of such mappings makes a hook for each old model.
    `docs/params.md` describes every key, and `params_schema.json` in the package is the JSON Schema.

    Args:
      params: a mapping, an object with the key as an attribute or a method `values` that returns a dict (such as `HParams`),
        or a namespace.
      key: the key of the warm start. Other keys are not read.

    Returns:
      A tuple of hooks: a `ShapeAdaptingRecoverHook` if there are `adapters`, even `{}`, else a `VariableRecoverHook`. The
      tuple is empty if the key is missing or its value is null. A misspelled key is an error.

    Raises:
      WarmStartError: listing all problems with their places, such as `warm_start.adapters['fm/v'].remap_rows.old_vocab`.
        The checkpoint itself is opened when training begins.

    Example:
      >>> import json
      >>> from estimator_warmstart import hooks_from_params
      >>> params = json.loads('''{"learning_rate": 0.1, "warm_start": {
      ...     "ckp_dir": "/models/old", "rename": {"fm": "ranker/fm"}, "adapters": {"ranker/fm/v": "crop_or_pad"}}}''')
      >>> hook, = hooks_from_params(params)
      >>> type(hook).__name__, hooks_from_params({"learning_rate": 0.1})
      ('ShapeAdaptingRecoverHook', ())
    """
    value = value_at(params, key)
    if value is None:
        return ()
    many = list(value) if isinstance(value, (list, tuple)) else None
    problems: List[str] = []
    hooks = [
        _hook_from(options, key if many is None else f"{key}[{number}]", problems)
        for number, options in enumerate([value] if many is None else many)
    ]
    if problems:
        raise WarmStartError("invalid warm-start params", problems)
    return tuple(hook for hook in hooks if hook is not None)


def _hook_from(value: object, place: str, problems: List[str]) -> Optional[VariableRecoverHook]:
    before = len(problems)
    options = cast(Dict[str, Any], _A_HOOK.read(value, place, problems) or {})
    problems.extend(
        f"{place}.{name}: recover_vars says what goes where by itself; leave one of the two out"
        for name in _MATCHING
        if options.get(name) is not None and options.get("recover_vars") is not None
    )
    if len(problems) > before:
        return None
    hook_class = VariableRecoverHook
    if options.get("adapters") is not None:
        hook_class = ShapeAdaptingRecoverHook
    else:
        options.pop("adapters", None)
    try:
        return hook_class(**options)
    except WarmStartError as error:
        problems.extend(f"{place}: {problem}" for problem in error.problems)
        return None
