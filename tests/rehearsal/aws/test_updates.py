"""Changes in place, seen by boto3."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rehearsal.aws import AwsProvider
from rehearsal.aws.account import AwsError, Event, Region
from rehearsal.moto import SimulatedAccount
from tests.calls import recorded, tags_given
