"""The slots of Keras 3 optimizers in a checkpoint, by names alone: OPTIMIZER/VARIABLE_SLOT, with _ for each / of the name."""

import pytest

from estimator_warmstart.optimizers import meanings_of
from estimator_warmstart.slots import SlotOf, find_slots

MODEL = {"net/hidden/kernel": (3, 2), "net/hidden/bias": (2,)}
# The optimizer's name in Keras 3, its slots, and for each of them what Keras called it until 2.10.
OPTIMIZERS = {
    "adagrad": ("Adagrad", {"accumulator": "accumulator"}),
    "adam": ("Adam", {"momentum": "m", "velocity": "v"}),
    "adam_1": ("Adam", {"momentum": "m", "velocity": "v"}),
    "adam_w": ("Adam", {"momentum": "m", "velocity": "v", "velocity_hat": "vhat"}),
    "adamax": ("Adamax", {"momentum": "m", "norm": "v"}),
    "ftrl": ("Ftrl", {"accumulator": "accumulator", "linear": "linear"}),
    "nadam": ("Nadam", {"momentum": "m", "velocity": "v"}),
    "rm_sprop": ("RMSprop", {"velocity": "rms", "momentum": "momentum", "average_gradient": "mg"}),
    "sgd": ("SGD", {"momentum": "momentum"}),
}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_slots_and_what_they_are(name):
    optimizer, slots = OPTIMIZERS[name]
    shapes = {**MODEL, f"{name}/iteration": (), f"{name}/learning_rate": ()}
    shapes.update(
        (f"{name}/net_hidden_{leaf}_{slot}", MODEL[f"net/hidden/{leaf}"]) for leaf in ("kernel", "bias") for slot in slots
    )
    found = find_slots(shapes)
    assert found == {
        f"{name}/net_hidden_{leaf}_{slot}": SlotOf(f"{name}/", f"net/hidden/{leaf}", slot)
        for leaf in ("kernel", "bias")
        for slot in slots
    }
    meanings = meanings_of(found)
    assert {meanings[f"{name}/net_hidden_kernel_{slot}"].what for slot in slots} == {
        (optimizer, slot) for slot in slots.values()
    }


def test_a_model_without_an_optimizer_has_none():
    assert find_slots({**MODEL, "adam/net_hidden_kernel_momentum": (3, 2)}) == {}
