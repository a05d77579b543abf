"""The variables of a Keras optimizer of any generation, tied to the variables of an eager model, as a plan knows them.

They are called as Keras calls them since 2.11, OPTIMIZER/SLOT/VARIABLE, whatever the optimizer itself calls them: from its own
names the variable could not be told again.
"""

from __future__ import annotations

import contextlib
from typing import Any, ContextManager, Dict, List, Optional, Sequence

from estimator_warmstart._tf import build_optimizer, strategy_of
from estimator_warmstart._tf_objects import KerasSlot, is_built, knows_some, slots_of, tensorflow_variable, u_product_of
from estimator_warmstart.arguments import is_number
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.graph.eager_variables import EagerModel, new_variable
from estimator_warmstart.graph.variables import NewVariable, OptimizerSettings
from estimator_warmstart.optimizers import class_of, corrects_bias, uses_slots
from estimator_warmstart.slots import MOMENTUM_CACHE, SlotOf


def choose_optimizer(model: Any, optimizer: Any, with_slots: bool) -> Optional[Any]:
    """The optimizer whose variables a plan is to know: the one that is given, or the one that the model was compiled with.

    Raises:
      WarmStartError: for what is not a Keras optimizer, for another than the model was compiled with, and where slots are asked
        for and there is none.
    """
    compiled = getattr(model, "optimizer", None)
    if optimizer is None and with_slots and not _is_optimizer(compiled):
        raise WarmStartError(
            "with_slots=True recovers an optimizer's slots, and there is no optimizer: give optimizer=, or compile the model"
        )
    if optimizer is None:
        return _inner(compiled) if _is_optimizer(compiled) else None
    if not _is_optimizer(optimizer):
        given = f"the class {optimizer.__name__}" if isinstance(optimizer, type) else repr(optimizer)
        raise WarmStartError(f"optimizer must be a Keras optimizer, got {given}")
    if _is_optimizer(compiled) and _inner(compiled) is not _inner(optimizer):
        raise WarmStartError("the model was compiled with another optimizer than `optimizer`; give model.optimizer")
    return _inner(optimizer)


def optimizer_variables(optimizer: Any, model: EagerModel, build: bool) -> Dict[str, NewVariable]:
    """The slots, the count of steps and the like of `optimizer`.

    Args:
      optimizer: a Keras optimizer.
      model: the model that it trains.
      build: whether to make its variables if they are not there yet.

    Raises:
      WarmStartError: if it was built for another model.
    """
    names = list(model.trainable)
    held = [model.variables[name] for name in names]
    if is_built(optimizer) and held and not knows_some(optimizer, held):
        raise WarmStartError(
            f"the optimizer was built for other variables than the model's {first_few(names)}: give each model an optimizer of "
            "its own"
        )
    if not is_built(optimizer):
        if not build:
            return {}
        with _scope_of(held):
            build_optimizer(optimizer, held)
    kind = class_of(optimizer) or type(optimizer).__name__
    settings = settings_of(optimizer)
    count, product = f"{kind}/iteration", u_product_of(optimizer)
    powers = [count] if corrects_bias(kind) else []
    found = [new_variable(count, optimizer.iterations, is_power=True, settings=settings)]
    if product is not None:
        powers.append(f"{kind}/{MOMENTUM_CACHE}")
        found.append(new_variable(powers[-1], product, is_power=True, settings=settings))
    for slot in slots_of(optimizer, held) if uses_slots(kind, optimizer.get_config()) else ():
        found.append(_new_slot(slot, names[slot.position], kind, tuple(powers), settings))
    return {new.name: new for new in found}


def settings_of(optimizer: Any) -> OptimizerSettings:
    """The numbers that a plan needs to know of `optimizer`."""
    config = optimizer.get_config()
    betas = {
        power: float(config[beta])
        for power, beta in (("beta1_power", "beta_1"), ("beta2_power", "beta_2"))
        if is_number(config.get(beta))
    }
    rate = config.get("learning_rate")
    changes = not is_number(rate) or (is_number(config.get("decay")) and float(config["decay"]) != 0)
    # Until 2.10 Nadam's decay is that of its momenta; the others' is of the learning rate.
    momentum_decay = float(config["decay"]) if is_number(config.get("decay")) else 1.0
    return OptimizerSettings(betas, None if changes else float(rate), momentum_decay)


def _new_slot(slot: KerasSlot, primary: str, kind: str, powers: Sequence[str], settings: OptimizerSettings) -> NewVariable:
    return new_variable(
        f"{kind}/{slot.slot_name}/{primary}",
        slot.variable,
        slot_of=SlotOf(f"{kind}/", primary, slot.slot_name),
        powers=tuple(powers),
        settings=settings,
    )


def _is_optimizer(value: Any) -> bool:
    return not isinstance(value, type) and all(hasattr(value, name) for name in ("apply_gradients", "get_config", "iterations"))


def _inner(optimizer: Any) -> Any:
    """The optimizer that a LossScaleOptimizer wraps, or this one."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _scope_of(held: List[Any]) -> ContextManager[Any]:
    """The scope of the strategy that the variables were made in, so that slots are mirrored as they are."""
    variable = tensorflow_variable(held[0]) if held else None
    strategy = strategy_of(variable)
    return strategy.scope() if strategy is not None else contextlib.ExitStack()
