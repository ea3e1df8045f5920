"""``python -m counterfoil``: a process that stays, or the rest of the command line."""

import sys

from counterfoil.processes import PROCESSES


def main() -> None:
    """Run what was asked for; what can be explained is explained, without a traceback."""
    process = PROCESSES.get(sys.argv[1]) if len(sys.argv) == 2 else None  # noqa: PLR2004 - and no options
    if process is None:
        from counterfoil.cli import main as command_line

        command_line()
        return
    try:
        process()
    except Exception as problem:  # noqa: BLE001 - what is no surprise is told apart where it is known
        from counterfoil.cli import explain

        explain(problem)


if __name__ == "__main__":
    main()
