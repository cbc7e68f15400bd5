#!/usr/bin/env bash
# Chromium for the tests of pages, from Debian's packages. Nothing is done where there is one.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" > /dev/null; then exit 0; fi
done
if ! command -v apt-get > /dev/null || [ "$(id -u)" != 0 ]; then
  echo "no Chromium here: install it by hand (Debian: apt-get install chromium)" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium > /dev/null
