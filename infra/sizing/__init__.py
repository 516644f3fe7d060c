"""Does this model fit these GPUs, and how many KV-cache tokens does it leave. Pure: no Pulumi, no AWS, no network."""

from __future__ import annotations

from infra.sizing.plan import Plan, plan

__all__ = ["Plan", "plan"]
