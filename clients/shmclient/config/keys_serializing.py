"""Keys of the clients that wrap Producer and Consumer; the wrapped clients do not know them."""

from __future__ import annotations

from shmclient.config.key import Key, function

KEYS: tuple[Key, ...] = (
    function(
        "key.serializer",
        "Turns a key into bytes: `serializer(key, SerializationContext)`. Only for SerializingProducer.",
        clients="P",
        effect="serializing",
    ),
    function(
        "value.serializer",
        "Turns a value into bytes: `serializer(value, SerializationContext)`. Only for SerializingProducer.",
        clients="P",
        effect="serializing",
    ),
    function(
        "key.deserializer",
        "Turns bytes into a key: `deserializer(data, SerializationContext)`. Only for DeserializingConsumer.",
        clients="C",
        effect="serializing",
    ),
    function(
        "value.deserializer",
        "Turns bytes into a value: `deserializer(data, SerializationContext)`. Only for "
        "DeserializingConsumer.",
        clients="C",
        effect="serializing",
    ),
)
