"""What the READMEs say: their blocks run and print the report, each claim has a test or a benchmark, both languages agree."""

import logging
import pathlib
import re
import xml.etree.ElementTree

import numpy as np
import pytest
import tensorflow as tf

import estimator_warmstart
from conftest import needs_estimator, save_checkpoint
from estimator_warmstart.optimizers import meanings_of
from estimator_warmstart.slots import find_slots

tf1 = tf.compat.v1
ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
READMES = ("README.md", "README.zh-CN.md")
LARGEST_PICTURE = 150_000

PROMISES = [
    (
        "A trained model is never touched",
        [
            "test_a_second_train_keeps_what_was_trained",
            "test_a_recovered_session_keeps_what_was_trained",
            "test_a_whole_job",
            "test_at_step_0_what_is_on_disk_stays",
            "test_every_train_recovers_and_leaves_what_is_on_disk",
        ],
    ),
    ("Nobody sees a cold value", ["test_a_whole_job", "test_an_init_op_that_passes_the_initializers_by"]),
    (
        "Checked first",
        [
            "test_all_problems_in_one_message",
            "test_nothing_is_touched",
            "test_bad_ckp_dir",  # A truncated index or data file among them.
            "test_too_little_stops_the_hook_before_anything_is_touched",
        ],
    ),
    (
        "Optimizer slots come along",
        [
            "test_follow_their_variable",
            "test_travel_with_the_moments",
            "test_the_count_of_steps_goes_with_the_moments",
            "test_the_next_steps_are_the_old_optimizers",
            "test_new_rows_take_the_slots_own_initial_value",
        ],
    ),
    (
        "All kinds of variables",
        [
            "test_partitions",
            "test_mirrored_variables",
            "test_nothing_moves_and_little_is_added",
            "test_values_are_read_on_the_host_of_the_variables_device",
        ],
    ),
]

CLAIMS = {
    # What else the English README says, and the tests that show it.
    "Wrap your Estimator, canned or not": ["test_the_collision_case", "TestCanned"],
    "It also reads MovieLens and Criteo data": ["test_a_whole_run_on_ratings", "test_a_whole_run_on_a_criteo_file"],
    "once more with another vocabulary": ["test_a_whole_run_with_a_changed_vocabulary"],
    "a directory, one checkpoint or a SavedModel": [
        "test_found_by_directory_prefix_and_what_tensorflow_calls_it",
        "TestSavedModel",
    ],
    "name-based, object-based or in the V1 format": ["test_names_shapes_and_dtypes", "TestNamesAndPaths", "TestRecovery"],
    "whose MNIST model is in the tests": ["test_all_layers_score_what_the_old_weights_score"],
    "The tests compare with their results": ["test_the_forms_of_an_assignment_map", "TestTheSame"],
}


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(file, language):
    return re.findall(rf"```{language}\n(.*?)```", text_of(file), re.DOTALL)


def without_comments(block):
    """A block's code; two languages may comment it in their own words."""
    return "\n".join(re.sub(r"\s*#.*", "", line) for line in block.splitlines())


def pictures_of(file):
    """{path: alternative text}, in one line each."""
    return {path: " ".join(alt.split()) for alt, path in re.findall(r"!\[(.*?)\]\((.*?)\)", text_of(file), re.DOTALL)}


def names_of_tests():
    """All functions and classes of the tests, and the names of their files."""
    sources = list((ROOT / "tests").rglob("test_*.py"))
    names = {path.stem for path in sources}
    for path in sources:
        names.update(re.findall(r"^ *(?:def|class) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return names


@pytest.fixture(params=READMES)
def readme(request):
    return request.param


@pytest.fixture
def models(tmp_path):
    """What stands for /models: `old`, a checkpoint directory."""
    (tmp_path / "old").mkdir()
    save_checkpoint(
        tmp_path / "old",
        {
            "fm/w": np.full([20000, 1], 2, np.float32),
            "fm/v": np.full([20000, 16], 3, np.float32),
            "fm/w/Adagrad": np.full([20000, 1], 4, np.float32),
            "fm/v/Adagrad": np.full([20000, 16], 5, np.float32),
            "global_step": np.int64(4200000),
        },
        step=4200000,
    )
    return tmp_path


def my_model(features, labels, mode, params):
    variables = [
        tf1.get_variable(name, shape, initializer=tf1.zeros_initializer())
        for name, shape in (("ranker/fm/w", [20000, 1]), ("ranker/fm/v", [20000, 16]), ("tower/kernel", [16, 64]))
    ]
    # With what is read from the input, which ends the training.
    loss = tf.reduce_sum(features["x"]) + tf.add_n([tf.reduce_sum(variable) for variable in variables])
    train_op = tf1.train.AdagradOptimizer(0.1).minimize(loss, tf1.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


def input_fn():
    return tf.data.Dataset.from_tensors(({"x": [0.0]}, [0.0]))


@pytest.fixture
def logged():
    """Everything that the package logs, as lines."""
    lines = []

    class Handler(logging.Handler):
        def emit(self, record):
            lines.extend(record.getMessage().splitlines())

    logger, handler = logging.getLogger("tensorflow.estimator_warmstart"), Handler()
    level = logger.level
    # Not by the attribute: loggers keep what they once answered, until a level is set.
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


@needs_estimator
def test_every_block_warm_starts_and_logs_the_report(readme, models, logged):
    report = report_in(readme)
    ran = blocks(readme, "python")
    assert ran
    for number, block in enumerate(ran):
        del logged[:]
        model_dir = str(models / f"new_{number}")
        names = {"my_model": my_model, "input_fn": input_fn, "estimator": tf.estimator.Estimator(my_model, model_dir)}
        exec(block.replace("/models/", f"{models}/"), names)
        if "model_fn" in names:
            tf.estimator.Estimator(names["model_fn"], model_dir, params={}).train(input_fn)
        for name, value in (("fm/w", 2), ("fm/v", 3), ("fm/w/Adagrad", 4), ("fm/v/Adagrad", 5)):
            assert (tf.train.load_variable(model_dir + "/model.ckpt-0", "ranker/" + name) == value).all()
        assert report.splitlines() == [
            line.replace(f"{models}/", "/models/") for line in logged[logged.index(next(filter(_is_title, logged))) :]
        ]


def report_in(file):
    return next(filter(_is_title, blocks(file, "text")))


def _is_title(line):
    return line.startswith("Warm start from ")


class TestClaims:
    def test_each_promise_names_tests_that_are_there(self, readme):
        bullets = re.findall(r"^\* \*\*(.*?)\*\*", text_of(readme), re.MULTILINE)
        if readme == READMES[0]:
            assert {bullet.rstrip(".") for bullet in bullets} == {promise for promise, _ in PROMISES}
        assert bullets
        assert {name for _, tests in PROMISES for name in tests} - names_of_tests() == set()

    @pytest.mark.parametrize("claim", list(CLAIMS))
    def test_each_other_claim_has_tests(self, claim):
        assert claim in " ".join(text_of("README.md").split())
        assert set(CLAIMS[claim]) - names_of_tests() == set()

    def test_the_plain_hook(self, readme):
        """docs/plain_hook.md has the program; the test of its page runs it."""
        (printed,) = re.findall(r"```text\n(.*?)```", text_of("docs/plain_hook.md"), re.DOTALL)
        table = [row for row in text_of(readme).splitlines() if re.match(r"\|.*\| 7 \|", row)]
        assert [re.findall(r"\d+", row) for row in table] == [re.findall(r"\d+", row) for row in printed.splitlines()[1:]]

    def test_measured_figures_are_rows_of_docs_performance(self, readme):
        measured = text_of("docs/performance.md")
        rows = re.findall(r"^\|.*\| (\d+\.\d+) \|.*\| (\d+\.\d+) \| (\d+\.\d+) \|$", text_of(readme), re.MULTILINE)
        assert rows
        for ours, others, ratio in rows:
            assert f" | {ours} | {ratio} | " in measured
            assert f" | {others} | 1.00 | " in measured

    def test_pictures_are_small_and_say_what_they_show(self, readme):
        pictures = pictures_of(readme)
        assert set(pictures) == {"docs/images/curves.png", "docs/images/report.svg"}
        assert all((ROOT / path).stat().st_size < LARGEST_PICTURE for path in pictures)

        texts = [
            "".join(line.itertext())
            for line in xml.etree.ElementTree.parse(str(ROOT / "docs/images/report.svg")).iter()
            if line.tag.endswith("}text")
        ]
        (total,) = (line for line in texts if line.startswith("Recovered: "))
        assert re.search(r"[\d.]+ %", pictures["docs/images/report.svg"]).group() in total
        # Drawn from a report of this version.
        (today,) = (line for line in report_in(readme).splitlines() if line.startswith("Recovered: "))
        assert re.sub(r"[\d.,]+", "#", total) == re.sub(r"[\d.,]+", "#", today)

        said = text_of("examples/estimator_fm/README.md")
        warm, cold, steps = re.search(r"starts at AUC ([\d.]+), the cold one at ([\d.]+)\..*? needs (\d+) steps", said).groups()
        figures = {f"{float(warm):.2f}", f"{float(cold):.2f}", steps}
        assert set(re.findall(r"[\d.]*\d", pictures["docs/images/curves.png"])) == figures


def test_every_promise_on_reliability_names_a_test_that_is_there():
    named = set(re.findall(r"\b(test_\w+|Test\w+)\b", text_of("docs/reliability.md")))
    assert named
    assert named - names_of_tests() == set()


class TestBothLanguages:
    """The Chinese README is not a translation sentence by sentence; what can be checked is the same in both."""

    def test_have_the_same_code(self):
        for language in ("python", "text", "sh"):
            english, chinese = ([without_comments(block) for block in blocks(file, language)] for file in READMES)
            assert english == chinese

    def test_have_the_same_sections_links_and_pictures(self):
        for pattern in (r"^(#+) ", r"^\* (\*\*)", r"\]\((?!README)([^)]*)\)"):
            english, chinese = (re.findall(pattern, text_of(file), re.MULTILINE) for file in READMES)
            assert sorted(english) == sorted(chinese)

    def test_have_tables_of_the_same_figures(self):
        english, chinese = (
            [
                re.findall(r"(?<![\w-])[\d.,]*\d(?![\w-])", "".join(re.findall(r"\| ([^|`]*?) (?=\|)", row)))
                for row in text_of(file).splitlines()
                if row.startswith("|")
            ]
            for file in READMES
        )
        assert len(english) == len(chinese)
        for ours, theirs in zip(english, chinese):
            # "4.8 million" and "480 万" are the same.
            assert [figure for figure in ours if figure != "4.8"] == [figure for figure in theirs if figure != "480"]

    def test_chinese_lines_break_where_a_blank_may_stand(self):
        """Markdown makes a blank of a line's end. Within a Chinese sentence, it may only stand next to Latin letters."""
        prose = re.sub(r"```.*?```", "", text_of(READMES[1]), flags=re.DOTALL)
        assert re.findall(r"[\u3400-\u9fff\uff0c\u3001]\n *(?=[\u3400-\u9fff])", prose) == []


def written():
    """All that the user reads, but for the API's reference, which is made from docstrings."""
    pages = [path.read_text(encoding="utf-8") for path in DOCS.glob("*.md") if path.name != "api.md"]
    return "\n".join([text_of("README.md"), *pages])


def test_every_public_name_is_written_about():
    public = set(estimator_warmstart.__all__) - {"adapters"}
    assert {name for name in public if not re.search(rf"\b{name}\b", written())} == set()


def test_every_adapter_is_written_about():
    assert [name for name in estimator_warmstart.adapters.__all__ if f"adapters.{name}(" not in written()] == []


class TestOptimizers:
    @pytest.mark.parametrize(
        "row",
        [
            [re.findall(r"`([\w/]+)`", cell) for cell in line.split("|")[2:5]]
            for line in text_of("docs/optimizers.md").splitlines()
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
