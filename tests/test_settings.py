"""WarmStartSettings recover the named variables and no others, through a real Estimator or the function it calls."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import WarmStartError, adapters
from estimator_warmstart.api.warm_start_settings import warm_start_settings

pytestmark = needs_estimator

tf1 = tf.compat.v1
# Earlier ones leave all but one of several new variables cold.
FILLS_SEVERAL = tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 8)
COLD = -1.0


def zeros(*shape):
    return np.zeros(shape, np.float32)


def variable(name, shape, parts=None):
    partitioner = tf1.fixed_size_partitioner(parts) if parts else None
    return tf1.get_variable(name, shape, initializer=tf1.constant_initializer(COLD), partitioner=partitioner)


def train(model_dir, settings, shapes, parts=None):
    """Trains one step of a model with variables of `shapes` {name: shape}; returns a reader of its first checkpoint."""

    def model_fn(features, labels, mode):
        used = [variable(name, shape, (parts or {}).get(name)) for name, shape in shapes.items()]
        loss = tf.add_n([tf.reduce_sum(tf.convert_to_tensor(v)) for v in used])
        step = tf1.train.get_global_step()
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=tf1.train.AdagradOptimizer(0.5).minimize(loss, step))

    estimator = tf.estimator.Estimator(model_fn, str(model_dir), warm_start_from=settings)
    estimator.train(lambda: tf.data.Dataset.from_tensors(0).repeat(), steps=1)
    return tf.train.load_checkpoint(str(model_dir / "model.ckpt-0"))


def warmed(settings, names):
    """The values {name: list} of the default graph's global variables after what an Estimator does with `settings`."""
    tf1.train.warm_start(*settings)
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        by_name = {v.name[:-2]: v for v in tf1.global_variables()}
        return {name: session.run(by_name[name]).tolist() for name in names}


def vocabulary(path, text):
    path.write_bytes(text)
    return str(path)


@pytest.fixture
def old(old_dir):
    """Three variables with neighbours of similar names, slots, and a step."""
    save_checkpoint(
        old_dir,
        {
            "A": np.float32([1, 2]),
            "A_extra": np.float32([3, 4]),
            "A/Adagrad": np.float32([30, 40]),
            "a.b": np.float32([5, 6]),
            "axb": np.float32([7, 8]),
            "m": np.float32([[1, 1], [2, 2], [3, 3], [4, 4]]),
            "global_step": np.int64(7),
        },
    )
    return str(old_dir)


class TestEstimator:
    def test_the_collision(self, old, tmp_path):
        reader = train(tmp_path / "new", warm_start_settings(old, {"A": "B"}), {"A": [2], "B": [2]})
        assert reader.get_tensor("A").tolist() == [COLD, COLD]
        assert reader.get_tensor("B").tolist() == [1, 2]

    def test_the_collision_where_the_new_one_of_the_old_name_has_another_shape(self, old, tmp_path):
        reader = train(tmp_path / "new", warm_start_settings(old, {"A": "B"}), {"A": [3], "B": [2]})
        assert reader.get_tensor("A").tolist() == [COLD] * 3
        assert reader.get_tensor("B").tolist() == [1, 2]

    def test_neither_neighbours_nor_slots_nor_the_step(self, old, tmp_path):
        shapes = {"A": [2], "A_extra": [2], "A/inner": [2], "scope/A": [2]}
        reader = train(tmp_path / "new", warm_start_settings(old, {"A": "A"}), shapes)
        assert reader.get_tensor("A").tolist() == [1, 2]
        assert [reader.get_tensor(name).tolist() for name in sorted(shapes)[1:]] == [[COLD] * 2] * 3
        assert np.allclose(reader.get_tensor("A/Adagrad"), 0.1)  # The optimizer's own initial value.
        assert reader.get_tensor("global_step") == 0

    def test_partitions_and_a_vocabulary(self, old, tmp_path):
        files = vocabulary(tmp_path / "old.txt", b"a\nb\nc\nd\n"), vocabulary(tmp_path / "new.txt", b"d\nx\na\n")
        settings = warm_start_settings(old, {"A": "B", "m": ["ranker/m", "plain/m"]}, {"ranker/m": files})
        shapes = {"A": [2], "B": [2], "B_extra": [2], "ranker/m": [3, 2], "plain/m": [4, 2]}
        reader = train(tmp_path / "new", settings, shapes, {"B": 2, "B_extra": 2, "ranker/m": 2, "plain/m": 3})
        assert reader.get_tensor("B").tolist() == [1, 2]
        assert reader.get_tensor("ranker/m").tolist() == [[4, 4], [0, 0], [1, 1]]
        assert reader.get_tensor("plain/m")[:, 0].tolist() == [1, 2, 3, 4]
        assert [reader.get_tensor(name).tolist() for name in ("A", "B_extra")] == [[COLD, COLD]] * 2

    def test_one_old_value_for_several_new_ones(self, old, tmp_path):
        if FILLS_SEVERAL:
            reader = train(tmp_path / "new", warm_start_settings(old, {"A": ["A", "B", "C"]}), {"A": [2], "B": [2], "C": [2]})
            assert [reader.get_tensor(name).tolist() for name in "ABC"] == [[1, 2]] * 3
        else:
            with pytest.raises(WarmStartError, match=r"'A' is to fill 3 new variables.*VariableRecoverHook fills all"):
                warm_start_settings(old, {"A": ["A", "B", "C"]})

    @pytest.mark.parametrize("recover_vars", [{"A": "BB"}, {"A": "A"}], ids=["renamed", "of the same name"])
    def test_a_new_name_that_is_not_there(self, old, tmp_path, recover_vars):
        (name,) = recover_vars.values()
        with pytest.raises(ValueError, match=rf"not used: .*'{name}'"):
            train(tmp_path / "new", warm_start_settings(old, recover_vars), {"B": [2]})


class TestNames:
    def test_a_dot_is_a_dot(self, old, new_graph):
        variable("a.b", [2]), variable("axb", [2])
        assert warmed(warm_start_settings(old, {"a.b": "a.b"}), ["a.b", "axb"]) == {"a.b": [5, 6], "axb": [COLD, COLD]}

    def test_a_name_may_end_in_0(self, old, new_graph):
        variable("B", [2])
        assert warmed(warm_start_settings(old, {"A": "B:0"}), ["B"]) == {"B": [1, 2]}

    def test_a_slot_that_is_named(self, old, new_graph):
        v = variable("B", [2], parts=2)
        tf1.train.AdagradOptimizer(0.5).minimize(tf.reduce_sum(tf.convert_to_tensor(v)))
        settings = warm_start_settings(old, {"A/Adagrad": "B/Adagrad"})
        names = ["B/part_0", "B/part_1", "B/part_0/Adagrad", "B/part_1/Adagrad"]
        assert list(warmed(settings, names).values()) == [[COLD], [COLD], [30], [40]]

    def test_an_object_based_checkpoint(self, tmp_path, new_graph):
        with tf.Graph().as_default(), tf1.Session() as session:
            first = tf1.get_variable("A", initializer=tf.constant([1.0, 2.0]), use_resource=True)
            second = tf1.get_variable("C", initializer=tf.constant([3.0, 4.0]), use_resource=True)
            session.run(tf1.global_variables_initializer())
            prefix = tf1.train.Checkpoint(one=first, two=second).save(str(tmp_path / "old"), session=session)
        [variable(name, [2]) for name in "ABC"]
        values = warmed(warm_start_settings(prefix, {"A": "B", "C": "C"}), "ABC")
        assert values == {"A": [COLD, COLD], "B": [1, 2], "C": [3, 4]}

    def test_the_latest_checkpoint_is_the_one_of_now(self, old_dir):
        save_checkpoint(old_dir, {"A": zeros(2)}, step=5)
        settings = warm_start_settings(old_dir, {"A": "B"})
        save_checkpoint(old_dir, {"A": zeros(3)}, step=6)
        assert settings.ckpt_to_initialize_from == str(old_dir / "model.ckpt-5")


class TestVocabularies:
    @pytest.fixture
    def files(self, tmp_path):
        return vocabulary(tmp_path / "old.txt", b"a\nb\nc\n"), vocabulary(tmp_path / "new.txt", b"c\r\nx\r\na")

    def test_rows_after_the_tokens_are_buckets_and_new_ones_take_the_backup(self, old, files, new_graph):
        variable("m", [4, 2])
        settings = warm_start_settings(
            old,
            {"m": "m"},
            {
                "m": {
                    "old_vocab": files[0],
                    "new_vocab": files[1],
                    "num_oov_buckets": 1,
                    "backup_initializer": lambda shape, dtype=tf.float32, partition_info=None: tf.fill(shape, 9.0),
                }
            },
        )
        assert warmed(settings, ["m"]) == {"m": [[3, 3], [9, 9], [1, 1], [9, 9]]}

    def test_sizes_are_counted(self, old, files):
        info = warm_start_settings(old, {"m": "m"}, {"m": files}).var_name_to_vocab_info["m"]
        assert (info.old_vocab_size, info.new_vocab_size, info.num_oov_buckets, info.axis) == (3, 3, 0, 0)

    def test_only_the_first_tokens_count(self, old, files, new_graph):
        variable("m", [2, 2])
        change = {"old_vocab": files[0], "new_vocab": files[1], "old_vocab_size": 2, "new_vocab_size": 2}
        assert warmed(warm_start_settings(old, {"m": "m"}, {"m": change}), ["m"]) == {"m": [[0, 0], [0, 0]]}

    def test_columns(self, old_dir, tmp_path, new_graph):
        save_checkpoint(old_dir, {"kernel": np.float32([[1, 2], [3, 4]])})
        variable("kernel", [2, 3])
        change = {
            "old_vocab": vocabulary(tmp_path / "old.txt", b"no\nyes\n"),
            "axis": 1,
            "new_vocab": vocabulary(tmp_path / "new.txt", b"yes\n?\nno\n"),
        }
        values = warmed(warm_start_settings(old_dir, {"kernel": "kernel"}, {"kernel": change}), ["kernel"])
        assert values == {"kernel": [[2, 0, 1], [4, 0, 3]]}

    def test_paths_are_expanded(self, old, files, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("OLD_MODELS", str(tmp_path))
        settings = warm_start_settings("$OLD_MODELS/old", {"m": "m"}, {"m": ("~/old.txt", "${OLD_MODELS}/new.txt")})
        info = settings.var_name_to_vocab_info["m"]
        assert (info.old_vocab, info.new_vocab) == files


def problems_of(*args):
    with pytest.raises(WarmStartError) as caught:
        warm_start_settings(*args)
    return list(caught.value.problems)


class TestBadInput:
    def test_all_problems_come_at_once(self, old):
        assert problems_of(old, {"a.c": "x", "A": "B", "axb": ["B", "global_step"], "m": []}, {"mm": ("a", "b")}) == [
            "the new 'B' is given two old values: 'A' and 'axb'; keep one",
            "the global step is never carried over; leave 'global_step' out of recover_vars",
            "'m': []: old and new are names here, or lists of new names, since settings are made without a graph; "
            "VariableRecoverHook takes variables",
            "the checkpoint has no 'a.c' (did you mean 'a.b'?)",
            "vocabularies['mm']: recover_vars fills no new 'mm'",
        ]

    @pytest.mark.parametrize("recover_vars", [None, {}, ["A"], "A"], ids=["None", "empty", "a list", "a name"])
    def test_recover_vars(self, old, recover_vars):
        (problem,) = problems_of(old, recover_vars)
        assert problem.startswith("recover_vars must be a dict {old name: new name} that is not empty, got ")

    def test_a_variable(self, old, new_graph):
        (problem,) = problems_of(old, {"A": variable("B", [2])})
        assert "old and new are names here" in problem and "VariableRecoverHook takes variables" in problem

    def test_the_global_step(self, old):
        (problem,) = problems_of(old, {"global_step": "global_step"})
        assert problem == "the global step is never carried over; leave 'global_step' out of recover_vars"

    @pytest.mark.parametrize(
        "change, told",
        [
            (adapters.crop_or_pad(), "cannot express crop_or_pad(fill='initial')"),
            ("old.txt", "a pair (old file, new file) or a mapping is needed, got 'old.txt'"),
            ((["a"], ["b"]), "new_vocab must be a text file (sequences are for ShapeAdaptingRecoverHook), got ['b']"),
            (("old.txt", "gone.txt"), "the vocabulary gone.txt cannot be read"),
            (("old.txt", "a\0b"), "new_vocab must be a text file"),
            (("old.txt", "holes.txt"), "holes.txt has an empty line, which VocabInfo takes for no token"),
            (("long.txt", "old.txt"), "long.txt has 5 tokens, more than the 4 of the old 'm' [4, 2] on axis 0"),
            ({"old_vocab": "old.txt"}, "'new_vocab' is missing"),
            (
                {"old_vocab": "old.txt", "new_vocab": "old.txt", "fill": "mean"},
                "cannot express 'fill'; ShapeAdaptingRecoverHook",
            ),
            ({"old_vocab": "old.txt", "new_vocab": "old.txt", "aliases": {}}, "cannot express 'aliases'"),
            ({"old_vocab": "old.txt", "new_vocab": "old.txt", "num_oov_bucket": 1}, "did you mean 'num_oov_buckets'?"),
            (
                {"old_vocab": "old.txt", "new_vocab": "old.txt", "num_oov_buckets": -1},
                "num_oov_buckets must be 0 or more, got -1",
            ),
            ({"old_vocab": "old.txt", "new_vocab": "old.txt", "backup_initializer": 0.0}, "must be an initializer, such as"),
            ({"old_vocab": "old.txt", "new_vocab": "old.txt", "axis": 2}, "axis must be 0 or 1, got 2"),
            (
                {"old_vocab": "old.txt", "new_vocab": "old.txt", "new_vocab_size": True},
                "new_vocab_size must be positive or None",
            ),
            ({"old_vocab": "old.txt", "new_vocab": "old.txt", "new_vocab_size": 9}, "fewer than the 9 that are to be used"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_vocabulary(self, old, tmp_path, monkeypatch, change, told):
        monkeypatch.chdir(tmp_path)
        vocabulary(tmp_path / "old.txt", b"a\nb\n"), vocabulary(tmp_path / "long.txt", b"a\nb\nc\nd\ne\n")
        vocabulary(tmp_path / "holes.txt", b"a\n\nb\n")
        problems = problems_of(old, {"m": "m"}, {"m": change})
        assert all(problem.startswith("vocabularies['m']: ") for problem in problems)
        assert any(told in problem for problem in problems), problems

    @pytest.mark.parametrize("values", [np.float32([1, 2]), np.float64([[1], [2]])], ids=["a vector", "float64"])
    def test_what_vocab_info_cannot_do(self, old_dir, tmp_path, values):
        save_checkpoint(old_dir, {"v": values})
        files = [vocabulary(tmp_path / name, b"a\nb\n") for name in ("old.txt", "new.txt")]
        (problem,) = problems_of(old_dir, {"v": "v"}, {"v": files})
        assert "VocabInfo handles float32 matrices only; ShapeAdaptingRecoverHook with adapters.remap_rows can" in problem

    def test_vocabularies_that_are_no_dict(self, old):
        (problem,) = problems_of(old, {"m": "m"}, ["old.txt", "new.txt"])
        assert problem.startswith("vocabularies must be a dict {new name: (old file, new file)} or None")
