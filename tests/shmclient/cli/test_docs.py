from pathlib import Path

import typer.main

from shmclient.cli.app import app
from shmclient.cli.docs import leaf_commands, markdown
from shmclient.cli.exit_codes import ExitCode

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
WITHOUT_DAEMON = {"shmbroker run", "shmbroker log dump", "shmbroker log verify", "shmbroker log repair"}


def commands():
    return dict(leaf_commands(typer.main.get_command(app)))


def test_the_page_in_docs_is_the_one_the_commands_make():
    assert PAGE.read_text() == markdown(), "run `python -m shmclient.cli.docs > docs/cli.md`"


def test_every_command_option_and_exit_code_is_on_the_page():
    page = PAGE.read_text()
    assert len(commands()) >= 18
    for name, command in commands().items():
        section = page.split(f"### {name}\n")[1].split("### ")[0]
        for param in command.params:
            if param.param_type_name == "option":
                assert all(f"`{option}`" in section for option in param.opts if option.startswith("--")), (
                    name,
                    param.opts,
                )
    assert all(f"| {code.value} | {code.meaning} |" in page for code in ExitCode)


def test_every_command_and_option_has_a_help_text():
    for name, command in commands().items():
        assert command.help, name
        for param in command.params:
            if param.param_type_name == "option":
                assert param.help, (name, param.name)


def test_every_command_that_talks_to_a_daemon_lets_one_choose_it_and_speaks_json():
    for name, command in commands().items():
        options = {option for param in command.params for option in param.opts}
        if name not in WITHOUT_DAEMON:
            assert "--bootstrap-server" in options, name
        if name != "shmbroker run":
            assert "--json" in options, name
