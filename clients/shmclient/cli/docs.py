"""The documentation of the command line, made from the commands themselves.

``python -m shmclient.cli.docs`` writes it to stdout; docs/cli.md is its output.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer.main

from shmclient.cli.app import app
from shmclient.cli.exit_codes import ExitCode
from shmclient.cli.message_format import TOKENS

_INTRODUCTION = """\
# The command line

`shmbroker` works on a daemon of this host and, where it makes sense, on a Kafka cluster: `--bootstrap-server
shm:/runtime/dir` or `--bootstrap-server host:port`. Without it, the daemon is `$SHMBROKER_BOOTSTRAP` if set, else the
system's, else the user's.

Results go to stdout, everything else to stderr. On a terminal tables are drawn; in a pipe they are columns under a header
line. `--json` prints JSON instead: one document, or one object a line where results stream. A pipe that is closed early
(`shmbroker consume t | head`) ends a command quietly.

`shmbroker --install-completion` sets up completion for your shell, names of topics included.

This page is made from the commands by `python -m shmclient.cli.docs`.
"""

_EXAMPLES = """\
## Examples

```sh
shmbroker topics create clicks --partitions 4
printf 'ann=3\\nbob=5\\n' | shmbroker produce clicks --key-separator =
shmbroker consume clicks --from-beginning --exit-at-end --format '%t[%p]@%o %k: %s\\n'
shmbroker consume clicks --offset -10 --exit-at-end --json       # the last ten of each partition
shmbroker consume clicks -o s@-1h -o e@-5m                       # from an hour ago until five minutes ago
shmbroker consume clicks --from-beginning -e --json | shmbroker produce copy --json
shmbroker offsets clicks --group billing                         # and its lag
shmbroker groups describe billing                                # who reads which partition, and how far
shmbroker groups reset-offsets billing --topic clicks --by-duration PT1H             # what would be set
shmbroker groups reset-offsets billing --topic clicks:0,1 --shift-by -100 --execute
shmbroker groups reset-offsets billing --all-topics --to-current --export > billing.csv
shmbroker transactions list --state Ongoing                      # who has one open
shmbroker transactions find-hanging                              # what holds readers back for good
shmbroker log dump /var/lib/shmbroker --verify-only
shmbroker log verify /var/lib/shmbroker                          # every page and every batch
shmbroker log repair /var/lib/shmbroker --yes                    # with the daemon stopped
shmbroker doctor                                                 # what is wrong, or soon will be
shmbroker doctor --fix                                           # asks before each thing it does
shmbroker run -- pytest                                          # with a daemon of its own
```
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join(
        (_INTRODUCTION, _EXAMPLES, *_exit_codes(), *_tokens(), *_commands(typer.main.get_command(app)))
    )


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n"
    yield from ("| Code | Meaning |", "|---|---|")
    for code in ExitCode:
        yield f"| {code.value} | {code.meaning} |"
    yield ""


def _tokens() -> Iterator[str]:
    yield "## Format strings\n"
    yield "For `consume --format`; the tokens are kcat's. Escapes are `\\n`, `\\t`, `\\r`, `\\0`, `\\xHH` and `\\\\`.\n"
    yield from ("| Token | Stands for |", "|---|---|")
    for letter, meaning in TOKENS.items():
        yield f"| `%{letter}` | {meaning} |"
    yield ""


def leaf_commands(command: Any, path: tuple[str, ...] = ("shmbroker",)) -> Iterator[tuple[str, Any]]:
    """(full name, command) of everything that can be run, in the order of the help text."""
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(path), command
        return
    for name, child in children.items():
        yield from leaf_commands(child, (*path, name))


def _commands(root: Any) -> Iterator[str]:
    yield "## Commands\n"
    for name, command in leaf_commands(root):
        yield f"### {name}\n"
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        usage = [name, "[OPTIONS]", *(_metavar(argument) for argument in arguments)]
        yield f"`{' '.join(usage)}`\n"
        yield _one_line(command.help) + "\n"
        yield from ("| Option | What it does | Default |", "|---|---|---|")
        for argument in arguments:
            if argument.help:
                yield _row(f"`{_metavar(argument)}`", _one_line(argument.help), "")
        for option in command.params:
            if option.param_type_name == "option" and option.name != "help":
                yield _row(_option_names(option), _one_line(option.help), _default(option))
        yield ""


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _option_names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=lambda name: not name.startswith("--")))
    return names if option.is_flag else f"{names} `{_metavar(option)}`"


def _default(option: Any) -> str:
    if option.is_flag or option.default in (None, "", ()):
        return ""
    return f"`{option.default:g}`" if isinstance(option.default, float) else f"`{option.default}`"


def _one_line(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").strip()


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
