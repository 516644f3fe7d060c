"""Which API keys a server may be started with. For hosts and pods alike.

vLLM reads its keys from a configuration file into its own arguments: one that begins with - would become a flag, and
be printed with the error. Without any it serves everybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping


def refused(keys: Mapping[str, object]) -> str:
    """Why no server may start with these keys, by client name, without showing one; empty when it may."""
    wrong = [name for name, key in keys.items() if not (isinstance(key, str) and re.fullmatch("[!-,.-~][!-~]*", key))]
    if wrong:
        return f"API key of {', '.join(wrong)}: must be printable ASCII without spaces, and not begin with -"
    return "" if keys else "no API key: must be a JSON object, client name to key"
