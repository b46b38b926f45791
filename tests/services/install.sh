#!/usr/bin/env bash
# Fetches what the tests start where a service is not on the machine, into the folder lib beside this script: a server
# that speaks MongoDB's protocol. Needs Maven; running it needs Java 17. Does nothing when it was done before.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ -e lib/installed.pom ] && cmp -s pom.xml lib/installed.pom; then
  exit 0
fi
command -v mvn >/dev/null || { echo "Cannot fetch the services of the tests: there is no mvn" >&2; exit 1; }
rm -rf lib
mvn -q -B -f pom.xml dependency:copy-dependencies -DoutputDirectory=lib
cp pom.xml lib/installed.pom
