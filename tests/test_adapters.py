"""Each adapter against values small enough to check by eye."""

import re

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from eager import eager_mode
from estimator_warmstart import ShapeAdaptingRecoverHook, WarmStartError, adapters, recover_into, recover_variables
from estimator_warmstart.restore import old_values
from shared_models import needed_by

tf1 = tf.compat.v1

OLD = [[1, 2], [3, 4], [5, 6]]
INITIAL = -1


class Recovered:
    """Recovers one old value, and a slot a hundred times as large, by an adapter."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, old, adapter, shape, dtype=np.float32, parts=None, slot=False, initializer=None):
        old = np.asarray(old, dtype)
        save_checkpoint(self.folder, {"v": old, "v/Slot": old * 100})
        with tf.Graph().as_default(), tf1.Session() as session:
            partitioner = tf1.fixed_size_partitioner(parts) if parts else None
            made = [
                tf1.get_variable(
                    name,
                    shape,
                    dtype=tf.as_dtype(dtype),
                    initializer=initializer or tf1.constant_initializer(value),
                    trainable=trainable,
                    partitioner=partitioner,
                )
                for name, value, trainable in (("v", INITIAL, True), ("v/Slot", INITIAL * 10, False))
            ]
            recover_variables(session, str(self.folder), None, {"v": adapter})
            value = session.run(tf.convert_to_tensor(made[1 if slot else 0]))
        assert value.dtype == dtype
        return value.tolist()


@pytest.fixture
def recovered(old_dir):
    return Recovered(old_dir)


def file_of(folder, content):
    path = folder / f"vocabulary{len(list(folder.iterdir()))}.txt"
    path.write_bytes(content)
    return str(path)


class TestCropOrPad:
    @pytest.mark.parametrize(
        "fill, row",
        [
            ("initial", [-1, -1]),
            ("zeros", [0, 0]),
            (7, [7, 7]),
            (-2.5, [-2.5, -2.5]),
            ("mean", [3, 4]),
            (np.float32(0.5), [0.5, 0.5]),
        ],
        ids=["initial", "zeros", "int", "float", "mean", "numpy"],
    )
    @pytest.mark.parametrize("parts", [None, 2, 5])
    def test_more_rows(self, recovered, fill, row, parts):
        assert recovered(OLD, adapters.crop_or_pad(fill), [5, 2], parts=parts) == OLD + [row, row]

    @pytest.mark.parametrize(
        "fill, cells",
        [
            ("initial", [-1] * 3),
            ("zeros", [0] * 3),
            (7, [7] * 3),
            ("mean", [1.5, 3.5, 5.5]),
        ],
    )
    def test_more_columns(self, recovered, fill, cells):
        assert recovered(OLD, adapters.crop_or_pad(fill), [3, 3]) == [row + [cell] for row, cell in zip(OLD, cells)]

    @pytest.mark.parametrize(
        "fill, expected",
        [
            ("initial", [[1, 2, -1], [3, 4, -1], [5, 6, -1], [-1, -1, -1]]),
            ("zeros", [[1, 2, 0], [3, 4, 0], [5, 6, 0], [0, 0, 0]]),
            ("mean", [[1, 2, 1.5], [3, 4, 3.5], [5, 6, 5.5], [3, 4, 3.5]]),
        ],
    )
    def test_more_of_both(self, recovered, fill, expected):
        assert recovered(OLD, adapters.crop_or_pad(fill), [4, 3]) == expected

    @pytest.mark.parametrize(
        "fill, row, column, both",
        [
            (("zeros", "initial"), [0, 0], [-1, -1, -1], 0),
            (["initial", "zeros"], [-1, -1], [0, 0, 0], -1),
            ((7, 8), [7, 7], [8, 8, 8], 7),
            ((7, "mean"), [7, 7], [1.5, 3.5, 5.5], 7),
            (("mean", 8), [3, 4], [8, 8, 8], 8),
            (("mean", "initial"), [3, 4], [-1, -1, -1], -1),
            ((tf1.constant_initializer(9), "initial"), [9, 9], [-1, -1, -1], 9),
            (("initial", tf1.constant_initializer(9)), [-1, -1], [9, 9, 9], -1),
        ],
        ids=lambda value: re.sub("<.*?>", "initializer", str(value)),
    )
    @pytest.mark.parametrize("parts", [None, 2, 4])
    def test_a_fill_for_each_axis(self, recovered, fill, row, column, both, parts):
        expected = [old + [cell] for old, cell in zip(OLD, column)] + [row + [both]]
        assert recovered(OLD, adapters.crop_or_pad(fill), [4, 3], parts=parts) == expected
        slot = [[old * 100 for old in row] + [-10] for row in OLD] + [[-10] * 3]
        assert recovered(OLD, adapters.crop_or_pad(fill), [4, 3], parts=parts, slot=True) == slot

    @pytest.mark.parametrize(
        "shape, expected",
        [
            ([2, 2], [[1, 2], [3, 4]]),
            ([3, 1], [[1], [3], [5]]),
            ([1, 1], [[1]]),
            ([2, 3], [[1, 2, 0], [3, 4, 0]]),
            ([4, 1], [[1], [3], [5], [0]]),
            ([0, 2], []),
            ([3, 0], [[], [], []]),
        ],
        ids=str,
    )
    def test_less(self, recovered, shape, expected):
        assert recovered(OLD, adapters.crop_or_pad("zeros"), shape) == expected

    def test_the_mean_of_no_rows_is_zero(self, recovered):
        assert recovered(np.zeros([0, 2]), adapters.crop_or_pad("mean"), [2, 2]) == [[0, 0], [0, 0]]

    @pytest.mark.parametrize("dtype, mean", [(np.int32, 2), (np.int64, 2), (np.float16, 1.75), (np.float64, 1.75)])
    def test_the_mean_of_integers_is_rounded(self, recovered, dtype, mean):
        assert recovered([1, 1, 1, 4], adapters.crop_or_pad("mean"), [5], dtype) == [1, 1, 1, 4, mean]

    def test_a_number_keeps_its_precision(self, recovered):
        assert recovered([1], adapters.crop_or_pad(0.1), [2], np.float64) == [1, 0.1]
        assert recovered([1], adapters.crop_or_pad(2**53 + 1), [2], np.int64) == [1, 2**53 + 1]

    def test_position_dependent_initial_values(self, recovered):
        assert recovered([[1, 2]], adapters.crop_or_pad(), [3, 3], initializer=tf1.constant_initializer(np.arange(10, 19))) == [
            [1, 2, 12],
            [13, 14, 15],
            [16, 17, 18],
        ]

    @pytest.mark.parametrize("shape, parts", [([8], 4), ([8], 2)])
    def test_a_part_that_has_new_rows_of_two_kinds(self, recovered, shape, parts):
        adapter = [adapters.remap_segments({"x": 2}, {"x": 2, "y": 3}, fill=3), adapters.crop_or_pad(4)]
        assert recovered([1, 2], adapter, shape, parts=parts) == [1, 2, 3, 3, 3, 4, 4, 4]

    def test_a_part_of_new_rows_with_new_columns(self, recovered):
        adapter = [adapters.remap_segments({"x": 2}, {"x": 2, "y": 2}, fill=3), adapters.crop_or_pad()]
        assert recovered([[1, 2], [3, 4]], adapter, [4, 3], parts=2) == [[1, 2, -1], [3, 4, -1], [3, 3, 3], [3, 3, 3]]


@pytest.mark.parametrize(
    "index",
    [
        np.s_[:-1],
        np.s_[:-1, :],
        np.s_[1:],
        np.s_[::2],
        np.s_[::-1],
        np.s_[-2:],
        np.s_[3:0:-2],
        np.s_[:, ::-1],
        np.s_[-1::-3, 1:2],
        np.s_[..., 0],
        np.s_[0],
        np.s_[-1, ...],
        np.s_[..., np.newaxis],
        np.s_[np.newaxis, 1:, 0],
        np.s_[1, 2],
        np.s_[...],
        np.s_[:10],
        np.s_[-10:2],
        np.s_[np.int64(1) :, np.int64(0)],
        (),
        np.s_[1:1],
    ],
    ids=str,
)
def test_take_is_what_numpy_takes(recovered, index):
    old = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    expected = old[index]
    assert recovered(old, adapters.take(index), list(expected.shape)) == expected.tolist()
    assert recovered(old, adapters.take(index), list(expected.shape), slot=True) == (old[index] * 100).tolist()


class TestRehashRows:
    @pytest.mark.parametrize("parts", [None, 2, 3, 4, 6])
    def test_more_buckets_repeat_the_old_ones(self, recovered, parts):
        assert recovered(OLD, adapters.rehash_rows(3, 6), [6, 2], parts=parts) == OLD + OLD

    def test_slots_are_repeated_too(self, recovered):
        assert recovered([1, 2], adapters.rehash_rows(2, 6), [6], slot=True) == [100, 200] * 3

    @pytest.mark.parametrize("parts", [None, 2, 3])
    @pytest.mark.parametrize(
        "dtype, means", [(np.float32, [[3.5, 11], [3, 4], [5, 6]]), (np.float16, [[3.5, 11], [3, 4], [5, 6]])], ids=str
    )
    def test_fewer_buckets_take_means(self, recovered, dtype, means, parts):
        old = [[1, 2], [2, 3], [4, 5], [6, 20], [4, 5], [6, 7]]
        assert recovered(old, adapters.rehash_rows(6, 3), [3, 2], dtype, parts=parts) == means
        slots = [[100 * cell for cell in row] for row in means]
        assert recovered(old, adapters.rehash_rows(6, 3), [3, 2], dtype, parts=parts, slot=True) == slots

    def test_a_mean_of_integers_is_rounded(self, recovered):
        assert recovered([1, 2, 5, 4], adapters.rehash_rows(4, 1), [1], np.int64) == [3]
        assert recovered([1, 2, 3, 5], adapters.rehash_rows(4, 2), [2], np.int32) == [2, 4]  # 3.5 is rounded to even.

    def test_columns(self, recovered):
        assert recovered(OLD, adapters.rehash_rows(2, 4, axis=1), [3, 4]) == [row + row for row in OLD]
        assert recovered(OLD, adapters.rehash_rows(2, 1, axis=-1), [3, 1]) == [[1.5], [3.5], [5.5]]

    def test_the_same_number_is_no_change(self, recovered):
        assert recovered(OLD, adapters.rehash_rows(3, 3), [3, 2]) == OLD

    @pytest.mark.parametrize("parts", [None, 2])
    def test_with_others_behind(self, recovered, parts):
        wider = [adapters.rehash_rows(3, 6), adapters.crop_or_pad("zeros")]
        assert recovered(OLD, wider, [6, 3], parts=parts) == [row + [0] for row in OLD + OLD]
        assert recovered(OLD, wider, [7, 2], parts=parts) == OLD + OLD + [[0, 0]]
        smaller = [adapters.rehash_rows(3, 1), adapters.crop_or_pad(7)]
        assert recovered(OLD, smaller, [2, 3], parts=parts) == [[3, 4, 7], [7, 7, 7]]
        assert recovered(OLD, [adapters.rehash_rows(3, 1), adapters.take(np.s_[:, ::-1])], [1, 2]) == [[4, 3]]

    def test_every_row_of_many_times_the_buckets(self, recovered):
        assert recovered([1, 2], adapters.rehash_rows(2, 5000), [5000], parts=3) == [1, 2] * 2500


class TestRemapRows:
    @pytest.mark.parametrize(
        "old, new",
        [
            (b"a\nb\nc\n", b"c\nx\na\n"),
            (b"a\nb\nc", b"c\nx\na"),
            (b"a\r\nb\r\nc\r\n", b"c\r\nx\r\na\r\n"),
            (b"a\r\nb\r\nc", b"c\nx\na\n"),
            (b"a\nb\nc\n", b"c\r\nx\r\na"),
            (b"\xff\nb\n\xc3", b"\xc3\nx\n\xff\n"),
            (b"\xff\r\nb\r\n\xc3", b"\xc3\r\nx\r\n\xff"),
            (b"\nb\nc\n", b"c\nx\n\n"),
            (b"a\n\nc\n", b"c\nx\na"),
            (b"a\nb\n\n", b"\nx\na\n"),
            (b"a b\tc\nb\nc,d\n", b"c,d\nx\na b\tc\n"),
            (b"a\rb\nb\nc\n", b"c\nx\na\rb\n"),
            (" a\nä\nĉ\n".encode(), "ĉ\nx\n a\n".encode()),
            (b"\r\nb\r\nc\r\n", b"c\nx\n\n"),
            (b"a\n\nc\n", b"c\r\n\xff\r\na\r\n"),
        ],
        ids=[
            "ended",
            "not ended",
            "crlf",
            "crlf not ended",
            "crlf new",
            "not UTF-8",
            "not UTF-8, crlf",
            "empty line first",
            "empty line between",
            "empty line last",
            "separators",
            "return in a token",
            "UTF-8",
            "empty crlf line",
            "empty old line",
        ],
    )
    def test_files(self, recovered, tmp_path, old, new):
        adapter = adapters.remap_rows(file_of(tmp_path, old), file_of(tmp_path, new))
        assert recovered(OLD, adapter, [3, 2]) == [[5, 6], [-1, -1], [1, 2]]
        assert recovered(OLD, adapter, [3, 2], slot=True) == [[500, 600], [-10, -10], [100, 200]]

    @pytest.mark.parametrize(
        "old, new",
        [
            (["a", "b", "c"], ["c", "x", "a"]),
            ([b"a", b"b", b"c"], ("c", "x", "a")),
            ([7, 8, 9], [9, 1, 7]),
            ([7, 8, 9], ["9", "1", b"7"]),
            (range(3), np.array([2, 5, 0])),
            (np.array(["a", "b", "c"]), np.array([b"c", b"x", b"a"])),
            (["a\0", "a", "b"], ["b", "x", "a\0"]),
            (["", "b", "c"], ["c", "x", ""]),
            ([-1, 2**40, 3], [3, 0, "-1"]),
        ],
        ids=["str", "bytes", "int", "int as str", "range", "numpy", "zero byte", "empty token", "large int"],
    )
    def test_sequences(self, recovered, old, new):
        assert recovered(OLD, adapters.remap_rows(old, new), [3, 2]) == [[5, 6], [-1, -1], [1, 2]]

    def test_a_file_against_a_sequence(self, recovered, tmp_path):
        adapter = adapters.remap_rows(file_of(tmp_path, b"7\r\n8\r\n9"), [9, 1, 7])
        assert recovered(OLD, adapter, [3, 2]) == [[5, 6], [-1, -1], [1, 2]]

    @pytest.mark.parametrize("fill, row", [("zeros", [0, 0]), (2, [2, 2]), ("mean", [3, 4])])
    @pytest.mark.parametrize("parts", [None, 2, 4])
    def test_fills(self, recovered, fill, row, parts):
        adapter = adapters.remap_rows(list("abc"), list("xcya"), fill=fill)
        assert recovered(OLD, adapter, [4, 2], parts=parts) == [row, [5, 6], row, [1, 2]]

    @pytest.mark.parametrize(
        "tokens, buckets, expected",
        [
            ("ba", 1, [[3, 4], [1, 2], [5, 6]]),  # As many as before: bucket by bucket.
            ("ba", 2, [[3, 4], [1, 2], [-1, -1], [-1, -1]]),
            ("ba", 0, [[3, 4], [1, 2]]),
            ("bxa", 1, [[3, 4], [-1, -1], [1, 2], [5, 6]]),
        ],
        ids=["the same number", "more", "none", "the same number, more tokens"],
    )
    @pytest.mark.parametrize("parts", [None, 2])
    def test_buckets(self, recovered, tokens, buckets, expected, parts):
        adapter = adapters.remap_rows(list("ab"), list(tokens), num_oov_buckets=buckets)
        assert recovered(OLD, adapter, [len(expected), 2], parts=parts) == expected

    def test_sizes_that_count(self, recovered, tmp_path):
        adapter = adapters.remap_rows(
            file_of(tmp_path, b"a\nb\nc\nd\n"), file_of(tmp_path, b"c\na\nd\nb\n"), old_vocab_size=2, new_vocab_size=3
        )
        # The third row is a bucket to the old model, whatever the third token.
        assert recovered(OLD, adapter, [3, 2]) == [[-1, -1], [1, 2], [-1, -1]]

    @pytest.mark.parametrize("as_file", [False, True])
    def test_aliases(self, recovered, tmp_path, as_file):
        new = file_of(tmp_path, b"x\na\ny\nb") if as_file else list("xayb")
        adapter = adapters.remap_rows(list("abc"), new, aliases={"x": "c", "y": "c", "b": "a"})
        assert recovered(OLD, adapter, [4, 2]) == [[5, 6], [1, 2], [5, 6], [1, 2]]

    def test_aliases_of_other_kinds(self, recovered):
        assert recovered([1, 2], adapters.remap_rows([7, 8], [5, 7], aliases={5: b"8"}), [2]) == [2, 1]
        assert recovered([1, 2], adapters.remap_rows(["", "b"], ["x", "b"], aliases={"x": ""}), [2]) == [1, 2]

    @pytest.mark.parametrize("axis", [1, -1])
    def test_columns(self, recovered, axis):
        adapter = adapters.remap_rows(list("ab"), list("bxa"), axis=axis)
        assert recovered(OLD, adapter, [3, 3]) == [[2, -1, 1], [4, -1, 3], [6, -1, 5]]

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.int64])
    @pytest.mark.parametrize("rank", [1, 2, 3, 4])
    def test_ranks_and_dtypes(self, recovered, rank, dtype):
        for axis in {0, rank - 1}:
            old = np.arange(1, 1 + 2**rank).reshape([2] * rank)
            expected = np.insert(np.flip(old, axis), 1, INITIAL, axis)
            adapter = adapters.remap_rows(list("ab"), list("bxa"), axis=axis)
            assert recovered(old, adapter, list(expected.shape), dtype) == expected.tolist()

    def test_tokens_of_equal_beginnings(self, recovered):
        old = [f"a long token, the same but for its end {number}" for number in range(50)]
        new = list(reversed(old)) + ["a long token, the same but for its end"]
        assert recovered(np.arange(50), adapters.remap_rows(old, new), [51]) == list(range(49, -1, -1)) + [-1]


class TestHashBucketsToAVocabulary:
    TOKENS = ("casablanca", "alien", "dune")

    @pytest.mark.parametrize("parts", [None, 2, 3])
    def test_the_row_of_a_token_is_that_of_its_hash(self, recovered, parts):
        adapter = adapters.remap_rows(adapters.hash_buckets(3), self.TOKENS)
        rows = [OLD[row] for row in hashes(self.TOKENS, 3)]
        assert recovered(OLD, adapter, [3, 2], parts=parts) == rows
        assert recovered(OLD, adapter, [3, 2], parts=parts, slot=True) == [[100 * cell for cell in row] for row in rows]

    def test_from_a_file_with_buckets_and_columns(self, recovered, tmp_path):
        path = file_of(tmp_path, "\n".join(self.TOKENS).encode())
        adapter = adapters.remap_rows(adapters.hash_buckets(3), path, num_oov_buckets=2, fill="mean")
        rows = [OLD[row] for row in hashes(self.TOKENS, 3)]
        assert recovered(OLD, [adapter, adapters.crop_or_pad(7)], [5, 3]) == [row + [7] for row in rows + [[3, 4], [3, 4]]]

    def test_another_axis_and_integers(self, recovered):
        adapter = adapters.remap_rows(adapters.hash_buckets(2), [7, 8, 9], axis=1)
        columns = hashes(["7", "8", "9"], 2)
        assert recovered(OLD, adapter, [3, 3]) == [[row[column] for column in columns] for row in OLD]

    def test_a_strong_hash(self, recovered):
        adapter = adapters.remap_rows(adapters.hash_buckets(3, key=[7, 7]), self.TOKENS)
        with tf.Graph().as_default(), tf1.Session() as session:
            rows = session.run(tf.strings.to_hash_bucket_strong(self.TOKENS, 3, [7, 7]))
        assert recovered([1, 2, 3], adapter, [3]) == (rows + 1).tolist()

    def test_an_alias_takes_the_row_of_the_other_spelling(self, recovered):
        adapter = adapters.remap_rows(adapters.hash_buckets(3), ["Alien"], aliases={"Alien": "alien"})
        assert recovered(OLD, adapter, [1, 2]) == [OLD[hashes(["alien"], 3)[0]]]


def hashes(tokens, buckets):
    with tf.Graph().as_default(), tf1.Session() as session:
        return session.run(tf.strings.to_hash_bucket_fast(tokens, buckets)).tolist()


NEW_TOKENS = ["x", "c", "y", "a", "z"]
SIMILAR_TOKENS = {"y": ["a", "b"], "x": ["a", "c", "c"]}


class TestSimilarTokens:
    @pytest.mark.parametrize("source", ["sequence", "file", "carriage returns"])
    @pytest.mark.parametrize("parts", [None, 2, 3, 5])
    def test_begin_as_the_mean_of_others(self, recovered, tmp_path, source, parts):
        ending = b"\r\n" if source == "carriage returns" else b"\n"
        old, new = ["a", "b", "c"], NEW_TOKENS
        if source != "sequence":
            old, new = (file_of(tmp_path, ending.join(map(str.encode, tokens)) + ending) for tokens in (old, new))
        adapter = adapters.remap_rows(old, new, similar=SIMILAR_TOKENS)
        old_values = [[3, 30], [5, 50], [6, 60]]
        assert recovered(old_values, adapter, [5, 2], parts=parts) == [[5, 50], [6, 60], [4, 40], [3, 30], [-1, -1]]

    def test_slots_and_buckets(self, recovered):
        adapter = adapters.remap_rows(["a", "b", "c"], NEW_TOKENS, similar=SIMILAR_TOKENS, num_oov_buckets=1, fill="zeros")
        assert recovered([3, 5, 6, 9], adapter, [6]) == [5, 6, 4, 3, 0, 9]
        assert recovered([3, 5, 6, 9], adapter, [6], slot=True) == [500, 600, 400, 300, -10, 900]

    @pytest.mark.parametrize("parts", [None, 2])
    def test_columns_and_others_behind(self, recovered, parts):
        adapter = adapters.remap_rows(["a", "b"], ["c", "b"], axis=1, similar={"c": ["a", "b"]})
        assert recovered(OLD, adapter, [3, 2], parts=parts) == [[1.5, 2], [3.5, 4], [5.5, 6]]
        both = [adapters.remap_rows(["a", "b", "c"], ["d", "c"], similar={"d": ["a", "b"]}), adapters.crop_or_pad(7)]
        assert recovered(OLD, both, [2, 3], parts=parts) == [[2, 3, 7], [5, 6, 7]]
        backwards = [both[0], adapters.take(np.s_[::-1])]
        assert recovered(OLD, backwards, [2, 2], parts=parts) == [[5, 6], [2, 3]]

    def test_a_token_with_a_row_of_its_own(self, recovered):
        adapter = adapters.remap_rows(["a", "b"], ["a", "b"], similar={"a": ["a", "b"]})
        assert recovered([1, 2], adapter, [2]) == [1.5, 2]

    def test_integers_are_rounded(self, recovered):
        adapter = adapters.remap_rows(["a", "b"], ["c"], similar={"c": ["a", "a", "b"]})
        assert recovered([1, 2], adapter, [1], np.int64) == [1]


class TestRemapSegments:
    @pytest.mark.parametrize(
        "old, new, expected",
        [
            ({"x": 2, "y": 1}, {"y": 1, "x": 2}, [[5, 6], [1, 2], [3, 4]]),
            ({"x": 2, "y": 1}, {"x": 2, "new": 1, "y": 1}, [[1, 2], [3, 4], [-1, -1], [5, 6]]),
            ({"x": 2, "y": 1}, {"y": 1}, [[5, 6]]),
            ({"x": 2, "y": 1}, {"x": 1, "y": 2}, [[1, 2], [5, 6], [-1, -1]]),
            ({"x": 2, "y": 1}, {"z": 1}, [[-1, -1]]),
            ([("x", 2), ("y", 1)], [("y", 1), ("x", 2)], [[5, 6], [1, 2], [3, 4]]),
        ],
        ids=["reordered", "inserted", "removed", "narrowed and widened", "all new", "pairs"],
    )
    @pytest.mark.parametrize("parts", [None, 2])
    def test_rows(self, recovered, old, new, expected, parts):
        assert recovered(OLD, adapters.remap_segments(old, new), [len(expected), 2], parts=parts) == expected

    @pytest.mark.parametrize("axis", [1, -1])
    @pytest.mark.parametrize("fill, cell", [("initial", -1), ("zeros", 0), (7, 7)])
    def test_columns(self, recovered, axis, fill, cell):
        adapter = adapters.remap_segments({"x": 1, "y": 1}, {"n": 1, "y": 1, "m": 1, "x": 1}, axis=axis, fill=fill)
        assert recovered(OLD, adapter, [3, 4]) == [[cell, row[1], cell, row[0]] for row in OLD]

    def test_new_columns_are_drawn_apart(self, recovered):
        def seeded(shape, dtype=None, partition_info=None):
            return tf.random.normal(shape, dtype=dtype, seed=5)

        adapter = adapters.remap_segments({"x": 1, "y": 1}, {"n": 1, "x": 1, "m": 1, "y": 1}, axis=1)
        columns = np.transpose(recovered(OLD, adapter, [3, 4], initializer=seeded))
        assert columns[0].tolist() != columns[2].tolist()


class TestTransform:
    def test_transpose(self, recovered):
        assert recovered(OLD, adapters.transform(tf.transpose), [2, 3]) == [[1, 3, 5], [2, 4, 6]]

    @pytest.mark.parametrize("parts", [None, 2, 3])
    def test_parts(self, recovered, parts):
        adapter = adapters.transform(lambda tensor: tf.reverse(tensor, [0]) * 2)
        assert recovered(OLD, adapter, [3, 2], parts=parts) == [[10, 12], [6, 8], [2, 4]]

    def test_a_shape_that_only_the_session_knows(self, recovered):
        adapter = adapters.transform(lambda tensor: tf.boolean_mask(tensor, tensor[:, 0] > 2))
        assert recovered(OLD, adapter, [2, 2], parts=2) == [[3, 4], [5, 6]]

    def test_zeros_of_a_slot_take_its_initial_value(self, recovered):
        adapter = adapters.transform(lambda tensor: tf.pad(tensor, [[1, 0], [0, 0]]))
        assert recovered(OLD, adapter, [4, 2]) == [[0, 0]] + OLD
        assert recovered(OLD, adapter, [4, 2], slot=True) == [[-10, -10], [100, 200], [300, 400], [500, 600]]


class TestReshape:
    @pytest.mark.parametrize("shape", [[6], [2, 3], [1, 3, 2], [3, 1, 2, 1]], ids=str)
    @pytest.mark.parametrize("parts", [None, 2])
    def test_the_elements_keep_their_order(self, recovered, shape, parts):
        if parts and shape[0] < parts:
            parts = None
        expected = np.reshape(OLD, shape)
        assert recovered(OLD, adapters.reshape(), shape, parts=parts) == expected.tolist()
        assert recovered(OLD, adapters.reshape(), shape, parts=parts, slot=True) == (100 * expected).tolist()

    def test_a_zero_of_a_slot_stays(self, recovered):
        assert recovered([[0, 1]], adapters.reshape(), [2, 1], slot=True) == [[0], [100]]

    def test_behind_others_and_with_a_cast(self, recovered):
        assert recovered(OLD, [adapters.take(np.s_[1:]), adapters.reshape()], [4]) == [3, 4, 5, 6]
        assert recovered(OLD, [adapters.crop_or_pad(), adapters.reshape()], [3, 2]) == OLD
        assert recovered(OLD, [adapters.rehash_rows(3, 1), adapters.reshape()], [2, 1]) == [[3], [4]]


class TestNumpyFunctions:
    def test_runs_on_the_array(self, recovered):
        def turned(array):
            assert isinstance(array, np.ndarray)
            return np.rot90(array)

        expected = np.rot90(OLD).tolist()
        assert recovered(OLD, adapters.transform(turned, numpy=True), [2, 3]) == expected
        slot = [[100 * cell for cell in row] for row in expected]
        assert recovered(OLD, adapters.transform(turned, numpy=True), [2, 3], parts=2, slot=True) == slot

    @pytest.mark.parametrize(
        "function, told",
        [
            (
                lambda array: array[:2],
                r"made float32 \[2, 2\] of float32 \[3, 2\], and the variable needs float32 \[3, 2\]; let it return these",
            ),
            (lambda array: array.astype(np.float64), r"made float64 \[3, 2\] .* needs float32 \[3, 2\]"),
            (lambda array: [["a"]], r"made <U1 \[1, 1\] .* needs float32 \[3, 2\]"),
            (lambda array: {}["a"], r"raised KeyError for float32 \[3, 2\]: 'a'; mend it, or exclude the variable"),
        ],
        ids=["shape", "dtype", "no numbers", "raises"],
    )
    @pytest.mark.parametrize("way", ["session", "hook", "eager"])
    def test_what_it_returns_is_checked(self, recovered, old_dir, function, told, way):
        told = r"the function of adapters.transform\(numpy=True\) for 'v' " + told
        adapter = adapters.transform(function, numpy=True)
        if way == "session":
            with pytest.raises(WarmStartError, match=told):
                recovered(OLD, adapter, [3, 2])
            return
        save_checkpoint(old_dir, {"v": np.float32(OLD)})
        if way == "eager":
            with eager_mode(), pytest.raises(WarmStartError, match=told):
                recover_into({"v": tf.Variable(tf.zeros([3, 2]))}, str(old_dir), adapters={"v": adapter})
            return
        with tf.Graph().as_default():  # An initializer recovers: the session that runs it raises what TensorFlow makes of it.
            tf1.get_variable("v", [3, 2])
            with pytest.raises(tf.errors.InvalidArgumentError, match=told):
                tf1.train.MonitoredSession(hooks=[ShapeAdaptingRecoverHook(str(old_dir), adapters={"v": adapter})])


class TestShrinkPerturb:
    def test_without_noise(self, recovered):
        assert recovered(OLD, adapters.shrink_perturb(0.5, 0), [3, 2]) == [[0.5, 1], [1.5, 2], [2.5, 3]]

    def test_slots_stay_and_new_rows_are_not_perturbed(self, recovered):
        adapter = [adapters.shrink_perturb(0.5, 0.1), adapters.crop_or_pad(7)]
        assert recovered([1, 2], adapter, [3], slot=True) == [100, 200, -10]
        assert recovered([1, 2], adapter, [3])[2] == 7

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_the_noise(self, recovered, dtype):
        noise = np.array(recovered(np.zeros([10000]), adapters.shrink_perturb(0.3, 0.5), [10000], dtype))
        assert abs(noise.mean()) < 0.02 and abs(noise.std() - 0.5) < 0.02

    def test_is_the_same_each_time_and_differs_by_seed_and_part(self, recovered):
        def drawn(parts=None, **options):
            return recovered([0] * 6, adapters.shrink_perturb(1, 1, **options), [6], parts=parts)

        assert drawn() == drawn() == drawn(seed=0) != drawn(seed=1)
        assert drawn(parts=2)[:3] != drawn(parts=2)[3:]

    def test_variables_draw_their_own(self, old_dir, new_graph):
        save_checkpoint(old_dir, {"v": np.zeros([4], np.float32), "w": np.zeros([4], np.float32)})
        variables = [tf1.get_variable(name, [4]) for name in "vw"]
        with tf1.Session() as session:
            recover_variables(session, str(old_dir), None, {".*": adapters.shrink_perturb(1, 1)})
            first, second = session.run(variables)
        assert not np.any(first == second)


class TestCompositions:
    ROWS = adapters.remap_rows(list("abc"), list("cxa"), fill=7)

    @pytest.mark.parametrize(
        "adapter",
        [
            [ROWS, adapters.remap_segments({"x": 2}, {"n": 1, "x": 2}, axis=1, fill=8)],
            [adapters.remap_segments({"x": 2}, {"n": 1, "x": 2}, axis=1, fill=8), ROWS],
            adapters.compose(ROWS, adapters.remap_segments({"x": 2}, {"n": 1, "x": 2}, axis=1, fill=8)),
        ],
        ids=["rows first", "columns first", "compose"],
    )
    @pytest.mark.parametrize("parts", [None, 2, 3])
    def test_of_two_axes(self, recovered, adapter, parts):
        # What is new on both axes takes the first axis' fill, whichever adapter comes first.
        assert recovered(OLD, adapter, [3, 3], parts=parts) == [[8, 5, 6], [7, 7, 7], [8, 1, 2]]

    def test_the_first_axis_decides(self, recovered):
        assert recovered(OLD, [self.ROWS, adapters.crop_or_pad()], [3, 3]) == [[5, 6, -1], [7, 7, 7], [1, 2, -1]]

    @pytest.mark.parametrize("parts", [None, 3])
    def test_two_vocabularies_one_after_the_other(self, recovered, parts):
        second = adapters.remap_rows(["one", "two", "three"], ["four", "three", "two"], fill="zeros")
        assert recovered(OLD, [self.ROWS, second], [3, 2], parts=parts) == [[0, 0], [1, 2], [7, 7]]

    @pytest.mark.parametrize("parts", [None, 2])
    def test_rows_taken_from_remapped_ones(self, recovered, parts):
        assert recovered(OLD, [self.ROWS, adapters.take(np.s_[::-1])], [3, 2], parts=parts) == [[1, 2], [7, 7], [5, 6]]
        assert recovered(OLD, [adapters.take(np.s_[::-1]), self.ROWS], [3, 2], parts=parts) == [[1, 2], [7, 7], [5, 6]]
        taken = [adapters.take(np.s_[1:]), adapters.remap_rows(list("ab"), list("bxa"), fill=7)]
        assert recovered(OLD, taken, [3, 2], parts=parts) == [[5, 6], [7, 7], [3, 4]]

    @pytest.mark.parametrize("is_slot, new", [(False, 7), (True, -10)])
    def test_a_function_last(self, recovered, is_slot, new):
        factor = 100 if is_slot else 1
        expected = [[5 * factor, new, 1 * factor], [6 * factor, new, 2 * factor]]
        assert recovered(OLD, [self.ROWS, adapters.transform(tf.transpose)], [2, 3], slot=is_slot) == expected

    @pytest.mark.parametrize("parts", [None, 2])
    def test_a_function_first(self, recovered, parts):
        rows = adapters.remap_rows(list("ab"), list("xba"))
        adapter = [adapters.transform(tf.transpose), rows, adapters.crop_or_pad("zeros")]
        assert recovered(OLD, adapter, [3, 4], parts=parts) == [[-1, -1, -1, -1], [2, 4, 6, 0], [1, 3, 5, 0]]


def test_an_old_value_in_parts_of_any_dtype(old_dir, new_graph):
    dtypes = (np.float16, np.float32, np.float64, np.int32, np.int64)
    values = {f"v{number}": np.arange(1, 7).reshape(3, 2).astype(dtype) for number, dtype in enumerate(dtypes)}
    save_checkpoint(old_dir, values, dict.fromkeys(values, 2))
    new = {}
    for name, value in values.items():
        new[name] = tf1.get_variable(name, initializer=np.zeros_like(value))
        new[f"cropped/{name}"] = tf1.get_variable(f"cropped/{name}", initializer=np.zeros_like(value[:2]))
    with tf1.Session() as session:
        recover_variables(session, str(old_dir), {name: [name, f"cropped/{name}"] for name in values}, {})
        for name, value in values.items():
            assert session.run(new[name]).tolist() == value.tolist()
            assert session.run(new[f"cropped/{name}"]).tolist() == value[:2].tolist()


def test_tables_of_joins_are_released_and_made_again(old_dir, new_graph, tmp_path):
    save_checkpoint(old_dir, {"v": np.float32(OLD)})
    v = tf1.get_variable("v", [3, 2], initializer=tf1.constant_initializer(-1))
    step = tf1.train.get_or_create_global_step()
    spoil = tf.group(v.assign(tf.zeros([3, 2])), step.assign_add(1))
    old, new = file_of(tmp_path, b"a\nb\nc\n"), file_of(tmp_path, b"c\nx\ny\n")
    adapter = adapters.remap_rows(old, new, aliases={"y": "a"})
    hook = ShapeAdaptingRecoverHook(str(old_dir), {"v": v}, {"v": adapter}, when="every_train")
    hook.begin()
    tables = [op.outputs[0] for op in new_graph.get_operations() if op.type == "HashTableV2"]
    sizes = [tf.raw_ops.LookupTableSizeV2(table_handle=table) for table in tables]
    assert len(tables) == 2
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        for _ in range(2):
            session.run(spoil)
            hook.begin()
            hook.after_create_session(session, None)
            assert session.run(v).tolist() == [[5, 6], [-1, -1], [1, 2]]
            # Looking makes a new one: an empty one if the one that was filled is gone.
            assert session.run(sizes) == [0, 0]


def test_large_values_wait_for_each_other(old_dir, new_graph, monkeypatch):
    monkeypatch.setattr(old_values, "_BUDGET_BYTES", 40)
    names = [f"v{number}" for number in range(4)]
    save_checkpoint(old_dir, {name: np.float32(OLD) + number for number, name in enumerate(names)})  # 24 bytes each.
    variables = [tf1.get_variable(name, [3, 2]) for name in names]
    adapter = adapters.remap_rows(list("abc"), list("cba"))
    with tf1.Session() as session:
        recover_variables(session, str(old_dir), None, {"v.": adapter})
        for number, variable in enumerate(variables):
            assert session.run(variable).tolist() == (np.float32(OLD)[::-1] + number).tolist()
    reads = {
        name: new_graph.get_operation_by_name(op.name)
        for op in new_graph.get_operations()
        if op.type == "RestoreV2"
        for name in names
        if f"restore/{name}/" in op.name
    }
    assert set(reads) == set(names)
    for before, after in zip(names, names[1:]):
        assert reads[before] in needed_by(reads[after]), f"{after} is read while {before} is adapted"
        assert reads[after] not in needed_by(reads[before])


def test_small_values_do_not_wait(old_dir, new_graph):
    save_checkpoint(old_dir, {"a": np.float32(OLD), "b": np.float32(OLD)})
    for name in "ab":
        tf1.get_variable(name, [2, 2])
    ShapeAdaptingRecoverHook(str(old_dir)).begin()
    first, second = [op for op in new_graph.get_operations() if op.type == "RestoreV2"]
    assert first not in needed_by(second) and second not in needed_by(first)


@pytest.mark.parametrize(
    "adapter, shape, kept",
    [
        (adapters.crop_or_pad(), [2, 5], 4),
        (adapters.crop_or_pad(), [5, 1], 3),
        (adapters.take(np.s_[::-2]), [2, 2], 4),
        (adapters.remap_rows(list("abc"), list("xcya")), [4, 2], 4),
        (adapters.remap_rows(["a"], ["a", "b"], num_oov_buckets=2), [4, 2], 6),
        (adapters.remap_segments({"x": 2, "y": 1}, {"y": 3}), [3, 2], 2),
        (adapters.transform(tf.transpose), [2, 3], 6),
        ([adapters.remap_rows(list("abc"), list("xcya")), adapters.crop_or_pad()], [6, 1], 2),
    ],
    ids=["crop_or_pad", "other axes", "take", "remap_rows", "buckets", "remap_segments", "transform", "two"],
)
def test_bytes_recovered(old_dir, new_graph, adapter, shape, kept):
    save_checkpoint(old_dir, {"v": np.float32(OLD)})
    tf1.get_variable("v", shape)
    hook = ShapeAdaptingRecoverHook(str(old_dir), None, {"v": adapter})
    hook.begin()
    assert hook.plan.recovered[0].recovered_bytes == 4 * kept
    assert hook.plan.coverage == kept / np.prod(shape)
