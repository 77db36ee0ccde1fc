"""What the README tells a newcomer to type works, and what it points at exists."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shmclient.testing import EmbeddedBroker

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])
DEADLINE_S = 60
NOT_RUN = {
    "make demo": "tests/examples runs the demo; the environment is the one the tests run in",
    "pip install '.[kafka]'": "needs a Kafka cluster; tests/shmclient/remote works with one",
}
"""First line of each shell block that is left out, and why."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def environment(**more: str) -> dict[str, str]:
    """Commands of the environment that the tests run in come first; no daemon of this machine is in reach."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "SHMBROKER_BOOTSTRAP": "shm:/nonexistent"} | more


def run(command: list[str], folder: Path, **more: str) -> str:
    """stdout of a command that succeeds. What it leaves running in its process group is ended."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, out + err
    return out


def test_the_shell_blocks_work_one_after_the_other(tmp_path: Path) -> None:
    tour = [block for block in blocks("sh") if block.splitlines()[0] not in NOT_RUN]
    script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "".join(tour)
    output = run(["bash", "-c", script], tmp_path)
    assert re.search(r"^ann is in Oslo \(partition \d, offset 0\)$", output, re.MULTILINE)
    assert re.search(r"^bob is in Lima \(partition \d, offset \d\)$", output, re.MULTILINE)
    assert output.splitlines().count("hello") == 1
    assert re.search(r"^travel +visits +\d +\d +\d +0 +-", output, re.MULTILINE)
    assert re.search(r"^travel +OK +0 +0\.0", output, re.MULTILINE)
    assert re.search(r"^travel +visits +\d +3 +0 +set$", output, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_every_shell_block_that_is_not_run_is_there() -> None:
    assert NOT_RUN.keys() <= {block.splitlines()[0] for block in blocks("sh")}


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_a_python_block_works(number: int, tmp_path: Path, shmbroker: EmbeddedBroker) -> None:
    text = blocks("python")[number]
    is_test = "\ndef test_" in text
    program = tmp_path / ("test_readme_block.py" if is_test else "hello.py")
    program.write_text(text)
    pytest_options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    command = [sys.executable, *(pytest_options if is_test else []), str(program)]
    output = run(command, tmp_path, SHMBROKER_BOOTSTRAP=shmbroker.bootstrap_servers)
    assert "1 passed" in output or not is_test


def test_what_the_python_blocks_print_is_right(tmp_path: Path, shmbroker: EmbeddedBroker) -> None:
    for text, expected in (
        (blocks("python")[0], "stored at offset 0 of partition 0\nb'ann' b'hello' [('lang', b'en')] (1, "),
        (blocks("python")[1], "".join(f"b'job {number}'\n" for number in range(6))),
        (blocks("python")[2], "mean of 1000: 25.00\n"),
    ):
        output = run([sys.executable, "-c", text], tmp_path, SHMBROKER_BOOTSTRAP=shmbroker.bootstrap_servers)
        assert output.startswith(expected)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if "://" in file:
            continue
        found = page.parent / file if file else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{page.name} links to {target}"


def test_the_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`make ([a-z-]+)", page.read_text()))
        assert named <= targets, page.name


def test_there_is_a_place_for_the_measurements() -> None:
    assert README.index("<!-- bench:begin -->") < README.index("<!-- bench:end -->")
