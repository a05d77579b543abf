"""Vocabularies: what counts as a token, where a file is wrong, what two of them share."""

import pathlib
import random

import numpy as np
import pytest

from estimator_warmstart import WarmStartError
from estimator_warmstart.adapters.vocabulary import count_shared, has_token, read_vocabulary, token_bytes


@pytest.mark.parametrize(
    "content, tokens",
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\r\nb", [b"a", b"b"]),
        (b"\n", [b""]),
        (b"a\n\n", [b"a", b""]),
        (b"\na", [b"", b"a"]),
        (b"\r\n", [b""]),
        (b"a\rb\n", [b"a\rb"]),
        (b"a\r\r\nb\n", [b"a\r", b"b"]),
        (b"a\t1\n\xff\xfe\n", [b"a\t1", b"\xff\xfe"]),
        (b"\r", [b""]),
        ("é\n".encode(), ["é".encode()]),
    ],
    ids=repr,
)
def test_lines_of_a_file(tmp_path, content, tokens):
    path = tmp_path / "tokens.txt"
    path.write_bytes(content)
    vocabulary = read_vocabulary(str(path))
    assert vocabulary.size == len(tokens) and vocabulary.path == str(path)
    assert vocabulary.has_carriage_returns == (b"\r\n" in content or content.endswith(b"\r"))
    same = read_vocabulary(tokens)
    assert count_shared(vocabulary, same) == count_shared(same, vocabulary) == len(tokens)
    assert all(has_token(vocabulary, token) for token in tokens)
    assert not has_token(vocabulary, b"something else")


def test_a_path_object_and_bytes(tmp_path):
    path = pathlib.Path(tmp_path) / "tokens.txt"
    path.write_text("a\n")
    assert read_vocabulary(path) == read_vocabulary(str(path).encode()) == read_vocabulary(str(path))


def test_carriage_returns_belong_to_a_sequences_tokens():
    assert has_token(read_vocabulary(["a\r"]), b"a\r") and not has_token(read_vocabulary(["a\r"]), b"a")


@pytest.mark.parametrize(
    "token, expected",
    [
        ("é", b"\xc3\xa9"),
        (b"\xff", b"\xff"),
        (-3, b"-3"),
        (np.int64(7), b"7"),
        (np.str_("a"), b"a"),
        (2**70, b"1180591620717411303424"),
    ],
    ids=repr,
)
def test_token_bytes(token, expected):
    assert token_bytes(token) == expected


@pytest.mark.parametrize("token", [1.0, None, True, np.float32(1), ["a"]], ids=repr)
def test_what_is_no_token(token):
    with pytest.raises(WarmStartError, match="str, bytes or int"):
        token_bytes(token)


def test_sizes(tmp_path):
    path = tmp_path / "tokens.txt"
    path.write_text("a\nb\nc\na\n")
    assert read_vocabulary(str(path), 3).size == 3
    assert read_vocabulary(["a", "b", "a"], 2).tokens == (b"a", b"b")
    with pytest.raises(WarmStartError, match="'a' in lines 1 and 4"):
        read_vocabulary(str(path))
    with pytest.raises(WarmStartError, match="4 tokens, fewer than the 5"):
        read_vocabulary(str(path), 5)


def test_every_duplicate_is_counted_and_three_are_named():
    with pytest.raises(WarmStartError) as caught:
        read_vocabulary(["e", "d", "c", "b", "a"] * 2 + ["a"])
    assert "'e' in tokens 1 and 6; 'd' in tokens 2 and 7; 'c' in tokens 3 and 8; and 2 more" in str(caught.value)


def test_shared_tokens_of_many_lengths():
    """Tokens that differ in one byte, in zero bytes at the end, or in their length alone are different."""
    generator = random.Random(1)
    tokens = {bytes(generator.choice(b"\0ab") for _ in range(generator.randrange(20))) for _ in range(3000)}
    tokens = sorted(tokens)
    old, new = tokens[::2], tokens[1::3]
    read_old, read_new = read_vocabulary(old), read_vocabulary(new)
    assert len(set(read_old.fingerprints.tolist())) == len(old)
    assert count_shared(read_old, read_new) == len(set(old) & set(new))
    assert [has_token(read_old, token) for token in tokens] == [token in set(old) for token in tokens]


def test_equal_hashes_of_different_tokens_are_no_duplicates(monkeypatch):
    from estimator_warmstart.adapters import vocabulary as vocabularies

    monkeypatch.setattr(vocabularies, "_hash_lines", lambda content, starts, ends: np.zeros(len(starts), np.uint64))
    assert read_vocabulary(["a", "b", "c"]).size == 3
    with pytest.raises(WarmStartError, match="'b' in tokens 2 and 4"):
        read_vocabulary(["a", "b", "c", "b"])


def test_two_of_the_same_are_one():
    assert read_vocabulary(["a", "b"]) == read_vocabulary(("a", b"b")) == read_vocabulary(["a", "b", "c"], 2)
    assert len({read_vocabulary(["a"]), read_vocabulary([b"a"])}) == 1
    assert read_vocabulary(["a", "b"]) != read_vocabulary(["b", "a"])
    assert read_vocabulary(["a"]) != read_vocabulary(["a", "b"])
