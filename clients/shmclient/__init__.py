"""The client library: confluent_kafka's API on top of shared memory."""
