"""Names in a column that is too narrow: what tells them apart stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator_warmstart.short_names import shorten_names

CANNED = [
    "linear/linear_model/age_bucketized/weights",
    "linear/linear_model/age_bucketized_X_education_X_occupation/weights",
    "linear/linear_model/education/weights",
    "linear/linear_model/education_X_occupation/weights",
    "linear/linear_model/native_country_X_occupation/weights",
    "linear/linear_model/bias_weights",
    "dnn/input_from_feature_columns/input_layer/education_embedding/embedding_weights",
    "dnn/input_from_feature_columns/input_layer/native_country_embedding/embedding_weights",
    "dnn/hiddenlayer_0/kernel",
    "dnn/hiddenlayer_0/bias",
    "dnn/hiddenlayer_1/kernel",
    "dnn/logits/kernel",
    "global_step",
]


class TestShortNames:
    def test_of_a_canned_model(self):
        assert shorten_names(CANNED, 40) == [
            "...linear_model/age_bucketized/weights",
            "...ized_X_education_X_occupation/weights",
            "linear/linear_model/education/weights",
            "linear/...education_X_occupation/weights",
            "...native_country_X_occupation/weights",
            "linear/linear_model/bias_weights",
            "...education_embedding/embedding_weights",
            "...e_country_embedding/embedding_weights",
            "dnn/hiddenlayer_0/kernel",
            "dnn/hiddenlayer_0/bias",
            "dnn/hiddenlayer_1/kernel",
            "dnn/logits/kernel",
            "global_step",
        ]

    @pytest.mark.parametrize("length", range(14, 90))
    def test_stay_different_at_any_width(self, length):
        short = shorten_names(CANNED, length)
        assert len({*short}) == len(CANNED) and max(map(len, short)) <= length

    @pytest.mark.parametrize(
        "names, length, short",
        [
            (["aaa/common/kernel", "bbb/common/kernel"], 14, ["aaa/...kernel", "bbb/...kernel"]),
            (["common/aaa/kernel", "common/bbb/kernel"], 14, ["...aaa/kernel", "...bbb/kernel"]),
            (["common/scope/one_kernel", "common/scope/two_kernel"], 14, ["...one_kernel", "...two_kernel"]),
            (["x/layer{0..47}/attention/kernel", "x/layer{0..47}/mlp/kernel"], 20, ["...attention/kernel", "x/...mlp/kernel"]),
            (["a" * 30, "a" * 29 + "b"], 10, ["...aaaaaaa", "...aaaaaab"]),
            (["b" + "a" * 30, "c" + "a" * 30], 12, ["b...aaaaaaaa", "c...aaaaaaaa"]),
            (["w", "a_long_name/of/a/variable", "w"], 12, ["w", "...variable", "w"]),
        ],
        ids=["first scope", "middle scope", "last part", "folded", "last character", "first character", "short ones stay"],
    )
    def test_what_differs_stays(self, names, length, short):
        assert shorten_names(names, length) == short

    def test_of_nothing(self):
        assert shorten_names([], 20) == []

    @pytest.mark.parametrize("length", [4, 5, 6, 7])
    def test_that_cannot_stay_different_still_fit(self, length):
        assert max(map(len, shorten_names([f"scope/of/variable_{number}" for number in range(10**3)], length))) <= length


SCOPES = st.sampled_from(["encoder", "decoder", "layer_0", "layer_1", "self_attention", "mlp", "input_embedding", "x", "a_1"])
NAMES = st.lists(st.lists(SCOPES, min_size=1, max_size=5).map("/".join), unique=True, max_size=30)


@given(NAMES, st.integers(24, 60))
def test_different_names_stay_different(names, length):
    short = shorten_names(names, length)
    assert len({*short}) == len(names)
    assert all(len(text) <= length for text in short)
    assert all(text == name for name, text in zip(names, short) if len(name) <= length)
