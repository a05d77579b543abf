"""prove_recovery: what it finds, what holds, and that nothing is trained or written."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator
from estimator_warmstart import (
    VariableRecoverHook,
    WarmStartError,
    adapters,
    prove_recovery,
    recover_scaffold,
    warm_start_settings,
    warm_started,
)

pytestmark = needs_estimator

tf1 = tf.compat.v1

IDS = [["a"], ["b"], ["c"], ["b"]]
X = np.random.RandomState(0).normal(size=[4, 3]).astype(np.float32)
Y = np.float32([[1], [0], [2], [-1]])


def data():
    return tf.data.Dataset.from_tensors(({"id": IDS, "x": X, "z": X[:, ::-1] * 2}, Y)).repeat()


def weight(name, *shape, **options):
    options.setdefault("initializer", tf1.random_normal_initializer())
    return tf1.get_variable(name, shape, **options)


def dense(name, values, units, transposed=False):
    with tf1.variable_scope(name):
        kernel = weight("kernel", int(values.shape[1]), units)
        return tf.matmul(values, kernel, transpose_b=transposed) + weight("bias", units)


def make(folder, network, optimizer=None, hooks=lambda: [], scaffold=lambda: None, predicted="y", **options):
    """An Estimator whose predictions are what `network` makes of the features; it has no directory yet."""

    def model_fn(features, labels, mode):
        made = network(features)
        predictions = made if isinstance(made, dict) else {"y": made}
        if mode == tf.estimator.ModeKeys.PREDICT:
            return tf.estimator.EstimatorSpec(mode, predictions=predictions)
        loss = tf.reduce_mean(tf1.squared_difference(predictions[predicted], labels))
        make_optimizer = optimizer or (lambda: tf1.train.AdagradOptimizer(0.1))
        train_op = make_optimizer().minimize(loss, tf1.train.get_global_step())
        return tf.estimator.EstimatorSpec(mode, predictions, loss, train_op, training_hooks=hooks(), scaffold=scaffold())

    return tf.estimator.Estimator(model_fn, str(folder), **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns an Estimator that has trained three steps: one for each network."""
    made = {}

    def train(network, **options):
        key = (network, *options.values())
        if key not in made:
            made[key] = make(tmp_path_factory.mktemp("old"), network, **options).train(data, steps=3)
        return made[key]

    return train


def two_layers(features, hidden=3, transposed=False):
    values = tf.nn.relu(dense("hidden", features["x"], hidden, transposed))
    return dense("output", values, 1)


def table(features, tokens=("a", "b", "c"), rows=3):
    lookup = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(list(tokens)), tf.range(len(tokens), dtype=tf.int64)), -1
    )
    rows_of = tf.gather(weight("table", rows, 2), lookup.lookup(tf.convert_to_tensor(features["id"]))[:, 0])
    return dense("output", rows_of, 1)


def normalized(features):
    values = dense("hidden", features["x"], 3)
    with tf1.variable_scope("norm"):
        shift, scale, mean, variance = (
            weight(name, 3, trainable=name in ("beta", "gamma"), initializer=tf1.random_uniform_initializer(0.5, 1.5))
            for name in ("beta", "gamma", "moving_mean", "moving_variance")
        )
    return dense("output", tf.nn.relu(tf.nn.batch_normalization(values, mean, variance, shift, scale, 1e-3)), 1)


def in_order(names):
    def network(features):
        return dense("hidden", tf.concat([features[name] for name in names], axis=1), 1)

    return network


def is_untouched(estimator):
    return not os.path.exists(estimator.model_dir)


def only(proof):
    (compared,) = proof.predictions
    return compared


class TestHolds:
    def test_where_everything_is_restored(self, trained, tmp_path):
        old = trained(two_layers)
        before = sorted(os.listdir(old.model_dir))
        new = warm_started(make(tmp_path / "new", two_layers), old.model_dir)
        proof = prove_recovery(old, new, data)
        assert proof.holds and proof.max_difference == 0
        assert (only(proof).name, only(proof).expected, only(proof).rows) == ("y", "identical", 4)
        assert proof.first_difference is None and proof.layers == 0
        assert is_untouched(new) and sorted(os.listdir(old.model_dir)) == before

    def test_a_widened_layer(self, trained, tmp_path):
        old = trained(two_layers)
        widened = {"output/kernel": adapters.crop_or_pad(("zeros", "initial")), "hidden/.*": adapters.crop_or_pad()}
        new = warm_started(make(tmp_path / "new", lambda features: two_layers(features, 6)), old.model_dir, adapters=widened)
        proof = prove_recovery(old, new, data, atol=1e-6)
        assert proof.holds and only(proof).expected == "close" and only(proof).cold == ()

    def test_ten_times_the_buckets(self, trained, tmp_path):
        def hashed(buckets):
            def network(features):
                ids = tf.strings.to_hash_bucket_fast(tf.convert_to_tensor(features["id"])[:, 0], buckets)
                return dense("output", tf.gather(weight("table", buckets, 2), ids), 1)

            return network

        old = trained(hashed(7))
        rehashed = {"table": adapters.rehash_rows(7, 70)}
        new = warm_started(make(tmp_path / "new", hashed(70)), old.model_dir, adapters=rehashed)
        proof = prove_recovery(old, new, data)
        assert proof.holds and only(proof).expected == "close" and proof.max_difference == 0

    def test_a_vocabulary_that_grew_in_another_order(self, trained, tmp_path):
        old = trained(table)
        tokens = ["c", "new", "b", "a", "other"]
        new = warm_started(
            make(tmp_path / "new", lambda features: table(features, tokens, 5)),
            old.model_dir,
            adapters={"table": adapters.remap_rows(["a", "b", "c"], tokens)},
        )
        proof = prove_recovery(old, new, data)
        assert proof.holds and proof.max_difference == 0

    def test_where_a_new_part_adds_nothing_yet(self, trained, tmp_path):
        def with_tower(features):
            tower = tf.matmul(dense("tower", features["z"], 4), weight("top", 4, 1, initializer=tf1.zeros_initializer()))
            return two_layers(features) + tower

        old = trained(two_layers)
        proof = prove_recovery(old, warm_started(make(tmp_path / "new", with_tower), old.model_dir), data)
        assert proof.holds and proof.max_difference == 0
        assert only(proof).expected == "free" and only(proof).cold == ("tower/kernel", "tower/bias", "top")

    def test_where_a_new_part_moves_the_prediction(self, trained, tmp_path):
        old = trained(two_layers)
        new = make(tmp_path / "new", lambda features: two_layers(features) + dense("tower", features["z"], 1))
        proof = prove_recovery(old, warm_started(new, old.model_dir), data)
        assert proof.holds and proof.max_difference > 0.01 and only(proof).left_behind == ()
        assert proof.layers == 4


def swapped(table):
    return tf.gather(table, [1, 0, 2])


FAULTS = {
    "two rows swapped": (
        table,
        table,
        dict(adapters={"table": adapters.transform(swapped)}),
        ("table", "table", "close"),
    ),
    "rows of the wrong vocabulary": (
        table,
        lambda features: table(features, "bac"),
        dict(adapters={"table": adapters.remap_rows(["b", "a", "c"], ["b", "a", "c"])}),
        ("table", "table", "close"),
    ),
    "a square kernel transposed by its adapter": (
        two_layers,
        two_layers,
        dict(adapters={"hidden/kernel": adapters.transform(tf.transpose)}),
        ("hidden", "hidden/kernel", "close"),
    ),
    "a square kernel transposed by the model": (
        two_layers,
        lambda features: two_layers(features, transposed=True),
        {},
        ("hidden", "hidden/kernel", "identical"),
    ),
    "a cold bias": (two_layers, two_layers, dict(exclude="hidden/bias"), ("hidden", "hidden/bias", "free")),
    "a cold bias behind all layers": (two_layers, two_layers, dict(exclude="output/bias"), ("output", "output/bias", "free")),
    "moving statistics left behind": (
        normalized,
        normalized,
        dict(collection=tf1.GraphKeys.TRAINABLE_VARIABLES),
        ("norm", "norm/moving_variance", "free"),
    ),
    "features in another order": (
        in_order(["x", "z"]),
        in_order(["z", "x"]),
        {},
        ("hidden", "hidden/kernel", "identical"),
    ),
    "a wider layer with fresh outgoing weights": (
        two_layers,
        lambda features: two_layers(features, 5),
        dict(adapters={}),
        ("output", "output/kernel", "close"),
    ),
    "swapped rows next to a new tower": (
        table,
        lambda features: table(features) + dense("tower", features["z"], 1),
        dict(adapters={"table": adapters.transform(swapped)}),
        ("table", "table", "free"),
    ),
}


class TestFinds:
    @pytest.mark.parametrize("fault", list(FAULTS.values()), ids=list(FAULTS))
    def test_a_fault_and_where_it_is(self, trained, tmp_path, fault):
        before, after, options, found = fault
        old = trained(before)
        new = warm_started(make(tmp_path / "new", after), old.model_dir, **options)
        proof = prove_recovery(old, new, data, atol=1e-4)
        assert not proof.holds and proof.max_difference > 0.01
        assert (proof.first_difference.layer, proof.first_difference.variable, only(proof).expected) == found
        assert f"First layer that differs: {found[0]} ({found[1]}): " in str(proof)
        assert is_untouched(new)


class TestWaysIn:
    def test_a_hook_of_the_model_fn(self, trained, tmp_path):
        old = trained(two_layers)
        hook = VariableRecoverHook(old.model_dir, model_dir=str(tmp_path / "new"), with_slots=True)
        proof = prove_recovery(old, make(tmp_path / "new", two_layers, hooks=lambda: [hook]), data)
        assert proof.holds and only(proof).expected == "identical"
        assert not (tmp_path / "new").exists()

    def test_a_hook_that_is_given_to_train(self, trained, tmp_path):
        old = trained(two_layers)
        proof = prove_recovery(old, make(tmp_path / "new", two_layers), data, hooks=[VariableRecoverHook(old.model_dir)])
        assert proof.holds and only(proof).expected == "identical"

    def test_a_scaffold(self, trained, tmp_path):
        old = trained(two_layers)
        new = make(
            tmp_path / "new",
            two_layers,
            scaffold=lambda: recover_scaffold(old.model_dir, exclude="output/bias", model_dir=str(tmp_path / "new")),
        )
        proof = prove_recovery(old, new, data)
        assert not proof.holds and only(proof).left_behind == ("output/bias",)
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("taken", [["hidden/kernel", "hidden/bias", "output/kernel", "output/bias"], ["hidden/kernel"]])
    def test_settings(self, trained, tmp_path, taken):
        old = trained(two_layers)
        settings = warm_start_settings(old.model_dir, {name: name for name in taken})
        proof = prove_recovery(old, make(tmp_path / "new", two_layers, warm_start_from=settings), data)
        assert proof.holds == (len(taken) == 4)
        assert only(proof).expected == ("identical" if proof.holds else "free")

    def test_without_labels(self, trained, tmp_path):
        old = trained(two_layers)
        new = warm_started(make(tmp_path / "new", two_layers), old.model_dir)
        assert only(prove_recovery(old, new, lambda: data().map(lambda features, labels: features))).expected == "identical"

    def test_a_model_that_is_trained_already(self, trained, tmp_path):
        old = trained(two_layers)
        new = warm_started(make(tmp_path / "new", two_layers), old.model_dir)
        new.train(data, steps=2)
        assert prove_recovery(old, new, data).holds

    def test_a_checkpoint_that_is_named(self, trained, tmp_path):
        old = trained(two_layers)
        prefix = tf.train.latest_checkpoint(old.model_dir)
        unseen = make(tmp_path / "unseen", two_layers)
        new = warm_started(make(tmp_path / "new", two_layers), prefix)
        assert prove_recovery(unseen, new, data, checkpoint_path=prefix).holds
        assert not (tmp_path / "unseen").exists()

    def test_another_old_model_is_noted(self, trained, tmp_path):
        old, other = trained(two_layers), make(tmp_path / "other", two_layers).train(data, steps=1)
        proof = prove_recovery(other, warm_started(make(tmp_path / "new", two_layers), old.model_dir), data)
        assert not proof.holds and old.model_dir in proof.notes[0] and proof.notes[0] in str(proof)

    def test_what_another_old_model_gives_is_cold_to_this_one(self, trained, tmp_path):
        old = trained(two_layers)
        tower = make(tmp_path / "tower", lambda features: dense("tower", features["z"], 1)).train(data, steps=1)
        new = make(tmp_path / "new", lambda features: two_layers(features) + dense("tower", features["z"], 1))
        hooks = [
            VariableRecoverHook(old.model_dir, include="hidden|output"),
            VariableRecoverHook(tower.model_dir, include="tower"),
        ]
        proof = prove_recovery(old, new, data, hooks=hooks)
        assert proof.holds and only(proof).cold == ("tower/kernel", "tower/bias") and tower.model_dir in proof.notes[0]

    def test_an_input_fn_with_arguments_and_sparse_features(self, trained, tmp_path):
        def sparse(params, mode):
            assert (params, mode) == ({}, "train")
            return {"id": tf.sparse.from_dense(tf.constant([[1, 0], [0, 3]]))}, tf.constant([[1.0], [2.0]])

        def network(features):
            ids = features["id"]
            return tf.nn.embedding_lookup_sparse(weight("table", 4, 1), ids, None, combiner="sum")

        old = make(tmp_path / "old", network).train(lambda: sparse({}, "train"), steps=1)
        proof = prove_recovery(old, warm_started(make(tmp_path / "new", network), old.model_dir), sparse)
        assert proof.holds and only(proof).rows == 2


class TestErrors:
    def test_of_arguments_come_together(self):
        with pytest.raises(WarmStartError) as error:
            prove_recovery(1, "new", None, atol=-1, hooks=[2])
        assert len(error.value.problems) == 5

    def test_of_an_old_model_without_a_checkpoint(self, tmp_path):
        old = make(tmp_path / "old", two_layers)
        with pytest.raises(WarmStartError, match=r"no checkpoint in its model_dir, .*old: train"):
            prove_recovery(old, make(tmp_path / "new", two_layers), data)

    def test_of_a_model_that_nothing_warm_starts(self, trained, tmp_path):
        new = make(tmp_path / "new", two_layers)
        with pytest.raises(WarmStartError, match="nothing warm-starts new_estimator"):
            prove_recovery(trained(two_layers), new, data)
        with pytest.raises(WarmStartError, match="gives no labels"):
            prove_recovery(trained(two_layers), new, lambda: data().map(lambda features, labels: features))

    def test_of_predictions_with_other_names(self, trained, tmp_path):
        old = trained(two_layers)
        new = make(tmp_path / "new", lambda features: {"score": two_layers(features)}, predicted="score")
        with pytest.raises(WarmStartError, match=r"the old model has \['y'\] and the new model has \['score'\]"):
            prove_recovery(old, warm_started(new, old.model_dir), data)

    def test_of_an_input_fn_without_data(self, trained, tmp_path):
        old = trained(two_layers)
        new = warm_started(make(tmp_path / "new", two_layers), old.model_dir)
        with pytest.raises(WarmStartError, match="input_fn gives no batch"):
            prove_recovery(old, new, lambda: data().take(0))
        with pytest.raises(WarmStartError, match="got 3 values"):
            prove_recovery(old, new, lambda: (1, 2, 3))

    def test_of_an_old_checkpoint_of_another_model(self, trained, tmp_path):
        old = trained(two_layers)
        other = make(old.model_dir, table)
        with pytest.raises(WarmStartError, match="cannot be restored into its model"):
            prove_recovery(other, warm_started(make(tmp_path / "new", two_layers), old.model_dir), data)

    def test_of_a_warm_start_that_cannot_be_done(self, trained, tmp_path):
        old = trained(two_layers)
        new = warm_started(make(tmp_path / "new", lambda features: two_layers(features, 5)), old.model_dir)
        with pytest.raises(WarmStartError, match="hidden/kernel"):
            prove_recovery(old, new, data)
        assert is_untouched(new)


def momentum():
    return tf1.train.MomentumOptimizer(0.1, 0.9)


def adam():
    return tf1.train.AdamOptimizer(0.1)


def decaying():
    rate = tf1.train.exponential_decay(0.1, tf1.train.get_global_step(), 1, 0.5)
    return tf1.train.GradientDescentOptimizer(rate)


def after_step(proof):
    return {each.name: each for each in proof.after_one_step}


class TestOneStep:
    def test_holds_where_the_optimizer_goes_on(self, trained, tmp_path):
        old = trained(two_layers, optimizer=adam)
        before = sorted(os.listdir(old.model_dir))
        new = warm_started(make(tmp_path / "new", two_layers, optimizer=adam), old.model_dir, with_slots=True)
        proof = prove_recovery(old, new, data, one_step=True)
        assert proof.holds and {each.expected for each in proof.after_one_step} == {"identical"}
        assert set(after_step(proof)) >= {"hidden/kernel", "hidden/kernel/Adam", "beta1_power", "beta2_power"}
        assert is_untouched(new) and sorted(os.listdir(old.model_dir)) == before

    def test_finds_cold_slots(self, trained, tmp_path):
        old = trained(two_layers, optimizer=momentum)
        new = warm_started(make(tmp_path / "new", two_layers, optimizer=momentum), old.model_dir)
        proof = prove_recovery(old, new, data, one_step=True)
        assert not proof.holds and proof.max_difference == 0  # The predictions do not show it.
        kernel = after_step(proof)["hidden/kernel"]
        assert not kernel.holds and kernel.max_difference > 1e-3
        assert kernel.cold == kernel.left_behind == ("hidden/kernel/Momentum",)
        assert "left behind: 'hidden/kernel/Momentum'" in str(proof)

    def test_finds_one_cold_slot(self, trained, tmp_path):
        old = trained(two_layers, optimizer=momentum)
        names = ["hidden/kernel", "hidden/bias", "output/kernel", "output/bias"]
        names += [f"{name}/Momentum" for name in names[:3]]
        taken = {name: name for name in names}
        new = warm_started(make(tmp_path / "new", two_layers, optimizer=momentum), old.model_dir, taken)
        proof = prove_recovery(old, new, data, one_step=True)
        assert [each.name for each in proof.after_one_step if not each.holds] == ["output/bias"]

    def test_finds_a_power_that_begins_again(self, trained, tmp_path):
        def again():
            def reset(scaffold, session):
                (power,) = [each for each in tf1.global_variables() if each.op.name == "beta1_power"]
                power.load(0.9, session)

            return recover_scaffold(old.model_dir, with_slots=True, init_fn=reset)

        old = trained(two_layers, optimizer=adam)
        proof = prove_recovery(old, make(tmp_path / "new", two_layers, optimizer=adam, scaffold=again), data, one_step=True)
        assert not proof.holds and proof.max_difference == 0
        assert {"beta1_power", "hidden/kernel"} <= {each.name for each in proof.after_one_step if not each.holds}
        assert after_step(proof)["beta2_power"].holds

    def test_finds_a_step_that_a_learning_rate_follows(self, trained, tmp_path):
        old = trained(two_layers, optimizer=decaying)
        new = warm_started(make(tmp_path / "new", two_layers, optimizer=decaying), old.model_dir, with_slots=True)
        proof = prove_recovery(old, new, data, one_step=True)
        assert not proof.holds
        assert after_step(proof)["hidden/kernel"].left_behind == ("global_step",)

    def test_compares_what_a_wider_layer_has_kept(self, trained, tmp_path):
        old = trained(two_layers)
        widened = {"output/kernel": adapters.crop_or_pad(("zeros", "initial")), "hidden/.*": adapters.crop_or_pad()}
        new = make(tmp_path / "new", lambda features: two_layers(features, 6))
        proof = prove_recovery(old, warm_started(new, old.model_dir, adapters=widened), data, atol=1e-5, one_step=True)
        assert proof.holds
        kernel = after_step(proof)["hidden/kernel"]
        assert (kernel.expected, kernel.rows) == ("close", 3)

    def test_compares_rows_that_have_moved(self, trained, tmp_path):
        old = trained(table)
        tokens = ["c", "new", "b", "a"]
        new = make(tmp_path / "new", lambda features: table(features, tokens, 4))
        remapped = {"table": adapters.remap_rows(["a", "b", "c"], tokens)}
        proof = prove_recovery(old, warm_started(new, old.model_dir, adapters=remapped), data, one_step=True, atol=1e-6)
        assert proof.holds and after_step(proof)["table"].rows == 3
        cold = warm_started(new, old.model_dir, adapters=remapped, with_slots=False)
        proof = prove_recovery(old, cold, data, one_step=True, atol=1e-6)
        assert after_step(proof)["table"].left_behind == ("table/Adagrad",) and not proof.holds

    def test_draws_the_same_dropout(self, trained, tmp_path):
        def dropping(features):
            return dense("output", tf.nn.dropout(features["x"], rate=0.5), 1)

        def later(features):
            tf.random.uniform([2])  # Moves the seeds that TensorFlow chooses.
            return dropping(features)

        old = trained(dropping)
        new = warm_started(make(tmp_path / "new", later), old.model_dir, with_slots=True)
        proof = prove_recovery(old, new, lambda: data(), one_step=True)
        assert all(each.holds for each in proof.after_one_step)

    def test_needs_labels(self, trained, tmp_path):
        old = trained(two_layers)
        new = warm_started(make(tmp_path / "new", two_layers), old.model_dir)
        with pytest.raises(WarmStartError, match="no labels"):
            prove_recovery(old, new, lambda: data().map(lambda features, labels: features), one_step=True)


def test_json_has_what_the_text_says(trained, tmp_path):
    old = trained(two_layers)
    new = warm_started(make(tmp_path / "new", two_layers), old.model_dir, exclude="hidden/bias")
    proof = prove_recovery(old, new, data, one_step=True)
    read = json.loads(proof.as_json())
    assert (read["holds"], read["first_difference"]["variable"]) == (False, "hidden/bias")
    assert read["predictions"][0]["expected"] == "free" and read["predictions"][0]["rows"] == 4
    assert len(read["after_one_step"]) == 3
