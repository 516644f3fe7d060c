"""Simulated AWS for the real Pulumi engine: every resource is created with boto3 in a moto server.

- `tables/` holds one row per resource type: which operations create, read, change and delete it.
- `checks/` is the list of what AWS enforces and moto does not.
- `row.py` says what a row is, `lifecycle.py` carries it out, `provider.py` is what the engine talks to.

What moto cannot hold is recorded, never dropped in silence: `AwsProvider.report()` says what and how much.
"""

from pulumi_rehearsal.aws.provider import AwsProvider

__all__ = ["AwsProvider"]
