"""Makes hooks of plain data in an Estimator's params.

Nothing in the data is evaluated. Each key is described once, below, by a kind that reads it and has its JSON Schema; the file
`params_schema.json` is what `params_schema()` returns, and `docs/params.md` explains the keys.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, cast

from estimator_warmstart import adapters as factories
from estimator_warmstart.adapters.vocabulary import HashBuckets, read_vocabulary
from estimator_warmstart.api.hooks import ShapeAdaptingRecoverHook, VariableRecoverHook
from estimator_warmstart.api.params_key import value_at
from estimator_warmstart.api.params_schema import (
    A_BOOLEAN,
    A_NAME,
    A_NUMBER,
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
    integer,
    mapping_of,
    record,
)
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.patterns import compile_pattern, compile_renames
from estimator_warmstart.slice_texts import SLICE_PATTERN, parse_slices

_MATCHING = ("include", "exclude", "rename", "collection")
_NOT_PLAIN = {
    "transform": "a function is not plain data, and nothing here is evaluated; in Python, ShapeAdaptingRecoverHook takes "
    "adapters={...: adapters.transform(fn)}",
    "compose": "a list of adapters applies them one after the other",
    "remap_feature_columns": "feature columns are not plain data; remap_segments takes their names and widths, in the order of "
    "the names",
    "hash_buckets": "it stands for an old vocabulary: {'remap_rows': {'old_vocab': {'hash_buckets': 1000}, 'new_vocab': ...}}",
}


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
            compile_renames([(old, name) for name in (new if isinstance(new, list) else [new]) if isinstance(name, str)])
        except WarmStartError as error:
            problems.append(f"{place[: -len('rename')]}{error}")  # The message begins with "rename".
    return pairs


_A_PATTERN = ValueKind("a pattern", A_STRING.takes, A_STRING.schema, _read_pattern)
_PATTERNS = either(_A_PATTERN, array(_A_PATTERN, "a list of patterns", least=0), NULL)
_RENAME_PAIRS = mapping_of(
    A_STRING,
    either(A_STRING, array(A_STRING, "a list of new names or scopes")),
    "a mapping or list of pairs: old pattern, new name or scope or list of these",
    least=0,
)
_A_FILL = either(A_NUMBER, choice("initial", "zeros", "mean"))
_FILLS = either(A_NUMBER, choice("initial", "zeros", "mean"), array(_A_FILL, "a list of fills, one for each axis"))
_A_TOKEN = either(A_STRING, integer())
_A_VOCABULARY = either(A_PATH, array(_A_TOKEN, "a list of tokens"))
_WIDTH_PAIRS = mapping_of(A_STRING, integer(1), "a mapping or list of pairs: feature, width")
_A_VOCABULARY_SIZE = either(integer(1), NULL)

_A_HASH_KEY = ValueKind(
    "a list of two integers of 0 or more",
    lambda value: isinstance(value, (list, tuple)) and len(value) == 2,
    {"type": "array", "items": integer(0).schema, "minItems": 2, "maxItems": 2},
    array(integer(0), "").convert,
)
_HASH_BUCKETS = record({"hash_buckets": integer(1), "key": _A_HASH_KEY}, required=("hash_buckets",))


def _read_hash_buckets(value: object, place: str, problems: List[str]) -> object:
    before = len(problems)
    options = cast(Dict[str, Any], _HASH_BUCKETS.convert(value, place, problems))
    return factories.hash_buckets(options["hash_buckets"], key=options.get("key", ())) if len(problems) == before else None


_AN_OLD_VOCABULARY = either(
    A_PATH,
    array(_A_TOKEN, "a list of tokens"),
    _HASH_BUCKETS._replace(says="{'hash_buckets': 1000}", convert=_read_hash_buckets),
)

ADAPTERS: Dict[str, ValueKind] = {
    "cast": record({}),
    "crop_or_pad": record({"fill": _FILLS}),
    "take": ValueKind(
        "a string such as '[:-1, :]'",
        A_STRING.takes,
        {"type": "string", "pattern": SLICE_PATTERN},
        lambda value, place, problems: {"index": parse_slices(cast(str, value), place)},
    ),
    "rehash_rows": record(
        {"old_buckets": integer(1), "new_buckets": integer(1), "axis": integer()}, required=("old_buckets", "new_buckets")
    ),
    "remap_rows": record(
        {
            "old_vocab": _AN_OLD_VOCABULARY,
            "new_vocab": _A_VOCABULARY,
            "axis": integer(),
            "num_oov_buckets": integer(0),
            "fill": _A_FILL,
            "old_vocab_size": _A_VOCABULARY_SIZE,
            "new_vocab_size": _A_VOCABULARY_SIZE,
            "aliases": either(
                mapping_of(A_STRING, _A_TOKEN, "a mapping or list of pairs: new token, old token", least=0), NULL
            ),
            "similar": either(
                mapping_of(
                    A_STRING,
                    array(_A_TOKEN, "a list of tokens"),
                    "a mapping or list of pairs: new token, list of old tokens",
                    least=0,
                ),
                NULL,
            ),
        },
        required=("old_vocab", "new_vocab"),
    ),
    "remap_segments": record(
        {"old_widths": _WIDTH_PAIRS, "new_widths": _WIDTH_PAIRS, "axis": integer(), "fill": _A_FILL},
        required=("old_widths", "new_widths"),
    ),
}


def _read_adapter(value: object, place: str, problems: List[str]) -> object:
    mapping: Mapping[object, object] = {value: {}} if isinstance(value, str) else as_mapping(value) or {}
    if len(mapping) != 1:
        problems.append(
            f"{place} must name one adapter, got {', '.join(map(repr, mapping)) or 'none'}; a list applies several, one "
            "after the other"
        )
        return None
    ((name, arguments),) = mapping.items()
    if not isinstance(name, str) or name not in ADAPTERS:
        hint = did_you_mean(str(name), ADAPTERS)
        reason = _NOT_PLAIN.get(str(name)) or f"there is no such adapter{hint}; there are {', '.join(ADAPTERS)}"
        problems.append(f"{place}.{name}: {reason}")
        return None
    place, before = f"{place}.{name}", len(problems)
    options = cast(Dict[str, Any], ADAPTERS[name].read(arguments, place, problems))
    if len(problems) > before:
        return None
    try:
        return getattr(factories, name)(**options)
    except WarmStartError as error:
        problems.extend(list(_vocabulary_problems(options, place)) or [f"{place}: {problem}" for problem in error.problems])
        return None


def _vocabulary_problems(arguments: Dict[str, Any], place: str) -> Iterator[str]:
    """Reads each vocabulary again, after an error, to say which of them is wrong."""
    for name in ("old_vocab", "new_vocab"):
        if name in arguments and not isinstance(arguments[name], HashBuckets):
            try:
                read_vocabulary(arguments[name], arguments.get(f"{name}_size"))
            except WarmStartError as error:
                yield f"{place}.{name}: {error}"


_AN_ADAPTER = ValueKind(
    "an adapter such as 'crop_or_pad' or {'take': '[:-1]'}",
    lambda value: isinstance(value, str) or as_mapping(value) is not None,
    {
        "anyOf": [{"enum": ["cast", "crop_or_pad"]}]
        + [
            {"type": "object", "properties": {name: kind.schema}, "required": [name], "additionalProperties": False}
            for name, kind in ADAPTERS.items()
        ]
    },
    _read_adapter,
)
_ADAPTER_BY_REFERENCE = _AN_ADAPTER._replace(schema={"$ref": "#/definitions/adapter"})

HOOK_OPTIONS: Dict[str, ValueKind] = {
    "ckp_dir": A_PATH,
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
    "rename": either(_RENAME_PAIRS._replace(convert=_read_rename), NULL),
    "collection": either(A_NAME, NULL),
    "with_slots": A_BOOLEAN,
    "when": choice("fresh", "every_train"),
    "missing": choice("error", "keep"),
    "min_coverage": either(A_SHARE, NULL),
    "check_finite": A_BOOLEAN,
    "model_dir": either(A_PATH, NULL),
    "max_wait_secs": A_POSITIVE_NUMBER,
}
_A_HOOK = record(HOOK_OPTIONS, required=("ckp_dir",))


def params_schema() -> Schema:
    """Returns the JSON Schema of the value under the key, which the package has as `params_schema.json`."""
    names_or_patterns = {
        "if": {"properties": {"recover_vars": {"not": {"type": "null"}}}, "required": ["recover_vars"]},
        "then": {"properties": {name: {"type": "null"} for name in _MATCHING}},
    }
    one: Schema = {"$ref": "#/definitions/hook"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "What to recover from an old model (estimator_warmstart.hooks_from_params)",
        "anyOf": [{"type": "null"}, one, {"type": "array", "items": one}],
        "definitions": {"hook": {**_A_HOOK.schema, **names_or_patterns}, "adapter": _AN_ADAPTER.schema},
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
