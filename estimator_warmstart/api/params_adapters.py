"""Reads adapters from plain data: for each adapter the kinds of its arguments, which have their JSON Schema too."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, cast

from estimator_warmstart import adapters as factories
from estimator_warmstart.adapters.vocabulary import HashBuckets, read_vocabulary
from estimator_warmstart.api.params_schema import (
    A_NUMBER,
    A_NUMBER_FROM_0,
    A_PATH,
    A_SHARE,
    A_STRING,
    NULL,
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
from estimator_warmstart.slice_texts import SLICE_PATTERN, parse_slices

_NOT_PLAIN = {
    "transform": "a function is not plain data, and nothing here is evaluated; in Python, ShapeAdaptingRecoverHook takes "
    "adapters={...: adapters.transform(fn)}",
    "compose": "a list of adapters applies them one after the other",
    "remap_feature_columns": "feature columns are not plain data; remap_segments takes their names and widths, in the order of "
    "the names",
    "hash_buckets": "it stands for an old vocabulary: {'remap_rows': {'old_vocab': {'hash_buckets': 1000}, 'new_vocab': ...}}",
}

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
    "reshape": record({}),
    "shrink_perturb": record(
        {"shrink": A_SHARE, "noise_stddev": A_NUMBER_FROM_0, "seed": either(integer(), NULL)},
        required=("shrink", "noise_stddev"),
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
        reason = _NOT_PLAIN.get(str(name)) or f"not an adapter{hint}; the adapters are {', '.join(ADAPTERS)}"
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


AN_ADAPTER = ValueKind(
    "an adapter such as 'crop_or_pad' or {'take': '[:-1]'}",
    lambda value: isinstance(value, str) or as_mapping(value) is not None,
    {
        "anyOf": [{"enum": ["cast", "crop_or_pad", "reshape"]}]
        + [
            {"type": "object", "properties": {name: kind.schema}, "required": [name], "additionalProperties": False}
            for name, kind in ADAPTERS.items()
        ]
    },
    _read_adapter,
)
