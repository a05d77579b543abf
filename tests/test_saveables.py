"""What a graph saves that is not a variable (tables, trees, iterators): refused where it was asked for, else a warning."""

import logging
import os

import pytest
import tensorflow as tf

from estimator_warmstart import WarmStartError, format_report, plan_recovery, recover_variables, report_as_json, warm_started

tf1 = tf.compat.v1
TABLE_KEYS = "'s/table-keys', 's/table-values'"


def table(name="s/table", values=tf.int64, default=0, deleted="d"):
    return tf.lookup.experimental.DenseHashTable(
        key_dtype=tf.string,
        value_dtype=values,
        default_value=default,
        empty_key="e",
        deleted_key=deleted,
        initial_num_buckets=4,
        name=name,
    )


def save(old_dir, *make):
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        tf1.get_variable("s/w", [2]), tf1.get_variable("v", [2])
        for one in make:
            one()
        session.run(tf1.global_variables_initializer())
        for iterator in graph.get_collection("iterators_to_initialize"):
            session.run(iterator.initializer)
        return tf1.train.Saver().save(session, os.path.join(str(old_dir), "model.ckpt"))


@pytest.fixture
def with_table(old_dir, new_graph):
    """Old and new: s/w and v, and s/table from strings to int64."""
    save(old_dir, table)
    tf1.get_variable("s/w", [2]), tf1.get_variable("v", [2]), table()
    return str(old_dir)


WARNING = (
    "the lookup table 's/table' begins as initialized: it is not a variable, and what the checkpoint holds of it "
    f"({TABLE_KEYS}) is not recovered"
)
PROBLEM = (
    f"the lookup table 's/table' is not a variable, and what the checkpoint holds of it ({TABLE_KEYS}) cannot be recovered; "
    "exclude='s/table' leaves it as initialized"
)


class TestTables:
    @pytest.mark.parametrize(
        "rules",
        [
            {},
            {"recover_vars": {"v": "v"}},
            {"include": "v"},
            {"exclude": "v"},
            {"rename": {"v": "v"}},
            {"collection": "trainable_variables"},
        ],
        ids=str,
    )
    def test_are_a_warning_where_nobody_asked_for_them(self, with_table, rules):
        plan = plan_recovery(with_table, **rules)
        assert plan.warnings == (WARNING,)
        assert f"Warning: {WARNING}" in format_report(plan).split("\n")
        assert '"warnings": [\n    "the lookup table' in report_as_json(plan)

    @pytest.mark.parametrize("rules", [{"include": "s"}, {"include": ""}, {"rename": {"s": "s"}}], ids=str)
    def test_are_refused_where_they_were_asked_for(self, with_table, rules):
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(with_table, **rules)
        assert caught.value.problems == (PROBLEM,)

    def test_that_alone_were_asked_for_are_refused(self, with_table):
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(with_table, include=["s/table"])
        assert caught.value.problems == ("include 's/table' fits no new variable", PROBLEM)

    @pytest.mark.parametrize("name", ["s/table", "s/table:0"])
    def test_are_refused_by_name(self, with_table, name):
        with pytest.raises(WarmStartError) as caught:
            plan_recovery(with_table, {"s/table-keys": name, "v": "v"})
        assert caught.value.problems[-1] == (
            "the lookup table 's/table' is not a variable, so nothing can be recovered into it; leave it out of recover_vars"
        )

    @pytest.mark.parametrize("rules", [{"exclude": "s/table"}, {"include": "s", "exclude": ["s/table"]}], ids=str)
    def test_are_left_where_they_are_excluded(self, with_table, rules):
        plan = plan_recovery(with_table, **rules)
        assert (plan.recovered[0].new.name, plan.warnings) == ("s/w", ())
        assert plan.notes == ("the lookup table 's/table' is left as initialized, as exclude says",)

    def test_renamed_ones_are_refused(self, old_dir, new_graph):
        save(old_dir, table)
        tf1.get_variable("t/w", [2]), table("t/table")
        with pytest.raises(WarmStartError, match=r"the lookup table 't/table' is not a variable, .*'s/table-keys'"):
            plan_recovery(str(old_dir), rename={"s": "t"})
        assert plan_recovery(str(old_dir), rename={"s": "t"}, exclude="t/table").recovered[0].old.name == "s/w"

    def test_that_the_checkpoint_does_not_have_are_no_matter(self, old_dir, new_graph):
        save(old_dir)
        tf1.get_variable("s/w", [2]), table()
        assert plan_recovery(str(old_dir), include="s").warnings == ()

    def test_of_an_imported_graph(self, with_table, old_dir):
        with tf.Graph().as_default() as graph:
            tf1.train.import_meta_graph(os.path.join(with_table, "model.ckpt.meta"))
            assert plan_recovery(with_table, graph=graph).warnings == (WARNING,)

    def test_a_training_logs_the_warning(self, with_table, caplog):
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            recover_variables(session, with_table)
        assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [WARNING]

    @pytest.mark.parametrize(
        "make, word",
        [
            (lambda: table(values=tf.float32, default=[0.0, 0.0]), "the model's parameters are in the lookup table 's/table'"),
        ],
        ids=["embedding"],
    )
    def test_with_what_was_learned_are_refused_without_a_rule_too(self, old_dir, new_graph, make, word):
        save(old_dir, make)
        tf1.get_variable("v", [2]), make()
        with pytest.raises(WarmStartError, match=word):
            plan_recovery(str(old_dir))
        assert plan_recovery(str(old_dir), exclude="s/table").coverage == 1.0
        assert plan_recovery(str(old_dir), include="v").coverage == 1.0


def iterator():
    made = tf1.data.make_initializable_iterator(tf.data.Dataset.range(3))
    graph = tf1.get_default_graph()
    graph.add_to_collection(tf1.GraphKeys.SAVEABLE_OBJECTS, tf.data.experimental.make_saveable_from_iterator(made))
    graph.add_to_collection("iterators_to_initialize", made)


def test_an_iterator(old_dir, new_graph):
    save(old_dir, iterator)
    tf1.get_variable("v", [2]), iterator()
    (warning,) = plan_recovery(str(old_dir)).warnings
    assert warning.startswith("the iterator 'IteratorV2' begins as initialized")


@pytest.mark.skipif(
    not hasattr(getattr(tf, "estimator", None), "BoostedTreesClassifier"), reason="this TensorFlow has no boosted trees"
)
class TestBoostedTrees:
    @pytest.fixture
    def estimator(self, tmp_path):
        return self.make(tmp_path / "new")

    @staticmethod
    def make(model_dir):
        column = tf.feature_column.bucketized_column(tf.feature_column.numeric_column("x"), [0.0, 1.0])
        return tf.estimator.BoostedTreesClassifier(
            [column], n_batches_per_layer=1, n_trees=2, max_depth=2, model_dir=str(model_dir)
        )

    @staticmethod
    def input_fn():
        return tf.data.Dataset.from_tensors(({"x": tf.constant([[-1.0], [0.5], [2.0]])}, tf.constant([[0], [1], [1]]))).repeat()

    def test_are_refused(self, estimator, tmp_path):
        self.make(tmp_path / "old").train(self.input_fn, steps=2)
        with pytest.raises(WarmStartError) as caught:
            warm_started(estimator, str(tmp_path / "old")).train(self.input_fn, steps=1)
        problem, *_ = caught.value.problems  # TensorFlow 2.0 makes variables without a static shape next to the trees.
        assert problem.startswith("the model's parameters are in the tree ensemble 'boosted_trees', which is not a variable")
        for part in ("'boosted_trees:0_serialized', 'boosted_trees:0_stamp'", "own directory", "exclude='boosted_trees'"):
            assert part in problem


def test_trees_by_the_names_that_they_are_saved_under(old_dir, new_graph):
    """As a TensorFlow without boosted trees has them: a graph that was imported."""
    with tf.Graph().as_default(), tf1.Session() as session:
        names = {
            "trees:0_serialized": tf1.get_variable("a", [], tf.string, tf1.constant_initializer("")),
            "v": (tf1.get_variable("v", [2])),
            "trees:0_stamp": tf1.get_variable("c", [], tf.int64),
        }
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver(names).save(session, os.path.join(str(old_dir), "model.ckpt"))
    tf1.get_variable("v", [2])
    new_graph.add_to_collection(tf1.GraphKeys.SAVEABLE_OBJECTS, tf.constant(0, name="trees"))
    with pytest.raises(WarmStartError, match="the model's parameters are in the tree ensemble 'trees'"):
        plan_recovery(str(old_dir))
