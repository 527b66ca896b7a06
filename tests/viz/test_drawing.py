"""Engines, files, notebooks."""

import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import autodiff as ad
import viz
from viz import engines

NAME = "é"           # beyond ASCII, so that graphviz-pure warns


@pytest.fixture
def drawing():
    W = ad.Tensor([[0.5, -0.5]], requires_grad=True, name=f"W{NAME}")
    loss = np.tanh(W).sum()
    return viz.draw(loss)


@pytest.fixture
def no_engine(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("WENGERT_DOT", raising=False)
    monkeypatch.setattr(engines.sysconfig, "get_path", lambda name: str(tmp_path))


def script(path, text):
    """An engine that is a shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# ---- files

def test_every_suffix(drawing, tmp_path):
    assert drawing.save(tmp_path / "net.dot").read_text(encoding="utf-8") == drawing.dot
    svg = drawing.save(str(tmp_path / "net.SVG")).read_text(encoding="utf-8")
    assert svg == drawing.svg()
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg") and f"W{NAME}" in "".join(root.itertext())
    assert 'font-family="Helvetica, Arial' in svg and "Helvetica,sans-Serif" not in svg
    png = drawing.save(tmp_path / "net.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and png == drawing.png()
    assert drawing.engine in ("dot", "graphviz-pure")


def test_an_unknown_suffix(drawing, tmp_path):
    for name in ("net.jpg", "net"):
        with pytest.raises(ValueError, match=r"'net.*\.svg, \.png, \.pdf, \.dot"):
            drawing.save(tmp_path / name)


def test_the_digraph_has_the_same_source(drawing):
    graph = drawing.digraph()
    assert graph.source == drawing.dot
    graph.node("more")
    assert graph.source != drawing.dot == viz.Drawing.dot.fget(drawing)


# ---- the ladder

def test_without_an_engine_the_error_helps(drawing, tmp_path, no_engine):
    with pytest.raises(viz.RenderError) as error:
        drawing.save(tmp_path / "net.svg")
    for words in ("`dot`", "graphviz-pure", 'pip install "wengert[render]"', str(tmp_path / "net.dot")):
        assert words in str(error.value)
    assert (tmp_path / "net.dot").read_text(encoding="utf-8") == drawing.dot
    with pytest.raises(viz.RenderError, match=r"written to .*\.dot"):
        drawing.svg()
    assert drawing.engine is None and drawing.dot


def test_without_an_engine_in_a_fresh_process(tmp_path):
    program = ("import sysconfig; sysconfig.get_path = lambda name: ''\n"
               "import numpy as np, autodiff as ad, viz\n"
               "g = viz.draw(ad.Tensor(1.0, requires_grad=True) * 2)\n"
               "assert g.dot and 'image/svg+xml' not in g._repr_mimebundle_()\n"
               f"g.save({str(tmp_path / 'a.png')!r})")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env={"PATH": "", "PYTHONPATH": str(Path(viz.__path__[0]).parent)})
    assert done.returncode == 1 and "viz.engines.RenderError: no dot engine was found" in done.stderr
    assert (tmp_path / "a.dot").exists()


def test_graphvizs_own_dot_comes_first(drawing, tmp_path, monkeypatch, no_engine):
    script(tmp_path / "graphviz-pure", "/bin/echo pure")
    assert drawing.engine == "graphviz-pure"
    script(tmp_path / "dot", '/bin/echo "<svg/>"')
    assert drawing.svg() == "<svg/>\n" and drawing.engine == "dot"
    monkeypatch.setenv("WENGERT_DOT", str(script(tmp_path / "mine", '/bin/echo "<svg id=\'mine\'/>"')))
    assert "mine" in drawing.svg() and drawing.engine == "mine"


def test_an_engine_that_fails_is_quoted(drawing, tmp_path, no_engine):
    script(tmp_path / "dot", "/bin/echo 'syntax error in line 7' >&2; exit 3")
    with pytest.raises(viz.RenderError, match=r"exit status 3\): syntax error in line 7"):
        drawing.save(tmp_path / "net.png")
    assert (tmp_path / "net.dot").exists()


def test_an_engine_that_cannot_run_or_hangs(drawing, tmp_path, monkeypatch, no_engine):
    monkeypatch.setenv("WENGERT_DOT", str(tmp_path / "missing"))
    with pytest.raises(viz.RenderError, match="could not be run"):
        drawing.png()
    monkeypatch.setenv("WENGERT_DOT", str(script(tmp_path / "slow", "exec /bin/sleep 5")))
    monkeypatch.setattr(engines, "SECONDS", 0.1)
    with pytest.raises(viz.RenderError, match="max_nodes"):
        drawing.png()


def test_pdf_takes_graphvizs_own_dot(drawing, tmp_path, no_engine):
    script(tmp_path / "graphviz-pure", "/bin/echo never")
    with pytest.raises(viz.RenderError, match=r"SVG and PNG but no PDF(.|\n)*save as \.svg(.|\n)*net\.dot"):
        drawing.save(tmp_path / "net.pdf")
    script(tmp_path / "dot", '/bin/echo "%PDF $1"')
    assert drawing.save(tmp_path / "net.pdf").read_text() == "%PDF -Tpdf\n"


def test_only_the_known_warning_is_dropped(drawing, tmp_path, no_engine):
    known = "Warning: no value for width of non-ASCII character 195. Falling back to width of space character"
    script(tmp_path / "dot", f"/bin/echo '{known}' >&2; /bin/echo '<svg/>'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawing.svg()
    script(tmp_path / "dot", "/bin/echo 'Warning: cell too small' >&2; /bin/echo '<svg/>'")
    with pytest.warns(UserWarning, match="dot says: Warning: cell too small"):
        drawing.svg()


# ---- time

TIMED = """
import os, viz
from tests.viz.models import three_layers
loss, _ = three_layers((30, 16, 8, 1), samples=32)
for _ in range(2):
    before = sum(os.times()[:4])
    viz.draw(loss).svg()
    print(sum(os.times()[:4]) - before)
"""


def test_the_notes_net_with_its_svg_takes_no_time():
    """In seconds of this process and its engine's, the first time and the second: others may be busy."""
    root = str(Path(viz.__path__[0]).parent)
    done = subprocess.run([sys.executable, "-c", TIMED], capture_output=True, text=True, check=True, cwd=root,
                          env={**os.environ, "PYTHONPATH": root})
    assert max(map(float, done.stdout.split())) < 0.15


# ---- notebooks and text

def test_a_notebook_shows_the_picture(drawing):
    bundle = drawing._repr_mimebundle_(include=None, exclude=None)
    assert bundle["text/plain"] == repr(drawing)
    ElementTree.fromstring(bundle["image/svg+xml"])
    assert "max-width:100%" in bundle["image/svg+xml"]


def test_a_notebook_never_sees_an_error(drawing, tmp_path, monkeypatch, no_engine):
    assert engines.PIP in drawing._repr_mimebundle_()["text/plain"]
    script(tmp_path / "dot", "exit 1")
    assert "not shown" in drawing._repr_mimebundle_()["text/plain"]
    script(tmp_path / "dot", "printf '\\377\\376'")
    assert "image/svg+xml" not in drawing._repr_mimebundle_()
    monkeypatch.setattr(engines, "find", lambda: 1 / 0)
    assert "not shown" in drawing._repr_mimebundle_()["text/plain"]


def test_repr(drawing):
    assert repr(drawing) == "<Drawing of loss: 3 tensors, 2 operations>"


# ---- arguments

def test_wrong_arguments_are_told_plainly():
    loss = ad.Tensor(1.0, requires_grad=True) * 2
    with pytest.raises(TypeError, match="the Tensor to draw, such as a loss, not ndarray"):
        viz.draw(np.ones(3))
    for wrong in (dict(theme="neon"), dict(rankdir="RL"), dict(show=["shapes", "colours"])):
        with pytest.raises(ValueError, match="is not known; choose from"):
            viz.draw(loss, **wrong)
    with pytest.raises(ValueError, match="at least 1"):
        viz.draw(loss, max_nodes=0)


def test_importing_viz_does_not_import_graphviz_or_nn():
    program = "import sys, viz; assert not {'graphviz', 'nn', 'matplotlib'} & set(sys.modules), sys.modules"
    here = {"PYTHONPATH": viz.__path__[0] + "/.."}
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, **here})
