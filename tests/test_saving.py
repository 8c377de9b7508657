"""Solvers saved at any moment go on bit for bit; what is no saved solver is refused."""

import contextlib
import copy
import errno
import functools
import os
import pickle
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import msgpack
import numpy as np
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import raphson
from raphson import _checkpoint
from solves import SIMPLE, SOLVES
from test_control import questions_of, same_questions

HEADER = 24


def by_pickle(solver):
    return pickle.loads(pickle.dumps(solver))


def by_bytes(solver):
    return type(solver).from_bytes(solver.to_bytes())


def figures(solver):
    return [
        getattr(solver, name)
        for name in sorted(dir(type(solver)))
        if isinstance(getattr(type(solver), name), property)
        or type(getattr(type(solver), name)).__name__ == "getset_descriptor"
    ]


@pytest.mark.parametrize("solve", SOLVES, ids=str)
def test_saved_before_and_after_every_question(solve):
    expected = solve.make()
    questions = questions_of(expected, solve)
    solver, asked = solve.make(), []
    while not solver.done:
        solver = by_bytes(solver)
        what, x = solver.ask()
        solver = by_pickle(solver)
        again, same = solver.ask()
        assert (what, x.tobytes(), x.dtype) == (again, same.tobytes(), same.dtype)
        asked.append((what, x))
        solver.tell(solve.value(what, x))
    assert same_questions(asked, questions)
    solver = copy.deepcopy(solver)
    np.testing.assert_equal(figures(solver), figures(expected))
    ours, theirs = solver.result(), expected.result()
    assert ours.keys() == theirs.keys()
    for name in ours:
        if hasattr(ours[name], "toarray"):
            assert (ours[name] != theirs[name]).nnz == 0
        else:
            np.testing.assert_equal(ours[name], theirs[name])


@pytest.mark.parametrize("solve", SIMPLE, ids=str)
def test_the_original_and_its_copy_do_not_share(solve):
    original = solve.make()
    for _ in range(4):
        original.tell(solve.value(*original.ask()))
    saved = original.to_bytes()
    rest = questions_of(original, solve)
    assert same_questions(questions_of(type(original).from_bytes(saved), solve), rest)
    assert same_questions(questions_of(type(original).from_bytes(saved), solve), rest)


def test_in_another_process():
    program = """
import pickle, sys
from solves import SIMPLE
for solve, solver in zip(SIMPLE, pickle.load(sys.stdin.buffer), strict=True):
    print(solver.solve(solve.residual, solve.jacobian).x.tobytes().hex())
"""
    solvers = [solve.make() for solve in SIMPLE]
    for solver, solve in zip(solvers, SIMPLE, strict=True):
        for _ in range(5):
            solver.tell(solve.value(*solver.ask()))
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(solvers),
        capture_output=True,
        cwd=Path(__file__).parent,
        timeout=120,
        check=True,
    )
    expected = [solve.call(solve.residual, solve.jacobian).tobytes().hex() for solve in SIMPLE]
    assert done.stdout.decode().split() == expected


class TestRefusals:
    def saved(self, solve=SIMPLE[0], count=3):
        solver = solve.make()
        for _ in range(count):
            solver.tell(solve.value(*solver.ask()))
        return solver.to_bytes()

    @pytest.mark.parametrize("solve", SIMPLE, ids=str)
    def test_truncated(self, solve):
        data = self.saved(solve)
        for length in {*range(HEADER + 40), *range(0, len(data), 37), len(data) - 1}:
            with pytest.raises(ValueError, match=r"^data: "):
                solve.solver.from_bytes(data[:length])
        with pytest.raises(ValueError, match="truncated or has grown"):
            solve.solver.from_bytes(data + b"\0")

    @pytest.mark.parametrize("solve", SIMPLE, ids=str)
    def test_altered(self, solve):
        data = self.saved(solve)
        for position in {*range(HEADER + 40), *range(0, len(data), 29), len(data) - 1}:
            altered = bytearray(data)
            altered[position] ^= 0x10
            with pytest.raises(ValueError, match=r"^data: "):
                solve.solver.from_bytes(bytes(altered))

    def test_newer_version(self):
        data = self.saved()
        newer = data[:8] + struct.pack("=I", 3) + data[12:]
        with pytest.raises(ValueError, match=r"version 3 of the format; .* reads version 2"):
            raphson.Broyden1.from_bytes(newer)

    def test_another_class(self):
        with pytest.raises(ValueError, match="saved state of Broyden1, not of LeastSquares"):
            raphson.LeastSquares.from_bytes(self.saved())

    def test_something_else(self):
        for data in (b"", b"raphson", pickle.dumps([1]), b"\0" * 100, os.urandom(1000)):
            with pytest.raises(ValueError, match="data: "):
                raphson.NewtonSystem.from_bytes(data)
        for data in (None, "text", 3, [1]):
            with pytest.raises(TypeError):
                raphson.NewtonSystem.from_bytes(data)

    def forged(self, solver, change):
        """The bytes of a solver whose state was changed, with the right checksum."""
        data = solver.to_bytes()
        unpacker = msgpack.Unpacker()
        unpacker.feed(data[HEADER:])
        label, saved = unpacker
        change(saved)
        content = msgpack.packb(label) + msgpack.packb(saved)
        header = struct.pack("=IQ", zlib.crc32(content), len(content))
        return data[:12] + header + content

    def expect_refusal(self, solver, change):
        same = type(solver).from_bytes(self.forged(solver, lambda saved: None))
        assert same.to_bytes() == solver.to_bytes()
        with pytest.raises(ValueError, match=r"data: .* its parts do not fit"):
            type(solver).from_bytes(self.forged(solver, change))

    def test_a_residual_of_another_shape(self):
        """It once wrote beyond the end of the array of the result."""
        solver = raphson.NewtonSystem([1.0, 2.0])
        solver.tell(np.cos(solver.ask().x))
        for evaluations in (0, 1):

            def change(saved, evaluations=evaluations):
                saved["state"] |= {"residual_shape": [1], "evaluations": evaluations}

            self.expect_refusal(solver, change)

    def test_a_sparse_jacobian_that_is_missing(self):
        solver = raphson.NewtonSystem([1.0, 2.0])
        for value in (np.array([1.0, 2.0]), scipy.sparse.eye_array(2)):
            solver.ask()
            solver.tell(value)
        self.expect_refusal(solver, lambda saved: saved.update(jacobian=None))

    @pytest.mark.parametrize("solver_class", [raphson.NewtonSystem, raphson.LeastSquares])
    def test_an_approximation_by_another_rule(self, solver_class):
        solver = solver_class([1.0, 2.0], jac="3-point")
        solver.tell(np.cos(solver.ask().x))

        def change(saved):
            saved["state"]["jacobian_source"]["approximator"]["rule"] = "ComplexStep"

        self.expect_refusal(solver, change)

    @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(data=st.data())
    def test_forged(self, data):
        """With the right checksum, it is refused or it is a solver: it never breaks anything."""
        solve = data.draw(st.sampled_from([*SIMPLE, *SOLVES[::5]]))
        saved = bytearray(self.saved(solve, data.draw(st.integers(0, 6))))
        for _ in range(data.draw(st.integers(1, 4))):
            position = data.draw(st.integers(HEADER, len(saved) - 1))
            saved[position] = data.draw(st.integers(0, 255))
        saved[12:16] = struct.pack("=I", zlib.crc32(saved[HEADER:]))
        try:
            solver = solve.solver.from_bytes(bytes(saved))
        except (ValueError, TypeError):
            return
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(40):
                if solver.done:
                    solver.result()
                    break
                what, x = solver.ask()
                if x.size != solve.start.size:
                    break
                try:
                    solver.tell(solve.value(what, x.reshape(solve.start.shape)))
                except (ValueError, TypeError):
                    break
        repr(solver)
        solver.to_bytes()


def test_a_norm_is_not_saved():
    def norm(v):
        return np.linalg.norm(v)

    def fun(x):
        return np.cos(x) - x

    for told in (0, 2):
        solver = raphson.Broyden1([1.0, 2.0], tol_norm=norm, f_tol=1e-8)
        for _ in range(told):
            solver.tell(fun(solver.ask().x))
        data = solver.to_bytes()
        with pytest.raises(TypeError, match="tol_norm is missing"):
            raphson.Broyden1.from_bytes(data)
        loaded = raphson.Broyden1.from_bytes(data, norm)
        assert np.array_equal(loaded.solve(fun).x, copy.copy(solver).solve(fun).x)
        with pytest.raises(TypeError, match="must be callable"):
            raphson.Broyden1.from_bytes(data, 3)
    plain = raphson.Broyden1([1.0, 2.0]).to_bytes()
    with pytest.raises(TypeError, match="the solver had none"):
        raphson.Broyden1.from_bytes(plain, norm)


def norm_at_module_level(v):
    return np.max(np.abs(v))


def test_pickle_keeps_a_norm_that_it_can_keep():
    solver = by_pickle(raphson.Broyden1([1.0, 2.0], tol_norm=norm_at_module_level))
    assert np.allclose(solver.solve(lambda x: np.cos(x) - x).x, 0.7390851332)


class TestCheckpoint:
    def test_it_holds_the_last_state(self, tmp_path):
        for solve in SIMPLE:
            path = tmp_path / "run.raphson"
            seen = []

            class Look(raphson.Observer):
                def evaluated(self, solver, path=path, seen=seen):
                    saved = raphson.load_checkpoint(path)
                    seen.append((saved.nit, saved.nfev) == (solver.nit, solver.nfev))

            found = solve.call(solve.residual, solve.jacobian, [raphson.checkpoint(path), Look()])
            assert len(seen) > 3
            assert all(seen)
            loaded = raphson.load_checkpoint(str(path))
            assert type(loaded) is solve.solver
            assert loaded.done
            assert np.array_equal(loaded.result().x, found)
            assert os.listdir(tmp_path) == ["run.raphson"]

    @pytest.mark.parametrize("every", [1, 4, 1000])
    def test_every(self, tmp_path, every):
        solve, path, saved = SIMPLE[2], tmp_path / "run", []

        class Look(raphson.Observer):
            def evaluated(self, solver):
                saved.append(path.exists() and path.stat().st_mtime_ns)

        solve.call(solve.residual, solve.jacobian, [raphson.checkpoint(path, every), Look()])
        written = len({time for time in saved if time})
        assert written == pytest.approx(len(saved) // every, abs=1)
        assert raphson.load_checkpoint(path).done

    def test_seconds(self, tmp_path):
        solve, path = SIMPLE[1], tmp_path / "run"
        first = []

        class Look(raphson.Observer):
            def evaluated(self, solver):
                first.append(path.read_bytes())

        callbacks = [raphson.checkpoint(path, seconds=1000), Look()]
        solve.call(solve.residual, solve.jacobian, callbacks)
        assert len(set(first)) == 1
        assert raphson.load_checkpoint(path).done

    def test_an_exception_saves_what_there_is(self, tmp_path):
        solve, path = SIMPLE[1], tmp_path / "run"
        calls = 0

        def fails(x):
            nonlocal calls
            calls += 1
            if calls == 5:
                raise MemoryError("not now")
            return solve.residual(x)

        with pytest.raises(MemoryError, match="not now"):
            solve.call(fails, solve.jacobian, raphson.checkpoint(path, every=100))
        loaded = raphson.load_checkpoint(path)
        assert loaded.nfev == 4
        found = loaded.solve(solve.residual, solve.jacobian).x
        assert np.array_equal(found, solve.call(solve.residual, solve.jacobian))

    def test_a_disk_that_fails_does_not_end_the_solve(self, tmp_path):
        solve, folder = SIMPLE[0], tmp_path / "folder"
        folder.mkdir()
        checkpoint = raphson.checkpoint(folder / "run")
        shutil.rmtree(folder)
        with pytest.warns(RuntimeWarning, match="the checkpoint was not written"):
            found = solve.call(solve.residual, solve.jacobian, checkpoint)
        assert np.array_equal(found, solve.call(solve.residual, solve.jacobian))

    def test_bad_arguments(self, tmp_path):
        path = tmp_path / "run"
        for every in (0, -1, 1.5, "1", None, True):
            with pytest.raises(ValueError, match="every must be an int of at least 1"):
                raphson.checkpoint(path, every)
        for seconds in (-1, float("nan")):
            with pytest.raises(ValueError, match="seconds must not be negative"):
                raphson.checkpoint(path, seconds=seconds)
        with pytest.raises(FileNotFoundError, match="there is no directory"):
            raphson.checkpoint(tmp_path / "missing" / "run")
        with pytest.raises(FileNotFoundError):
            raphson.load_checkpoint(path)
        path.write_bytes(b"not a checkpoint, but something else")
        with pytest.raises(ValueError, match="not the saved state"):
            raphson.load_checkpoint(path)

    def test_a_norm(self, tmp_path):
        path = tmp_path / "run"
        raphson.broyden1(
            lambda x: np.cos(x) - x,
            [1.0, 2.0],
            tol_norm=norm_at_module_level,
            callback=raphson.checkpoint(path),
        )
        with pytest.raises(TypeError, match="tol_norm is missing"):
            raphson.load_checkpoint(path)
        assert raphson.load_checkpoint(path, tol_norm=norm_at_module_level).done

    def test_integers_of_numpy(self, tmp_path):
        raphson.checkpoint(tmp_path / "run", np.int64(2), np.float32(0.5))
        for every in (np.float64(2), np.bool_(True), [1]):
            with pytest.raises(ValueError, match="every must be an int of at least 1"):
                raphson.checkpoint(tmp_path / "run", every)
        with pytest.raises(TypeError, match="seconds must be a number, got '1'"):
            raphson.checkpoint(tmp_path / "run", seconds="1")

    def test_links_stay(self, tmp_path):
        target, link = tmp_path / "target", tmp_path / "link"
        link.symlink_to(target)
        raphson.broyden1(lambda x: np.cos(x) - x, [1.0], callback=raphson.checkpoint(link))
        assert link.is_symlink()
        assert raphson.load_checkpoint(target).done


FIRST = b"the first checkpoint"


@pytest.fixture(params=[True, False], ids=["unnamed", "named"])
def write(request, monkeypatch):
    """Write a checkpoint, by a new file that has a name from the beginning or only at the end."""
    if request.param and not _checkpoint._HAS_UNNAMED_FILES:
        pytest.skip("this system has no files without a name")
    monkeypatch.setattr(_checkpoint, "_HAS_UNNAMED_FILES", request.param)
    solver = raphson.Broyden1([1.0, 2.0])

    def write(path):
        raphson.checkpoint(path).ended(solver)
        assert raphson.load_checkpoint(path).to_bytes() == solver.to_bytes()

    return write


class TestTheFile:
    """Of a checkpoint, in a folder that others use too."""

    @pytest.mark.skipif(os.name != "posix", reason="permissions")
    def test_permissions_are_kept(self, write, tmp_path):
        path = tmp_path / "run"
        former = os.umask(0o027)
        try:
            write(path)
            assert stat.S_IMODE(path.stat().st_mode) == 0o640
            for mode in (0o600, 0o666, 0o444):
                path.chmod(mode)
                write(path)
                assert stat.S_IMODE(path.stat().st_mode) == mode
        finally:
            os.umask(former)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes and links")
    def test_what_is_there_under_another_name_is_left_alone(self, write, tmp_path):
        """A pipe or a link that has the name which a new file might get."""
        victim = tmp_path / "victim"
        victim.write_bytes(FIRST)
        os.mkfifo(tmp_path / "pipe.tmp")
        (tmp_path / "link.tmp").symlink_to(victim)
        for name in "pipe", "link":
            write(tmp_path / name)
        assert victim.read_bytes() == FIRST
        assert len(os.listdir(tmp_path)) == 5

    def test_a_link_is_followed_only_when_the_checkpoint_is_made(self, write, tmp_path):
        victim, path = tmp_path / "victim", tmp_path / "run"
        victim.write_bytes(FIRST)
        victim.chmod(0o600)
        checkpoint = raphson.checkpoint(path)
        path.symlink_to(victim)
        checkpoint.ended(raphson.Broyden1([1.0]))
        assert victim.read_bytes() == FIRST
        assert not path.is_symlink()
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
    def test_what_is_no_file_is_refused(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", tmp_path, "/dev/null"):
            with pytest.raises(ValueError, match=r"path: .* is no file"):
                raphson.checkpoint(path)

    @pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="limits the size of files")
    def test_a_full_disk_leaves_the_last_one_and_nothing_else(self, write, tmp_path):
        import resource

        path = tmp_path / "run"
        write(path)
        first = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        try:
            with pytest.warns(RuntimeWarning, match=r"the checkpoint was not written.*too large"):
                raphson.checkpoint(path).ended(raphson.Broyden1(np.ones(10_000)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == first
        assert os.listdir(tmp_path) == ["run"]

    @pytest.mark.parametrize("step", ["open", "fsync", "replace"])
    @pytest.mark.parametrize("error", [TimeoutError("late"), OSError(errno.EIO, "mine")], ids=repr)
    @pytest.mark.parametrize("kind", ["function", "partial", "method", "object"])
    @pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="signals")
    def test_errors_of_signal_handlers_come_out(
        self, write, tmp_path, monkeypatch, step, error, kind
    ):
        path = tmp_path / "run"
        write(path)
        first, original = path.read_bytes(), getattr(os, step)

        def interrupted(*arguments):
            monkeypatch.setattr(os, step, original)
            signal.raise_signal(signal.SIGALRM)
            return original(*arguments)

        monkeypatch.setattr(os, step, interrupted)
        solver = raphson.NewtonSystem([1.0], "2-point")
        with handler(kind, error), pytest.raises(type(error)) as caught:
            solver.solve(lambda x: x**2 - 2, callback=raphson.checkpoint(path))
        assert caught.value is error
        assert os.listdir(tmp_path) == ["run"]
        assert path.read_bytes() != first  # the end of the solve has been saved
        assert raphson.load_checkpoint(path).nfev == solver.nfev


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def handler(kind, error):
    """Have SIGALRM handled by something that raises the error."""

    def fails(*_):
        raise error

    class Handler:
        def method(self, number, frame):
            fails()

        __call__ = method

    handlers = {
        "function": fails,
        "partial": functools.partial(fails, 1),
        "method": Handler().method,
        "object": Handler(),
    }
    former = signal.signal(signal.SIGALRM, handlers[kind])
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, former)


WRITERS = """
import sys, raphson
path, n = sys.argv[1], int(sys.argv[2])
checkpoint, solver = raphson.checkpoint(path), raphson.Broyden1([1.0] * n)
print("ready", flush=True)
while True:
    checkpoint.ended(solver)
"""


def test_processes_that_write_to_one_path(tmp_path):
    """Whoever loads it finds a whole checkpoint, of one of them."""
    path = tmp_path / "run"
    raphson.checkpoint(path).ended(raphson.Broyden1([1.0]))
    writers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WRITERS, path, str(n)], stdout=subprocess.PIPE
        )
        for n in (3, 30_000)
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == b"ready\n"
        sizes, end = set(), time.monotonic() + 2
        while time.monotonic() < end or len(sizes) < 2:
            sizes.add(raphson.load_checkpoint(path).x.size)
            assert time.monotonic() < end + 60
        assert sizes >= {3, 30_000}
        # None was warned.
        assert [writer.poll() for writer in writers] == [None, None]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


PAUSE = 0.003


def solve_and_tell(solve, path, log):
    """Solve slowly, with a checkpoint, and write a byte for every evaluation that is complete."""

    def slowly(function):
        def call(x):
            time.sleep(PAUSE)
            value = function(x)
            os.write(log, b".")
            return value

        return function and call

    solver = raphson.load_checkpoint(path) if os.path.exists(path) else solve.make()
    solver.solve(slowly(solve.residual), slowly(solve.jacobian), callback=raphson.checkpoint(path))


def killed_after(seconds, solve, path, log):
    """Run the solve in a process of its own, and kill it when this time has passed."""
    child = os.fork()
    if child == 0:
        solve_and_tell(solve, path, log)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize("number", range(50))
def test_killed_at_a_random_moment(number, tmp_path):
    solve = SIMPLE[number % len(SIMPLE)]
    questions = questions_of(solve.make(), solve)
    path, log_path = str(tmp_path / "run"), tmp_path / "log"
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    moment = random.Random(number).uniform(0, 1.1 * PAUSE * len(questions) + 0.01)
    killed_after(moment, solve, path, log)
    os.close(log)
    before = log_path.stat().st_size

    solver = raphson.load_checkpoint(path) if os.path.exists(path) else solve.make()
    rest = questions_of(solver, solve)
    # The rest is the end of the whole, and what comes twice is what no checkpoint knows of.
    assert same_questions(rest, questions[len(questions) - len(rest) :])
    assert before + len(rest) - len(questions) in (0, 1)
    assert solver.result().x.tobytes() == solve.call(solve.residual, solve.jacobian).tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_killed_again_and_again(tmp_path):
    """A run that never gets farther than a few evaluations at a time arrives."""
    solve = SIMPLE[2]
    path = str(tmp_path / "run")
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    kills = 0
    while killed_after(0.05, solve, path, log):
        kills += 1
        assert kills < 500
    os.close(log)
    if _checkpoint._HAS_UNNAMED_FILES:
        # A kill between the two steps, naming the new file and moving it, leaves that: complete.
        left = [name for name in os.listdir(tmp_path) if name not in ("log", "run")]
        assert len(left) <= 1
        assert all(raphson.load_checkpoint(str(tmp_path / name)) for name in left)
    found = raphson.load_checkpoint(path).result().x
    assert found.tobytes() == solve.call(solve.residual, solve.jacobian).tobytes()
