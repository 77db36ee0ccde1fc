#!/bin/sh
# Fetches the jars of a single-node Apache Kafka into .kafka/libs (git-ignored), by way of Maven.
#
# Idempotent: a stamp holds the pom the jars came from, and only another pom makes it fetch again.
# Without Maven or a JDK nothing is installed and the tests that need Kafka are skipped; with CI set that is an error.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=$(cd "$here/../../.." && pwd)/.kafka
stamp=$target/pom.xml

if cmp -s "$here/pom.xml" "$stamp"; then
    exit 0
fi

for tool in mvn java; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "kafka: '$tool' is not installed, so Apache Kafka cannot be fetched and its tests will be skipped" \
             "(on Debian and Ubuntu: apt-get install maven openjdk-17-jdk-headless)" >&2
        if [ -n "${CI:-}" ]; then
            echo "kafka: CI is set, where those tests must run: failing" >&2
            exit 1
        fi
        exit 0
    fi
done

mkdir -p "$target"
fresh=$(mktemp -d "$target/fetch.XXXXXX")
trap 'rm -rf "$fresh"' EXIT INT TERM
echo "kafka: fetching Apache Kafka into $target/libs"
mvn --quiet --batch-mode --file "$here/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$fresh/libs"
rm -rf "$target/libs"
mv "$fresh/libs" "$target/libs"
# The stamp comes last: a fetch that was interrupted is done again.
cp "$here/pom.xml" "$stamp"
