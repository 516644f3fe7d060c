"""Checks that need no AWS: those of `pulumi preview`, and what only a clock can tell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from tandem import checks, lifetime
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, from_problem, ok, warning


def settings_hold(examination: Examination) -> Iterator[Finding]:
    """What stops `pulumi preview`: sizing, pins, driver gate, the stack's name."""
    settings, pins = examination.settings, examination.pins
    sized = checks.size(settings)
    found = checks.problems(settings, pins, examination.stack, sized)
    yield from (from_problem(problem) for problem in found)
    for text in checks.surprises(settings, sized):
        yield warning(text, fix="see docs/settings.md")
    if not found:
        tokens = f"{sized.kv_cache_tokens} KV-cache tokens a replica" if sized.kv_cache_tokens else "not sized"
        model = settings.inference.model
        yield ok(f"`pulumi preview` accepts the settings; {model}: {tokens}")


def versions_are_pinned(examination: Examination) -> Iterator[Finding]:
    """The image's digest, the weights' commit, packages and machine image: what hosts run must not move by itself."""
    settings, pins = examination.settings, examination.pins
    if settings.require_pins:
        return  # then an empty pin stops `preview`, and settings_hold has said so
    missing = checks.missing_pins(settings, pins)
    for problem in missing:
        yield warning(
            f"{problem.key} is not pinned, so hosts take the newest of the day",
            value="empty",
            needed=problem.allowed,
            fix=f"`{problem.command}`",
            code=versions_are_pinned.__name__,
        )
    if not missing:
        yield ok("all versions are pinned", value=pins.vllm.reference)


def has_time_left(examination: Examination) -> Iterator[Finding]:
    """A moment of expiry that is past: the schedule would stop the fleet as soon as it comes up."""
    guard, now = examination.settings.cost_guard, examination.now
    ends = lifetime.expires_at(examination.settings, now)
    if ends is None:
        yield ok("nothing stops this stack by itself, as its settings say")
        return
    left = ends - now
    moment = f"{ends:%Y-%m-%dT%H:%MZ}"
    if left < timedelta(hours=1) and (
        guard.expires_at or any(own.fleet.capacity_block for own in examination.settings.groups.values())
    ):
        past = left <= timedelta()
        yield Finding(
            severity="error" if past else "warning",
            what="the stack has expired before it comes up" if past else "hosts may expire before their first token",
            value=moment,
            needed="an hour from now at least; a first start takes 15 to 40 minutes",
            fix="`pulumi config set --path tandem:costGuard.expiresAt MOMENT`, or a new Capacity Block",
        )
    else:
        yield ok("the fleet is set to 0 at", value=moment)
