"""Which commands there are. A new one is a module with its arguments and its output, and a line here."""

from __future__ import annotations

from typing import Tuple

from estimator_warmstart.cli.command import Command
from estimator_warmstart.cli.completing import COMPLETION
from estimator_warmstart.cli.converting import CONVERT
from estimator_warmstart.cli.differences import DIFF
from estimator_warmstart.cli.listing import LIST
from estimator_warmstart.cli.merging import MERGE
from estimator_warmstart.cli.planning import PLAN
from estimator_warmstart.cli.proving import PROVE
from estimator_warmstart.cli.writing import WRITE

# In the order of --help.
COMMANDS: Tuple[Command, ...] = (LIST, DIFF, PLAN, WRITE, CONVERT, MERGE, PROVE, COMPLETION)
