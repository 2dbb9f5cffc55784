"""Alembic's environment: the runtime knows how."""

from rushes_runtime.migration_history import run_environment

run_environment()
