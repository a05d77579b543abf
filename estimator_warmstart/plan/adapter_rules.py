"""Which adapter is for which new variable. Pure.

Enters: the user's `adapters` dict. Leaves: `Rules`, compiled once, that answer by name and know which of them were used.
"""

from __future__ import annotations

from typing import Any, Iterable, List, Mapping, NamedTuple, Optional, Set, Tuple

from estimator_warmstart._tf import is_variable
from estimator_warmstart.adapters.basic import as_adapter, crop_or_pad
from estimator_warmstart.adapters.transforms import Adapter
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.graph.variables import NewVariable, logical_name
from estimator_warmstart.patterns import Pattern, compile_pattern, fits_nothing


class Rule(NamedTuple):
    """An adapter and the new variables that it is for."""

    pattern: Pattern
    adapter: Adapter


class Rules:
    """The adapters of one plan: the first that fits a new variable wins.

    Attributes:
      adapt: whether shapes may differ where no adapter is named.
    """

    def __init__(self, adapters: Optional[Mapping[Any, Any]]):
        self.adapt = adapters is not None
        self._rules = compile_rules(adapters)
        self._used: Set[Pattern] = set()

    def adapter_for(self, new: NewVariable) -> Optional[Adapter]:
        """The adapter named for `new`, or `None`.

        A scope's adapter is for its variables; their slots follow them. A slot can be named for itself.
        """
        for rule in self._rules:
            if rule.pattern.fits(new.name) and (new.slot_of is None or rule.pattern.text == new.name):
                self._used.add(rule.pattern)
                return rule.adapter
        return None

    def default_for(self, old_shape: Tuple[int, ...], new: NewVariable) -> Optional[Adapter]:
        """What is done where no adapter is named: `None` if the value is to be taken as it is."""
        return crop_or_pad() if self.adapt and old_shape != new.shape else None

    def problems(self, recovered: Iterable[str]) -> List[str]:
        """What is wrong with adapters that no recovered variable used."""
        recovered = list(recovered)
        return [
            fits_nothing(rule.pattern, "the adapter for", "new variable that is recovered", recovered)
            or f"the adapter for {rule.pattern.text!r} is never used: an earlier one fits all that it fits"
            for rule in self._rules
            if rule.pattern not in self._used
        ]


def compile_rules(adapters: Optional[Mapping[Any, Any]]) -> Tuple[Rule, ...]:
    """Compiles `{new variable, its name or a pattern: adapter or list of adapters}`.

    A variable may be a partitioned one, or one of its parts, which means the whole.

    Raises:
      WarmStartError: for what is no dict, no pattern or no adapter.
    """
    if adapters is None:
        return ()
    if not isinstance(adapters, Mapping):
        raise WarmStartError(f"adapters must be a dict {{new variable: adapter}} or None, got {type(adapters).__name__}")
    rules = []
    for key, adapter in adapters.items():
        if type(key).__name__ == "PartitionedVariable":
            key = next(iter(key))  # The parts know of the whole.
        name = logical_name(key) if not isinstance(key, str) and is_variable(key) else key
        rules.append(Rule(compile_pattern(name, "adapters"), as_adapter(adapter)))
    return tuple(rules)
