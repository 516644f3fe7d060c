"""Lines on what account and project say: whom alarms and budget tell, who may ask, who asks from outside, what a load
test found, until when."""

from __future__ import annotations

from datetime import timedelta

from tandem import loads
from tandem import type_tokens as types
from tandem.ops import figures, key_store
from tandem.ops.doctor.address import certificate_problems, name_has_an_owner
from tandem.ops.doctor.billing import tag_is_activated
from tandem.ops.doctor.finding import Finding
from tandem.ops.figures import Figure
from tandem.ops.keys import Client
from tandem.ops.ready.visit import Seen, Unmet, Visit
from tandem.ops.status import Unknown
from tandem.settings.types import OWN_CLIENTS
from tandem.tags import DECLARED_KEYS, ISSUED_KEYS

PENDING = "PendingConfirmation"
"""In the place of a subscription's ARN until who has the address agrees
(https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.confirm.html)."""
CANARY = (Figure(name="canary", metric="CanaryFailed", statistic="Maximum"),)
RECENT = timedelta(days=30)
"""Of a load test: models, versions and traffic change within a month."""


def alarms(visit: Visit) -> Seen:
    """Those that call are on, and each address has agreed to hear them; AWS forgets one that has not after days."""
    found = [alarm for type_ in (types.ALARM, types.COMPOSITE_ALARM) for alarm in visit.ours(type_)]
    topics = {alarm.name: [one for one in alarm.facts.get("AlarmActions", ()) if ":sns:" in one] for alarm in found}
    if not any(topics.values()):
        return Unmet(
            "no alarm calls anybody", "`pulumi config set --path tandem:alarms.enabled true`, then `pulumi up`"
        )
    if off := [one.name for one in found if topics[one.name] and not one.facts.get("ActionsEnabled", True)]:
        on = f"`aws cloudwatch enable-alarm-actions --region {visit.region} --alarm-names {' '.join(off)}`"
        return Unmet(f"switched off: {', '.join(off)}", on)
    listing = visit.clients("sns").get_paginator("list_subscriptions_by_topic")
    called = sorted({topic for one in topics.values() for topic in one})
    told = [one for topic in called for one in listing.paginate(TopicArn=topic).search("Subscriptions[]")]
    hear = {one["Endpoint"] for one in told if one["SubscriptionArn"] != PENDING}
    wanted = {*visit.settings.cost_guard.alert_emails, *visit.settings.alarms.hooks, *(one["Endpoint"] for one in told)}
    if deaf := wanted - hear:
        return Unmet(f"not confirmed: {', '.join(sorted(deaf))}")
    return ", ".join(sorted(hear)) if hear else Unmet("nobody has subscribed", "tandem:costGuard.alertEmails")


def limits(visit: Visit) -> Seen:
    """The firewall bounds addresses, and each client has a bound of its own, so that none takes the others' share."""
    waf, balancers = visit.clients("wafv2"), visit.ours(types.LOAD_BALANCER)
    if not all(waf.get_web_acl_for_resource(ResourceArn=one.arn).get("WebACL") for one in balancers):
        return Unmet("no firewall bounds what an address asks", "`pulumi up --refresh`")
    clients = _clients(visit, ISSUED_KEYS) | _clients(visit, DECLARED_KEYS)
    free = [name for name, one in clients.items() if one.requests_per_second is None and one.streams is None]
    return Unmet(f"no limit of their own: {', '.join(free)}") if free else ", ".join(clients) or "no client has a key"


def keys(visit: Visit) -> Seen:
    """Declared keys are in the stack's file; issued ones in one secret of one region, unless it has a replica."""
    issued = _clients(visit, ISSUED_KEYS)
    if not issued:
        return "no key is in the stack's secret alone"
    found = [
        visit.clients("secretsmanager").describe_secret(SecretId=store.arn)
        for store in key_store.stores(visit.clients, visit.stack, visit.life)
    ]
    copies = [
        copy["Region"] for one in found for copy in one.get("ReplicationStatus", ()) if copy["Status"] == "InSync"
    ]
    one_place = f"in one secret of one region: {', '.join(issued)}"
    return f"a copy in {', '.join(copies)}" if copies else Unmet(one_place)


def _clients(visit: Visit, name: str) -> dict[str, Client]:
    """Those of one document whose keys work. Raises UserError where the text is none."""
    documents = [store.read()[0] for store in key_store.stores(visit.clients, visit.stack, visit.life, name)]
    every = [pair for document in documents for pair in document.clients.items()]
    return {name: one for name, one in every if one.working(visit.now) and not name.startswith(OWN_CLIENTS)}


def budget(visit: Visit) -> Seen:
    """A budget with notices, whose tag counts, or a cap that stops the stack. A notice has somebody whom it tells
    (https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_CreateNotification.html)."""
    found, cap = visit.ours(types.BUDGET), visit.settings.cost_guard.max_usd
    if not found:
        stops = cap and visit.ours(types.SCHEDULE_GROUP)
        return f"it stops at ${cap:,.2f}" if stops else Unmet("no budget, and no cap that stops it")
    account, name = found[0].facts["AccountId"], found[0].name
    listing = visit.clients("budgets").describe_notifications_for_budget(AccountId=account, BudgetName=name)
    if not listing.get("Notifications"):
        return Unmet(f"{name} tells nobody", "tandem:costGuard.alertEmails, then `pulumi up --refresh`")
    return _as_seen(list(tag_is_activated(visit))) or f"{name}, {len(listing['Notifications'])} notices"


def canary(visit: Visit) -> Seen:
    """Who asks while no client does: each server itself, where the stack has a canary, or the outside check of a global
    name."""
    if any(visit.settings.canaries.values()):
        return _passed(visit)
    found = visit.ours(types.HEALTH_CHECK)
    if not found:
        if not any(inference.makes_tokens for inference, _ in visit.settings.scaled.values()):
            return Unknown("a canary asks for texts, which no model here makes: globalName.outsideCheck, or your own")
        return Unmet("none: nothing asks it but clients")
    status = visit.clients("route53").get_health_check_status(HealthCheckId=found[0].id)["HealthCheckObservations"]
    said = [one["StatusReport"]["Status"] for one in status]
    bad = [text for text in said if not text.startswith("Success")]
    return Unmet(bad[0], f"`tandem smoke {visit.stack}`") if bad else f"{found[0].name}, by {len(said)} checkers"


def _passed(visit: Visit) -> Seen:
    """What machines told of their canaries in the last half hour, in which each tells thirty times."""
    tried = [name for name, one in visit.settings.canaries.items() if one]
    told = {name: figures.told(visit.clients, visit.stack, name, visit.now, CANARY)["canary"] for name in tried}
    if silent := [name for name, values in told.items() if not values]:
        return Unknown(f"no machine has told of it: {', '.join(silent)}")
    if wrong := [f"{name}: {values[0][1]:.0f} failed" for name, values in told.items() if values[0][1]]:
        return Unmet(", ".join(wrong), f"`tandem canary {visit.stack}`")
    return f"{', '.join(tried)} passed, on each machine that tells"


def certificate(visit: Visit) -> Seen:
    """A name of its own, and what the load balancer shows for it."""
    if not visit.settings.load_balancer.domain_name:
        return _as_seen(list(name_has_an_owner(visit))) or "an ephemeral stack may sign its own"
    elb, acm = visit.clients("elbv2"), visit.clients("acm")
    listeners = [
        one
        for lb in visit.ours(types.LOAD_BALANCER)
        for one in elb.describe_listeners(LoadBalancerArn=lb.arn)["Listeners"]
    ]
    shown = [arn["CertificateArn"] for one in listeners for arn in one.get("Certificates", ())]
    found = [acm.describe_certificate(CertificateArn=arn)["Certificate"] for arn in shown]
    wrong = [finding for one in found for finding in certificate_problems(visit, one)]
    return _as_seen(wrong) or ", ".join(one["DomainName"] for one in found) or Unmet("the load balancer shows none")


def expiry(visit: Visit) -> Seen:
    """What is ephemeral ends by itself, as the account says."""
    ends = visit.status.expires_at
    return Unmet("nothing ends it") if ends == "never" and visit.settings.ephemeral else ends


def load_test(visit: Visit) -> Seen:
    """The last one kept the objectives, and was whole. Whether at the peak, who knows the peak sees by the rate."""
    try:
        found = loads.newest(visit.project, visit.stack)
    except ValueError as error:
        return Unknown(f"{error}")
    if found is None or visit.now - found.at > RECENT:
        return Unmet(f"the last was {(visit.now - found.at).days} days ago" if found else "none was made")
    if not found.document.get("whole", True):
        return Unmet(f"that of {found.at:%Y-%m-%d} was interrupted")
    if not found.kept:
        more = "more servers (`tandem load` proposes how many by --peak), or other objectives"
        return Unmet(f"that of {found.at:%Y-%m-%d} did not keep the objectives", more)
    return f"{found.rate:g} requests a second kept the objectives on {found.at:%Y-%m-%d}"


def _as_seen(findings: list[Finding]) -> Unmet | None:
    """What the doctor finds wrong."""
    wrong = [one for one in findings if one.severity != "ok"]
    return Unmet("; ".join(f"{one.what}: {one.value}" for one in wrong), wrong[0].fix) if wrong else None
