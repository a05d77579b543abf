"""Makes a `Plan` of a checkpoint, a graph and a `Request`.

It collects every problem before it raises one error. It makes no session, adds nothing to the graph and reads no value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from estimator_warmstart._tf import tf1
from estimator_warmstart.adapters.transforms import Misfit
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, open_checkpoint
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.files import PathArgument
from estimator_warmstart.graph.variables import NewVariable, variables_to_choose
from estimator_warmstart.patterns import PatternsArgument, RenameArgument
from estimator_warmstart.plan.adapter_rules import AdapterRules, AdaptersArgument, check_same_shape, transforms_between
from estimator_warmstart.plan.alignment import misalignments
from estimator_warmstart.plan.layouts import likely_renames
from estimator_warmstart.plan.matching import match_graph
from estimator_warmstart.plan.name_matching import NameRules, Pair
from estimator_warmstart.plan.optimizer_state import plan_powers, plan_slots, planned_slot
from estimator_warmstart.plan.plan import INITIALIZED, Plan, PlannedVariable, check_coverage, initialized, recovered
from estimator_warmstart.plan.recover_vars import resolve_pairs
from estimator_warmstart.plan.request import Request, make_request
from estimator_warmstart.plan.saveables import Judgement, Saveable, judge, saveables_of_graph, without_saveables

if TYPE_CHECKING:
    import tensorflow as tf

# Close spellings take time to find, and nobody reads more of them.
_MOST_WITH_SPELLINGS = 100


def plan_recovery(
    ckp_dir: PathArgument,
    recover_vars: Optional[Mapping[str, Any]] = None,
    adapters: Optional[AdaptersArgument] = None,
    *,
    include: PatternsArgument = None,
    exclude: PatternsArgument = None,
    rename: RenameArgument = None,
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
    rules = request.name_rules
    checkpoint, new = open_checkpoint(request.ckp_dir), variables_to_choose(graph, rules.collection)
    saveables = saveables_of_graph(graph, checkpoint.variables, new, rules.renames or ())
    rules = rules._replace(exclude=without_saveables(rules.exclude, saveables, new))
    return _Planner(request, checkpoint, new, saveables, rules).plan(graph)


def plan_eager(request: Request, new: Dict[str, NewVariable], opened: Optional[Checkpoint] = None) -> Plan:
    """The `Plan` for what `request` asks of the variables of a model as an object; `opened` is the old model, if it is open."""
    plan = _Planner(request, opened or open_checkpoint(request.ckp_dir), new, [], request.name_rules).plan(None)
    return plan._replace(notes=(*plan.notes, *likely_renames(plan)))


class _Planner:
    """Makes one plan. It collects problems instead of stopping at the first."""

    def __init__(
        self,
        request: Request,
        checkpoint: Checkpoint,
        new: Dict[str, NewVariable],
        saveables: Sequence[Saveable],
        name_rules: NameRules,
    ):
        self._request, self._saveables, self._name_rules = request, saveables, name_rules
        self._adapters = AdapterRules(request.adapter_rules)
        self._checkpoint, self._old, self._new = checkpoint, checkpoint.variables, new
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
            pairs, why_not = self._pairs(graph)
        except WarmStartError as error:
            raise WarmStartError("the variables cannot be matched", (*error.problems, *said.problems)) from error
        self._problems += said.problems
        pairs = [pair._replace(old=self._name_of(pair.old)) for pair in pairs]
        self._refuse_collisions(pairs)
        self._decide(pairs)
        if self._request.with_slots:
            self._problems += plan_slots(self._checkpoint, self._new, self._adapters, self._decided)
        notes, problems = plan_powers(self._checkpoint, self._new, self._decided, {pair.new for pair in pairs})
        recovered_names = [name for name, planned in self._decided.items() if planned.old is not None]
        self._problems += problems + ([] if self._request.lacks_some else self._adapters.problems(recovered_names))
        self._problems += [
            f"the old {planned.old.name!r} {list(planned.old.shape)} is stored in part only; leave it out, or use another "
            "checkpoint"
            for planned in self._decided.values()
            if planned.old is not None and not planned.old.is_whole
        ]
        if self._problems:
            raise WarmStartError(f"the old model {self._checkpoint.prefix} cannot be recovered as asked", self._problems)
        return self._plan_of_decided(why_not, notes, said)

    def _plan_of_decided(self, why_not: str, notes: List[str], said: Judgement) -> Plan:
        """Returns the plan of what was decided, with reasons why everything else is left as initialized."""
        decided = tuple(
            self._decided.get(name) or self._left_alone(new, why_not)
            for name, new in self._new.items()
            if name in self._decided or not new.is_local
        )
        if any(planned.new.is_local and planned.old is not None for planned in decided):
            notes.append("local variables take their old values again in each session, on every worker and in resumed runs")
        used = {planned.old.name for planned in decided if planned.old is not None}
        unused = tuple(old for name, old in self._old.items() if name not in used)
        if (
            self._checkpoint.is_saved_model
            and any(planned.new.slot_of for planned in decided)
            and not self._checkpoint.slots_by_name
        ):
            notes.append("a SavedModel holds no optimizer slots: they begin as initialized")
        warnings = (*said.warnings, *misalignments([self._decided[name] for name in self._by_default]))
        plan = Plan((self._checkpoint,), decided, unused, (*notes, *said.notes), warnings)
        return check_coverage(plan, self._request.min_coverage)

    def _pairs(self, graph: tf.Graph) -> Tuple[Sequence[Pair], str]:
        """Returns what goes where, and the reason for a variable that is not in any pair."""
        request = self._request
        if request.recover_vars is not None:
            pairs, self._problems = resolve_pairs(request.recover_vars, self._new, graph, request.lacks_some)
            return pairs, "not in recover_vars"
        if self._name_rules.are_given:
            return self._matched_pairs(graph), "not matched"
        return self._pairs_of_same_name(), "the checkpoint has no variable of this name"

    def _matched_pairs(self, graph: tf.Graph) -> Sequence[Pair]:
        matched = match_graph(self._checkpoint, self._new, graph, self._name_rules)
        problems = list(matched.doubled)
        if not self._request.lacks_some:
            problems += matched.unused
            # Of what is chosen explicitly, each variable has a problem of its own.
            problems += () if self._name_rules.choose_explicitly else matched.missing
        if problems:
            raise WarmStartError("the variables cannot be matched", problems)
        if not self._request.lacks_some:
            found = {pair.new for pair in matched.pairs}
            self._leave_missing([name for name in matched.chosen if name not in found])
        return matched.pairs

    def _leave_missing(self, missing: Sequence[str]) -> None:
        """Leaves variables that were chosen explicitly as initialized, or makes them problems."""
        for number, name in enumerate(missing):
            self._decided[name] = initialized(self._new[name], f"the checkpoint has no {name!r} (missing='keep')")
            if self._request.missing == "error":
                close = did_you_mean(name, self._old) if number < _MOST_WITH_SPELLINGS else ""
                self._problems.append(
                    f"the new {name!r} {list(self._new[name].shape)} is chosen, but the checkpoint has nothing of that name "
                    f"and no rename gives it anything{close}; exclude={name!r} leaves it out, missing='keep' leaves all such "
                    "variables as initialized"
                )

    def _pairs_of_same_name(self) -> List[Pair]:
        pairs = [
            Pair(name, name) for name, new in self._new.items() if new.is_parameter and not new.is_local and name in self._old
        ]
        if not pairs and self._request.missing == "error" and not self._request.lacks_some:
            self._problems.append(
                "no new variable has a name that the checkpoint has; recover_vars={old name: new variable} says what goes "
                f"where. The first old names are {', '.join(list(self._old)[:5])}; the first new ones "
                f"{', '.join(list(self._new)[:5])}"
            )
        return pairs

    def _name_of(self, given: str) -> str:
        """Returns the name of the old variable that the user gave by its name or object path."""
        old = self._checkpoint.find(given)
        return given if old is None else old.name

    def _refuse_collisions(self, pairs: List[Pair]) -> None:
        takers: Dict[str, List[str]] = {}
        for pair in pairs:
            takers.setdefault(pair.new, []).append(pair.old)
        self._problems += [
            f"the new {name!r} is given {len(olds)} old values: {', '.join(map(repr, olds))}; keep one"
            for name, olds in takers.items()
            if len(olds) > 1
        ]

    def _decide(self, pairs: List[Pair]) -> None:
        # Slots that the user named come after their variables, whose transforms they take.
        for pair in sorted(pairs, key=lambda pair: self._new[pair.new].slot_of is not None):
            new = self._new[pair.new]
            if pair.old not in self._old:
                self._decided[pair.new] = initialized(new, f"the checkpoint has no {pair.old!r} (missing='keep')")
                continue
            try:
                self._decided[pair.new] = self._planned(pair, new)
            except Misfit as problem:
                self._problems.append(str(problem))
        if self._request.missing == "error":
            self._problems += [
                f"{self._checkpoint.why_not(name)}; missing='keep' leaves its new variable as initialized"
                for name in dict.fromkeys(pair.old for pair in pairs if pair.old not in self._old)
            ]

    def _planned(self, pair: Pair, new: NewVariable) -> PlannedVariable:
        old = self._old[pair.old]
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
