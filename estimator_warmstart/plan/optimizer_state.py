"""Plans an optimizer's state: slots go with their variables, Adam's powers go with its moments.

It comes after the model's own variables, which decide what happens to their slots.
"""

from __future__ import annotations

from typing import Collection, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from estimator_warmstart.adapters.transforms import Misfit, Scale, for_slot, result_dtype, result_shape
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.old_models import prefixes_of
from estimator_warmstart.errors import first_few
from estimator_warmstart.graph.variables import NewVariable
from estimator_warmstart.optimizers import Meaning, corrects_bias, meanings_of
from estimator_warmstart.plan.adapter_rules import AdapterRules, check_dtype, check_static_shape, transforms_between
from estimator_warmstart.plan.old_slots import OldSlots, describe_scale
from estimator_warmstart.plan.plan import INITIALIZED, PlannedVariable, initialized, recovered
from estimator_warmstart.plan.step_counts import planned_count, planned_iterations

_UNKNOWN_MEANING = Meaning("", "", False)


def plan_slots(
    checkpoints: Sequence[Checkpoint], new: Mapping[str, NewVariable], rules: AdapterRules, decided: Dict[str, PlannedVariable]
) -> Tuple[List[str], List[str]]:
    """Plans each slot that is not planned yet, as its variable is planned, from the old model that that comes from.

    Args:
      checkpoints: the old models.
      new: the graph's logical variables.
      rules: the adapters. A slot takes the adapter that names it, if there is one.
      decided: {name: what is planned} of the variables. Slots are added.

    Returns:
      Notes for the report, and the problems of adapters that were named for slots. A slot that the checkpoint does not have is
      not a problem: it is left as initialized, with the reason.
    """
    sources = {checkpoint.prefix: OldSlots(checkpoint, new) for checkpoint in checkpoints}
    problems = []
    for name, slot in new.items():
        if slot.slot_of is None or name in decided:
            continue
        primary = decided.get(slot.slot_of.primary)
        if primary is None or primary.old is None:
            decided[name] = initialized(slot, f"slot of {slot.slot_of.primary!r}, which is not recovered")
            continue
        try:
            source = sources[primary.old.prefix].find(slot, primary.old.name)
        except Misfit as reason:
            where = f" ({primary.old.prefix}, as its variable)" if len(checkpoints) > 1 else ""
            decided[name] = initialized(slot, f"{reason}{where}")
            continue
        try:
            decided[name] = planned_slot(source.old, slot, primary, rules, source.scale)
        except Misfit as problem:
            problems.append(str(problem))
    return _plan_counts(checkpoints, new, decided), problems


def _by_model(
    checkpoints: Sequence[Checkpoint], decided: Iterable[PlannedVariable]
) -> List[Tuple[Checkpoint, List[PlannedVariable]]]:
    """Returns each old model that `decided` take values from, with those; first the one that most bytes come from."""
    found: Dict[str, List[PlannedVariable]] = {}
    for planned in decided:
        if planned.old is not None:
            found.setdefault(planned.old.prefix, []).append(planned)
    models = [(checkpoint, found[checkpoint.prefix]) for checkpoint in checkpoints if checkpoint.prefix in found]
    return sorted(models, key=lambda model: -sum(planned.recovered_bytes for planned in model[1]))


def _plan_counts(
    checkpoints: Sequence[Checkpoint], new: Mapping[str, NewVariable], decided: Dict[str, PlannedVariable]
) -> List[str]:
    """Lets the count of an eager optimizer that corrects no bias go with its slots: schedules of its rate go by it.

    Of several old models that is the one that most bytes of the slots come from, which the notes say that it returns.
    """
    with_bias = {power for slot in new.values() for power in slot.powers}
    of_optimizer = [each for each in new.values() if each.settings is not None]
    slots = [each for each in of_optimizer if each.slot_of is not None]
    models = _by_model(checkpoints, [decided[slot.name] for slot in slots])
    notes: List[str] = []
    for count in of_optimizer:
        if count.slot_of is not None or count.name in with_bias or count.name in decided:
            continue
        if slots and not models:
            decided[count.name] = initialized(count, "goes with the optimizer's slots, of which none is recovered")
            continue
        giving = models or _by_model(checkpoints, decided.values())
        if giving:
            checkpoint, taken = giving[0]
            planned = planned_iterations(checkpoint, count, [each.source.name for each in taken] if models else [])
            decided[count.name] = planned or initialized(count, "the checkpoint has no count of steps")
            notes += [] if planned is None else _notes_on_steps([planned], giving)
    return notes


def _notes_on_steps(counts: Sequence[PlannedVariable], models: Sequence[Tuple[Checkpoint, List[PlannedVariable]]]) -> List[str]:
    """Returns a note if powers or counts of one old model go with values of another."""
    theirs = list(dict.fromkeys(planned.source.prefix for planned in counts))
    others = [(checkpoint, taken) for checkpoint, taken in models if checkpoint.prefix not in theirs]
    if not others:
        return []
    names, places = [planned.new.name for _, taken in others for planned in taken], prefixes_of([each for each, _ in others])
    return [
        f"{' and '.join(repr(planned.new.name) for planned in counts)} tell the steps of {' and '.join(theirs)}; what comes "
        f"from {places} goes on as if trained for as many: {first_few(names)}"
    ]


def planned_slot(
    old: OldVariable, slot: NewVariable, primary: PlannedVariable, rules: AdapterRules, scale: Optional[Scale] = None
) -> PlannedVariable:
    """Plans a slot as its variable: the same transforms, with the slot's own initial value where there is no old one.

    Args:
      old: the old slot.
      slot: the new one.
      primary: what is planned for the variable.
      rules: the adapters.
      scale: the factor of another optimizer's slot, if there is one.

    Raises:
      Misfit: if an adapter that was named for the slot does not result in its shape.
    """
    named = rules.adapter_for(slot)
    if named is not None:
        steps = transforms_between(old, slot, named)
        return recovered(slot, old, steps if scale is None else (scale, *steps), named.label)
    steps = for_slot(primary.steps, old.dtype, slot.dtype)
    try:
        check_static_shape(slot)
        if result_dtype(old.dtype, steps) != slot.dtype:
            check_dtype(old, slot)
            raise Misfit(f"{primary.reason} turns the old {old.name!r} into {result_dtype(old.dtype, steps)}, not {slot.dtype}")
    except Misfit as reason:
        return initialized(slot, str(reason))
    if result_shape(old.shape, primary.steps) != slot.shape:
        return initialized(slot, f"the old {old.name!r} has shape {list(old.shape)}, another one than its variable")
    how = f"as {primary.new.name!r}"
    return (
        recovered(slot, old, steps, how)
        if scale is None
        else recovered(slot, old, (scale, *steps), f"{how}, times {describe_scale(scale)}")
    )


def plan_powers(
    checkpoints: Sequence[Checkpoint],
    new: Mapping[str, NewVariable],
    decided: Dict[str, PlannedVariable],
    asked: Collection[str],
) -> Tuple[List[str], List[str]]:
    """Plans Adam's powers with its moments, neither without the other: bias correction needs both.

    There is one set of powers. If the moments come from several old models, it is that of the model that most of their bytes
    come from.

    Args:
      checkpoints: the old models.
      new: the graph's logical variables.
      decided: {name: what is planned} of variables and slots. Powers are added, moments without powers are left as
        initialized.
      asked: the names of the new variables that the user named. To leave those as initialized is a problem.

    Returns:
      Notes for the report, and problems.
    """
    meanings = meanings_of({name: slot.slot_of for name, slot in new.items() if slot.slot_of is not None})
    notes = _notes_on_uncounted_steps(decided, meanings) + _notes_on_lost_weights(new, decided, meanings)
    problems: List[str] = []
    groups: Dict[Tuple[str, ...], List[str]] = {}
    for name, slot in new.items():
        if slot.powers:
            groups.setdefault(slot.powers, []).append(name)
    for powers, moments in groups.items():
        carried = [name for name in moments if name in decided and decided[name].action != INITIALIZED]
        if carried:
            notes += _take_powers(checkpoints, new, decided, powers, moments)
            problems += [
                f"{name!r} is asked for, but {decided[name].reason}; leave it out"
                for name in carried
                if name in asked and decided[name].action == INITIALIZED
            ]
            continue
        for power in powers:
            if power in decided and decided[power].action != INITIALIZED:
                problems.append(
                    f"{power!r} is asked for without the moments it belongs to ({moments[0]!r}, ...): the first updates "
                    "would be several times too large; recover the slots too (with_slots=True) or leave it out"
                )
            decided[power] = initialized(new[power], "goes with Adam's moments, of which none is recovered")
    return notes, problems


def _notes_on_uncounted_steps(decided: Mapping[str, PlannedVariable], meanings: Mapping[str, Meaning]) -> List[str]:
    """Returns notes on Keras's Adams that count steps by the global step, as those of `model_to_estimator` do."""
    prefixes = dict.fromkeys(
        planned.new.slot_of.prefix
        for planned in decided.values()
        if planned.old is not None
        and planned.new.slot_of is not None
        and planned.new.slot_of.prefix
        and not planned.new.powers
        and corrects_bias(meanings.get(planned.new.name, _UNKNOWN_MEANING).optimizer)
        and not meanings[planned.new.name].is_tf1
    )
    return [
        f"{prefix.rstrip('/')!r} counts its steps by 'global_step', which is not carried over: with recovered moments, Adam's "
        "first updates, about 1 / (1 - beta_2) of them, are smaller than at any later step"
        for prefix in prefixes
    ]


def _take_powers(
    checkpoints: Sequence[Checkpoint],
    new: Mapping[str, NewVariable],
    decided: Dict[str, PlannedVariable],
    powers: Tuple[str, ...],
    moments: List[str],
) -> List[str]:
    models: List[Tuple[Checkpoint, List[PlannedVariable]]] = []
    of_first: Dict[str, PlannedVariable] = {}
    for checkpoint, carried in _by_model(checkpoints, [decided[name] for name in moments if name in decided]):
        olds = [planned.source.name for planned in carried]
        found = {power: _planned_power(checkpoint, new, power, decided.get(power), olds) for power in powers}
        absent = [power for power, planned in found.items() if planned is None]
        if absent:
            for planned in carried:
                reason = f"Adam's moment, and the checkpoint has no {absent[0]!r} to go with it"
                decided[planned.new.name] = initialized(planned.new, reason)
            continue
        of_first = of_first or {power: planned for power, planned in found.items() if planned is not None}
        models.append((checkpoint, carried))
    decided.update(of_first)
    notes = _notes_on_steps(list(of_first.values()), models)
    count = sum(len(carried) for _, carried in models)
    fresh = [name for name in moments if name not in decided or decided[name].old is None]
    if not count or not fresh:
        return notes
    return [
        *notes,
        f"{' and '.join(powers)} are recovered with {count} of {len(moments)} moments; the first updates of "
        f"variables whose moments start fresh are larger than Adam's usual ones: {', '.join(fresh[:4])}"
        f"{', ...' if len(fresh) > 4 else ''}",
    ]


def _planned_power(
    checkpoint: Checkpoint, new: Mapping[str, NewVariable], power: str, named: Optional[PlannedVariable], moments: List[str]
) -> Optional[PlannedVariable]:
    if named is not None and named.old is not None:
        own = checkpoint.variables.get(named.old.name)  # The user names it, and `checkpoint` is the model that it is to be of.
        is_alike = own is not None and (own.shape, own.dtype) == (named.old.shape, named.old.dtype)
        return named._replace(old=own) if is_alike else named
    return planned_count(checkpoint, new, new[power], moments)


def notes_on_saved_models(checkpoints: Sequence[Checkpoint], decided: Sequence[PlannedVariable]) -> List[str]:
    """Returns a note for each SavedModel without slots, if the new model has some."""
    has_slots = any(planned.new.slot_of for planned in decided)
    without = [each for each in checkpoints if has_slots and each.is_saved_model and not each.slots_by_name]
    of_which = [f" ({each.prefix})" if len(checkpoints) > 1 else "" for each in without]
    return [f"a SavedModel{which} holds no optimizer slots: they begin as initialized" for which in of_which]


def _notes_on_lost_weights(
    new: Mapping[str, NewVariable], decided: Mapping[str, PlannedVariable], meanings: Mapping[str, Meaning]
) -> List[str]:
    """Returns a note if Ftrl forgets recovered weights: it computes them from its slot `linear` in every update."""
    lost = []
    for name, meaning in meanings.items():
        slot_of, planned = new[name].slot_of, decided.get(name)
        primary = decided.get(slot_of.primary) if slot_of is not None else None
        if (
            (meaning.optimizer, meaning.slot) == ("Ftrl", "linear")
            and (planned is None or planned.old is None)
            and primary is not None
            and primary.old is not None
        ):
            lost.append(primary.new.name)
    if not lost:
        return []
    return [
        f"Ftrl computes a variable from its slots. These slots begin as initialized, so its first updates forget the recovered "
        f"values of {first_few(lost)}; the smaller the gradients, the more is lost. Recover the slots too (with_slots=True) "
        "or use another optimizer"
    ]
