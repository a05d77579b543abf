"""Eight days of clicks, generated from a known factorization machine, so that the example needs no data from outside.

Users, ads and sites have a weight and a vector each. The log-odds of a click are the factorization machine of the three, plus
the effect of the ad's price and of its position on the page. Weights and vectors drift from day to day, and users and ads are
added: otherwise, yesterday's model would already be the best that today's can become.

Equal rows and seeds give equal clicks. They are drawn by numpy, whose `RandomState` draws the same numbers in all versions.
TensorFlow's random operations do not.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, NamedTuple, Tuple

import numpy as np
import tensorflow as tf

from source import CHUNK_ROWS, BadInput, DenseChange, Part, Settings, Source, most_frequent_first

FIELD_SIZES = {"user": 600, "ad": 150, "site": 20}
FIRST_DAY_SHARE = {"user": 0.8, "ad": 0.8, "site": 1.0}
"""The share of a field's tokens that is there from the first day; the rest comes evenly over the days."""

DAYS, OLD_DAYS = 8, 6
KEPT_OVER_NIGHT = 0.95
"""How much of a weight and a vector is still there the next day: tastes drift, so yesterday's model is out of date."""

POSITIONS = 4
PLANTED_FACTORS = 4
DEFAULT_ROWS = 120000

SETTINGS = Settings(factors=8, batch_rows=128, learning_rate=0.2, l2=0.001, old_steps=1500, steps=800)


class Planted(NamedTuple):
    """The true model: per field weights `[tokens]`, vectors `[tokens, factors]` and popularity `[tokens]`."""

    weights: Dict[str, np.ndarray]
    vectors: Dict[str, np.ndarray]
    popularity: Dict[str, np.ndarray]


class Day(NamedTuple):
    """A day's rows: ids int64 `[rows, fields]`, price float32 `[rows]`, position int64 `[rows]`, clicked `[rows]`."""

    ids: np.ndarray
    price: np.ndarray
    position: np.ndarray
    clicked: np.ndarray


def load(rows: int = DEFAULT_ROWS, seed: int = 1) -> Source:
    """Six old days, the next day to train on and the day after it to evaluate on.

    Args:
        rows: how many in all; each day has an eighth of them.
        seed: another seed is another world.

    Returns:
        The three parts.

    Raises:
        BadInput: less than a row a day.
    """
    if rows < DAYS:
        raise BadInput(f"--rows {rows}: {DAYS} days need at least {DAYS} rows")
    days = [one_day(world, seed, day, rows // DAYS) for day, world in enumerate(plant(seed))]
    return Source(
        title=f"clicks generated from a factorization machine (seed {seed})",
        task="click",
        fields=tuple(FIELD_SIZES),
        dense_widths={"price": 1, "position": POSITIONS},
        dense_change=DenseChange(old={"position": POSITIONS}, new={"price": 1, "position": POSITIONS}),
        old=_part(f"days 1 to {OLD_DAYS}", days[:OLD_DAYS]),
        train=_part(f"day {OLD_DAYS + 1}", days[OLD_DAYS : OLD_DAYS + 1]),
        evaluation=_part(f"day {DAYS}", days[OLD_DAYS + 1 :]),
        hash_buckets=None,
        settings=SETTINGS,
    )


def plant(seed: int) -> List[Planted]:
    """Draws the true model of each day, in their order."""
    random = np.random.RandomState([seed, 0])
    popularity = {field: random.lognormal(0.0, 1.0, size) for field, size in FIELD_SIZES.items()}

    def draw() -> Planted:
        weights = {field: random.normal(0.0, 0.6, size) for field, size in FIELD_SIZES.items()}
        vectors = {field: random.normal(0.0, 0.5, (size, PLANTED_FACTORS)) for field, size in FIELD_SIZES.items()}
        return Planted(weights, vectors, popularity)

    worlds = [draw()]
    while len(worlds) < DAYS:
        worlds.append(_drifted(worlds[-1], draw()))
    return worlds


def _drifted(world: Planted, other: Planted) -> Planted:
    """A little of another world in each day's; the spread of weights and vectors stays what it is."""

    def mix(old: Dict[str, np.ndarray], new: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        return {field: KEPT_OVER_NIGHT * old[field] + (1 - KEPT_OVER_NIGHT**2) ** 0.5 * new[field] for field in old}

    return Planted(mix(world.weights, other.weights), mix(world.vectors, other.vectors), world.popularity)


def one_day(world: Planted, seed: int, day: int, rows: int) -> Day:
    """Draws who sees what on a day (counted from 0), and who clicks."""
    random = np.random.RandomState([seed, 1, day])
    ids = []
    for field, size in FIELD_SIZES.items():
        share = FIRST_DAY_SHARE[field]
        there = int(size * (share + (1.0 - share) * day / (DAYS - 1)))
        popularity = world.popularity[field][:there]
        ids.append(random.choice(there, rows, p=popularity / popularity.sum()))
    price = random.uniform(0.0, 1.0, rows)
    position = random.randint(0, POSITIONS, rows)
    log_odds = _log_odds(world, ids, price, position)
    clicked = random.uniform(0.0, 1.0, rows) < 1.0 / (1.0 + np.exp(-log_odds))
    return Day(np.stack(ids, axis=1), price.astype(np.float32), position, clicked.astype(np.float32))


def _log_odds(world: Planted, ids: list, price: np.ndarray, position: np.ndarray) -> np.ndarray:
    drawn = dict(zip(FIELD_SIZES, ids))
    vectors = [world.vectors[field][drawn[field]] for field in FIELD_SIZES]
    together = np.square(np.sum(vectors, axis=0)) - np.sum(np.square(vectors), axis=0)
    weights = sum(world.weights[field][drawn[field]] for field in FIELD_SIZES)
    return -0.8 + weights + 0.5 * together.sum(axis=1) - 1.2 * price - 0.4 * position


def _part(when: str, days: list) -> Part:
    whole = Day(*(np.concatenate(columns) for columns in zip(*days)))
    tokens = [f"{field}={value}" for field, ids in zip(FIELD_SIZES, whole.ids.T) for value in ids.tolist()]
    return Part(when, len(whole.clicked), lambda: _chunks(whole), most_frequent_first(tokens))


def _chunks(day: Day) -> tf.data.Dataset:
    def pieces() -> Iterator[Tuple[np.ndarray, ...]]:
        for begin in range(0, len(day.clicked), CHUNK_ROWS):
            yield tuple(column[begin : begin + CHUNK_ROWS] for column in day)

    # A generator and not `from_tensor_slices`, which would put all rows into the graph as constants.
    dataset = tf.data.Dataset.from_generator(
        pieces,
        output_types=(tf.int64, tf.float32, tf.int64, tf.float32),
        output_shapes=([None, len(FIELD_SIZES)], [None], [None], [None]),
    )
    return dataset.map(examples)


def examples(
    ids: tf.Tensor, price: tf.Tensor, position: tf.Tensor, clicked: tf.Tensor
) -> Tuple[Dict[str, tf.Tensor], tf.Tensor]:
    """A `Day`'s columns to features and labels, as `Part.chunks` promises them."""
    numbers = tf.unstack(tf.strings.as_string(ids), axis=1)
    tokens = [tf.strings.join([f"{field}=", number]) for field, number in zip(FIELD_SIZES, numbers)]
    features = {
        "tokens": tf.stack(tokens, axis=1),
        "price": tf.expand_dims(price, 1),
        "position": tf.one_hot(position, POSITIONS),
    }
    return features, clicked
