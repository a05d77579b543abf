"""What `write_checkpoint` writes is bit for bit what a hook recovers: random shapes, partitions, adapters, fills and dtypes.

Both draw seeded initial values. The cases are those of `test_adapting_properties`, which holds the hook to an oracle.
"""

import os
import shutil
import tempfile
from contextlib import closing

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from estimator_warmstart import ShapeAdaptingRecoverHook, plan_recovery, write_checkpoint
from estimator_warmstart.checkpoint import row_windows
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.checkpoint.data_files import BundleReader
from estimator_warmstart.convert import planned_values
from test_adapting_properties import CASES_PER_EXAMPLE, EXAMPLES, NOT_OPTIMIZED, Initializer, cases, initial_values, save, whole

tf1 = tf.compat.v1


class Seeded:
    """Values drawn with a seed; a scaled draw is made elementwise, a sorted one depends on positions."""

    def __init__(self, seed, kind):
        self.seed, self.kind = seed, kind

    def __call__(self, shape, dtype=None, partition_info=None):
        dtype = tf.as_dtype(dtype)
        shape = [int(length) for length in shape]
        if dtype.is_integer:
            return tf.random.uniform(shape, 0, 100, dtype, seed=self.seed)
        drawn = tf.random.normal(shape, 0.0, 2.0, dtype, seed=self.seed)
        return tf.sort(drawn) if self.kind == "arange" and shape and dtype != tf.float16 else drawn


def make_variables(numbered, use_resource):
    made = []
    for number, case in numbered:
        axis, parts = case.new_split
        for name, is_slot in ((f"c{number}/v", False), (f"c{number}/v/Slot", True)):
            constant = Initializer(initial_values(case, is_slot), case.initializer)
            variable = tf1.get_variable(
                name,
                case.new_shape,
                dtype=tf.as_dtype(case.dtype),
                initializer=constant if case.initializer in ("fill", "splat") else Seeded(number + 1, case.initializer),
                partitioner=tf1.fixed_size_partitioner(parts, axis) if parts > 1 else None,
                use_resource=use_resource,
                trainable=not is_slot,
            )
            made.append((name, case, list(variable) if parts > 1 else variable))
    return made


def both(folder, numbered, use_resource):
    """{name: (value in a session of the hook, value in the written checkpoint)}."""
    os.mkdir(os.path.join(folder, "old"))
    prefix, named = save(os.path.join(folder, "old"), numbered), {}
    with tf.Graph().as_default():
        variables = make_variables(numbered, use_resource)
        for number, case in numbered:
            made = [spec.make(folder) for spec in case.specs if spec.make is not None]
            if made:
                named[f"c{number}/v"] = made[0] if len(made) == 1 else made
        written = write_checkpoint(plan_recovery(prefix, None, named), os.path.join(folder, "new", "model.ckpt-0"))
        hook = ShapeAdaptingRecoverHook(prefix, None, named)
        init = tf1.global_variables_initializer()
        hook.begin()
        with tf1.Session(config=NOT_OPTIMIZED) as session:
            session.run(init)
            values = session.run([variable for _, _, variable in variables])
    with closing(BundleReader(written)) as reader:
        held = open_checkpoint(written).variables
        return {
            name: (case, whole(case, value), value_in(reader, held[name])) for (name, case, _), value in zip(variables, values)
        }


def value_in(reader, old):
    # TensorFlow's reader returns no float16 in slices.
    windows = [np.zeros((0, *old.shape[1:]), old.dtype), *row_windows.row_windows(reader, old)]
    return np.concatenate(windows[not old.shape :]).reshape(old.shape)


@settings(
    max_examples=max(1, EXAMPLES // 3),  # Each case is recovered, written and read.
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    verbosity=Verbosity.quiet,
)
@given(st.lists(cases(), min_size=CASES_PER_EXAMPLE, max_size=CASES_PER_EXAMPLE), st.booleans(), st.sampled_from([0, 1 << 22]))
def test_the_written_values_are_those_of_the_hook(drawn, use_resource, small):
    folder = tempfile.mkdtemp()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(planned_values, "SMALL_BYTES", small)  # 0: all that can be is made in windows.
            patch.setattr(row_windows, "WINDOW_BYTES", 24)  # Of one to twelve values.
            found = both(folder, list(enumerate(drawn)), use_resource)
        wrong = [
            f"{case}:\n{name}\n{written}\ninstead of\n{recovered}"
            for name, (case, recovered, written) in found.items()
            if recovered.dtype != written.dtype or recovered.shape != written.shape or recovered.tobytes() != written.tobytes()
        ]
        assert not wrong, f"{len(wrong)} wrong\n" + min(wrong, key=len)
    finally:
        shutil.rmtree(folder)
