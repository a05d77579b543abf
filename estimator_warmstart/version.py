"""The package's version, for `setup.py`, the command line and the record that a warm start leaves."""

VERSION = "0.1.0"
