#!/bin/sh
# Adds what the build that is mounted at /mnt has made under /app. What is there already is left alone, so that
# images share the layers that have it. Packages' own tests and type stubs stay behind: nothing runs or reads them.
set -eu
tar -C /mnt --exclude=tests --exclude=SelfTest --exclude='*.pyi' --exclude=app/.lock -c app | tar -C / -x --skip-old-files
