"""``python -m autodiff check FILE.py``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from autodiff.__main__ import RIGHT, UNUSABLE, WRONG, UnusableFileError, check, main

FILE = """
import numpy as np
rng = np.random.default_rng(0)
x, y, W = rng.normal(size=(7, 3)), rng.normal(size=(7, 2)), rng.normal(size=(2, 3))

def loss(x, y, W):
    z = x @ W.T
    a = np.tanh(z)
    return ((a - y) ** 2).mean()

def gradients(x, y, W):
    a = np.tanh(x @ W.T)
    da = 2 * (a - y) / a.size
    dz = da * (1 - a ** 2)
    return {"dW": dz.T @ x}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(FILE)
    return path


def test_a_right_one(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(file), "--resample", "2"]) == RIGHT
    assert "W agrees" in capsys.readouterr().out


def test_a_wrong_one_says_which_step(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FILE.replace("dz = da * (1 - a ** 2)", "dz = da"))
    assert main(["check", str(file)]) == WRONG
    said = capsys.readouterr().out
    assert "leaving out tanh′(z)" in said and "correct:" in said and "net.py:14" in said
    assert main(["check", str(file), "--json"]) == WRONG
    assert json.loads(capsys.readouterr().out)["explanations"][0]["kind"] == "missing-local-derivative"


def test_in_float32(file: Path) -> None:
    report = check(str(file), dtype="float32")
    assert report.ok and report["W"].correct.dtype == "float32"


@pytest.mark.parametrize(("change", "said"), [
    (("def gradients", "def backward"), "defines no function gradients"),
    (("def gradients(x, y, W)", "def gradients(x, y, W, rate)"), "asks for 'rate'"),
    (('return {"dW": dz.T @ x}', "return dz.T @ x"), "must return a dict"),
    (("return ((a - y) ** 2).mean()", "return 1.0"), "not a recorded number"),
    (('return {"dW": dz.T @ x}', "return {}"), "does not depend on"),
])
def test_files_that_cannot_be_checked(file: Path, change: tuple[str, str], said: str,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FILE.replace(*change))
    assert main(["check", str(file)]) == UNUSABLE
    assert said in capsys.readouterr().err


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnusableFileError, match="no file"):
        check(str(tmp_path / "none.py"))


def test_other_names(file: Path) -> None:
    file.write_text(FILE.replace("def loss", "def cost").replace("def gradients", "def by_hand"))
    assert check(str(file), "cost", "by_hand").ok


def test_as_a_command(file: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "autodiff", "check", str(file)], capture_output=True, text=True)
    assert done.returncode == RIGHT and "agrees" in done.stdout and "\033" not in done.stdout
