"""What moto 5.2.5 works out anew, and need not: two thirds of a moto server's processor time under our tests.

Nothing here changes an answer.

Stands for: nothing, it only makes moto quicker.
Held by: nothing, no answer changes.
"""

from __future__ import annotations

import gc
from copy import copy
from functools import cache
from typing import Any

from moto.core import responses
from moto.core.utils import method_names_from_class
from moto.iam.models import AWSManagedPolicy, IAMBackend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

GARBAGE = (100_000, 20, 20)
"""gc.set_threshold: moto's modules stay, and Python's own 700, 10 and 10 look at them again and again."""


def quicker() -> None:
    """Patches moto; once, before it serves."""
    _policies_of_aws()
    _dispatch()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


def _policies_of_aws() -> None:
    """Every IAM backend (one an account and partition, made anew by each reset) parses AWS's 1,580 policies: 0.15 s.

    Nobody can edit those policies. What changes is how often one is attached, a number, so a shallow copy is its own.
    """
    make = IAMBackend._init_aws_policies

    @cache
    def made(account_id: str, region_name: str) -> list[AWSManagedPolicy]:
        bare = IAMBackend.__new__(IAMBackend)
        bare.account_id, bare.region_name = account_id, region_name
        return make(bare)  # type: ignore[return-value]

    def copies(self: IAMBackend) -> list[Any]:
        return [copy(policy) for policy in made(self.account_id, self.region_name)]

    IAMBackend._init_aws_policies = copies


def _dispatch() -> None:
    """Each request lists moto's directory to find its service, and inspects a class of hundreds of methods."""
    responses.__dict__["method_names_from_class"] = cache(method_names_from_class)
    DomainDispatcherApplication.get_backend_for_host = cache(DomainDispatcherApplication.get_backend_for_host)
