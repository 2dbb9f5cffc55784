"""Alembic's environment: the runtime knows how."""

from rushes_runtime.migrations import run_environment

run_environment()
