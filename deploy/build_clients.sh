#!/usr/bin/env bash
# The npm packages of clients/js: what they are made with, as their lock says; types from docs/openapi.json; both packages; type tests
# and sizes. What is built already from what lies here is only measured.
set -euo pipefail
cd "$(dirname "$0")/../clients/js"
if ! cmp -s package-lock.json node_modules/.installed-lock.json; then
  npm ci --silent --no-audit --no-fund
  cp package-lock.json node_modules/.installed-lock.json
fi
node build.mjs
node node_modules/typescript/bin/tsc -p tests
