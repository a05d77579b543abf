"""The new side: logical variables, and the optimizers' slots as the optimizers themselves know them."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, needs_keras_2, save_checkpoint
from estimator_warmstart import VariableRecoverHook
from estimator_warmstart.graph.variables import global_step, logical_name, logical_variables
from estimator_warmstart.slots import find_slots
from shared_models import zeros

tf1 = tf.compat.v1
keras_optimizers = getattr(tf.keras.optimizers, "legacy", tf.keras.optimizers)

BOTH_KINDS = pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])


def minimize(optimizer, variables):
    """One training operation of `optimizer` for the sum of `variables`, whole or partitioned."""
    return optimizer.minimize(tf.add_n([tf.reduce_sum(tf.convert_to_tensor(variable)) for variable in variables]))


def ties_found():
    """{slot: primary} of the default graph, by logical names, as the package sees them."""
    return {name: new.slot_of.primary for name, new in logical_variables().items() if new.slot_of is not None}


def ties_told(optimizer, variables):
    """The same as `optimizer` tells it."""
    return {
        logical_name(optimizer.get_slot(variable, slot)): logical_name(variable)
        for variable in variables
        for slot in optimizer.get_slot_names()
    }


class TestLogicalVariables:
    @BOTH_KINDS
    def test_plain(self, new_graph, use_resource):
        w = tf1.get_variable("fm/w", [5, 1], use_resource=use_resource)
        step = tf1.get_variable("count", [], tf.int64, tf1.zeros_initializer(), trainable=False, use_resource=use_resource)
        found = logical_variables()
        assert [(new.name, new.shape, new.dtype, new.nbytes) for new in found.values()] == [
            ("fm/w", (5, 1), "float32", 20),
            ("count", (), "int64", 8),
        ]
        assert found["fm/w"].target is w and found["count"].target is step
        assert [(part.name, part.offset, part.shape, part.copies) for part in found["fm/w"].parts] == [
            ("fm/w", (0, 0), (5, 1), (w,)),
        ]

    @BOTH_KINDS
    def test_partitioned(self, new_graph, use_resource):
        v = zeros("fm/v", [5, 2], partitioner=tf1.fixed_size_partitioner(2), use_resource=use_resource)
        (new,) = logical_variables().values()
        assert (new.name, new.shape, new.nbytes) == ("fm/v", (5, 2), 40)
        assert [(part.name, part.offset, part.shape) for part in new.parts] == [
            ("fm/v/part_0", (0, 0), (3, 2)),
            ("fm/v/part_1", (3, 0), (2, 2)),
        ]
        assert new.target == list(v)

    def test_partitioned_along_another_axis(self, new_graph):
        zeros("v", [2, 5], partitioner=tf1.fixed_size_partitioner(2, axis=1))
        (new,) = logical_variables().values()
        assert [(part.offset, part.shape) for part in new.parts] == [((0, 0), (2, 3)), ((0, 3), (2, 2))]

    def test_one_part_is_still_a_partitioned_variable(self, new_graph):
        v = zeros("v", [2], partitioner=tf1.fixed_size_partitioner(1))
        (new,) = logical_variables().values()
        assert new.name == "v" and new.parts[0].name == "v/part_0" and new.target == list(v)

    def test_parts_are_in_the_order_of_their_offsets(self, new_graph):
        zeros("v", [12], partitioner=tf1.fixed_size_partitioner(12))
        parts = new_graph.get_collection_ref(tf1.GraphKeys.GLOBAL_VARIABLES)
        parts.sort(key=lambda part: part.name)  # part_10 before part_2
        (new,) = logical_variables().values()
        assert [part.offset for part in new.parts] == [(number,) for number in range(12)]

    def test_a_variable_collected_twice_is_one(self, new_graph):
        w = zeros("w", [2])
        tf1.add_to_collection(tf1.GraphKeys.GLOBAL_VARIABLES, w)
        (new,) = logical_variables().values()
        assert len(new.parts) == 1

    def test_local_variables_are_none(self, new_graph):
        tf1.get_variable("local", [2], collections=[tf1.GraphKeys.LOCAL_VARIABLES])
        assert logical_variables() == {}

    def test_of_another_graph(self, new_graph):
        zeros("here", [2])
        with tf.Graph().as_default() as other:
            zeros("there", [2])
        assert list(logical_variables(other)) == ["there"]
        assert list(logical_variables()) == ["here"]

    def test_the_global_step(self, new_graph):
        tf1.train.get_or_create_global_step()
        zeros("w", [2])
        assert {name: (new.is_step, new.is_optimizer_state) for name, new in logical_variables().items()} == {
            "global_step": (True, False),
            "w": (False, False),
        }

    def test_a_global_step_of_another_name(self, new_graph):
        step = tf1.get_variable("my/step", [], tf.int64, tf1.zeros_initializer(), trainable=False)
        tf1.add_to_collection(tf1.GraphKeys.GLOBAL_STEP, step)
        assert logical_variables()["my/step"].is_step

    @BOTH_KINDS
    def test_an_imported_graph(self, new_graph, use_resource):
        v = zeros("v", [5, 2], partitioner=tf1.fixed_size_partitioner(2), use_resource=use_resource)
        w = zeros("w", [3], use_resource=use_resource)
        minimize(tf1.train.AdagradOptimizer(0.1), [v, w])
        exported = tf1.train.export_meta_graph()
        with tf.Graph().as_default() as imported:
            tf1.train.import_meta_graph(exported)
        there, here = logical_variables(imported), logical_variables()
        assert list(there) == list(here)
        for name in here:
            assert there[name]._replace(parts=()) == here[name]._replace(parts=())
            assert [part[:3] for part in there[name].parts] == [part[:3] for part in here[name].parts]


OPTIMIZERS = {
    "Adagrad": (lambda: tf1.train.AdagradOptimizer(0.1), ["Adagrad"]),
    "AdagradDA": (
        lambda: tf1.train.AdagradDAOptimizer(0.1, tf1.train.get_or_create_global_step()),
        ["AdagradDA", "AdagradDA_1"],
    ),
    "Adam": (lambda: tf1.train.AdamOptimizer(0.1), ["Adam", "Adam_1"]),
    "Adam by another name": (lambda: tf1.train.AdamOptimizer(0.1, name="Second"), ["Second", "Second_1"]),
    "Momentum": (lambda: tf1.train.MomentumOptimizer(0.1, 0.9), ["Momentum"]),
    "Ftrl": (lambda: tf1.train.FtrlOptimizer(0.1), ["Ftrl", "Ftrl_1"]),
    "RMSProp": (lambda: tf1.train.RMSPropOptimizer(0.1), ["RMSProp", "RMSProp_1"]),
    "centered RMSProp": (lambda: tf1.train.RMSPropOptimizer(0.1, centered=True), ["RMSProp", "RMSProp_1", "RMSProp_2"]),
    "Adadelta": (lambda: tf1.train.AdadeltaOptimizer(0.1), ["Adadelta", "Adadelta_1"]),
    "gradient descent": (lambda: tf1.train.GradientDescentOptimizer(0.1), []),
}


@pytest.fixture(params=list(OPTIMIZERS))
def optimizer_and_leaves(request, new_graph):
    """An optimizer, and the last parts of the names that its slots have."""
    make, leaves = OPTIMIZERS[request.param]
    return make(), leaves


class TestSlots:
    @BOTH_KINDS
    def test_of_plain_variables(self, optimizer_and_leaves, use_resource):
        optimizer, leaves = optimizer_and_leaves
        variables = [zeros("fm/w", [5, 1], use_resource=use_resource), zeros("b", [], use_resource=use_resource)]
        minimize(optimizer, variables)
        assert ties_found() == ties_told(optimizer, variables)
        assert ties_found() == {f"{name}/{leaf}": name for name in ("fm/w", "b") for leaf in leaves}

    @BOTH_KINDS
    def test_of_partitioned_variables(self, optimizer_and_leaves, use_resource):
        optimizer, leaves = optimizer_and_leaves
        v = zeros("fm/v", [5, 2], partitioner=tf1.fixed_size_partitioner(2), use_resource=use_resource)
        minimize(optimizer, [v])
        assert ties_found() == ties_told(optimizer, list(v))
        assert ties_found() == {f"fm/v/{leaf}": "fm/v" for leaf in leaves}
        for leaf in leaves:
            slot = logical_variables()[f"fm/v/{leaf}"]
            assert slot.shape == (5, 2)
            assert [(part.name, part.offset) for part in slot.parts] == [
                (f"fm/v/part_0/{leaf}", (0, 0)),
                (f"fm/v/part_1/{leaf}", (3, 0)),
            ]

    @BOTH_KINDS
    def test_below_a_variable_scope(self, optimizer_and_leaves, use_resource):
        optimizer, leaves = optimizer_and_leaves
        w = zeros("fm/w", [5, 1], use_resource=use_resource)
        with tf1.variable_scope("training"):
            minimize(optimizer, [w])
        assert ties_found() == ties_told(optimizer, [w])
        assert ties_found() == {f"training/fm/w/{leaf}": "fm/w" for leaf in leaves}
        assert {new.slot_of[:1] for new in logical_variables().values() if new.slot_of} <= {("training/",)}

    @BOTH_KINDS
    def test_with_the_model_below_one_scope(self, optimizer_and_leaves, use_resource):
        optimizer, leaves = optimizer_and_leaves
        with tf1.variable_scope("model"):
            w = zeros("fm/w", [5, 1], use_resource=use_resource)
            minimize(optimizer, [w])
        assert ties_found() == ties_told(optimizer, [w])
        assert ties_found() == {f"model/model/fm/w/{leaf}": "model/fm/w" for leaf in leaves}

    @pytest.mark.parametrize("scope", ["model", "training/optimizer", "a"])
    def test_of_partitioned_variables_below_a_scope(self, new_graph, scope):
        """TensorFlow cuts these slots' names at the wrong place: `model/v/art_0/Adagrad` (slot_creator.py)."""
        optimizer = tf1.train.AdagradOptimizer(0.1)
        with tf1.variable_scope(scope):
            v = zeros("v", [4, 2], partitioner=tf1.fixed_size_partitioner(2))
            minimize(optimizer, [v])
        whole = logical_name(next(iter(v)))
        slots = [new for new in logical_variables().values() if new.name != whole]
        assert {part.name for slot in slots for part in slot.parts} == {
            optimizer.get_slot(part, "accumulator").op.name for part in v
        }
        assert {slot.slot_of.primary if slot.slot_of else None for slot in slots} == {whole}
        assert sum(slot.nbytes for slot in slots) == 4 * 2 * 4

    def test_names_that_merely_look_alike(self, new_graph):
        optimizer = tf1.train.AdagradOptimizer(0.1)
        variables = [zeros(name, [2]) for name in ("a", "a_extra", "scope/a", "a/scale", "Adagrad", "scope/Adagrad")]
        frozen = zeros("frozen/a", [2], trainable=False)
        minimize(optimizer, variables)
        assert ties_found() == ties_told(optimizer, variables)
        assert logical_variables()[logical_name(frozen)].slot_of is None

    def test_the_statistics_of_a_normalization_are_the_models(self, new_graph):
        names = ("norm/beta", "norm/gamma", "norm/moving_mean", "norm/moving_variance")
        variables = [zeros(name, [2], trainable="moving" not in name) for name in names]
        optimizer = tf1.train.MomentumOptimizer(0.1, 0.9)
        minimize(optimizer, variables[:2])
        assert ties_found() == ties_told(optimizer, variables[:2])

    def test_a_shape_that_differs_is_no_slot(self, new_graph):
        zeros("table", [5, 2])
        zeros("table/row_counts", [5], trainable=False)
        assert ties_found() == {}

    def test_two_variables_of_one_name_below_the_optimizers_scope(self, new_graph):
        optimizer = tf1.train.AdagradOptimizer(0.1)
        variables = [zeros("w", [2]), zeros("training/w", [2])]
        with tf1.variable_scope("training"):
            minimize(optimizer, variables)
        assert ties_found() == ties_told(optimizer, variables)

    def test_an_optimizer_in_a_scope_of_the_name_of_a_models(self, new_graph):
        """`scope/a/Adagrad` is the slot of `scope/a`, made without a scope, though others were made within `scope`."""
        within, without = tf1.train.AdagradOptimizer(0.1), tf1.train.AdagradOptimizer(0.1)
        a, scoped = zeros("a", [2]), zeros("scope/a", [2])
        others = [zeros(name, [2]) for name in ("c", "d", "e")]
        with tf1.variable_scope("scope"):
            minimize(within, others)
        minimize(without, [scoped])
        assert ties_found() == {**ties_told(within, others), **ties_told(without, [scoped])}
        assert logical_name(a) not in ties_found().values()

    def test_two_optimizers_of_one_variable(self, new_graph):
        optimizers = [tf1.train.AdagradOptimizer(0.1), tf1.train.FtrlOptimizer(0.1), tf1.train.AdagradOptimizer(0.1)]
        w = zeros("w", [2])
        for optimizer in optimizers:
            minimize(optimizer, [w])
        told = {}
        for optimizer in optimizers:
            told.update(ties_told(optimizer, [w]))
        assert ties_found() == told
        assert sorted(told) == ["w/Adagrad", "w/Adagrad_1", "w/Ftrl", "w/Ftrl_1"]

    # TensorFlow 2 cannot make a moving average of a reference variable.
    @pytest.mark.parametrize("use_resource", [True] if tf.__version__ >= "2" else [False, True])
    def test_moving_averages(self, new_graph, use_resource):
        averages = tf1.train.ExponentialMovingAverage(0.9)
        variables = [zeros("fm/w", [5, 1], use_resource=use_resource), zeros("b", [], use_resource=use_resource)]
        averages.apply(variables)
        assert ties_found() == {logical_name(averages.average(variable)): logical_name(variable) for variable in variables}
        assert sorted(ties_found()) == ["b/ExponentialMovingAverage", "fm/w/ExponentialMovingAverage"]

    def test_a_moving_average_of_a_slot_is_tied_to_the_primary(self, new_graph):
        w = zeros("w", [2], use_resource=True)
        optimizer = tf1.train.AdagradOptimizer(0.1)
        minimize(optimizer, [w])
        averages = tf1.train.ExponentialMovingAverage(0.9)
        averages.apply([optimizer.get_slot(w, "accumulator")])
        assert {
            name: (new.slot_of.primary, new.slot_of.slot_name) for name, new in logical_variables().items() if new.slot_of
        } == {
            "w/Adagrad": ("w", "Adagrad"),
            "w/Adagrad/ExponentialMovingAverage": ("w", "Adagrad/ExponentialMovingAverage"),
        }

    @pytest.mark.parametrize(
        "make, slots",
        [
            (lambda: keras_optimizers.Adam(0.1), ["m", "v"]),
            (lambda: keras_optimizers.Adagrad(0.1), ["accumulator"]),
        ],
        ids=["Adam", "Adagrad"],
    )
    @needs_keras_2
    def test_of_a_keras_optimizer(self, new_graph, make, slots):
        optimizer, w = make(), zeros("fm/w", [5, 1], use_resource=True)
        with tf1.name_scope("training"):
            optimizer.get_updates(tf.reduce_sum(w), [w])
        assert ties_found() == {logical_name(optimizer.get_slot(w, slot)): "fm/w" for slot in slots}


def state_of(optimizer, power):
    """The names of the powers, or else of the moments, that `optimizer` says are its own."""
    return {variable.op.name for variable in optimizer.variables() if ("_power" in variable.name) == power}


def apply(optimizer, pairs):
    """One step of `optimizer`, as a tensor."""
    with tf.control_dependencies([optimizer.apply_gradients(pairs)]):
        return tf.constant(1)


class TestPowers:
    def test_of_one_adam(self, new_graph):
        optimizer = tf1.train.AdamOptimizer(0.1)
        minimize(optimizer, [zeros("w", [2]), zeros("b", [])])
        found = logical_variables()
        assert {name for name, new in found.items() if new.is_power} == state_of(optimizer, power=True)
        assert {name: set(new.powers) for name, new in found.items() if new.powers} == {
            moment: {"beta1_power", "beta2_power"} for moment in ("w/Adam", "w/Adam_1", "b/Adam", "b/Adam_1")
        }
        assert all(found[name].is_optimizer_state for name in ("beta1_power", "w/Adam"))
        assert found["w"].powers == () and not found["w"].is_power

    @pytest.mark.parametrize("scopes", [("", ""), ("first", "second"), ("", "both")], ids=["none", "two scopes", "one scope"])
    def test_of_two_adams(self, new_graph, scopes):
        optimizers = [tf1.train.AdamOptimizer(0.1), tf1.train.AdamOptimizer(0.2)]
        groups = [[zeros("w", [2]), zeros("b", [])], [zeros("tower/w", [2]), zeros("tower/b", [3])]]
        for optimizer, variables, scope in zip(optimizers, groups, scopes):
            with tf1.variable_scope(scope) if scope else tf1.name_scope("any"):
                minimize(optimizer, variables)
        told = {
            moment: state_of(optimizer, power=True) for optimizer in optimizers for moment in state_of(optimizer, power=False)
        }
        assert len(told) == 8 and len({tuple(sorted(powers)) for powers in told.values()}) == 2
        assert {name: set(new.powers) for name, new in logical_variables().items() if new.powers} == told

    def test_of_two_adams_for_one_variable(self, new_graph):
        optimizers, w = [tf1.train.AdamOptimizer(0.1), tf1.train.AdamOptimizer(0.2)], zeros("w", [2])
        for optimizer in optimizers:
            minimize(optimizer, [w])
        assert {name: set(new.powers) for name, new in logical_variables().items() if new.powers} == {
            "w/Adam": {"beta1_power", "beta2_power"},
            "w/Adam_1": {"beta1_power", "beta2_power"},
            "w/Adam_2": {"beta1_power_1", "beta2_power_1"},
            "w/Adam_3": {"beta1_power_1", "beta2_power_1"},
        }

    def test_of_an_adam_that_minimizes_twice(self, new_graph):
        first, second = tf1.train.AdamOptimizer(0.1), tf1.train.AdamOptimizer(0.2)
        for optimizer, name in [(first, "a"), (second, "b"), (first, "c")]:
            minimize(optimizer, [zeros(name, [2])])
        assert {name: set(new.powers) for name, new in logical_variables().items() if new.powers} == {
            moment: state_of(optimizer, power=True)
            for optimizer in (first, second)
            for moment in state_of(optimizer, power=False)
        }

    def test_of_an_adam_that_waits_for_another(self, new_graph):
        """Generator and discriminator: each step of the second comes after one of the first."""
        first, second = tf1.train.AdamOptimizer(0.1), tf1.train.AdamOptimizer(0.2)
        with tf.control_dependencies([minimize(first, [zeros("a", [2])])]):
            minimize(second, [zeros("b", [2])])
        assert {name: set(new.powers) for name, new in logical_variables().items() if new.powers} == {
            moment: state_of(optimizer, power=True)
            for optimizer in (first, second)
            for moment in state_of(optimizer, power=False)
        }

    def test_of_an_adam_that_waits_for_another_optimizer(self, new_graph):
        w = zeros("w", [2])
        with tf.control_dependencies([minimize(tf1.train.FtrlOptimizer(0.1), [w])]):
            minimize(tf1.train.AdamOptimizer(0.1), [w])
        assert {name for name, new in logical_variables().items() if new.powers} == {"w/Adam", "w/Adam_1"}

    def test_of_adams_in_conditionals(self, new_graph):
        """On TensorFlow 2 the updates are in functions of their own, which the graph does not show."""
        optimizers = [tf1.train.AdamOptimizer(0.1), tf1.train.AdamOptimizer(0.2)]
        variables = [zeros("a", [2], use_resource=True), zeros("b", [2], use_resource=True)]
        for optimizer, variable in zip(optimizers, variables):
            pairs = [(tf.ones([2]), variable)]
            tf.cond(tf1.placeholder_with_default(True, []), lambda: apply(optimizer, pairs), lambda: tf.constant(0))  # noqa: B023
        assert {name: set(new.powers) for name, new in logical_variables().items() if new.powers} == {
            moment: state_of(optimizer, power=True) for optimizer in optimizers for moment in state_of(optimizer, power=False)
        }

    @pytest.mark.parametrize("name", ["Adam", "Adam_2", "Adam2", "Tower0", "AdamW"])
    def test_of_an_adam_by_another_name(self, new_graph, name):
        optimizer = tf1.train.AdamOptimizer(0.1, name=name)
        minimize(optimizer, [zeros("w", [2]), zeros("b", [])])
        assert {name for name, new in logical_variables().items() if new.powers} == state_of(optimizer, power=False)

    def test_of_an_adam_of_partitioned_variables(self, new_graph):
        minimize(tf1.train.AdamOptimizer(0.1), [zeros("v", [4, 1], partitioner=tf1.fixed_size_partitioner(2)), zeros("w", [2])])
        powers = {name: new.powers for name, new in logical_variables().items() if new.powers}
        assert sorted(powers) == ["v/Adam", "v/Adam_1", "w/Adam", "w/Adam_1"]
        assert set(powers.values()) == {("beta1_power", "beta2_power")}

    @pytest.mark.parametrize("adam_first", [True, False], ids=["Adam first", "Adam last"])
    def test_other_optimizers_have_none(self, new_graph, adam_first):
        w = zeros("w", [2], use_resource=True)
        others = [tf1.train.FtrlOptimizer(0.1), tf1.train.MomentumOptimizer(0.1, 0.9)]
        adam = tf1.train.AdamOptimizer(0.1)
        for optimizer in [adam, *others] if adam_first else [*others, adam]:
            minimize(optimizer, [w])
        tf1.train.ExponentialMovingAverage(0.9).apply([w])
        assert {name for name, new in logical_variables().items() if new.powers} == {"w/Adam", "w/Adam_1"}

    def test_a_parameter_that_is_called_so(self, new_graph):
        zeros("beta1_power", [3])
        zeros("my_beta1_power", [])
        zeros("beta1_power/w", [])
        assert not any(new.is_power or new.is_optimizer_state for new in logical_variables().values())


# Logical devices are set up when a process begins, so each strategy has its own.
UNDER_A_STRATEGY = """
    import json, sys
    import tensorflow as tf
    from estimator_warmstart import VariableRecoverHook
    from estimator_warmstart.graph.variables import logical_variables

    tf1 = tf.compat.v1
    cpu = tf.config.experimental.list_physical_devices("CPU")[0]
    tf.config.experimental.set_virtual_device_configuration(cpu, [tf.config.experimental.VirtualDeviceConfiguration()] * 2)
    old_dir, new_dir, strategy = sys.argv[1:]
    found = {}


    class Look(tf1.train.SessionRunHook):
        def after_create_session(self, session, coord):
            for name, new in logical_variables().items():
                copies = [copy for part in new.parts for copy in part.copies]
                found[name] = {
                    "primary": new.slot_of.primary if new.slot_of else None, "powers": new.powers,
                    "kinds": [type(copy).__name__ for copy in copies], "names": [copy.name for copy in copies],
                    "values": [session.run(copy).tolist() for copy in copies],
                }


    def model_fn(features, labels, mode):
        w = tf1.get_variable("new/w", [2], initializer=tf1.zeros_initializer())
        train_op = tf1.train.AdamOptimizer(0.5).minimize(-tf.reduce_sum(w), tf1.train.get_global_step())
        hook = VariableRecoverHook(old_dir, {"fm/w": w}, with_slots=True)
        return tf.estimator.EstimatorSpec(mode, loss=-tf.reduce_sum(w), train_op=train_op, training_hooks=[hook])


    if strategy == "MirroredStrategy":
        # The default reduction waits for ever on two logical CPUs of TensorFlow 2, with and without a hook.
        strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"], tf.distribute.ReductionToOneDevice())
    else:
        strategy = tf.distribute.experimental.CentralStorageStrategy(["/cpu:0", "/cpu:1"], "/cpu:0")
    config = tf.estimator.RunConfig(model_dir=new_dir, train_distribute=strategy)
    one_row = lambda: tf.data.Dataset.from_tensors(({"x": [0.0]}, [0.0])).repeat()
    tf.estimator.Estimator(model_fn, config=config).train(one_row, steps=1, hooks=[Look()])
    print(json.dumps(found))
"""


def run_under(strategy, tmp_path):
    """What a model under `strategy` has once its session is made, and the path of its own checkpoints."""
    (tmp_path / "old").mkdir()
    save_checkpoint(
        tmp_path / "old",
        {
            "fm/w": np.float32([1, 2]),
            "fm/w/Adam": np.float32([0.5, 0.25]),
            "fm/w/Adam_1": np.float32([4, 16]),
            "beta1_power": np.float32(0.125),
            "beta2_power": np.float32(0.75),
        },
    )
    command = [sys.executable, "-c", textwrap.dedent(UNDER_A_STRATEGY), str(tmp_path / "old"), str(tmp_path / "new"), strategy]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2"))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), str(tmp_path / "new" / "model.ckpt-")


@needs_estimator
class TestStrategies:
    def test_mirrored_variables(self, tmp_path):
        found, own = run_under("MirroredStrategy", tmp_path)
        assert found.pop("global_step")["values"] == [0, 0]
        assert sorted(found) == ["beta1_power", "beta2_power", "new/w", "new/w/Adam", "new/w/Adam_1"]
        assert found["new/w"]["names"] == ["new/w:0", "new/w/replica_1:0"]
        assert {name: new["primary"] for name, new in found.items() if new["primary"]} == {
            "new/w/Adam": "new/w",
            "new/w/Adam_1": "new/w",
        }
        assert {name: new["powers"] for name, new in found.items() if new["powers"]} == {
            "new/w/Adam": ["beta1_power", "beta2_power"],
            "new/w/Adam_1": ["beta1_power", "beta2_power"],
        }
        assert {name: new["values"] for name, new in found.items()} == {  # The same in each of the two replicas.
            "new/w": [[1, 2]] * 2,
            "new/w/Adam": [[0.5, 0.25]] * 2,
            "new/w/Adam_1": [[4, 16]] * 2,
            "beta1_power": [0.125] * 2,
            "beta2_power": [0.75] * 2,
        }
        assert tf.train.load_variable(own + "0", "new/w").tolist() == [1, 2]
        assert tf.train.load_variable(own + "1", "new/w").tolist() != [1, 2]

    def test_aggregating_variables(self, tmp_path):
        found, own = run_under("CentralStorageStrategy", tmp_path)
        assert found["new/w"]["names"] == ["new/w:0"]
        assert found["new/w"]["kinds"] == ["ResourceVariable"]  # What the AggregatingVariable holds.
        assert {name: new["values"] for name, new in found.items()} == {
            "global_step": [0],
            "new/w": [[1, 2]],
            "new/w/Adam": [[0.5, 0.25]],
            "new/w/Adam_1": [[4, 16]],
            "beta1_power": [0.125],
            "beta2_power": [0.75],
        }
        assert tf.train.load_variable(own + "0", "new/w/Adam").tolist() == [0.5, 0.25]
        assert tf.train.load_variable(own + "1", "new/w").tolist() != [1, 2]


@pytest.mark.parametrize("slot", ["d/w/t_0/Adagrad", "d/w/part_0/Adagrad", "d/w/ing/d/w/part_0/Adagrad"])
def test_a_slot_of_the_only_part_whose_name_was_cut(slot):
    assert find_slots({"d/w": (4,), slot: (4,)})[slot].primary == "d/w"
    assert not find_slots({"d/w": (4,), "d/w/t_0/Adagrad": (4,), "d/w/t_1/Adagrad": (4,)})


class TestGlobalStep:
    """Found whatever kind of variable it is, and whether or not TensorFlow's own function finds it."""

    @BOTH_KINDS
    @pytest.mark.parametrize(
        "keys, is_found",
        [(["variables", "global_step"], True), (["variables"], True), (["global_step"], True), ([], False)],
        ids=["as TensorFlow makes it", "global variable only", "step only", "in no collection"],
    )
    def test_of_each_kind(self, fm_checkpoint, new_graph, use_resource, keys, is_found):
        w = tf1.get_variable("fm/w", [3, 1], use_resource=use_resource)
        step = tf1.Variable(0, name="global_step", trainable=False, use_resource=use_resource, collections=keys)
        assert global_step(new_graph) is (step if is_found else None)
        ready = {"ready_op": tf.constant([], tf.string), "ready_for_local_init_op": tf.constant([], tf.string)}
        scaffold = tf1.train.Scaffold(init_op=tf.group(w.initializer, step.initializer), **ready)
        creator = tf1.train.ChiefSessionCreator(scaffold)
        with tf1.train.MonitoredSession(creator, hooks=[VariableRecoverHook(fm_checkpoint)]) as session:
            assert session.run(w)[:, 0].tolist() == [1, 2, 3]

    @pytest.mark.parametrize("value", [0.5, [1, 2]], ids=["a float", "a vector"])
    def test_what_only_has_its_name_is_not_one(self, new_graph, value):
        tf1.Variable(value, name="global_step")
        assert global_step(new_graph) is None

    def test_a_tensor_in_its_place(self, new_graph):
        step = tf1.Variable(0, name="step", use_resource=False)
        new_graph.add_to_collection("global_step", step.value())
        assert global_step(new_graph) is None
