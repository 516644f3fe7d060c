"""The tables: one row per resource type, one file per family of services."""

from __future__ import annotations

from collections.abc import Mapping

from pulumi_rehearsal.aws.row import ResourceType
from pulumi_rehearsal.aws.tables import (
    compute,
    containers,
    databases,
    edge,
    eks,
    endpoints,
    file_storage,
    identity,
    instances,
    load_balancing,
    messaging,
    network,
    object_storage,
    observing,
    operations,
    secrets,
    security_groups,
)

_FAMILIES = (
    network,
    security_groups,
    endpoints,
    compute,
    instances,
    load_balancing,
    edge,
    file_storage,
    object_storage,
    identity,
    secrets,
    messaging,
    operations,
    observing,
    eks,
    databases,
    containers,
)

TABLE: Mapping[str, ResourceType] = {row.type: row for family in _FAMILIES for row in family.ROWS}
"""All rows, by Pulumi's type token."""
