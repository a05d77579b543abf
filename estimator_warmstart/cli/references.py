"""Loads what the command line names as `package.module:function`: Estimators and input functions of the user's own program."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, List, Mapping, Tuple

from estimator_warmstart.errors import WarmStartError, did_you_mean


def load_references(called: Mapping[str, str], as_it_is: Mapping[str, str]) -> List[Any]:
    """Returns the objects that the references name.

    Args:
      called: `{argument: reference}` of functions without arguments, whose result is wanted; another object is taken as it is.
      as_it_is: the same for functions that are wanted themselves.

    Raises:
      WarmStartError: with a problem for each reference that cannot be loaded.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # As `python -m` does.
    loaded, problems = [], []
    for argument, reference in {**called, **as_it_is}.items():
        try:
            value = _load(reference)
            loaded.append(_call(value) if argument in called and callable(value) else value)
        except _BadReference as problem:
            problems.append(f"{argument} {reference!r} {problem}")
    if problems:
        raise WarmStartError("not everything that is named can be loaded", problems)
    return loaded


class _BadReference(Exception):
    """Why a reference cannot be loaded. The handler adds which one."""


def _load(reference: str) -> Any:
    module, name = _split(reference)
    try:
        value: Any = importlib.import_module(module)
    except Exception as error:  # A user's module may raise anything.
        raise _BadReference(f"cannot be loaded: importing {module!r} fails: {_in_words(error)}") from error
    for part in name.split("."):
        if not hasattr(value, part):
            hint = did_you_mean(part, [each for each in dir(value) if not each.startswith("_")])
            raise _BadReference(f"cannot be loaded: {module!r} has no {part!r}{hint}")
        value = getattr(value, part)
    return value


def _split(reference: str) -> Tuple[str, str]:
    module, _, name = reference.partition(":")
    words = [*module.split("."), *name.split(".")]
    if not all(word.isidentifier() for word in words):
        raise _BadReference("is not a reference such as 'package.module:function'")
    return module, name


def _call(function: Any) -> Any:
    try:
        return function()
    except Exception as error:  # A user's function may raise anything.
        raise _BadReference(f"fails when it is called without arguments: {_in_words(error)}") from error


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
