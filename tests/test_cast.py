"""Values that change their dtype: only where it is asked for, with narrowing said, slots in lockstep."""

import json

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import (
    VariableRecoverHook,
    WarmStartError,
    adapters,
    format_report,
    hooks_from_params,
    plan_recovery,
    recover_variables,
)

tf1 = tf.compat.v1
cast = adapters.cast()


def variable(name, value, dtype, parts=None, trainable=True, **options):
    """A new variable of a given initial value; `value` also a list of a shape and one number for all of it."""
    shape, number = value
    return tf1.get_variable(
        name,
        shape,
        dtype=tf.as_dtype(dtype),
        initializer=tf1.constant_initializer(number),
        trainable=trainable,
        partitioner=tf1.fixed_size_partitioner(parts) if parts else None,
        **options,
    )


@pytest.fixture
def recovered(old_dir):
    """Recovers one old value into a new variable of -1, or of what `initial` says."""

    def recover(old, adapter, shape, dtype, parts=None, initial=-1, old_parts=None, **options):
        save_checkpoint(old_dir, {"v": old}, partitions={"v": old_parts} if old_parts else None)
        with tf.Graph().as_default(), tf1.Session() as session:
            new = variable("v", (shape, initial), dtype, parts, **options)
            recover_variables(session, str(old_dir), None, {"v": adapter})
            value = session.run(tf.convert_to_tensor(new))
        assert tf.as_dtype(value.dtype) == tf.as_dtype(dtype)
        return value.astype(np.complex128 if value.dtype.kind == "c" else np.float64).tolist()

    return recover


NUMBERS = ["float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16"]


@pytest.mark.parametrize("new", NUMBERS)
@pytest.mark.parametrize("old", NUMBERS)
def test_between_all_numbers(recovered, old, new):
    values = np.array([1, 2, 100]).astype(tf.as_dtype(old).as_numpy_dtype)
    assert recovered(values, cast, [3], new) == [1, 2, 100]


@pytest.mark.parametrize(
    "old, new, expected",
    [
        (np.float32([1.5, -1.5, 2.0]), "int32", [1, -1, 2]),
        (np.float64([0.1]), "float32", [float(np.float32(0.1))]),
        (np.float32([1e6, -1e6]), "float16", [np.inf, -np.inf]),
        (np.int64([2**32 + 7]), "int32", [7]),
        (np.int64([2**53 + 1]), "float64", [2.0**53]),
        (np.complex64([1 + 2j]), "complex128", [1 + 2j]),
        (np.float32([3]), "complex64", [3 + 0j]),
        (np.int32([-1]), "int64", [-1]),
    ],
    ids=["fractions", "digits", "range", "wraps", "long integers", "complex", "float to complex", "sign"],
)
def test_what_a_cast_makes(recovered, old, new, expected):
    assert recovered(old, cast, [len(expected)], new) == expected


@pytest.mark.parametrize(
    "old_parts, use_resource",
    [(None, False), (None, True), (2, True)],
    ids=[
        "from a whole to a reference",
        "from a whole to a resource",
        "from parts",
    ],
)
@pytest.mark.parametrize("parts", [None, 2, 3], ids=["whole", "two parts", "three parts"])
@pytest.mark.parametrize(
    "old, new",
    [
        ("float16", "float32"),
        ("float32", "float16"),
        ("float32", "bfloat16"),
        ("bfloat16", "float32"),
        ("float64", "int32"),
    ],
)
def test_parts(recovered, old, new, parts, old_parts, use_resource):
    values = np.arange(6).reshape(3, 2).astype(tf.as_dtype(old).as_numpy_dtype)
    assert recovered(values, cast, [3, 2], new, parts, old_parts=old_parts, use_resource=use_resource) == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]


ROWS = adapters.remap_rows(list("abc"), list("cxa"))


@pytest.mark.parametrize("parts", [None, 3])
@pytest.mark.parametrize("new", ["float16", "bfloat16", "float64", "int32"])
class TestInAList:
    OLD = np.float32([[1, 2], [3, 4], [5, 6]])

    @pytest.mark.parametrize("adapter", [[ROWS, cast], [cast, ROWS], adapters.compose(cast, ROWS)], ids=str)
    def test_with_initial_values(self, recovered, adapter, new, parts):
        assert recovered(self.OLD, adapter, [3, 2], new, parts) == [[5, 6], [-1, -1], [1, 2]]

    @pytest.mark.parametrize("fill, row", [("mean", [3, 4]), (7, [7, 7]), ("zeros", [0, 0]), ("initial", [-1, -1])])
    @pytest.mark.parametrize("cast_first", [False, True])
    def test_with_new_rows(self, recovered, fill, row, cast_first, new, parts):
        pad = adapters.crop_or_pad(fill)
        adapter = [cast, pad] if cast_first else [pad, cast]
        assert recovered(self.OLD, adapter, [4, 2], new, parts) == [[1, 2], [3, 4], [5, 6], row]

    def test_with_both_axes(self, recovered, new, parts):
        adapter = [ROWS, cast, adapters.remap_segments({"x": 2}, {"n": 1, "x": 2}, axis=1, fill=8)]
        assert recovered(self.OLD, adapter, [3, 3], new, parts) == [[8, 5, 6], [-1, -1, -1], [8, 1, 2]]

    @pytest.mark.parametrize(
        "adapter",
        [
            [cast, adapters.transform(tf.transpose)],
            [adapters.transform(tf.transpose), cast],
            [adapters.transform(tf.transpose), cast, cast],
        ],
        ids=str,
    )
    def test_with_a_transform(self, recovered, adapter, new, parts):
        assert recovered(self.OLD, adapter, [2, 3], new, parts and 2) == [[1, 3, 5], [2, 4, 6]]


def test_fills_are_values_of_the_new_dtype(recovered):
    # 1 / 3 of float32 is another number than that of float64.
    for adapter in ([adapters.crop_or_pad(1 / 3), cast], [cast, adapters.crop_or_pad(1 / 3)]):
        assert recovered(np.float32([1]), adapter, [2], "float64") == [1, 1 / 3]
    assert recovered(np.int32([1, 1, 1, 4]), [adapters.crop_or_pad("mean"), cast], [5], "float32") == [1, 1, 1, 4, 1.75]
    for adapter in ([adapters.crop_or_pad(0.5), cast], [cast, adapters.crop_or_pad(0.5)]):
        with pytest.raises(WarmStartError, match=r"the fill 0\.5 is not an int32"):
            recovered(np.float32([1]), adapter, [2], "int32")


def test_initial_values_that_are_drawn_keep_their_digits(old_dir, new_graph):
    save_checkpoint(old_dir, {"v": np.float16([1])})
    new = tf1.get_variable("v", [1000], tf.float64, tf1.random_uniform_initializer(0, 1, seed=3))
    with tf1.Session() as session:
        recover_variables(session, str(old_dir), None, {"v": [adapters.crop_or_pad(), cast]})
        drawn = session.run(new)[1:]
    assert np.any(drawn != drawn.astype(np.float32))


class TestTransformToAnotherDtype:
    @pytest.mark.parametrize(
        "old, fn, new, expected",
        [
            (np.float32([1.5, -1.5]), lambda value: tf.cast(tf.round(value), tf.int32), "int32", [2, -2]),
            (np.array([True, False]), lambda value: tf.cast(value, tf.float32), "float32", [1, 0]),
            (np.array([b"1.5", b"2"]), tf.strings.to_number, "float32", [1.5, 2]),
            (np.complex64([3 + 4j, 1]), tf.abs, "float32", [5, 1]),
        ],
        ids=["rounded", "bool", "string", "complex"],
    )
    def test_is_what_the_function_makes(self, recovered, old, fn, new, expected):
        assert recovered(old, adapters.transform(fn), [2], new) == expected

    def test_a_cast_follows_it(self, recovered):
        adapter = [adapters.transform(lambda value: tf.cast(value, tf.int32)), cast]
        assert recovered(np.float32([1.5, -1.5]), adapter, [2], "float64") == [1, -1]

    def test_of_yet_another_dtype(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.float32([1])})
        variable("v", ([1], 0), "float64")
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(old_dir, None, {"v": adapters.transform(lambda value: tf.cast(value, tf.int32))})
        message = str(caught.value)
        assert (
            "turns float32" in message
            and "into int32" in message
            and "the new 'v' is float64" in message
            and "adapters.cast()" in message
        )

    def test_that_changes_its_mind(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.float32([1])})
        variable("v", ([1], 0), "float32")
        dtypes = iter([tf.float32, tf.float64, tf.float64])
        adapter = adapters.transform(lambda value: tf.cast(value, next(dtypes)))
        with tf1.Session() as session, pytest.raises(WarmStartError, match="made float64 of float32 now, and float32 when"):
            recover_variables(session, str(old_dir), None, {"v": adapter})


def slots(shape, dtype, slot_dtype=None, number=-1):
    variable("v", (shape, number), dtype)
    variable("v/Slot", (shape, 10 * number), slot_dtype or dtype, trainable=False)


class TestSlots:
    def values(self, old_dir, adapter):
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            plan = recover_variables(session, str(old_dir), None, {"v": adapter})
            values = session.run({made.op.name: made for made in tf1.global_variables()})
        return {planned.new.name: planned for planned in plan.variables}, values

    @pytest.mark.parametrize("adapter", [[cast, adapters.crop_or_pad(7)], [adapters.crop_or_pad("mean"), cast]], ids=str)
    def test_in_lockstep(self, old_dir, new_graph, adapter):
        save_checkpoint(old_dir, {"v": np.float64([1, 2]), "v/Slot": np.float64([100, 200])})
        slots([3], "float32")
        fates, values = self.values(old_dir, adapter)
        assert values["v/Slot"].tolist() == [100, 200, -10] and values["v/Slot"].dtype == np.float32
        assert fates["v/Slot"].reason == "as 'v', float64 to float32, narrowing: fewer digits, a smaller range"

    def test_that_had_the_new_dtype_before(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.float16([1, 2]), "v/Slot": np.float32([100, 1e6])})
        slots([2], "float32")
        fates, values = self.values(old_dir, cast)
        assert values["v/Slot"].tolist() == [100, 1e6] and fates["v/Slot"].action == "restored"

    def test_of_another_dtype_than_the_variable(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.float32([1, 2]), "v/Slot": np.float32([100, 1e6])})
        slots([2], "float16", "float64")
        _, values = self.values(old_dir, cast)
        assert values["v"].dtype == np.float16 and values["v/Slot"].dtype == np.float64
        assert values["v/Slot"].tolist() == [100, 1e6]

    @pytest.mark.parametrize(
        "adapter",
        [
            adapters.transform(lambda value: tf.cast(tf.reverse(value, [0]), tf.float64)),
            [cast, adapters.transform(lambda value: tf.reverse(value, [0]))],
            [adapters.transform(lambda value: tf.reverse(value, [0])), cast],
        ],
        ids=["transform", "cast and transform", "transform and cast"],
    )
    def test_through_a_function(self, old_dir, new_graph, adapter):
        save_checkpoint(old_dir, {"v": np.float32([1, 2]), "v/Slot": np.float32([100, 200])})
        slots([2], "float64")
        assert self.values(old_dir, adapter)[1]["v/Slot"].tolist() == [200, 100]

    def test_alone_are_not_cast_unasked(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.float32([1, 2]), "v/Slot": np.float64([100, 200])})
        slots([2], "float32")
        planned = {planned.new.name: planned for planned in plan_recovery(old_dir, with_slots=True).variables}["v/Slot"]
        assert planned.old is None and "adapters={'v/Slot': adapters.cast()} casts it" in planned.reason
        fates, values = self.values(old_dir, adapters.crop_or_pad())
        assert fates["v/Slot"].old is None and values["v/Slot"].tolist() == [-10, -10]

    def test_named_for_themselves(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.float32([1, 2]), "v/Slot": np.float64([100, 200])})
        slots([2], "float32")
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            recover_variables(session, str(old_dir), None, {"v/Slot": cast})
            assert session.run(tf1.global_variables()[1]).tolist() == [100, 200]


class TestUnasked:
    @pytest.mark.parametrize(
        "old, new, parts",
        [
            (np.float64([1, 2]), "float32", ["the new 'v' is float32, the old 'v' is float64", "{'v': adapters.cast()}"]),
            (np.float64([1]), "float32", ["{'v': [adapters.cast(), adapters.crop_or_pad()]}"]),
            (np.array([True, False]), "float32", ["{'v': adapters.transform(fn)}", "from bool to float32"]),
            (np.array([b"x", b"y"]), "float32", ["{'v': adapters.transform(fn)}", "from string to float32"]),
        ],
        ids=["number", "another shape too", "bool", "string"],
    )
    @pytest.mark.parametrize("named", [None, {}], ids=["VariableRecoverHook", "ShapeAdaptingRecoverHook"])
    def test_the_error_says_what_to_do(self, old_dir, new_graph, old, new, parts, named):
        save_checkpoint(old_dir, {"v": old})
        variable("v", ([2], 0), new)
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(old_dir, None, named)
        assert [part for part in parts if part not in str(caught.value)] == []

    @pytest.mark.parametrize(
        "old, new, reason",
        [
            (np.array([True]), tf.float32, "bool is not one"),
            (np.float32([1]), tf.bool, "bool is not one"),
            (np.array([b"1"]), tf.float32, "string is not one"),
            (np.complex64([1]), tf.float32, "the imaginary part"),
        ],
        ids=["from bool", "to bool", "from string", "from complex"],
    )
    def test_what_cast_refuses(self, old_dir, new_graph, old, new, reason):
        save_checkpoint(old_dir, {"v": old})
        tf1.get_variable("v", initializer=tf.zeros([1], new))
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(old_dir, None, {"v": cast})
        assert reason in str(caught.value) and "adapters.transform(" in str(caught.value)

    def test_quantized(self, old_dir, new_graph):
        with tf.Graph().as_default(), tf1.Session() as session:
            tf1.get_variable("v", initializer=tf.quantization.quantize([1.0], 0, 1, tf.quint8)[0])
            session.run(tf1.global_variables_initializer())
            tf1.train.Saver().save(session, str(old_dir / "model.ckpt"))
        variable("v", ([1], 0), "float32")
        with pytest.raises(WarmStartError, match="quint8 is not one"):
            plan_recovery(old_dir, None, {"v": cast})


class TestTheReport:
    @pytest.mark.parametrize(
        "old, new, said",
        [
            (np.float64, "float32", "float64 to float32, narrowing: fewer digits, a smaller range"),
            (np.float32, "bfloat16", "float32 to bfloat16, narrowing: fewer digits"),
            (np.int64, "int32", "int64 to int32, narrowing: a smaller range"),
            (np.float32, "int64", "float32 to int64, narrowing: no fractions, a smaller range"),
            (np.int32, "float32", "int32 to float32, narrowing: fewer digits of integers beyond 2 ** 24"),
            (np.float16, "float32", "float16 to float32"),
            (np.int32, "float64", "int32 to float64"),
        ],
        ids=lambda value: getattr(value, "__name__", None),
    )
    def test_says_what_narrows(self, old_dir, new_graph, old, new, said):
        save_checkpoint(old_dir, {"v": old([1])})
        variable("v", ([1], 0), new)
        plan = plan_recovery(old_dir, None, {"v": cast})
        assert plan.variables[0].reason == f"cast(), {said}"
        assert f"adapted, 100 % old, 100 % of the old kept: cast(), {said}" in format_report(plan)

    def test_a_cast_to_the_same_dtype_is_none(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.float32([1]), "w": np.float64([1])})
        variable("v", ([1], 0), "float32"), variable("w", ([1], 0), "float32")
        assert [planned.action for planned in plan_recovery(old_dir, None, {".*": cast}).variables] == ["restored", "adapted"]


def test_in_params(old_dir, new_graph):
    save_checkpoint(old_dir, {"v": np.float64([1, 2]), "w": np.float64([3])})
    variable("v", ([3], -1), "float32"), variable("w", ([1], -1), "float32")
    text = '{"warm_start": {"ckp_dir": %s, "adapters": {"v": [{"cast": {}}, "crop_or_pad"], "w": "cast"}}}'
    (hook,) = hooks_from_params(json.loads(text % json.dumps(str(old_dir))))
    with tf1.train.MonitoredSession(hooks=[hook]) as session:
        assert [session.run(made).tolist() for made in tf1.global_variables()] == [[1, 2, -1], [3]]


def test_the_plain_hook_names_the_adapter(old_dir, new_graph):
    save_checkpoint(old_dir, {"v": np.float64([1])})
    variable("v", ([1], 0), "float32")
    with pytest.raises(WarmStartError, match=r"adapters=\{'v': adapters\.cast\(\)\}"):
        VariableRecoverHook(str(old_dir)).begin()
