"""Kinds of plain values: how one is read, and how JSON Schema says the same.

Enters: a value as JSON or YAML gives it, and its place, such as `warm_start.adapters['fm/v']`. Leaves: what Python code takes
for it, or one more problem with its place. This module must not know what a warm start is.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart.arguments import check_choice, is_number
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.files import checked_path

Schema = Dict[str, Any]

# Keys that are listed one by one, with what may have been meant.
_MOST_UNKNOWN = 20


def _as_it_is(value: Any, place: str, problems: List[str]) -> Any:
    return value


class Kind(NamedTuple):
    """One kind of value.

    Attributes:
      says: what it must be, for messages.
      takes: whether a value is of the kind, as far as the first look tells.
      schema: the JSON Schema of all values that are.
      convert: the value for Python, from one that it takes; notes problems, or raises `WarmStartError` with them.
    """

    says: str
    takes: Callable[[Any], bool]
    schema: Schema
    convert: Callable[[Any, str, List[str]], Any] = _as_it_is

    def read(self, value: Any, place: str, problems: List[str]) -> Any:
        """The value for Python; means nothing if `problems` has become longer."""
        if not self.takes(value):
            problems.append(f"{place} must be {self.says}, got {_shown(value)}")
            return None
        try:
            return self.convert(value, place, problems)
        except WarmStartError as error:
            problems.extend(error.problems)
            return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_finite(value: Any) -> bool:
    return is_number(value) and bool(abs(value) <= sys.float_info.max)  # Neither NaN nor what a float cannot hold.


NULL = Kind("null", lambda value: value is None, {"type": "null"})
BOOLEAN = Kind("true or false", lambda value: isinstance(value, bool), {"type": "boolean"})
TEXT = Kind("a string", _is_text, {"type": "string"})
NAME = Kind("a name", lambda value: _is_text(value) and value != "", {"type": "string", "minLength": 1})
NUMBER = Kind("a number", _is_finite, {"type": "number"})
SHARE = Kind(
    "a number from 0 to 1", lambda value: _is_finite(value) and 0 <= value <= 1, {"type": "number", "minimum": 0, "maximum": 1}
)
POSITIVE = Kind("a number above 0", lambda value: _is_finite(value) and value > 0, {"type": "number", "exclusiveMinimum": 0})
PATH = Kind(
    "a path",
    lambda value: isinstance(value, os.PathLike) or (_is_text(value) and value != "" and "\0" not in value),
    {"type": "string", "pattern": "^[^\\u0000]+$"},
    lambda value, place, problems: checked_path(place, value, "a path"),
)


def integer(least: Optional[int] = None) -> Kind:
    """A whole number, of `least` or more; 8.0 is one, as in JSON Schema: many a config service has no other numbers."""
    says = "an integer" if least is None else f"an integer of {least} or more"
    return Kind(
        says,
        lambda value: _is_finite(value) and value == int(value) and (least is None or value >= least),
        {"type": "integer"} if least is None else {"type": "integer", "minimum": least},
        lambda value, place, problems: int(value),
    )


def choice(*values: str) -> Kind:
    """One of `values`."""

    def convert(value: Any, place: str, problems: List[str]) -> Any:
        check_choice(place, value, values)
        return value

    return Kind(" or ".join(repr(value) for value in values), _is_text, {"enum": list(values)}, convert)


def either(*kinds: Kind) -> Kind:
    """Whatever one of `kinds` takes; the first that does reads it."""

    def convert(value: Any, place: str, problems: List[str]) -> Any:
        return next(kind for kind in kinds if kind.takes(value)).convert(value, place, problems)

    return Kind(
        " or ".join(kind.says for kind in kinds),
        lambda value: any(kind.takes(value) for kind in kinds),
        {"anyOf": [kind.schema for kind in kinds]},
        convert,
    )


def array(items: Kind, says: str, least: int = 1) -> Kind:
    """A list of `least` or more `items`."""

    def convert(value: Any, place: str, problems: List[str]) -> Any:
        return [items.read(item, f"{place}[{number}]", problems) for number, item in enumerate(value)]

    schema: Schema = {"type": "array", "items": items.schema}
    return Kind(
        says,
        lambda value: isinstance(value, (list, tuple)) and len(value) >= least,
        {**schema, "minItems": least} if least else schema,
        convert,
    )


def table(keys: Kind, values: Kind, says: str, least: int = 1) -> Kind:
    """A mapping with names of the user's, in order, or a list of pairs, for those whose mappings lose it.

    Two keys that `keys` reads as the same are an error.
    """

    def convert(value: Any, place: str, problems: List[str]) -> Any:
        mapping = as_mapping(value)
        read: Dict[Any, Any] = {}
        for number, pair in enumerate(value if mapping is None else mapping.items()):
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                problems.append(f"{place}[{number}] must be a pair [name, value], got {_shown(pair)}")
                continue
            inner = f"{place}[{pair[0]!r}]"
            if not isinstance(pair[0], str):
                problems.append(f"{inner}: a name is a string, got {_shown(pair[0])}")
                continue
            key = keys.read(pair[0], inner, problems)
            if key is not None and key in read:
                problems.append(f"{inner}: {key!r} is there twice")
            read[key] = values.read(pair[1], inner, problems)
        return read

    pair = {"type": "array", "items": [keys.schema, values.schema], "minItems": 2, "maxItems": 2}
    mapping = {"type": "object", "minProperties": least, "propertyNames": keys.schema, "additionalProperties": values.schema}
    return Kind(
        says,
        lambda value: _length(value) >= least,
        {"anyOf": [mapping, {"type": "array", "minItems": least, "items": pair}]},
        convert,
    )


def record(kinds: Mapping[str, Kind], required: Tuple[str, ...] = ()) -> Kind:
    """A mapping whose keys are known, each with the kind of its value."""

    def convert(value: Any, place: str, problems: List[str]) -> Any:
        mapping = as_mapping(value) or {}
        unknown = [key for key in mapping if key not in kinds]
        problems.extend(
            f"{place}.{key} is not known{did_you_mean(str(key), kinds)}; known are {', '.join(kinds)}"
            for key in unknown[:_MOST_UNKNOWN]
        )
        if len(unknown) > _MOST_UNKNOWN:
            problems.append(f"{place} has {len(unknown) - _MOST_UNKNOWN:,} more keys that are not known")
        problems.extend(f"{place}.{key} is missing" for key in required if key not in mapping)
        return {key: kinds[key].read(inner, f"{place}.{key}", problems) for key, inner in mapping.items() if key in kinds}

    schema: Schema = {
        "type": "object",
        "properties": {key: kind.schema for key, kind in kinds.items()},
        "additionalProperties": False,
    }
    return Kind(
        "a mapping",
        lambda value: as_mapping(value) is not None,
        {**schema, "required": list(required)} if required else schema,
        convert,
    )


def as_mapping(value: Any) -> Optional[Mapping[Any, Any]]:
    """`value` if it is a mapping, what it holds if it is an object like `HParams` or a namespace, else `None`."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type) or callable(value) or not hasattr(value, "__dict__"):
        return None
    values = getattr(value, "values", None)
    held = values() if callable(values) else vars(value)
    return held if isinstance(held, Mapping) else vars(value)


def _length(value: Any) -> int:
    held = value if isinstance(value, (list, tuple)) else as_mapping(value)
    return -1 if held is None else len(held)


def _shown(value: Any, most: int = 100) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
