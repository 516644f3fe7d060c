"""Entry point of the Pulumi program: load the settings, build the stack, export."""

from __future__ import annotations

import gc
from datetime import UTC, datetime

import pulumi
from pulumi.runtime.config import get_config_env, get_config_secret_keys_env

from infra import pins, stack
from infra.errors import UserError
from infra.loading import load

# The program lives for seconds and mostly loads resource types; collecting garbage would take a fifth of them.
gc.disable()
try:
    loaded = load(get_config_env(), get_config_secret_keys_env())
    outputs = stack.build(loaded, pins.load(), pulumi.get_stack(), datetime.now(UTC))
except UserError as error:
    # The engine prints a RunError as it is, without a traceback.
    raise pulumi.RunError(str(error)) from None
for name, value in outputs.items():
    if value is not None:
        pulumi.export(name, value)
# At its end Python collects once more, enabled or not; what is frozen it leaves alone.
gc.freeze()
