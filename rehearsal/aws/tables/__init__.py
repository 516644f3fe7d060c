"""The tables: one row per resource type, one file per family of services."""

from __future__ import annotations

from collections.abc import Mapping

from rehearsal.aws.row import ResourceType
from rehearsal.aws.tables import network

_ROWS = (*network.ROWS,)

TABLE: Mapping[str, ResourceType] = {row.type: row for row in _ROWS}
"""All rows, by Pulumi's type token."""
