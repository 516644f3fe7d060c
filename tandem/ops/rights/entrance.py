"""Rows: the load balancer with its certificate, firewall and name."""

from __future__ import annotations

from tandem.ops.rights.right import DEPLOYER, REAPER, By, Right

_BALANCERS = "listener/app/* listener-rule/app/* loadbalancer/app/* targetgroup/*"

ROWS = (
    Right(
        sid="MakeBalancers",
        service="elasticloadbalancing",
        actions="CreateLoadBalancer CreateTargetGroup",
        on="loadbalancer/app/* targetgroup/*",
        by=By.REQUEST,
        why="each carries tandem's tags from the start",
    ),
    Right(
        sid="TagBalancersWithCreation",
        service="elasticloadbalancing",
        actions="AddTags",
        on=_BALANCERS,
        by=By.REQUEST,
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
        why="tags are given with the call that creates",
    ),
    Right(
        sid="ChangeBalancers",
        service="elasticloadbalancing",
        actions="AddTags CreateListener CreateRule ModifyListener ModifyListenerAttributes "
        "ModifyLoadBalancerAttributes ModifyRule ModifyTargetGroup ModifyTargetGroupAttributes RemoveTags "
        "SetRulePriorities SetSecurityGroups SetSubnets",
        on=_BALANCERS,
        by=By.TAG,
        why="listeners, rules and attributes of one's own",
    ),
    Right(
        sid="RemoveBalancers",
        service="elasticloadbalancing",
        actions="DeleteListener DeleteLoadBalancer DeleteRule DeleteTargetGroup",
        on=_BALANCERS,
        by=By.TAG,
        why="a protected load balancer is refused by AWS all the same",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="LiftProtection",
        service="elasticloadbalancing",
        actions="ModifyLoadBalancerAttributes",
        on="loadbalancer/app/*",
        by=By.TAG,
        why="of ephemeral stacks alone, which have none to begin with",
        who=(REAPER,),
    ),
    Right(
        sid="GuardBalancers",
        service="elasticloadbalancing",
        actions="SetWebAcl",
        on="*",
        by=By.NOTHING,
        why="the firewall is given to the load balancer; this action knows no resources",
    ),
    Right(
        sid="MakeFirewalls",
        service="wafv2",
        actions="CreateWebACL TagResource",
        on="regional/webacl/*",
        by=By.REQUEST,
        why="each carries tandem's tags from the start",
    ),
    Right(
        sid="ChangeFirewalls",
        service="wafv2",
        actions="AssociateWebACL TagResource UntagResource UpdateWebACL",
        on="regional/webacl/*",
        by=By.TAG,
        why="rules of one's own",
    ),
    Right(
        sid="GiveFirewalls",
        service="wafv2",
        actions="AssociateWebACL DisassociateWebACL",
        of="elasticloadbalancing",
        on="loadbalancer/app/*",
        by=By.NOTHING,
        why="WAF takes no tags of a load balancer; without it another's firewall could not be taken away either",
    ),
    Right(
        sid="RemoveFirewalls",
        service="wafv2",
        actions="DeleteWebACL",
        on="regional/webacl/*",
        by=By.TAG,
        why="one that still guards something is refused by AWS",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="AskForCertificates",
        service="acm",
        actions="RequestCertificate",
        on="*",
        by=By.REQUEST,
        why="the certificate does not exist yet",
    ),
    Right(
        sid="ImportCertificates",
        service="acm",
        actions="AddTagsToCertificate ImportCertificate",
        on="certificate/*",
        by=By.REQUEST,
        why="tags come with the certificate; ACM cannot tell a first tag from a later one",
    ),
    Right(
        sid="ChangeCertificates",
        service="acm",
        actions="AddTagsToCertificate RemoveTagsFromCertificate UpdateCertificateOptions",
        on="certificate/*",
        by=By.TAG,
        why="tags and options of one's own",
    ),
    Right(
        sid="RemoveCertificates",
        service="acm",
        actions="DeleteCertificate",
        on="certificate/*",
        by=By.TAG,
        why="one that is in use is refused by AWS",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="ChangeNames",
        service="route53",
        actions="ChangeResourceRecordSets",
        on="hostedzone/{zone}",
        by=By.NAME,
        when={
            "ForAllValues:StringEquals": {
                "route53:ChangeResourceRecordSetsRecordTypes": ["A", "AAAA", "CNAME"],
            }
        },
        why="names and certificates' proofs, in the zones that are named; records carry no tags",
    ),
    Right(
        sid="CheckFromOutside",
        service="route53",
        actions="ChangeTagsForResource DeleteHealthCheck UpdateHealthCheck",
        on="healthcheck/*",
        by=By.NOTHING,
        why="Route 53 takes no tags into account",
    ),
    Right(
        sid="MakeChecksFromOutside",
        service="route53",
        actions="CreateHealthCheck",
        on="*",
        by=By.NOTHING,
        why="Route 53 takes no tags into account",
    ),
)
