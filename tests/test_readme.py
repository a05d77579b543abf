"""The READMEs' blocks run as they are printed, and print what is printed; the Chinese one has the same blocks."""

import contextlib
import io
import pathlib
import re
import shlex

import numpy as np
import pytest
import tensorflow as tf

import estimator_warmstart
from conftest import save_checkpoint
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.optimizers import meanings_of
from estimator_warmstart.plan import planner as planning
from estimator_warmstart.slots import find_slots

tf1 = tf.compat.v1
ROOT = pathlib.Path(__file__).resolve().parents[1]
READMES = ("README.md", "README.zh-CN.md")


def blocks(file, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(params=READMES)
def readme(request):
    return request.param


@pytest.fixture
def block_with(readme):
    """Finds the one Python block with some text."""

    def find(text):
        (found,) = (block for block in blocks(readme, "python") if text in block)
        return found

    return find


@pytest.fixture
def models(tmp_path):
    """What stands for /models: `old`, a checkpoint directory."""
    (tmp_path / "old").mkdir()
    save_checkpoint(
        tmp_path / "old",
        {
            "fm/w": np.float32([[1], [2]]),
            "fm/v": np.float32([[1, 2], [3, 4]]),
            "dense/kernel": np.arange(16, dtype=np.float32)[:, np.newaxis],
        },
    )
    return tmp_path


def my_model(features, labels, mode, params):
    w = zeros("ranker/fm/w", [2, 1])
    zeros("ranker/fm/v", [2, 2])
    loss = tf.reduce_sum(w)
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=tf1.assign_add(tf1.train.get_global_step(), 1))


@pytest.fixture
def names(models):
    """What a reader would have before pasting: the imports, an old model, a new one of other names, two vocabularies."""
    for vocabulary, tokens in (("old", "ann\nbob\n"), ("new", "bob\nann\n")):
        (models / f"{vocabulary}.txt").write_text(tokens)
    return {
        **vars(estimator_warmstart),
        "tf": tf,
        "old_dir": str(models / "old"),
        "my_model": my_model,
        "model_dir": str(models / "new"),
        "old_vocab": str(models / "old.txt"),
        "new_vocab": str(models / "new.txt"),
    }


def run(block, names, models):
    exec(block.replace("/models/", f"{models}/"), names)


def zeros(name, shape):
    return tf1.get_variable(name, shape, initializer=tf1.zeros_initializer())


def new_model(kernel_rows):
    zeros("ranker/fm/v", [2, 2]), zeros("tower/v", [2, 2]), zeros("fm/v", [2, 2]), zeros("dense/kernel", [kernel_rows, 1])
    return zeros("ranker/fm/w", [2, 1])


def train(estimator):
    estimator.train(lambda: tf.data.Dataset.from_tensors(({"x": [0.0]}, [0.0])), steps=1)


def at_step_0(models, name):
    return tf.train.load_variable(str(models / "new" / "model.ckpt-0"), name).tolist()


class TestWaysIn:
    def test_a_hook(self, block_with, names, models):
        run(block_with("training_hooks=[hook]"), names, models)
        train(tf.estimator.Estimator(names["model_fn"], names["model_dir"], params={}))
        assert at_step_0(models, "ranker/fm/v") == [[1, 2], [3, 4]]

    def test_a_wrapper(self, block_with, names, models):
        names["estimator"] = tf.estimator.Estimator(my_model, names["model_dir"], params={})
        run(block_with("warm_started(estimator"), names, models)
        train(names["estimator"])
        assert at_step_0(models, "ranker/fm/v") == [[1, 2], [3, 4]]

    def test_params(self, block_with, names, models, new_graph):
        run(block_with("hooks_from_params"), names, models)
        new_model(16)
        (hook,) = names["hooks"]
        hook.begin()
        sources = {planned.new.name: planned.old.name for planned in hook.plan.recovered}
        assert sources == {"ranker/fm/v": "fm/v", "ranker/fm/w": "fm/w", "dense/kernel": "dense/kernel"}

    def test_settings(self, block_with, names, models):
        names["model_fn"] = my_model
        run(block_with("warm_start_settings("), names, models)
        train(names["estimator"])
        assert at_step_0(models, "ranker/fm/w") == [[1], [2]]
        assert at_step_0(models, "ranker/fm/v") == [[0, 0], [0, 0]]

    def test_a_scaffold(self, block_with, names, models):
        run(block_with("recover_scaffold"), names, models)
        train(tf.estimator.Estimator(names["model_fn"], names["model_dir"], params={}))
        assert at_step_0(models, "vars/ranker.Sfm.Sv/.ATTRIBUTES/VARIABLE_VALUE") == [[1, 2], [3, 4]]


def test_the_block_on_names(block_with, names, models, new_graph, capsys):
    names["w2"] = new_model(16)
    run(block_with("import VariableRecoverHook, match_variables"), names, models)
    assert sorted(names["pairs"]) == ["fm/v", "fm/w"]
    assert "3 of 5 new variables" in capsys.readouterr().out
    names["hook"].begin()
    assert len(names["hook"].plan.recovered) == 2


def test_the_block_on_shapes(block_with, names, models, new_graph):
    new_model(20)
    run(block_with("import ShapeAdaptingRecoverHook"), names, models)
    with tf1.train.MonitoredSession(hooks=[names["hook"]]) as session:
        values = {variable.op.name: session.run(variable) for variable in tf1.global_variables()}
    assert values["ranker/fm/v"].tolist() == [[3, 4], [1, 2]]
    assert values["dense/kernel"][:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 8, 9, 10, 11, 12, 13, 14, 15]


def test_the_block_on_conversion(block_with, names, models):
    run(block_with("convert_checkpoint"), names, models)
    assert (models / "converted" / "model.ckpt.index").is_file()


def test_the_report(readme, monkeypatch, new_graph):
    """Tables of that size are in no file here: the checkpoint's record is made up, the variables are never initialized."""
    olds = [OldVariable(name, shape, "float32", name) for name, shape in (("fm/w", (4809162, 1)), ("fm/v", (4809162, 16)))]
    record = Checkpoint("/models/old/model.ckpt-4200000", "name-based", {old.name: old for old in olds}, {})
    monkeypatch.setattr(planning, "open_checkpoint", lambda ckp_dir: record)
    zeros("ranker/fm/w", [4809162, 1]), zeros("ranker/fm/v", [4809162, 16]), zeros("tower/kernel", [32, 1])
    plan = estimator_warmstart.plan_recovery("/models/old", {"fm/w": "ranker/fm/w", "fm/v": "ranker/fm/v"})
    assert blocks(readme, "text")[0] == estimator_warmstart.format_report(plan) + "\n"


def test_the_commands(readme, models, capsys):
    from estimator_warmstart.cli import main

    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.train.create_global_step()
        new_model(16)
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(models / "new" / "model.ckpt"))
    (models / "params.json").write_text('{"warm_start": {"ckp_dir": "%s", "rename": {"fm": "ranker/fm"}}}' % (models / "old"))
    (commands,) = (block for block in blocks(readme, "sh") if block.startswith("estimator-warmstart"))
    codes = []
    for line in commands.splitlines():
        line = line.replace("/models/", f"{models}/").replace("params.json", str(models / "params.json"))
        codes.append(main(shlex.split(line)[1:]))
    assert codes == [0, 1, 1, 0]
    assert "Recovered: 3 of 6 new variables" in capsys.readouterr().out


def test_the_plain_hook(models):
    page = (ROOT / "docs" / "plain_hook.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.get_variable("A", initializer=4.0)
        session.run(tf1.global_variables_initializer())
        old = tf1.train.Saver().save(session, str(models / "plain.ckpt"))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(program, {"old": old, "__name__": "plain"})
    assert out.getvalue() == printed
    for file in READMES:
        table = [row for row in (ROOT / file).read_text(encoding="utf-8").splitlines() if re.match(r"\|.*\| 7 \|", row)]
        numbers = [re.findall(r"\d+", row) for row in table]
        assert numbers == [re.findall(r"\d+", row) for row in printed.splitlines()[1:]]


def test_every_promise_on_reliability_names_a_test_that_is_there():
    named = set(re.findall(r"\b(test_\w+|Test\w+)\b", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")))
    sources = list((ROOT / "tests").rglob("test_*.py"))
    there = {path.stem for path in sources}
    for path in sources:
        there.update(re.findall(r"^ *(?:def|class) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert len(named) > 15
    assert named - there == set()


def test_both_languages_have_the_same_blocks():
    for language in ("python", "text", "sh"):
        assert blocks(READMES[0], language) == blocks(READMES[1], language)
    counts = [len(re.findall(r"^#+ ", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)) for file in READMES]
    assert counts[0] == counts[1]


def test_both_languages_have_the_same_figures():
    """Measured figures stand in tables; a row of them is the same in both."""
    texts = [(ROOT / file).read_text(encoding="utf-8") for file in READMES]
    rows = [re.findall(r"^\|.*?\| ((?:[\d.,]+ \| ?)+)$", text, re.MULTILINE) for text in texts]
    assert len(rows[0]) > 8
    assert rows[0] == rows[1]


def test_every_block_is_tested():
    assert len(blocks("README.md", "python")) == 8
    assert len(blocks("README.md", "text")) == 1


def test_every_public_function_is_named(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    public = set(estimator_warmstart.__all__) - {"Plan", "WarmStartError", "report_as_json", "adapters"}
    assert {name for name in public if name not in text} == set()


def test_the_adapters_table_names_every_adapter(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    assert [name for name in estimator_warmstart.adapters.__all__ if name not in ("compose",) and f"`{name}(" not in text] == []


class TestOptimizers:
    PAGE = "docs/optimizers.md"

    def test_the_block_prints_what_is_printed(self, models):
        def input_fn():
            return tf.data.Dataset.from_tensors(({"x": np.float32([[1], [2]])}, np.int64([[0], [1]]))).repeat()

        x = tf.feature_column.numeric_column("x")
        tf1.estimator.DNNClassifier([3], [x], model_dir=str(models / "v1")).train(input_fn, steps=2)
        (program,) = blocks(self.PAGE, "python")
        if not hasattr(tf.keras.optimizers, "legacy"):
            program = program.replace("tf.keras.optimizers.legacy", "tf.keras.optimizers").replace(
                "tf.estimator.DNN", "tf.compat.v2.estimator.DNN"
            )
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(program, {"old_dir": str(models / "v1"), "new_dir": str(models / "v2"), "input_fn": input_fn})
        assert [out.getvalue()] == blocks(self.PAGE, "text")

    @pytest.mark.parametrize(
        "row",
        [
            [re.findall(r"`([\w/]+)`", cell) for cell in line.split("|")[2:5]]
            for line in (ROOT / "docs" / "optimizers.md").read_text(encoding="utf-8").splitlines()
            if line.startswith("| ") and "/w" in line and "centered" not in line
        ],
        ids=lambda row: row[0][0],
    )
    def test_the_table_of_names_is_true(self, row):
        found = []
        for names in row:
            shapes = {"w": (2,), **dict.fromkeys(names, (2,))}
            meanings = meanings_of(find_slots(shapes))
            found.append([meanings[name].what for name in names])
        assert found[0] == found[1] == found[2] and len(found[0]) == len(row[0])
