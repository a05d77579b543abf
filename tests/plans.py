"""Plans made by hand, for tests of what shows plans: no graph and no file is behind them."""

from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.graph.variables import NewVariable, Part
from estimator_warmstart.plan.plan import Plan, initialized, recovered
from estimator_warmstart.slots import SlotOf


def new_variable(name, shape, **options):
    return NewVariable(name, shape, "float32", (Part(name, (0,) * len(shape), shape, None, ()),), **options)


def old_variable(name, shape, prefix="old/model.ckpt-7"):
    return OldVariable(name, shape, "float32", name, prefix=prefix)


def adapted(name, old_shape, new_shape, adapter, old_name=None):
    """A variable that `adapter` makes of an old one."""
    steps = adapter.steps(old_shape, new_shape, "float32")
    return recovered(new_variable(name, new_shape), old_variable(old_name or name, old_shape), steps, adapter.label)


def restored(name, shape, old_name=None):
    return recovered(new_variable(name, shape), old_variable(old_name or name, shape))


def plan_of(*variables, unused=(), notes=(), warnings=()):
    return Plan((Checkpoint("old/model.ckpt-7", "name-based", {}, {}),), variables, unused, notes, warnings)


def large_plan(scopes=100, layers=25):
    """Variables in scopes, each with another old name and two slots: `scopes` times `layers` times four."""
    variables = []
    for scope in range(scopes):
        for layer in range(layers):
            new, old = f"model_{scope}/encoder/block_{layer}/dense", f"pretrained/tower_{scope}/transformer/layer_{layer}/dense"
            shape = (64 + layer, 32 + scope)
            kernel = restored(f"{new}/kernel", shape, f"{old}/kernel")
            variables += [
                kernel,
                initialized(new_variable(f"{new}/bias", shape[1:]), "the checkpoint has no variable of this name"),
            ]
            for slot in ("Adam", "Adam_1"):
                slot_of = SlotOf("", f"{new}/kernel", slot)
                slot_variable = new_variable(f"{new}/kernel/{slot}", shape, slot_of=slot_of)
                variables.append(recovered(slot_variable, old_variable(f"{old}/kernel/{slot}", shape)))
    return plan_of(*variables)
