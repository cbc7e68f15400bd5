#!/usr/bin/env bash
# examples/studio, as its lock says: the packages of clients/js, types checked, one page in examples/studio/dist. What is built already
# from what lies here is left as it is.
set -euo pipefail
here="$(dirname "$0")"
if ! command -v npm > /dev/null; then
  echo "the studio is built with npm (Node.js 20 or newer), which is not on this machine" >&2
  exit 1
fi
bash "$here/build_clients.sh" > /dev/null
cd "$here/../examples/studio"
if ! cmp -s package-lock.json node_modules/.installed-lock.json; then
  npm ci --silent --no-audit --no-fund
  cp package-lock.json node_modules/.installed-lock.json
fi
made=$(cat package-lock.json package.json tsconfig.json vite.config.js index.html public/* src/* ../../api/sites/static/tokens.css \
  ../../clients/js/*/dist/index.js | sha256sum)
if [ ! -e dist/index.html ] || [ "$made" != "$(cat node_modules/.built-from 2> /dev/null)" ]; then
  npm run --silent build -- --logLevel warn
  echo "$made" > node_modules/.built-from
fi
