#!/bin/sh
# Builds the wheels of Rushes, installs them under /install as they will stand in the image, and writes the SBOM.
set -eu
cd /build

tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels \
  ./schemas ./services/runtime ./services/normalizer ./services/syncer ./services/kitsu
tools/bin/pip --python /opt/rushes/bin/python install --quiet --no-compile --no-index --no-deps \
  --root /install --no-warn-script-location --ignore-installed --report own.json wheels/*.whl
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/install/opt/rushes/lib/python3.11/site-packages \
  /opt/rushes/bin/python compile.py /install rushes_normalizer.cli rushes_syncer.cli rushes_kitsu.cli \
  rushes_normalizer.command_line rushes_syncer.command_line rushes_kitsu.command_line \
  rushes_normalizer.picture_child.answers rushes_normalizer.picture_child.exr rushes_normalizer.picture_child.radiance \
  sqlalchemy.dialects.postgresql.asyncpg aiobotocore.session aiobotocore.httpsession
mkdir -p /install/usr/share/sbom
python3.11 sbom.py status.d installed.json own.json > /install/usr/share/sbom/rushes.cdx.json
