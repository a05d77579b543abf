"""The variables of a model that is eager: a Keras model, a `tf.Module` or a dict, by the names that a user gives them.

A plan is made of `NewVariable` records. Here an object says what elsewhere the collections of a graph do.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Tuple

from estimator_warmstart._tf import copies_of, tf, tf1
from estimator_warmstart._tf_objects import is_eager, object_paths, tensorflow_variable
from estimator_warmstart.errors import WarmStartError, first_few
from estimator_warmstart.graph.variables import NewVariable, Part

_MODELS = "a Keras model, a tf.Module or a dict {name: tf.Variable}"


class EagerModel(NamedTuple):
    """A model as far as its variables tell.

    Attributes:
      variables: {name: what the model holds}, a `tf.Variable` or Keras 3's, in the model's order.
      trainable: the names of those that are trained.
    """

    variables: Mapping[str, Any]
    trainable: Tuple[str, ...]

    def new_variables(self) -> Dict[str, NewVariable]:
        """The model's own variables, as a plan knows them."""
        return {name: new_variable(name, held) for name, held in self.variables.items()}

    def name_of(self, variable: Any) -> str:
        """The name of a variable of the model, whichever of its objects is given; empty for any other object."""
        return next(
            (name for name, held in self.variables.items() if any(variable is one for one in _objects(held))),
            "",
        )


def eager_model(model: Any, input_shape: Any = None) -> EagerModel:
    """Names the variables of `model`.

    Args:
      model: a Keras model of any generation, a `tf.Module` or `{name: variable}`.
      input_shape: of one batch, to build a Keras model with that is not built.

    Raises:
      WarmStartError: for what is none of these, has no variables, or has several of one name.
    """
    if isinstance(model, Mapping):
        named = list(model.items())
        _check_dict(named)
        trainable = [held for _, held in named if getattr(held, "trainable", False)]
    else:
        held_variables, trainable = _variables(model, input_shape)
        _check_variables(held_variables)
        named = [(_name(held, getattr(model, "name", "")), held) for held in held_variables]
        _refuse_shared_names(model, named)
    names = {id(held): name for name, held in named}
    return EagerModel(dict(named), tuple(names[id(held)] for held in trainable if id(held) in names))


def new_variable(name: str, held: Any, **known: Any) -> NewVariable:
    """The record of one eager variable.

    Args:
      name: what a plan calls it.
      held: a `tf.Variable` or Keras 3's.
      **known: further fields of the record.
    """
    variable = tensorflow_variable(held)
    if variable is None:
        raise LookupError(f"{name!r} is not a variable")
    has_shape = variable.shape.is_fully_defined()
    shape = tuple(variable.shape.as_list()) if has_shape else ()
    part = Part(name, (0,) * len(shape), shape, variable, tuple(copies_of(variable)))
    fields = {"has_static_shape": has_shape, "is_step": name == tf1.GraphKeys.GLOBAL_STEP, **known}
    return NewVariable(name, shape, variable.dtype.base_dtype.name, (part,), **fields)


def _objects(held: Any) -> List[Any]:
    variable = tensorflow_variable(held)
    return [held, variable, *copies_of(variable)]


def _variables(model: Any, input_shape: Any) -> Tuple[List[Any], List[Any]]:
    """The variables of a model or module, and those of them that are trained."""
    # Of the class: before it is built a model of Keras 2 raises where its weights are asked for.
    is_keras = hasattr(type(model), "weights") and hasattr(type(model), "trainable_variables")
    if isinstance(model, type) or not (is_keras or isinstance(model, tf.Module)):
        given = f"the class {model.__name__}" if isinstance(model, type) else repr(model)
        raise WarmStartError(f"model must be {_MODELS}, got {given}")
    what = f"the model {getattr(model, 'name', '')!r} ({type(model).__name__})"
    if not is_keras:
        if not model.variables:
            raise WarmStartError(f"{what} has no variables; call it once first, if it makes them then")
        return list(model.variables), list(model.trainable_variables)
    if not _weights(model) and input_shape is not None:
        _build(model, what, input_shape)
    weights = _weights(model)
    if not weights:
        raise WarmStartError(
            f"{what} has no variables"
            + (
                "; it is not built yet: give input_shape=(None, number of features), as model.build takes it, or call it once "
                "on a batch"
                if input_shape is None
                else f", also when it is built with input_shape={input_shape!r}; call it once on a batch"
            )
        )
    return weights, list(model.trainable_variables)


def _weights(model: Any) -> List[Any]:
    try:
        return list(model.weights)
    except ValueError:  # Keras until 2.15 raises where nothing is built.
        return []


def _build(model: Any, what: str, input_shape: Any) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras 3, of models that it does not build so.
            model.build(input_shape)
        if not _weights(model) and isinstance(input_shape, (tuple, list)):
            # Keras 3 builds a model with a `call` of its own when it is called.
            model(tf.zeros([1 if length is None else length for length in input_shape]))
    except Exception as error:  # What the user's own layers raise is the reason.
        raise WarmStartError(
            f"{what} cannot be built with input_shape={input_shape!r}: {type(error).__name__}: {error}; call it once on a "
            "batch instead"
        ) from error


def _check_dict(named: Iterable[Tuple[Any, Any]]) -> None:
    named = list(named)
    if not named:
        raise WarmStartError("model is an empty dict: it has no variables")
    wrong_names = [name for name, _ in named if not isinstance(name, str) or not name]
    if wrong_names:
        raise WarmStartError(
            f"model: a variable's name is a string, got {first_few(wrong_names)}; the dict goes {{name: variable}}"
        )
    _check_variables([held for _, held in named], [name for name, _ in named])
    names: Dict[int, List[str]] = {}
    for name, held in named:
        names.setdefault(id(tensorflow_variable(held)), []).append(name)
    twice = [first_few(each) for each in names.values() if len(each) > 1]
    if twice:
        raise WarmStartError("model: one variable has several names; keep one of them", twice)


def _check_variables(held: List[Any], names: Iterable[str] = ()) -> None:
    titles = list(names) or [str(getattr(each, "path", getattr(each, "name", each))) for each in held]
    strange = [title for title, each in zip(titles, held) if tensorflow_variable(each) is None]
    if strange and any(hasattr(each, "path") and hasattr(each, "value") for each in held):
        raise WarmStartError(
            f"the model is of Keras 3 on the backend {_keras_backend()!r}, and recover_into puts values into TensorFlow's "
            "variables: set KERAS_BACKEND=tensorflow before Keras is imported, recover, and model.save() for the other backend"
        )
    if strange:
        raise WarmStartError(f"model must be {_MODELS}; these of it are not variables: {first_few(strange)}")
    in_graphs = [title for title, each in zip(titles, held) if not is_eager(tensorflow_variable(each))]
    if in_graphs:
        raise WarmStartError(
            f"the model's variables {first_few(in_graphs)} are of a graph, and have values only in a session: "
            "recover_variables(session, ckp_dir) recovers into those"
        )


def _keras_backend() -> str:
    keras = sys.modules.get("keras")
    return str(keras.backend.backend()) if keras is not None else "unknown"


def _name(held: Any, of_model: str) -> str:
    """Keras 3's path without the model's own name in front, else TensorFlow's name."""
    path = getattr(held, "path", None)
    if path is None:
        return str(held.name.partition(":")[0])
    in_front = f"{of_model}/"
    return str(path[len(in_front) :] if path.startswith(in_front) else path)


def _refuse_shared_names(model: Any, named: List[Tuple[str, Any]]) -> None:
    places: Dict[str, List[Any]] = {}
    for name, held in named:
        places.setdefault(name, []).append(held)
    shared = {name: held for name, held in places.items() if len(held) > 1}
    if not shared:
        return
    paths = object_paths(model)
    raise WarmStartError(
        "variables of the model have one name in common; give recover_into a dict {name: variable} with a name for each, or "
        "give the layers names of their own",
        [f"{name!r} is {', '.join(_place(each, paths) for each in held)}" for name, held in shared.items()],
    )


def _place(held: Any, paths: Mapping[int, str]) -> str:
    """Where in the model a variable is, and its shape."""
    path = next((paths[id(each)] for each in _objects(held) if id(each) in paths), "")
    where = f"model.{path.replace('/', '.')}" if path else "(in no attribute that is tracked)"
    return f"{where} {list(new_variable('', held).shape)}"
