"""What all of IAM's policies have in common."""

from __future__ import annotations

POLICY_VERSION = "2012-10-17"
"""Of the policy language: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html"""
