"""Entry point of the Pulumi program: load the settings, build the stack, export."""

from __future__ import annotations

import gc
import sys
from datetime import UTC, datetime

import pulumi
from pulumi.runtime.config import get_config_env, get_config_secret_keys_env

from infra import resource_types, stack
from tandem import chart_files, pins
from tandem.checks import check
from tandem.errors import UserError
from tandem.loading import load
from tandem.platforms import platform_of

SAID = 32
"""Exit status of a program that has told people what is wrong, to which the engine adds nothing; to that of a RunError
it adds a line of its own (pythonProcessExitedAfterShowingUserActionableMessage in
https://github.com/pulumi/pulumi/blob/master/sdk/python/cmd/pulumi-language-python/main.go)."""

# The program lives for seconds and mostly loads resource types; collecting garbage would take a fifth of them.
gc.disable()
resource_types.load_one_by_one()
try:
    loaded = load(get_config_env(), get_config_secret_keys_env())
    pinned = pins.load()
    wanted = {name: pinned.kubernetes.charts[name] for name in platform_of(loaded).charts}
    if lacking := chart_files.lacking(wanted):
        check(loaded, pinned, pulumi.get_stack(), warn=lambda _: None)  # a mistake is told before a repository is asked
        from tandem import charts  # whose way to repositories takes an eighth of a second to import

        charts.fetch(lacking)
    outputs = stack.build(loaded, pinned, pulumi.get_stack(), datetime.now(UTC))
except UserError as error:
    pulumi.log.error(str(error))
    sys.exit(SAID)
for name, value in outputs.items():
    if value is not None:
        pulumi.export(name, value)
# At its end Python collects once more, enabled or not; what is frozen it leaves alone.
gc.freeze()
