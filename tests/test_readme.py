"""The README's Python blocks run as they are printed, in order, beside the names that they speak of."""
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

import estimator_warmstart
from conftest import save_checkpoint
from estimator_warmstart import VariableRecoverHook, format_report

tf1 = tf.compat.v1
README = pathlib.Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def names(old_dir, tmp_path):
    """What a reader would have before pasting: an old model, a new one of other names, and two vocabularies."""
    save_checkpoint(old_dir, {
        "fm/w": np.float32([[1], [2]]), "fm/v": np.float32([[1, 2], [3, 4]]),
        "dense/kernel": np.arange(16, dtype=np.float32)[:, np.newaxis],
    })
    for vocabulary, tokens in (("old", "ann\nbob\n"), ("new", "bob\nann\n")):
        (tmp_path / f"{vocabulary}.txt").write_text(tokens)
    return {
        "old_dir": str(old_dir), "VariableRecoverHook": VariableRecoverHook, "format_report": format_report,
        "old_vocab": str(tmp_path / "old.txt"), "new_vocab": str(tmp_path / "new.txt"),
    }


def new_model(kernel_rows):
    def zeros(name, shape):
        return tf1.get_variable(name, shape, initializer=tf1.zeros_initializer())

    zeros("ranker/fm/v", [2, 2]), zeros("tower/v", [2, 2]), zeros("fm/v", [2, 2]), zeros("dense/kernel", [kernel_rows, 1])
    return zeros("ranker/fm/w", [2, 1])


def block_with(text):
    found, = (block for block in BLOCKS if text in block)
    return found


def test_the_first_block(names, new_graph, monkeypatch):
    monkeypatch.setitem(names, "my_model", lambda features, labels, mode, params: tf.estimator.EstimatorSpec(
        mode, loss=tf.constant(0.0), train_op=tf.no_op()))
    exec(block_with("def model_fn"), names)
    spec = names["model_fn"]({}, None, tf.estimator.ModeKeys.TRAIN, {})
    hook, = spec.training_hooks
    hook._recovering = hook._recovering._replace(request=hook._recovering.request._replace(ckp_dir=names["old_dir"]))
    new_model(16)
    hook.begin()
    assert [fate.new.name for fate in hook.plan.recovered] == ["ranker/fm/v", "ranker/fm/w"]


def test_the_block_on_names(names, new_graph, capsys):
    names["w2"] = new_model(16)
    exec(block_with("match_variables"), names)
    assert sorted(names["pairs"]) == ["fm/v", "fm/w"]
    assert "2 of 5 new variables" in capsys.readouterr().out
    names["hook"].begin()
    assert len(names["hook"].plan.recovered) == 2


def test_the_block_on_shapes(names, new_graph):
    new_model(20)
    exec(block_with("ShapeAdaptingRecoverHook"), names)
    with tf1.train.MonitoredSession(hooks=[names["hook"]]) as session:
        values = {variable.op.name: session.run(variable) for variable in tf1.global_variables()}
    assert values["ranker/fm/v"].tolist() == [[3, 4], [1, 2]]
    assert values["dense/kernel"][:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 8, 9, 10, 11, 12, 13, 14, 15]


def test_every_block_is_tested():
    assert len(BLOCKS) == 3


def test_the_adapters_table_names_every_adapter():
    text = README.read_text(encoding="utf-8")
    assert [name for name in estimator_warmstart.adapters.__all__ if name not in ("compose",) and f"`{name}(" not in text] == []
