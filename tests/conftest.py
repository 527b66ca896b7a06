"""How the tests are run: Hypothesis profiles, and the README's code as tests."""

import os
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from pathlib import Path

import pytest
from hypothesis import settings
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


readme = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=ELLIPSIS | NORMALIZE_WHITESPACE), SkipParser()],
    path=str(Path(__file__).resolve().parents[1]),
    pattern="README.md",
)


class ReadmeExamples:
    """A plugin that runs the Python blocks of README.md, in order and in one namespace."""

    pytest_collect_file = staticmethod(readme.pytest())


def pytest_configure(config: pytest.Config) -> None:
    here = Path(__file__).parent
    if not (here / "__init__.py").exists() and (stray := list(here.glob("*/__init__.py"))):
        raise pytest.UsageError(f"remove {stray[0]}: with it pytest would import tests/nn as nn, never ours")
    # A hook in this file would see only the files below tests/; a plugin sees README.md too.
    config.pluginmanager.register(ReadmeExamples(), "readme-examples")
