"""What the chart's tests import beside the development environment; its own packages come first."""

from __future__ import annotations

import sys

from tests.chart.schema_packages import schema_packages

sys.path.append(str(schema_packages()))
