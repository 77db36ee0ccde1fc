from pathlib import Path

from shmclient.config.docs import markdown
from shmclient.config.table import BY_NAME

PAGE = Path(__file__).parents[3] / "docs" / "configuration" / "client.md"


def test_the_page_in_docs_is_the_one_the_table_makes() -> None:
    message = "run `python -m shmclient.config.docs > docs/configuration/client.md`"
    assert PAGE.read_text() == markdown(), message


def test_every_name_of_every_key_is_on_the_page() -> None:
    page = markdown()
    assert [name for name in BY_NAME if f"`{name}`" not in page] == []


def test_every_row_has_as_many_cells_as_the_head() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {6}


def test_a_default_that_differs_shows_both_and_the_reason() -> None:
    (row,) = [line for line in markdown().splitlines() if line.startswith("| `linger.ms`")]
    assert "| 0 (librdkafka: 5) |" in row
    assert "adaptive" in row
