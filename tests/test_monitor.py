"""Solves that are recorded, shown and drawn."""

import copy
import errno
import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading

import matplotlib as mpl
import numpy as np
import pytest
import scipy.optimize

import raphson
from raphson import _monitor
from solves import SOLVES

mpl.use("agg")

LEAST_SQUARES = [solve for solve in SOLVES if solve.solver is raphson.LeastSquares]
ONE_OF_EACH = [
    next(solve for solve in SOLVES if solve.solver is solver)
    for solver in (raphson.Broyden1, raphson.NewtonSystem, raphson.LeastSquares)
]


def by_hand(solve, monitor):
    """Answer a solver in a loop, and show it to a monitor after each answer."""
    solver = solve.make()
    while not solver.done:
        solver.tell(solve.value(*solver.ask()))
        monitor.iterated(solver)
    return solver


def monitored(solver, residual, jacobian=None, **keywords):
    monitor = raphson.Monitor(**keywords)
    solver.solve(residual, jacobian, callback=monitor)
    return monitor


def without_time(monitor):
    record = monitor.to_dict()
    del record["time"]
    return record


@pytest.mark.parametrize("solve", SOLVES, ids=str)
def test_the_record_is_what_the_solver_says(solve):
    monitor, at_hand = raphson.Monitor(), raphson.Monitor()
    solve.call(solve.residual, solve.jacobian, callback=monitor)
    solver = by_hand(solve, at_hand)
    record = without_time(monitor)
    assert record["nit"] == list(range(solver.nit + 1))
    # SciPy calls the function twice before it begins.
    before = 3 if solve.solver is raphson.PowellHybrid else 1
    assert record["nfev"][0] <= before < record["nfev"][-1] <= solver.nfev + before
    # By hand the solver has gone on to its next question, so more may be evaluated by then.
    names = record.keys() - {"nfev", "njev"}
    assert {name: record[name] for name in names} == {
        name: without_time(at_hand)[name] for name in names
    }
    for name in names - {"active_bounds"}:
        assert record[name][-1] == getattr(solver, name)
    times = monitor.to_dict()["time"]
    assert times == sorted(times)
    assert times[0] >= 0


def test_quantities_of_each_solver():
    names = {"nit", "nfev", "step_norm", "time"}
    systems = names | {"residual_norm", "step_length"}
    expected = [
        systems,
        systems | {"njev"},
        names | {"njev", "cost", "optimality", "trust_radius", "active_bounds"},
    ]
    for solve, quantities in zip(ONE_OF_EACH, expected, strict=True):
        monitor = monitored(solve.make(), solve.residual, solve.jacobian)
        assert monitor.to_dict().keys() == quantities


@pytest.mark.parametrize("solve", LEAST_SQUARES, ids=str)
def test_active_bounds(solve):
    solver, masks = solve.make(), []

    class Masks(raphson.Observer):
        def iterated(self, solver):
            masks.append(solver.active_mask)

    monitor = raphson.Monitor()
    result = solver.solve(solve.residual, solve.jacobian, callback=[monitor, Masks()])
    assert monitor.to_dict()["active_bounds"] == [np.count_nonzero(mask) for mask in masks]
    assert np.array_equal(solver.active_mask, result.active_mask)
    assert solver.active_mask.dtype == result.active_mask.dtype
    assert ("bounds" in solve.options) == bool(np.any(result.active_mask))


def test_a_start_that_is_a_root_is_the_only_record():
    solver = raphson.NewtonSystem([1.0])
    monitor = monitored(solver, lambda x: x - 1, lambda x: [[1.0]])
    assert monitor.to_dict()["residual_norm"] == [0.0]
    assert monitor.convergence_order is None


def test_a_solve_that_fails_at_once_has_no_record():
    monitor = raphson.Monitor()
    with pytest.raises(ZeroDivisionError):
        raphson.broyden1(lambda x: 1 / 0, [1.0], callback=monitor)
    assert monitor.to_dict()["nit"] == []
    assert repr(monitor) == "Monitor of Broyden1, no iterations yet"
    assert repr(raphson.Monitor()) == "Monitor of nothing, no iterations yet"
    assert raphson.Monitor().to_dict() == {}


def test_the_start_is_recorded_where_its_jacobian_is_bad():
    solver = raphson.LeastSquares([1.0], ftol=0)
    monitor = monitored(solver, lambda x: x - 3, lambda x: [[np.nan]])
    record = monitor.to_dict()
    assert record["cost"] == [2.0]
    assert record["optimality"] == [None]


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_monitor, "time", clock)
    return clock


@pytest.mark.parametrize("solve", ONE_OF_EACH, ids=str)
def test_a_solve_that_goes_on_has_one_record(solve, clock):
    solver, monitor, calls = solve.make(), raphson.Monitor(progress=False), 0

    def sometimes(x):
        nonlocal calls
        clock.now += 1
        calls += 1
        if calls % 3 == 0:
            raise ConnectionError
        return solve.residual(x)

    while not solver.done:
        try:
            solver.solve(sometimes, solve.jacobian, callback=monitor)
        except ConnectionError:
            # What happens between the two is not a part of the solve.
            clock.now += 1000
    whole = monitored(solve.make(), solve.residual, solve.jacobian)
    assert without_time(monitor) == without_time(whole)
    assert monitor.to_dict()["time"][0] == 1
    assert monitor.to_dict()["time"][-1] <= calls


def test_another_solve_begins_another_record():
    monitor = raphson.Monitor()
    for solve in ONE_OF_EACH:
        by_hand(solve, monitor)
        solver = solve.make()
        solver.solve(solve.residual, solve.jacobian, callback=monitor)
        alone = monitored(solve.make(), solve.residual, solve.jacobian)
        assert without_time(monitor) == without_time(alone)


@pytest.mark.parametrize("solve", ONE_OF_EACH, ids=str)
def test_a_loaded_solver_is_recorded_from_where_it_is(solve):
    solver = solve.make()
    while solver.nit < 3:
        solver.tell(solve.value(*solver.ask()))
    whole = monitored(solve.make(), solve.residual, solve.jacobian).to_dict()
    loaded = pickle.loads(pickle.dumps(solver))
    rest = monitored(loaded, solve.residual, solve.jacobian).to_dict()
    assert rest["nit"] == whole["nit"][3:]
    assert rest["step_norm"] == whole["step_norm"][3:]


@pytest.mark.parametrize("solve", ONE_OF_EACH, ids=str)
def test_records_are_plain_numbers(solve):
    record = monitored(solve.make(), solve.residual, solve.jacobian).to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert {type(value) for column in record.values() for value in column} == {int, float}


def test_monitors_are_pickled_and_copied(tmp_path):
    solve = ONE_OF_EACH[0]
    with open(tmp_path / "log", "w") as file:
        monitor = monitored(solve.make(), solve.residual, progress=True, file=file)
    for other in (pickle.loads(pickle.dumps(monitor)), copy.deepcopy(monitor)):
        assert other.to_dict() == monitor.to_dict()
        assert repr(other) == repr(monitor)


def test_another_thread_may_read_it():
    """While it is filled, and begins anew with other solvers: whatever is read is whole."""
    monitor, stop, failed = raphson.Monitor(), threading.Event(), []

    def fill():
        while not stop.is_set():
            for solve in ONE_OF_EACH:
                solve.make().solve(solve.residual, solve.jacobian, callback=monitor)

    def read():
        try:
            while not stop.is_set():
                copies = pickle.loads(pickle.dumps(monitor)), copy.deepcopy(monitor)
                for each in (monitor, *copies):
                    record = each.to_dict()
                    assert len({len(column) for column in record.values()}) <= 1
                    assert repr(each).startswith("Monitor of ")
                    assert each._repr_html_()
                    order = each.convergence_order
                    assert order is None or order > 0
        except BaseException as error:
            failed.append(error)
            stop.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=fill), *(threading.Thread(target=read) for _ in range(2))]
    try:
        for thread in threads:
            thread.start()
        stop.wait(3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert failed == []


class TestConvergenceOrder:
    def test_newton_at_a_simple_root(self):
        for start in (1.0, 2.0, 5.0):
            solver = raphson.NewtonSystem([start])
            monitor = monitored(solver, lambda x: np.exp(x) - x - 2, lambda x: [np.exp(x) - 1])
            assert monitor.convergence_order == pytest.approx(2, abs=0.1)

    def test_newton_at_a_double_root(self):
        solver = raphson.NewtonSystem([2.0], ftol=1e-14)
        monitor = monitored(solver, lambda x: (x - 1) ** 2, lambda x: [2 * (x - 1)])
        assert monitor.convergence_order == pytest.approx(1, abs=0.01)

    @pytest.mark.parametrize("residual", [lambda x: np.cos(x) - x, lambda x: x**3 - 2])
    def test_broyden_for_one_unknown_is_the_secant_method(self, residual):
        solver = raphson.Broyden1([1.0], f_tol=1e-13, line_search=None, alpha=-0.3)
        monitor = monitored(solver, residual)
        assert monitor.convergence_order == pytest.approx(1.618, abs=0.2)

    def test_a_wrong_jacobian_converges_linearly(self):
        solver = raphson.NewtonSystem([3.0, 1.0], ftol=1e-9, line_search=None)
        monitor = monitored(solver, lambda x: 3 * x, lambda x: 4 * np.eye(2))
        assert monitor.convergence_order == pytest.approx(1, abs=1e-6)

    def test_least_squares(self):
        t = np.linspace(0, 4, 60)
        curves = {1.0: 2 * np.exp(-t), 2.0: 2 * np.exp(-t) + 0.3 * np.cos(7 * t)}
        orders = []
        for y in curves.values():
            solver = raphson.LeastSquares([1.5, 0.7], "cs", ftol=0, xtol=1e-13, gtol=1e-13)
            orders.append(
                monitored(solver, lambda x: x[0] * np.exp(-x[1] * t) - y).convergence_order
            )
        # Gauss-Newton steps are Newton's where the residual is zero at the solution.
        assert orders[0] == pytest.approx(2, abs=0.3)
        assert orders[1] == pytest.approx(1, abs=0.1)

    @pytest.mark.parametrize("order", [1.0, 1.5, 2.0, 3.0])
    @pytest.mark.parametrize("noise", [1e-13, 1e-9])
    def test_noise_at_the_end_is_left_out(self, order, noise):
        errors, random = [0.9], np.random.default_rng(1)
        while errors[-1] > 10 * noise:
            errors.append((0.5 if order == 1 else 1) * errors[-1] ** order)
        errors[-1:] = list(noise * (1 + 0.9 * random.random(20)))
        assert _monitor._order(errors, 2e-16) == pytest.approx(order, abs=0.05)

    @pytest.mark.parametrize(
        "errors",
        [
            [],
            [1.0],
            [1.0, 0.1, 0.01],
            [1.0, 2.0, 3.0, 4.0],
            [1.0] * 10,
            [np.nan, np.inf, 1.0, 0.1, np.nan],
            [1.0, 0.0, 0.0, 0.0],
            # Too irregular for a number.
            [1.0, 0.5, 1e-2, 9e-3, 1e-6, 9e-7],
        ],
    )
    def test_none_where_it_cannot_be_told(self, errors):
        assert _monitor._order(errors, 2e-16) is None

    def test_single_precision(self):
        start = np.array([2.0], dtype=np.float32)
        monitor = monitored(
            raphson.NewtonSystem(start), lambda x: np.exp(x) - x - 2, lambda x: [np.exp(x) - 1]
        )
        assert monitor.convergence_order == pytest.approx(2, abs=0.3)


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def screen(self):
        """Say what the terminal shows after all that was written; each live line is one line."""
        return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", self.getvalue().replace("\r", "\n"))

    def cursor_is_shown(self):
        return self.getvalue().rfind("\x1b[?25h") > self.getvalue().rfind("\x1b[?25l")


@pytest.fixture(autouse=True)
def a_common_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def slowly(clock, residual, seconds):
    def slow(x):
        clock.now += seconds
        return residual(x)

    return slow


class TestProgress:
    def lines(self, clock, seconds, count, progress=None):
        """What a solve prints that has so many iterations of so many seconds."""
        file = io.StringIO()
        solver = raphson.Broyden1([1.0], iter=count, line_search=None)
        residual = slowly(clock, lambda x: 2 + np.sin(x), seconds)
        monitored(solver, residual, progress=progress, file=file)
        return file.getvalue().splitlines()

    def test_short_solves_print_nothing(self, clock):
        assert self.lines(clock, 0.01, 50) == []

    def test_unless_they_are_asked_to(self, clock):
        first, last = self.lines(clock, 0.01, 50, progress=True)
        assert first == "Broyden1: iteration 0, 0 evaluations, 0.0 ms, f_tol 6e-06"
        expected = r"Broyden1: iteration 50, \|F\| \S+, 51 evaluations, 510.0 ms, "
        assert re.fullmatch(expected + r"f_tol 6e-06, step \S+", last)

    def test_nor_do_long_ones_that_are_asked_not_to(self, clock):
        assert self.lines(clock, 10, 500, progress=False) == []

    def test_long_solves_print_fewer_and_fewer_lines(self, clock):
        # An hour in steps of a second.
        lines = self.lines(clock, 1, 3600)
        assert 60 < len(lines) < 70
        assert ", 1.0 s" in lines[0]
        assert ", 1:00:01, " in lines[-1]
        assert len(self.lines(clock, 0.001, 20_000)) < 10

    def test_least_squares_show_cost_and_radius(self, clock):
        file, solve = io.StringIO(), LEAST_SQUARES[0]
        residual = slowly(clock, solve.residual, 3)
        monitored(solve.make(), residual, solve.jacobian, file=file)
        expected = (
            r"LeastSquares: iteration \d+, cost \S+, \d+ evaluations, \S+ s, ftol \S+, "
            r"optimality \S+, gtol \S+, step \S+, xtol \S+, radius \S+$"
        )
        assert re.match(expected, file.getvalue().splitlines()[-1])

    def test_the_tolerances_of_the_solve(self):
        solver = raphson.NewtonSystem([1.0], xtol=1e-7)
        assert solver.tolerances == {"xtol": 1e-7}
        solver = raphson.Broyden1([1.0], f_rtol=1e-2, x_tol=1e-3)
        assert list(solver.tolerances) == ["f_tol", "f_rtol", "x_tol"]
        options = {"relative_gtol": 1e-3}
        solver = raphson.LeastSquares([1.0], ftol=None, gtol=0, options=options)
        assert solver.tolerances == {"xtol": 1e-6, "relative_gtol": 1e-3}

    def test_divergence_is_seen(self, clock):
        file = io.StringIO()
        solver = raphson.NewtonSystem([1.0], line_search=None, maxiter=30)
        residual = slowly(clock, np.cbrt, 3)
        monitor = monitored(solver, residual, lambda x: [np.cbrt(x) ** -2 / 3], file=file)
        sizes = monitor.to_dict()["residual_norm"]
        assert sizes[-1] > 100 * min(sizes)
        said = "diverging since iteration 0"
        assert said in file.getvalue().splitlines()[-1]
        assert said in repr(monitor).splitlines()[0]
        for solve in SOLVES:
            solver = solve.make()
            shown = repr(monitored(solver, solve.residual, solve.jacobian))
            # Where a solve fails, rounding may decide how far astray it goes.
            assert "diverging" not in shown or not solver.result().success

    @pytest.mark.parametrize("width", [60, 74, 120])
    def test_a_narrow_terminal_shows_the_evaluations(self, clock, monkeypatch, width):
        monkeypatch.setenv("COLUMNS", str(width))
        terminal = Terminal()
        solver = raphson.Broyden1([1.0], iter=150, line_search=None)
        residual = slowly(clock, lambda x: 2 + np.sin(x), 3)
        monitored(solver, residual, file=terminal)
        last = [line for line in terminal.screen().split("\n") if "Broyden1" in line][-1]
        assert len(last) <= width
        assert "…" not in last
        assert "151 evaluations" in last
        assert ("step" in last) == (width == 120)

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, StopIteration])
    def test_a_terminal_has_one_line_whatever_ends_the_solve(self, clock, error):
        terminal = Terminal()

        class Ends(raphson.Observer):
            def iterated(self, solver):
                if solver.nit == 20:
                    raise error

        callback = [raphson.Monitor(file=terminal), Ends()]
        solver = raphson.Broyden1([1.0], iter=50, line_search=None)
        residual = slowly(clock, lambda x: 2 + np.sin(x), 1)
        try:
            solver.solve(residual, callback=callback)
        except (RuntimeError, KeyboardInterrupt):
            assert error is not StopIteration
        assert terminal.getvalue().count("\n") == 1
        assert terminal.getvalue().endswith(("\n", "\x1b[?25h"))
        assert terminal.cursor_is_shown()
        shown = terminal.screen().split("\n")
        assert len([line for line in shown if line.startswith("Broyden1")]) > 15
        assert re.search("iteration 20,.* 21 evaluations", terminal.screen())

    def test_by_hand_a_with_statement_ends_the_line(self):
        terminal, solve = Terminal(), ONE_OF_EACH[1]
        with raphson.Monitor(progress=True, file=terminal) as monitor:
            solver = by_hand(solve, monitor)
            assert solver.done
            assert not terminal.cursor_is_shown()
        assert terminal.cursor_is_shown()
        last = monitor.to_dict()["nit"][-1]
        assert f"NewtonSystem: iteration {last}," in terminal.screen()

    def test_a_monitor_that_is_forgotten_gives_the_terminal_back(self):
        terminal, solve = Terminal(), ONE_OF_EACH[1]
        by_hand(solve, raphson.Monitor(progress=True, file=terminal))
        assert terminal.cursor_is_shown()

    def test_nested_solves(self):
        terminal = Terminal()

        def residual(x):
            inner = raphson.Monitor(progress=True, file=terminal)
            found = raphson.broyden1(lambda y: np.cos(y) - y, [1.0], callback=inner)
            assert inner.to_dict()["nit"] == [0, 1, 2, 3, 4]
            return x - found

        solver = raphson.NewtonSystem([3.0], "2-point")
        monitored(solver, residual, progress=True, file=terminal)
        assert "NewtonSystem" in terminal.screen()
        assert "Broyden1" not in terminal.screen()
        assert terminal.getvalue().count("\n") == 1
        assert terminal.cursor_is_shown()
        # The line is free again.
        raphson.broyden1(
            lambda y: np.cos(y) - y, [1.0], callback=raphson.Monitor(progress=True, file=terminal)
        )
        assert "Broyden1" in terminal.screen()

    def test_threads(self):
        terminal, records = Terminal(), []

        def run():
            for solve in ONE_OF_EACH * 5:
                monitor = raphson.Monitor(progress=True, file=terminal)
                solve.make().solve(solve.residual, solve.jacobian, callback=monitor)
                records.append(without_time(monitor))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = [
            without_time(monitored(solve.make(), solve.residual, solve.jacobian))
            for solve in ONE_OF_EACH
        ]
        assert len(records) == 60
        assert all(record in expected for record in records)
        assert terminal.cursor_is_shown()

    @pytest.mark.parametrize("kind", [Terminal, io.StringIO])
    def test_a_closed_file_does_not_end_the_solve(self, kind):
        file, solve = kind(), ONE_OF_EACH[0]

        def residual(x):
            file.close()
            return solve.residual(x)

        monitor = monitored(solve.make(), residual, progress=True, file=file)
        assert len(monitor.to_dict()["nit"]) > 5
        # The next one can be shown.
        terminal = Terminal()
        monitored(solve.make(), solve.residual, progress=True, file=terminal)
        assert "Broyden1" in terminal.screen()

    @pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="signals")
    @pytest.mark.parametrize("kind", [Terminal, io.StringIO])
    @pytest.mark.parametrize(
        "error",
        [TimeoutError(), TimeoutError("late"), OSError(errno.EPIPE, "mine"), ValueError("mine")],
        ids=repr,
    )
    @pytest.mark.parametrize("number", [1, 2, 5])
    def test_errors_of_signal_handlers_come_out(self, kind, error, number):
        class Interrupted(kind):
            writes = 0

            def write(self, text):
                self.writes += 1
                if self.writes == number:
                    signal.raise_signal(signal.SIGALRM)
                return super().write(text)

        def handler(*_):
            raise error

        file, solve = Interrupted(), ONE_OF_EACH[0]
        former = signal.signal(signal.SIGALRM, handler)
        try:
            with pytest.raises(type(error)) as caught:
                for _ in range(5):
                    monitored(solve.make(), solve.residual, progress=True, file=file)
        finally:
            signal.signal(signal.SIGALRM, former)
        assert caught.value is error
        # The terminal is free again.
        terminal = Terminal()
        monitored(solve.make(), solve.residual, progress=True, file=terminal)
        assert "Broyden1" in terminal.screen()

    @pytest.mark.parametrize(
        "error", [BrokenPipeError(errno.EPIPE, "pipe"), OSError("gone"), ValueError("closed")]
    )
    def test_errors_of_the_file_do_not_end_the_solve(self, error):
        class Broken(io.StringIO):
            def write(self, text):
                raise error

        solve = ONE_OF_EACH[0]
        monitor = monitored(solve.make(), solve.residual, progress=True, file=Broken())
        assert len(monitor.to_dict()["nit"]) > 5

    def test_without_stderr_nothing_is_shown(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "stderr", None)
        solve = ONE_OF_EACH[0]
        monitored(solve.make(), solve.residual, progress=True)
        assert capsys.readouterr().out == ""

    def test_a_dumb_terminal_gets_plain_lines(self, monkeypatch):
        monkeypatch.setenv("TERM", "dumb")
        terminal, solve = Terminal(), ONE_OF_EACH[0]
        monitored(solve.make(), solve.residual, progress=True, file=terminal)
        assert "\x1b" not in terminal.getvalue()
        assert terminal.getvalue().count("Broyden1") == 2

    def test_forced_colors_leave_pipes_plain(self, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        file, solve = io.StringIO(), ONE_OF_EACH[0]
        monitored(solve.make(), solve.residual, progress=True, file=file)
        assert "\x1b" not in file.getvalue()
        assert len(file.getvalue().splitlines()) == 2


PROGRAM = """
import numpy as np, sys, time, raphson

def residual(x):
    time.sleep(0.02)
    print("evaluated")
    return np.cos(x) - x

raphson.broyden1(residual, [1.0], callback=raphson.Monitor(progress=True))
"""


def run(program, **streams):
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, check=True, text=True, **streams)


def test_in_a_pipe():
    done = run(PROGRAM, capture_output=True)
    assert done.stdout == "evaluated\n" * 5
    first, last = done.stderr.splitlines()
    assert "iteration 0, 0 evaluations" in first
    assert "iteration 4," in last


def in_a_terminal(program, **streams):
    """Run a program in a terminal; what it writes there, and into a pipe."""
    pty = pytest.importorskip("pty")
    ours, its = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            **{"stdout": its, "stderr": its} | streams,
        )
        os.close(its)
        written = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            if not data:
                break
            written += data
        out = process.communicate()[0]
        return written.decode(), out
    finally:
        os.close(ours)


def shown(written):
    """Play what was written to a terminal that knows no more than it must."""
    lines, row = [""], 0
    for token in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if token == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif token == "\r":
            pass
        elif token == "\x1b[2K":
            lines[row] = ""
        elif token.endswith("A"):
            row -= int(token[2:-1] or 1)
        elif not token.startswith("\x1b"):
            lines[row] += token
    return lines


def test_in_a_terminal():
    written, _ = in_a_terminal(PROGRAM)
    *printed, last, end = shown(written)
    assert printed == ["evaluated"] * 5
    assert "iteration 4," in last
    assert end == ""
    assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l") >= 0


def test_what_a_program_prints_into_a_file_gets_there():
    written, out = in_a_terminal(PROGRAM, stdout=subprocess.PIPE)
    assert out == b"evaluated\n" * 5
    assert "evaluated\n" not in written
    assert "iteration 4," in shown(written)[-2]


def test_without_rich():
    done = run(
        """
        import sys
        sys.modules["rich"] = sys.modules["rich.console"] = None
        import numpy as np, time, raphson
        try:
            raphson.Monitor(progress=True)
        except ImportError as error:
            print(error)
        raphson.Monitor(progress=False)
        def residual(x):
            time.sleep(0.3)
            return np.cos(x) - x
        raphson.broyden1(residual, [1.0], callback=raphson.Monitor())
        """,
        capture_output=True,
    )
    assert done.stdout == "progress=True needs rich: pip install rich\n"
    assert done.stderr.count("Broyden1: iteration") == len(done.stderr.splitlines()) > 0


def test_without_matplotlib():
    done = run(
        """
        import sys
        sys.modules["matplotlib"] = None
        import raphson
        try:
            raphson.Monitor().plot()
        except ImportError as error:
            print(error)
        """,
        capture_output=True,
    )
    assert done.stdout == "Monitor.plot needs matplotlib: pip install matplotlib\n"


def test_a_short_solve_imports_neither():
    done = run(
        """
        import sys, numpy as np, raphson
        monitor = raphson.Monitor()
        raphson.broyden1(lambda x: np.cos(x) - x, [1.0], callback=monitor)
        repr(monitor), monitor._repr_html_()
        print({"rich", "matplotlib", "IPython"} & set(sys.modules))
        """,
        capture_output=True,
    )
    assert done.stdout == "set()\n"
    assert done.stderr == ""


def test_in_a_notebook():
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cells = [
        "import numpy as np, raphson\nmonitor = raphson.Monitor(progress=True)\n"
        "result = raphson.root(lambda x: np.cos(x) - x, [1.0], callback=monitor, method='newton')",
        "monitor",
        "result",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(notebook).execute()
    progress, monitor, result = ([output for output in cell.outputs] for cell in notebook.cells)
    (line,) = progress
    assert line.output_type == "display_data"
    assert "NewtonSystem: iteration 4," in line.data["text/plain"]
    assert "NewtonSystem: iteration 4," in line.data["text/html"]
    assert "<table" in monitor[0].data["text/html"]
    assert monitor[0].data["text/plain"].startswith("Monitor of NewtonSystem: 4 iterations")
    assert "converged" in result[0].data["text/html"]


def rosenbrock(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def rosenbrock_slopes(x):
    return np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])


class TestPlot:
    @pytest.fixture(autouse=True)
    def close_figures(self):
        yield
        mpl.pyplot.close("all")

    def curves(self, axes):
        return {line.get_label(): line.get_xydata().T for line in axes.lines}

    @pytest.mark.parametrize("solve", ONE_OF_EACH[:2], ids=str)
    def test_systems(self, solve):
        monitor = monitored(solve.make(), solve.residual, solve.jacobian)
        axes = monitor.plot()
        record = monitor.to_dict()
        assert axes.figure.axes == [axes]
        assert axes.get_yscale() == "log"
        nit, norms = self.curves(axes)["residual ‖F‖"]
        assert nit.tolist() == record["nit"]
        assert norms.tolist() == record["residual_norm"]
        steps = self.curves(axes)["step ‖Δx‖"][1]
        assert np.isnan(steps[0])
        assert steps[1:].tolist() == record["step_norm"][1:]
        assert solve.solver.__name__ in axes.get_title(loc="left")

    def test_least_squares(self):
        solve = next(solve for solve in LEAST_SQUARES if "bounds" in solve.options)
        monitor = monitored(solve.make(), solve.residual, solve.jacobian)
        record = monitor.to_dict()
        above, below, right = monitor.plot().figure.axes
        assert self.curves(above)["cost ½‖f‖²"][1].tolist() == record["cost"]
        assert below.lines[0].get_ydata().tolist() == record["trust_radius"]
        radii = record["trust_radius"]
        assert below.get_yscale() == ("log" if max(radii) >= 100 * min(radii) else "linear")
        heights = right.collections[0].get_paths()[0].vertices[:, 1]
        assert heights.max() == max(record["active_bounds"]) == 1

    @pytest.mark.parametrize(("initial", "scale"), [(1e-4, "log"), (1.0, "linear")])
    def test_the_radius_has_the_axis_that_can_be_read(self, initial, scale):
        options = {"initial_trust_radius": initial}
        solver = raphson.LeastSquares([-1.2, 1.0], options=options)
        monitor = monitored(solver, rosenbrock, rosenbrock_slopes)
        assert monitor.plot().figure.axes[1].get_yscale() == scale

    def test_without_active_bounds_there_is_no_axis_for_them(self):
        solve = LEAST_SQUARES[0]
        monitor = monitored(solve.make(), solve.residual, solve.jacobian)
        assert len(monitor.plot().figure.axes) == 2

    def test_axes_of_the_user(self):
        figure, axes = mpl.pyplot.subplots(1, 2)
        for solve, ax in zip(ONE_OF_EACH[1:], axes, strict=True):
            monitor = monitored(solve.make(), solve.residual, solve.jacobian)
            assert monitor.plot(ax) is ax
            assert ax.lines
        assert len(figure.axes) == 2

    def test_what_is_exactly_zero_is_marked(self):
        solver = raphson.NewtonSystem([3.0])
        monitor = monitored(solver, lambda x: 2 * x - 2, lambda x: [[2.0]])
        assert monitor.to_dict()["residual_norm"][-1] == 0
        axes = monitor.plot()
        assert self.curves(axes)["exactly 0"].tolist() == [[1], [0]]
        axes.figure.canvas.draw()

    def test_nothing(self):
        raphson.Monitor().plot().figure.canvas.draw()


def test_the_last_iterations_are_printed():
    solve = ONE_OF_EACH[0]
    monitor = monitored(solve.make(), solve.residual)
    title, header, dots, *rows = repr(monitor).splitlines()
    assert title.startswith("Monitor of Broyden1: ")
    assert header.split() == list(monitor.to_dict())
    assert dots.split() == ["..."]
    last = monitor.to_dict()["nit"][-1]
    assert [int(row.split()[0]) for row in rows] == list(range(last - 4, last + 1))
    assert len({len(line) for line in (header, *rows)}) == 1
    page = monitor._repr_html_()
    assert page.count("<tr>") == 6
    assert f">{last}<" in page


class TestResult:
    @pytest.mark.parametrize("solve", SOLVES, ids=str)
    def test_every_field_is_seen_in_a_short_line(self, solve):
        result = solve.make().solve(solve.residual, solve.jacobian)
        verdict, *lines = repr(result).splitlines()
        word = "converged" if result.success else "not converged"
        assert verdict.startswith(f"{word}: ")
        shown = {line.split(":")[0].strip() for line in lines}
        assert shown == result.keys() - {"v", "allx", "alltr", "f0se", "fse"}
        assert all(len(line) < 140 for line in lines if "message:" not in line)
        assert repr(result).isascii()
        page = result._repr_html_()
        assert all(f">{name}<" in page for name in shown)
        lines = result.details().splitlines()
        assert lines[0] == verdict
        assert {line.split(":")[0].strip() for line in lines[1:]} == result.keys()

    def test_the_class(self):
        result = raphson.root(lambda x: x - 1, [2.0], method="newton")
        assert type(result) is raphson.Result
        assert isinstance(result, scipy.optimize.OptimizeResult)
        assert isinstance(raphson.lsqtr(lambda x: x, [1.0], "2-point", verbose=0), raphson.Result)
        assert result["x"] is result.x
        result.note = "mine"
        assert result["note"] == "mine"
        with pytest.raises(AttributeError):
            _ = result.nothing
        assert str(result) == repr(result)

    @pytest.mark.parametrize(
        "copied", [copy.copy, copy.deepcopy, lambda result: pickle.loads(pickle.dumps(result))]
    )
    def test_copies(self, copied):
        result = raphson.root(lambda x: x**2 - 2, [2.0], method="newton")
        other = copied(result)
        assert type(other) is raphson.Result
        assert repr(other) == repr(result)

    def test_the_verdict(self):
        x = np.linspace(-1, 2, 1000)
        with pytest.raises(scipy.optimize.NoConvergence) as caught:
            raphson.broyden1(lambda x: x - np.cos(x) / 2, x, maxiter=1)
        text = repr(caught.value.result)
        assert re.match(r"not converged: max \|F\| = \d\.\d{3}e[-+]\d\d after \d+ eval", text)
        assert "1000 elements" in text
        fit = raphson.lsqtr(lambda x: x - [1, 2, 3], [0.0] * 3, "2-point", verbose=0)
        assert repr(fit).startswith("converged: cost = ")
        assert f"after {fit.calls} evaluations" in repr(fit)
        assert "allx" not in repr(fit)
        assert re.search(r"allx: \d+ points$", fit.details(), re.M)
        assert re.search(r"alltr: \d+ entries$", fit.details(), re.M)

    def test_whatever_is_in_it(self):
        assert repr(raphson.Result()) == "Result"
        raphson.Result()._repr_html_()
        result = raphson.Result(success=True, fun=None, cost="low", nfev=[1], note="a\nb " * 9)
        result.myself = result
        result[3] = {"long": "text" * 500}
        assert repr(result).startswith("converged\n")
        assert "myself: Result(...)" in repr(result)
        assert "note: a b a b" in repr(result)
        assert max(map(len, repr(result).splitlines())) < 140
        result._repr_html_()

    def test_markup_is_escaped(self):
        evil = "<script>alert(1)</script>"
        page = raphson.Result({"success": False, "message": evil, evil: evil})._repr_html_()
        assert "<script" not in page
        assert page.count("&lt;script&gt;") == 3
