"""How the tests are run: Hypothesis profiles, and the README's code as tests."""

import os
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

import autodiff
import nn
import viz

settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


readme = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=ELLIPSIS | NORMALIZE_WHITESPACE), SkipParser()],
    path=str(Path(__file__).resolve().parent),
    pattern="README.md",
)


pytest_collect_file = readme.pytest()


@pytest.fixture(autouse=True)
def names_in_docstrings(doctest_namespace: dict[str, object]) -> None:
    """What the examples in docstrings may use without importing it."""
    doctest_namespace.update(np=np, ad=autodiff, nn=nn, viz=viz)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a layout in which tests would shadow the packages."""
    tests = Path(__file__).parent / "tests"
    if not (tests / "__init__.py").exists() and (stray := list(tests.glob("*/__init__.py"))):
        raise pytest.UsageError(f"remove {stray[0]}: with it pytest would import tests/nn as nn, never ours")
