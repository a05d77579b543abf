"""Kinds of plain values: each reads a value of JSON or YAML, and has the JSON Schema of the values that it accepts."""

from __future__ import annotations

import os
import sys
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, cast

from estimator_warmstart.arguments import check_choice, is_number
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.files import checked_path

Schema = Dict[str, object]

# More unknown keys than this are counted, not listed with close spellings.
_MOST_UNKNOWN = 20


def _as_it_is(value: object, place: str, problems: List[str]) -> object:
    return value


class ValueKind(NamedTuple):
    """A kind of value.

    Attributes:
      says: what a value must be, for messages.
      takes: whether a value is of this kind at first sight; `convert` looks into it.
      schema: the JSON Schema of all values of this kind.
      convert: makes the value for Python code; adds to the problems, or raises `WarmStartError` with them.
    """

    says: str
    takes: Callable[[object], bool]
    schema: Schema
    convert: Callable[[object, str, List[str]], object] = _as_it_is

    def read(self, value: object, place: str, problems: List[str]) -> object:
        """Returns the value for Python code, or adds to `problems`: the result is then meaningless."""
        if not self.takes(value):
            problems.append(f"{place} must be {self.says}, got {_abbreviated(value)}")
            return None
        try:
            return self.convert(value, place, problems)
        except WarmStartError as error:
            problems.extend(error.problems)
            return None


def is_string(value: object) -> bool:
    """Returns whether `value` is a string."""
    return isinstance(value, str)


def _as_finite(value: object) -> Optional[float]:
    """Returns `value` if it is a number that is not NaN and not too large for a float, else `None`."""
    number = cast(float, value)
    return number if is_number(value) and abs(number) <= sys.float_info.max else None


def _is_share(value: object) -> bool:
    number = _as_finite(value)
    return number is not None and 0 <= number <= 1


def _is_not_negative(value: object) -> bool:
    number = _as_finite(value)
    return number is not None and number >= 0


def _is_positive(value: object) -> bool:
    number = _as_finite(value)
    return number is not None and number > 0


def _is_path(value: object) -> bool:
    return isinstance(value, os.PathLike) or (isinstance(value, str) and value != "" and "\0" not in value)


NULL = ValueKind("null", lambda value: value is None, {"type": "null"})
A_BOOLEAN = ValueKind("true or false", lambda value: isinstance(value, bool), {"type": "boolean"})
A_STRING = ValueKind("a string", is_string, {"type": "string"})
A_NAME = ValueKind("a name", lambda value: is_string(value) and value != "", {"type": "string", "minLength": 1})
A_NUMBER = ValueKind("a number", lambda value: _as_finite(value) is not None, {"type": "number"})
A_SHARE = ValueKind("a number from 0 to 1", _is_share, {"type": "number", "minimum": 0, "maximum": 1})
A_NUMBER_FROM_0 = ValueKind("a number of 0 or more", _is_not_negative, {"type": "number", "minimum": 0})
A_POSITIVE_NUMBER = ValueKind("a number above 0", _is_positive, {"type": "number", "exclusiveMinimum": 0})
A_PATH = ValueKind(
    "a path",
    _is_path,
    {"type": "string", "pattern": "^[^\\u0000]+$"},
    lambda value, place, problems: checked_path(place, value, "a path"),
)


def integer(least: Optional[int] = None) -> ValueKind:
    """Returns the kind of an integer of `least` or more.

    8.0 is an integer too, as in JSON Schema, since many config services have no other numbers.
    """

    def is_accepted(value: object) -> bool:
        number = _as_finite(value)
        return number is not None and number == int(number) and (least is None or number >= least)

    return ValueKind(
        "an integer" if least is None else f"an integer of {least} or more",
        is_accepted,
        {"type": "integer"} if least is None else {"type": "integer", "minimum": least},
        lambda value, place, problems: int(cast(float, value)),
    )


def choice(*values: str) -> ValueKind:
    """Returns the kind of a string that is one of `values`."""

    def convert(value: object, place: str, problems: List[str]) -> object:
        check_choice(place, value, values)
        return value

    return ValueKind(" or ".join(repr(value) for value in values), is_string, {"enum": list(values)}, convert)


def either(*kinds: ValueKind) -> ValueKind:
    """Returns the kind of a value of one of `kinds`; the first that accepts the value reads it."""

    def convert(value: object, place: str, problems: List[str]) -> object:
        return next(kind for kind in kinds if kind.takes(value)).convert(value, place, problems)

    return ValueKind(
        " or ".join(kind.says for kind in kinds),
        lambda value: any(kind.takes(value) for kind in kinds),
        {"anyOf": [kind.schema for kind in kinds]},
        convert,
    )


def array(items: ValueKind, says: str, least: int = 1) -> ValueKind:
    """Returns the kind of a list of `least` or more `items`."""

    def convert(value: object, place: str, problems: List[str]) -> object:
        found = cast(Sequence[object], value)
        return [items.read(item, f"{place}[{number}]", problems) for number, item in enumerate(found)]

    schema: Schema = {"type": "array", "items": items.schema}
    return ValueKind(
        says,
        lambda value: isinstance(value, (list, tuple)) and len(value) >= least,
        {**schema, "minItems": least} if least else schema,
        convert,
    )


def mapping_of(keys: ValueKind, values: ValueKind, says: str, least: int = 1) -> ValueKind:
    """Returns the kind of an ordered mapping whose keys are the user's, or of a list of pairs if mappings are not ordered.

    Two keys that `keys` reads as the same are an error.
    """

    def convert(value: object, place: str, problems: List[str]) -> object:
        mapping = as_mapping(value)
        read: Dict[object, object] = {}
        pairs = cast(Sequence[object], value) if mapping is None else list(mapping.items())
        for number, pair in enumerate(pairs):
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                problems.append(f"{place}[{number}] must be a pair [name, value], got {_abbreviated(pair)}")
                continue
            inner = f"{place}[{pair[0]!r}]"
            if not isinstance(pair[0], str):
                problems.append(f"{inner}: a name is a string, got {_abbreviated(pair[0])}")
                continue
            key = keys.read(pair[0], inner, problems)
            if key is not None and key in read:
                problems.append(f"{inner}: {key!r} is there twice")
            read[key] = values.read(pair[1], inner, problems)
        return read

    pair = {"type": "array", "items": [keys.schema, values.schema], "minItems": 2, "maxItems": 2}
    mapping = {"type": "object", "minProperties": least, "propertyNames": keys.schema, "additionalProperties": values.schema}
    return ValueKind(
        says,
        lambda value: _length(value) >= least,
        {"anyOf": [mapping, {"type": "array", "minItems": least, "items": pair}]},
        convert,
    )


def record(kinds: Mapping[str, ValueKind], required: Tuple[str, ...] = ()) -> ValueKind:
    """Returns the kind of a mapping with known keys, each with a kind of its own."""

    def convert(value: object, place: str, problems: List[str]) -> object:
        mapping = as_mapping(value) or {}
        unknown = [key for key in mapping if key not in kinds]
        problems.extend(
            f"{place}.{key} is not known{did_you_mean(str(key), kinds)}; known are {', '.join(kinds)}"
            for key in unknown[:_MOST_UNKNOWN]
        )
        if len(unknown) > _MOST_UNKNOWN:
            problems.append(f"{place} has {len(unknown) - _MOST_UNKNOWN:,} more keys that are not known")
        problems.extend(f"{place}.{key} is missing" for key in required if key not in mapping)
        return {
            key: kinds[key].read(inner, f"{place}.{key}", problems)
            for key, inner in mapping.items()
            if isinstance(key, str) and key in kinds
        }

    schema: Schema = {
        "type": "object",
        "properties": {key: kind.schema for key, kind in kinds.items()},
        "additionalProperties": False,
    }
    return ValueKind(
        "a mapping",
        lambda value: as_mapping(value) is not None,
        {**schema, "required": list(required)} if required else schema,
        convert,
    )


def as_mapping(value: object) -> Optional[Mapping[object, object]]:
    """Returns `value` if it is a mapping, the contents of an object like `HParams` or a namespace, `None` for others."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type) or callable(value) or not hasattr(value, "__dict__"):
        return None
    values = getattr(value, "values", None)
    held: object = values() if callable(values) else None
    return cast(Mapping[object, object], held if isinstance(held, Mapping) else vars(value))


def _length(value: object) -> int:
    held = value if isinstance(value, (list, tuple)) else as_mapping(value)
    return -1 if held is None else len(held)


def _abbreviated(value: object, most: int = 100) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
