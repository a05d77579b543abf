"""ShapeAdaptingRecoverHook: the promises of VariableRecoverHook where shapes changed, and slots in lockstep."""

import logging
import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import ShapeAdaptingRecoverHook, adapters, format_report, recover_variables
from shared_models import one_row

tf1 = tf.compat.v1

REMAP = adapters.remap_rows(["a", "b", "c"], ["c", "new", "a", "b"])
OLD_V, OLD_SLOT = np.float32([[1, 2], [3, 4], [5, 6]]), np.float32([[10, 20], [30, 40], [50, 60]])


def filled(name, shape, value=0.0, **options):
    return tf1.get_variable(name, shape, initializer=tf1.constant_initializer(value), **options)


def estimator_of(model_fn, model_dir):
    return tf.estimator.Estimator(model_fn, config=tf.estimator.RunConfig(model_dir=str(model_dir)))


def values_at(model_dir, step, name):
    return tf.train.load_variable(os.path.join(str(model_dir), f"model.ckpt-{step}"), name)


def text_to_speech(symbols, ckp_dir=None, hooks=None, **options):
    """A model_fn with the shapes of the blog's: a table of symbols, an encoder's kernel that keeps its shape, and Adam."""

    def model_fn(features, labels, mode):
        table = tf1.get_variable("char_embeddings", [symbols, 128], initializer=tf1.truncated_normal_initializer(stddev=0.5))
        kernel = tf1.get_variable("encoder/kernel", [128, 4])
        encoded = tf.matmul(tf.nn.embedding_lookup(table, [0, 3, symbols - 1]), kernel)
        loss = tf.reduce_sum(tf.square(encoded - 1.0))
        train_op = tf1.train.AdamOptimizer(0.01).minimize(loss, tf1.train.get_global_step())
        made = []
        if ckp_dir is not None:
            made = [ShapeAdaptingRecoverHook(ckp_dir, **options)]
            (hooks if hooks is not None else []).extend(made)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, training_hooks=made)

    return model_fn


@pytest.fixture(scope="module")
def thirty_symbols(tmp_path_factory):
    """A model with 30 symbols, trained for 5 steps."""
    folder = tmp_path_factory.mktemp("thirty")
    estimator_of(text_to_speech(30), folder).train(one_row, steps=5)
    return str(folder)


@needs_estimator
class TestTheBlogsCase:
    def test_30_symbols_become_29(self, thirty_symbols, tmp_path):
        hooks = []
        estimator_of(text_to_speech(29, thirty_symbols, hooks), tmp_path).train(one_row, steps=1)
        old = {name: tf.train.load_variable(thirty_symbols, name) for name, _ in tf.train.list_variables(thirty_symbols)}
        new = {name: values_at(tmp_path, 0, name) for name, _ in tf.train.list_variables(str(tmp_path))}
        assert set(new) == set(old)
        cropped = ["char_embeddings", "char_embeddings/Adam", "char_embeddings/Adam_1"]
        for name in cropped:
            assert old[name].shape == (30, 128) and np.any(old[name][:29])
            assert new[name].tolist() == old[name][:29].tolist(), name
        for name in set(old) - set(cropped) - {"global_step"}:
            assert new[name].tolist() == old[name].tolist(), name
        assert old["beta1_power"] != np.float32(0.9) and new["global_step"] == 0
        fates = {planned.new.name: planned for planned in hooks[0].plan.variables}
        assert {name for name, planned in fates.items() if planned.action == "adapted"} == set(cropped)
        assert fates["global_step"].action == "initialized"
        assert hooks[0].plan.coverage == hooks[0].plan.slot_coverage == 1.0

    def test_the_report_says_that_it_was_cropped(self, thirty_symbols, tmp_path, caplog):
        with caplog.at_level(logging.INFO, logger="tensorflow"):
            estimator_of(text_to_speech(29, thirty_symbols), tmp_path).train(one_row, steps=1)
        (report,) = [record.getMessage() for record in caplog.records if "Warm start from" in record.getMessage()]
        (row,) = [line for line in report.splitlines() if " char_embeddings " in line]
        assert "[30, 128]" in row and "[29, 128]" in row and "crop_or_pad(fill='initial')" in row
        (slot,) = [line for line in report.splitlines() if " char_embeddings/Adam_1 " in line]
        assert "adapted" in slot and "as 'char_embeddings'" in slot
        (power,) = [line for line in report.splitlines() if " beta1_power " in line]
        assert "restored" in power

    def test_30_symbols_become_32(self, thirty_symbols, tmp_path):
        estimator_of(text_to_speech(32, thirty_symbols), tmp_path).train(one_row, steps=1)
        table = values_at(tmp_path, 0, "char_embeddings")
        assert table[:30].tolist() == tf.train.load_variable(thirty_symbols, "char_embeddings").tolist()
        assert np.all(np.abs(table[30:]) <= 1.0) and 0.3 < table[30:].std() < 0.6  # A truncated normal of 0.5.
        for slot in ("char_embeddings/Adam", "char_embeddings/Adam_1"):
            assert values_at(tmp_path, 0, slot)[:30].tolist() == tf.train.load_variable(thirty_symbols, slot).tolist()
            assert not values_at(tmp_path, 0, slot)[30:].any()


def remapping_model(ckp_dir, **options):
    """Each step adds 0.5 to every value of the table."""

    def model_fn(features, labels, mode):
        v = filled("fm/v", [4, 2], -1.0)
        loss = tf.constant(0.0) - tf.reduce_sum(v)
        train_op = tf1.train.GradientDescentOptimizer(0.5).minimize(loss, tf1.train.get_global_step())
        hook = ShapeAdaptingRecoverHook(ckp_dir, {"fm/v": v}, {"fm/v": REMAP}, **options)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, training_hooks=[hook])

    return model_fn


WARM = [[5, 6], [-1, -1], [1, 2], [3, 4]]


@needs_estimator
class TestWhen:
    def test_the_first_checkpoint_is_warm_and_a_second_train_untouched(self, fm_checkpoint, tmp_path):
        for _ in range(2):  # As a new process: a new Estimator on the same model_dir.
            estimator_of(remapping_model(fm_checkpoint), tmp_path / "new").train(one_row, steps=2)
        assert values_at(tmp_path / "new", 0, "fm/v").tolist() == WARM
        assert values_at(tmp_path / "new", 4, "fm/v").tolist() == (np.array(WARM) + 2).tolist()

    def test_every_train(self, fm_checkpoint, tmp_path):
        estimator = estimator_of(remapping_model(fm_checkpoint, when="every_train"), tmp_path / "new")
        estimator.train(one_row, steps=2)
        estimator.train(one_row, steps=1)
        assert values_at(tmp_path / "new", 3, "fm/v").tolist() == (np.array(WARM) + 0.5).tolist()

    @pytest.mark.parametrize("order", ["init alone", "init first", "hook first", "init before begin"])
    def test_by_hand(self, fm_checkpoint, new_graph, order):
        v = filled("fm/v", [4, 2], -1.0)
        init = tf1.global_variables_initializer()
        hook = ShapeAdaptingRecoverHook(fm_checkpoint, {"fm/v": v}, {"fm/v": REMAP})
        with tf1.Session() as session:
            if order == "init before begin":
                session.run(init)
            hook.begin()
            if order in ("init alone", "init first"):
                session.run(init)
            if order != "init alone":
                hook.after_create_session(session, None)
            if order == "hook first":
                session.run(init)
            assert session.run(v).tolist() == WARM

    def test_one_session_recovers_again_and_again(self, fm_checkpoint, new_graph):
        v, step = filled("fm/v", [4, 2], -1.0), tf1.train.get_or_create_global_step()
        train = tf.group(v.assign(tf.zeros([4, 2])), step.assign_add(1))
        hook = ShapeAdaptingRecoverHook(fm_checkpoint, {"fm/v": v}, {"fm/v": REMAP}, when="every_train")
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for _ in range(3):
                session.run(train)
                hook.begin()
                hook.after_create_session(session, None)
                assert session.run(v).tolist() == WARM


PARTITIONED_CASES = [
    pytest.param(4, None, lambda old, new: np.concatenate([old, new[5:]]) if len(new) > 5 else old[:4], id="crop"),
    pytest.param(8, None, lambda old, new: np.concatenate([old, new[5:]]), id="grow"),
    pytest.param(
        6,
        adapters.remap_rows(list("abcde"), list("exadyb")),
        lambda old, new: np.stack([old[4], new[1], old[0], old[3], new[4], old[1]]),
        id="remap",
    ),
]


@pytest.mark.parametrize("new_parts", [None, 2, 3], ids=["whole", "2 parts", "3 parts"])
@pytest.mark.parametrize("old_parts", [None, 2, 3], ids=["from whole", "from 2 parts", "from 3 parts"])
@pytest.mark.parametrize("rows, adapter, expected", PARTITIONED_CASES)
@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_partitions(old_dir, new_graph, rows, adapter, expected, old_parts, new_parts, use_resource):
    value = np.arange(10, dtype=np.float32).reshape(5, 2)
    save_checkpoint(
        old_dir, {"v": value, "v/Adagrad": value + 100}, {"v": old_parts, "v/Adagrad": old_parts} if old_parts else None
    )
    partitioner = tf1.fixed_size_partitioner(new_parts) if new_parts else None
    v = filled("scope/v", [rows, 2], -1.0, partitioner=partitioner, use_resource=use_resource)
    tf1.train.AdagradOptimizer(0.1, initial_accumulator_value=0.5).minimize(tf.reduce_sum(tf.convert_to_tensor(v) ** 2))
    hook = ShapeAdaptingRecoverHook(str(old_dir), {"v": v}, {"scope/v": adapter} if adapter else None)
    tables = list(v) if new_parts else [v]
    slots = [variable for variable in tf1.global_variables() if "Adagrad" in variable.name]
    assert len(tables) == len(slots) == (new_parts or 1)
    with tf1.train.MonitoredSession(hooks=[hook]) as session:
        table, slot = np.concatenate(session.run(tables)), np.concatenate(session.run(slots))
    # The slot is matched through the rename.
    assert table.tolist() == expected(value, np.full([rows, 2], -1.0)).tolist()
    assert slot.tolist() == expected(value + 100, np.full([rows, 2], 0.5)).tolist()


class TestSlots:
    @pytest.mark.parametrize("fill", ["initial", "zeros", "mean", 7.0])
    @pytest.mark.parametrize(
        "adapter",
        [
            pytest.param(adapters.crop_or_pad, id="crop_or_pad"),
            pytest.param(lambda fill: adapters.remap_rows(list("abc"), list("abcd"), fill=fill), id="remap_rows"),
            pytest.param(lambda fill: adapters.remap_segments({"x": 3}, {"x": 3, "y": 1}, fill=fill), id="remap_segments"),
        ],
    )
    def test_new_rows_take_the_slots_own_initial_value(self, fm_checkpoint, new_graph, fill, adapter):
        v = filled("fm/v", [4, 2], -1.0)
        tf1.train.AdagradOptimizer(0.1, initial_accumulator_value=0.25).minimize(tf.reduce_sum(v))
        (slot,) = [variable for variable in tf1.global_variables() if "Adagrad" in variable.name]
        hook = ShapeAdaptingRecoverHook(fm_checkpoint, None, {"fm/v": adapter(fill)})
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            new_row = {"initial": [-1, -1], "zeros": [0, 0], "mean": [3, 4], 7.0: [7, 7]}[fill]
            assert session.run(v).tolist() == OLD_V.tolist() + [new_row]
            assert session.run(slot).tolist() == OLD_SLOT.tolist() + [[0.25, 0.25]]

    def test_a_slot_keeps_what_its_variable_keeps_through_a_rename(self, fm_checkpoint, new_graph):
        v = filled("ranker/v", [2, 3], -1.0)
        with tf1.variable_scope("training"):
            tf1.train.AdagradOptimizer(0.1, initial_accumulator_value=0.25).minimize(tf.reduce_sum(v))
        (slot,) = [variable for variable in tf1.global_variables() if "Adagrad" in variable.name]
        adapter = [adapters.take(np.s_[::-2]), adapters.crop_or_pad("zeros")]
        hook = ShapeAdaptingRecoverHook(fm_checkpoint, {"fm/v": v}, {v: adapter})
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            assert session.run(v).tolist() == [[5, 6, 0], [1, 2, 0]]
            assert session.run(slot).tolist() == [[50, 60, 0.25], [10, 20, 0.25]]

    def test_a_slot_named_in_recover_vars_moves_with_its_variable(self, fm_checkpoint, new_graph):
        v = filled("fm/v", [3, 2], -1.0)
        tf1.train.AdagradOptimizer(0.1).minimize(tf.reduce_sum(v))
        (slot,) = [variable for variable in tf1.global_variables() if "Adagrad" in variable.name]
        recover_vars = {"fm/v": "fm/v", "fm/v/Adagrad": "fm/v/Adagrad"}
        hook = ShapeAdaptingRecoverHook(fm_checkpoint, recover_vars, {"fm/v": adapters.remap_rows(list("abc"), list("cba"))})
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            assert session.run(v).tolist() == OLD_V[::-1].tolist()
            assert session.run(slot).tolist() == OLD_SLOT[::-1].tolist()

    def test_a_function_after_rows_were_moved(self, fm_checkpoint, new_graph):
        v = filled("fm/v", [2, 4], -1.0)
        tf1.train.AdagradOptimizer(0.1, initial_accumulator_value=0.25).minimize(tf.reduce_sum(v))
        (slot,) = [variable for variable in tf1.global_variables() if "Adagrad" in variable.name]
        adapter = [adapters.remap_rows(list("abc"), list("abxc"), fill="mean"), adapters.transform(tf.transpose)]
        hook = ShapeAdaptingRecoverHook(fm_checkpoint, None, {"fm/v": adapter})
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            assert session.run(v).tolist() == [[1, 3, 3, 5], [2, 4, 4, 6]]
            assert session.run(slot).tolist() == [[10, 30, 0.25, 50], [20, 40, 0.25, 60]]

    def test_a_zero_that_was_taken_stays(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"w": np.float32([[1, 2]]), "w/RMSProp": np.float32([[0, 3]])})
        w = filled("w", [2], -1.0)
        tf1.train.RMSPropOptimizer(0.1).minimize(tf.reduce_sum(w))
        (slot,) = [variable for variable in tf1.global_variables() if variable.op.name == "w/RMSProp"]
        recover_vars = {"w": "w", "w/RMSProp": "w/RMSProp"}
        hook = ShapeAdaptingRecoverHook(str(old_dir), recover_vars, {"w": adapters.take(np.s_[0])})
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            assert session.run(slot).tolist() == [0, 3]

    def test_without_slots(self, fm_checkpoint, new_graph):
        v = filled("fm/v", [4, 2], -1.0)
        tf1.train.AdagradOptimizer(0.1, initial_accumulator_value=0.25).minimize(tf.reduce_sum(v))
        (slot,) = [variable for variable in tf1.global_variables() if "Adagrad" in variable.name]
        hook = ShapeAdaptingRecoverHook(fm_checkpoint, None, {"fm/v": REMAP}, with_slots=False)
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            assert session.run(v).tolist() == WARM
            assert session.run(slot).tolist() == [[0.25, 0.25]] * 4
        assert "slot of 'fm/v', with_slots=True would recover it" in format_report(hook.plan)


OPTIMIZERS = {
    "Adagrad": lambda: tf1.train.AdagradOptimizer(0.1),
    "Ftrl": lambda: tf1.train.FtrlOptimizer(0.1, l1_regularization_strength=0.01),
    "Adam": lambda: tf1.train.AdamOptimizer(0.1),
    "RMSProp": lambda: tf1.train.RMSPropOptimizer(0.1, momentum=0.9),
    "centered RMSProp": lambda: tf1.train.RMSPropOptimizer(0.1, centered=True),
    "Momentum": lambda: tf1.train.MomentumOptimizer(0.1, 0.9),
}
WAYS = {
    **{f"crop_or_pad {fill}": adapters.crop_or_pad(fill) for fill in ("initial", "zeros", "mean", 0, 7.0)},
    "remap_rows": [adapters.remap_rows(list("abc"), list("xbycz"), fill="zeros"), adapters.crop_or_pad("zeros")],
    "a fill for each axis": adapters.crop_or_pad(("zeros", "initial")),
    "similar": [adapters.remap_rows(list("abc"), list("xbycz"), similar={"x": ["a", "c"]}), adapters.crop_or_pad("zeros")],
    "shrink_perturb": [adapters.shrink_perturb(0.5, 0.1), adapters.crop_or_pad("zeros")],
    "remap_segments": [adapters.remap_segments({"a": 3}, {"b": 2, "a": 3}, fill="zeros"), adapters.crop_or_pad("zeros")],
    "padding": adapters.transform(lambda tensor: tf.pad(tensor, [[0, 2], [0, 1]])),
}


def tables_and_step(names, shape, optimizer, sparse):
    """Tables and a training operation whose gradient on every row is what the placeholder says."""
    tables = [tf1.get_variable(name, shape, initializer=tf1.random_normal_initializer(stddev=0.1)) for name in names]
    rows = [tf.nn.embedding_lookup(table, list(range(shape[0]))) if sparse else table for table in tables]
    slope = tf1.placeholder(tf.float32, [])
    return slope, OPTIMIZERS[optimizer]().minimize(slope * tf.add_n([tf.reduce_sum(row) for row in rows]))


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_no_step_on_a_new_row_gives_nan(tmp_path, optimizer, sparse):
    with tf.Graph().as_default(), tf1.Session() as session:
        slope, step = tables_and_step(["v"], [3, 2], optimizer, sparse)
        session.run(tf1.global_variables_initializer())
        session.run(step, {slope: 1.0})
        prefix = tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    names = {f"v{number}": way for number, way in enumerate(WAYS)}
    with tf.Graph().as_default(), tf1.Session() as session:
        slope, step = tables_and_step(names, [5, 3], optimizer, sparse)
        variables = tf1.global_variables()
        plan = recover_variables(session, prefix, {"v": list(names)}, {name: WAYS[way] for name, way in names.items()})
        session.run(tf1.variables_initializer([v for v in variables if not session.run(tf1.is_variable_initialized(v))]))
        tied = [planned for planned in plan.variables if planned.new.slot_of]
        assert len(tied) >= len(names) and {planned.action for planned in tied} == {"adapted"}
        for gradient in (0.0, 0.0, 1.0, 1.0):
            session.run(step, {slope: gradient})
            for variable, value in zip(variables, session.run(variables)):
                scope = variable.op.name.split("/")[0]
                assert np.isfinite(value).all(), f"{variable.name} by {names.get(scope)}, a gradient of {gradient}"


class TestAdamsPowers:
    @pytest.fixture
    def adam_checkpoint(self, old_dir):
        save_checkpoint(
            old_dir,
            {
                "v": OLD_V,
                "v/Adam": OLD_V * 10,
                "v/Adam_1": OLD_V * 100,
                "beta1_power": np.float32(0.5),
                "beta2_power": np.float32(0.75),
            },
        )
        return str(old_dir)

    def recover(self, ckp_dir, recover_vars=None, names=("v",), **options):
        tables = [filled(name, [4, 2], -1.0) for name in names]
        tf1.train.AdamOptimizer(0.1).minimize(sum(tf.reduce_sum(table) for table in tables))
        hook = ShapeAdaptingRecoverHook(ckp_dir, recover_vars, **options)
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            return hook.plan, {variable.op.name: session.run(variable).tolist() for variable in tf1.global_variables()}

    def test_with_moments(self, adam_checkpoint, new_graph):
        plan, values = self.recover(adam_checkpoint)
        assert values["v/Adam_1"] == (OLD_V * 100).tolist() + [[0, 0]]
        assert (values["beta1_power"], values["beta2_power"]) == (0.5, 0.75)
        assert not plan.notes

    def test_without_slots(self, adam_checkpoint, new_graph):
        plan, values = self.recover(adam_checkpoint, with_slots=False)
        assert values["v/Adam"] == [[0, 0]] * 4
        assert values["beta1_power"] == pytest.approx(0.9) and values["beta2_power"] == pytest.approx(0.999)
        (line,) = [line for line in format_report(plan).splitlines() if " -  " in line and " beta2_power " in line]
        assert "as initialized: goes with Adam's moments, of which none is recovered" in line

    def test_moments_without_powers_stay_fresh(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": OLD_V, "v/Adam": OLD_V * 10, "v/Adam_1": OLD_V * 100})
        plan, values = self.recover(str(old_dir))
        assert values["v"] == OLD_V.tolist() + [[-1, -1]]
        assert values["v/Adam"] == [[0, 0]] * 4 and values["beta1_power"] == pytest.approx(0.9)
        (line,) = [line for line in format_report(plan).splitlines() if " -  " in line and " v/Adam " in line]
        assert "Adam's moment, and the checkpoint has no 'beta1_power' to go with it" in line

    def test_moments_of_some_variables_only(self, adam_checkpoint, new_graph):
        plan, values = self.recover(adam_checkpoint, names=("v", "tower"))
        assert values["beta1_power"] == 0.5 and values["tower/Adam"] == [[0, 0]] * 4
        (note,) = plan.notes
        assert "recovered with 2 of 4 moments" in note and "tower/Adam" in note and note in format_report(plan)


def test_default_adapter_is_said_in_the_report(fm_checkpoint, new_graph):
    filled("fm/v", [4, 2]), filled("fm/w", [3, 1])
    hook = ShapeAdaptingRecoverHook(fm_checkpoint)
    hook.begin()
    lines = format_report(hook.plan).splitlines()
    (v,) = [line for line in lines if " fm/v " in line]
    (w,) = [line for line in lines if " fm/w " in line]
    assert v.endswith("adapted, 75 % old, 100 % of the old kept: crop_or_pad(fill='initial')") and w.endswith("restored")
