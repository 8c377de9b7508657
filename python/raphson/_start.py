"""The imports of ``python -m raphson``, before any from the current folder.

Python puts that folder first on its path while it imports this package. A script there with the
name of a module of the standard library would be imported in its place, which does not happen when
Python runs a script by itself, unless that is in the same folder.
"""

import sys


def _is_being_run() -> bool:
    """Whether Python is looking for the program of its command line, and that is this package."""
    arguments = getattr(sys, "argv", [])
    program = sys.orig_argv[-len(arguments) :][:1]
    return arguments[:1] == ["-m"] and program in (["raphson"], ["-mraphson"])


def _import_elsewhere() -> None:
    folder = sys.path.pop(0)
    try:
        import raphson._checkpoint
        import raphson._monitor
        import raphson._run  # noqa: F401
    finally:
        sys.path.insert(0, folder)


if _is_being_run() and not sys.flags.safe_path:
    _import_elsewhere()
