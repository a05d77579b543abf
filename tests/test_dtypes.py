"""What can be done to values of each dtype: the plan's table, held against what sessions really do."""

import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import WarmStartError, adapters, plan_recovery, recover_variables
from estimator_warmstart.plan.adapter_rules import MOVABLE

tf1 = tf.compat.v1
QUANTIZED = ["qint8", "quint8", "qint32"]
# TensorFlow 1.15 has no variables of these.
HAS_VARIABLES = sorted(MOVABLE - (set() if tf.__version__.startswith("2") else {"uint32", "uint64"}))
NUMBERS = np.arange(12).reshape(4, 3)


def values(dtype):
    """4 x 3: 0 to 11, as that dtype has them."""
    if dtype == "string":
        return NUMBERS.astype(str).astype(object)
    if dtype.startswith("complex"):
        return (NUMBERS * (1 + 1j)).astype(dtype)
    return (NUMBERS % 2 if dtype == "bool" else NUMBERS).astype(tf.as_dtype(dtype).as_numpy_dtype)


def padded(value, rows, columns, fill):
    whole = np.full([rows, columns], fill, value.dtype)
    whole[: value.shape[0], : value.shape[1]] = value[:rows, :columns]
    return whole


def mean(old):
    return np.round(old.mean(0)) if old.dtype.kind in "iu" else old.astype(np.complex128).mean(0)


PAD = adapters.crop_or_pad
# {case: (new shape, parts, adapter, what numpy makes of the old value)}
CASES = {
    "whole": ([4, 3], 1, None, lambda old: old),
    "parts": ([4, 3], 3, None, lambda old: old),
    "rows_cut": ([3, 3], 1, PAD(), lambda old: old[:3]),
    "columns_cut": ([4, 2], 1, PAD(), lambda old: old[:, :2]),
    "both_cut_in_parts": ([3, 2], 2, PAD(), lambda old: old[:3, :2]),
    "rows_initial": ([5, 3], 1, PAD(), lambda old: padded(old, 5, 3, old[1, 1])),
    "columns_initial": ([4, 4], 1, PAD(), lambda old: padded(old, 4, 4, old[1, 1])),
    "both_initial": ([5, 4], 1, PAD(), lambda old: padded(old, 5, 4, old[1, 1])),
    "reversed": ([4, 3], 1, adapters.take(np.s_[::-1]), lambda old: old[::-1]),
    "remapped": ([3, 3], 1, adapters.remap_rows(list("abcd"), list("dax")), lambda old: padded(old[[3, 0]], 3, 3, old[1, 1])),
    "segments": ([4, 3], 1, adapters.remap_segments({"a": 1, "b": 2}, {"b": 2, "a": 1}, axis=1), lambda old: old[:, [1, 2, 0]]),
    "transposed": ([3, 4], 1, adapters.transform(tf.transpose), lambda old: old.T),
    "rows_zeros": ([5, 3], 1, PAD("zeros"), lambda old: padded(old, 5, 3, 0)),
    "columns_number": ([4, 4], 1, PAD(1), lambda old: padded(old, 4, 4, 1)),
    "both_number": ([5, 4], 1, PAD(1), lambda old: padded(old, 5, 4, 1)),
    "mean": ([5, 3], 1, PAD("mean"), lambda old: np.concatenate([old, [mean(old)]])),
}
NOT_OF_STRINGS = ["rows_zeros", "columns_number", "both_number", "mean"]
NOT_OF_BOOLS = ["mean"]


def filled(shape, dtype=None, partition_info=None):
    """The initializer of a new variable: the old value's second in the second row, everywhere."""
    return tf.fill(shape, tf.constant(values(tf.as_dtype(dtype).name)[1, 1], dtype))


def zeros(shape, dtype=None, partition_info=None):
    """The same without an operation, for dtypes that not every TensorFlow can fill a tensor with."""
    return tf.constant(np.zeros(shape, tf.as_dtype(dtype).as_numpy_dtype), dtype)


def variable(name, dtype, shape, parts=1, initializer=filled):
    return tf1.get_variable(
        name,
        shape,
        dtype,
        initializer,
        partitioner=tf1.fixed_size_partitioner(parts) if parts > 1 else None,
        use_resource=True,
    )


def save(old_dir, dtypes):
    """v/DTYPE as a whole and p/DTYPE in two parts."""
    with tf.Graph().as_default(), tf1.Session() as session:
        for dtype in dtypes:
            for name, parts in (("v", None), ("p", tf1.fixed_size_partitioner(2))):
                tf1.get_variable(
                    f"{name}/{dtype}",
                    [4, 3],
                    dtype,
                    lambda shape, dtype=None, partition_info=None: tf.constant(
                        values(tf.as_dtype(dtype).name)[
                            slice(partition_info.var_offset[0], partition_info.var_offset[0] + shape[0])
                            if partition_info
                            else slice(None)
                        ],
                        dtype,
                    ),
                    partitioner=parts,
                    use_resource=True,
                )
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, os.path.join(str(old_dir), "model.ckpt"))
    return str(old_dir)


def is_allowed(dtype, case):
    return case not in {"string": NOT_OF_STRINGS, "bool": NOT_OF_BOOLS}.get(dtype, [])


@pytest.mark.parametrize(
    "source, cases",
    [
        ("v", list(CASES)),
        ("p", ["whole", "parts", "both_cut_in_parts", "rows_initial"]),
    ],
    ids=["from a whole", "from parts"],
)
def test_what_the_plan_allows_really_runs(old_dir, new_graph, source, cases):
    old = save(old_dir, HAS_VARIABLES)
    recover_vars, made, named = {}, {}, {}
    for dtype in HAS_VARIABLES:
        for case in cases:
            shape, parts, adapter, _ = CASES[case]
            if is_allowed(dtype, case):
                name = f"{case}/{dtype}"
                made[name] = tf.convert_to_tensor(variable(name, dtype, shape, parts))
                recover_vars.setdefault(f"{source}/{dtype}", []).append(name)
                named.update({name: adapter} if adapter else {})
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        recover_variables(session, old, recover_vars, adapters=named)
        found = session.run(made)
    for name, value in found.items():
        case, dtype = name.split("/")
        expected = CASES[case][3](values(dtype).astype(np.float32) if dtype == "bfloat16" else values(dtype))
        assert (
            value.astype(str if dtype == "string" else np.complex128).tolist()
            == expected.astype(str if dtype == "string" else np.complex128).tolist()
        ), name


@pytest.mark.parametrize(
    "dtype, case",
    [
        *(("string", case) for case in NOT_OF_STRINGS),
        *(("bool", case) for case in NOT_OF_BOOLS),
        *((dtype, case) for dtype in QUANTIZED for case in CASES if case != "whole"),
    ],
)
def test_what_it_does_not_allow_is_a_problem_of_the_plan(old_dir, new_graph, dtype, case):
    shape, parts, adapter, _ = CASES[case]
    old = save(old_dir, [dtype])
    variable("new", dtype, shape, parts)
    with pytest.raises(WarmStartError, match="'new'") as caught:
        plan_recovery(old, {f"v/{dtype}": "new"}, adapters={"new": adapter} if adapter else None)
    assert dtype in str(caught.value) or dtype in ("string", "bool")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("dtype", QUANTIZED)
def test_quantized_values_are_restored_as_they_are(old_dir, new_graph, dtype):
    old = save(old_dir, [dtype])
    whole, parts = variable("whole", dtype, [4, 3], 1, zeros), variable("parts", dtype, [4, 3], 2, zeros)
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        recover_variables(session, old, {f"v/{dtype}": whole, f"p/{dtype}": list(parts)})
        for value in session.run([whole, tf.convert_to_tensor(parts)]):
            assert value.astype(int).tolist() == NUMBERS.tolist()


@pytest.mark.parametrize(
    "dtype, fill, word",
    [
        ("int8", 200, "out of the range of int8"),
        ("uint8", -1, "out of the range of uint8"),
        ("float16", 1e6, "out of the range of float16"),
        ("bool", 2, "is not a bool"),
        ("bool", 0.5, "is not a bool"),
        ("string", 1, "is not a string"),
        ("string", "mean", "is not a string"),
    ],
)
def test_fills_that_the_dtype_does_not_have(old_dir, new_graph, dtype, fill, word):
    save_checkpoint(old_dir, {"v": values(dtype)})
    variable("v", dtype, [5, 3])
    with pytest.raises(WarmStartError, match=word):
        plan_recovery(str(old_dir), adapters={"v": PAD(fill)})
