"""Where AWS has what it has not in each region."""

from __future__ import annotations

GRAFANA_REGIONS = (
    *("ap-northeast-1", "ap-northeast-2", "ap-southeast-1", "ap-southeast-2", "eu-central-1", "eu-west-1"),
    *("eu-west-2", "us-east-1", "us-east-2", "us-west-2"),
)
"""Of Amazon Managed Grafana, as the endpoints of AWS's SDKs have them."""
