from pathlib import Path

from shmbroker.config.docs import markdown

PAGE = Path(__file__).parents[3] / "docs" / "configuration" / "daemon.md"


def test_the_page_in_docs_is_the_one_the_tables_make() -> None:
    message = "run `python -m shmbroker.config.docs > docs/configuration/daemon.md`"
    assert PAGE.read_text(encoding="utf-8") == markdown(), message
