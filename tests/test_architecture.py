"""The house's own rules, where a machine can see them: who imports whom, what is private, what is documented, how long."""

import ast
import importlib
import inspect
import pathlib
import re

import pytest

import estimator_warmstart

PACKAGE = pathlib.Path(estimator_warmstart.__file__).resolve().parent
# As paths from the package's folder: plan/planner.
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))
CONTRIBUTING = pathlib.Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"

# The contract: which folders' modules a folder's modules may import. ROOT is the package's own folder, without folders below.
ROOT = ""
BELOW = {ROOT}
MAY_IMPORT = {
    ROOT: set(),
    "checkpoint": BELOW,
    "graph": BELOW,
    "adapters": BELOW,
    "plan": BELOW | {"checkpoint", "graph", "adapters"},
    "page": BELOW | {"checkpoint", "adapters", "plan"},
    "restore": BELOW | {"checkpoint", "graph", "adapters", "plan", "page"},
    "convert": BELOW | {"checkpoint", "graph", "adapters", "plan", "restore"},
    "api": BELOW | {"checkpoint", "graph", "adapters", "plan", "page", "restore", "convert"},
    "cli": BELOW | {"checkpoint", "plan", "page", "convert", "api"},
}
# The two that join the folders to a package and to a program.
ENTRANCES = ("__init__", "__main__")
# What makes or looks at a graph, and what runs one.
OF_GRAPHS = {"Graph", "get_collection", "get_default_graph", "global_variables", "import_graph_def", "import_meta_graph"}
OF_SESSIONS = {"InteractiveSession", "MonitoredSession", "MonitoredTrainingSession", "Session"}

# Where TensorFlow's private names and versions are looked at.
PRIVATE = ("_tf", "_tf_estimator", "_tf_import", "_tf_objects", "_tf_savers", "_tf_sessions")
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
        path = name.replace(".", "/")
        if path.startswith("estimator_warmstart/"):
            path = path[len("estimator_warmstart/") :]
            if path in MODULES:
                yield path
            elif f"{path}/__init__" in MODULES:
                yield f"{path}/__init__"


def folder_of(module):
    return module.rpartition("/")[0]


def attributes(module):
    return {node.attr for node in ast.walk(tree_of(module)) if isinstance(node, ast.Attribute)}


class TestFolders:
    @pytest.mark.parametrize("module", [module for module in MODULES if module not in ENTRANCES])
    def test_a_module_imports_only_what_its_folder_may(self, module):
        folder = folder_of(module)
        allowed = MAY_IMPORT[folder] | {folder}
        assert sorted({other for other in own_imports(module) if folder_of(other) not in allowed}) == []

    def test_no_module_imports_itself_over_others(self):
        left = {module: set(own_imports(module)) - {module} for module in MODULES}
        while True:
            free = [module for module, others in left.items() if not others & set(left)]
            if not free:
                break
            for module in free:
                del left[module]
        assert left == {}

    @pytest.mark.parametrize("folder", ["checkpoint", "page", "cli"])
    def test_a_folder_sees_no_graph(self, folder):
        seen = {module: attributes(module) & (OF_GRAPHS | OF_SESSIONS) for module in MODULES if folder_of(module) == folder}
        assert len(seen) > 3
        assert {module: names for module, names in seen.items() if names} == {}

    def test_planning_makes_no_session(self):
        folders = ("plan", "graph", "adapters")
        seen = {module: attributes(module) & OF_SESSIONS for module in MODULES if folder_of(module) in folders}
        assert len(seen) > 10
        assert {module: names for module, names in seen.items() if names} == {}

    def test_the_command_line_decides_nothing(self):
        shared = {other for module in MODULES if folder_of(module) == "cli" for other in own_imports(module)}
        shared = {module for module in shared if folder_of(module) == ROOT}
        assert shared <= {"_tf", "arguments", "errors", "files", "printable", "progress", "tables", "text_output", "version"}

    def test_these_tests_see_what_they_look_for(self):
        assert "plan/plan" in own_imports("plan/planner")
        assert "adapters/__init__" in own_imports("__init__")
        assert "Graph" in attributes("graph/meta_graph") and "Session" in attributes("convert/cpu_session")

    def test_contributing_has_a_row_for_each_folder(self):
        rows = re.findall(r"^\| `(\w+)/` \|", CONTRIBUTING.read_text(encoding="utf-8"), re.MULTILINE)
        assert {folder_of(module) for module in MODULES} - {ROOT} - set(rows) == set()


def is_for_annotations(node):
    """Whether `node` is an `if TYPE_CHECKING:`, which never runs."""
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def tensorflow_imports(module):
    tree = tree_of(module)
    tree.body = [node for node in tree.body if not is_for_annotations(node)]
    return [name for name in imports_of(tree) if name.split(".")[0] in ("tensorflow", "tensorflow_estimator")]


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
            f"line {node.lineno}: {node.value.id}.{node.attr}"
            for node in ast.walk(tree_of(module))
            if isinstance(node, ast.Attribute)
            and node.attr in VERSIONS
            and isinstance(node.value, ast.Name)
            and node.value.id in ("tf", "tf1", "tensorflow")
        ] == []

    def test_these_tests_see_what_they_look_for(self):
        assert "tensorflow" in tensorflow_imports("_tf_import")
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


def shared_arguments_of(thing):
    """The arguments that the docstring of `thing` leaves to another public name's, by one sentence."""
    text = " ".join((thing.__doc__ or "").split())
    told = re.search(r"The other arguments are those of `(\w+)`\.", text)
    return arguments_of(getattr(estimator_warmstart, told.group(1))) if told else []


def sections_of(thing):
    """{section: text} of a Google docstring."""
    pieces = re.split(r"^(\w+):\s*\n", inspect.cleandoc(thing.__doc__ or ""), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2]))


PUBLIC = dict(public_objects())


class TestDocumentation:
    @pytest.mark.parametrize("module", MODULES)
    def test_a_module_says_what_it_is_for(self, module):
        assert ast.get_docstring(tree_of(module))

    @pytest.mark.parametrize("name", sorted(PUBLIC))
    def test_a_public_name_has_one_line_first(self, name):
        first = inspect.cleandoc(PUBLIC[name].__doc__).split("\n\n")[0]
        assert "\n" not in first and first.endswith(".")

    @pytest.mark.parametrize("name", sorted(name for name, thing in PUBLIC.items() if arguments_of(thing)))
    def test_a_public_name_tells_each_argument(self, name):
        told = re.findall(r"^\s{2}\*{0,2}(\w+):", sections_of(PUBLIC[name]).get("Args", ""), re.MULTILINE)
        shared = shared_arguments_of(PUBLIC[name])
        assert told == [argument for argument in arguments_of(PUBLIC[name]) if argument in told or argument not in shared]

    def test_shared_arguments_are_seen(self):
        assert "min_coverage" in shared_arguments_of(estimator_warmstart.ShapeAdaptingRecoverHook)
        assert "adapters" not in shared_arguments_of(estimator_warmstart.ShapeAdaptingRecoverHook)
        assert shared_arguments_of(estimator_warmstart.VariableRecoverHook) == []

    @pytest.mark.parametrize("name", sorted(name for name, thing in PUBLIC.items() if inspect.isfunction(thing)))
    def test_a_public_function_tells_what_it_returns(self, name):
        if inspect.signature(PUBLIC[name]).return_annotation not in ("None", None):
            assert "Returns" in sections_of(PUBLIC[name])

    @pytest.mark.parametrize(
        "name",
        sorted(name for name, thing in PUBLIC.items() if {"ckp_dir", "old_vocab", "old_widths"} & set(arguments_of(thing))),
    )
    def test_a_public_name_that_checks_its_input_tells_what_it_raises(self, name):
        assert "WarmStartError" in sections_of(PUBLIC[name]).get("Raises", "")

    @pytest.mark.parametrize("name", sorted(name for name, thing in PUBLIC.items() if arguments_of(thing)))
    def test_a_public_name_has_an_example_that_runs(self, name):
        assert ">>> " in sections_of(PUBLIC[name]).get("Example", "")

    @pytest.mark.parametrize(
        "name", sorted(name for name, thing in PUBLIC.items() if inspect.isclass(thing) and issubclass(thing, tuple))
    )
    def test_a_public_record_tells_each_attribute(self, name):
        told = re.findall(r"^\s{2}(\w+):", sections_of(PUBLIC[name])["Attributes"], re.MULTILINE)
        assert told == list(PUBLIC[name]._fields)

    @pytest.mark.parametrize("module", MODULES)
    def test_all_is_sorted_and_true(self, module):
        if module == "__main__":
            return
        loaded = importlib.import_module(".".join(["estimator_warmstart", *module.split("/")]).replace(".__init__", ""))
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
