"""The typed stack configuration: loaded once, frozen, unknown keys refused.

schema.py holds the settings, rules.py what must hold between them, loading.py turns Pulumi's configuration or a stack
file into them, table.py prints the table of docs/settings.md and json_schema.py what editors read.
"""

from infra.settings.loading import load, load_stack_file
from infra.settings.schema import Settings

__all__ = ["Settings", "load", "load_stack_file"]
