"""Checks and compiles what the user asks of a warm start, before there is a checkpoint or a graph.

All ways in make their `Request` by `make_request`, so a request that exists is valid.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart.arguments import check_bool, check_choice, check_share
from estimator_warmstart.checkpoint.old_models import OldModelsArgument, checked_ckp_dirs
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import PathArgument
from estimator_warmstart.patterns import PatternsArgument, RenamesArgument
from estimator_warmstart.plan.adapter_rules import AdapterRule, AdaptersArgument, compile_adapters
from estimator_warmstart.plan.joint_matching import compile_rules_of_each
from estimator_warmstart.plan.name_matching import NameRules


class Request(NamedTuple):
    """What a warm start is asked to do, for any graph.

    Attributes:
      ckp_dirs: where the old models are; a new variable takes the value of the first that has it.
      recover_vars: `{old name: new variable}`, or `None`.
      name_rules: `include`, `exclude`, `rename` and `collection`, compiled, for each old model.
      adapter_rules: the adapters, compiled, or `None` where shapes must be the same.
      with_slots: whether slots go with their variables.
      missing: `"error"` or `"keep"`.
      min_coverage: the least share of the new model's bytes that must be recovered, or `None`.
      check_finite: whether to refuse old values that are not finite.
      model_dir: the new model's own directory, or `None` if it is not known.
      html: whether the record in `model_dir` is written as a page too.
      lacks_some: whether the graph may lack variables that training has, as an evaluation's lacks the optimizer's slots. Names
        and rules that fit nothing there are not a problem then.
    """

    ckp_dirs: Tuple[PathArgument, ...]
    recover_vars: Optional[Mapping[str, Any]]
    name_rules: Tuple[NameRules, ...]
    adapter_rules: Optional[Tuple[AdapterRule, ...]]
    with_slots: bool
    missing: str
    min_coverage: Optional[float]
    check_finite: bool
    model_dir: Optional[str]
    html: bool = False
    lacks_some: bool = False


def make_request(
    ckp_dir: OldModelsArgument,
    recover_vars: Optional[Mapping[str, Any]] = None,
    adapters: Optional[AdaptersArgument] = None,
    include: PatternsArgument = None,
    exclude: PatternsArgument = None,
    rename: RenamesArgument = None,
    collection: Optional[str] = None,
    with_slots: bool = False,
    missing: str = "error",
    min_coverage: Optional[float] = None,
    check_finite: bool = False,
    model_dir: Optional[str] = None,
    html: bool = False,
) -> Request:
    """Checks and compiles the arguments of `plan_recovery`, all but its graph.

    Raises:
      WarmStartError: for arguments that are not valid whatever the checkpoint and the graph are.
    """
    ckp_dirs = checked_ckp_dirs(ckp_dir)
    _check_recover_vars(recover_vars)
    if recover_vars is not None and any(argument is not None for argument in (include, exclude, rename, collection)):
        raise WarmStartError(
            "recover_vars says by itself what goes where; leave out either it or include, exclude, rename and collection"
        )
    name_rules = compile_rules_of_each(include, exclude, rename, collection, len(ckp_dirs))
    adapter_rules = compile_adapters(adapters)
    check_bool("with_slots", with_slots)
    check_choice("missing", missing, ("error", "keep"))
    check_share("min_coverage", min_coverage)
    check_bool("check_finite", check_finite)
    check_bool("html", html)
    if html and model_dir is None:
        raise WarmStartError("html=True writes warm_start.html to model_dir, which is not known; give model_dir")
    return Request(
        ckp_dirs, recover_vars, name_rules, adapter_rules, with_slots, missing, min_coverage, check_finite, model_dir, html
    )


def _check_recover_vars(recover_vars: object) -> None:
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
