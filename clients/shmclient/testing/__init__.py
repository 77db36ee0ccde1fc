"""Real daemons for the tests of programs that use shmclient: :class:`EmbeddedBroker`, and the pytest fixtures of
:mod:`shmclient.testing.pytest_plugin`."""

from shmclient.testing.embedded_broker import BrokerStartError, EmbeddedBroker

__all__ = ["BrokerStartError", "EmbeddedBroker"]
