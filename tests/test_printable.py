"""What files say of themselves is shown escaped wherever people read it, and is exact data in JSON."""

import json
import logging
import re

import pytest
import tensorflow as tf

from crafted_files import entry, write
from estimator_warmstart import VariableRecoverHook, WarmStartError, format_report, plan_recovery
from estimator_warmstart._tf import logger
from estimator_warmstart.cli import main
from estimator_warmstart.printable import printable

tf1 = tf.compat.v1
EVIL = "w\x1b[31m\x07\n\x9b2J\u202ered"
SHOWN = r"w\x1b[31m\x07\n\x9b2J\u202ered"
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.fixture
def prefix(old_dir):
    folder = old_dir / "\x1b[2J"
    folder.mkdir()
    return write(folder, {"a": entry(data=b"\0" * 8), EVIL: entry(data=b"\0" * 8)})


@pytest.mark.parametrize(
    "text, shown",
    [
        (EVIL, SHOWN),
        ("fm/w 层 é", "fm/w 层 é"),
        ("\x00\x7f\u2028\udcff", r"\x00\x7f\u2028\udcff"),
        ("a\tb\\n", r"a\tb\n"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("command", [["list"], ["list", "--stats"], ["diff"]], ids=" ".join)
def test_tables(prefix, old_dir, capsys, command):
    other = [write(old_dir, {"a": entry(data=b"\0" * 8)})] if command == ["diff"] else []
    main([*command, prefix, *other])
    out = capsys.readouterr().out
    assert SHOWN in out and r"old/\x1b[2J/model.ckpt" in out and not CONTROLS.search(out)


def test_json_is_exact(prefix, capsys):
    assert main(["list", prefix, "--json"]) == 0
    assert EVIL in [each["name"] for each in json.loads(capsys.readouterr().out)["variables"]]


def test_errors(prefix, capsys):
    assert main(["list", prefix, "--pattern", "\x1b[31m"]) == 2
    assert main(["list", prefix + "\x1b"]) == 2
    with pytest.raises(SystemExit):
        main(["list", prefix, "--\x1b[31m"])
    err = capsys.readouterr().err
    assert r"\x1b[31m" in err and not CONTROLS.search(err)
    error = WarmStartError("two", [f"no {EVIL}", "else"])
    assert not CONTROLS.search(str(error) + "".join(error.problems)) and r"no w\x1b[31m\x07" in str(error)


def test_the_report_and_the_log(prefix, new_graph, caplog):
    tf1.get_variable("a", [2])
    hook = VariableRecoverHook(prefix, {"a": "a"})
    report = format_report(plan_recovery(prefix, {"a": "a"}))
    assert SHOWN in report and not CONTROLS.search(report)
    caplog.set_level(logging.INFO, logger.name)
    with tf1.train.MonitoredTrainingSession(hooks=[hook]):
        pass
    logger.warning("%s is gone", EVIL)
    assert not CONTROLS.search(caplog.text) and r"\x1b[31m" in caplog.text


def test_the_version_of_a_graph(tmp_path):
    meta = tf1.MetaGraphDef()
    meta.meta_info_def.tensorflow_version = EVIL
    meta.graph_def.node.add(name="x", op="NoSuchOp")
    (tmp_path / "m.meta").write_bytes(meta.SerializeToString())
    from estimator_warmstart.graph.meta_graph import import_graph

    with pytest.raises(WarmStartError, match=r"was written by TensorFlow w\\x1b") as raised:
        import_graph(tmp_path / "m.meta")
    assert not CONTROLS.search(str(raised.value))
