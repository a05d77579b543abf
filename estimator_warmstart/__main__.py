"""Runs the command line: `python -m estimator_warmstart`."""

import sys

from estimator_warmstart.cli.main import main

sys.exit(main())
