"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# A machine that is busy with something else is no failure of the code under test.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

HERE = Path(__file__).parent
SYSTEM, KAFKA = "system", "kafka"


@pytest.hookimpl(tryfirst=True)  # before the plugin that reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Divide the tests into groups that stay together when several processes run them, and let the two large ones begin.

    The system tests come first, wherever they run: they count descriptors, and the threads of librdkafka, which other tests
    load into their process, open and close pipes for as long as any of its clients lives. Then those that need Apache Kafka:
    one node serves them all, and who waits for it leaves the processor to the others.
    """
    items.sort(key=lambda item: (_group(item) != SYSTEM, _group(item) != KAFKA))
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    if item.path.is_relative_to(HERE / "system"):
        return SYSTEM
    return KAFKA if item.get_closest_marker("kafka") else str(item.path.relative_to(HERE))
