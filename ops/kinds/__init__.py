"""The table of resource types: one row each, one file per family."""

from __future__ import annotations

from collections.abc import Mapping

from ops.kinds import network, serving, support
from ops.kinds.kind import Kind

KINDS: Mapping[str, Kind] = {row.type: row for row in (*network.ROWS, *serving.ROWS, *support.ROWS)}
"""All rows, by Pulumi's type token."""
