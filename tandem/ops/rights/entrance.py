"""Rows: the load balancer with its certificate, firewall and name."""

from __future__ import annotations

from tandem.ops.rights.right import REAPER, REMOVERS, by_name, by_nothing, by_request, by_tag

_BALANCERS = "listener/app/* listener-rule/app/* loadbalancer/app/* targetgroup/*"

ROWS = (
    by_request(
        "MakeBalancers",
        "elasticloadbalancing: CreateLoadBalancer CreateTargetGroup",
        "loadbalancer/app/* targetgroup/*",
        "each carries tandem's tags from the start",
    ),
    by_request(
        "TagBalancersWithCreation",
        "elasticloadbalancing: AddTags",
        _BALANCERS,
        "tags are given with the call that creates",
        when={
            "StringEquals": {
                "elasticloadbalancing:CreateAction": [
                    "CreateListener",
                    "CreateLoadBalancer",
                    "CreateRule",
                    "CreateTargetGroup",
                ]
            }
        },
    ),
    by_tag(
        "ChangeBalancers",
        "elasticloadbalancing: AddTags CreateListener CreateRule ModifyListener ModifyListenerAttributes "
        "ModifyLoadBalancerAttributes ModifyRule ModifyTargetGroup ModifyTargetGroupAttributes RemoveTags "
        "SetRulePriorities SetSecurityGroups SetSubnets",
        _BALANCERS,
        "listeners, rules and attributes of one's own",
    ),
    by_tag(
        "RemoveBalancers",
        "elasticloadbalancing: DeleteListener DeleteLoadBalancer DeleteRule DeleteTargetGroup",
        _BALANCERS,
        "a protected load balancer is refused by AWS all the same",
        who=REMOVERS,
    ),
    by_tag(
        "LiftProtection",
        "elasticloadbalancing: ModifyLoadBalancerAttributes",
        "loadbalancer/app/*",
        "of ephemeral stacks alone, which have none to begin with",
        who=(REAPER,),
    ),
    by_nothing(
        "GuardBalancers",
        "elasticloadbalancing: SetWebAcl",
        "*",
        "the firewall is given to the load balancer; this action knows no resources",
    ),
    by_request(
        "MakeFirewalls",
        "wafv2: CreateWebACL TagResource",
        "regional/webacl/*",
        "each carries tandem's tags from the start",
    ),
    by_tag(
        "ChangeFirewalls",
        "wafv2: AssociateWebACL TagResource UntagResource UpdateWebACL",
        "regional/webacl/*",
        "rules of one's own",
    ),
    by_nothing(
        "GiveFirewalls",
        "wafv2: AssociateWebACL DisassociateWebACL",
        "loadbalancer/app/*",
        "WAF takes no tags of a load balancer; without it another's firewall could not be taken away either",
        of="elasticloadbalancing",
    ),
    by_tag(
        "RemoveFirewalls",
        "wafv2: DeleteWebACL",
        "regional/webacl/*",
        "one that still guards something is refused by AWS",
        who=REMOVERS,
    ),
    by_request("AskForCertificates", "acm: RequestCertificate", "*", "the certificate does not exist yet"),
    by_request(
        "ImportCertificates",
        "acm: AddTagsToCertificate ImportCertificate",
        "certificate/*",
        "tags come with the certificate; ACM cannot tell a first tag from a later one",
    ),
    by_tag(
        "ChangeCertificates",
        "acm: AddTagsToCertificate RemoveTagsFromCertificate UpdateCertificateOptions",
        "certificate/*",
        "tags and options of one's own",
    ),
    by_tag(
        "RemoveCertificates",
        "acm: DeleteCertificate",
        "certificate/*",
        "one that is in use is refused by AWS",
        who=REMOVERS,
    ),
    by_name(
        "ChangeNames",
        "route53: ChangeResourceRecordSets",
        "hostedzone/{zone}",
        "names and certificates' proofs, in the zones that are named; records carry no tags",
        when={
            "ForAllValues:StringEquals": {
                "route53:ChangeResourceRecordSetsRecordTypes": ["A", "AAAA", "CNAME"],
            }
        },
    ),
    by_nothing(
        "CheckFromOutside",
        "route53: ChangeTagsForResource DeleteHealthCheck UpdateHealthCheck",
        "healthcheck/*",
        "Route 53 takes no tags into account",
    ),
    by_nothing("MakeChecksFromOutside", "route53: CreateHealthCheck", "*", "Route 53 takes no tags into account"),
)
