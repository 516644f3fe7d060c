"""The load balancer: TLS, listed paths, a limit on each address; three kinds of certificate; private access logs."""

from __future__ import annotations

import functools
import json
from types import MappingProxyType
from typing import Any

from infra.components.load_balancer import LoadBalancer, LoadBalancerArgs
from tests.infra.declared import ACCOUNT, Declared, declared

PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/models", "/v1/models/*"]


@functools.cache
def balancer(**changes: Any) -> Declared:
    args: dict[str, Any] = {
        "account_id": ACCOUNT,
        "vpc_id": "vpc-1",
        "subnet_ids": ["subnet-a", "subnet-b"],
        "security_group_id": "sg-lb",
        "paths": MappingProxyType({"main": PATHS}),
        "target_port": 8080,
        "health_check_path": "/healthz",
        "idle_timeout_seconds": 310,
        "deregistration_delay_seconds": 290,
    }
    return declared(lambda: LoadBalancer("b", LoadBalancerArgs(**args | changes)))


SELF_SIGNED = {"tls:index/privateKey:PrivateKey": 1, "tls:index/selfSignedCert:SelfSignedCert": 1}
ACCESS_LOGS = {
    "tandem:index:AccessLogs": 1,
    "aws:s3/bucket:Bucket": 1,
    "aws:s3/bucketAbac:BucketAbac": 1,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": 1,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": 1,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": 1,
    "aws:s3/bucketPolicy:BucketPolicy": 1,
}
ALWAYS = {
    "tandem:index:LoadBalancer": 1,
    "tandem:index:Certificate": 1,
    "tandem:index:Firewall": 1,
    "aws:lb/loadBalancer:LoadBalancer": 1,
    "aws:lb/targetGroup:TargetGroup": 1,
    "aws:lb/listener:Listener": 2,
    "aws:lb/listenerRule:ListenerRule": 2,
    "aws:wafv2/webAcl:WebAcl": 1,
    "aws:wafv2/webAclAssociation:WebAclAssociation": 1,
}


def test_exact_resources_without_a_domain() -> None:
    assert balancer().counts() == ALWAYS | ACCESS_LOGS | SELF_SIGNED | {"aws:acm/certificate:Certificate": 1}


def test_exact_resources_with_a_domain() -> None:
    assert balancer(domain_name="llm.example.com", hosted_zone_id="Z0123456789").counts() == ALWAYS | ACCESS_LOGS | {
        "aws:acm/certificate:Certificate": 1,
        "aws:acm/certificateValidation:CertificateValidation": 1,
        "aws:route53/record:Record": 2,
    }


def test_exact_resources_with_a_certificate_of_ones_own_and_no_logs() -> None:
    arn = "arn:aws:acm:us-east-1:123456789012:certificate/0a"
    found = balancer(domain_name="llm.example.com", certificate_arn=arn, access_log_retention_days=None)
    assert found.counts() == ALWAYS
    assert found.of("Listener")["b-https"]["certificateArn"] == arn
    assert "accessLogs" not in found.one("LoadBalancer")


def test_https_forwards_nothing_by_itself_and_http_only_redirects() -> None:
    listeners = balancer().of("Listener")
    https, http = listeners["b-https"], listeners["b-http"]
    assert (https["port"], https["protocol"]) == (443, "HTTPS")
    assert https["sslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
    (action,) = https["defaultActions"]
    assert (action["type"], action["fixedResponse"]["statusCode"]) == ("fixed-response", "404")
    assert json.loads(action["fixedResponse"]["messageBody"])["error"]["code"] == 404
    (redirect,) = http["defaultActions"]
    assert (redirect["type"], redirect["redirect"]["statusCode"]) == ("redirect", "HTTP_301")


def test_without_a_redirect_nothing_listens_on_80() -> None:
    found = balancer(redirect_http=False)
    assert [one["port"] for one in found.of("Listener").values()] == [443]


def test_only_the_listed_paths_are_forwarded() -> None:
    rules = balancer().of("ListenerRule")
    assert [path for rule in rules.values() for path in rule["conditions"][0]["pathPattern"]["values"]] == PATHS
    assert sorted(rule["priority"] for rule in rules.values()) == [49_901, 49_902]
    assert {action["type"] for rule in rules.values() for action in rule["actions"]} == {"forward"}


def test_further_models_have_host_names_of_their_own_which_come_first() -> None:
    found = balancer.__wrapped__(
        domain_name="llm.example.com",
        hosted_zone_id="Z0123456789",
        further={"small": "small.example.com"},
        paths={model: [f"/v1/{i}" for i in range(5)] for model in ("main", "small")},
        target_type="ip",
    )
    groups = found.of("TargetGroup")
    assert {name: (group["targetType"], group["tags"]["tandem:model"]) for name, group in groups.items()} == {
        "b": ("ip", "main"),
        "small": ("ip", "small"),
    }
    rules = sorted(found.of("ListenerRule").values(), key=lambda rule: rule["priority"])
    host = {"hostHeader": {"values": ["small.example.com"]}}
    assert [rule["conditions"] for rule in rules] == [
        [host, {"pathPattern": {"values": ["/v1/0", "/v1/1", "/v1/2", "/v1/3"]}}],
        [host, {"pathPattern": {"values": ["/v1/4"]}}],
        [{"pathPattern": {"values": [f"/v1/{i}" for i in range(5)]}}],
    ]
    assert [rule["actions"][0]["targetGroupArn"].rpartition("/")[2] for rule in rules] == ["small", "small", "b"]
    assert found.of("Record")["small.example.com"]["name"] == "small.example.com"
    (record,) = (urn for urn in found.urns("Record") if urn.endswith("::small.example.com"))
    assert {urn for urn in found.urns("ListenerRule") if "small" in urn} <= found.before(record)
    assert found.of("Record")["b-validation-small.example.com"]["zoneId"] == "Z0123456789"
    assert found.one("Certificate")["subjectAlternativeNames"] == ["small.example.com"]


def test_a_host_name_keeps_its_record_whichever_model_is_behind_it() -> None:
    """The engine makes first and removes then, and Route 53 has one record of a name."""

    def records(main: str, **further: str) -> Any:
        paths = dict.fromkeys(("main", *further), PATHS)
        found = balancer.__wrapped__(domain_name=main, hosted_zone_id="Z0123456789", further=further, paths=paths)
        return {label: one for label, one in found.of("Record").items() if one["type"] == "A"}

    named = records("llm.example.com", small="small.example.com")
    assert records("llm.example.com", tiny="small.example.com") == named
    assert records("small.example.com", small="llm.example.com") == named
    assert {label: one["name"] for label, one in named.items()} == {label: label for label in named}


def test_timeouts_and_the_health_check_come_from_the_arguments() -> None:
    found = balancer()
    assert found.one("LoadBalancer")["idleTimeout"] == 310
    group = found.one("TargetGroup")
    assert (group["deregistrationDelay"], group["port"], group["healthCheck"]["path"]) == (290, 8080, "/healthz")
    assert group["loadBalancingAlgorithmType"] == "least_outstanding_requests"


def test_headers_that_could_smuggle_a_request_are_dropped() -> None:
    assert balancer().one("LoadBalancer")["dropInvalidHeaderFields"] is True


def test_the_firewall_limits_each_address() -> None:
    found = balancer(requests_per_minute_per_ip=100)
    (rule,) = found.one("WebAcl")["rules"]
    assert rule["statement"]["rateBasedStatement"] == {
        "limit": 100,
        "evaluationWindowSec": 60,
        "aggregateKeyType": "IP",
    }
    response = rule["action"]["block"]["customResponse"]
    assert response["responseCode"] == 429
    assert response["responseHeaders"] == [{"name": "Retry-After", "value": "60"}]
    assert found.one("WebAclAssociation")["resourceArn"].endswith("LoadBalancer/b")


def test_the_self_signed_certificate_is_made_out_to_the_balancer() -> None:
    found = balancer()
    assert found.one("SelfSignedCert")["dnsNames"] == ["dev-1.us-east-1.elb.amazonaws.com"]


def test_a_domain_is_proven_and_named_in_its_zone() -> None:
    found = balancer(domain_name="llm.example.com", hosted_zone_id="Z0123456789")
    records = found.of("Record")
    assert "Record" in found.retained()  # the proof, by which every certificate of the name is renewed
    assert "Record" not in balancer().retained()
    assert {record["zoneId"] for record in records.values()} == {"Z0123456789"}
    assert records["llm.example.com"]["name"] == "llm.example.com"
    assert records["llm.example.com"]["aliases"][0]["evaluateTargetHealth"] is True
    assert (records["b-validation"]["type"], records["b-validation"]["records"]) == ("CNAME", ["_0.aws."])


def test_access_logs_are_private_encrypted_and_expire() -> None:
    found = balancer(access_log_retention_days=30, keep_on_destroy=False)
    block = found.one("BucketPublicAccessBlock")
    assert [v for k, v in block.items() if k != "bucket"] == [True] * 4
    (rule,) = found.one("BucketLifecycleConfiguration")["rules"]
    assert (rule["status"], rule["expiration"]) == ("Enabled", {"days": 30})
    allow, deny = json.loads(found.one("BucketPolicy")["policy"])["Statement"]
    assert allow["Principal"] == {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}
    assert allow["Action"] == ["s3:PutObject"]
    assert allow["Resource"] == ["arn:aws:mock:us-east-1:123456789012:Bucket/b-access-logs/alb/AWSLogs/123456789012/*"]
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert found.one("Bucket")["forceDestroy"] is True
    assert found.retained() == {"BucketAbac"}


def test_access_logs_that_stay_keep_what_protects_them() -> None:
    assert balancer(access_log_retention_days=30, keep_on_destroy=True).retained() == {
        *(kind.rpartition(":")[2] for kind in ACCESS_LOGS if kind.startswith("aws:"))
    }


def test_a_certificate_for_two_names_proves_each_in_its_zone() -> None:
    others = MappingProxyType({"llm.example.org": "ZORG"})
    found = balancer.__wrapped__(  # a mapping cannot be remembered
        domain_name="us.llm.example.com", hosted_zone_id="Z0123456789", shared_names=others
    )
    certificate = found.one("Certificate")
    assert (certificate["domainName"], certificate["subjectAlternativeNames"]) == (
        "us.llm.example.com",
        ["llm.example.org"],
    )
    proofs = {
        name: (record["zoneId"], record["name"])
        for name, record in found.of("Record").items()
        if name != "us.llm.example.com"
    }
    assert proofs == {
        "b-validation": ("Z0123456789", "_1.x."),
        "b-validation-llm.example.org": ("ZORG", "_0.x."),
    }
    assert len(found.one("CertificateValidation")["validationRecordFqdns"]) == 2


def test_the_health_check_is_forwarded_only_where_it_is_asked_from_outside() -> None:
    assert "b-health" not in balancer().of("ListenerRule")
    rule = balancer(public_health_check=True).of("ListenerRule")["b-health"]
    assert (rule["priority"], rule["conditions"]) == (50_000, [{"pathPattern": {"values": ["/healthz"]}}])
