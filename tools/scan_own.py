"""A plugin of detect-secrets: keys of clients and tokens of the model hub, which it does not know, and private keys,
which it looks for in files of up to 8 KB only."""

from __future__ import annotations

import re

from detect_secrets.plugins.base import RegexBasedDetector  # of tools/scan.py's own environment


class Keys(RegexBasedDetector):
    secret_type = "Key of a client, token of the hub, or private key"  # noqa: S105  (a name)
    denylist = (
        re.compile(r"\btdm_[A-Za-z0-9_-]{43}\b"),
        re.compile(r"\bhf_[A-Za-z0-9]{34}\b"),
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*$"),
    )
