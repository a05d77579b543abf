"""The command line `estimator-warmstart`."""

from estimator_warmstart.cli.main import main

__all__ = ["main"]
