"""The typed stack configuration: frozen, unknown keys refused.

schema.py holds the settings, with the larger sections in files beside it; parsing.py turns Pulumi's configuration or a
stack file into them, table.py prints the table of docs/settings.md and json_schema.py what editors read. What must hold
between settings is in tandem/rules/; tandem/loading.py does both.
"""

from tandem.settings.schema import Settings

__all__ = ["Settings"]
