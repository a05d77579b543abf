"""The old model of the jobs, and what training it can have made of it.

Tells how many steps each parameter in a checkpoint of the new model has seen since the old one. With a gradient of 1
everywhere, each step adds 1 to every Adagrad accumulator and 1 / sqrt(accumulator) to every parameter: the number of steps can
be read off each, and a parameter that was initialized cold, set back, or recovered without its slot shows.
"""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from conftest import save_checkpoint

OLD = {
    "emb": np.float32([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12]]),
    "emb/Adagrad": np.float32([[100, 200], [300, 400], [500, 600], [700, 800], [900, 1000], [1100, 1200]]),
    "bias": np.float32([13, 14, 15]),
    "bias/Adagrad": np.float32([1300, 1400, 1500]),
}


def save_old(folder, parts=2):
    """Saves the old model, its table in `parts`; returns the directory."""
    os.makedirs(str(folder))
    save_checkpoint(folder, OLD, {"emb": parts, "emb/Adagrad": parts} if parts > 1 else None)
    return str(folder)


def trained(name, steps):
    """The parameter after so many steps."""
    accumulators = OLD[f"{name}/Adagrad"][..., None] + np.arange(1, steps + 1)
    return OLD[name] + np.sum(1 / np.sqrt(accumulators), axis=-1)


def load(checkpoint):
    """{old name: the new model's value} of a checkpoint's prefix, or of the latest in a directory."""
    return {name: tf.train.load_variable(str(checkpoint), f"new/{name}") for name in OLD}


def step_of(checkpoint):
    return int(tf.train.load_variable(str(checkpoint), "global_step"))


def assert_untrained(checkpoint):
    """The checkpoint holds the old values, at step 0."""
    assert step_of(checkpoint) == 0
    for name, value in load(checkpoint).items():
        np.testing.assert_array_equal(value, OLD[name], err_msg=f"{name} in {checkpoint}")


def assert_trained_from_old(checkpoint, step=None, slack=0):
    """Every parameter and every slot has seen the global step's number of steps since the old model, give or take `slack`.

    Several processes train without waiting for each other, so a checkpoint may have a step in one variable and not yet in
    another: `slack` is their number.
    """
    seen = step_of(checkpoint)
    assert step is None or step <= seen <= step + slack, f"ended at step {seen}"
    for name, value in load(checkpoint).items():
        what = f"{name} in {checkpoint} at step {seen}"
        if name.endswith("/Adagrad"):
            np.testing.assert_allclose(value - OLD[name], seen, rtol=0, atol=slack, err_msg=what)
        else:
            low, high = trained(name, max(seen - slack, 0)), trained(name, seen + slack)
            is_between = np.all(value >= low - 0.01) and np.all(value <= high + 0.01)
            assert is_between, f"{what}:\n{value}\nis not from\n{low}\nto\n{high}"
