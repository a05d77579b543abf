"""What the user asks of a warm start, in one record, checked as far as no checkpoint and no graph is needed. Pure.

Enters: the arguments that `plan_recovery`, the hooks and the other ways in share. Leaves: a `Request`. This module must not
know what is done about it.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional

from estimator_warmstart.arguments import check_bool, check_choice, check_share
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.patterns import compile_patterns, compile_renames
from estimator_warmstart.plan.adapter_rules import Rules, compile_rules


class Request(NamedTuple):
    """What a warm start is asked to do, for any graph.

    Attributes:
      ckp_dir: where the old model is.
      recover_vars: `{old name: new variable}`, or `None`.
      adapters: `{new variable or pattern: adapter}`, or `None` where shapes must be the same.
      include: patterns of new names, as of `match_variables`; also the next three.
      exclude: patterns of new names.
      rename: `{old pattern: new name or scope, or a list of several}`.
      collection: a name from `tf.compat.v1.GraphKeys`.
      with_slots: whether slots go with their variables.
      missing: `"error"` or `"keep"`.
      min_coverage: the least share of the new model's bytes that must be recovered, or `None`.
      check_finite: whether to refuse old values that are not finite.
      model_dir: the new model's own directory, or `None` if it is not known.
      lacks_some: whether the graph may lack variables that training has, as an evaluation's lacks the optimizer's slots: names
        and rules that fit nothing there are then no problem.
    """

    ckp_dir: Any
    recover_vars: Optional[Mapping[str, Any]] = None
    adapters: Optional[Mapping[Any, Any]] = None
    include: Any = None
    exclude: Any = None
    rename: Any = None
    collection: Optional[str] = None
    with_slots: bool = False
    missing: str = "error"
    min_coverage: Optional[float] = None
    check_finite: bool = False
    model_dir: Optional[str] = None
    lacks_some: bool = False

    @property
    def matches_names(self) -> bool:
        """Whether names are chosen by patterns, renames or a collection."""
        return any(value is not None for value in (self.include, self.exclude, self.rename, self.collection))

    @property
    def rules(self) -> Rules:
        """The adapters, as rules."""
        return Rules(self.adapters)

    def checked(self) -> Request:
        """This request.

        Raises:
          WarmStartError: for arguments that no checkpoint and no graph could make right.
        """
        _check_recover_vars(self.recover_vars)
        if self.recover_vars is not None and self.matches_names:
            raise WarmStartError(
                "recover_vars says by itself what goes where; leave out either it or include, exclude, rename and collection"
            )
        for argument, patterns in (("include", self.include), ("exclude", self.exclude)):
            compile_patterns(patterns, argument)
        compile_renames(self.rename)
        compile_rules(self.adapters)
        check_bool("with_slots", self.with_slots)
        check_choice("missing", self.missing, ("error", "keep"))
        check_share("min_coverage", self.min_coverage)
        check_bool("check_finite", self.check_finite)
        return self


def _check_recover_vars(recover_vars: Any) -> None:
    if recover_vars is None:
        return
    if not isinstance(recover_vars, Mapping):
        raise WarmStartError(
            f"recover_vars must be a dict {{old name: new variable}} or None, got {type(recover_vars).__name__}"
        )
    if not recover_vars:
        raise WarmStartError("recover_vars is empty: name what to recover, or give None for every variable of the same name")
    for name in recover_vars:
        if not isinstance(name, str):
            raise WarmStartError(
                f"recover_vars: an old name is a string, got {name!r}; the dict goes {{old name: new variable}}"
            )
