#!/bin/sh
# tests/run.sh PYTHON: all tests, in two processes. Those that need Apache Kafka wait for it most of the time, so they run beside
# the others; what they print is shown at the end.
set -u
printed=$(mktemp)
"$1" -m pytest -m kafka >"$printed" 2>&1 &
kafka=$!
trap 'kill $kafka 2>/dev/null; rm -f "$printed"' EXIT
trap 'exit 130' INT TERM
"$1" -m pytest -m 'not kafka'
others_status=$?
wait $kafka
kafka_status=$?
cat "$printed"
exit $((others_status > kafka_status ? others_status : kafka_status))
