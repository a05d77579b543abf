"""The house's own rules, where a machine can see them: who imports whom, what is private, what is documented, how long."""
import ast
import importlib
import inspect
import pathlib
import re

import pytest

import estimator_warmstart

PACKAGE = pathlib.Path(estimator_warmstart.__file__).resolve().parent
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))
CONTRIBUTING = pathlib.Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"

# Where TensorFlow's private names and versions are looked at.
PRIVATE = ("_tf", "_tf_estimator")
# A named tuple's methods are public though they begin with an underscore.
NAMED_TUPLE = {"_replace", "_asdict", "_fields", "_make"}


def tree_of(module):
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def imports_of(tree):
    """The dotted names that `tree` imports: a.b of `import a.b`, a and a.b of `from a import b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield node.module
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def own_imports(module):
    """The package's modules that `module` imports from."""
    for name in imports_of(tree_of(module)):
        first, _, rest = name.partition(".")
        if first == "estimator_warmstart" and rest.split(".")[0] in MODULES:
            yield rest.split(".")[0]


@pytest.fixture(scope="module")
def table():
    """The modules in the order of the table in CONTRIBUTING.md."""
    rows = re.findall(r"^\| (.*?) \|", CONTRIBUTING.read_text(encoding="utf-8"), re.MULTILINE)
    modules = [name for row in rows for name in re.findall(r"`(\w+)\.py`", row)]
    assert len(modules) > 10, "no table of modules found"
    return modules


class TestLayers:
    def test_every_module_is_in_the_table_once(self, table):
        assert [module for module in MODULES if module != "__init__" and module not in table] == []
        assert sorted(set(table)) == sorted(table)

    @pytest.mark.parametrize("module", [module for module in MODULES if module != "__init__"])
    def test_a_module_imports_only_from_modules_above_it(self, module, table):
        above = table[:table.index(module)]
        assert [name for name in own_imports(module) if name not in above] == []

    def test_the_table_is_not_longer_than_the_package(self, table):
        assert [module for module in table if module not in MODULES] == []


def tensorflow_imports(module):
    return [name for name in imports_of(tree_of(module)) if name.split(".")[0] in ("tensorflow", "tensorflow_estimator")]


def private_attributes(module):
    """Each `x._private` that is not the module's own: `self._x`, `cls._x` and a named tuple's methods are."""
    for node in ast.walk(tree_of(module)):
        name = None
        if isinstance(node, ast.Attribute):
            name, owner = node.attr, node.value
            if isinstance(owner, ast.Name) and owner.id in ("self", "cls"):
                continue
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "setattr", "hasattr", "delattr"):
            name = getattr(node.args[1], "s", None)  # A constant's text.
        if name and name.startswith("_") and not name.endswith("__") and name not in NAMED_TUPLE:
            yield f"line {node.lineno}: {name}"


VERSIONS = {"__version__", "version", "VERSION", "GIT_VERSION", "__git_version__"}


class TestPrivateTensorflow:
    @pytest.mark.parametrize("module", [module for module in MODULES if module not in PRIVATE])
    def test_only_one_module_imports_tensorflow(self, module):
        assert tensorflow_imports(module) == []

    @pytest.mark.parametrize("module", [module for module in MODULES if module not in PRIVATE])
    def test_only_one_module_touches_private_attributes(self, module):
        assert list(private_attributes(module)) == []

    @pytest.mark.parametrize("module", [module for module in MODULES if module not in PRIVATE])
    def test_only_one_module_looks_at_the_version(self, module):
        assert [
            f"line {node.lineno}: {node.value.id}.{node.attr}" for node in ast.walk(tree_of(module))
            if isinstance(node, ast.Attribute) and node.attr in VERSIONS
            and isinstance(node.value, ast.Name) and node.value.id in ("tf", "tf1", "tensorflow")
        ] == []

    def test_these_tests_see_what_they_look_for(self):
        assert "tensorflow" in tensorflow_imports("_tf")
        assert any("_save_slice_info" in found for found in private_attributes("_tf"))  # By getattr.
        assert any("_update_input" in found for found in private_attributes("_tf"))  # As an attribute.


def public_objects():
    """(dotted name, object) of all that the package and its public modules offer."""
    for name in estimator_warmstart.__all__:
        thing = getattr(estimator_warmstart, name)
        if inspect.ismodule(thing):
            for inner in thing.__all__:
                yield f"{name}.{inner}", getattr(thing, inner)
        else:
            yield name, thing


def arguments_of(thing):
    """The names of the arguments that a caller gives to `thing`."""
    if inspect.isclass(thing) and issubclass(thing, (tuple, Exception)):
        return []  # The package makes these, the user does not.
    parameters = inspect.signature(thing).parameters.values()
    return [parameter.name for parameter in parameters if parameter.name != "self"]


def sections_of(thing):
    """{section: text} of a Google docstring."""
    pieces = re.split(r"^(\w+):\s*\n", inspect.cleandoc(thing.__doc__ or ""), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2]))


PUBLIC = dict(public_objects())


class TestDocumentation:
    @pytest.mark.parametrize("module", MODULES)
    def test_a_module_says_what_it_is_for(self, module):
        assert ast.get_docstring(tree_of(module))

    @pytest.mark.parametrize("module", [module for module in MODULES if module not in ("__init__", "__main__")])
    def test_a_module_says_what_it_does_and_why(self, module):
        first, *more = ast.get_docstring(tree_of(module)).splitlines()
        assert first and any(more)

    @pytest.mark.parametrize("name", sorted(PUBLIC))
    def test_a_public_name_has_one_line_first(self, name):
        first = inspect.cleandoc(PUBLIC[name].__doc__).split("\n\n")[0]
        assert "\n" not in first and first.endswith(".")

    @pytest.mark.parametrize("name", sorted(name for name, thing in PUBLIC.items() if arguments_of(thing)))
    def test_a_public_name_tells_each_argument(self, name):
        told = re.findall(r"^\s{2}\*{0,2}(\w+):", sections_of(PUBLIC[name]).get("Args", ""), re.MULTILINE)
        assert told == arguments_of(PUBLIC[name])

    @pytest.mark.parametrize("name", sorted(name for name, thing in PUBLIC.items() if inspect.isfunction(thing)))
    def test_a_public_function_tells_what_it_returns(self, name):
        if inspect.signature(PUBLIC[name]).return_annotation not in ("None", None):
            assert "Returns" in sections_of(PUBLIC[name])

    @pytest.mark.parametrize("name", sorted(
        name for name, thing in PUBLIC.items() if {"ckp_dir", "old_vocab", "old_widths"} & set(arguments_of(thing))
    ))
    def test_a_public_name_that_checks_its_input_tells_what_it_raises(self, name):
        assert "WarmStartError" in sections_of(PUBLIC[name]).get("Raises", "")

    @pytest.mark.parametrize("name", sorted(name for name, thing in PUBLIC.items() if arguments_of(thing)))
    def test_a_public_name_has_an_example_that_runs(self, name):
        assert ">>> " in sections_of(PUBLIC[name]).get("Example", "")

    @pytest.mark.parametrize("name", sorted(
        name for name, thing in PUBLIC.items() if inspect.isclass(thing) and issubclass(thing, tuple)
    ))
    def test_a_public_record_tells_each_attribute(self, name):
        told = re.findall(r"^\s{2}(\w+):", sections_of(PUBLIC[name])["Attributes"], re.MULTILINE)
        assert told == list(PUBLIC[name]._fields)

    @pytest.mark.parametrize("module", MODULES)
    def test_all_is_sorted_and_true(self, module):
        if module == "__main__":
            return
        loaded = importlib.import_module("estimator_warmstart" if module == "__init__" else f"estimator_warmstart.{module}")
        names = getattr(loaded, "__all__", [])
        assert list(names) == sorted(names)
        assert [name for name in names if not hasattr(loaded, name)] == []


def docstring_lines(node):
    """The lines of the docstrings of `node` and of what is defined in it."""
    found = set()
    for inner in ast.walk(node):
        if isinstance(inner, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(inner, clean=False) is not None:
            text = inner.body[0]
            last = getattr(text, "end_lineno", None) or text.value.lineno
            first = text.lineno if hasattr(text, "end_lineno") else last - ast.get_docstring(inner, clean=False).count("\n")
            found.update(range(first, last + 1))
    return found


def last_line(node):
    return max(getattr(inner, "lineno", 0) for inner in ast.walk(node))


class TestLength:
    @pytest.mark.parametrize("module", MODULES)
    def test_of_a_module(self, module):
        assert len((PACKAGE / f"{module}.py").read_text(encoding="utf-8").splitlines()) <= 300

    @pytest.mark.parametrize("module", MODULES)
    def test_of_a_function(self, module):
        too_long = {}
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.FunctionDef):
                count = len(set(range(node.lineno, last_line(node) + 1)) - docstring_lines(node))
                if count > 40:
                    too_long[node.name] = count
        assert too_long == {}
