"""One list of options for all ways in: one that is added to a hook must be added to the others, or it says here why not."""

import argparse
import inspect
import json
import pkgutil
import re

import pytest
import tensorflow as tf

import estimator_warmstart
from conftest import needs_estimator
from estimator_warmstart import (
    ShapeAdaptingRecoverHook,
    VariableRecoverHook,
    WarmStartError,
    convert_checkpoint,
    hooks_from_params,
    match_variables,
    plan_recovery,
    recover_into,
    recover_scaffold,
    recover_variables,
    warm_started,
)
from estimator_warmstart.api.params import HOOK_OPTIONS
from estimator_warmstart.cli.main import argument_parser
from estimator_warmstart.plan.request import make_request

# {option: its default}, in the order of the arguments.
OPTIONS = {
    "ckp_dir": inspect.Parameter.empty,
    "recover_vars": None,
    "adapters": None,
    "include": None,
    "exclude": None,
    "rename": None,
    "collection": None,
    "with_slots": False,
    "when": "fresh",
    "missing": "error",
    "min_coverage": None,
    "check_finite": False,
    "model_dir": None,
    "html": False,
    "max_wait_secs": 7200.0,
}
WAYS = {
    "VariableRecoverHook": VariableRecoverHook,
    "ShapeAdaptingRecoverHook": ShapeAdaptingRecoverHook,
    "recover_scaffold": recover_scaffold,
    "plan_recovery": plan_recovery,
    "match_variables": match_variables,
    "recover_into": recover_into,
}
# What a way does not take.
WITHOUT = {
    "VariableRecoverHook": {"adapters"},  # Shapes are the same.
    "recover_scaffold": {"when", "max_wait_secs"},  # It recovers when a model is initialized; TensorFlow waits for the chief.
    "plan_recovery": {"when", "check_finite", "model_dir", "html", "max_wait_secs"},  # It reads no values and runs nothing.
    # Eager variables are in no collection and no session.
    "recover_into": {"collection", "when", "model_dir", "html", "max_wait_secs"},
    "match_variables": {
        option for option in OPTIONS if option not in ("ckp_dir", "include", "exclude", "rename", "collection")
    },
}
# What it takes besides.
OWN = {
    "recover_scaffold": {"saver_format", "init_op", "init_fn", "local_init_op", "summary_op", "copy_from_scaffold"},
    "plan_recovery": {"graph"},
    "match_variables": {"graph"},
    "recover_into": {"model", "optimizer", "input_shape"},
}
# Slots follow their variables wherever shapes may differ. `None` means: if there are adapters.
DEFAULTS = {
    ("ShapeAdaptingRecoverHook", "with_slots"): True,
    ("recover_scaffold", "with_slots"): None,
    ("plan_recovery", "with_slots"): None,
}
ANNOTATIONS = {("recover_scaffold", "with_slots"): "Optional[bool]", ("plan_recovery", "with_slots"): "Optional[bool]"}
# Ways in that give `**options` on to a hook; they have these arguments by name.
PASSING_ON = {
    "recover_variables": (recover_variables, ["session", "ckp_dir", "recover_vars", "adapters"]),
    "warm_started": (warm_started, ["estimator", "ckp_dir", "recover_vars", "adapters"]),
}
# What each option refuses at once; the others are looked at when there is a graph.
WRONG = {
    "recover_vars": "w",
    "adapters": "crop_or_pad",
    "include": 1,
    "exclude": 1,
    "rename": 1,
    "with_slots": "no",
    "when": "?",
    "missing": "?",
    "min_coverage": 2,
    "check_finite": "no",
    "html": "no",
    "max_wait_secs": -1,
}
HOOK_SCHEMA = json.loads(pkgutil.get_data("estimator_warmstart", "params_schema.json").decode())["definitions"]["hook"]


def shared(way):
    """{option: its parameter} of what `way` takes of the shared options."""
    parameters = inspect.signature(WAYS[way]).parameters
    return {name: parameters[name] for name in parameters if name in OPTIONS}


def args_of(thing):
    """The names that the docstring of `thing` has under Args, and those that it leaves to another by one sentence."""
    text = inspect.cleandoc(thing.__doc__)
    told = set(re.findall(r"^  \*{0,2}(\w+):", text.partition("\nArgs:\n")[2].partition("\n\n")[0], re.MULTILINE))
    other = re.search(r"The other arguments are those of `(\w+)`\.", " ".join(text.split()))
    return told | (args_of(WAYS[other.group(1)]) if other else set())


def choices_by(refuse):
    """The words that an option takes, as the error says that `refuse` raises."""
    with pytest.raises(WarmStartError) as caught:
        refuse()
    return re.findall("'(.*?)'", str(caught.value).partition(", got ")[0])


def test_every_public_way_in_is_here():
    public = {name: getattr(estimator_warmstart, name) for name in estimator_warmstart.__all__}
    ways = {name for name, thing in public.items() if callable(thing) and "ckp_dir" in inspect.signature(thing).parameters}
    assert ways == {*WAYS, *PASSING_ON, "warm_start_settings"}  # The last one makes what TensorFlow's own settings can do.


@pytest.mark.parametrize("way", WAYS)
class TestWays:
    def test_takes_every_option(self, way):
        assert list(shared(way)) == [option for option in OPTIONS if option not in WITHOUT.get(way, ())]

    def test_takes_nothing_else(self, way):
        parameters = inspect.signature(WAYS[way]).parameters.values()
        named = {each.name for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD}
        assert named - set(OPTIONS) == OWN.get(way, set())

    def test_has_the_same_defaults(self, way):
        assert {option: each.default for option, each in shared(way).items()} == {
            option: DEFAULTS.get((way, option), OPTIONS[option]) for option in shared(way)
        }

    def test_has_the_same_annotations(self, way):
        hook = shared("ShapeAdaptingRecoverHook")
        assert {option: each.annotation for option, each in shared(way).items()} == {
            option: ANNOTATIONS.get((way, option), hook[option].annotation) for option in shared(way)
        }

    def test_takes_the_same_ones_by_keyword_only(self, way):
        if way != "match_variables":
            by_position = [option for option, each in shared(way).items() if each.kind is each.POSITIONAL_OR_KEYWORD]
            assert by_position == [name for name in ("ckp_dir", "recover_vars", "adapters") if name in shared(way)]

    def test_describes_them(self, way):
        assert set(shared(way)) - args_of(WAYS[way]) == set()


@pytest.mark.parametrize("way, arguments", PASSING_ON.values(), ids=list(PASSING_ON))
def test_a_way_in_that_passes_options_on(way, arguments):
    parameters = inspect.signature(way).parameters
    hook = shared("ShapeAdaptingRecoverHook")
    assert list(parameters) == [*arguments, "options"]
    assert {name: parameters[name].default for name in arguments[1:]} == {name: hook[name].default for name in arguments[1:]}
    assert [parameters[name].annotation for name in arguments[1:]] == [hook[name].annotation for name in arguments[1:]]
    assert set(arguments) - args_of(way) == set()


def refusals(estimator):
    """{way in: what calls it with one option}, of those that check what they are given."""
    return {
        "VariableRecoverHook": lambda **option: VariableRecoverHook("old", **option),
        "ShapeAdaptingRecoverHook": lambda **option: ShapeAdaptingRecoverHook("old", **option),
        "recover_scaffold": lambda **option: recover_scaffold("old", **option),
        "plan_recovery": lambda **option: plan_recovery("old", **option),
        "recover_variables": lambda **option: recover_variables(None, "old", **option),
        "warm_started": lambda **option: warm_started(estimator, "old", **option),
        "params": lambda **option: hooks_from_params({"warm_start": {"ckp_dir": "old", **option}}),
    }


@needs_estimator
@pytest.mark.parametrize("option", WRONG)
def test_each_way_in_hands_on_what_it_is_given(option, tmp_path):
    estimator = tf.estimator.Estimator(lambda features, mode: None, str(tmp_path / "new"))
    for way, call in refusals(estimator).items():
        if option not in WITHOUT.get(way, ()):
            with pytest.raises(WarmStartError, match=f"{option}[' ]"):
                call(**{option: WRONG[option]})


def test_the_request_takes_each_option_of_planning():
    assert list(inspect.signature(make_request).parameters) == [
        option for option in OPTIONS if option not in ("when", "max_wait_secs")
    ]


class TestParams:
    def test_have_every_option_in_order(self):
        assert list(HOOK_OPTIONS) == list(OPTIONS)
        assert list(HOOK_SCHEMA["properties"]) == list(OPTIONS)

    def test_only_what_has_no_default_is_required(self):
        assert HOOK_SCHEMA["required"] == [name for name, default in OPTIONS.items() if default is inspect.Parameter.empty]

    @pytest.mark.parametrize("option", ["when", "missing"])
    def test_the_schema_has_the_words_of_the_hook(self, option):
        assert HOOK_SCHEMA["properties"][option]["enum"] == choices_by(lambda: VariableRecoverHook("old", **{option: "?"}))

    @pytest.mark.parametrize("option", sorted(set(OPTIONS) - {"ckp_dir"}))
    def test_take_the_default_of_the_hook(self, option):
        hooks_from_params({"warm_start": {"ckp_dir": "old", option: OPTIONS[option]}})


def command_options(command):
    """{destination: action} of one command's arguments."""
    parsers = next(each for each in argument_parser()._actions if isinstance(each, argparse._SubParsersAction))
    return {action.dest: action for action in parsers.choices[command]._actions if action.dest != "help"}


class TestCommands:
    def test_convert(self):
        options = command_options("convert")
        parameters = inspect.signature(convert_checkpoint).parameters
        assert set(options) - set(parameters) == set()
        assert set(parameters) - set(options) == {
            "model",
            "optimizer",
            "adapters",
            "progress",
        }  # Objects, and it is shown on a terminal.
        for name in set(options) - {"source", "destination"}:
            assert options[name].default == parameters[name].default
        assert sorted(options["to"].choices) == choices_by(lambda: convert_checkpoint("old", "new/model.ckpt", to="?"))

    def test_plan(self):
        options = command_options("plan")
        assert options["key"].default == inspect.signature(hooks_from_params).parameters["key"].default
        for text in ("-0.1", "0", "0.5", "1", "1.1", "nan", "inf", "half"):
            accepted = []
            for take in (
                lambda text=text: VariableRecoverHook("old", min_coverage=float(text)),
                lambda text=text: options["require_coverage"].type(text),
            ):
                try:
                    take()
                    accepted.append(True)
                except (ValueError, argparse.ArgumentTypeError):
                    accepted.append(False)
            assert accepted[0] == accepted[1]
