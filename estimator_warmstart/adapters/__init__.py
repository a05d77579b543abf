"""Adapters: how an old value becomes one of the new shape, vocabulary or dtype."""

from estimator_warmstart.adapters.basic import cast, compose, crop_or_pad, take
from estimator_warmstart.adapters.feature_columns import remap_feature_columns
from estimator_warmstart.adapters.growth import hash_buckets, rehash_rows
from estimator_warmstart.adapters.perturb import shrink_perturb
from estimator_warmstart.adapters.remap import remap_rows, remap_segments
from estimator_warmstart.adapters.whole_values import reshape, transform

__all__ = [
    "cast",
    "compose",
    "crop_or_pad",
    "hash_buckets",
    "rehash_rows",
    "remap_feature_columns",
    "remap_rows",
    "remap_segments",
    "reshape",
    "shrink_perturb",
    "take",
    "transform",
]
