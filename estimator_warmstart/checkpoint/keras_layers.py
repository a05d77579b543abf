"""What Keras calls the variables of a layer, of which its files have only numbers."""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

_KERNEL_AND_BIAS = ("kernel", "bias")
_RECURRENT = ("kernel", "recurrent_kernel", "bias")
# {class as the file spells it: its variables in order}. A layer without a bias has the others.
_VARIABLES = {
    "dense": _KERNEL_AND_BIAS,
    "einsum_dense": _KERNEL_AND_BIAS,
    "embedding": ("embeddings",),
    "p_re_lu": ("alpha",),
    **{f"conv{rank}d{kind}": _KERNEL_AND_BIAS for rank in (1, 2, 3) for kind in ("", "_transpose")},
    **{f"depthwise_conv{rank}d": _KERNEL_AND_BIAS for rank in (1, 2)},
    **{f"separable_conv{rank}d": ("depthwise_kernel", "pointwise_kernel", "bias") for rank in (1, 2)},
    **{f"{kind}_cell": _RECURRENT for kind in ("lstm", "gru", "simple_rnn")},
}
# {class: those of its variables that it always has}, after gamma (unless scale=False) and beta (unless center=False).
_NORMALIZATIONS = {
    "batch_normalization": ("moving_mean", "moving_variance"),
    "layer_normalization": (),
    "group_normalization": (),
}
# {class: the class of the layers in its attributes}
_INNER = {"multi_head_attention": "einsum_dense", "grouped_query_attention": "einsum_dense"}
# Groups that hold no variable of the model.
_NOT_OF_THE_MODEL = re.compile(r"(optimizer|metrics|compile_metrics|loss_tracker)(/|$)|(.*/)?seed_generator(_\d+)?$")
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
# Variables are not named after these: a model of the functional API makes no scope.
_WITHOUT_SCOPE = "functional"
_MOST_LEVELS = 100


class KerasLayer(NamedTuple):
    """A layer in `config.json`: its class as the file spells it (`batch_normalization`), its name and its arguments."""

    kind: str
    name: str
    arguments: Mapping[str, object]


def layers_of_config(config: object) -> Dict[str, KerasLayer]:
    """Returns {group of a layer in the weights file: the layer}. What is not as Keras writes it is left out."""
    layers: Dict[str, KerasLayer] = {}
    inner = config.get("config") if isinstance(config, dict) else None
    if isinstance(inner, dict):
        _add_layers("", inner, layers, _MOST_LEVELS)
    return layers


def _add_layers(group: str, arguments: Mapping[str, object], layers: Dict[str, KerasLayer], levels: int) -> None:
    held = arguments.get("layers")
    counts: Dict[str, int] = {}
    inner = []
    for config in held if isinstance(held, list) else []:
        if isinstance(config, dict):
            kind = snake_case(str(config.get("class_name")))
            count = counts[kind] = counts.get(kind, -1) + 1
            inner.append((f"layers/{kind}_{count}" if count else f"layers/{kind}", config))
    # A layer that wraps another, such as TimeDistributed.
    inner += [(key, value) for key, value in arguments.items() if isinstance(value, dict) and "class_name" in value]
    for place, config in inner if levels else []:
        its_arguments = config.get("config")
        if isinstance(its_arguments, dict):
            its_group = f"{group}/{place}".strip("/")
            kind = snake_case(str(config["class_name"])) if "class_name" in config else ""
            layers[its_group] = KerasLayer(kind, str(its_arguments.get("name", "")), its_arguments)
            _add_layers(its_group, its_arguments, layers, levels - 1)


def snake_case(name: str) -> str:
    """Returns the name of a class as Keras's files spell it: `DepthwiseConv2D` is `depthwise_conv2d`.

    Source: `to_snake_case` in keras/src/utils/naming.py.
    """
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def path_in_model(group: str, layers: Mapping[str, KerasLayer], said: Mapping[str, Optional[str]]) -> Optional[str]:
    """Returns the path of a layer in the model, such as `tower/hidden`; `None` if it is not the model's.

    Args:
      group: the layer's group in the weights file.
      layers: those of `config.json`, by group.
      said: the names that newer files have themselves, by group.
    """
    if _NOT_OF_THE_MODEL.match(group):
        return None
    parts = group.split("/") if group else []
    path: List[str] = []
    for end, part in enumerate(parts, 1):
        here = "/".join(parts[:end])
        is_container = part in _CONTAINERS and here not in layers and said.get(here) is None
        if not is_container and _kind(here, layers, said) != _WITHOUT_SCOPE:
            path.append(said.get(here) or (layers[here].name if here in layers else "") or part)
    return "/".join(path)


def _kind(group: str, layers: Mapping[str, KerasLayer], said: Mapping[str, Optional[str]]) -> str:
    if group in layers:
        return layers[group].kind
    before, _, last = group.rpartition("/")
    inner = _INNER.get(_kind(before, layers, said)) if before else None
    if inner is not None:
        return inner
    # In a list of layers, a group is called after its class, elsewhere after an attribute; a layer without a name of its own is
    # called after its class too.
    name = last if before.rpartition("/")[2] in _CONTAINERS else said.get(group) or last
    return re.sub(r"_\d+$", "", name)


def variable_names(
    group: str,
    numbers: Sequence[str],
    layers: Mapping[str, KerasLayer],
    said: Mapping[str, Optional[str]],
    is_keras_2: bool = False,
) -> Dict[str, str]:
    """Returns {number in the file: name} of a layer's variables; where the name is not known, it is `vars/NUMBER`.

    Args:
      group: the layer's group in the weights file.
      numbers: those of its variables, in order.
      layers: those of `config.json`, by group.
      said: the names that newer files have themselves, by group.
      is_keras_2: whether Keras 2 wrote the file, which calls a depthwise kernel otherwise.
    """
    kind = _kind(group, layers, said)
    arguments = layers[group].arguments if group in layers else None
    known: List[Optional[str]] = [None] * len(numbers)
    if kind in _NORMALIZATIONS:
        known = _of_normalization(_NORMALIZATIONS[kind], len(numbers), arguments)
    elif len(numbers) <= len(_VARIABLES.get(kind, ())):
        known = list(_VARIABLES[kind][: len(numbers)])
        if is_keras_2 and kind.startswith("depthwise"):
            known[0] = "depthwise_kernel"
    return {number: name or f"vars/{number}" for number, name in zip(numbers, known)}


def _of_normalization(always: Sequence[str], count: int, arguments: Optional[Mapping[str, object]]) -> List[Optional[str]]:
    in_front: List[Optional[str]] = ["gamma", "beta"]
    if arguments is not None:
        in_front = [
            name for name, argument in (("gamma", "scale"), ("beta", "center")) if arguments.get(argument, True) is not False
        ]
    if count in (len(in_front) + len(always), len(always)):
        return [*in_front, *always][-count:] if count else []
    if arguments is None and count == 1 + len(always):
        return [None, *always]  # One of gamma and beta; the file does not say which.
    return [None] * count
