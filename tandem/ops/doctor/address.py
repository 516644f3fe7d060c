"""The API's name, and those beside it: hosted zone, delegation, certificate."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from tandem.errors import UserError
from tandem.ops.aws import code_of, is_gone
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error, ok, unknown, warning
from tandem.rules.names import further_hosts
from tandem.settings.schema import Settings

DNS_VARIABLE = "TANDEM_DNS_URL"
"""Another resolver that speaks JSON over HTTPS, where the public one cannot be reached."""

PUBLIC_DNS = "https://dns.google/resolve"
RENEW_WITHIN = timedelta(days=30)


def name_has_an_owner(examination: Examination) -> Iterator[Finding]:
    """A name at all, and one that this stack's settings can prove."""
    balancer = examination.settings.load_balancer
    if balancer.domain_name:
        yield ok("the API has a name", value=balancer.domain_name)
    elif examination.settings.ephemeral:
        yield ok("a test stack: the load balancer's own name, a self-signed certificate")
    else:
        yield warning(
            "clients must trust a self-signed certificate of the load balancer's own name",
            value="no loadBalancer.domainName",
            needed="a domain, for anything but a test",
            fix="`pulumi config set --path tandem:loadBalancer.domainName NAME` and loadBalancer.hostedZoneId "
            "(`aws route53 list-hosted-zones`)",
        )


def zone_is_delegated(examination: Examination) -> Iterator[Finding]:
    """The hosted zone exists, is public, holds the name, and the world asks its name servers."""
    balancer = examination.settings.load_balancer
    if not balancer.hosted_zone_id or not balancer.domain_name:
        return
    try:
        zone = examination.clients("route53").get_hosted_zone(Id=balancer.hosted_zone_id)
    except ClientError as error:
        if not is_gone(error):
            raise
        yield _zone_finding("there is no such hosted zone in this account", balancer.hosted_zone_id, "one of yours")
        return
    name = zone["HostedZone"]["Name"].rstrip(".")
    if zone["HostedZone"].get("Config", {}).get("PrivateZone"):
        yield _zone_finding("the hosted zone is private: nobody outside can resolve it", name, "a public zone")
    elif outside := [host for host in _names(examination.settings) if not f".{host}".endswith(f".{name}")]:
        yield _zone_finding("the hosted zone does not hold the domain", name, f"the zone of {', '.join(outside)}")
    else:
        yield _delegation(examination, name, zone.get("DelegationSet", {}).get("NameServers", []))


def _names(settings: Settings) -> list[str]:
    """Of the main model, each further one and the gateway: all in one hosted zone, and of one certificate."""
    return [settings.load_balancer.domain_name or "", *further_hosts(settings).values()]


def _zone_finding(what: str, value: str, needed: str) -> Finding:
    return error(
        what,
        value=value,
        needed=needed,
        fix="`aws route53 list-hosted-zones`, then `pulumi config set --path tandem:loadBalancer.hostedZoneId ID`",
    )


def _delegation(examination: Examination, zone: str, ours: list[str]) -> Finding:
    """What the public DNS says of the zone's name servers."""
    expected = sorted(server.rstrip(".").lower() for server in ours)
    try:
        found = name_servers(examination, zone)
    except UserError as refused:
        problem = refused.problems[0]
        return unknown(
            f"{zone}: {problem.wrong}",
            value=str(problem.value),
            needed="an answer of the public DNS",
            fix=f"`dig NS {zone}` elsewhere must name {', '.join(expected)}; or set {DNS_VARIABLE}",
        )
    if not set(found) & set(expected):
        return error(
            f"{zone} is not delegated to the hosted zone, so its certificate is never issued",
            value=", ".join(found) or "no name servers",
            needed=", ".join(expected),
            fix=f"set these name servers where {zone} is registered (an NS record in the zone above it)",
        )
    return ok(f"{zone} is delegated to the hosted zone", value=", ".join(found))


def name_servers(examination: Examination, zone: str) -> list[str]:
    """The zone's name servers as the world sees them, in lower case.

    Raises:
        UserError: the resolver cannot be reached or answers nonsense.
    """
    resolver = os.environ.get(DNS_VARIABLE) or PUBLIC_DNS
    key = f"DNS of {zone}"
    response = examination.http.get(f"{resolver}?{urlencode({'name': zone, 'type': 'NS'})}", key=key)
    answer: dict[str, Any] = json.loads(response.content) if response.status_code == 200 else {}
    records = answer.get("Answer", ())
    return sorted(record["data"].rstrip(".").lower() for record in records if record.get("type") == 2)


def certificate_is_valid(examination: Examination) -> Iterator[Finding]:
    """A certificate that was brought along: issued, for this name, not about to end."""
    balancer = examination.settings.load_balancer
    if not balancer.certificate_arn:
        return
    try:
        found = examination.clients("acm").describe_certificate(CertificateArn=balancer.certificate_arn)["Certificate"]
    except ClientError as refused:
        if not is_gone(refused) and code_of(refused) != "ValidationException":
            raise
        yield error(
            "there is no such certificate in this account and region",
            value=balancer.certificate_arn,
            needed=f"a certificate in {examination.region}",
            fix=f"`aws acm list-certificates --region {examination.region}`, then `pulumi config set --path "
            "tandem:loadBalancer.certificateArn ARN`",
        )
        return
    wrong = list(certificate_problems(examination, found))
    yield from wrong
    if not wrong:
        yield ok("the certificate is valid", value=found["DomainName"])


def certificate_problems(examination: Examination, found: dict[str, Any]) -> Iterator[Finding]:
    """What is wrong with a certificate as ACM describes it."""
    region, arn = examination.region, found["CertificateArn"]
    names = [found["DomainName"], *found.get("SubjectAlternativeNames", ())]
    if found["Status"] != "ISSUED":
        yield error(
            "the certificate is not issued, and a load balancer refuses it",
            value=found["Status"],
            needed="ISSUED",
            fix=f"`aws acm describe-certificate --region {region} --certificate-arn {arn}` shows the DNS record that "
            "proves the domain",
        )
    needed = _names(examination.settings)
    if outside := [domain for domain in needed if not any(covers(name, domain) for name in names)]:
        others = f" --subject-alternative-names {' '.join(needed[1:])}" if needed[1:] else ""
        yield error(
            f"the certificate is not for {', '.join(outside)}",
            value=", ".join(dict.fromkeys(names)),
            needed=", ".join(needed),
            fix=f"`aws acm request-certificate --region {region} --domain-name {needed[0]}{others} "
            "--validation-method DNS`",
        )
    ends = found.get("NotAfter")
    if ends and ends - examination.now < RENEW_WITHIN and found.get("Type") == "IMPORTED":
        past = ends <= examination.now
        yield Finding(
            severity="error" if past else "warning",
            what="the imported certificate has ended" if past else "the imported certificate ends soon",
            value=f"{ends:%Y-%m-%d}",
            needed=f"{RENEW_WITHIN.days} days at least; ACM does not renew what was imported",
            fix=f"`aws acm import-certificate --region {region} --certificate-arn {arn} --certificate fileb://... "
            "--private-key fileb://...`",
        )


def covers(certified: str, domain: str) -> bool:
    """Whether a certificate's name is for a domain; a wildcard stands for exactly one label."""
    if certified.startswith("*."):
        return domain.partition(".")[2] == certified[2:]
    return certified == domain
