"""Several old models for one new one: each new variable takes its value from the first that has it, by every way in."""

import os

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart import (
    ShapeAdaptingRecoverHook,
    VariableRecoverHook,
    WarmStartError,
    adapters,
    format_report,
    plan_recovery,
)
from shared_models import adagrad, save_objects, variable, zeros

tf1 = tf.compat.v1


@pytest.fixture
def first(tmp_path):
    """The model that is named first: a, b."""
    return save(tmp_path / "first", {"a": np.float32([1, 1]), "b": np.float32([2, 2])})


@pytest.fixture
def second(tmp_path):
    """The model that is named second: b, c."""
    return save(tmp_path / "second", {"b": np.float32([-3, -3]), "c": np.float32([-4, -4])})


def save(folder, values, **options):
    folder.mkdir()
    return save_checkpoint(folder, values, **options)


def new_model(*names, shape=(2,)):
    return [zeros(name, shape) for name in names]


def recovered_by(hook, *names, shape=(2,)):
    """{name: value} of new variables that `hook` recovers in a session."""
    with tf.Graph().as_default():
        variables = dict(zip(names, new_model(*names, shape=shape)))
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            return {name: value.tolist() for name, value in session.run(variables).items()}


def origins(plan):
    """{new name: (the folder of its old model, the old name)} of all that takes an old value."""
    return {
        planned.new.name: (os.path.basename(os.path.dirname(planned.old.prefix)), planned.old.name)
        for planned in plan.recovered
    }


class TestTheFirstThatHasIt:
    def test_fills_a_variable(self, first, second):
        values = recovered_by(VariableRecoverHook([first, second]), "a", "b", "c")
        assert values == {"a": [1, 1], "b": [2, 2], "c": [-4, -4]}

    def test_the_order_decides(self, first, second):
        values = recovered_by(VariableRecoverHook((second, first)), "a", "b", "c")
        assert values == {"a": [1, 1], "b": [-3, -3], "c": [-4, -4]}

    def test_by_recover_vars(self, first, second, new_graph):
        new_model("x", "y", "z")
        plan = plan_recovery([first, second], {"a": "x", "b": "y", "c": "z"})
        assert origins(plan) == {"x": ("first", "a"), "y": ("first", "b"), "z": ("second", "c")}

    def test_one_old_variable_for_several(self, first, second, new_graph):
        new_model("x", "y")
        assert origins(plan_recovery([first, second], {"c": ["x", "y"]})) == {"x": ("second", "c"), "y": ("second", "c")}

    @pytest.mark.parametrize(
        "rules, expected",
        [
            ({"include": ["b", "c"]}, {"b": ("first", "b"), "c": ("second", "c")}),
            ({"exclude": "b"}, {"a": ("first", "a"), "c": ("second", "c")}),
            ({"rename": {"c": "d"}}, {"a": ("first", "a"), "b": ("first", "b"), "d": ("second", "c")}),
            ({"rename": {"a": "d", "c": "d"}}, {"b": ("first", "b"), "d": ("first", "a")}),
            ({"collection": "trainable_variables"}, {name: ("first", name) for name in "ab"}),
        ],
        ids=["include", "exclude", "rename", "rename of two to one", "collection"],
    )
    def test_by_rules(self, first, second, new_graph, rules, expected):
        new_model("a", "b")
        tf1.get_variable("c", [2], trainable=False), tf1.get_variable("d", [2], trainable=False)
        assert origins(plan_recovery([first, second], **rules)) == expected

    def test_adapters(self, first, second, new_graph):
        new_model("b", "c", shape=(3,))
        plan = plan_recovery([first, second], adapters={"c": adapters.crop_or_pad(fill=7)})
        assert origins(plan) == {"b": ("first", "b"), "c": ("second", "c")}
        hook = ShapeAdaptingRecoverHook([first, second], adapters={"c": adapters.crop_or_pad(fill=7)})
        assert recovered_by(hook, "b", "c", shape=(3,)) == {"b": [2, 2, 0], "c": [-4, -4, 7]}

    def test_another_shape_in_the_first_is_an_error_not_the_second(self, tmp_path, second, new_graph):
        longer = save(tmp_path / "longer", {"b": np.float32([1, 2, 3])})
        new_model("b", "c")
        with pytest.raises(WarmStartError, match=r"the old 'b' \[3\].*longer.model\.ckpt\)"):
            plan_recovery([longer, second])

    def test_a_dtype_of_its_own_each(self, tmp_path, first, new_graph):
        doubles = save(tmp_path / "doubles", {"d": np.float64([0.5])})
        new_model("a"), zeros("d", (1,), tf.float64)
        hook = VariableRecoverHook([first, doubles])
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            assert [value.tolist() for value in session.run(tf1.global_variables()[:2])] == [[1, 1], [0.5]]

    def test_object_based_and_name_based_with_paths_and_names(self, tmp_path, first, new_graph):
        objects = save_objects(tmp_path, lambda: tf.train.Checkpoint(net=variable("w", [5.0, 5.0])))
        new_model("a", "x")
        assert origins(plan_recovery([first, objects], {"a": "a", "net": "x"}))["x"][1] == "w"
        hook = VariableRecoverHook([first, objects], {"a": "a", "net": "x"})
        assert recovered_by(hook, "a", "x") == {"a": [1, 1], "x": [5, 5]}

    def test_partitions_on_both_sides(self, tmp_path, first):
        stored = save(tmp_path / "parts", {"t": np.arange(8.0).reshape(4, 2).astype(np.float32)}, partitions={"t": 2})
        with tf.Graph().as_default():
            t = zeros("t", (4, 2), partitioner=tf1.fixed_size_partitioner(3))
            (a,) = new_model("a")
            with tf1.train.MonitoredSession(hooks=[VariableRecoverHook([first, stored])]) as session:
                assert np.concatenate(session.run(list(t))).tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
                assert session.run(a).tolist() == [1, 1]

    def test_many_small_pieces_from_several_at_once(self, tmp_path):
        """Variables taken as they are, adapted ones and slices, all of them from both models, do not mix the models up."""
        prefixes = [
            save(
                tmp_path / f"model{model}",
                {f"v{model}_{number}": np.float32([model, number]) for number in range(4)},
                partitions={f"v{model}_0": 2},
            )
            for model in range(3)
        ]
        names = [f"v{model}_{number}" for model in range(3) for number in range(4)]
        rules = {f"v{model}_1": adapters.take(np.s_[::-1]) for model in range(3)}
        values = recovered_by(ShapeAdaptingRecoverHook(prefixes, adapters=rules), *names)
        expected = {f"v{model}_{number}": [model, number] for model in range(3) for number in range(4)}
        expected.update({f"v{model}_1": [1, model] for model in range(3)})
        assert values == expected


class TestRenames:
    @pytest.fixture
    def towers(self, tmp_path):
        """Two models of the same names."""
        left = save(tmp_path / "left", {"fm/w": np.float32([1, 1]), "bias": np.float32([9, 9])})
        return [left, save(tmp_path / "right", {"fm/w": np.float32([2, 2])})]

    @pytest.mark.parametrize(
        "rename",
        [
            [{"fm": "left"}, {"fm": "right"}],
            [[("fm", "left")], [("fm", "right")]],
            ({"fm": "left"}, [("fm", "right")]),
        ],
        ids=["dicts", "lists of pairs", "one of each"],
    )
    def test_one_for_each_model(self, towers, rename):
        values = recovered_by(VariableRecoverHook(towers, rename=rename), "left/w", "right/w", "bias")
        assert values == {"left/w": [1, 1], "right/w": [2, 2], "bias": [9, 9]}

    @pytest.mark.parametrize("nothing", [None, {}, []], ids=["None", "empty dict", "empty list"])
    def test_a_model_without_renames(self, towers, new_graph, nothing):
        new_model("fm/w", "right/w")
        plan = plan_recovery(towers, rename=[nothing, {"fm": "right"}])
        assert origins(plan) == {"fm/w": ("left", "fm/w"), "right/w": ("right", "fm/w")}

    def test_a_list_of_pairs_is_for_all(self, towers, new_graph):
        new_model("x/w", "bias")
        plan = (
            plan_recovery(towers, rename=[("fm", "x"), ("nothing_else", "y")], missing="keep", exclude="y") if False else None
        )
        plan = plan_recovery(towers, rename=[("fm", "x")])
        assert origins(plan) == {"x/w": ("left", "fm/w"), "bias": ("left", "bias")}

    def test_a_list_for_one_model(self, towers, new_graph):
        new_model("left/w")
        assert origins(plan_recovery(towers[0], rename=[{"fm": "left"}])) == {"left/w": ("left", "fm/w")}

    def test_what_fits_in_one_of_the_models_is_fine(self, first, second, new_graph):
        new_model("a", "d")
        plan = plan_recovery([first, second], rename={"c": "d"})
        assert origins(plan) == {"a": ("first", "a"), "d": ("second", "c")}

    def test_what_fits_in_none_is_a_problem(self, first, second, new_graph):
        new_model("a", "c")
        with pytest.raises(WarmStartError) as caught:
            plan_recovery([first, second], rename={"bb": "d", "b": "e"})
        unknown, no_target = caught.value.problems
        assert "rename 'bb' fits no old variable" in unknown
        assert "rename 'b' -> 'e' turns 'b' into 'e', but the new graph has no such variable" in no_target

    def test_what_fits_differently_is_said_for_each(self, first, second, new_graph):
        new_model("a", "b")
        with pytest.raises(WarmStartError) as caught:
            plan_recovery([first, second], rename={"c": "d"})
        assert f"{first}: rename 'c' fits no old variable" in str(caught.value)
        assert f"{second}: rename 'c' -> 'd' turns 'c' into 'd', but the new graph" in str(caught.value)

    def test_one_of_its_own_must_fit_in_its_model(self, first, second, new_graph):
        new_model("a", "b", "c")
        with pytest.raises(WarmStartError) as caught:
            plan_recovery([first, second], rename=[{"c": "d"}, {}])
        assert f"{first}: rename 'c' fits no old variable" in str(caught.value)

    def test_two_old_ones_within_one_model_are_still_a_problem(self, first, second, new_graph):
        new_model("x")
        with pytest.raises(WarmStartError, match="rename gives the new 'x' two old ones: 'b' and 'c'"):
            plan_recovery([second, first], rename={"b": "x", "c": "x"})
        # The first model fills it: what the second would give is not asked.
        assert origins(plan_recovery([first, second], rename={"b": "x", "c": "x"})) == {"x": ("first", "b")}

    @pytest.mark.parametrize(
        "rename, told",
        [
            ([{"a": "x"}], ["rename is a list of 1, one for each old model, but ckp_dir names 2"]),
            ([{}, {}, {}], ["rename is a list of 3, one for each old model, but ckp_dir names 2"]),
            ([{"(": "x"}, {"a": 1}], [r"rename[0]: the pattern '('", "rename[1] must be made of pairs"]),
            ([{"(": "x"}, {}, {}], ["rename is a list of 3", "rename[0]: the pattern '('"]),
        ],
        ids=["too few", "too many", "both are not valid", "too many, one is not valid"],
    )
    def test_bad_lists_are_refused_at_once(self, rename, told):
        with pytest.raises(WarmStartError) as caught:
            VariableRecoverHook(["anywhere", "elsewhere"], rename=rename)
        assert len(caught.value.problems) == len(told)
        assert all(text in problem for text, problem in zip(told, caught.value.problems))


class TestMissing:
    def test_a_name_that_no_model_has(self, first, second, new_graph):
        new_model("x", "y")
        with pytest.raises(WarmStartError, match=r"no old model has 'cc' \(did you mean 'c'\?\); missing='keep' leaves"):
            plan_recovery([first, second], {"cc": "x", "a": "y"})
        plan = plan_recovery([first, second], {"cc": "x", "a": "y"}, missing="keep")
        assert [planned.reason for planned in plan.variables] == ["no old model has 'cc' (missing='keep')", ""]

    def test_a_variable_that_is_chosen(self, first, second, new_graph):
        new_model("a", "d")
        with pytest.raises(WarmStartError, match=r"the new .d. .2. is chosen, but no old model has anything of that name"):
            plan_recovery([first, second], include=["a", "d"])

    def test_a_pattern_that_fits_new_variables_only(self, first, second, new_graph):
        new_model("a", "d")
        plan = plan_recovery([first, second], include=["a", "d"], missing="keep")
        assert origins(plan) == {"a": ("first", "a")}

    def test_nothing_in_common(self, first, second, new_graph):
        new_model("x")
        with pytest.raises(WarmStartError, match=r"no new variable has a name that an old model has.*a, b, c; .*ones x"):
            plan_recovery([first, second])

    def test_one_in_common_is_enough(self, first, second, new_graph):
        new_model("c", "x")
        plan = plan_recovery([first, second])
        assert [planned.reason for planned in plan.variables] == ["", "no old model has a variable of this name"]

    def test_coverage_counts_all_together(self, first, second, new_graph):
        new_model("a", "b", "c", "x")
        assert plan_recovery([first, second]).coverage == 0.75
        plan_recovery([first, second], min_coverage=0.75)
        with pytest.raises(WarmStartError) as caught:
            plan_recovery([first, second], min_coverage=0.8)
        assert f"3 of 4 new variables recovered from {first} and {second}, coverage 75.0 %" in str(caught.value)

    def test_a_name_of_several_in_the_first_is_not_looked_for_in_the_second(self, tmp_path, second, new_graph):
        def slots():
            return {f"{scope}/b/{slot}": np.float32([0, 0]) for scope in ("Adam", "Adam_2") for slot in ("m", "v")}

        twice = save(tmp_path / "twice", {"b": np.float32([1, 1]), **slots()})
        with_slot = save(tmp_path / "with_slot", {"b": np.float32([1, 1]), "b/m": np.float32([0, 0])})
        new_model("x")
        with pytest.raises(WarmStartError) as caught:
            plan_recovery([twice, with_slot], {"b/m": "x"})
        assert f"{twice}: 2 slots of the checkpoint are called 'b/m'; give the name of one" in str(caught.value)


class TestSlots:
    @pytest.fixture
    def adagrads(self, tmp_path):
        """Both models have w and its accumulator; only the second has v."""
        left = save(tmp_path / "left", {"w": np.float32([1]), "w/Adagrad": np.float32([10])})
        right = {"w": np.float32([2]), "w/Adagrad": np.float32([20]), "v": np.float32([3]), "v/Adagrad": np.float32([30])}
        return [left, save(tmp_path / "right", right)]

    def test_come_from_the_model_of_their_variable(self, adagrads, new_graph):
        w, v = new_model("w", "v", shape=(1,))
        adagrad(w, v)
        plan = plan_recovery(adagrads, with_slots=True)
        assert origins(plan) == {
            "w": ("left", "w"),
            "v": ("right", "v"),
            "w/Adagrad": ("left", "w/Adagrad"),
            "v/Adagrad": ("right", "v/Adagrad"),
        }
        hook = VariableRecoverHook(adagrads, with_slots=True)
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            values = {each.op.name: session.run(each).tolist() for each in tf1.global_variables()}
        assert values == {"w": [1], "v": [3], "w/Adagrad": [10], "v/Adagrad": [30]}

    def test_not_from_another_that_has_them(self, tmp_path, adagrads, new_graph):
        bare = save(tmp_path / "bare", {"w": np.float32([5])})
        w, v = new_model("w", "v", shape=(1,))
        adagrad(w, v)
        plan = plan_recovery([bare, adagrads[1]], with_slots=True)
        (slot,) = [planned for planned in plan.variables if planned.new.name == "w/Adagrad"]
        assert slot.old is None and slot.reason == f"the checkpoint has no slot 'Adagrad' of 'w' ({bare}, as its variable)"

    def test_that_are_named(self, adagrads, tmp_path, new_graph):
        bare = save(tmp_path / "bare", {"w": np.float32([5])})
        (w,) = new_model("w", shape=(1,))
        adagrad(w)
        named = {"w/Adagrad": "w/Adagrad", "w": "w"}
        assert set(origins(plan_recovery(adagrads, named)).values()) == {("left", "w"), ("left", "w/Adagrad")}
        with pytest.raises(WarmStartError) as caught:
            plan_recovery([bare, adagrads[1]], named)
        assert f"{bare} has no 'w/Adagrad', and the variable that the new 'w/Adagrad' is a slot of takes its value" in str(
            caught.value
        )

    def test_a_name_and_another_spelling(self, adagrads, new_graph):
        (x,) = new_model("x", shape=(1,))
        adagrad(x)
        plan = plan_recovery(list(reversed(adagrads)), {"w": "x", "w/Adagrad": "x/Adagrad"})
        assert origins(plan) == {"x": ("right", "w"), "x/Adagrad": ("right", "w/Adagrad")}


def adam_model(folder, sizes, powers, step=None):
    """An old model of TensorFlow 1's Adam with variables of these sizes, full of their place in the alphabet."""
    values = {}
    for name, size in sizes.items():
        values.update({name: np.full([size], ord(name), np.float32)})
        values.update({f"{name}/Adam": np.full([size], 1, np.float32), f"{name}/Adam_1": np.full([size], 2, np.float32)})
    values.update({f"beta{number}_power": np.float32(power) for number, power in enumerate(powers, 1)})
    values.update({} if step is None else {"global_step": np.int64(step)})
    return save(folder, values)


def train_adam(*names, size=4):
    variables = new_model(*names, shape=(size,))
    tf1.train.AdamOptimizer().minimize(tf.add_n([tf.reduce_sum(each) for each in variables]))
    return variables


class TestBiasCorrection:
    def test_powers_are_of_the_model_that_most_bytes_come_from(self, tmp_path, new_graph):
        small = adam_model(tmp_path / "small", {"a": 4}, (0.5, 0.6))
        large = adam_model(tmp_path / "large", {"b": 4, "c": 4}, (0.7, 0.8))
        train_adam("a", "b", "c")
        plan = plan_recovery([small, large], with_slots=True)
        assert origins(plan)["beta1_power"] == ("large", "beta1_power")
        (note,) = plan.notes
        assert note == (
            f"'beta1_power' and 'beta2_power' tell the steps of {large}; what comes from {small} goes on as if trained for as "
            "many: 'a/Adam', 'a/Adam_1'"
        )
        with tf1.train.MonitoredSession(hooks=[VariableRecoverHook([small, large], with_slots=True)]) as session:
            powers = [each for each in tf1.global_variables() if "power" in each.op.name]
            assert np.allclose(session.run(powers), [0.7, 0.8])

    def test_the_first_of_two_of_the_same_size(self, tmp_path, new_graph):
        models = [adam_model(tmp_path / name, {name: 4}, (power, power)) for name, power in (("a", 0.5), ("b", 0.7))]
        train_adam("a", "b")
        assert origins(plan_recovery(models, with_slots=True))["beta1_power"] == ("a", "beta1_power")
        assert origins(plan_recovery(models[::-1], with_slots=True))["beta1_power"] == ("b", "beta1_power")

    def test_there_is_no_note_where_all_moments_are_of_one(self, tmp_path, new_graph):
        models = [adam_model(tmp_path / name, {"a": 4, name: 4}, (power, power)) for name, power in (("b", 0.5), ("c", 0.7))]
        train_adam("a", "b")
        plan = plan_recovery(models, with_slots=True)
        assert plan.notes == () and plan.warnings == (f"no new variable takes a value from {models[1]}",)

    def test_moments_without_powers_in_their_own_model_begin_fresh(self, tmp_path, new_graph):
        bare = {"a": np.float32([1] * 4), "a/Adam": np.float32([1] * 4), "a/Adam_1": np.float32([1] * 4)}
        bare.update({"c": np.float32([1] * 4), "c/Adam": np.float32([1] * 4), "c/Adam_1": np.float32([1] * 4)})
        bare, whole = save(tmp_path / "bare", bare), adam_model(tmp_path / "whole", {"b": 4}, (0.5, 0.6))
        train_adam("a", "b", "c")
        plan = plan_recovery([bare, whole], with_slots=True)
        assert {name for name in origins(plan) if "Adam" in name} == {"b/Adam", "b/Adam_1"}
        assert origins(plan)["beta1_power"] == ("whole", "beta1_power")
        assert "are recovered with 2 of 6 moments" in plan.notes[0] and len(plan.notes) == 1

    def test_powers_that_are_named_are_of_that_model_too(self, tmp_path, new_graph):
        small = adam_model(tmp_path / "small", {"a": 4}, (0.5, 0.6))
        large = adam_model(tmp_path / "large", {"b": 4, "c": 4}, (0.7, 0.8))
        train_adam("a", "b", "c")
        named = {name: name for name in ("a", "b", "c", "beta1_power", "beta2_power")}
        assert origins(plan_recovery([small, large], named, with_slots=True))["beta2_power"] == ("large", "beta2_power")

    def test_the_scalar_of_a_scale_is_of_the_same_model(self, tmp_path, new_graph):
        """Keras's momentum sums steps, TensorFlow 1's gradients: each model has its own learning rate between them."""
        models = []
        for name, rate in (("a", 0.5), ("b", 0.25)):
            values = {name: np.float32([1]), f"SGD/{name}/momentum": np.float32([-1]), "SGD/learning_rate": np.float32(rate)}
            models.append(save(tmp_path / name, values))
        a, b = new_model("a", "b", shape=(1,))
        tf1.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_sum(a) + tf.reduce_sum(b))
        plan = plan_recovery(models, with_slots=True)
        assert origins(plan)["a/Momentum"] == ("a", "SGD/a/momentum"), format_report(plan)
        with tf1.train.MonitoredSession(hooks=[VariableRecoverHook(models, with_slots=True)]) as session:
            values = {each.op.name: session.run(each).tolist() for each in tf1.global_variables()}
        assert (values["a/Momentum"], values["b/Momentum"]) == ([2], [4])
