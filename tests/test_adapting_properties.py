"""Adapted values and slots against a plain numpy oracle: random shapes, partitions, vocabularies, fills and dtypes.

One example is many small cases in one checkpoint, one graph and one session, so that thousands of them take minutes. The
oracle looks at one cell of the new value at a time and knows nothing of axis maps or tensors: on each axis the cell stands
for an old position or for a fill, and these say what is in it.
"""

import os
import shutil
import tempfile
from typing import Any, Callable, NamedTuple, Optional, Tuple

import numpy as np
import tensorflow as tf
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from estimator_warmstart import ShapeAdaptingRecoverHook, adapters

tf1 = tf.compat.v1

CASES_PER_EXAMPLE = 50
EXAMPLES = settings.default.max_examples * 3 // 100  # One costs as much as many of another test.
NOT_OPTIMIZED = tf1.ConfigProto()  # Each graph runs once.
NOT_OPTIMIZED.graph_options.rewrite_options.disable_meta_optimizer = True
DTYPES = ("float16", "float32", "float64", "int32", "int64")


class Spec(NamedTuple):
    """One step of a case: how the adapter is made (in a folder), and the oracle's side of it."""

    text: str
    make: Callable[[str], Any]
    axis: Optional[int] = None  # None: `function` takes the whole.
    sources: Tuple[Any, ...] = ()  # For each position of the axis: the position before, or a fill.
    function: Any = None


class Case(NamedTuple):
    old_shape: Tuple[int, ...]
    new_shape: Tuple[int, ...]
    dtype: str
    old_split: Tuple[int, int]  # (axis, parts)
    new_split: Tuple[int, int]
    initializer: str
    specs: Tuple[Spec, ...]

    def __repr__(self):
        return (
            f"{self.dtype} {list(self.old_shape)} in {self.old_split[1]} parts on axis {self.old_split[0]} -> "
            f"{list(self.new_shape)} in {self.new_split[1]} parts on axis {self.new_split[0]}, initial values by "
            f"{self.initializer}: {' then '.join(spec.text for spec in self.specs) or 'nothing named'}"
        )


# --- the oracle -------------------------------------------------------------------------------------------------------


def expected_value(case, old, initial, is_slot):
    value, shape = old, case.old_shape
    sources = [list(range(length)) for length in shape]
    transformed = False
    for spec in case.specs:
        if spec.function is not None:
            # What a slot has no value for before a function is 0, and 0 after it is what the slot has no value for.
            value = spec.function(evaluate(value, sources, None, is_slot and "zeros"))
            sources = [list(range(length)) for length in value.shape]
            transformed = True
            continue
        before = sources[spec.axis]
        sources[spec.axis] = [before[source] if isinstance(source, int) else source[0] for source in spec.sources]
    value = evaluate(value, sources, initial, is_slot and "initial")
    if is_slot and transformed:
        value = np.where(value == 0, initial, value)
    return value


def evaluate(old, sources, initial, slot_fill):
    if slot_fill:
        sources = [[source if isinstance(source, (int, Mean)) else slot_fill for source in axis] for axis in sources]
    shape = tuple(len(axis) for axis in sources)
    value = np.zeros(shape, old.dtype)
    for cell in np.ndindex(*shape):
        places = [axis[position] for axis, position in zip(sources, cell)]
        value[cell] = cell_value(old, tuple(places), None if initial is None else initial[cell])
    return value


def cell_value(old, places, initial):
    """What is in a cell: the fill of the first axis on which it is new, else the old value."""
    for axis, place in enumerate(places):
        if isinstance(place, str) and place == "initial":
            return initial
        if isinstance(place, str) and place == "zeros":
            return 0
        if isinstance(place, Mean) or (isinstance(place, str) and place == "mean"):
            behind = [other for other in places[axis + 1 :] if not isinstance(other, (int, Mean)) and other != "mean"]
            if behind and isinstance(behind[0], str) and behind[0] == "initial":
                return initial  # There is nothing old of which to take a mean.
            rows = place.rows if isinstance(place, Mean) else range(old.shape[axis])
            along = [cell_value(old, places[:axis] + (i,) + places[axis + 1 :], initial) for i in rows]
            mean = np.mean(np.array(along, np.float64)) if along else 0
            return np.rint(mean) if old.dtype.kind == "i" else old.dtype.type(mean)
        if not isinstance(place, int):
            return place.value
    return old[places]


class Mean(NamedTuple):
    """The mean of old positions, which may be named twice."""

    rows: Tuple[int, ...]


class Number(NamedTuple):
    """A fill that is a number, not to be taken for a position."""

    value: float


# --- cases ------------------------------------------------------------------------------------------------------------


def fills(dtype, with_initial=True):
    numbers = [0, 7, -3] if dtype.startswith("int") else [0, 7, -2.5, 0.1]
    named = ["zeros", "mean"] + (["initial", "initial"] if with_initial else [])
    return st.sampled_from(named + [Number(number) for number in numbers])


def as_argument(fill):
    return fill.value if isinstance(fill, Number) else fill


lengths = st.sampled_from([1, 2, 3, 3, 4, 5, 6, 1, 2, 3, 4, 5, 0])


@st.composite
def cases(draw):
    dtype = draw(st.sampled_from(DTYPES))
    old_shape = tuple(draw(lengths) for _ in range(draw(st.sampled_from([2, 1, 2, 3, 0, 2, 4, 1]))))
    shape, specs = old_shape, []
    with_function = draw(st.integers(0, 4)) == 0
    if with_function:
        for _ in range(draw(st.integers(0, 1))):
            specs, shape = more(draw, specs, shape, dtype, with_initial=False)
        spec = draw(functions(shape))
        specs, shape = specs + [spec], spec.function(np.zeros(shape)).shape
    for _ in range(draw(st.integers(0, 2))):
        specs, shape = more(draw, specs, shape, dtype)
    if draw(st.booleans()) and shape:
        after = tuple(max(0, length + draw(st.sampled_from([0, 0, -1, -2, 1, 2, 3]))) for length in shape)
        specs, shape = specs + crop_or_pad(draw, shape, after, dtype, plain=not specs), after
    return Case(
        old_shape,
        shape,
        dtype,
        draw(splits(old_shape)),
        draw(splits(shape)),
        draw(st.sampled_from(["arange", "fill", "splat", "arithmetic"])),
        tuple(specs),
    )


def more(draw, specs, shape, dtype, with_initial=True):
    if not shape:
        return specs, shape
    axis = draw(st.integers(0, len(shape) - 1))
    kind = draw(st.sampled_from(["rows", "rows", "segments", "take", "buckets"]))
    if kind == "rows" and any(spec.axis == axis and has_means(spec) for spec in specs):
        kind = "segments"  # Remapping after means is refused.
    if kind == "take" or shape[axis] == 0:
        return specs + slices(draw, shape), tuple(len(range(*item.indices(n))) for item, n in zip(_LAST_SLICES, shape))
    make = {"rows": remap_rows, "segments": remap_segments, "buckets": rehash_rows}[kind]
    if not specs and draw(st.integers(0, 2)) == 0:  # Means are of the old value's own rows.
        make = draw(st.sampled_from([similar_rows, fewer_buckets]))
    spec = make(draw, axis, len(shape), shape[axis], draw(fills(dtype, with_initial)))
    return specs + [spec], shape[:axis] + (len(spec.sources),) + shape[axis + 1 :]


_LAST_SLICES = []


def slices(draw, shape):
    ends = st.one_of(st.none(), st.integers(-4, 5))
    items = [slice(draw(ends), draw(ends), draw(st.sampled_from([None, 1, 2, -1, -2, 3]))) for _ in shape]
    _LAST_SLICES[:] = items
    # One adapter, one spec for each axis: only the first makes it.
    make = [lambda folder: adapters.take(tuple(items))] + [None] * (len(shape) - 1)
    return [
        Spec(f"take({items})" if axis == 0 else "..", make[axis], axis, tuple(range(length)[items[axis]]))
        for axis, length in enumerate(shape)
    ]


def crop_or_pad(draw, before, after, dtype, plain):
    of_axes = [draw(fills(dtype)) for _ in before] if draw(st.booleans()) else [draw(fills(dtype))] * len(before)
    argument = as_argument(of_axes[0]) if len(set(of_axes)) == 1 else tuple(map(as_argument, of_axes))
    named = not plain or argument != "initial" or draw(st.booleans())
    make = [(lambda folder: adapters.crop_or_pad(argument)) if named else None] + [None] * (len(before) - 1)
    return [
        Spec(
            f"crop_or_pad({argument})" if axis == 0 else "..",
            make[axis],
            axis,
            tuple(position if position < old else (fill,) for position in range(new)),
        )
        for axis, (old, new, fill) in enumerate(zip(before, after, of_axes))
    ]


def remap_rows(draw, axis, rank, rows, fill):
    size = draw(st.integers(1, rows))
    # More tokens in the file than count, sometimes.
    old = list(draw(st.permutations([f"t{number}" for number in range(size + draw(st.integers(0, 1)))])))
    counted = old[:size]
    kept = [token for token in old if draw(st.integers(0, 3))]
    new = list(draw(st.permutations(kept + [f"n{number}" for number in range(draw(st.integers(0 if kept else 1, 2)))])))
    aliases = {token: draw(st.sampled_from(counted)) for token in new if draw(st.integers(0, 7)) == 0}
    buckets = draw(st.sampled_from([0, 0, 1, rows - size]))
    sources = []
    for token in new:
        meant = aliases.get(token, token)
        sources.append(counted.index(meant) if meant in counted else (fill,))
    keeps_buckets = buckets == rows - size
    sources += [size + bucket if keeps_buckets else (fill,) for bucket in range(buckets)]
    forms = [draw(st.sampled_from(["file", "unended", "crlf", "str", "bytes"])) for _ in range(2)]
    options = dict(axis=draw(st.sampled_from([axis, axis - rank])), num_oov_buckets=buckets, fill=as_argument(fill))
    if aliases or draw(st.booleans()):
        options["aliases"] = aliases
    if size < len(old):
        options["old_vocab_size"] = size

    def make(folder):
        return adapters.remap_rows(vocabulary(folder, old, forms[0]), vocabulary(folder, new, forms[1]), **options)

    return Spec(f"remap_rows({old} {forms[0]}, {new} {forms[1]}, {options})", make, axis, tuple(sources))


def rehash_rows(draw, axis, rank, rows, fill):
    times = draw(st.integers(1, 3))
    at = draw(st.sampled_from([axis, axis - rank]))
    sources = tuple(range(rows)) * times
    return Spec(
        f"rehash_rows({rows}, {rows * times})", lambda folder: adapters.rehash_rows(rows, rows * times, axis=at), axis, sources
    )


def has_means(spec):
    return any(isinstance(source, tuple) and isinstance(source[0], Mean) for source in spec.sources)


def fewer_buckets(draw, axis, rank, rows, fill):
    new = draw(st.sampled_from([number for number in range(1, rows + 1) if rows % number == 0]))
    sources = tuple((Mean(tuple(range(row, rows, new))),) for row in range(new))
    return Spec(f"rehash_rows({rows}, {new}, {axis})", lambda folder: adapters.rehash_rows(rows, new, axis=axis), axis, sources)


def similar_rows(draw, axis, rank, rows, fill):
    old = [f"t{number}" for number in range(rows)]
    new = list(draw(st.permutations([*old[: draw(st.integers(0, rows))], "n0", "n1", "n2"])))
    names = draw(st.lists(st.sampled_from(new), unique=True))
    similar = {name: draw(st.lists(st.sampled_from(old), min_size=1, max_size=4)) for name in names}
    sources = tuple(
        (Mean(tuple(map(old.index, similar[token]))),) if token in similar else old.index(token) if token in old else (fill,)
        for token in new
    )
    form = draw(st.sampled_from(["file", "str"]))

    def make(folder):
        files = [vocabulary(folder, tokens, form) for tokens in (old, new)]
        return adapters.remap_rows(*files, axis=axis, fill=as_argument(fill), similar=similar)

    return Spec(f"remap_rows({old}, {new}, similar={similar}, {axis}, {fill})", make, axis, sources)


def vocabulary(folder, tokens, form):
    if form in ("str", "bytes"):
        return tokens if form == "str" else [token.encode() for token in tokens]
    ending = "\r\n" if form == "crlf" else "\n"
    handle, path = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "wb") as file:
        file.write((ending.join(tokens) + ("" if form == "unended" else ending)).encode())
    return path


def remap_segments(draw, axis, rank, rows, fill):
    old, left = {}, rows
    while left:
        old[f"f{len(old)}"] = width = draw(st.integers(1, left))
        left -= width
    names = list(draw(st.permutations(list(old) + ["new"])))[: draw(st.integers(1, len(old) + 1))]
    new = {name: draw(st.integers(1, old.get(name, 1) + 1)) for name in names}
    starts = dict(zip(old, np.cumsum([0] + list(old.values()))))
    sources = tuple(
        int(starts[name]) + i if i < old.get(name, 0) else (fill,) for name, width in new.items() for i in range(width)
    )
    at = draw(st.sampled_from([axis, axis - rank]))

    def make(folder):
        return adapters.remap_segments(old, new, axis=at, fill=as_argument(fill))

    return Spec(f"remap_segments({old}, {new}, {at}, {fill})", make, axis, sources)


@st.composite
def functions(draw, shape):
    """What takes the whole tensor; only such as keep values and make zeros, for which slots have one right answer."""
    choices = [
        ("transpose", adapters.transform(tf.transpose), np.transpose),
        ("newaxis", adapters.take(np.newaxis), lambda value: value[np.newaxis]),
        ("flatten", adapters.transform(lambda tensor: tf.reshape(tensor, [-1])), np.ravel),
    ]
    if shape:
        padding = [[1, 0]] + [[0, 1]] * (len(shape) - 1)
        choices += [
            ("pad", adapters.transform(lambda tensor: tf.pad(tensor, padding)), lambda old: np.pad(old, padding, "constant")),
            ("reverse", adapters.transform(lambda tensor: tf.reverse(tensor, [0])), lambda value: value[::-1]),
        ]
    if shape and shape[0]:
        at = draw(st.integers(-shape[0], shape[0] - 1))
        choices.append((f"row {at}", adapters.take(np.s_[at, ...]), lambda value: value[at]))
    text, adapter, function = draw(st.sampled_from(choices))
    return Spec(text, lambda folder: adapter, None, (), function)


@st.composite
def splits(draw, shape):
    axes = [axis for axis, length in enumerate(shape) if length > 1 and 0 not in shape]
    if not axes or draw(st.booleans()):
        return (0, 1)
    return draw(st.sampled_from(axes)), draw(st.integers(2, 3))


# --- both sides in files, graph and session ---------------------------------------------------------------------------


def old_values(case, number):
    """Values that differ from each other and from every fill; the slot's are never 0."""
    count = int(np.prod(case.old_shape))
    values = np.arange(100 + number % 7, 100 + number % 7 + count).reshape(case.old_shape)
    return values.astype(case.dtype), (values + 1000).astype(case.dtype)


def initial_values(case, is_slot):
    start = 9000 if is_slot else 8000
    if case.initializer != "arange":
        return np.full(case.new_shape, start, case.dtype)
    # Even ones: a float16 of this size holds no others.
    return (start + 8 * np.arange(int(np.prod(case.new_shape)))).astype(case.dtype).reshape(case.new_shape)


class Initializer:
    """The share of a part of the whole variable's initial values, made in one of several ways."""

    def __init__(self, values, kind):
        self.values, self.kind = values, kind

    def __call__(self, shape, dtype=None, partition_info=None):
        shape = tuple(int(length) for length in shape)
        offset = partition_info.var_offset if partition_info else (0,) * len(shape)
        part = self.values[tuple(slice(begin, begin + length) for begin, length in zip(offset, shape))]
        if self.kind == "arange" or not part.size:
            return tf.constant(part)
        value = tf.constant(part.ravel()[0])
        if self.kind == "fill":
            return tf.fill(shape, value)
        if self.kind == "splat":
            return tf.constant(part.ravel()[0], shape=shape)
        return tf.ones(shape, value.dtype) * (value + 1) - tf.ones([], value.dtype)


def save(folder, numbered):
    entries = []
    for number, case in numbered:
        for name, value in zip((f"c{number}/v", f"c{number}/v/Slot"), old_values(case, number)):
            entries += [(name, spec, part) for spec, part in stored_parts(value, *case.old_split)]
    names, specs, parts = zip(*entries)
    prefix = os.path.join(folder, "model.ckpt")
    with tf.Graph().as_default(), tf1.Session() as session:
        tensors = [tf.constant(part) for part in parts]
        session.run(tf.raw_ops.SaveV2(prefix=prefix, tensor_names=list(names), shape_and_slices=list(specs), tensors=tensors))
    return prefix


def stored_parts(value, axis, count):
    """What a Saver stores of a value in `count` parts along `axis`, each with its slice spec."""
    if count == 1:
        return [("", value)]
    parts, begin = [], 0
    for part in np.array_split(value, min(count, value.shape[axis]), axis):
        box = [(0, length) for length in value.shape]
        box[axis] = (begin, part.shape[axis])
        begin += part.shape[axis]
        parts.append((" ".join(map(str, value.shape)) + " " + ":".join(f"{a},{b}" for a, b in box), part))
    return parts


def make_variable(name, case, values, **options):
    axis, parts = case.new_split
    variable = tf1.get_variable(
        name,
        case.new_shape,
        dtype=tf.as_dtype(case.dtype),
        initializer=Initializer(values, case.initializer),
        partitioner=tf1.fixed_size_partitioner(parts, axis) if parts > 1 else None,
        **options,
    )
    return list(variable) if parts > 1 else variable


def recover(folder, numbered, use_resource, by_initializers):
    prefix = save(folder, numbered)
    named = {}
    with tf.Graph().as_default():
        variables = [
            [
                make_variable(name, case, initial_values(case, is_slot), use_resource=use_resource, trainable=not is_slot)
                for name, is_slot in ((f"c{number}/v", False), (f"c{number}/v/Slot", True))
            ]
            for number, case in numbered
        ]
        for number, case in numbered:
            made = [spec.make(folder) for spec in case.specs if spec.make is not None]
            if made:
                named[f"c{number}/v"] = made[0] if len(made) == 1 else made
        hook = ShapeAdaptingRecoverHook(prefix, None, named)
        init = tf1.global_variables_initializer()
        hook.begin()
        with tf1.Session(config=NOT_OPTIMIZED) as session:
            if by_initializers:
                session.run(init)
            else:
                hook.after_create_session(session, None)
            return session.run(variables)


def whole(case, value):
    return np.concatenate(value, case.new_split[0]) if case.new_split[1] > 1 else value


@settings(
    max_examples=EXAMPLES,
    suppress_health_check=list(HealthCheck),
    # Each case stands for itself and the message names the shortest: nothing to shrink, no need to show them all.
    phases=[Phase.explicit, Phase.generate],
    verbosity=Verbosity.quiet,
)
@given(st.lists(cases(), min_size=CASES_PER_EXAMPLE, max_size=CASES_PER_EXAMPLE), st.booleans(), st.booleans())
def test_values_and_slots_are_those_of_the_oracle(drawn, use_resource, by_initializers):
    folder = tempfile.mkdtemp()
    try:
        numbered = list(enumerate(drawn))
        found = recover(folder, numbered, use_resource, by_initializers)
        wrong = []
        for (number, case), pair in zip(numbered, found):
            for is_slot, value, old in zip((False, True), pair, old_values(case, number)):
                value, expected = whole(case, value), expected_value(case, old, initial_values(case, is_slot), is_slot)
                assert value.dtype == expected.dtype
                exact = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-15}.get(case.dtype, 0)
                if value.shape != expected.shape or not np.allclose(value, expected, rtol=exact, atol=0):
                    what = "slot" if is_slot else "value"
                    wrong.append(f"{case}:\n{what}\n{value}\ninstead of\n{expected}\nold\n{old}")
        assert not wrong, f"{len(wrong)} wrong\n" + min(wrong, key=len)
    finally:
        shutil.rmtree(folder)
