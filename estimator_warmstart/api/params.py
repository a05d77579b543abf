"""Params to hooks: everything that the hooks can do, said in plain data.

Enters: a params dict, an `HParams`-like object, what JSON or YAML gave; nothing in it is ever evaluated. Leaves: hooks, or one
error with every problem and its place. The kinds below are what the code reads and what the published JSON Schema
(`params_schema.json`, which is `params_schema()` written down) says; `docs/params.md` explains them.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Tuple

from estimator_warmstart import adapters as factories
from estimator_warmstart.adapters.vocabulary import read_vocabulary
from estimator_warmstart.api.hooks import ShapeAdaptingRecoverHook, VariableRecoverHook
from estimator_warmstart.api.params_key import value_at
from estimator_warmstart.api.params_schema import (
    BOOLEAN,
    NAME,
    NULL,
    NUMBER,
    PATH,
    POSITIVE,
    SHARE,
    TEXT,
    Kind,
    Schema,
    array,
    as_mapping,
    choice,
    either,
    integer,
    record,
    table,
)
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.patterns import compile_pattern, compile_renames
from estimator_warmstart.slice_texts import SLICE_PATTERN, parse_slices

_MATCHING = ("include", "exclude", "rename", "collection")
_NOT_PLAIN = {
    "transform": "a function is no plain data, and nothing here is evaluated; in Python, ShapeAdaptingRecoverHook takes "
    "adapters={...: adapters.transform(fn)}",
    "compose": "a list of adapters applies them one after the other",
}


def _read_pattern(value: Any, place: str, problems: List[str]) -> Any:
    compile_pattern(value, place)
    return value


def _read_adapter_key(value: Any, place: str, problems: List[str]) -> Any:
    # Three spellings of one variable; no name of a variable ends in :0 itself.
    name = (value[:-2] if value.endswith(":0") else value).strip("/")
    return _read_pattern(name, place, problems)


def _read_rename(value: Any, place: str, problems: List[str]) -> Any:
    pairs = _RENAMES.convert(value, place, problems)
    for old, new in pairs.items():
        try:
            compile_renames([(old, name) for name in (new if isinstance(new, list) else [new]) if isinstance(name, str)])
        except WarmStartError as error:
            problems.append(f"{place[: -len('rename')]}{error}")  # The message begins with rename, and says of what.
    return pairs


_PATTERN = Kind("a pattern", TEXT.takes, TEXT.schema, _read_pattern)
_PATTERNS = either(_PATTERN, array(_PATTERN, "a list of patterns", least=0), NULL)
_RENAMES = table(
    TEXT,
    either(TEXT, array(TEXT, "a list of new names or scopes")),
    "a mapping or list of pairs: old pattern, new name or scope or list of these",
    least=0,
)
_FILL = either(NUMBER, choice("initial", "zeros", "mean"))
_TOKEN = either(TEXT, integer())
_VOCABULARY = either(PATH, array(_TOKEN, "a list of tokens"))
_WIDTHS = table(TEXT, integer(1), "a mapping or list of pairs: feature, width")
_SIZE = either(integer(1), NULL)

ADAPTERS: Dict[str, Kind] = {
    "cast": record({}),
    "crop_or_pad": record({"fill": _FILL}),
    "take": Kind(
        "a string such as '[:-1, :]'",
        TEXT.takes,
        {"type": "string", "pattern": SLICE_PATTERN},
        lambda value, place, problems: {"index": parse_slices(value, place)},
    ),
    "remap_rows": record(
        {
            "old_vocab": _VOCABULARY,
            "new_vocab": _VOCABULARY,
            "axis": integer(),
            "num_oov_buckets": integer(0),
            "fill": _FILL,
            "old_vocab_size": _SIZE,
            "new_vocab_size": _SIZE,
            "aliases": either(table(TEXT, _TOKEN, "a mapping or list of pairs: new token, old token", least=0), NULL),
        },
        required=("old_vocab", "new_vocab"),
    ),
    "remap_segments": record(
        {"old_widths": _WIDTHS, "new_widths": _WIDTHS, "axis": integer(), "fill": _FILL},
        required=("old_widths", "new_widths"),
    ),
}


def _read_adapter(value: Any, place: str, problems: List[str]) -> Any:
    mapping = {value: {}} if isinstance(value, str) else as_mapping(value) or {}
    if len(mapping) != 1:
        problems.append(
            f"{place} must name one adapter, got {', '.join(map(repr, mapping)) or 'none'}; a list applies several, one "
            "after the other"
        )
        return None
    ((name, arguments),) = mapping.items()
    if name not in ADAPTERS:
        reason = _NOT_PLAIN.get(name) or f"there is no such adapter{did_you_mean(str(name), ADAPTERS)}; there are " + ", ".join(
            ADAPTERS
        )
        problems.append(f"{place}.{name}: {reason}")
        return None
    place, before = f"{place}.{name}", len(problems)
    arguments = ADAPTERS[name].read(arguments, place, problems)
    if len(problems) > before:
        return None
    try:
        return getattr(factories, name)(**arguments)
    except WarmStartError as error:
        problems.extend(list(_vocabulary_problems(arguments, place)) or [f"{place}: {error}"])
        return None


def _vocabulary_problems(arguments: Mapping[str, Any], place: str) -> Iterator[str]:
    """Which of two vocabularies is wrong: read again, since this is no longer the way to a hook."""
    for name in ("old_vocab", "new_vocab"):
        if name in arguments:
            try:
                read_vocabulary(arguments[name], arguments.get(f"{name}_size"))
            except WarmStartError as error:
                yield f"{place}.{name}: {error}"


_ADAPTER = Kind(
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
_REFERRED = _ADAPTER._replace(schema={"$ref": "#/definitions/adapter"})

HOOK_OPTIONS: Dict[str, Kind] = {
    "ckp_dir": PATH,
    "recover_vars": either(
        table(
            NAME,
            either(NAME, array(NAME, "a list of names")),
            "a mapping or list of pairs: old name, new name or names",
        ),
        NULL,
    ),
    "adapters": either(
        table(
            Kind("a pattern", TEXT.takes, TEXT.schema, _read_adapter_key),
            either(_REFERRED, array(_REFERRED, "a list of adapters")),
            "a mapping or list of pairs: pattern, adapter or adapters",
            least=0,
        ),
        NULL,
    ),
    "include": _PATTERNS,
    "exclude": _PATTERNS,
    "rename": either(_RENAMES._replace(convert=_read_rename), NULL),
    "collection": either(NAME, NULL),
    "with_slots": BOOLEAN,
    "when": choice("fresh", "every_train"),
    "missing": choice("error", "keep"),
    "min_coverage": either(SHARE, NULL),
    "check_finite": BOOLEAN,
    "model_dir": either(PATH, NULL),
    "max_wait_secs": POSITIVE,
}
_HOOK = record(HOOK_OPTIONS, required=("ckp_dir",))


def params_schema() -> Schema:
    """The JSON Schema of what may stand under the key: as `params_schema.json`, which is in the package, has it."""
    names_or_patterns = {
        "if": {"properties": {"recover_vars": {"not": {"type": "null"}}}, "required": ["recover_vars"]},
        "then": {"properties": {name: {"type": "null"} for name in _MATCHING}},
    }
    one: Schema = {"$ref": "#/definitions/hook"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "What to recover from an old model (estimator_warmstart.hooks_from_params)",
        "anyOf": [{"type": "null"}, one, {"type": "array", "items": one}],
        "definitions": {"hook": {**_HOOK.schema, **names_or_patterns}, "adapter": _ADAPTER.schema},
    }


def hooks_from_params(params: Any, key: str = "warm_start") -> Tuple[VariableRecoverHook, ...]:
    """Makes hooks of what stands under a key of an Estimator's params.

    Use it in `model_fn`, where the params come from a file or a config service: `training_hooks=hooks_from_params(params)`.
    The value under the key has the arguments of the hooks, all of them plain data; a list of such values makes several
    hooks, one for each old model. `docs/params.md` has every key, `params_schema.json` in the package is the JSON Schema.

    Args:
      params: a mapping, an object with the key as an attribute or a method `values` that returns a dict (such as `HParams`),
        or a namespace.
      key: the one key that is looked at.

    Returns:
      A tuple of hooks: `ShapeAdaptingRecoverHook` where there are `adapters`, be they `{}`; else `VariableRecoverHook`.
      Empty where the key is absent or its value is null; a key that is absent because it is misspelt is an error.

    Raises:
      WarmStartError: listing everything that is wrong, each with its place, such as
        `warm_start.adapters['fm/v'].remap_rows.old_vocab`. The checkpoint itself is opened when training begins.

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
    many = isinstance(value, (list, tuple))
    problems: List[str] = []
    hooks = [
        _hook(options, f"{key}[{number}]" if many else key, problems)
        for number, options in enumerate(value if many else [value])
    ]
    if problems:
        raise WarmStartError("the params say no warm start that can be done", problems)
    return tuple(hooks)


def _hook(value: Any, place: str, problems: List[str]) -> Any:
    before = len(problems)
    options = _HOOK.read(value, place, problems) or {}
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
