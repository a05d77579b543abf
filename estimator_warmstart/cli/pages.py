"""What `plan` and `diff` have in common with a browser's page, and `plan` with a plan that was saved."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any, Dict, List, Optional, Sequence

from estimator_warmstart.api.dry_run import checkpoint_of_graph
from estimator_warmstart.cli.command import a_path
from estimator_warmstart.cli.params_file import read_params
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import FILE_ERRORS, error_text
from estimator_warmstart.page.contents import contents_of_differences, contents_of_plans, contents_of_proof
from estimator_warmstart.page.page import check_page_path, write_page
from estimator_warmstart.plan.baseline import Report, changes_since, reports_of_baseline
from estimator_warmstart.plan.differences import Differences
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.plan.proof import Proof
from estimator_warmstart.plan.report import report_as_dict
from estimator_warmstart.printable import printable

Changes = List[Dict[str, Any]]


def add_page(parser: ArgumentParser, with_values: bool = True) -> None:
    """Adds the options of the page."""
    parser.add_argument(
        "--html",
        type=a_path,
        metavar="FILE",
        help="write the same as one page for a browser, which needs nothing else and loads nothing",
    )
    if with_values:
        parser.add_argument(
            "--values",
            action="store_true",
            help="read the values of both models: the page shows histograms of them; diff says by how much they differ",
        )


def check_page(arguments: Namespace, shows_values: bool = False) -> None:
    """Refuses, before anything is read, a page that cannot be written and values that nothing would show."""
    if arguments.html is not None:
        check_page_path("--html", arguments.html)
    elif getattr(arguments, "values", False) and not shows_values:
        raise WarmStartError("--values are shown on the page of --html FILE; give both")


def read_baseline(path: Optional[str]) -> Optional[List[Report]]:
    """Reads the reports that `--baseline` names, if it is given."""
    return None if path is None else reports_of_baseline(path, read_params(path, "--baseline"))


def changes_of(plans: Sequence[Plan], baseline: Optional[Sequence[Report]]) -> Changes:
    """Returns what has changed since the baseline; nothing if there is none."""
    return [] if baseline is None else changes_since(baseline, [report_as_dict(plan) for plan in plans])


def write_page_of_plans(arguments: Namespace, plans: Sequence[Plan], changes: Changes) -> None:
    """Writes the page of `plan`, if it is asked for."""
    if arguments.html is None:
        return
    new = checkpoint_of_graph(arguments.graph) if arguments.values else None
    more = {} if arguments.baseline is None else {"baseline": arguments.baseline, "changes": changes}
    _write(arguments.html, contents_of_plans(plans, arguments.values, new, **more))


def write_page_of_differences(arguments: Namespace, differences: Differences) -> None:
    """Writes the page of `diff`, if it is asked for."""
    if arguments.html is not None:
        _write(arguments.html, contents_of_differences(differences, arguments.values))


def write_page_of_proof(arguments: Namespace, proof: Proof) -> None:
    """Writes the page of `prove`, if it is asked for."""
    if arguments.html is not None:
        _write(arguments.html, contents_of_proof(proof.as_dict()))


def print_page(arguments: Namespace) -> None:
    """Says where the page is, if there is one."""
    if arguments.html is not None:
        print(f"Page: {printable(arguments.html)}")


def _write(path: str, contents: Dict[str, Any]) -> None:
    path = check_page_path("--html", path)
    try:
        write_page(path, contents)
    except FILE_ERRORS as error:
        raise WarmStartError(f"--html: {path} cannot be written: {error_text(error)}") from error
