"""Axis maps against the index arrays that they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator_warmstart.adapters.axis_map import (
    Averaged,
    Filled,
    Kept,
    Remapped,
    compose_maps,
    fills_of,
    identity_map,
    is_identity_map,
    kept_length,
    map_length,
    map_window,
    merge_segments,
    old_range,
    shift_map,
    taken_length,
)


class Index:
    """Stands for a join: the old row of each of its rows, or None."""

    def __init__(self, rows):
        self.rows, self.kept = tuple(rows), sum(row is not None for row in rows)

    def __repr__(self):
        return f"Index({self.rows})"


def positions(axis_map):
    """For each new position its old one, or its fill as a string."""
    found = []
    for segment in axis_map:
        assert segment.length > 0
        for number in range(segment.length):
            if isinstance(segment, Filled):
                found.append(str(segment.fill))
                continue
            place = segment.start + segment.step * number
            assert place >= 0
            if isinstance(segment, Remapped):
                place = segment.remapping.rows[place]
                place = str(segment.fill) if place is None else positions(segment.inner)[place] if segment.inner else place
            found.append(place)
    return found


fills = st.sampled_from(["initial", "zeros", "mean", 7])


@st.composite
def kept(draw, old_length):
    start, step = draw(st.integers(0, old_length - 1)), draw(st.sampled_from([1, 1, 2, -1, -2, 3]))
    most = (old_length - 1 - start) // step + 1 if step > 0 else start // -step + 1
    return Kept(draw(st.integers(1, most)), start, step)


@st.composite
def joined(draw, old_length):
    rows = draw(st.lists(st.one_of(st.none(), st.integers(0, old_length - 1)), min_size=1, max_size=6))
    start, step = draw(st.integers(0, len(rows) - 1)), draw(st.sampled_from([1, 1, 2, -1]))
    most = (len(rows) - 1 - start) // step + 1 if step > 0 else start // -step + 1
    return Remapped(draw(st.integers(1, most)), start, step, Index(rows), draw(fills))


def maps(old_length):
    filled = st.builds(Filled, st.integers(1, 3), fills)
    choices = [filled] if old_length == 0 else [filled, kept(old_length), kept(old_length), joined(old_length)]
    return st.lists(st.one_of(*choices), min_size=1, max_size=4).map(lambda segments: merge_segments(segments))


@given(st.data(), maps(7))
def test_a_window_is_a_slice(data, axis_map):
    whole = positions(axis_map)
    assert map_length(axis_map) == len(whole)
    start, step = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
    most = (len(whole) - 1 - start) // step + 1 if step > 0 else start // -step + 1
    length = data.draw(st.integers(0, most))
    assert positions(map_window(axis_map, start, length, step)) == [whole[start + step * number] for number in range(length)]


@given(st.data(), maps(6))
def test_a_composition_is_one_after_the_other(data, inner):
    first = positions(inner)
    outer = data.draw(maps(len(first)))
    expected = [place if isinstance(place, str) else first[place] for place in positions(outer)]
    assert positions(compose_maps(outer, inner)) == expected
    third = data.draw(maps(len(expected)))
    last = [place if isinstance(place, str) else expected[place] for place in positions(third)]
    assert positions(compose_maps(third, compose_maps(outer, inner))) == last
    assert positions(compose_maps(compose_maps(third, outer), inner)) == last


@given(maps(7))
def test_questions_about_a_map(axis_map):
    whole = positions(axis_map)
    assert set(map(str, fills_of(axis_map))) >= {place for place in whole if isinstance(place, str)}
    kept_places = [place for place in whole if not isinstance(place, str)]
    assert kept_length(axis_map) >= len(kept_places)
    low, high = old_range(axis_map, 7)
    assert all(low <= place < high for place in kept_places)
    if any(isinstance(segment, Remapped) for segment in axis_map) or "mean" in fills_of(axis_map):
        assert (low, high) == (0, 7)
    else:
        assert kept_length(axis_map) == len(kept_places)
        assert (low, high) == ((min(kept_places), max(kept_places) + 1) if kept_places else (0, 0))
        moved = shift_map(axis_map, low)
        assert positions(moved) == [place if isinstance(place, str) else place - low for place in whole]


@given(st.lists(st.one_of(kept(7), st.builds(Filled, st.integers(0, 3), fills)), max_size=6))
def test_merging_changes_nothing(segments):
    merged = merge_segments(segments)
    assert positions(merged) == positions([segment for segment in segments if segment.length])
    assert merge_segments(merged) == merged


def test_equal_maps_look_equal():
    assert merge_segments((Kept(1, 0), Kept(2, 1), Filled(1, 0.0), Filled(2, 0.0))) == (Kept(3, 0), Filled(3, 0.0))
    assert merge_segments((Kept(2, 0, 2), Kept(1, 4, 5))) == (Kept(2, 0, 2), Kept(1, 4))
    assert map_window((Kept(5, 0, 2),), 1, 1) == (Kept(1, 2),)
    assert map_window((Kept(3, 0),), 0, 0) == ()


def test_a_window_of_means():
    means = (Averaged(3, (Kept(3, 0), Kept(3, 3))),)
    assert map_window(means, 1, 2) == (Averaged(2, (Kept(2, 1), Kept(2, 4))),)
    assert map_window(means, 2, 3, -1) == (Averaged(3, (Kept(3, 2, -1), Kept(3, 5, -1))),)
    assert map_window(means, 0, 2, 2) == (Averaged(2, (Kept(2, 0, 2), Kept(2, 3, 2))),)
    assert (kept_length(means), old_range(means, 9)) == (3, (0, 6))
    assert shift_map(map_window(means, 1, 1), 1) == (Averaged(1, (Kept(1, 0), Kept(1, 3))),)
    assert merge_segments([Averaged(2, (Kept(2, 4),))]) == (Kept(2, 4),)


def test_identity():
    five = identity_map(5)
    assert is_identity_map(five, 5) and not is_identity_map(identity_map(4), 5) and not is_identity_map((Kept(5, 0, -1),), 5)
    assert is_identity_map(map_window(five, 0, 5), 5) and is_identity_map(compose_maps(five, five), 5)
    assert positions(identity_map(3)) == list(np.arange(3))


@pytest.mark.parametrize(
    "axis_map, length, taken",
    [
        ((Kept(3, 0),), 5, 3),
        ((Kept(3, 4, -1), Filled(2, "initial")), 5, 3),
        ((Kept(2, 0), Kept(2, 3)), 5, 4),
        ((Kept(2, 0), Kept(3, 1)), 5, 4),
        ((Kept(3, 0, 2), Kept(2, 1, 2)), 5, 5),
        ((Kept(2, 0), Kept(2, 0)), 2, 2),
        ((Kept(4, 3, -1), Kept(2, 2), Kept(2, 4)), 9, 6),
        ((Averaged(2, (Kept(2, 0), Kept(2, 4))), Kept(1, 5)), 9, 4),
        ((Filled(2, "zeros"),), 5, 0),
    ],
    ids=str,
)
def test_taken_length_counts_each_old_position_once(axis_map, length, taken):
    assert taken_length(axis_map, length) == taken
