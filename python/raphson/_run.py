"""What ``python -m raphson`` does: it runs a program under the patch, else as Python would."""

from __future__ import annotations

import atexit
import builtins
import io
import os
import runpy
import sys
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from pkgutil import get_importer
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from raphson._patch import patch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import InspectLoader
    from types import TracebackType

_USAGE = "usage: python -m raphson [--quiet] (program | -m module) [argument ...]"
_HELP = f"""{_USAGE}

Run a Python program with scipy.optimize.newton, broyden1, root(method='broyden1')
and desc.optimize.lsqtr replaced by those of raphson. At the end a table on stderr
says which calls were served, how often, and how long they took.

positional arguments:
  program     a script, or a folder or zip file with a __main__.py
  argument    the arguments of the program

options:
  -h, --help  show this help message and exit
  --quiet     print no table
  -m module   run a module"""

# What `__main__` has in some versions of Python only.
_NOT_IN_ALL: dict[str, Any] = {"__annotations__": {}, "__cached__": None}


def _refuse(message: str) -> NoReturn:
    if sys.stderr is not None:
        print(f"{_USAGE}\npython -m raphson: error: {message}", file=sys.stderr)
    sys.exit(2)


class _Command(NamedTuple):
    """A command line."""

    quiet: bool
    is_module: bool
    # The program, and its arguments.
    words: list[str]


def _read(arguments: Sequence[str]) -> _Command:
    # Without argparse, which a script may have a module of its own instead of.
    words = list(arguments)
    quiet = is_module = False
    while words and words[0].startswith("-") and words[0] != "-" and not is_module:
        option = words.pop(0)
        if option.startswith("-m") and option != "-m":
            # Python takes the name right behind the letter, too.
            words.insert(0, option[2:])
            option = "-m"
        if option in ("-h", "--help"):
            print(_HELP)
            sys.exit()
        if option not in ("--quiet", "-m"):
            _refuse(f"unrecognized arguments: {option}")
        quiet = quiet or option == "--quiet"
        is_module = option == "-m"
    if not words:
        _refuse("which program?")
    return _Command(quiet, is_module, words)


def _source(path: str) -> bytes:
    # Read once: it may be a pipe.
    try:
        with io.open_code(os.path.abspath(path)) as file:
            return file.read()
    except OSError as error:
        _refuse(f"cannot read {path!r}: {error.strerror}")


def _absolute(path: str) -> str:
    """Give a path as Python has it in ``__file__``: dots stay where they are."""
    if os.name == "nt":
        return os.path.abspath(path)
    return path if os.path.isabs(path) else os.path.join(os.getcwd(), path)


def _make_main() -> dict[str, Any]:
    """Put an empty module in the place of `__main__`, and give its names.

    It stays: threads and exit handlers of the program may outlive every function of ours.
    """
    former, main = vars(sys.modules["__main__"]), ModuleType("__main__")
    names = vars(main)
    names["__builtins__"] = builtins
    names.update((name, value) for name, value in _NOT_IN_ALL.items() if name in former)
    sys.modules["__main__"] = main
    return names


def _put_first(folder: str) -> None:
    """Let imports look here first, and no longer where ``python -m`` does."""
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.path.insert(0, folder)


def _run_script(path: str, source: bytes) -> None:
    names = _make_main()
    if not sys.flags.safe_path:
        _put_first(os.path.dirname(os.path.realpath(path)))
    if path.endswith(".pyc"):
        loader: InspectLoader = SourcelessFileLoader("__main__", path)
        code = loader.get_code("__main__")
    else:
        loader = SourceFileLoader("__main__", path)
        code = compile(source, path, "exec", dont_inherit=True)
    assert code is not None
    names.update(__file__=path, __loader__=loader)
    exec(code, names)


def _run_module(name: str, is_argument: bool) -> None:
    """Run a module, or with the name `__main__` the one that is first on the path."""
    _make_main()
    # This is what Python calls for its own -m; run_module would take `__main__` away too early.
    runpy._run_module_as_main(name, is_argument)  # type: ignore[attr-defined]


def _print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print it without the frames that lead to the program."""
    rest = trace
    while rest:
        if rest.tb_frame.f_code.co_filename == __file__:
            trace = rest.tb_next
        rest = rest.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def _report_at_exit(calls: object) -> None:
    process = os.getpid()

    def report() -> None:
        # Not from a fork, and not to stdout, where print goes if there is no stderr.
        if os.getpid() == process and sys.stderr is not None:
            print(calls, file=sys.stderr)

    atexit.register(report)


def main() -> None:
    """Run what the command line says."""
    command = _read(sys.argv[1:])
    program, *arguments = command.words
    path = "" if command.is_module else _absolute(program)
    is_script = not command.is_module and get_importer(path) is None
    source = _source(program) if is_script else b""
    calls = patch()
    if not command.quiet:
        _report_at_exit(calls)
    sys.excepthook = _print_traceback
    sys.argv = ["-m", *arguments] if command.is_module else command.words
    if command.is_module:
        _run_module(program, is_argument=True)
    elif is_script:
        _run_script(path, source)
    else:
        _put_first(path)
        _run_module("__main__", is_argument=False)
