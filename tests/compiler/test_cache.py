"""Generated text to native functions: right whatever the folder holds, loaded without compiling, safe to load from."""

import errno
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from numba.core import dispatcher

from autodiff.compiler import cache
from autodiff.compiler.cache import built
from autodiff.compiler.elementary import PRELUDE

TEXT = f"""{PRELUDE}

def shifted(x):
    return exp(x) + x

def apply(x, o):
    for i in range(x.shape[0]):
        o[i] = shifted(x[i])
"""
FUNCTIONS = {"apply": "void(float64[::1], float64[::1])", "shifted": None}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty cache folder for one test."""
    monkeypatch.setenv("WENGERT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_compiler(monkeypatch):
    """Compiling is an error from here on."""
    def refuse(self, args, return_type):
        raise AssertionError("compiled, not loaded")
    return lambda: monkeypatch.setattr(dispatcher._FunctionCompiler, "compile", refuse)


def works(kernels):
    x = np.linspace(-1, 1, 9)
    out = np.empty_like(x)
    kernels["apply"](x, out)
    np.testing.assert_allclose(out, np.exp(x) + x, rtol=1e-15)
    return list(kernels) == ["apply"]


def files(place, ending):
    return sorted(place.glob(f"**/*{ending}"))


def test_the_text_is_kept_beside_its_machine_code(place):
    assert works(built(TEXT, FUNCTIONS))
    assert [path.read_text() for path in files(place, ".py")] == [TEXT]
    assert len(files(place, ".nbc")) == 1           # of what only others call there is none
    assert not files(place, ".tmp")
    assert place.stat().st_mode & 0o077 == 0


def test_the_second_time_nothing_is_compiled(no_compiler):
    built(TEXT, FUNCTIONS)
    no_compiler()
    assert works(built(TEXT, FUNCTIONS))


def test_without_an_entry_it_is_compiled(no_compiler):
    no_compiler()
    with pytest.raises(AssertionError, match="compiled, not loaded"):
        built(TEXT, FUNCTIONS)


CHILD = """
import sys
import numpy as np
from numba.core import dispatcher
from autodiff.compiler.cache import built
from tests_text import TEXT, FUNCTIONS
if sys.argv[1] == "load":
    del dispatcher._FunctionCompiler.compile
x, out = np.zeros(3), np.ones(3)
built(TEXT, FUNCTIONS)["apply"](x, out)
print(out.tolist(), "autodiff.compiler.cache" in sys.modules)
"""


def child(tmp_path, how):
    (tmp_path / "tests_text.py").write_text(f"TEXT = {TEXT!r}\nFUNCTIONS = {FUNCTIONS!r}\n")
    root = os.path.dirname(os.path.dirname(os.path.dirname(cache.__file__)))
    return subprocess.Popen([sys.executable, "-W", "error", "-c", CHILD, how], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, str(tmp_path)])})


def test_processes_write_one_entry_at_once_and_a_later_one_loads_it(place, tmp_path):
    for group in (["compile", "compile"], ["load"]):
        for process in [child(tmp_path, how) for how in group]:
            out, err = process.communicate(timeout=100)
            assert (out, err) == ("[1.0, 1.0, 1.0] True\n", "")
    assert len(files(place, ".py")) == 1 and not files(place, ".tmp")


def test_threads_build_the_same_and_different_texts_at_once():
    texts = [TEXT, TEXT, TEXT.replace("+ x", "+ 1 * x"), TEXT]
    with ThreadPoolExecutor(4) as pool:
        assert all(works(kernels) for kernels in pool.map(lambda text: built(text, FUNCTIONS), texts))


@pytest.mark.parametrize("ending", [".nbc", ".nbi", ".py"])
@pytest.mark.parametrize("harm", [lambda data: b"", lambda data: data[:len(data) // 2], lambda data: b"\0" * len(data)],
                         ids=["empty", "half", "zeros"])
def test_a_broken_entry_is_made_anew(place, no_compiler, ending, harm):
    built(TEXT, FUNCTIONS)
    (path,) = files(place, ending)
    path.write_bytes(harm(path.read_bytes()))
    assert works(built(TEXT, FUNCTIONS))
    assert works(built(TEXT, FUNCTIONS))
    no_compiler()
    assert works(built(TEXT, FUNCTIONS))


def test_a_changed_text_is_never_run(place):
    built(TEXT, FUNCTIONS)
    (path,) = files(place, ".py")
    path.write_text(TEXT.replace("+ x", "+ 2"))
    assert works(built(TEXT, FUNCTIONS))
    assert path.read_text() == TEXT


@pytest.mark.parametrize("value", ["", "0", "off", " OFF "])
def test_the_cache_can_be_turned_off(monkeypatch, tmp_path, value):
    monkeypatch.setenv("WENGERT_CACHE", value)
    monkeypatch.chdir(tmp_path)
    assert cache.folder() is None
    assert works(built(TEXT, FUNCTIONS))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
@pytest.mark.parametrize("part", [".", "__pycache__"])
def test_a_folder_that_others_may_write_to_is_not_used(place, part, mode):
    assert cache.folder() == place
    (place / part).chmod(mode)
    assert cache.folder() is None
    assert works(built(TEXT, FUNCTIONS))
    assert not [path for path in place.glob("**/*") if path.is_file()]


def test_a_folder_of_somebody_else_is_not_used(place, monkeypatch):
    place.mkdir(mode=0o700)
    owner = os.getuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: owner + 1)
        assert cache.folder() is None
    assert not list(place.iterdir())
    assert cache.folder() == place


def test_a_link_is_not_followed(place, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    assert cache.folder() is None


def test_a_folder_that_cannot_be_made_is_not_used(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    for name in (tmp_path / "file", tmp_path / "file" / "below", "~nobody-of-this-name/x"):
        monkeypatch.setenv("WENGERT_CACHE", str(name))
        assert cache.folder() is None


def test_a_folder_that_cannot_be_written_is_not_used(place, monkeypatch):
    place.mkdir(mode=0o700)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert cache.folder() is None


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.delenv("WENGERT_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "wengert"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")        # to be ignored, says the XDG specification
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "wengert"
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == tmp_path / "Library" / "Caches" / "wengert"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache.folder() == tmp_path / "local" / "wengert"


@pytest.mark.parametrize("where", ["write", "replace", "mkstemp"])
def test_a_full_disk_is_not_noticed(place, monkeypatch, where):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")
    place.mkdir(mode=0o700)
    target, name = {"write": (os, "fdopen"), "replace": (os, "replace"), "mkstemp": (cache.tempfile, "mkstemp")}[where]
    monkeypatch.setattr(target, name, full)
    assert works(built(TEXT, FUNCTIONS))
    assert not files(place, ".tmp") and not files(place, ".py")


def test_a_disk_that_fills_up_while_machine_code_is_written(place, monkeypatch):
    def full(self, name, data):
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._save_data", full)
    assert works(built(TEXT, FUNCTIONS))
    assert not files(place, ".py") and not files(place, ".nbi")


def test_what_cannot_be_compiled_is_told_and_leaves_nothing(place):
    with pytest.raises(numba.core.errors.TypingError):
        built("def f(x):\n    x.no_such_thing()\n", {"f": "void(float32[::1])"})
    with pytest.raises(SyntaxError):
        built("def f(x:\n", {"f": "void(float32[::1])"})
    assert not files(place, ".py") and not files(place, ".nbi")


def test_the_name_follows_whatever_decides_the_machine_code(monkeypatch):
    names = {cache.entry_name(TEXT, FUNCTIONS, cache.OPTIONS)}
    names.add(cache.entry_name(TEXT + " ", FUNCTIONS, cache.OPTIONS))
    names.add(cache.entry_name(TEXT, {**FUNCTIONS, "apply": "void(float32[::1], float32[::1])"}, cache.OPTIONS))
    names.add(cache.entry_name(TEXT, FUNCTIONS, {**cache.OPTIONS, "boundscheck": True}))
    for target, value in ((numba, "__version__"), (np, "__version__"), (sys, "version")):
        with monkeypatch.context() as patch:
            patch.setattr(target, value, "0")
            names.add(cache.entry_name(TEXT, FUNCTIONS, cache.OPTIONS))
    for asked in ("get_host_cpu_name", "get_process_triple"):
        with monkeypatch.context() as patch:
            patch.setattr(cache.llvm, asked, lambda: "another")
            names.add(cache.entry_name(TEXT, FUNCTIONS, cache.OPTIONS))
    assert len(names) == 9
    assert cache.entry_name(TEXT, dict(reversed(FUNCTIONS.items())), cache.OPTIONS) in names


def test_the_entries_not_used_for_longest_go(place, monkeypatch):
    assert cache.folder() == place
    for i, name in enumerate(["ka", "kb", "kc", "kd"]):
        (place / f"{name}.py").write_text("x" * 10)
        (place / "__pycache__" / f"{name}.f-1.py311.1.nbc").write_text("x" * 90)
        os.utime(place / f"{name}.py", (1000 + i, 0))
    (place / "notes.txt").write_text("not ours")
    text = (place / "ka.py").read_text()
    cache.store(place / "ka.py", text)              # used: now the youngest
    cache.prune(place, limit=400)
    assert len(files(place, ".py")) == 4            # at the limit nothing goes
    cache.prune(place, limit=390)
    assert [path.stem for path in files(place, ".py")] == ["ka", "kd"]
    assert [path.name[:2] for path in files(place, ".nbc")] == ["ka", "kd"]
    assert (place / "notes.txt").exists()


def test_a_new_entry_prunes_old_ones_and_stays_itself(place, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 1)
    for text in (TEXT, TEXT + "\n"):
        assert works(built(text, FUNCTIONS))
        assert [path.read_text() for path in files(place, ".py")] == [text]


def test_numbas_own_warnings_are_not_shown():
    text = "import numpy as np\n\ndef f(a, b, o):\n    np.dot(a, b, o)\n"
    kernel = built(text, {"f": "void(float32[:, :], float32[:, :], float32[:, ::1])"}, allocating=True)["f"]
    a = np.arange(16, dtype=np.float32).reshape(4, 4)[:, ::2].copy()
    out = np.empty((4, 4), np.float32)
    kernel(a, a.T, out)
    np.testing.assert_array_equal(out, a @ a.T)


def test_a_function_of_another_item_size_is_refused_and_the_rest_is_trusted():
    kernels = built(TEXT, FUNCTIONS)
    with pytest.raises(TypeError):
        kernels["apply"](np.zeros(3, np.float32), np.zeros(3))
    with pytest.raises(TypeError):
        kernels["apply"](np.zeros(3))


def test_kernels_outlive_what_made_them_and_hold_no_array():
    kernel = built(TEXT, FUNCTIONS)["apply"]
    x, out = np.zeros(1000), np.empty(1000)
    before = sys.getrefcount(x), sys.getrefcount(out)
    for _ in range(100):
        kernel(x, out)
    assert (sys.getrefcount(x), sys.getrefcount(out)) == before
    assert out.tolist() == [1.0] * 1000


def test_the_interpreter_goes_on_while_a_kernel_runs():
    text = "def spin(x, n):\n    for i in range(n):\n        x[0] = x[0] * 0.999 + 1.0 / (x[0] + 1.0)\n"
    kernel = built(text, {"spin": "void(float64[::1], int64)"})["spin"]
    x = np.ones(1)
    start = time.perf_counter()
    kernel(x, 1_000_000)
    rounds = int(1_000_000 * 0.5 / (time.perf_counter() - start))
    thread = threading.Thread(target=kernel, args=(x, rounds))
    thread.start()
    time.sleep(0.01)
    went_on = thread.is_alive()
    thread.join()
    assert went_on
