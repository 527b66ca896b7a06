"""Generated text to native functions: right whatever the folder holds, loaded without compiling, safe to load from."""

import errno
import hashlib
import inspect
import marshal
import os
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from numba.core import dispatcher

from autodiff.compiler import cache, elementary, machine_code, object_code
from autodiff.compiler.cache import PRELUDE, built

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


def test_machine_code_is_kept(place):
    assert works(built(TEXT, FUNCTIONS))
    (path,) = place.glob("*")
    (code,) = cache.kept(path)                      # of what only others call there is none
    assert code.name == "apply" and code.text
    assert path.suffix == cache.ENDING
    assert place.stat().st_mode & 0o077 == path.stat().st_mode & 0o077 == 0


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
from autodiff.compiler.cache import built
from tests_text import TEXT, FUNCTIONS
if sys.argv[1] == "load":
    sys.modules["autodiff.compiler.object_code"] = None
x, out = np.zeros(3), np.ones(3)
kernel = built(TEXT, FUNCTIONS)["apply"]
for wrong in (x, None), (x, x.astype("f4")), (x,):
    try:
        kernel(*wrong)
    except TypeError:
        pass
    else:
        sys.exit(f"accepted {wrong}")
kernel(x, out)
print(out.tolist(), "numba" in sys.modules)
if sys.argv[1] == "load":               # numba is none the worse for it
    import numba
    sums = numba.njit("float64(float64[::1])")(lambda x: np.append(x, x + np.random.rand(3) * 0).sum())
    kernel(x, out)
    print(out.tolist(), sums(out))
"""


def child(tmp_path, how):
    (tmp_path / "tests_text.py").write_text(f"TEXT = {TEXT!r}\nFUNCTIONS = {FUNCTIONS!r}\n")
    root = os.path.dirname(os.path.dirname(os.path.dirname(cache.__file__)))
    return subprocess.Popen([sys.executable, "-W", "error", "-c", CHILD, how], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, str(tmp_path)])})


def test_processes_write_one_entry_at_once_and_a_later_one_loads_it(place, tmp_path):
    for group, said in (["compile", "compile"], "True\n"), (["load"], "False\n[1.0, 1.0, 1.0] 6.0\n"):
        for process in [child(tmp_path, how) for how in group]:
            assert process.communicate(timeout=100) == (f"[1.0, 1.0, 1.0] {said}", "")
    assert len(list(place.glob("*"))) == 1


def test_threads_build_the_same_and_different_texts_at_once():
    texts = [TEXT, TEXT, TEXT.replace("+ x", "+ 1 * x"), TEXT]
    with ThreadPoolExecutor(4) as pool:
        assert all(works(kernels) for kernels in pool.map(lambda text: built(text, FUNCTIONS), texts))


@pytest.mark.parametrize("harm", [
    lambda data: b"", lambda data: data[:len(data) // 2], lambda data: b"\0" * len(data), lambda data: data[:-1] + b"x",
    lambda data: data + b"x", lambda data: data.replace(b"apply", b"reply"), lambda data: signed(b"nothing"),
    lambda data: signed(marshal.dumps([(*marshal.loads(data[32:])[0][:4], ("no_such_symbol",))]))],
    ids=["empty", "half", "zeros", "end", "more", "name", "nothing", "unknown symbol"])
def test_a_broken_entry_is_made_anew(place, no_compiler, harm):
    built(TEXT, FUNCTIONS)
    (path,) = place.glob("*")
    path.write_bytes(harm(path.read_bytes()))
    assert works(built(TEXT, FUNCTIONS))
    assert works(built(TEXT, FUNCTIONS))
    no_compiler()
    assert works(built(TEXT, FUNCTIONS))


def signed(text):
    """An entry as it is written."""
    return hashlib.sha256(text).digest() + text


def test_what_machine_code_needs_is_known_before_it_is_linked(monkeypatch):
    (code,) = object_code.compiled(TEXT, "<text>", FUNCTIONS, False)
    assert {"numba_adapt_ndarray", "PyExc_TypeError", "_Py_NoneStruct"} <= set(code.needs)
    with pytest.raises(RuntimeError, match="needs what is not there: no_such_symbol"):
        machine_code.loaded([code._replace(needs=(*code.needs, "no_such_symbol"))])


@pytest.mark.parametrize("value", ["", "0", "off", " OFF "])
def test_the_cache_can_be_turned_off(monkeypatch, tmp_path, value):
    monkeypatch.setenv("WENGERT_CACHE", value)
    monkeypatch.chdir(tmp_path)
    assert cache.folder() is None
    assert works(built(TEXT, FUNCTIONS))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_may_write_to_is_not_used(place, mode):
    assert cache.folder() == place
    place.chmod(mode)
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
    assert not list(place.glob("*"))


def test_what_cannot_be_compiled_is_told_and_leaves_nothing(place):
    with pytest.raises(numba.core.errors.TypingError):
        built("def f(x):\n    x.no_such_thing()\n", {"f": "void(float32[::1])"})
    with pytest.raises(SyntaxError):
        built("def f(x:\n", {"f": "void(float32[::1])"})
    assert not list(place.glob("*"))


def test_the_name_follows_whatever_decides_the_machine_code(monkeypatch):
    def name(source=TEXT, functions=FUNCTIONS, apart=False):
        cache.deciding.cache_clear()
        return cache.entry_name(source, functions, apart)
    names = {name(), name(TEXT + " "), name(functions={**FUNCTIONS, "apply": "void(float32[::1], float32[::1])"}),
             name(apart=True)}
    for target, what, value in ((np, "__version__", "0"), (sys, "version", "0"),
                                (cache.llvm, "llvm_version_info", (0,)),
                                (cache.llvm, "get_host_cpu_name", lambda: "another"),
                                (cache.llvm, "get_process_triple", lambda: "another")):
        with monkeypatch.context() as patch:
            patch.setattr(target, what, value)
            names.add(name())
    with monkeypatch.context() as patch:
        patch.setenv("NUMBA_OPT", "1")
        names.add(name())
    assert len(names) == 10
    assert name(functions=dict(reversed(FUNCTIONS.items()))) in names


def test_the_name_holds_numbas_version_and_the_text_of_what_compiles():
    *files, llvm_version = cache.deciding()
    assert files == [inspect.getsource(elementary), inspect.getsource(object_code), inspect.getsource(numba._version)]
    assert numba.__version__ in files[-1]


def test_the_entries_not_used_for_longest_go(place, monkeypatch):
    assert cache.folder() == place
    for i, name in enumerate(["ka", "kb", "kc", "kd"]):
        (place / f"{name}.code").write_bytes(signed(marshal.dumps([("x" * 100, b"", "", "", ())])))
        os.utime(place / f"{name}.code", (1000 + i, 1000 + i))
    (place / "notes.txt").write_text("not ours")
    size = (place / "ka.code").stat().st_size
    assert cache.kept(place / "ka.code")[0].name == "x" * 100              # used: now the youngest
    cache.prune(place, limit=4 * size)
    assert len(list(place.glob("*.code"))) == 4                            # at the limit nothing goes
    cache.prune(place, limit=4 * size - 1)
    assert sorted(path.stem for path in place.glob("*.code")) == ["ka", "kd"]
    assert (place / "notes.txt").exists()


def test_a_new_entry_prunes_old_ones_and_stays_itself(place, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 1)
    for text in (TEXT, TEXT + "\n"):
        assert works(built(text, FUNCTIONS))
        assert [path.stem for path in place.glob("*")] == [cache.entry_name(text, FUNCTIONS, False)]


def test_numbas_own_warnings_are_not_shown(monkeypatch):
    def warning(*arguments, _njit=numba.njit, **options):
        warnings.warn("about to change", numba.NumbaWarning, stacklevel=2)
        return _njit(*arguments, **options)
    monkeypatch.setattr(numba, "njit", warning)
    assert works(built(TEXT, FUNCTIONS))


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
