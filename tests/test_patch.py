"""Ours in place of the originals: who gets which function, and what is left behind."""

import copy
import importlib.util
import inspect
import os
import pickle
import py_compile
import re
import subprocess
import sys
import textwrap
import threading
import zipapp
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.optimize

import raphson

# In a container, where the patch leaves them alone.
ORIGINAL = {name: getattr(scipy.optimize, name) for name in ("newton", "broyden1", "root")}


def cube(x):
    """Easy for Newton's method from 1, and for Broyden's from near 2."""
    return x**3 - 8


@pytest.fixture(autouse=True)
def nothing_stays_patched():
    yield
    assert raphson._patch._patch.calls is None
    assert all(getattr(scipy.optimize, name) is ORIGINAL[name] for name in ORIGINAL)


@pytest.fixture
def module(monkeypatch):
    """A module that has imported the originals, under names of its own."""
    module = ModuleType("imported_before")
    module.newton, module.solve = ORIGINAL["newton"], ORIGINAL["broyden1"]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


# Who is served


def test_the_originals_are_replaced_and_come_back():
    with raphson.patched() as calls:
        assert scipy.optimize.newton(cube, 1.0) == raphson.newton(cube, 1.0)
        x = scipy.optimize.broyden1(cube, [1.9, 2.1])
        solution = scipy.optimize.root(cube, [1.9, 2.1], method="BROYDEN1")
    np.testing.assert_array_equal(x, raphson.broyden1(cube, [1.9, 2.1]))
    np.testing.assert_array_equal(solution.x, x)
    assert calls.served == {
        "scipy.optimize.newton": 1,
        "scipy.optimize.broyden1": 1,
        "scipy.optimize.root(method='broyden1')": 1,
    }
    assert not calls.passed_on
    assert min(calls.seconds[name] for name in calls.served) > 0


def test_arguments_by_name_are_served():
    with raphson.patched() as calls:
        scipy.optimize.newton(func=cube, x0=[1.0, 3.0])
        scipy.optimize.broyden1(F=cube, xin=[1.9, 2.1])
        scipy.optimize.root(fun=cube, x0=[1.0, 3.0], method="broyden1")
    assert calls.served.total() == 3


def test_scipys_own_modules_are_served():
    with raphson.patched() as calls:
        assert scipy.optimize._zeros_py.newton is scipy.optimize.newton
        assert scipy.optimize._nonlin.broyden1 is scipy.optimize.broyden1
        assert scipy.optimize._root.root is scipy.optimize.root
        for method in ("newton", "halley", "secant"):
            derivatives = {"fprime": lambda x: 3 * x**2, "fprime2": lambda x: 6 * x}
            found = scipy.optimize.root_scalar(cube, x0=1.0, method=method, **derivatives)
            assert abs(found.root - 2) < 1e-9
        with pytest.warns(DeprecationWarning, match=r"scipy\.optimize\.zeros"):
            assert scipy.optimize.zeros.newton is scipy.optimize.newton
    assert calls.served == {"scipy.optimize.newton": 3}


@pytest.mark.parametrize("name", ORIGINAL)
def test_a_replacement_looks_like_the_original(name):
    original = ORIGINAL[name]
    with raphson.patched():
        replacement = getattr(scipy.optimize, name)
        assert replacement is not original
        for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
            assert getattr(replacement, attribute) == getattr(original, attribute)
        assert inspect.signature(replacement) == inspect.signature(original)


# What is passed on


def test_other_methods_of_root_go_to_the_original():
    with raphson.patched() as calls:
        scipy.optimize.root(cube, [1.0], method="krylov")
        scipy.optimize.root(cube, [1.0], (), "lm")
        with pytest.raises(TypeError, match=r"root\(\) missing"):
            scipy.optimize.root()
        with pytest.raises(AttributeError, match="lower"):
            scipy.optimize.root(cube, [1.0], method=3)
    assert not calls.served
    assert calls.passed_on["scipy.optimize.root(method='krylov')"] == 1
    assert calls.passed_on["scipy.optimize.root(method='lm')"] == 1


@pytest.mark.parametrize("code", "efdgFDGbBhHiIlLqQ")
def test_the_starts_that_newton_computes_with(code):
    """Ours gives the others to `scipy.optimize.newton`, which must not be the replacement."""
    with raphson.patched() as calls:
        for shape in ((), (1,), (2,)):
            x0 = np.full(shape, 3, code)
            found = scipy.optimize.newton(lambda x: x * x - 4, x0, lambda x: 2 * x)
            assert np.all(np.abs(np.asarray(found, complex) - 2) < 1e-3)
    ours = 0 if code in "egG" else 3
    assert calls.served.total() == ours
    assert calls.passed_on.total() == 3 - ours


def test_ours_hands_what_it_cannot_compute_to_the_original_under_the_patch_too():
    with raphson.patched() as calls:
        root = raphson.newton(cube, np.longdouble(1))
    assert root.dtype == np.longdouble
    assert calls.passed_on == {"scipy.optimize.newton": 1}


def test_extended_precision_stays_what_it_is():
    with raphson.patched():
        x = scipy.optimize.broyden1(cube, np.ones(2, np.longdouble))
        solution = scipy.optimize.root(cube, np.ones(2, np.longdouble), method="broyden1")
    assert x.dtype == solution.x.dtype == np.longdouble


def test_objects_stay_what_they_are():
    with raphson.patched() as calls:
        found = scipy.optimize.newton(lambda x: x * x - 4, np.full(2, 3, object), lambda x: 2 * x)
    assert found.dtype == object
    assert calls.passed_on.total() == 1


def test_a_start_that_is_no_array_is_for_the_original_to_refuse():
    with raphson.patched(), pytest.raises(ValueError, match="inhomogeneous"):
        scipy.optimize.newton(cube, [[1.0], [1.0, 2.0]])


REFUSED = {
    "newton: maxiter": lambda: scipy.optimize.newton(cube, 1.0, maxiter=1.5),
    "newton: tol": lambda: scipy.optimize.newton(func=cube, x0=1.0, tol=0),
    "newton: missing": lambda: scipy.optimize.newton(cube),
    "newton: x1": lambda: scipy.optimize.newton(cube, 1.0, x1=1.0),
    "broyden1: unknown": lambda: scipy.optimize.broyden1(F=cube, xin=[1.0], foo=1),
    "broyden1: line search": lambda: scipy.optimize.broyden1(cube, [1.0], line_search="x"),
    "root: unknown": lambda: scipy.optimize.root(
        cube, [1.0], method="broyden1", options={"jac_options": {"foo": 1}}
    ),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_ours_refuses_raises_the_error_of_the_original(call):
    with pytest.raises((TypeError, ValueError)) as theirs:
        call()
    with raphson.patched() as calls, pytest.raises(type(theirs.value)) as patched:
        call()
    assert str(patched.value) == str(theirs.value)
    assert patched.value.__context__ is None
    assert not calls.served
    assert calls.passed_on.total() == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: scipy.optimize.newton(cube, np.ones((2,) + (1,) * 32)),
        lambda: scipy.optimize.broyden1(cube, ["1.9", "2.1"]),
    ],
    ids=["33 dimensions", "text for numbers"],
)
def test_what_ours_refuses_and_the_original_serves(call):
    with raphson.patched() as calls:
        assert np.all(np.abs(call() - 2) < 1e-6)
    assert not calls.served
    assert calls.passed_on.total() == 1


@pytest.mark.parametrize("error", [ValueError, TypeError, RuntimeError])
@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize("name", ORIGINAL)
def test_errors_of_the_users_function_pass_through_and_it_is_not_called_again(name, at, error):
    seen = []

    def failing(x):
        seen.append(x)
        if len(seen) == at:
            raise error("of the user")
        return cube(x)

    method = {"method": "broyden1"} if name == "root" else {}
    with raphson.patched() as calls, pytest.raises(error, match="of the user"):
        getattr(scipy.optimize, name)(failing, 1.0, **method)
    assert len(seen) == at
    assert calls.served.total() == 1
    assert not calls.passed_on


# Names that were imported before


def test_names_imported_before_are_replaced_and_come_back(module):
    with raphson.patched() as calls:
        module.newton(cube, 1.0)
        module.solve(cube, [1.9])
        assert module.newton is scipy.optimize.newton
    assert calls.served.total() == 2
    assert module.newton is ORIGINAL["newton"]
    assert module.solve is ORIGINAL["broyden1"]


def test_names_imported_under_the_patch_go_back_to_the_originals(module):
    with raphson.patched():
        module.late = scipy.optimize.newton
    assert module.late is ORIGINAL["newton"]


def test_what_is_no_global_of_a_module_is_left_alone(module):
    class Solver:
        solve = staticmethod(ORIGINAL["newton"])

    module.Solver, module.table = Solver, {"newton": ORIGINAL["newton"]}
    with raphson.patched() as calls:
        module.Solver.solve(cube, 1.0)
        module.table["newton"](cube, 1.0)
    assert not calls.served


def test_a_replacement_that_somebody_kept_calls_the_original_after_the_patch():
    def caller_of(solve):
        """Solve, and see in which file the function was called."""
        files = set()

        def fun(x):
            files.add(Path(sys._getframe(1).f_code.co_filename).name)
            return cube(x)

        solve(fun, 1.0)
        return files

    with raphson.patched() as calls:
        kept = [scipy.optimize.newton]
        assert caller_of(kept[0]) == {"_newton.py"}
    assert caller_of(kept[0]) == {"_zeros_py.py"}
    assert calls.served.total() == 1
    with raphson.patched():
        assert scipy.optimize.newton is kept[0]
        assert caller_of(kept[0]) == {"_newton.py"}


def test_lazy_modules_stay_unloaded(tmp_path, monkeypatch):
    (tmp_path / "lazy_one.py").write_text("print('loaded')")
    spec = importlib.util.spec_from_file_location("lazy_one", tmp_path / "lazy_one.py")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lazy_one", lazy)
    spec.loader.exec_module(lazy)
    with raphson.patched():
        pass
    assert "Lazy" in type(lazy).__name__


@pytest.mark.parametrize("entry", [None, 3, object()])
def test_whatever_stands_among_the_modules(monkeypatch, entry):
    monkeypatch.setitem(sys.modules, "strange", entry)
    with raphson.patched() as calls:
        scipy.optimize.newton(cube, 1.0)
    assert calls.served.total() == 1


def test_a_package_whose_import_is_forbidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "desc.optimize.least_squares", None)
    with raphson.patched() as calls:
        scipy.optimize.newton(cube, 1.0)
    assert calls.served.total() == 1


# Twice, nested, and without


def is_patched():
    return scipy.optimize.newton is not ORIGINAL["newton"]


def test_patching_twice_is_undone_once():
    calls = raphson.patch()
    assert raphson.patch() is calls
    assert is_patched()
    assert sum(type(finder).__name__ == "_Finder" for finder in sys.meta_path) == 1
    raphson.unpatch()
    assert not is_patched()
    assert not any(type(finder).__name__ == "_Finder" for finder in sys.meta_path)


def test_unpatching_without_a_patch_does_nothing():
    raphson.unpatch()
    assert not is_patched()


def test_nested_blocks_end_with_the_last():
    with raphson.patched() as outer:
        with raphson.patched() as inner:
            assert inner is outer
        assert is_patched()
    assert not is_patched()


def test_a_block_in_a_patch_and_a_patch_in_a_block():
    raphson.patch()
    with raphson.patched():
        raphson.unpatch()
        assert is_patched()
    assert not is_patched()
    with raphson.patched():
        raphson.patch()
    assert is_patched()
    raphson.unpatch()


def test_a_block_that_raises_is_undone():
    with pytest.raises(KeyError), raphson.patched():
        raise KeyError
    assert not is_patched()


def test_each_patch_has_a_tally_of_its_own():
    with raphson.patched() as first:
        scipy.optimize.newton(cube, 1.0)
    with raphson.patched() as second:
        pass
    assert first.served.total() == 1
    assert not second.served


def test_somebody_elses_patch_in_between_is_kept(monkeypatch):
    raphson.patch()
    with monkeypatch.context() as patching:
        patching.setattr(scipy.optimize, "newton", abs)
        raphson.unpatch()
        assert scipy.optimize.newton is abs
    # What it put back was ours; as any replacement outside of a patch, it calls the original.
    assert scipy.optimize.newton(cube, np.longdouble(1)).dtype == np.longdouble
    scipy.optimize.newton = ORIGINAL["newton"]


# Threads


def in_threads(work, count=8):
    errors = []

    def run():
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_calls_of_all_threads_are_counted():
    def work():
        for _ in range(500):
            scipy.optimize.newton(cube, 1.0)

    with raphson.patched() as calls:
        in_threads(work)
    assert calls.served == {"scipy.optimize.newton": 4000}


def test_threads_that_patch_do_not_undo_each_other():
    def work():
        for _ in range(5):
            with raphson.patched() as calls:
                before = calls.served["scipy.optimize.newton"]
                scipy.optimize.newton(cube, 1.0)
                assert is_patched()
                assert calls.served["scipy.optimize.newton"] > before

    in_threads(work, 4)
    assert not is_patched()


# The table


def test_the_table():
    with raphson.patched() as calls:
        assert str(calls) == "raphson: no calls"
        for _ in range(12):
            scipy.optimize.newton(cube, 1.0)
        scipy.optimize.root(cube, [1.0], method="lm")
    head, newton, root = str(calls).splitlines()
    assert head.split() == ["raphson", "served", "seconds", "passed", "on"]
    name, served, seconds, passed_on = newton.split()
    assert (name, served, passed_on) == ("scipy.optimize.newton", "12", "0")
    assert 0 < float(seconds) < 1
    assert root.split() == ["scipy.optimize.root(method='lm')", "0", "0.000000", "1"]
    assert len(head) == len(newton) == len(root)


# Imports after the patch


def run(*command, cwd, status=0, code=None):
    done = subprocess.run(
        [sys.executable, *(["-c", code] if code else command)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_the_patch_does_not_import_scipy_and_waits_for_it(tmp_path):
    program = """
import sys, raphson
calls = raphson.patch()
assert "scipy" not in sys.modules
from scipy.optimize import newton
newton(lambda x: x - 1, 0.0)
assert calls.served["scipy.optimize.newton"] == 1
import scipy.optimize
module = scipy.optimize._zeros_py
assert type(module.__loader__).__name__ == "SourceFileLoader" and newton.__wrapped__
assert module.__spec__.loader is module.__loader__
raphson.unpatch()
assert newton is module.newton is scipy.optimize.newton and not hasattr(newton, "__wrapped__")
"""
    run(code=program, cwd=tmp_path)


def test_a_module_that_is_loaded_again_is_replaced_again():
    # In a process of its own: SciPy does not like it.
    program = """
import importlib, raphson, scipy.optimize._zeros_py as module
raphson.patch()
first = module.newton
importlib.reload(module)
assert module.newton is not first and module.newton.__wrapped__ is not first.__wrapped__
raphson.unpatch()
assert not hasattr(module.newton, "__wrapped__")
"""
    run(code=program, cwd=".")


FAKE_DESC = {
    "desc/__init__.py": "",
    # Stands for JAX: arrays of a class of its own.
    "desc/backend.py": """
        import numpy
        class jnp:
            class Array(numpy.ndarray):
                pass
            def asarray(x):
                return numpy.asarray(x).view(jnp.Array)
        """,
    "desc/optimize/__init__.py": """
        from . import _desc_wrappers
        from .least_squares import lsqtr
        """,
    "desc/optimize/least_squares.py": """
        from desc.backend import jnp
        def lsqtr(fun, x0, jac, bounds=None, args=(), x_scale="jac", ftol=1e-6, xtol=1e-6,
                  gtol=1e-6, verbose=1, maxiter=None, callback=None, options=None):
            "Their words."
            raise AssertionError("x0 is infeasible")
        """,
    "desc/optimize/_desc_wrappers.py": """
        from .least_squares import lsqtr
        def optimize(*args, **kwargs):
            return lsqtr(*args, **kwargs, verbose=0)
        """,
    "script.py": """
        import numpy as np
        from desc.backend import jnp
        from desc.optimize import lsqtr, _desc_wrappers
        seen = set()
        def fun(x):
            seen.add(type(x))
            return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
        def jac(x):
            return np.array([[-20 * x[0], 10], [-1, 0]])
        for solve in (lsqtr, _desc_wrappers.lsqtr):
            print(solve(fun, np.array([-1.2, 1.0]), jac, verbose=0).x.round(6))
        print(seen == {jnp.Array}, lsqtr.__doc__)
        try:
            _desc_wrappers.optimize(fun, np.array([-1.2, 1.0]), jac, bounds=(0, 2))
        except AssertionError as error:
            print(error)
        """,
}


@pytest.fixture
def project(tmp_path):
    for name, text in FAKE_DESC.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return tmp_path


def test_desc_is_served_when_it_is_imported_after_the_patch(project):
    done = run("-m", "raphson", "script.py", cwd=project)
    printed = done.stdout.splitlines()
    assert printed == ["[1. 1.]", "[1. 1.]", "True Their words.", "x0 is infeasible"]
    row = done.stderr.splitlines()[1].split()
    assert (row[0], row[1], row[3]) == ("desc.optimize.lsqtr", "2", "1")


def test_desc_is_served_when_it_is_imported_before_the_patch(project):
    program = """
import desc.optimize, numpy as np, raphson
from desc.optimize import lsqtr
with raphson.patched() as calls:
    for solve in (lsqtr, desc.optimize.lsqtr, desc.optimize._desc_wrappers.optimize):
        solve(lambda x: x - 1.0, np.zeros(2), lambda x: np.eye(2))
assert calls.served == {"desc.optimize.lsqtr": 3}
"""
    run(code=program, cwd=project)


def test_an_import_that_is_under_way_in_another_thread_is_waited_for(project):
    (project / "desc/optimize/least_squares.py").write_text(
        "import time; time.sleep(0.5)\n"
        + textwrap.dedent(FAKE_DESC["desc/optimize/least_squares.py"])
    )
    program = """
import importlib, sys, threading, time, raphson
importing = threading.Thread(target=importlib.import_module, args=["desc.optimize"])
importing.start()
while "desc.optimize.least_squares" not in sys.modules:
    time.sleep(0.01)
raphson.patch()
importing.join()
import desc.optimize
assert desc.optimize.lsqtr.__wrapped__ and desc.optimize._desc_wrappers.lsqtr.__wrapped__
"""
    run(code=program, cwd=project)


def test_another_package_of_that_name_does_no_harm(project):
    (project / "desc/optimize/least_squares.py").write_text("answer, nothing = 42, None\n")
    (project / "desc/optimize/__init__.py").write_text("")
    (project / "script.py").write_text(
        "from desc.optimize.least_squares import answer, nothing; print(answer, nothing)"
    )
    assert run("-m", "raphson", "script.py", cwd=project).stdout == "42 None\n"


# python -m raphson


REPORT = """'Documented.'
import sys
from scipy.optimize import newton
newton(lambda x: x - 1, 0.0)
main = sys.modules["__main__"]
print([__name__, __file__, sys.argv, sys.path[0], main.__dict__ is globals(), __spec__ is None])
names = {name: value for name, value in vars(main).items() if name.startswith("__")}
for name in "__loader__", "__builtins__":
    names[name] = type(names[name])
spec = names.pop("__spec__")
print(sorted(names.items()), spec and (spec.name, spec.origin))
"""

PROGRAMS = {
    "script": ["inner/script.py"],
    "script by another path": ["./inner/../inner/script.py"],
    "compiled script": ["inner/compiled.pyc"],
    "folder": ["./inner"],
    "zip file": ["inner.pyz"],
    "module": ["-m", "inner.script"],
    "module in one word": ["-minner.script"],
    "package": ["-m", "inner"],
}


@pytest.fixture
def programs(tmp_path):
    """The same program in every form that Python runs."""
    inner = tmp_path / "inner"
    inner.mkdir()
    for name in "script.py", "__main__.py":
        (inner / name).write_text(REPORT)
    zipapp.create_archive(inner, tmp_path / "inner.pyz")
    py_compile.compile(inner / "script.py", inner / "compiled.pyc")
    return tmp_path


@pytest.mark.parametrize("options", [[], ["-P"]], ids=["", "safe path"])
@pytest.mark.parametrize("command", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_runs_as_if_called_directly(programs, command, options):
    if options and command[0].startswith("-m"):
        pytest.skip("Python does not find it either")
    command = [*command, "--quiet", "-m", "-h", "--", "x"]
    direct = run(*options, *command, cwd=programs)
    ours = run(*options, "-m", "raphson", *command, cwd=programs)
    assert ours.stdout == direct.stdout
    assert "scipy.optimize.newton          1" in ours.stderr


def test_a_module_that_cannot_be_run_is_refused_as_by_python(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("import no_such_module\n")
    (tmp_path / "empty").mkdir()
    for command in (
        ["-m", "no.such"],
        ["-m", "collections"],
        ["-m", "broken.module"],
        ["-m", "broken"],
        ["empty"],
    ):
        direct = run(*command, cwd=tmp_path, status=1)
        ours = run("-m", "raphson", "--quiet", *command, cwd=tmp_path, status=1)
        assert ours.stderr == direct.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a named pipe")
def test_a_script_may_be_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=["print('from a pipe')"])
    writer.start()
    assert run("-m", "raphson", "--quiet", "pipe", cwd=tmp_path).stdout == "from a pipe\n"
    writer.join()


def test_names_of_the_standard_library_are_free(tmp_path):
    """Where Python does not look for modules, we don't either."""
    inner = tmp_path / "inner"
    inner.mkdir()
    # Python's own -m looks for these there.
    taken = run(cwd=tmp_path, code="import runpy, sys; print(*sys.modules)").stdout.split()
    for name in sys.stdlib_module_names.difference(taken):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('the wrong {name}')")
    (inner / "script.py").write_text("import argparse; print(argparse.mine)")
    (inner / "argparse.py").write_text("mine = True")
    assert run("-m", "raphson", "inner/script.py", cwd=tmp_path).stdout == "True\n"
    # And where it does look, the script has them.
    (inner / "inspect.py").write_text("import argparse; print(argparse.mine)")
    assert run("-m", "raphson", "inspect.py", cwd=inner).stdout == "True\n"


def test_quiet_prints_no_table(tmp_path):
    (tmp_path / "script.py").write_text(REPORT)
    assert run("-m", "raphson", "--quiet", "script.py", cwd=tmp_path).stderr == ""


ENDINGS = {
    "error": ("raise KeyError('mine')", 1, "KeyError: 'mine'"),
    "exit": ("sys.exit(3)", 3, ""),
    "exit with a message": ("sys.exit('gone')", 1, "gone\n"),
    "exit early": ("sys.exit()", 0, ""),
}


@pytest.mark.parametrize(("ending", "status", "printed"), ENDINGS.values(), ids=ENDINGS)
def test_however_the_script_ends(tmp_path, ending, status, printed):
    (tmp_path / "script.py").write_text(REPORT + ending)
    direct = run("script.py", cwd=tmp_path, status=status)
    ours = run("-m", "raphson", "script.py", cwd=tmp_path, status=status)
    assert printed in direct.stderr
    assert ours.stderr.startswith(direct.stderr)  # tracebacks have no frames of ours
    assert ours.stderr[len(direct.stderr) :].startswith("raphson  ")


def test_a_script_with_a_syntax_error(tmp_path):
    (tmp_path / "script.py").write_text("def f(:\n")
    direct = run("script.py", cwd=tmp_path, status=1)
    ours = run("-m", "raphson", "script.py", cwd=tmp_path, status=1)
    assert ours.stderr == direct.stderr + "raphson: no calls\n"


OUTLIVES = """
import atexit, pickle, sys, threading, time
from scipy.optimize import newton
class Mine:
    pass
def work():
    newton(lambda x: x - 1, 0.0)
    pickle.dumps(Mine())
    assert vars(sys.modules["__main__"]) is globals()
atexit.register(work)
threading.Thread(target=lambda: (time.sleep(0.2), work())).start()
"""


@pytest.mark.parametrize("command", [["script.py"], ["-m", "script"], ["app"]], ids=str)
def test_threads_and_exit_handlers_of_a_program_are_served(tmp_path, command):
    (tmp_path / "app").mkdir()
    (tmp_path / "script.py").write_text(OUTLIVES)
    (tmp_path / "app" / "__main__.py").write_text(OUTLIVES)
    done = run("-m", "raphson", *command, cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert "scipy.optimize.newton          2" in done.stderr


def test_without_stderr_there_is_no_table(tmp_path):
    (tmp_path / "script.py").write_text("import sys; sys.stderr = None; print('mine')")
    done = run("-m", "raphson", "script.py", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("mine\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_prints_no_table_of_its_own(tmp_path):
    (tmp_path / "script.py").write_text("import os; os.fork() and os.wait()")
    done = run("-m", "raphson", "script.py", cwd=tmp_path)
    assert done.stderr == "raphson: no calls\n"


def test_the_example_of_the_documentation(tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "patch.md").read_text("utf-8")
    script, table = (re.search(f"```{kind}\n(.*?)```", page, re.S)[1] for kind in ("py", "text"))
    (tmp_path / "script.py").write_text(script)
    printed = run("-m", "raphson", "script.py", cwd=tmp_path).stderr
    without_times = re.compile(r"\d+\.\d+")
    assert without_times.sub("", printed) == without_times.sub("", table)


def test_usage(tmp_path):
    usage = "usage: python -m raphson [--quiet] (program | -m module) [argument ...]\n"
    assert run("-m", "raphson", "--help", cwd=tmp_path).stdout.startswith(usage)
    for command, message in [
        ([], "which program?"),
        (["-m"], "which program?"),
        (["--quit", "script.py"], "unrecognized arguments: --quit"),
        (["missing.py"], "cannot read 'missing.py': No such file or directory"),
        (["-"], "cannot read '-': No such file or directory"),
        (["-c", "pass"], "unrecognized arguments: -c"),
    ]:
        done = run("-m", "raphson", *command, cwd=tmp_path, status=2)
        assert done.stderr == f"{usage}python -m raphson: error: {message}\n"


LINES = """
import sys, warnings
import scipy.optimize
from scipy.optimize import newton, root
warnings.filterwarnings("ignore", "nothing", module="__main__")

newton(lambda x: x**2 + 1, [1.0, 1.0], lambda x: 0 * x)
newton(lambda x: x**2 + 1, [1.0, 1.0], lambda x: 0 * x)
root(lambda x: x, [1.0], options={"foo": 1})
root(lambda x: x, [1.0], options={"foo": 1}, method="broyden1")
"""


def test_warnings_name_the_line_that_called(tmp_path):
    """Ours and the originals': so each line has its own, and filters by module match."""
    script = tmp_path / "script.py"
    script.write_text(LINES)
    through = ["-m", "raphson", "--quiet", script]
    plain, patched = run(script, cwd=tmp_path), run(*through, cwd=tmp_path)
    seen = re.findall(r"script.py:\d+: \w+Warning", plain.stderr)
    assert len(seen) == 4
    assert re.findall(r"script.py:\d+: \w+Warning", patched.stderr) == seen
    silenced = run("-W", "ignore:::__main__", *through, cwd=tmp_path)
    assert "Warning" not in silenced.stderr


def test_errors_come_through_no_frame_of_the_patch():
    def fails(x):
        raise ArithmeticError("mine")

    for call in (
        lambda: scipy.optimize.newton(fails, 1.0),
        lambda: scipy.optimize.root(fails, [1.0]),
    ):
        with raphson.patched(), pytest.raises(ArithmeticError, match="mine") as caught:
            call()
        assert not any(entry.path.name == "_patch.py" for entry in caught.traceback)


def test_results_are_scipys():
    """They print as the script expects, and are read where there is no raphson."""
    with raphson.patched() as calls:
        result = scipy.optimize.root(cube, [2.0, 3.0], method="broyden1")
    assert calls.served.total() == 1
    assert type(result) is scipy.optimize.OptimizeResult
    assert b"raphson" not in pickle.dumps(result)
    assert repr(result).splitlines()[0].startswith(" message: ")


def test_what_cannot_be_called_is_for_the_original():
    for call in (
        lambda: scipy.optimize.newton("a", 1.0),
        lambda: scipy.optimize.broyden1(None, [1.0]),
        lambda: scipy.optimize.root(3, [1.0], method="broyden1"),
    ):
        with pytest.raises(TypeError) as expected:
            call()
        with raphson.patched() as calls, pytest.raises(TypeError) as found:
            call()
        assert str(found.value) == str(expected.value)
        assert not calls.served


def test_stand_ins_are_functions_to_their_users():
    class Holder:
        def solve(self, start):
            return self.newton(cube, start)

    with raphson.patched() as calls:
        newton = scipy.optimize.newton
        assert pickle.loads(pickle.dumps(newton)) is newton
        assert copy.deepcopy([newton])[0] is newton
        assert "fprime2" in inspect.signature(newton).parameters
        assert newton.__name__ == "newton"
        assert newton.__doc__.strip().startswith("Find a root")
        Holder.newton = staticmethod(newton)
        assert np.isclose(Holder().solve(3.0), 2)
        # As a function would, it becomes a method.
        Holder.newton = newton
        with pytest.raises(TypeError):
            Holder().solve(3.0)
        assert repr(newton).startswith("<raphson's newton in place of that of scipy.optimize")
        newton.mine = 1
        assert newton.mine == 1
    assert calls.served["scipy.optimize.newton"] == 1


def test_calls_that_outlive_the_patch_are_counted():
    def unpatches(x):
        raphson.unpatch()
        return cube(x)

    calls = raphson.patch()
    scipy.optimize.newton(unpatches, 1.0)
    assert calls.served == {"scipy.optimize.newton": 1}
