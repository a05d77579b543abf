"""The package's version.

Enters: nothing. Leaves: a string, for `setup.py`, the command line and the trace that a warm start leaves.
"""

VERSION = "0.1.0"
