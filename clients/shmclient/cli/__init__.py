"""The ``shmbroker`` command.

One module for each command or group of commands; ``app`` puts them together. Modules import what is slow (clients, rich)
inside the functions that need it: ``shmbroker --help`` and shell completion load none of it.
"""


def main() -> None:
    """Entry point of the ``shmbroker`` command."""
    from shmclient.cli.app import app

    try:
        app()
    except SystemExit as end:
        # Help is printed by click and rich, which take a pipe that was closed for a failure.
        if isinstance(end.__context__, BrokenPipeError):
            raise SystemExit(0) from None
        raise
