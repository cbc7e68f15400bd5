#!/usr/bin/env bash
# What some tests need besides Python, from Debian's packages: Chromium for pages, nginx and Caddy for the examples of
# deploy/, PgBouncer and RabbitMQ for the flows with them, PostgreSQL and Redis that are built with TLS for the flow over it. Nothing is done where all are there; tests whose tool is missing say so.
# axe-core, which looks at the console's pages, the libraries that programs order with (tests/sdks), and what clients/js and
# examples/studio are built with, come by npm where that is there.
set -euo pipefail
axe=.headrace/tools/axe.min.js
if [ ! -e "$axe" ] && command -v npm > /dev/null; then
  mkdir -p "${axe%/*}"
  package=$(npm pack --silent --pack-destination "${axe%/*}" axe-core@4.14.1)
  tar -xzOf "${axe%/*}/$package" package/axe.min.js > "$axe.new"
  mv "$axe.new" "$axe"
  rm "${axe%/*}/$package"
fi
sdks=.headrace/tools/sdks
if ! cmp -s tests/sdks/package-lock.json "$sdks/package-lock.json" && command -v npm > /dev/null; then
  mkdir -p "$sdks"
  cp tests/sdks/package.json tests/sdks/package-lock.json "$sdks"
  (cd "$sdks" && npm ci --silent --ignore-scripts --no-audit --no-fund || { rm package-lock.json; exit 1; })
fi
if command -v npm > /dev/null; then bash deploy/build_clients.sh; bash deploy/build_studio.sh; fi
missing=()
command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome > /dev/null \
  || missing+=(chromium)
compgen -G "/usr/lib/postgresql/*/bin/postgres" > /dev/null || missing+=(postgresql)
for name in nginx caddy pgbouncer redis-server rabbitmq-server; do
  command -v "$name" > /dev/null || [ -x "/usr/sbin/$name" ] || missing+=("$name")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get > /dev/null || [ "$(id -u)" != 0 ]; then
  echo "missing here: ${missing[*]}; install them by hand (Debian: apt-get install ${missing[*]})" >&2
  exit 1
fi
# A package's own service must not start here: the tests start what they need, on ports of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
# Nor a database of PostgreSQL's own be made.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" > /dev/null
