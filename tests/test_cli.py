"""The command line: what list, diff and convert print, exit codes, pipes, terminals; the examples of docs/cli.md."""

import contextlib
import importlib
import json
import os
import pathlib
import pty
import re
import shlex
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

import estimator_warmstart
from conftest import save_checkpoint
from estimator_warmstart import plan_recovery, progress
from estimator_warmstart.cli import main
from estimator_warmstart.cli.commands import COMMANDS
from estimator_warmstart.convert.convert import convert_checkpoint

tf1 = tf.compat.v1
DOCS = (pathlib.Path(__file__).resolve().parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sh\nestimator-warmstart (.*?)\n```\n\n```text\n(.*?)```", DOCS, re.DOTALL)


def output_of(capsys, *arguments, code=0):
    """What the command prints to stdout; it must end with `code` and print nothing to stderr."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == code
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def error_of(capsys, *arguments):
    """What the command says on stderr; it must end with 2 and print nothing to stdout."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("estimator-warmstart: error: ") and "Traceback" not in printed.err
    return printed.err[len("estimator-warmstart: error: ") :].rstrip("\n")


def json_of(capsys, *arguments, code=0):
    return json.loads(output_of(capsys, *arguments, "--json", code=code))


def process(*arguments, **options):
    """A process of the command line, as a user would start it; what TensorFlow's C++ says when it is loaded is not ours."""
    package = str(pathlib.Path(estimator_warmstart.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.Popen(
        [sys.executable, "-m", "estimator_warmstart", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        **options,
    )


def without_tensorflows(stderr):
    """What is ours of a process's stderr: TensorFlow 2.21 logs while it is loaded, whatever TF_CPP_MIN_LOG_LEVEL says."""
    return re.sub(r"^(WARNING: All log messages before absl::InitializeLog|[IWE]\d{4} ).*\n", "", stderr, flags=re.MULTILINE)


def build_new_model(folder):
    """The model that docs/cli.md speaks of, at its first step, with its graph in the same folder."""
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("ranker/fm"):
            v, w = tf1.get_variable("v", [4, 2]), tf1.get_variable("w", [3, 1])
        kernel = tf1.get_variable("tower/kernel", [2, 2])
        step = tf1.train.get_or_create_global_step()
        loss = tf.reduce_sum(v) + tf.reduce_sum(w) + tf.reduce_sum(kernel)
        tf1.train.AdagradOptimizer(0.1).minimize(loss, step)
        session.run(tf1.global_variables_initializer())
        return tf1.train.Saver().save(session, os.path.join(str(folder), "model.ckpt"), global_step=0)


@pytest.fixture
def here(fm_checkpoint, tmp_path, monkeypatch):
    """The working directory, with the article's old model in `old`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def models_of_the_docs(here):
    """The files that docs/cli.md and the examples of --help speak of, under relative paths: old, new, run and params.json."""
    save_checkpoint(
        "old",
        {
            "fm/w": np.float32([[1], [2], [3]]),
            "fm/v": np.float32([[1, 2], [3, 4], [5, 6]]),
            "fm/w/Adagrad": np.float32([[10], [20], [30]]),
            "fm/v/Adagrad": np.float32([[10, 20], [30, 40], [50, 60]]),
            "global_step": np.int64(7),
        },
        step=7,
    )
    build_new_model("new")
    with tf.Graph().as_default(), tf1.Session() as session:
        w, saver = tf1.get_variable("fm/w", [2]), tf1.train.Saver()
        for step in (7, 8, 9):
            w.load([step, 10 * step], session)
            saver.save(session, "run/model.ckpt", step)
    (here / "params.json").write_text(re.search(r"```json\n(.*?)```", DOCS, re.DOTALL).group(1))


@pytest.fixture
def program_of_the_help(here, monkeypatch):
    """The `models.py` of the examples of `prove --help`, with yesterday's model trained."""
    if not hasattr(tf, "estimator"):
        pytest.skip("no tf.estimator")
    (here / "models.py").write_text(
        "import tensorflow as tf\nfrom estimator_warmstart import warm_started\n"
        "def estimator(folder):\n"
        "    return tf.estimator.DNNRegressor([4], [tf.feature_column.numeric_column('x')], model_dir=folder)\n"
        "def yesterdays(): return estimator('yesterday')\n"
        "def todays(): return warm_started(estimator('today'), 'yesterday', with_slots=True)\n"
        "def evaluation_data(): return tf.data.Dataset.from_tensors(({'x': [[1.0], [2.0]]}, [[1.0], [3.0]])).repeat()\n"
        "training_data = evaluation_data\n"
    )
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.delitem(sys.modules, "models", raising=False)
    models = importlib.import_module("models")
    models.yesterdays().train(models.training_data, steps=2)
    yield
    del sys.modules["models"]


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS, ids=[command.name for command in COMMANDS])
    def test_has_two_examples_that_run(self, request, models_of_the_docs, capsys, command):
        if command.name == "prove":
            request.getfixturevalue("program_of_the_help")
        with pytest.raises(SystemExit):
            main([command.name, "--help"])
        examples = re.findall(r"^  estimator-warmstart (.*)$", capsys.readouterr().out.split("examples:\n")[1], re.MULTILINE)
        assert examples == list(command.examples) and len(examples) == 2
        for example in examples:
            assert shlex.split(example)[0] == command.name
            code = main(shlex.split(example))
            printed = capsys.readouterr()
            assert code == (1 if command.name == "diff" else 0) and printed.out and printed.err == "", printed


class TestDocs:
    def test_has_an_example_of_each_command(self):
        commands = ["plan", "list", "list", "diff", "plan", "write", "convert", "merge"]
        assert [shlex.split(command)[0] for command, _ in EXAMPLES] == commands

    def test_every_example_prints_what_is_printed_there(self, models_of_the_docs, capsys):
        codes = []
        for command, printed in EXAMPLES:
            codes.append(main(shlex.split(command)))
            assert capsys.readouterr().out == printed
        assert codes == [0, 0, 0, 1, 1, 0, 0, 0]


class TestList:
    def test_slots_are_folded_under_their_variable(self, here, capsys):
        assert [line.split() for line in output_of(capsys, "list", "old").splitlines()[3:]] == [
            ["fm/v", "[3,", "2]", "float32", "24", "Adagrad"],
            ["fm/w", "[3,", "1]", "float32", "12", "Adagrad"],
            ["global_step", "[]", "int64", "8"],
            ["Variables:", "3,", "44", "bytes;", "slots:", "2,", "36", "bytes"],
        ]

    def test_json(self, here, capsys):
        listed = json_of(capsys, "list", "old")
        assert listed["format"] == "name-based" and listed["totals"] == {
            "variables": 3,
            "bytes": 44,
            "slots": 2,
            "slot_bytes": 36,
        }
        assert listed["variables"][1] == {
            "name": "fm/w",
            "shape": [3, 1],
            "dtype": "float32",
            "bytes": 12,
            "parts": 1,
            "path": None,
            "slots": [
                {
                    "slot": "Adagrad",
                    "name": "fm/w/Adagrad",
                    "shape": [3, 1],
                    "dtype": "float32",
                    "bytes": 12,
                    "parts": 1,
                    "path": None,
                }
            ],
        }

    @pytest.mark.parametrize(
        "patterns, names",
        [
            (["fm/w"], ["fm/w"]),
            (["fm"], ["fm/v", "fm/w"]),
            (["f"], None),
            ([".*/w", "global_step"], ["fm/w", "global_step"]),
            (["fm/w/Adagrad"], ["fm/w/Adagrad"]),
            (["fm/v", "fm/w/Adagrad"], ["fm/v", "fm/w/Adagrad"]),
        ],
    )
    def test_a_pattern_names_a_whole_variable_or_scope(self, here, capsys, patterns, names):
        arguments = ["list", "old"] + [f"--pattern={pattern}" for pattern in patterns]
        if names is None:
            assert "--pattern 'f' fits no old variable (did you mean 'fm'" in error_of(capsys, *arguments)
        else:
            assert [variable["name"] for variable in json_of(capsys, *arguments)["variables"]] == names

    def test_an_object_based_checkpoint(self, here, capsys):
        listed = json_of(capsys, "list", convert_checkpoint("old", "new/model.ckpt"))
        assert (listed["format"], [(each["name"], each["path"]) for each in listed["variables"]]) == (
            "object-based",
            [("fm/v", "vars/fm/v"), ("fm/w", "vars/fm/w"), ("global_step", "vars/global_step")],
        )

    def test_a_path_that_differs_from_the_name_is_shown(self, here, capsys):
        lines = output_of(capsys, "list", convert_checkpoint("old", "new/model.ckpt")).splitlines()
        assert [line.split()[:2] for line in lines[1:5]] == [
            ["variable", "path"],
            ["-----------", "----------------"],
            ["fm/v", "vars/fm/v"],
            ["fm/w", "vars/fm/w"],
        ]
        assert "path" not in output_of(capsys, "list", "old").splitlines()[1]

    @pytest.mark.parametrize("options", [[], ["--stats"]], ids=["", "with statistics"])
    def test_slots_of_two_optimizers_are_told_apart(self, here, capsys, options):
        save_checkpoint("two", {name: np.float32([1]) for name in ("v", "v/Adam", "a/v/Adagrad", "b/v/Adagrad")})
        printed = output_of(capsys, "list", "two", *options)
        assert " Adam" in printed and "a/v/Adagrad" in printed and "b/v/Adagrad" in printed


def statistics_of(capsys, folder, values, **options):
    """{name: statistics} that `list --stats` prints of a checkpoint with these values."""
    save_checkpoint(folder, values, **options)
    return {each["name"]: each["statistics"] for each in json_of(capsys, "list", folder, "--stats")["variables"]}


class TestListWithoutData:
    def test_of_names(self, here, capsys):
        os.remove("old/model.ckpt.data-00000-of-00001")
        code, out, err = main(["list", "old"]), *capsys.readouterr()
        assert code == 1 and "fm/v         [3, 2]  float32     24  Adagrad" in out
        assert err.endswith("model.ckpt.data-00000-of-00001 is missing\n") and "not whole" in err
        assert main(["list", "old", "--json"]) == 1
        assert len(json.loads(capsys.readouterr().out)["problems"]) == 1
        assert "is missing" in error_of(capsys, "list", "old", "--stats")

    def test_of_objects(self, here, capsys):
        output_of(capsys, "convert", "old", "b/model.ckpt")
        os.remove("b/model.ckpt.data-00000-of-00001")
        code, out = main(["list", "b/model.ckpt"]), capsys.readouterr().out
        assert code == 1 and "vars/fm.Sv/.ATTRIBUTES/VARIABLE_VALUE" in out and "(object-based)" in out

    def test_all_is_well(self, here, capsys):
        assert json_of(capsys, "list", "old")["problems"] == []


class TestStatistics:
    def test_of_floats(self, tmp_path, capsys):
        assert statistics_of(capsys, tmp_path, {"w": np.float32([[3, -4], [np.nan, 0]])}) == {
            "w": {
                "size": 4,
                "nan_count": 1,
                "minimum": -4.0,
                "maximum": 3.0,
                "mean": -1 / 3,
                "norm": 5.0,
            }
        }

    @pytest.mark.parametrize(
        "value, least, greatest, mean, norm",
        [
            (np.float16([3, -4]), -4.0, 3.0, -0.5, 5.0),
            (np.float64([1e300, 2e300]), 1e300, 2e300, 1.5e300, "inf"),
            (np.int8([-128, 127]), -128, 127, -0.5, np.sqrt(128**2 + 127**2)),
            (np.int64([2**62 + 1]), 2**62 + 1, 2**62 + 1, 2.0**62, 2.0**62),
            (np.uint8([200, 100]), 100, 200, 150.0, np.sqrt(50000)),
            (np.array([True, False, True, True]), False, True, 0.75, np.sqrt(3)),
            (np.float32([-np.inf, 1]), "-inf", 1.0, "-inf", "inf"),
            (np.float32([np.nan]), None, None, None, 0.0),
            (np.zeros((0, 3), np.float32), None, None, None, 0.0),
            (np.float32(7), 7.0, 7.0, 7.0, 7.0),
        ],
        ids=lambda value: str(getattr(value, "dtype", "")),
    )
    def test_of_each_dtype(self, tmp_path, capsys, value, least, greatest, mean, norm):
        found = statistics_of(capsys, tmp_path, {"w": value})["w"]
        assert (found["minimum"], found["maximum"], found["mean"]) == (least, greatest, mean)
        assert found["norm"] == norm if isinstance(norm, str) else found["norm"] == pytest.approx(norm)

    def test_of_bfloat16(self, tmp_path, capsys):
        with tf.Graph().as_default(), tf1.Session() as session:
            tf1.get_variable("w", initializer=tf.cast(tf.constant([3.0, -4.0, np.nan]), tf.bfloat16))
            session.run(tf1.global_variables_initializer())
            tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        (variable,) = json_of(capsys, "list", tmp_path, "--stats")["variables"]
        assert variable["statistics"] == {
            "size": 3,
            "nan_count": 1,
            "minimum": -4.0,
            "maximum": 3.0,
            "mean": -0.5,
            "norm": 5.0,
        }

    def test_strings_have_none(self, tmp_path, capsys):
        found = statistics_of(capsys, tmp_path, {"text": np.array([b"a", b"bc"]), "w": np.float32([1])})
        assert found["text"] is None and found["w"]["maximum"] == 1.0

    def test_of_a_variable_in_parts(self, tmp_path, capsys):
        values = {"w": np.arange(12, dtype=np.float32).reshape(6, 2)}
        found = statistics_of(capsys, tmp_path, values, partitions={"w": 3})["w"]
        assert (found["size"], found["minimum"], found["maximum"], found["mean"]) == (12, 0.0, 11.0, 5.5)

    def test_of_a_variable_of_many_pieces(self, tmp_path, capsys):
        value = np.random.RandomState(0).normal(3, 1, (1300, 2000)).astype(np.float32)
        value[7, 7], value[-1, -1] = np.nan, 99
        found = statistics_of(capsys, tmp_path, {"w": value})["w"]
        assert (found["size"], found["nan_count"], found["maximum"]) == (2600000, 1, 99.0)
        assert found["mean"] == pytest.approx(np.nanmean(value.astype(np.float64)), rel=1e-12)
        assert found["norm"] == pytest.approx(np.sqrt(np.nansum(value.astype(np.float64) ** 2)), rel=1e-12)

    def test_take_little_memory_for_a_large_variable(self, tmp_path, capsys):
        save_checkpoint(tmp_path, {"w": np.ones([8192, 4096], np.uint8)})  # 32 MiB
        tracemalloc.start()
        try:
            output_of(capsys, "list", tmp_path, "--stats")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 24 << 20

    def test_a_damaged_value_is_an_error(self, here, capsys):
        (data,) = here.glob("old/*.data*")
        damaged = bytearray(data.read_bytes())
        damaged[0] ^= 1
        data.write_bytes(bytes(damaged))
        assert "'fm/v'" in error_of(capsys, "list", "old", "--stats")


def differences_of(capsys, tmp_path, old, new, code=1):
    """What `diff --json` prints of two checkpoints with these values."""
    prefixes = [save_checkpoint(tmp_path / name, values) for name, values in (("a", old), ("b", new))]
    return json_of(capsys, "diff", *prefixes, code=code)


def kinds_of(differences):
    return {
        (each["old"] or {}).get("name", "-") + " " + (each["new"] or {}).get("name", "-"): each["kind"]
        for each in differences["variables"]
    }


def zeros(*shape):
    return np.zeros(shape, np.float32)


class TestDiff:
    def test_of_the_same_is_silent_and_succeeds(self, here, capsys):
        assert output_of(capsys, "diff", "old", "old").splitlines()[2:] == ["same: 3"]

    def test_of_a_missing_one_is_an_error(self, here, capsys):
        assert "'oldd' does not exist" in error_of(capsys, "diff", "old", "oldd")

    def test_values_do_not_count(self, tmp_path, capsys):
        assert not differences_of(capsys, tmp_path, {"w": zeros(2)}, {"w": zeros(2) + 1}, code=0)["differs"]

    def test_every_kind(self, tmp_path, capsys):
        found = differences_of(
            capsys,
            tmp_path,
            {"same": zeros(1), "grown": zeros(2), "cast": zeros(3), "gone": zeros(4), "fm/w": zeros(5)},
            {"same": zeros(1), "grown": zeros(3), "cast": np.float64([0, 0, 0]), "added": zeros(6), "ranker/fm/w": zeros(5)},
        )
        assert kinds_of(found) == {
            "same same": "same",
            "grown grown": "shape changed",
            "cast cast": "dtype changed",
            "gone -": "only old",
            "- added": "only new",
            "fm/w ranker/fm/w": "renamed",
        }

    def test_slots_follow_their_variable(self, tmp_path, capsys):
        found = differences_of(
            capsys,
            tmp_path,
            {"w": zeros(2), "w/Adagrad": zeros(2), "b": zeros(1), "b/Adam": zeros(1)},
            {"w": zeros(3), "w/Adagrad": zeros(3), "b": zeros(1), "b/Ftrl": zeros(1)},
        )
        assert [(each["kind"], each["slots"]) for each in found["variables"]] == [
            ("same", ["Adam only old", "Ftrl only new"]),
            ("shape changed", []),
        ]

    def test_other_slots_alone_are_a_difference(self, tmp_path, capsys):
        assert differences_of(capsys, tmp_path, {"w": zeros(2), "w/Adam": zeros(2)}, {"w": zeros(2)})["differs"]

    @pytest.mark.parametrize(
        "old, new, rename",
        [
            ({"fm/w": (2,), "fm/v": (2, 3)}, {"ranker/fm/w": (2,), "ranker/fm/v": (2, 3)}, [["fm", "ranker/fm"]]),
            ({"fm/w": (2,), "dense/k": (2, 3)}, {"ranker/fm/w": (2,), "ranker/dense/k": (2, 3)}, [["", "ranker"]]),
            ({"fm/w": (2,), "b": (1,)}, {"ranker/fm/w": (2,), "b": (1,)}, [["fm", "ranker/fm"]]),
            # The scope's rule tells of fm/v too, which has grown.
            ({"fm/w": (2,), "fm/v": (2, 3)}, {"a/fm/w": (2,), "a/fm/v": (9, 3), "b": (1,)}, [["fm", "a/fm"]]),
            ({"fm/w": (2,), "fm/v": (2, 3)}, {"a/fm/w": (2,), "a/fm/v": (2, 3, 4)}, [["fm/w", "a/fm/w"]]),
            ({"enc/l1/k": (2, 2), "enc/l11/k": (2, 2)}, {"l1/k": (2, 2), "l11/k": (2, 2)}, [["enc", ""]]),
            # A scope's rule would take x/b along, which is there under its own name.
            ({"x/k": (2,), "x/b": (1,)}, {"y/k": (2,), "x/b": (1,)}, [["x/k", "y/k"]]),
            ({"a": (7,)}, {"b": (7,)}, []),
            ({"dense/kernel": (3,)}, {"dense_1/kernels": (3,)}, [["dense/kernel", "dense_1/kernels"]]),
            ({"a/k": (3,)}, {"b/k": (4,)}, []),
            ({"a.b/k": (3,)}, {"c/k": (3,)}, [["a\\.b", "c"]]),
        ],
    )
    def test_the_offered_rename_does_what_is_shown(self, tmp_path, capsys, old, new, rename):
        found = differences_of(
            capsys,
            tmp_path,
            {name: zeros(*shape) for name, shape in old.items()},
            {name: zeros(*shape) for name, shape in new.items()},
        )
        assert found["rename"] == rename
        if rename:
            with tf.Graph().as_default() as graph:
                for name, shape in new.items():
                    tf1.get_variable(name, shape)
                plan = plan_recovery(str(tmp_path / "a"), adapters={}, rename=dict(rename), graph=graph)
            assert {(planned.old.name, planned.new.name) for planned in plan.recovered} == {
                (each["old"]["name"], each["new"]["name"]) for each in found["variables"] if each["old"] and each["new"]
            }

    def test_recover_vars_are_offered_too(self, tmp_path, capsys):
        found = differences_of(
            capsys, tmp_path, {"w": zeros(2), "a/k": zeros(3), "g": zeros(4)}, {"w": zeros(2), "b/k": zeros(3), "g": zeros(5)}
        )
        assert found["recover_vars"] == {"w": "w", "a/k": "b/k"}

    def test_the_step_and_adams_powers_are_never_renamed(self, tmp_path, capsys):
        old = {"w": zeros(2), "beta1_power": np.float32(0.9), "global_step": np.int64(1)}
        new = {"w": zeros(2), "x/beta1_power": np.float32(0.9), "x/global_step": np.int64(1)}
        assert "renamed" not in kinds_of(differences_of(capsys, tmp_path, old, new)).values()


class TestConvert:
    def test_there_and_back(self, here, capsys):
        assert output_of(capsys, "convert", "old", "b/model.ckpt") == "b/model.ckpt\n"
        assert json_of(capsys, "list", "b/model.ckpt")["format"] == "object-based"
        assert "name another, or give --overwrite to replace it" in error_of(capsys, "convert", "old", "b/model.ckpt")
        output_of(capsys, "convert", "old", "b/model.ckpt", "--overwrite", "--to", "object")
        output_of(capsys, "convert", "b/model.ckpt", "c/model.ckpt", "--to", "name")
        assert output_of(capsys, "diff", "old", "c/model.ckpt").endswith("same: 3\n")


class TestExitCodes:
    @pytest.mark.parametrize(
        "arguments, said",
        [
            ([], "COMMAND"),
            (["lst"], "invalid choice: 'lst'"),
            (["list"], "CKPT"),
            (["list", "a", "--statz"], "--statz"),
            (["diff", "a"], "NEW"),
            (["plan", "a"], "--graph"),
            (["convert", "a", "b", "--to", "onnx"], "onnx"),
            (
                ["plan", "a", "--graph", "b", "--require-coverage", "90"],
                "must be a number from 0 to 1 (0.9 for 90 %), got '90'",
            ),
            (["plan", "a", "--graph", "b", "--require-coverage", "nan"], "got 'nan'"),
        ],
    )
    def test_of_wrong_arguments(self, capsys, arguments, said):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        printed = capsys.readouterr()
        assert printed.out == "" and said in printed.err and printed.err.startswith("usage: estimator-warmstart")

    @pytest.mark.parametrize(
        "arguments, said",
        [
            (["--help"], "convert"),
            (["list", "--help"], "--pattern"),
            (["plan", "--help"], "--require-coverage"),
            (["--version"], f"estimator-warmstart {estimator_warmstart.__version__}"),
        ],
    )
    def test_of_help_and_version(self, capsys, arguments, said):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code and said in capsys.readouterr().out

    def test_a_path_that_is_no_path(self, capsys):
        assert "a checkpoint prefix or an .npz or .safetensors file, got 'a\\x00b'" in error_of(capsys, "list", "a\0b")

    def test_home_and_environment_variables_are_expanded(self, here, capsys, monkeypatch):
        monkeypatch.setenv("HOME", str(here))
        monkeypatch.setenv("MODELS", str(here))
        assert output_of(capsys, "diff", "~/old", "$MODELS/old").endswith("same: 3\n")

    def test_tensorflow_is_silent_while_a_command_runs(self, here, capsys, caplog):
        level = tf.get_logger().level
        (here / "old" / "checkpoint").write_text("TensorFlow warns of such a file")
        assert "has no readable file `checkpoint`" in error_of(capsys, "list", "old")
        assert [record for record in caplog.records if record.name == "tensorflow"] == []
        assert tf.get_logger().level == level

    def test_a_process_says_one_error_and_nothing_of_tensorflows(self, here):
        ended = process("list", "nope")
        out, err = ended.communicate(timeout=120)
        assert (ended.returncode, out) == (2, "")
        said = "estimator-warmstart: error: ckp_dir 'nope' does not exist: neither as a directory nor as nope.index\n"
        assert without_tensorflows(err) == said

    def test_an_interruption_is_no_traceback(self, here):
        save_checkpoint(here / "large", {"x" * 2000 + str(number): np.float32(number) for number in range(100)})
        started = process("list", "large", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        assert started.stdout.read(1)  # The rest is more than a pipe holds: the process waits for it to be read.
        started.send_signal(signal.SIGINT)
        _, err = started.communicate(timeout=120)
        assert (started.returncode, without_tensorflows(err)) == (130, "")

    def test_a_pipe_that_nobody_reads(self, here, monkeypatch, capsys):
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "w") as stdout:  # Closing it would raise if anything was left to write.
            monkeypatch.setattr(sys, "stdout", stdout)
            assert main(["list", "old"]) == 141
        assert capsys.readouterr().err == ""

    def test_a_full_disk(self, here, monkeypatch, capsys):
        with open("/dev/full", "w") as stdout:
            monkeypatch.setattr(sys, "stdout", stdout)
            assert main(["list", "old"]) == 2
        assert "No space left on device" in capsys.readouterr().err


@pytest.fixture
def on_terminal(monkeypatch):
    """Runs a command with stdout and stderr on a terminal of 60 columns; returns its exit code and what was shown."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*arguments):
        controller, device = pty.openpty()
        with open(device, "w") as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            patch.setattr(sys, "stderr", stream)
            code = main(list(arguments))
        shown = b""
        with contextlib.suppress(OSError):  # Linux says so at the end of what a closed terminal was sent.
            for piece in iter(lambda: os.read(controller, 1 << 16), b""):
                shown += piece
        os.close(controller)
        return code, shown.decode().replace("\r\n", "\n")

    return run


@pytest.mark.parametrize(
    "arguments",
    [("list", "odl"), ("diff", "odl", "old"), ("plan", "params.json", "--graph", "odl")],
    ids=["list", "diff", "plan"],
)
def test_a_misspelled_model_in_the_working_directory_is_offered(here, capsys, arguments):
    (here / "params.json").write_text('{"ckp_dir": "old"}')
    assert "(did you mean 'old'?)" in error_of(capsys, *arguments)


class TestTerminal:
    def test_differences_are_coloured_and_cut_to_its_width(self, here, on_terminal):
        save_checkpoint(here / "new", {"fm/w": zeros(9, 1), "a_scope_with_a_long_name/inside_of_it/kernel": zeros(2)})
        code, shown = on_terminal("diff", "old", "new")
        red, green, yellow = (
            [line for line in shown.splitlines() if line.startswith(f"\x1b[{colour}m")] for colour in (31, 32, 33)
        )
        # What differs of fm/w takes two lines.
        assert (code, len(red), len(green), len(yellow)) == (1, 2, 1, 2)
        assert "..." in green[0] and "fm/w" in yellow[0]

    def test_lines_are_no_longer_than_its_width(self, here, on_terminal):
        save_checkpoint(here / "new", {"a_scope_with_a_long_name/inside_of_it/kernel": zeros(2)})
        _, shown = on_terminal("list", "new")
        assert max(len(line) for line in shown.splitlines()[1:4]) <= 60

    def test_no_color_is_respected(self, here, on_terminal, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")
        save_checkpoint(here / "new", {"fm/w": zeros(9, 1)})
        code, shown = on_terminal("diff", "old", "new")
        assert code == 1 and "shape changed" in shown and "\x1b" not in shown

    def test_progress_is_shown(self, here, on_terminal, monkeypatch):
        monkeypatch.setattr(progress, "QUIET_SECS", 0.0)
        code, shown = on_terminal("list", "old", "--stats")
        assert code == 0 and shown.startswith("\rReading values [") and "100 %\n" in shown

    def test_none_of_this_is_in_a_pipe(self, here, capsys):
        save_checkpoint(here / "new", {"fm/w": zeros(9, 1), "a_scope_with_a_long_name" * 9: zeros(2)})
        printed = output_of(capsys, "diff", "old", "new", code=1)
        assert "a_scope_with_a_long_name" * 9 in printed and "\x1b" not in printed
        output_of(capsys, "list", "old", "--stats")
