"""Makes a `Plan` of a checkpoint, a graph and a `Request`.

It collects every problem before it raises one error. It makes no session, adds nothing to the graph and reads no value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from estimator_warmstart._tf import tf1
from estimator_warmstart.adapters.transforms import Misfit
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.old_models import (
    OldModelsArgument,
    none_has,
    open_checkpoints,
    title_of,
    why_none_has,
)
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.graph.variables import NewVariable, variables_to_choose
from estimator_warmstart.patterns import PatternsArgument, RenamesArgument
from estimator_warmstart.plan.adapter_rules import AdapterRules, AdaptersArgument, check_same_shape, transforms_between
from estimator_warmstart.plan.alignment import misalignments
from estimator_warmstart.plan.layouts import likely_renames
from estimator_warmstart.plan.name_matching import NameRules, Pair
from estimator_warmstart.plan.optimizer_state import notes_on_saved_models, plan_powers, plan_slots, planned_slot
from estimator_warmstart.plan.pairing import pair_up, why_elsewhere
from estimator_warmstart.plan.plan import INITIALIZED, Plan, PlannedVariable, check_coverage, initialized, recovered
from estimator_warmstart.plan.request import Request, make_request
from estimator_warmstart.plan.saveables import Judgement, Saveable, judge, saveables_of_graph, without_saveables

if TYPE_CHECKING:
    import tensorflow as tf


def plan_recovery(
    ckp_dir: OldModelsArgument,
    recover_vars: Optional[Mapping[str, Any]] = None,
    adapters: Optional[AdaptersArgument] = None,
    *,
    include: PatternsArgument = None,
    exclude: PatternsArgument = None,
    rename: RenamesArgument = None,
    collection: Optional[str] = None,
    with_slots: Optional[bool] = None,
    missing: str = "error",
    min_coverage: Optional[float] = None,
    graph: Optional[tf.Graph] = None,
) -> Plan:
    """Plans a warm start without changing anything.

    Use it in a test or a notebook to see the plan before training: the hooks make the same one. The other arguments are those
    of `VariableRecoverHook`.

    Args:
      adapters: `{new variable, its name or a pattern: adapter or list of adapters}`; the first that fits wins. `None`: shapes
        must be the same, as for `VariableRecoverHook`. A dict, which may be empty: `crop_or_pad()` for every other variable
        whose shape differs, as for `ShapeAdaptingRecoverHook`.
      with_slots: whether each recovered variable's optimizer slots are recovered too; `None`: if `adapters` is given.
      graph: a `tf.Graph`; `None`: the default graph.

    Returns:
      A `Plan`.

    Raises:
      WarmStartError: with everything that cannot be done and what to change.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import plan_recovery
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     _ = tf1.get_variable("w", [3, 1])
      ...     session.run(tf1.global_variables_initializer())
      ...     prefix = tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
      >>> with tf.Graph().as_default():
      ...     _, _ = tf1.get_variable("w", [3, 1]), tf1.get_variable("tower/kernel", [3, 3])
      ...     plan = plan_recovery(folder)
      >>> [(planned.new.name, planned.action) for planned in plan.variables], plan.coverage
      ([('w', 'restored'), ('tower/kernel', 'initialized')], 0.25)
    """
    with_slots = adapters is not None if with_slots is None else with_slots
    request = make_request(
        ckp_dir, recover_vars, adapters, include, exclude, rename, collection, with_slots, missing, min_coverage
    )
    return plan_request(request, graph or tf1.get_default_graph())


def plan_request(request: Request, graph: tf.Graph) -> Plan:
    """Returns the `Plan` for what `request` asks in `graph`. Every way in comes here.

    Raises:
      WarmStartError: with everything that cannot be done and what to change.
    """
    rules, checkpoints = request.name_rules, open_checkpoints(request.ckp_dirs)
    new = variables_to_choose(graph, rules[0].collection)
    saveables = saveables_of_graph(graph, checkpoints, new, [each.renames or () for each in rules])
    exclude = without_saveables(rules[0].exclude, saveables, new)
    rules = tuple(each._replace(exclude=exclude) for each in rules)
    return _Planner(request, checkpoints, new, saveables, rules).plan(graph)


def plan_eager(request: Request, new: Dict[str, NewVariable], opened: Optional[Checkpoint] = None) -> Plan:
    """The `Plan` for what `request` asks of the variables of a model as an object; `opened` is the old model, if it is open."""
    checkpoints = open_checkpoints(request.ckp_dirs) if opened is None else (opened,)
    plan = _Planner(request, checkpoints, new, [], request.name_rules).plan(None)
    return plan._replace(notes=(*plan.notes, *likely_renames(plan)))


class _Planner:
    """Makes one plan. It collects problems instead of stopping at the first."""

    def __init__(
        self,
        request: Request,
        checkpoints: Tuple[Checkpoint, ...],
        new: Dict[str, NewVariable],
        saveables: Sequence[Saveable],
        name_rules: Sequence[NameRules],
    ):
        self._request, self._saveables, self._name_rules = request, saveables, name_rules
        self._adapters = AdapterRules(request.adapter_rules)
        self._checkpoints, self._new = checkpoints, new
        self._decided: Dict[str, PlannedVariable] = {}
        self._problems: List[str] = []
        self._by_default: List[str] = []  # New variables of another shape that no adapter is named for.

    def plan(self, graph: Optional[tf.Graph]) -> Plan:
        """Returns the plan.

        Raises:
          WarmStartError: with every problem.
        """
        has_trainable = graph is None or bool(graph.get_collection(tf1.GraphKeys.TRAINABLE_VARIABLES))
        said = judge(self._saveables, self._request, has_trainable)
        try:
            pairing = pair_up(self._request, self._checkpoints, self._new, graph, self._name_rules)
        except WarmStartError as error:
            raise WarmStartError("the variables cannot be matched", (*error.problems, *said.problems)) from error
        self._problems += [*pairing.problems, *said.problems]
        for name in pairing.missing:
            reason = f"{none_has(self._checkpoints, name)} (missing='keep')"
            self._decided[name] = initialized(self._new[name], reason)
        self._decide(pairing.pairs)
        notes: List[str] = []
        if self._request.with_slots:
            notes, problems = plan_slots(self._checkpoints, self._new, self._adapters, self._decided)
            self._problems += problems
        asked = {pair.new for pair in pairing.pairs}
        more_notes, problems = plan_powers(self._checkpoints, self._new, self._decided, asked)
        notes += more_notes
        recovered_names = [name for name, planned in self._decided.items() if planned.old is not None]
        self._problems += problems + ([] if self._request.lacks_some else self._adapters.problems(recovered_names))
        self._problems += [
            f"the old {planned.old.name!r} {list(planned.old.shape)} is stored in part only; leave it out, or use another "
            f"checkpoint{self._in_which(planned.old.prefix)}"
            for planned in self._decided.values()
            if planned.old is not None and not planned.old.is_whole
        ]
        if self._problems:
            raise WarmStartError(f"{title_of(self._checkpoints)} cannot be recovered as asked", self._problems)
        return self._plan_of_decided(pairing.why_not, notes, said)

    def _in_which(self, prefix: str) -> str:
        """Returns the old model that a problem is in, to be put behind it, if there are several."""
        return f" ({prefix})" if len(self._checkpoints) > 1 else ""

    def _plan_of_decided(self, why_not: str, notes: List[str], said: Judgement) -> Plan:
        """Returns the plan of what was decided, with reasons why everything else is left as initialized."""
        decided = tuple(
            self._decided.get(name) or self._left_alone(new, why_not)
            for name, new in self._new.items()
            if name in self._decided or not new.is_local
        )
        if any(planned.new.is_local and planned.old is not None for planned in decided):
            notes.append("local variables take their old values again in each session, on every worker and in resumed runs")
        used = {(planned.old.prefix, planned.old.name) for planned in decided if planned.old is not None}
        unused = tuple(
            old
            for checkpoint in self._checkpoints
            for old in checkpoint.variables.values()
            if (old.prefix, old.name) not in used
        )
        notes += notes_on_saved_models(self._checkpoints, decided)
        warnings = (*said.warnings, *misalignments([self._decided[name] for name in self._by_default]))
        plan = Plan(self._checkpoints, decided, unused, (*notes, *said.notes), warnings)
        if len(self._checkpoints) > 1:
            idle = [checkpoint.prefix for checkpoint, filled in plan.filled_by if not filled]
            plan = plan._replace(warnings=(*warnings, *(f"no new variable takes a value from {prefix}" for prefix in idle)))
        return check_coverage(plan, self._request.min_coverage)

    def _decide(self, pairs: Sequence[Pair]) -> None:
        missing: Dict[str, None] = {}
        # Slots that the user named come after their variables, whose transforms they take.
        for pair in sorted(pairs, key=lambda pair: self._new[pair.new].slot_of is not None):
            new, old = self._new[pair.new], self._checkpoints[pair.model].variables.get(pair.old)
            if old is None:
                elsewhere = why_elsewhere(self._checkpoints, pair)
                reason = elsewhere or none_has(self._checkpoints, pair.old)
                self._decided[pair.new] = initialized(new, f"{reason} (missing='keep')")
                missing.setdefault(elsewhere or why_none_has(self._checkpoints, pair.old))
                continue
            try:
                self._decided[pair.new] = self._planned(old, new)
            except Misfit as problem:
                self._problems.append(f"{problem}{self._in_which(old.prefix)}")
        if self._request.missing == "error":
            self._problems += [f"{reason}; missing='keep' leaves its new variable as initialized" for reason in missing]

    def _planned(self, old: OldVariable, new: NewVariable) -> PlannedVariable:
        primary = self._decided.get(new.slot_of.primary) if new.slot_of is not None else None
        if primary is not None and primary.old is not None:
            planned = planned_slot(old, new, primary, self._adapters)
            if planned.old is None:  # The user named it.
                check_same_shape(old, new)
                raise Misfit(f"the new {new.name!r} cannot take the old {old.name!r}: {planned.reason}")
            return planned
        adapter = self._adapters.adapter_for(new)
        if adapter is None:
            adapter = self._adapters.default_for(old.shape, new)
            if adapter is None:
                check_same_shape(old, new)
                return recovered(new, old)
            self._by_default.append(new.name)
        return recovered(new, old, transforms_between(old, new, adapter), adapter.label)

    def _left_alone(self, new: NewVariable, why_not: str) -> PlannedVariable:
        if new.is_step:
            return initialized(new, "the global step is not carried over")
        if new.is_hyperparameter:
            return initialized(new, "the new optimizer's own setting")
        if new.settings is not None and new.slot_of is None and not self._request.with_slots:
            return initialized(new, "goes with the optimizer's slots; with_slots=True would recover them")
        if new.slot_of is not None and not self._request.with_slots:
            primary = self._decided.get(new.slot_of.primary)
            follows = primary is not None and primary.action != INITIALIZED
            what = "with_slots=True would recover it" if follows else "which is not recovered"
            return initialized(new, f"slot of {new.slot_of.primary!r}, {what}")
        return initialized(new, why_not)
