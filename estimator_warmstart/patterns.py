"""Compiles patterns: regular expressions that name a whole variable or a whole scope.

A user gives them as `include`, `exclude`, `rename` and as keys of `adapters`. `hidden[123]` fits `hidden1` and
`hidden1/kernel`, never `hidden10/kernel`. The empty pattern, or `/`, names the root scope, so it fits every variable.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Dict, Iterable, Mapping, NamedTuple, Optional, Sequence, Tuple, Union, cast

from estimator_warmstart.errors import WarmStartError, close_spellings
from estimator_warmstart.slots import MOST_PARTS

_LONGEST_SHOWN_PATTERN = 200
_FLAGS = re.compile(r"(?:\(\?[aimsux]+\))*")


class Pattern(NamedTuple):
    """One compiled pattern.

    Attributes:
      text: as the user wrote it.
      regex: anchored at the start of a name and at the end of one of its scopes.
      replacement: for a rename, what replaces the part that fits; else `None`.
    """

    text: str
    regex: re.Pattern[str]
    replacement: Optional[str] = None

    def fits(self, name: str) -> bool:
        """Whether `name` is, or is below, what this pattern names."""
        return self.regex.match(name) is not None

    def rename(self, name: str) -> str:
        """Returns `name` with the part that fits replaced."""
        scope, rest = self._replaced(name)
        return "/".join(piece for piece in (scope, rest) if piece)

    def renamed_scope(self, name: str) -> str:
        """Returns the new name of the variable or scope that this rename moves: the replacement of the part that fits."""
        return self._replaced(name)[0]

    def _replaced(self, name: str) -> Tuple[str, str]:
        match = self.regex.match(name)
        if match is None or self.replacement is None:
            raise LookupError(f"{self.text!r} does not rename {name!r}")
        return match.expand(self.replacement), name[match.end() :].lstrip("/")


# The renames of one old pattern, to one new scope each.
Renames = Tuple[Pattern, ...]
# What a user gives as `include` or `exclude`, and as `rename`.
PatternsArgument = Union[None, str, Iterable[str]]
RenameArgument = Union[None, Mapping[str, Union[str, Sequence[str]]], Iterable[Tuple[str, Union[str, Sequence[str]]]]]
# What a user gives as `rename` where there may be several old models: one for all of them, or a list of one for each.
RenamesArgument = Union[RenameArgument, Sequence[RenameArgument]]


def compile_patterns(patterns: PatternsArgument, argument: str) -> Optional[Tuple[Pattern, ...]]:
    """Compiles one pattern or a sequence of them; `None` stays `None`.

    Raises:
      WarmStartError: for anything that is not a string or does not compile; the message names `argument`.
    """
    if patterns is None:
        return None
    if isinstance(patterns, str):
        patterns = [patterns]
    if isinstance(patterns, Mapping) or not isinstance(patterns, Iterable):
        raise WarmStartError(f"{argument} must be a pattern or a list of patterns, got {patterns!r}")
    return tuple(compile_pattern(pattern, argument) for pattern in patterns)


def is_rename_of_each(rename: object) -> bool:
    """Whether `rename` is a list of one rename for each old model, and not a list of pairs.

    A pair begins with a string. A rename of its own is a dict, a list of pairs, or `None`; one in the list tells.
    """
    return isinstance(rename, (list, tuple)) and any(
        item is None
        or isinstance(item, Mapping)
        or (isinstance(item, (list, tuple)) and (not item or isinstance(item[0], (list, tuple))))
        for item in rename
    )


def compile_renames_of_each(rename: RenamesArgument, count: int) -> Tuple[Optional[Tuple[Renames, ...]], ...]:
    """Compiles `rename` for each of `count` old models.

    Raises:
      WarmStartError: as `compile_renames` does, for all of them; also if there is not one for each old model.
    """
    if not is_rename_of_each(rename):
        return (compile_renames(cast(RenameArgument, rename)),) * count
    renames = cast(Sequence[RenameArgument], rename)
    compiled, problems = [], []
    if len(renames) != count:
        problems.append(
            f"rename is a list of {len(renames)}, one for each old model, but ckp_dir names {count}; {{}} is for a model "
            "without renames, and a dict instead of the list is for all of them"
        )
    for number, each in enumerate(renames):
        try:
            compiled.append(compile_renames(each, f"rename[{number}]") or ())
        except WarmStartError as error:
            problems += error.problems
    if problems:
        raise WarmStartError("rename does not fit the old models", problems)
    return tuple(compiled)


def compile_renames(rename: RenameArgument, argument: str = "rename") -> Optional[Tuple[Renames, ...]]:
    """Compiles `{old pattern: new name or scope, or a list of them}`, or a sequence of such pairs, in order.

    Returns:
      For each pair its renames: the same pattern with each of the replacements. `None` stays `None`.

    Raises:
      WarmStartError: for anything else, and for a pattern that does not compile.
    """
    if rename is None:
        return None
    pairs: Iterable[Any] = list(rename.items()) if isinstance(rename, Mapping) else rename
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise WarmStartError(f"{argument} must be a dict {{old pattern: new name or scope}} or a list of pairs, got {rename!r}")
    compiled = []
    for pair in pairs:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise WarmStartError(f"{argument} must be made of pairs (old pattern, new name or scope), got {pair!r}")
        replacements = pair[1] if isinstance(pair[1], (list, tuple)) else [pair[1]]
        if not replacements or not all(isinstance(replacement, str) for replacement in replacements):
            raise WarmStartError(
                f"{argument} must be made of pairs (old pattern, new name or scope, or a list of several), got {pair!r}"
            )
        pattern = compile_pattern(pair[0], argument)
        compiled.append(tuple(dict.fromkeys(_with_replacement(pattern, replacement, argument) for replacement in replacements)))
    return tuple(compiled)


def _with_replacement(pattern: Pattern, replacement: str, argument: str) -> Pattern:
    try:
        pattern.regex.sub(replacement.strip("/"), "")  # Checks the group references, without a match.
    except (re.error, IndexError) as error:
        raise WarmStartError(f"{argument}[{pattern.text!r}]: the replacement {replacement!r} is not valid: {error}") from error
    return pattern._replace(replacement=replacement.strip("/"))


def compile_pattern(pattern: object, argument: str) -> Pattern:
    """Compiles one pattern.

    Raises:
      WarmStartError: if it is not a string or does not compile; the message has the position of the error.
    """
    if not isinstance(pattern, str):
        raise WarmStartError(f"{argument}: a pattern is a string, got {pattern!r}")
    body = pattern.strip("/")
    try:
        re.compile(body)  # On its own first, so that the error's position is one in the user's text.
        flags = _FLAGS.match(body)
        begin = flags.end() if flags else 0  # Global flags must stay in front.
        return Pattern(pattern, re.compile(f"{body[:begin]}(?:{body[begin:]})(?=/|$)" if body else ""))
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        shown = repr(pattern) if len(pattern) <= _LONGEST_SHOWN_PATTERN else f"{pattern[:_LONGEST_SHOWN_PATTERN]!r}..."
        raise WarmStartError(f"{argument}: the pattern {shown} is not a regular expression: {error}") from error


def fits_any(patterns: Sequence[Pattern], name: str) -> bool:
    """Whether one of `patterns` fits `name`."""
    return any(pattern.fits(name) for pattern in patterns)


def fits_nothing(pattern: Pattern, argument: str, what: str, names: Iterable[str]) -> Optional[str]:
    """Returns the problem of a pattern that fits none of `names`, with the close spellings; else `None`."""
    names = tuple(names)
    if any(pattern.fits(name) for name in names):
        return None
    close = close_spellings(pattern.text, _with_scopes(names))
    hint = f" (did you mean {' or '.join(repr(name) for name in close)}?)" if close else ""
    return f"{argument} {pattern.text!r} fits no {what}{hint}"


@functools.lru_cache(maxsize=4)  # All problems of a plan are about the same names.
def _with_scopes(names: Tuple[str, ...]) -> Tuple[str, ...]:
    scopes: Dict[str, None] = {}
    for name in names:
        while "/" in name and name.count("/") < MOST_PARTS:
            name = name.rpartition("/")[0]
            scopes[name] = None
    return (*names, *scopes)
