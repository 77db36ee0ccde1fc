"""The link to a broker process, with the test at the broker's end of the channel."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.protocol.channel import Channel
from shmbroker.protocol.framing import Codec
from shmbrokerd.broker_link import BrokerGoneError, BrokerLink, BrokerNotice


class Broker:
    """The other end; its blocking calls run in a thread."""

    def __init__(self, sock: socket.socket) -> None:
        self.channel: Channel[m.BrokerEvent, m.BrokerCommand] = Channel(
            sock, Codec(m.BrokerEvent), Codec(m.BrokerCommand)
        )

    async def receive(self) -> m.BrokerCommand:
        return await asyncio.to_thread(self.channel.receive, 10)

    def send(self, correlation_id: int, body: m.BrokerEventBody) -> None:
        self.channel.send(m.BrokerEvent(correlation_id, body))


Scenario = Callable[[BrokerLink, Broker, list[BrokerNotice]], Awaitable[None]]


def play(scenario: Scenario) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        notices: list[BrokerNotice] = []
        link = BrokerLink(ours, notices.append)
        receiving = asyncio.create_task(link.receive_until_closed())
        broker = Broker(theirs)
        async with asyncio.timeout(20):
            try:
                await scenario(link, broker, notices)
            finally:
                broker.channel.close()
                link.close()
                await receiving
                ours.close()

    asyncio.run(run())


def test_replies_find_their_orders_in_any_sequence() -> None:
    async def scenario(link: BrokerLink, broker: Broker, _: list[BrokerNotice]) -> None:
        orders = [
            asyncio.create_task(link.request(m.AdvanceLogStart(slot, 0), timeout_s=10)) for slot in range(3)
        ]
        commands = [await broker.receive() for _ in range(3)]
        for command in reversed(commands):
            assert isinstance(command.body, m.AdvanceLogStart)
            broker.send(command.correlation_id, m.BrokerReply(offset=command.body.slot))
        assert [(await order).offset for order in orders] == [0, 1, 2]

    play(scenario)


def test_descriptors_travel_with_their_order() -> None:
    async def scenario(link: BrokerLink, broker: Broker, _: list[BrokerNotice]) -> None:
        region, event = os.memfd_create("region"), os.eventfd(0)
        os.write(region, b"hello")
        order = asyncio.create_task(link.request(m.AttachSession(1, 0, 9), (region, event), timeout_s=10))
        command = await broker.receive()
        received = broker.channel.take_fds(2)
        assert os.pread(received[0], 5, 0) == b"hello"
        broker.send(command.correlation_id, m.BrokerReply())
        await order
        for fd in (region, event, *received):
            os.close(fd)

    play(scenario)


def test_a_refusal_is_raised_with_its_reason() -> None:
    async def scenario(link: BrokerLink, broker: Broker, _: list[BrokerNotice]) -> None:
        order = asyncio.create_task(link.request(m.ClosePartition(1), timeout_s=10))
        command = await broker.receive()
        broker.send(command.correlation_id, m.BrokerReply(ErrorCode.KAFKA_STORAGE_ERROR, "disk gone"))
        with pytest.raises(BrokerError, match="disk gone"):
            await order

    play(scenario)


def test_notices_are_passed_on() -> None:
    async def scenario(link: BrokerLink, broker: Broker, notices: list[BrokerNotice]) -> None:
        broker.send(-1, m.SessionFaulted(4, "nonsense"))
        broker.send(-1, m.PartitionFaulted(2, "disk gone"))
        while len(notices) < 2:
            await asyncio.sleep(0.001)
        assert notices == [m.SessionFaulted(4, "nonsense"), m.PartitionFaulted(2, "disk gone")]

    play(scenario)


def test_a_late_reply_is_dropped() -> None:
    async def scenario(link: BrokerLink, broker: Broker, _: list[BrokerNotice]) -> None:
        with pytest.raises(BrokerError) as caught:
            await link.request(m.StopBroker(), timeout_s=0.02)
        assert caught.value.code == ErrorCode.REQUEST_TIMED_OUT
        assert "StopBroker" in caught.value.message
        late = await broker.receive()
        broker.send(late.correlation_id, m.BrokerReply())
        order = asyncio.create_task(link.request(m.DetachSession(1), timeout_s=10))
        command = await broker.receive()
        broker.send(command.correlation_id, m.BrokerReply(offset=5))
        assert (await order).offset == 5

    play(scenario)


def test_the_death_of_the_broker_fails_what_waits_and_what_comes_after() -> None:
    async def scenario(link: BrokerLink, broker: Broker, _: list[BrokerNotice]) -> None:
        order = asyncio.create_task(link.request(m.DetachSession(1), timeout_s=10))
        await broker.receive()
        broker.channel.close()
        with pytest.raises(BrokerGoneError):
            await order
        assert link.closed.is_set()
        with pytest.raises(BrokerGoneError):
            await link.request(m.DetachSession(1), timeout_s=10)

    play(scenario)


def test_a_broker_that_talks_nonsense_is_given_up() -> None:
    async def scenario(link: BrokerLink, broker: Broker, _: list[BrokerNotice]) -> None:
        order = asyncio.create_task(link.request(m.DetachSession(1), timeout_s=10))
        await broker.receive()
        os.write(broker.channel.fileno(), b"\xff" * 64)
        with pytest.raises(BrokerGoneError):
            await order

    play(scenario)
