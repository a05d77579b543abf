"""merge_checkpoints: the weighted mean of checkpoints, exact, of every format and partitioning, all problems as one error."""

import logging
import math
import os
import re

import numpy as np
import pytest
import tensorflow as tf

from conftest import needs_keras_2, run_python, save_checkpoint
from estimator_warmstart import WarmStartError, convert_checkpoint, make_saver, merge_checkpoints
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.checkpoint.index_file import read_index
from estimator_warmstart.cli.main import main
from shared_models import zeros

tf1 = tf.compat.v1


def save_all(tmp_path, values, partitions=None):
    """Saves each {name: array} of a list, in directories of their own; `partitions` is one for each. Returns the prefixes."""
    prefixes = []
    for number, each in enumerate(values):
        folder = tmp_path / f"source-{number}"
        folder.mkdir()
        prefixes.append(save_checkpoint(folder, each, (partitions or [None] * len(values))[number]))
    return prefixes


def merged(tmp_path, prefixes, **options):
    """{name: value} of what is merged."""
    return values_of(merge_checkpoints(prefixes, tmp_path / "merged" / "model.ckpt", **options))


def values_of(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


class TestMean:
    def test_of_two(self, tmp_path):
        prefixes = save_all(
            tmp_path,
            [
                {"w": np.float32([1, 2]), "b": np.float32(5), "global_step": np.int64(7), "on": np.array([True, False])},
                {"w": np.float32([3, 6]), "b": np.float32(6), "global_step": np.int64(9), "on": np.array([False, False])},
            ],
        )
        found = merged(tmp_path, prefixes)
        assert {name: value.tolist() for name, value in found.items()} == {
            "w": [2, 4],
            "b": 5.5,
            "global_step": 9,
            "on": [False, False],
        }
        assert found["global_step"].dtype == np.int64

    @pytest.mark.parametrize("weights", [None, [1, 3, 2], np.float32([0.25, 0, 5]), [1e-3, 7, 1e6]], ids=str)
    @pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.float16, tf.bfloat16], ids=lambda dtype: dtype.name)
    def test_exactly_numpys_in_float64(self, tmp_path, dtype, weights):
        drawn = np.random.RandomState(3).normal(size=(3, 50, 4)) * [[[1, 1e-3, 1e3, 30]]]
        stored = [each.astype(dtype.as_numpy_dtype) for each in drawn]
        prefixes = save_all(tmp_path, [{"w": each} for each in stored])
        wide = np.stack([each.astype(np.float64) for each in stored])
        expected = np.average(wide, axis=0, weights=weights).astype(dtype.as_numpy_dtype)
        found = merged(tmp_path, prefixes, weights=weights)["w"]
        assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()

    def test_strings_are_the_last_ones(self, tmp_path):
        prefixes = save_all(tmp_path, [{"w": np.array([b"a", b"bb"])}, {"w": np.array([b"ccc", b""])}])
        assert merged(tmp_path, prefixes)["w"].tolist() == [b"ccc", b""]

    def test_without_rows(self, tmp_path):
        prefixes = save_all(tmp_path, [{"w": np.zeros([0, 2], np.float32)}, {"w": np.zeros([0, 2], np.float32)}])
        assert merged(tmp_path, prefixes)["w"].shape == (0, 2)

    @pytest.mark.parametrize("other, expected", [(math.nan, math.nan), (math.inf, math.inf)], ids=["nan", "infinity"])
    def test_what_is_not_finite_is_as_numpy_has_it(self, tmp_path, other, expected, caplog):
        prefixes = save_all(tmp_path, [{"w": np.float32([1, other]), "u": np.float32([1])}] * 2)
        with caplog.at_level(logging.WARNING, logger="tensorflow"):
            found = merged(tmp_path, prefixes, weights=[1, 2])
        np.testing.assert_array_equal(found["w"], np.float32([1, expected]))
        warned = [record.getMessage() for record in caplog.records if "has NaN in 'w'" in record.getMessage()]
        assert len(warned) == math.isnan(other)

    def test_a_weight_of_0_is_not_nothing_where_a_value_is_nan(self, tmp_path):
        prefixes = save_all(tmp_path, [{"w": np.float32([math.nan])}, {"w": np.float32([1])}])
        assert math.isnan(merged(tmp_path, prefixes, weights=[0, 1])["w"][0])


class TestSlots:
    SOURCES = (
        {
            "w": np.float32([1]),
            "w/Adam": np.float32([10]),
            "w/Adam_1": np.float32([100]),
            "beta1_power": np.float32(0.5),
            "beta2_power": np.float32(0.25),
            "global_step": np.int64(1),
        },
        {
            "w": np.float32([3]),
            "w/Adam": np.float32([30]),
            "w/Adam_1": np.float32([300]),
            "beta1_power": np.float32(0.25),
            "beta2_power": np.float32(0.75),
            "global_step": np.int64(2),
        },
    )

    def test_are_left_out(self, tmp_path):
        assert merged(tmp_path, save_all(tmp_path, self.SOURCES)) == {"w": [2], "global_step": 2}

    def test_are_merged_if_asked_for(self, tmp_path):
        found = merged(tmp_path, save_all(tmp_path, self.SOURCES), with_slots=True)
        assert {name: value.tolist() for name, value in found.items()} == {
            "w": [2],
            "w/Adam": [20],
            "w/Adam_1": [200],
            "beta1_power": 0.375,
            "beta2_power": 0.5,
            "global_step": 2,
        }

    def test_need_not_agree_if_they_are_left_out(self, tmp_path):
        sources = save_all(tmp_path, [{"w": np.float32([1]), "global_step": np.int64(1)}, self.SOURCES[1]])
        with pytest.raises(WarmStartError, match="4 problems"):
            merged(tmp_path, sources, with_slots=True)
        assert merged(tmp_path, sources) == {"w": [2], "global_step": 2}


TABLE = np.float32([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12], [13, 14, 15]])


class TestLayouts:
    @pytest.mark.parametrize(
        "partitions, rows",
        [
            pytest.param([None, {"t": 2}], [3, 2], id="whole, 2"),
            pytest.param([{"t": 2}, None], [], id="2, whole"),
            pytest.param([{"t": 3}, {"t": 5}], [1, 1, 1, 1, 1], id="3, 5"),
        ],
    )
    def test_of_different_partitions(self, tmp_path, partitions, rows):
        prefixes = save_all(tmp_path, [{"t": TABLE}, {"t": TABLE * 3}], partitions)
        place = merge_checkpoints(prefixes, tmp_path / "merged" / "model.ckpt")
        assert tf.train.load_variable(place, "t").tolist() == (TABLE * 2).tolist()
        assert [box.shape[0] for box in sorted(open_checkpoint(place).variables["t"].slices)] == rows
        with tf.Graph().as_default(), tf1.Session() as session:
            table = tf1.get_variable("t", TABLE.shape, partitioner=tf1.fixed_size_partitioner(2))
            tf1.train.Saver().restore(session, place)
            assert session.run(tf.convert_to_tensor(table)).tolist() == (TABLE * 2).tolist()

    def test_slices_of_columns_are_stored_whole(self, tmp_path):
        prefixes = []
        for number in (1, 3):
            with tf.Graph().as_default(), tf1.Session() as session:
                tf1.get_variable(
                    "t", [5, 3], initializer=tf.ones_initializer(), partitioner=tf1.fixed_size_partitioner(3, axis=1)
                )
                session.run(tf1.global_variables_initializer())
                for part in tf1.global_variables():
                    session.run(part.assign(part * number))
                prefixes.append(tf1.train.Saver().save(session, str(tmp_path / f"source-{number}" / "model.ckpt")))
        place = merge_checkpoints(prefixes, tmp_path / "merged" / "model.ckpt")
        assert tf.train.load_variable(place, "t").tolist() == [[2, 2, 2]] * 5
        assert open_checkpoint(place).variables["t"].slices == ()

    def test_windows_are_cut_at_slices(self, tmp_path, monkeypatch):
        monkeypatch.setattr("estimator_warmstart.convert.merge.WINDOW_BYTES", 1 << 17)
        large = np.arange(60000, dtype=np.float64).reshape(20000, 3)
        prefixes = save_all(tmp_path, [{"t": large}, {"t": large * 3}], [{"t": 7}, {"t": 3}])
        assert (merged(tmp_path, prefixes)["t"] == large * 2).all()

    def test_of_different_formats(self, tmp_path):
        """Name-based, V1, object-based; the last one's format is that of the result."""
        names = save_all(tmp_path, [{"w": np.float32([1]), "s": np.array(b"x")}, {"w": np.float32([6]), "s": np.array(b"y")}])
        with tf.Graph().as_default(), tf1.Session() as session:
            tf1.get_variable("w", initializer=tf.constant([2.0]))
            tf1.get_variable("s", initializer=tf.constant(b"v1"))
            session.run(tf1.global_variables_initializer())
            (tmp_path / "v1").mkdir()
            v1 = tf1.train.Saver(write_version=tf1.train.SaverDef.V1).save(session, str(tmp_path / "v1" / "model.ckpt"))
        objects = convert_checkpoint(names[1], tmp_path / "objects" / "model.ckpt")
        by_object = merge_checkpoints([names[0], v1, objects], tmp_path / "merged" / "model.ckpt")
        assert open_checkpoint(by_object).format == "object-based"
        assert tf.train.load_variable(by_object, "vars/w/.ATTRIBUTES/VARIABLE_VALUE").tolist() == [3]
        by_name = merge_checkpoints([objects, names[0], v1], tmp_path / "merged" / "by_name")
        assert values_of(by_name) == {"w": [3], "s": b"v1"}

    def test_what_is_both_stays_both(self, tmp_path):
        prefixes = []
        for number in (1, 3):
            with tf.Graph().as_default(), tf1.Session() as session:
                w = zeros("w", [2], use_resource=True)
                tf1.train.AdagradOptimizer(1.0).minimize(tf.reduce_sum(w))
                session.run(tf1.global_variables_initializer())
                w.load([number, number], session)
                saver = make_saver(saver_format="both", sharded=False)
                prefixes.append(saver.save(session, str(tmp_path / f"source-{number}" / "model.ckpt")))
        place = merge_checkpoints(prefixes, tmp_path / "merged" / "model.ckpt")
        assert sorted(values_of(place)) == [
            "_CHECKPOINTABLE_OBJECT_GRAPH",
            "save_counter/.ATTRIBUTES/VARIABLE_VALUE",
            "vars/w/.ATTRIBUTES/VARIABLE_VALUE",
            "w",
        ]
        offsets = {key: entry.offset for key, entry in read_index(place).entries.items()}
        assert offsets[b"w"] == offsets[b"vars/w/.ATTRIBUTES/VARIABLE_VALUE"]
        with tf.Graph().as_default(), tf1.Session() as session:
            checkpoint = tf.train.Checkpoint()
            checkpoint.vars = {"w": tf.Variable([0.0, 0.0])}
            checkpoint.restore(place).assert_consumed().run_restore_ops(session)
            assert session.run(checkpoint.vars["w"]).tolist() == [2, 2]

    @needs_keras_2
    @pytest.mark.parametrize("with_slots", [False, True])
    def test_a_keras_model_with_its_optimizer(self, tmp_path, with_slots):
        done = run_python(KERAS, tmp_path, with_slots)
        assert done.returncode == 0, done.stderr[-3000:]
        kernel, moment, iterations = map(float, done.stdout.splitlines()[-1].split())
        assert kernel == 2 and (moment > 0) == with_slots and iterations == (2 if with_slots else 0)

    def test_of_a_saved_model(self, tmp_path):
        paths = []
        for number in (1, 3):
            with tf.Graph().as_default(), tf1.Session() as session:
                w = tf1.get_variable("w", initializer=tf.constant([float(number)]), use_resource=True)
                session.run(tf1.global_variables_initializer())
                paths.append(str(tmp_path / f"export-{number}"))
                tf1.saved_model.simple_save(session, paths[-1], {"x": tf1.placeholder(tf.float32)}, {"y": w.read_value()})
        assert merged(tmp_path, paths) == {"w": [2]}
        with pytest.raises(WarmStartError, match="is inside the source's directory"):
            merge_checkpoints(paths, os.path.join(paths[0], "merged", "model.ckpt"))


KERAS = """
import sys
import numpy as np
import tensorflow as tf
from estimator_warmstart import merge_checkpoints
tf.compat.v1.enable_eager_execution()
folder, with_slots = sys.argv[1], sys.argv[2] == "True"

def build():
    tf.keras.backend.clear_session()  # Up to 2.1 a second model would get other names.
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, name="dense", input_shape=(1,))])
    optimizer = tf.keras.optimizers.Adam(0.0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.ones([1, 1])))
    gradients = tape.gradient(loss, model.trainable_variables)
    return model, optimizer, tf.train.Checkpoint(model=model, optimizer=optimizer), gradients

paths = []
for number in (1, 3):
    model, optimizer, checkpoint, gradients = build()
    for _ in range(2):
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    model.layers[-1].kernel.assign([[number]])
    paths.append(checkpoint.write(f"{folder}/{number}/model.ckpt"))
place = merge_checkpoints(paths, folder + "/merged/model.ckpt", with_slots=with_slots)
model, optimizer, checkpoint, gradients = build()
checkpoint.restore(place).expect_partial()
steps = int(optimizer.iterations)
optimizer.apply_gradients(zip([g * 0 for g in gradients], model.trainable_variables))
variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
moments = [np.abs(v.numpy()).max() for v in variables if v.dtype == tf.float32 and v.shape == (1, 1)]
print(model.layers[-1].kernel.numpy()[0, 0], max(moments), steps)
"""


class TestRefused:
    def test_all_that_does_not_agree_at_once(self, tmp_path):
        prefixes = save_all(
            tmp_path,
            [
                {"w": np.float32([1, 2]), "v": np.float32([1]), "only_here": np.float32(1)},
                {"w": np.float32([1]), "v": np.float64([1])},
                {"w": np.float32([1]), "v": np.float32([1]), "fm/x": np.int64(1)},
            ],
        )
        with pytest.raises(WarmStartError) as raised:
            merge_checkpoints(prefixes, tmp_path / "merged" / "model.ckpt")
        said = str(raised.value)
        assert said.startswith("the checkpoints cannot be merged, 5 problems:")
        for expected in (
            f"'w' is float32 [2] in {prefixes[0]}, float32 [1] in {prefixes[2]}",
            f"'v' is float64 [1] in {prefixes[1]}, float32 [1] in {prefixes[2]}",
            f"{prefixes[0]} has no 'fm/x'",
            f"{prefixes[1]} has no 'fm/x'",
            f"{prefixes[2]} has no 'only_here', which {prefixes[0]} has",
        ):
            assert expected in said
        assert not (tmp_path / "merged").exists()

    @pytest.mark.parametrize(
        "weights, says",
        [
            ([1], r"there are 1 weights for 2 sources"),
            ([1, -1], r"weight 2 must be a finite number, 0 or more, got -1"),
            ([math.nan, math.inf], r"2 problems:(.|\n)*weight 1 must be .* got nan(.|\n)*weight 2 .* got inf"),
            (["1", True], r"2 problems:(.|\n)*got '1'(.|\n)*got True"),
            ([0, 0], r"the sum of the weights must be above 0"),
            ([1e308, 1e308], r"the sum of the weights must be above 0 and finite"),
            (0.5, r"there are 1 weights"),
        ],
        ids=str,
    )
    def test_weights(self, tmp_path, weights, says):
        prefixes = save_all(tmp_path, [{"w": np.float32([1])}, {"w": np.float32([3])}])
        with pytest.raises(WarmStartError, match="weights cannot be used.*" + says):
            merge_checkpoints(prefixes, tmp_path / "merged" / "model.ckpt", weights=weights)
        assert not (tmp_path / "merged").exists()

    @pytest.mark.parametrize(
        "choose, says",
        [
            (lambda paths: paths[0], "sources must be a list of two checkpoints or more, got "),
            (lambda paths: None, "sources must be a list of two checkpoints or more, got None"),
            (lambda paths: [], "there is no mean of 0 checkpoints"),
            (lambda paths: paths[:1], "there is no mean of 1 checkpoints: give two or more; convert_checkpoint copies one"),
            (lambda paths: [paths[0], paths[1], os.path.dirname(paths[0])], "is there 2 times; give it once"),
            (lambda paths: [paths[0], paths[1] + "x", 7], "2 problems:(.|\n)*does not exist(.|\n)*must be a directory"),
        ],
        ids=["one path", "None", "nothing", "one", "one twice", "not there"],
    )
    def test_sources(self, tmp_path, choose, says):
        prefixes = save_all(tmp_path, [{"w": np.float32([1])}, {"w": np.float32([3])}])
        with pytest.raises(WarmStartError, match=says):
            merge_checkpoints(choose(prefixes), tmp_path / "merged" / "model.ckpt")
        assert not (tmp_path / "merged").exists()

    def test_nothing_but_optimizer_state(self, tmp_path):
        prefixes = save_all(tmp_path, [{"beta1_power": np.float32(1)}, {"beta1_power": np.float32(1)}])
        with pytest.raises(WarmStartError, match="has no variables"):
            merge_checkpoints(prefixes, tmp_path / "merged" / "model.ckpt")

    def test_a_destination_that_is_there(self, tmp_path):
        prefixes = save_all(tmp_path, [{"w": np.float32([1])}, {"w": np.float32([3])}])
        (tmp_path / "merged").mkdir()
        save_checkpoint(tmp_path / "merged", {"other": np.float32([7])})
        with pytest.raises(WarmStartError, match="exists already; name another, or say overwrite=True"):
            merged(tmp_path, prefixes)
        assert tf.train.load_variable(str(tmp_path / "merged" / "model.ckpt"), "other").tolist() == [7]
        assert merged(tmp_path, prefixes, overwrite=True) == {"w": [2]}

    @pytest.mark.parametrize("which", [0, 1], ids=["first", "last"])
    def test_damaged_sources(self, tmp_path, which):
        prefixes = save_all(tmp_path, [{"w": np.float32([1, 2]), "n": np.int64([3, 4])}] * 2)
        path = prefixes[which] + ".data-00000-of-00001"
        with open(path, "rb") as file:
            content = file.read()
        with open(path, "wb") as file:
            file.write(bytes(byte ^ 1 for byte in content))
        # What is not merged is read from the last source only.
        with pytest.raises(WarmStartError, match="cannot be read whole" + (": 'w'", ", 2 problems:")[which]):
            merged(tmp_path, prefixes)
        assert not (tmp_path / "merged").exists()


class TestCommand:
    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        """A run with three checkpoints: w is 1, 3 and 8."""
        monkeypatch.chdir(tmp_path)
        with tf.Graph().as_default(), tf1.Session() as session:
            w = tf1.get_variable("w", [1])
            step = tf1.train.get_or_create_global_step()
            saver = tf1.train.Saver()
            for number, value in enumerate([1.0, 3.0, 8.0]):
                w.load([value], session)
                step.load(number, session)
                saver.save(session, "run/model.ckpt", number)

    @pytest.mark.parametrize(
        "arguments, expected",
        [
            ("run/model.ckpt-0 run/model.ckpt-1 merged/m", 2),
            ("run merged/m --last 2", 5.5),
            ("run --last 3 merged/m", 4),
            ("--last 3 run merged/m --weights 0,3,1", 4.25),
        ],
        ids=str,
    )
    def test_merges(self, run, capsys, arguments, expected):
        assert main(["merge", *arguments.split()]) == 0
        assert capsys.readouterr().out == "merged/m\n"
        assert tf.train.load_variable("merged/m", "w").tolist() == [expected]

    @pytest.mark.parametrize(
        "arguments, says",
        [
            ("run merged/m --last 4", r"run/checkpoint lists 3 checkpoints, not 4: "),
            ("run run/model.ckpt-0 merged/m --last 2", "--last takes the checkpoints of one run, got 2 sources"),
            ("nowhere merged/m --last 2", "nowhere has no file `checkpoint`"),
            ("run merged/m", "there is no mean of 1 checkpoints"),
            ("run/model.ckpt-0 run/model.ckpt-1 run/m", "is inside the source's directory"),
        ],
        ids=str,
    )
    def test_refuses(self, run, capsys, arguments, says):
        assert main(["merge", *arguments.split()]) == 2
        assert re.search(says, capsys.readouterr().err)

    def test_a_checkpoint_that_is_gone(self, run, capsys):
        os.remove("run/model.ckpt-1.index")
        assert main(["merge", "run", "merged/m", "--last", "2"]) == 2
        assert "model.ckpt-1', and it is not there" in capsys.readouterr().err

    @pytest.mark.parametrize("options", ["--last 1", "--last x", "--weights a,b"])
    def test_bad_options(self, run, options):
        with pytest.raises(SystemExit) as raised:
            main(["merge", "run", "merged/m", *options.split()])
        assert raised.value.code == 2

    def test_overwrites_only_if_asked_to(self, run, capsys):
        command = ["merge", "run", "merged/m", "--last", "2"]
        assert main(command) == 0
        assert main(command) == 2
        assert "name another, or give --overwrite to replace it" in capsys.readouterr().err
        assert main([*command, "--overwrite"]) == 0


MEMORY = """
import sys
import tensorflow as tf
folder, rows = sys.argv[1], int(sys.argv[2])
sources = []
for number in range(2):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        value = tf.fill([rows, 256], float(number))
        sources.append(f"{folder}/{number}")
        session.run(tf.raw_ops.SaveV2(prefix=sources[-1], tensor_names=["w"], shape_and_slices=[""], tensors=[value]))
print(*sources)
"""

PEAK = """
import resource, sys
from estimator_warmstart import merge_checkpoints
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
merge_checkpoints(sys.argv[2:], sys.argv[1] + "/merged/m")
print(peak() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_tensors(tmp_path):
    for name, rows in (("small", 16000), ("large", 256000)):  # 16 MB and 262 MB.
        (tmp_path / name).mkdir()
        done = run_python(MEMORY, tmp_path / name, rows)
        assert done.returncode == 0, done.stderr
        done = run_python(PEAK, tmp_path / f"to-{name}", *done.stdout.split())
        assert done.returncode == 0, done.stderr
        assert float(done.stdout) < 64, name
