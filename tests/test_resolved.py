"""What is read and where it goes, as plain data, before there is a file or a graph."""

import numpy as np
import pytest

from estimator_warmstart import adapters
from estimator_warmstart.adapters.axis_map import Averaged, Filled, Kept, Remapped
from estimator_warmstart.adapters.resolved import ResolvedValue, resolve
from estimator_warmstart.adapters.transforms import Apply, Cast, MapAxis, Reshape, Scale, ShrinkPerturb, for_slot
from estimator_warmstart.tensors import TensorSlice, whole_slice


def resolved(adapter, old, new, at=None, dtype="float32", new_dtype="float32"):
    """Resolves the slice `at`, an (offset, shape), of what `adapter` makes."""
    return resolve(adapter.steps(old, new, dtype, new_dtype), old, TensorSlice(*at) if at else whole_slice(new))


def double(value):
    return value * 2


def test_without_transforms_a_slice_is_read_as_it_is():
    assert resolve((), (5, 2), TensorSlice((3, 0), (2, 2))) == ResolvedValue(
        source_shape=(5, 2),
        slice_to_read=TensorSlice((3, 0), (2, 2)),
        whole_stages=(),
        elementwise=(),
        mapped_shape=(2, 2),
        axis_maps=((Kept(2, 0),), (Kept(2, 0),)),
        remappings=(),
        pads_zeros=False,
    )
    assert resolve((), (), TensorSlice((), ())).slice_as_it_is == TensorSlice((), ())
    assert resolve((), (0, 3), TensorSlice((0, 0), (0, 3))).slice_as_it_is == TensorSlice((0, 0), (0, 3))


def test_a_grown_value_reads_what_it_keeps():
    found = resolved(adapters.crop_or_pad("mean"), (3, 2), (3, 5))
    assert found.slice_to_read == TensorSlice((0, 0), (3, 2))
    assert found.axis_maps == ((Kept(3, 0),), (Kept(2, 0), Filled(3, "mean")))
    assert (found.shape, found.fills, found.changed_axes, found.slice_as_it_is) == ((3, 5), ("mean",), (1,), None)


def test_a_part_reads_only_its_share():
    # Rows 2 to 5 of a table that grew from 4 rows to 7: the old rows 2 and 3, then new ones.
    found = resolved(adapters.crop_or_pad(), (4, 2), (7, 2), ((2, 0), (4, 2)))
    assert found.slice_to_read == TensorSlice((2, 0), (2, 2))
    assert (found.mapped_shape, found.axis_maps[0]) == ((2, 2), (Kept(2, 0), Filled(2, "initial")))


def test_positions_count_from_the_slice_that_is_read():
    # The rows 5, 3 of 8, backwards: the slice from 3 to 5 is read.
    found = resolved(adapters.take(np.s_[5:1:-2]), (8,), (2,))
    assert (found.slice_to_read, found.axis_maps) == (TensorSlice((3,), (3,)), ((Kept(2, 2, -2),),))


def test_a_part_that_stays_where_it_was_is_read_as_it_is():
    found = resolved(adapters.crop_or_pad(), (4, 2), (7, 2), ((1, 0), (3, 2)))
    assert found.slice_as_it_is == TensorSlice((1, 0), (3, 2))


def test_a_mean_needs_the_whole_axis():
    found = resolved(adapters.crop_or_pad("mean"), (4, 2), (7, 2), ((3, 0), (2, 2)))
    assert (found.slice_to_read, found.axis_maps[0]) == (TensorSlice((0, 0), (4, 2)), (Kept(1, 3), Filled(1, "mean")))


@pytest.mark.parametrize(
    "old, new, at, mapped_shape, axis_maps",
    [
        ((4, 2), (7, 2), ((4, 0), (3, 2)), (1, 2), ((Filled(3, 7),), (Kept(2, 0),))),
        ((4, 2), (7, 3), ((5, 1), (2, 2)), (1, 1), ((Filled(2, 7),), (Kept(1, 0), Filled(1, 7)))),
        ((0, 2), (1, 2), ((0, 0), (1, 2)), (0, 2), ((Filled(1, 7),), (Kept(2, 0),))),
    ],
    ids=["new rows", "new rows with new columns", "nothing old"],
)
def test_a_part_of_new_rows_reads_nothing(old, new, at, mapped_shape, axis_maps):
    found = resolved(adapters.crop_or_pad(7), old, new, at)
    assert (found.slice_to_read, found.mapped_shape, found.axis_maps) == (None, mapped_shape, axis_maps)
    assert (found.shape, found.fills) == (at[1], (7,))


def test_an_empty_part_reads_nothing():
    assert resolved(adapters.crop_or_pad(), (4, 2), (0, 2)).slice_to_read is None


def test_axis_maps_after_the_last_function_are_composed():
    both = adapters.compose(adapters.take(np.s_[1:]), adapters.crop_or_pad("zeros"))
    found = resolved(both, (4,), (5,))
    assert (found.slice_to_read, found.axis_maps) == (TensorSlice((1,), (3,)), ((Kept(3, 0), Filled(2, "zeros")),))


def test_stages_up_to_the_last_function_read_the_whole_and_stay_apart():
    adapter = adapters.compose(
        adapters.crop_or_pad("mean"),
        adapters.take(np.s_[:3]),
        adapters.transform(double),
        adapters.take(np.s_[1:]),
    )
    first, second, function = adapter.steps((4,), (6,), "float32")[:3]  # Lengths 6, 3, 3 and 2.
    found = resolved(adapter, (4,), (6,), ((1,), (1,)))
    assert (found.slice_to_read, found.whole_stages) == (whole_slice((4,)), (first, second, function))
    assert first == MapAxis(0, (Kept(4, 0), Filled(2, "mean"))) and isinstance(function, Apply)
    assert (found.mapped_shape, found.axis_maps, found.pads_zeros) == ((3,), ((Kept(1, 2),),), True)


def test_an_index_that_drops_an_axis_pads_nothing():
    assert not resolved(adapters.take(np.s_[0]), (2, 3), (3,)).pads_zeros


def test_elements_are_changed_before_anything_is_filled_in():
    both = adapters.compose(adapters.crop_or_pad(0), adapters.cast())
    found = resolved(both, (2,), (3,), dtype="float64")
    assert (found.elementwise, found.axis_maps) == ((Cast("float32"),), ((Kept(2, 0), Filled(1, 0)),))
    assert resolve((Scale(2.0, "count"),), (2,), whole_slice((2,))).elementwise == (Scale(2.0, "count"),)


def test_remappings_of_all_transforms():
    first, second = adapters.remap_rows(["a", "b"], ["b", "c"]), adapters.remap_rows(["b", "c"], ["c", "b", "d"], axis=0)
    steps = adapters.compose(first, second).steps((2, 2), (3, 2), "float32")
    found = resolve(steps, (2, 2), TensorSlice((1, 0), (2, 1)))
    inner, outer = steps[0].axis_map[0], steps[1].axis_map[0]
    assert found.remappings == (inner.remapping, outer.remapping)
    assert found.axis_maps[0] == (Remapped(2, 1, 1, outer.remapping, "initial", (inner,)),)
    assert found.slice_to_read == TensorSlice((0, 0), (2, 1))  # Which rows they are is known only to a session.


def test_a_slot_is_resolved_the_same_way():
    steps = adapters.compose(adapters.crop_or_pad(7), adapters.transform(double)).steps((2,), (3,), "float32")
    found = resolve(for_slot(steps, "float32", "float32"), (2,), whole_slice((3,)))
    assert found.whole_stages[0] == MapAxis(0, (Kept(2, 0), Filled(1, "zeros")))
    assert (found.pads_zeros, found.axis_maps) == (True, ((Kept(3, 0),),))


def test_a_part_of_a_table_with_more_buckets_reads_its_share():
    # Rows 4 and 5 of 6 are the old rows 1 and 2 of 3; rows 2 and 3 are the old rows 2 and 0.
    found = resolved(adapters.rehash_rows(3, 6), (3, 2), (6, 2), ((4, 0), (2, 2)))
    assert found.slice_as_it_is == TensorSlice((1, 0), (2, 2))
    found = resolved(adapters.rehash_rows(3, 6), (3, 2), (6, 2), ((2, 0), (2, 2)))
    assert (found.slice_to_read, found.axis_maps[0]) == (TensorSlice((0, 0), (3, 2)), (Kept(1, 2), Kept(1, 0)))


def test_a_part_of_means_reads_what_they_are_of():
    # Row 1 of 2 is the mean of the old rows 1, 3 and 5 of 6: positions 0, 2 and 4 of what is read.
    found = resolved(adapters.rehash_rows(6, 2), (6,), (2,), ((1,), (1,)))
    assert found.slice_to_read == TensorSlice((1,), (5,))
    assert found.axis_maps == ((Averaged(1, (Kept(1, 0), Kept(1, 2), Kept(1, 4))),),)


def test_means_of_similar_tokens_are_rows():
    found = resolved(adapters.remap_rows(list("abc"), list("cda"), similar={"d": ["a", "b"]}), (3,), (3,))
    first, mean, last = found.axis_maps[0]
    assert mean == Averaged(1, (Kept(1, 0), Kept(1, 1)))
    assert [(segment.length, segment.start) for segment in (first, last)] == [(1, 0), (1, 2)]
    assert found.remappings == (first.remapping,)


def test_a_reshape_needs_the_whole_value():
    found = resolved(adapters.reshape(), (2, 3), (6,), ((3,), (3,)))
    assert found.whole_stages == (Reshape((6,)),)
    assert (found.slice_to_read, found.axis_maps) == (TensorSlice((0, 0), (2, 3)), ((Kept(3, 3),),))
    assert not found.pads_zeros


def test_noise_differs_by_slice_and_is_not_for_slots():
    adapter = adapters.shrink_perturb(0.5, 0.1, seed=3)
    first, second = (resolved(adapter, (4,), (4,), ((at,), (2,))).elementwise[0] for at in (0, 2))
    assert first == ShrinkPerturb(0.5, 0.1, 3, 0)
    assert second._replace(place=0) == first and second.place
    assert for_slot(adapter.steps((4,), (4,), "float32"), "float32", "float32") == ()
