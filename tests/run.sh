#!/bin/sh
# tests/run.sh PYTHON: all tests, folder by folder, two at a time; the longest begin. Those that need Apache Kafka wait for it most of
# the time, so they are a part of their own. What a part prints is shown when it is done.
set -u
python=$1
part=${2-}

if [ -z "$part" ]; then
    cd "$(dirname "$0")/.." || exit 1
    {
        printf '%s\n' kafka system shmclient
        for folder in tests/*/; do
            basename "$folder"
        done | grep -vx -e system -e shmclient -e __pycache__
    } | xargs -n 1 -P 2 sh tests/run.sh "$python"
    exit
fi

if [ "$part" = kafka ]; then
    set -- -m kafka
else
    set -- -m 'not kafka' "tests/$part"
fi
printed=$(mktemp)
trap 'rm -f "$printed"' EXIT
echo "tests: $part ..."
"$python" -m pytest "$@" >"$printed" 2>&1
status=$?
cat "$printed"
echo "tests: $part ended with status $status"
# 5: none was selected, as when all of a folder's tests need Apache Kafka.
[ $status -eq 0 ] || [ $status -eq 5 ]
