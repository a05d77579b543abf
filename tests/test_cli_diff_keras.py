"""`diff` of an old checkpoint and a Keras file, and `--write-params`."""

import json
import os
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import yaml

from conftest import save_checkpoint
from eager import eager_mode, keras_modules
from estimator_warmstart import recover_into
from estimator_warmstart.checkpoint.keras_files import open_keras_file
from estimator_warmstart.cli import main
from estimator_warmstart.graph.eager_variables import eager_model

h5py = pytest.importorskip("h5py")
tf1 = tf.compat.v1
KERAS = keras_modules()
EACH_KERAS = pytest.mark.parametrize("keras", list(KERAS.values()), ids=list(KERAS))
HIDDEN = {"kernel": np.float32([[1, 2], [3, 4], [5, 6]]), "bias": np.float32([7, 8])}
OLD = {f"net/dnn_0/{name}": value for name, value in HIDDEN.items()}
# Groups as Keras 3 writes them: {group of a layer: (its name, shapes of its variables)}.
LAYERS = {
    "layers/dense": ("hidden", [(3, 2), (2,)]),
    "layers/batch_normalization": ("norm", [(2,)] * 4),
    "layers/embedding": ("table", [(9, 2)]),
    "layers/conv2d_1": ("image", [(3, 3, 1, 2)]),
    "layers/sequential/layers/dense_1": ("inner", [(2, 1), (1,)]),
    "layers/my_own": ("own", [(5,)]),
    "optimizer": ("adam", [(), (3, 2)]),
}
NAMES = [
    "hidden/bias",
    "hidden/kernel",
    "image/kernel",
    "norm/beta",
    "norm/gamma",
    "norm/moving_mean",
    "norm/moving_variance",
    "own/vars/0",
    "table/embeddings",
    "tower/inner/bias",
    "tower/inner/kernel",
]


def write_numbered(path, layers=LAYERS, with_names=True):
    """Writes a `.weights.h5`; Keras says the layers' names in it since 3.9 or so."""
    with h5py.File(str(path), "w") as file:
        for group, (name, shapes) in {**layers, "layers/sequential": ("tower", [])}.items():
            variables = file.create_group(f"{group}/vars")
            if with_names:
                variables.attrs["name"] = name
            for number, shape in enumerate(shapes):
                variables[str(number)] = np.zeros(shape, np.float32)
    return str(path)


def write_archive(path, weights, **entries):
    with zipfile.ZipFile(str(path), "w") as archive:
        for name, text in entries.items():
            archive.writestr(f"{name}.json", text)
        archive.write(weights, "model.weights.h5")
    return str(path)


def layer(kind, name, **arguments):
    return {"class_name": kind, "config": {"name": name, **arguments}}


CONFIG = layer(
    "Functional",
    "mine",
    layers=[
        layer("InputLayer", "in"),
        layer("Dense", "hidden"),
        layer("BatchNormalization", "norm", scale=True, center=True),
        layer("Embedding", "table"),
        layer("Conv2D", "first"),
        layer("Conv2D", "image"),
        layer("Sequential", "tower", layers=[layer("Dense", "outer"), layer("Dense", "inner")]),
        layer("MyOwn", "own"),
    ],
)


def run(capsys, *arguments):
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def error_of(capsys, *arguments):
    code, out, err = run(capsys, "diff", *arguments)
    assert (code, out) == (2, "") and err.startswith("estimator-warmstart: error: ") and "Traceback" not in err
    return err


def names_in(path):
    return list(open_keras_file(path).variables)


@pytest.fixture
def old(old_dir):
    save_checkpoint(old_dir, OLD)
    return str(old_dir)


class TestNames:
    def test_newer_files_say_the_layers_names(self, tmp_path):
        assert names_in(write_numbered(tmp_path / "m.weights.h5")) == NAMES

    def test_the_config_of_an_archive_says_them(self, tmp_path):
        weights = write_numbered(tmp_path / "w.h5", with_names=False)
        assert names_in(write_archive(tmp_path / "m.keras", weights, config=json.dumps(CONFIG))) == NAMES

    def test_without_either_they_are_those_of_the_file(self, tmp_path):
        layers = {"layers/dense_1": ("hidden", [(3, 2), (2,)])}
        assert names_in(write_numbered(tmp_path / "w.h5", layers, with_names=False)) == ["dense_1/bias", "dense_1/kernel"]

    @pytest.mark.parametrize(
        "arguments, count, names",
        [
            ({"scale": False}, 3, ["beta", "moving_mean", "moving_variance"]),
            ({"center": False}, 3, ["gamma", "moving_mean", "moving_variance"]),
            ({"scale": False, "center": False}, 2, ["moving_mean", "moving_variance"]),
            (None, 3, ["moving_mean", "moving_variance", "vars/0"]),  # Gamma or beta.
            ({}, 7, [f"vars/{number}" for number in range(7)]),
        ],
    )
    def test_a_normalization_without_some(self, tmp_path, arguments, count, names):
        weights = write_numbered(tmp_path / "w.h5", {"layers/batch_normalization": ("norm", [(2,)] * count)})
        if arguments is not None:
            config = layer("Sequential", "mine", layers=[layer("BatchNormalization", "norm", **arguments)])
            weights = write_archive(tmp_path / "m.keras", weights, config=json.dumps(config))
        assert names_in(weights) == [f"norm/{name}" for name in names]

    def test_two_of_one_name_are_called_by_their_place(self, tmp_path):
        layers = {"layers/dense": ("a", [(1, 1)]), "layers/dense_1": ("a", [(2, 1)])}
        assert names_in(write_numbered(tmp_path / "w.h5", layers)) == ["layers/dense/vars/0", "layers/dense_1/vars/0"]

    def test_bfloat16(self, tmp_path):
        path = write_numbered(tmp_path / "w.h5", {"layers/dense": ("a", [(1, 1)])})
        with h5py.File(path, "a") as file:
            file["layers/dense/vars/0"].attrs["dtype"] = "bfloat16"
        assert open_keras_file(path).variables["a/kernel"].dtype == "bfloat16"

    @pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5"])
    @EACH_KERAS
    def test_are_those_of_recover_into(self, tmp_path, keras, ending):
        with eager_mode():
            inputs = keras.layers.Input((3,))
            hidden = keras.layers.Dense(2, name="hidden")(inputs)
            normal = keras.layers.BatchNormalization(name="norm")(hidden)
            model = keras.Model(inputs, keras.layers.Dense(1, name="head", use_bias=False)(normal), name="mine")
            path = str(tmp_path / f"m{ending}")
            try:
                (model.save_weights if ending == ".weights.h5" else model.save)(path)
            except (ImportError, NotImplementedError, ValueError) as error:
                pytest.skip(f"this Keras writes no such file: {error}")
            variables = eager_model(model).new_variables()
        if os.path.isdir(path):
            pytest.skip("this Keras writes a SavedModel")
        found = open_keras_file(path).variables
        if ending == ".weights.h5" and "hidden/kernel" not in found:
            pytest.skip("this Keras writes no names of layers into its weights")
        assert {name: (each.shape, each.dtype) for name, each in found.items()} == {
            name: (each.shape, each.dtype) for name, each in variables.items()
        }


class TestDiff:
    def test_guesses_renames(self, old, tmp_path, capsys):
        new = write_numbered(tmp_path / "m.weights.h5")
        code, out, err = run(capsys, "diff", old, new)
        assert (code, err) == (1, "")
        assert f"New: {new} (Keras weights)" in out
        assert "rename={'net/dnn_0': 'hidden'}" in out and "renamed: 2; only new: 9" in out

    def test_slots_are_no_difference(self, old_dir, tmp_path, capsys):
        save_checkpoint(old_dir, {f"hidden/{name}": value for name, value in HIDDEN.items()})
        save_checkpoint(tmp_path / "trained", {"hidden/kernel": HIDDEN["kernel"], "hidden/kernel/Adagrad": HIDDEN["kernel"]})
        new = write_numbered(tmp_path / "m.h5", {"layers/dense": ("hidden", [(3, 2), (2,)]), "optimizer": ("adam", [()])})
        assert run(capsys, "diff", old_dir, new)[::2] == (0, "")
        assert "slots:" not in run(capsys, "diff", tmp_path / "trained", new)[1]

    def test_a_prefix_of_such_a_name_is_a_checkpoint(self, old, tmp_path, capsys):
        for ending in ("index", "data-00000-of-00001"):
            os.rename(f"{old}/model.ckpt.{ending}", tmp_path / f"m.keras.{ending}")
        assert run(capsys, "diff", tmp_path / "m.keras", tmp_path / "m.keras")[0] == 0


class TestBadFiles:
    @pytest.mark.parametrize(
        "entries, problem",
        [
            ({"config": "{"}, "its config.json is not JSON"),
            ({"config": "[" * 100000}, "its config.json is not JSON"),
            ({"../evil": "{}"}, "the entry '../evil.json' leads out of the archive"),
            ({"/evil": "{}"}, "the entry '/evil.json' leads out of the archive"),
        ],
    )
    def test_an_archive(self, old, tmp_path, capsys, entries, problem):
        new = write_archive(tmp_path / "m.keras", write_numbered(tmp_path / "w.h5"), **entries)
        assert problem in error_of(capsys, old, new)

    @pytest.mark.parametrize("name, problem", [("model.weights.h5", "is compressed"), ("config.json", "more than 67,108,864")])
    def test_what_swells(self, old, tmp_path, capsys, name, problem):
        new = write_archive(tmp_path / "m.keras", write_numbered(tmp_path / "w.h5"))
        with zipfile.ZipFile(new, "a" if name == "config.json" else "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, b" " * (65 << 20))
        assert problem in error_of(capsys, old, new)

    @pytest.mark.parametrize(
        "config", ["[]", "1", '{"config": 1}', '{"config": {"layers": [1, {"config": []}, {"class_name": 3, "config": {}}]}}']
    )
    def test_a_config_of_another_kind_is_as_none(self, tmp_path, config):
        assert names_in(write_archive(tmp_path / "m.keras", write_numbered(tmp_path / "w.h5"), config=config)) == NAMES

    @pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + b"\xff" * 500, b"hello"])
    def test_what_is_not_keras(self, old, tmp_path, capsys, content):
        (tmp_path / "m.keras").write_bytes(content)
        assert "m.keras" in error_of(capsys, old, tmp_path / "m.keras")

    def test_an_archive_without_weights(self, old, tmp_path, capsys):
        with zipfile.ZipFile(str(tmp_path / "m.keras"), "w") as archive:
            archive.writestr("config.json", "{}")
        assert "it has no model.weights.h5" in error_of(capsys, old, tmp_path / "m.keras")

    def test_hdf5_of_another_kind(self, old, tmp_path, capsys):
        with h5py.File(str(tmp_path / "m.h5"), "w") as file:
            file["data"] = [1]
        assert "has no weights as Keras writes them" in error_of(capsys, old, tmp_path / "m.h5")

    def test_links_are_not_followed(self, tmp_path):
        other = write_numbered(tmp_path / "other.h5")
        path = write_numbered(tmp_path / "m.h5", {"layers/dense": ("a", [(1, 1)])})
        with h5py.File(path, "a") as file:
            file["layers/embedding"] = h5py.ExternalLink(other, "layers/embedding")
            file["layers/loop"] = file["layers"]
        assert names_in(path) == ["a/kernel"]

    def test_without_h5py(self, old, tmp_path, capsys, monkeypatch):
        new = write_numbered(tmp_path / "m.h5")
        monkeypatch.setitem(__import__("sys").modules, "h5py", None)
        assert "pip install h5py" in error_of(capsys, old, new)


def build_graph(folder, shapes):
    """Saves a new model's meta graph, and returns the prefix of its checkpoint."""
    with tf.Graph().as_default(), tf1.Session() as session:
        for name, (shape, dtype) in shapes.items():
            tf1.get_variable(name, shape, dtype, initializer=tf1.zeros_initializer())
        session.run(tf1.global_variables_initializer())
        return tf1.train.Saver().save(session, os.path.join(str(folder), "new.ckpt"))


class TestWriteParams:
    @pytest.mark.parametrize("ending, read", [("json", json.loads), ("yaml", yaml.safe_load)])
    def test_from_a_keras_file(self, old, tmp_path, capsys, ending, read):
        new = write_numbered(tmp_path / "m.h5", {"layers/dense": ("hidden", [(3, 2), (2,)])})
        path = tmp_path / f"params.{ending}"
        code, out, err = run(capsys, "diff", old, new, "--write-params", path)
        assert (code, err) == (1, "") and out.endswith(f"Params: {path}, to be edited\n")
        assert read(path.read_text()) == {"warm_start": {"ckp_dir": old, "rename": {"net/dnn_0": "hidden"}}}

    def test_recover_into_takes_the_renames(self, old, tmp_path, capsys):
        new = write_numbered(tmp_path / "m.h5", {"layers/dense": ("hidden", [(3, 2), (2,)])})
        run(capsys, "diff", old, new, "--write-params", tmp_path / "params.json")
        with eager_mode():
            variables = {f"hidden/{name}": tf.Variable(np.zeros_like(value)) for name, value in HIDDEN.items()}
            recover_into(variables, **json.loads((tmp_path / "params.json").read_text())["warm_start"])
            assert variables["hidden/kernel"].numpy().tolist() == HIDDEN["kernel"].tolist()

    @pytest.mark.parametrize(
        "olds, news, params",
        [
            ({"a/w": [2]}, {"b/w": [2]}, {"rename": {"a": "b"}}),
            ({"a/w": [2]}, {"b/w": [2], "b/more": [3]}, {"rename": {"a": "b"}, "missing": "keep"}),
            ({"w": [2]}, {"w": [3]}, {"adapters": {}}),
            ({"w": [2], "v": [1]}, {"w": [2, 1], "v": [1]}, {"exclude": ["w"]}),
        ],
        ids=["renamed", "with a new one", "resized", "of another rank"],
    )
    def test_plan_accepts_them(self, tmp_path, capsys, olds, news, params):
        save_checkpoint(tmp_path, {name: np.ones(shape, np.float32) for name, shape in olds.items()})
        new = build_graph(tmp_path / "new", {name: (shape, tf.float32) for name, shape in news.items()})
        path = tmp_path / "params.json"
        old = str(tmp_path / "model.ckpt")
        assert run(capsys, "diff", old, new, "--write-params", path)[::2] == (1, "")
        assert json.loads(path.read_text()) == {"warm_start": {"ckp_dir": old, **params}}
        assert run(capsys, "plan", path, "--graph", f"{new}.meta")[::2] == (0, "")

    def test_a_dtype_is_cast(self, tmp_path, capsys):
        save_checkpoint(tmp_path, {"w": np.ones([2], np.float64)})
        new = build_graph(tmp_path / "new", {"w": ([3], tf.float32)})
        path = tmp_path / "params.json"
        run(capsys, "diff", tmp_path / "model.ckpt", new, "--write-params", path)
        assert json.loads(path.read_text())["warm_start"]["adapters"] == {"w": ["crop_or_pad", "cast"]}
        assert run(capsys, "plan", path, "--graph", f"{new}.meta")[0] == 0

    def test_what_cannot_be_cast_is_left_out(self, tmp_path, capsys):
        save_checkpoint(tmp_path, {"w": np.ones([2], bool), "v": np.ones([2], np.float32)})
        new = build_graph(tmp_path / "new", {"w": ([2], tf.int32), "v": ([2], tf.float32)})
        path = tmp_path / "params.json"
        run(capsys, "diff", tmp_path / "model.ckpt", new, "--write-params", path)
        assert json.loads(path.read_text())["warm_start"] == {"ckp_dir": str(tmp_path / "model.ckpt"), "exclude": ["w"]}
        assert run(capsys, "plan", path, "--graph", f"{new}.meta")[0] == 0

    def test_json_stays_json(self, old, tmp_path, capsys):
        printed = run(capsys, "diff", old, old, "--json", "--write-params", tmp_path / "params.json")[1]
        assert json.loads(printed)["differs"] is False
        assert json.loads((tmp_path / "params.json").read_text()) == {"warm_start": {"ckp_dir": old}}

    def test_never_over_a_file(self, old, tmp_path, capsys):
        (tmp_path / "mine.json").write_text("mine")
        assert "mine.json exists already" in error_of(capsys, old, old, "--write-params", tmp_path / "mine.json")
        assert (tmp_path / "mine.json").read_text() == "mine"

    def test_where_nothing_can_be_written(self, old, tmp_path, capsys):
        assert "cannot be written" in error_of(capsys, old, old, "--write-params", tmp_path / "no" / "a.json")
