"""CRC32C in pieces, with google-crc32c and with NumPy, against the published values and the definition."""

import importlib.util
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator_warmstart.checkpoint import crc32c as checksums


def by_definition(data):
    """Bit by bit (RFC 3720)."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.fixture(params=["numpy", "google"], scope="module", autouse=True)
def implementation(request):
    """Of one module, since Hypothesis refuses a fixture of one function."""
    if request.param == "google" and checksums._google is None:
        pytest.skip("google-crc32c is not installed")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            patch.setattr(checksums, "_google", None)
        yield


@pytest.mark.parametrize(
    "data, checksum",
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_published_values(data, checksum):
    assert checksums.extend(0, data) == checksum


@given(
    st.sampled_from([0, 1, 3, 1023, 1024, 2047, 2048, 2049, 65535, 65536, 131072, 131075, 200000]),
    st.integers(0, 99),
    st.floats(0, 1),
)
def test_any_pieces_give_the_same(size, seed, cut):
    data = np.random.RandomState(seed).bytes(size)
    first = int(size * cut)
    whole = checksums.extend(0, data)
    assert checksums.extend(checksums.extend(0, data[:first]), data[first:]) == whole
    assert whole == by_definition(data[:5000]) if size <= 5000 else True


@pytest.mark.parametrize("size", [131072, 131077])
def test_large_data(size):
    data = np.random.RandomState(0).bytes(size)
    assert checksums.extend(0, data) == by_definition(data)


@pytest.mark.parametrize(
    "installed, checksum",
    [
        (None, 0xE3069283),
        (types.SimpleNamespace(implementation="python", extend=lambda checksum, data: 7), 0xE3069283),
        (types.SimpleNamespace(implementation="c", extend=lambda checksum, data: 7), 7),
    ],
    ids=["not installed", "in Python", "in C"],
)
def test_google_crc32c_is_used_where_it_is_in_c(monkeypatch, installed, checksum):
    monkeypatch.setitem(sys.modules, "google_crc32c", installed)  # None: importing it fails.
    spec = importlib.util.find_spec(checksums.__name__)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    assert loaded.extend(0, b"123456789") == checksum
