from collections import Counter

import pytest

from shmclient.config.client_config import ClientConfig
from shmclient.config.key import Key
from shmclient.config.parse import parse_config
from shmclient.config.table import BY_NAME, HONOURED_DEFAULTS, KEYS, TOPIC_CONFIG
from shmclient.config.values import convert

# Facts of librdkafka 2.16: number of keys by how their values are written. A key that is dropped or added by
# mistake changes them. `auto.commit.interval.ms` and others that exist on two levels count once.
BY_KIND = Counter(
    bool=24,
    int=63,
    float=1,
    str=55,
    enum=16,
    list=1,
    patterns=1,
    flags=2,
    unsettable=23,
    callable=10,
    object=2,
)


def _name(key: Key) -> str:
    return key.name


def test_names_and_aliases_are_unique() -> None:
    assert len(BY_NAME) == sum(1 + len(key.aliases) for key in KEYS)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("metadata.broker.list", "bootstrap.servers"),
        ("queue.buffering.max.ms", "linger.ms"),
        ("message.send.max.retries", "retries"),
        ("compression.codec", "compression.type"),
        ("request.required.acks", "acks"),
        ("message.timeout.ms", "delivery.timeout.ms"),
        ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
        ("max.in.flight", "max.in.flight.requests.per.connection"),
        ("sasl.mechanisms", "sasl.mechanism"),
    ],
)
def test_librdkafkas_aliases_lead_to_the_same_key(alias: str, name: str) -> None:
    assert BY_NAME[alias] is BY_NAME[name]


def test_every_kind_of_key_is_there_in_its_number() -> None:
    assert Counter(key.kind for key in KEYS) == BY_KIND


def test_the_configuration_has_a_field_for_each_key_that_has_an_effect() -> None:
    of_its_own = {"kind", "explicit", "ignored", "warnings"}
    assert set(ClientConfig.__struct_fields__) - of_its_own == set(HONOURED_DEFAULTS)


@pytest.mark.parametrize("key", KEYS, ids=_name)
def test_a_row_says_what_a_reader_needs(key: Key) -> None:
    assert key.doc.endswith("."), "a sentence"
    if key.effect in ("ignored", "unsettable"):
        assert key.note.endswith("."), "why it has no effect, or what to use instead"
    if key.default_differs:
        assert key.note.endswith("."), "why the default differs"
        assert key.upstream_default != key.default


@pytest.mark.parametrize("key", [key for key in KEYS if key.default is not None], ids=_name)
def test_a_default_is_a_value_its_own_key_accepts(key: Key) -> None:
    default = ",".join(key.default) if isinstance(key.default, tuple) else key.default
    if default != "":
        assert convert(key, key.name, default) == key.default
        assert type(convert(key, key.name, str(default))) is type(key.default)


@pytest.mark.parametrize("key", [key for key in KEYS if key.low is not None], ids=_name)
def test_a_numbers_bounds_are_accepted_and_what_lies_beyond_is_not(key: Key) -> None:
    assert key.low is not None and key.high is not None
    assert convert(key, key.name, key.low) == key.low
    assert convert(key, key.name, str(key.high)) == key.high
    for beyond in (key.low - 1, key.high + 1):
        with pytest.raises(Exception, match=f"{beyond} is outside allowed range {key.low}..{key.high}"):
            convert(key, key.name, beyond)


@pytest.mark.parametrize("key", [key for key in KEYS if key.choices], ids=_name)
def test_every_choice_is_accepted_in_any_case(key: Key) -> None:
    for name in (*key.choices, *key.synonyms):
        expected = key.synonyms.get(name, name)
        value = convert(key, key.name, name.upper())
        assert value == (expected if key.kind == "enum" else (expected,))


def _settable(key: Key) -> bool:
    return key.effect in ("honoured", "ignored") and key.kind != "callable" and key.name != TOPIC_CONFIG


@pytest.mark.parametrize("kind", ["producer", "consumer", "admin"])
def test_every_settable_key_is_accepted_by_every_client_with_its_upstream_default(kind: str) -> None:
    given: dict[str, object] = {"group.id": "g"}
    for key in filter(_settable, KEYS):
        value = key.upstream_default if key.default_differs else key.default
        given.setdefault(key.name, ",".join(value) if isinstance(value, tuple) else value)
    # The defaults of these have no text: flags cannot be set to nothing.
    del given["debug"], given["builtin.features"]
    config = parse_config(given, kind)  # type: ignore[arg-type]
    assert config.partitioner == "consistent_random"
    assert config.linger_ms == 5.0


def test_only_the_documented_defaults_differ_from_librdkafkas() -> None:
    differing = {key.name for key in KEYS if key.default_differs}
    assert differing == {"client.id", "linger.ms", "partitioner", "enable.idempotence", "check.crcs"}
