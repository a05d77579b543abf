"""For tools that know no pyproject.toml, which has all but the license."""

from setuptools import setup

setup(license="Apache-2.0")
