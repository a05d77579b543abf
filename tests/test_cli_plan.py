"""`estimator-warmstart plan`: the same report as the training's log, from a params file and a graph."""

import json
import logging

import numpy as np
import pytest
import tensorflow as tf
import yaml

from conftest import needs_estimator, save_checkpoint
from estimator_warmstart import report_as_json
from estimator_warmstart.api.params import hooks_from_params
from estimator_warmstart.cli import main
from estimator_warmstart.graph.meta_graph import import_graph
from estimator_warmstart.graph.variables import logical_variables

tf1 = tf.compat.v1


def run(capsys, *arguments):
    """The exit code of `plan`, what it printed to stdout and to stderr."""
    capsys.readouterr()
    code = main(["plan", *map(str, arguments)])
    printed = capsys.readouterr()
    return (code, printed.out, printed.err)


def error_of(capsys, *arguments):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "") and err.startswith("estimator-warmstart: error: ") and "Traceback" not in err
    return err[len("estimator-warmstart: error: ") :].rstrip("\n")


def write(path, params):
    path.write_text(json.dumps(params))
    return path


def build(optimizer="Adagrad"):
    """A model with a partitioned and a plain variable, and an optimizer; returns its loss and its train operation."""
    with tf1.variable_scope("ranker", partitioner=tf1.fixed_size_partitioner(2)):
        v = tf1.get_variable("fm/v", [4, 2], initializer=tf1.zeros_initializer())
    w = tf1.get_variable("ranker/fm/w", [3, 1], initializer=tf1.zeros_initializer())
    loss = tf.reduce_sum(tf1.nn.embedding_lookup(v, [0, 1, 2, 3], partition_strategy="div")) + tf.reduce_sum(w)
    optimizers = {"Adagrad": tf1.train.AdagradOptimizer, "Adam": tf1.train.AdamOptimizer}
    return loss, optimizers[optimizer](0.1).minimize(loss, tf1.train.get_or_create_global_step())


@pytest.fixture
def meta(tmp_path):
    """The `.meta` file of that model."""
    with tf.Graph().as_default(), tf1.Session() as session:
        build()
        session.run(tf1.global_variables_initializer())
        return tf1.train.Saver().save(session, str(tmp_path / "new" / "model.ckpt")) + ".meta"


@pytest.fixture
def config(fm_checkpoint, tmp_path):
    """The params of a warm start of that model from the article's, which covers 36 of its 44 bytes."""
    return write(
        tmp_path / "params.json",
        {
            "warm_start": {
                "ckp_dir": fm_checkpoint,
                "rename": {"fm": "ranker/fm"},
                "adapters": {},
            }
        },
    )


class Graphs(tf1.train.SessionRunHook):
    """Remembers what the training's graph has."""

    def begin(self):
        self.variables = logical_variables()


def train(model_dir, params, optimizer):
    """Trains one step of an Estimator; returns the logical variables of its graph."""
    graphs = Graphs()

    def model_fn(features, labels, mode):
        loss, train_op = build(optimizer)
        return tf.estimator.EstimatorSpec(
            mode, loss=loss, train_op=train_op, training_hooks=[*hooks_from_params(params), graphs]
        )

    estimator = tf.estimator.Estimator(model_fn, model_dir=str(model_dir))
    estimator.train(lambda: tf.data.Dataset.from_tensors({"x": tf.constant(0.0)}).repeat(2), steps=1)
    return graphs.variables


def logged_report(caplog):
    """The lines of the report that the training logged, after the one that says when it recovered."""
    (report,) = (
        record.getMessage()
        for record in caplog.records
        if record.name.endswith("estimator_warmstart") and "Warm start from" in record.getMessage()
    )
    return report.splitlines()[1:]


def described(variables):
    """All that a plan looks at: everything but the variable objects themselves."""
    return [
        (*new._replace(parts=()), [(part.name, part.offset, part.shape) for part in new.parts]) for new in variables.values()
    ]


@needs_estimator
class TestAgreesWithTraining:
    @pytest.mark.parametrize("optimizer", ["Adagrad", "Adam"])
    def test_line_by_line(self, config, tmp_path, capsys, caplog, optimizer):
        with caplog.at_level(logging.INFO, logger="tensorflow"):
            train(tmp_path / "model", json.loads(config.read_text()), optimizer)
        code, out, err = run(capsys, config, "--graph", tmp_path / "model")
        assert (code, err) == (0, "")
        assert out.splitlines() == logged_report(caplog)
        assert "ranker/fm/v" in out

    @pytest.mark.parametrize("optimizer", ["Adagrad", "Adam"])
    def test_the_graph_has_the_same_variables(self, tmp_path, optimizer):
        variables = train(tmp_path, {}, optimizer)
        assert described(logical_variables(import_graph(tmp_path))) == described(variables)

    def test_under_a_mirrored_strategy(self, tmp_path):
        strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
        with tf.Graph().as_default():
            with strategy.scope():
                tf1.get_variable("w", [3])
                variables = logical_variables()
            with tf1.Session() as session:
                session.run(tf1.global_variables_initializer())
                prefix = tf1.train.Saver(tf1.global_variables()).save(session, str(tmp_path / "model.ckpt"))
        assert described(logical_variables(import_graph(prefix))) == described(variables)


class TestGraph:
    def test_a_meta_file_a_prefix_and_a_directory_are_the_same(self, config, meta, tmp_path, capsys):
        prefix = meta[: -len(".meta")]
        results = [run(capsys, config, "--graph", graph) for graph in (meta, prefix, tmp_path / "new")]
        assert results[0] == results[1] == results[2] and results[0][0] == 0

    def test_home_is_expanded(self, config, meta, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert run(capsys, "~/params.json", "--graph", "~/new")[0] == 0

    @pytest.mark.parametrize(
        "name, content, said",
        [
            ("a.meta", b"\xff\xff\xff", "cannot be read as a .meta file"),
            ("a.meta", b"", "holds no graph"),
            ("graph.pbtxt", b"node {}", "is not a .meta file"),
            ("missing", None, "missing' does not exist; give a .meta file"),
        ],
    )
    def test_that_is_none_is_an_error(self, config, tmp_path, capsys, name, content, said):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert said in error_of(capsys, config, "--graph", tmp_path / name)

    def test_an_empty_directory_is_an_error(self, config, tmp_path, capsys):
        (tmp_path / "empty").mkdir()
        assert "is a directory with no checkpoint in it" in error_of(capsys, config, "--graph", tmp_path / "empty")

    def test_a_directory_without_a_state_file_has_its_graphs_named(self, config, meta, tmp_path, capsys):
        (tmp_path / "new" / "checkpoint").unlink()
        said = error_of(capsys, config, "--graph", tmp_path / "new")
        assert f"no readable file `checkpoint` that names its latest; give one of its .meta files: {meta!r}" in said

    def test_a_checkpoint_without_its_graph_is_an_error(self, config, fm_checkpoint, capsys):
        assert "write_meta_graph=False" in error_of(capsys, config, "--graph", fm_checkpoint)

    def test_one_without_variables_is_an_error(self, config, tmp_path, capsys):
        with tf.Graph().as_default():
            tf.constant(1.0)
            tf1.train.export_meta_graph(str(tmp_path / "a.meta"))
        assert "has no variables in its collection 'variables'" in error_of(capsys, config, "--graph", tmp_path / "a.meta")

    def test_one_with_an_operation_that_is_not_there_is_an_error(self, config, tmp_path, capsys):
        with tf.Graph().as_default():
            tf1.get_variable("w", [1])
            proto = tf1.train.export_meta_graph()
        proto.graph_def.node.add(name="odd", op="OddOperation")
        (tmp_path / "a.meta").write_bytes(proto.SerializeToString())
        said = error_of(capsys, config, "--graph", tmp_path / "a.meta")
        assert "OddOperation" in said and f"written by TensorFlow {tf.__version__}" in said


class TestConfig:
    def test_may_be_yaml(self, config, meta, tmp_path, capsys):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(json.loads(config.read_text())))
        assert run(capsys, tmp_path / "params.yaml", "--graph", meta) == run(capsys, config, "--graph", meta)

    def test_may_have_another_key(self, config, meta, tmp_path, capsys):
        other = write(tmp_path / "b.json", {"restore": json.loads(config.read_text())["warm_start"]})
        assert run(capsys, other, "--graph", meta, "--key", "restore") == run(capsys, config, "--graph", meta)

    def test_may_be_what_stands_under_the_key(self, config, meta, tmp_path, capsys):
        alone = write(tmp_path / "b.json", json.loads(config.read_text())["warm_start"])
        assert run(capsys, alone, "--graph", meta) == run(capsys, config, "--graph", meta)

    def test_json_has_one_report_for_each_hook(self, config, meta, capsys):
        code, out, err = run(capsys, config, "--graph", meta, "--json")
        (hook,) = hooks_from_params(json.loads(config.read_text()))
        assert (code, err) == (0, "")
        assert json.loads(out) == [json.loads(report_as_json(hook.plan_for(import_graph(meta))))]

    def test_no_warm_start_is_said(self, meta, tmp_path, capsys):
        config = write(tmp_path / "b.json", {"warm_start": None})
        assert run(capsys, config, "--graph", meta) == (0, "No warm start: 'warm_start' asks for none\n", "")
        assert run(capsys, config, "--graph", meta, "--require-coverage", "0.1")[0] == 1

    @pytest.mark.parametrize(
        "name, text, said",
        [
            ("a.json", "{", "a.json is not JSON: Expecting property name"),
            ("a.json", "7", "a.json must hold a mapping, got 7"),
            ("a.json", '{"warmstart": {"ckp_dir": "a"}}', "has no key 'warm_start' (did you mean 'warmstart'?)"),
            (
                "a.json",
                '{"ckp_dir": "a", "adapters": {"v": "crop_or_pad", "v": {"take": "[:1]"}}}',
                "the key 'v' is there twice",
            ),
            ("a.yaml", "ckp_dir: a\nadapters:\n  v: crop_or_pad\n  v: {take: '[:1]'}\n", "twice in the mapping of line 3"),
            ("a.yaml", "a: [", "a.yaml is not YAML: while parsing"),
            ("a.yaml", "!!python/object/apply:os.getcwd []", "could not determine a constructor"),
            (
                "a.json",
                '{"ckp_dir": "a", "include": "fm("}',
                "include: the pattern 'fm(' is not a regular expression",
            ),
            ("a.json", '{"ckp_dir": "a", "renames": {}}', "warm_start.renames is not known (did you mean 'rename'?)"),
            ("a.json", "\udcff", "is not a text file in UTF-8"),
        ],
    )
    def test_that_says_nothing_is_an_error(self, meta, tmp_path, capsys, name, text, said):
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        assert said in error_of(capsys, tmp_path / name, "--graph", meta)

    def test_a_yaml_merge_may_override(self, fm_checkpoint, meta, tmp_path, capsys):
        (tmp_path / "a.yaml").write_text(
            "base: &base {missing: keep, rename: {fm: ranker/fm}, adapters: {}}\n"
            f"warm_start: {{<<: *base, missing: error, ckp_dir: {fm_checkpoint}}}\n"
        )
        assert run(capsys, tmp_path / "a.yaml", "--graph", meta)[0] == 0

    def test_that_is_missing_is_an_error(self, meta, tmp_path, capsys):
        assert "nope.json cannot be read" in error_of(capsys, tmp_path / "nope.json", "--graph", meta)

    def test_a_directory_is_an_error(self, meta, tmp_path, capsys):
        assert "cannot be read" in error_of(capsys, tmp_path, "--graph", meta)

    def test_yaml_says_what_to_install(self, meta, tmp_path, capsys, monkeypatch):
        (tmp_path / "hidden").mkdir()
        (tmp_path / "hidden" / "yaml.py").write_text("raise ImportError('not here')")
        monkeypatch.delitem(__import__("sys").modules, "yaml")
        monkeypatch.syspath_prepend(str(tmp_path / "hidden"))
        (tmp_path / "a.yaml").write_text("{}")
        assert "pip install pyyaml" in error_of(capsys, tmp_path / "a.yaml", "--graph", meta)

    def test_what_training_would_refuse_is_an_error(self, fm_checkpoint, meta, tmp_path, capsys):
        config = write(tmp_path / "a.json", {"ckp_dir": fm_checkpoint, "recover_vars": {"fm/w": "ranker/fm/ww"}})
        assert "the graph has no new variable 'ranker/fm/ww' (did you mean 'ranker/fm/w'" in error_of(
            capsys, config, "--graph", meta
        )


class TestCoverage:
    @pytest.mark.parametrize("required, code", [("0", 0), ("0.8", 0), ("0.82", 1), ("1", 1)])
    def test_is_required(self, config, meta, capsys, required, code):
        found, out, err = run(capsys, config, "--graph", meta, "--require-coverage", required)
        assert found == code and "Recovered: " in out
        assert err == (
            "" if code == 0 else f"estimator-warmstart: coverage is 81.82 %, {100 * float(required):g} % is required\n"
        )

    def test_of_several_hooks_is_that_of_all_together(self, fm_checkpoint, meta, tmp_path, capsys):
        other = tmp_path / "other"
        other.mkdir()
        save_checkpoint(other, {"table": np.zeros([4, 2], np.float32)})
        config = write(
            tmp_path / "a.json",
            [
                {"ckp_dir": fm_checkpoint, "recover_vars": {"fm/w": "ranker/fm/w"}},
                {"ckp_dir": str(other), "recover_vars": {"table": "ranker/fm/v"}},
            ],
        )
        code, out, err = run(capsys, config, "--graph", meta, "--require-coverage", "1")
        assert (code, err, out.count("Warm start from")) == (0, "", 2)

    def test_nothing_at_all_is_told(self, meta, tmp_path, capsys):
        (tmp_path / "unrelated").mkdir()
        save_checkpoint(tmp_path / "unrelated", {"x": np.float32([1])})
        other = write(tmp_path / "other.json", {"ckp_dir": str(tmp_path / "unrelated"), "missing": "keep"})
        code, out, err = run(capsys, other, "--graph", meta)
        assert (code, err) == (1, "estimator-warmstart: nothing is recovered\n") and "Recovered: 0 of" in out

    def test_min_coverage_of_the_params_is_an_error_as_in_training(self, fm_checkpoint, meta, tmp_path, capsys):
        config = write(
            tmp_path / "a.json",
            {
                "ckp_dir": fm_checkpoint,
                "rename": {"fm": "ranker/fm"},
                "adapters": {},
                "min_coverage": 0.9,
            },
        )
        assert "min_coverage is 90 %" in error_of(capsys, config, "--graph", meta)
