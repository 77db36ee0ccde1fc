"""Commits that are under way together."""

from __future__ import annotations

from typing import Any

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m

TIMEOUT_S = 30


@pytest.fixture
def topic(client: Any) -> str:
    reply = client.request(m.CreateTopics([m.NewTopicSpec("t", 1)]))
    assert reply.outcomes[0].code == ErrorCode.NO_ERROR
    return "t"


def commit(group: str, offset: int) -> m.CommitOffsets:
    return m.CommitOffsets(group, [m.OffsetToCommit("t", 0, offset)])


def send(client: Any, bodies: list[m.RequestBody]) -> None:
    for number, body in enumerate(bodies, 1000):
        client.channel.send(m.Request(number, body))


def receive(client: Any, count: int) -> list[m.Response]:
    return [client.channel.receive(TIMEOUT_S) for _ in range(count)]


def test_answers_come_in_the_order_of_requests_refusals_and_others_among_them(
    client: Any, topic: str
) -> None:
    assert topic == "t"
    bodies: list[m.RequestBody] = [commit("g" if number % 7 else "", number) for number in range(1, 50)]
    bodies[20] = m.DescribeCluster()
    send(client, bodies)
    responses = receive(client, len(bodies))
    assert [response.correlation_id for response in responses] == list(range(1000, 1000 + len(bodies)))
    assert isinstance(responses[20].body, m.DescribeClusterReply)
    for body, response in zip(bodies, responses, strict=True):
        if isinstance(body, m.CommitOffsets) and body.group:
            assert isinstance(response.body, m.PartitionOutcomesReply)
            assert response.body.outcomes[0].code == ErrorCode.NO_ERROR


def test_a_request_sees_the_commits_that_were_sent_before_it(client: Any, topic: str) -> None:
    send(client, [*(commit("g", number) for number in range(1, 30)), m.FetchOffsets("g", None)])
    (*_, last) = receive(client, 30)
    assert [(each.topic, each.offset) for each in last.body.offsets] == [(topic, 29)]


def test_more_commits_than_may_be_under_way_are_all_answered(client: Any, topic: str) -> None:
    count = 600
    send(client, [commit("g", number) for number in range(1, count + 1)])
    assert len(receive(client, count)) == count


def test_a_client_that_leaves_in_the_middle_takes_nobody_along(daemon: Any, client: Any, topic: str) -> None:
    leaver = daemon.attach()
    send(leaver, [commit("left", number) for number in range(1, 100)])
    leaver.channel.close()
    send(client, [commit("g", 5), m.FetchOffsets("g", None)])
    (*_, last) = receive(client, 2)
    assert [each.offset for each in last.body.offsets] == [5]
