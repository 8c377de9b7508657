"""``python -m raphson script.py``: run a script with ours in place of the originals."""

from __future__ import annotations

import argparse
import atexit
import builtins
import importlib.util
import io
import os
import runpy
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import raphson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m raphson",
        usage="%(prog)s [--quiet] (script.py | -m module) [argument ...]",
        description=(
            "Run a Python script with scipy.optimize.newton, broyden1, root(method='broyden1') "
            "and desc.optimize.lsqtr replaced by those of raphson. At the end a table on stderr "
            "says which calls were served, how often, and how long they took."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("--quiet", action="store_true", help="print no table")
    parser.add_argument("-m", action="store_true", dest="module", help="run a module")
    parser.add_argument(
        "program", nargs=argparse.REMAINDER, help="the script or module, and its arguments"
    )
    return parser


def _can_run(module: str) -> bool:
    try:
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{module}.__main__")
    except (ImportError, ValueError):
        return False
    return spec is not None


def _run_script(path: str, source: bytes) -> None:
    """Run it as `__main__`, for good: its threads and exit handlers may outlive this function."""
    path = os.path.abspath(path)
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, __file__=path, __cached__=None)
    sys.modules["__main__"] = main
    exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)


def _print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print it without the frames that lead to the script."""
    while trace and trace.tb_frame.f_code.co_filename in (__file__, "<frozen runpy>"):
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line says."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if not chosen.program:
        parser.error("which script?")
    program = chosen.program[0]
    if chosen.module and not _can_run(program):
        parser.error(f"there is no module {program!r} to run")
    if not chosen.module:
        try:
            with io.open_code(os.path.abspath(program)) as file:
                source = file.read()
        except OSError as error:
            parser.error(f"cannot read {program!r}: {error.strerror}")

    calls = raphson.patch()
    process = os.getpid()

    def report() -> None:
        if os.getpid() == process:  # and not a fork of it
            print(calls, file=sys.stderr)

    if not chosen.quiet:
        atexit.register(report)
    sys.excepthook = _print_traceback
    sys.argv = chosen.program
    if chosen.module:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        _run_script(program, source)


if __name__ == "__main__":
    main()
