"""What holds of the code as a whole: rooms, arrows, imports, lengths."""

import ast
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import autodiff
import nn
import viz

ROOT = Path(__file__).parents[1]
PACKAGES = ("autodiff", "nn", "viz")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def run(code, **environment):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
                          env={**os.environ, **environment}).stdout


def test_the_walk_is_read_in_one_sitting():
    lines = [len((ROOT / "autodiff" / name).read_text().splitlines()) for name in ("tensor.py", "kinds.py", "tape.py")]
    assert sum(lines) < 900


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_a_wall(path):
    assert len(path.read_text().splitlines()) <= 430


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_arrows_point_one_way():
    for path in FILES:
        package = path.relative_to(ROOT).parts[0]
        roots = {name.partition(".")[0] for name in imported(path)}
        forbidden = {"autodiff": {"nn", "viz"}, "nn": {"viz"}, "viz": {"nn"}}[package]
        assert not roots & forbidden, path


def test_no_import_of_our_own_is_hidden_in_a_function():
    for path in FILES:
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = ast.Module(function.body, [])
                for node in ast.walk(inner):
                    names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
                        [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                    assert not {name.partition(".")[0] for name in names} & set(PACKAGES), (path, function.name)


def test_importing_loads_numpy_and_nothing_heavy():
    loaded = set(run("import sys; import numpy, numpy.random; numpys = set(sys.modules); "
                     "import autodiff, nn; print(*(set(sys.modules) - numpys))").split())
    third_party = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"autodiff", "nn"}
    assert third_party == set()
    assert not loaded & {"graphviz", "matplotlib", "tqdm", "scipy", "asyncio"}


def test_import_time_beside_numpys(tmp_path):
    """Both compiled: an installed package is, an edited one after its first run."""
    compiled = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    code = ("import time; t = time.perf_counter(); import numpy; n = time.perf_counter() - t; "
            "t = time.perf_counter(); import autodiff; print((n + time.perf_counter() - t) / n)")
    run(code, **compiled)
    assert statistics.median(float(run(code, **compiled)) for _ in range(9)) <= 1.3


def test_every_public_name_is_there_and_no_function_shares_a_modules_name():
    for package in (autodiff, nn, viz):
        modules = {path.stem for path in (ROOT / package.__name__).glob("*.py")} | \
            {path.name for path in (ROOT / package.__name__).iterdir() if path.is_dir()}
        for name in package.__all__:
            value = getattr(package, name)
            assert not (name in modules and callable(value)), name
            assert value.__doc__ or not callable(value), f"{name} has no docstring"
