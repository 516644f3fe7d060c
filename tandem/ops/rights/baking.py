"""Rows: who makes machine images with `tandem image bake`, and removes old ones."""

from __future__ import annotations

from tandem.ops.rights.identity import ROLES
from tandem.ops.rights.right import BAKER, alike, by_name, by_nothing, by_request, by_tag

ROWS = alike(
    by_request(
        "BakeOn",
        "ec2: RunInstances",
        "instance/* volume/*",
        "the instance and its volume carry tandem's tags from the start",
    ),
    by_nothing(
        "BakeFrom",
        "ec2: RunInstances",
        "image/* network-interface/* security-group/* snapshot/* subnet/*",
        "Ubuntu's image, and a subnet of your choice, which may be the account's default one",
    ),
    by_tag("BakeOf", "ec2: CreateImage", "instance/*", "an image of that instance alone"),
    by_request(
        "MakeImages",
        "ec2: CreateImage",
        "image/* snapshot/*",
        "the image and its snapshots carry tandem's tags from the start",
    ),
    by_request(
        "TagWhatIsBaked",
        "ec2: CreateTags",
        "image/* instance/* snapshot/* volume/*",
        "tags are given with the call that creates",
        when={"StringEquals": {"ec2:CreateAction": ["CreateImage", "RunInstances"]}},
    ),
    by_tag(
        "EndBaking",
        "ec2: GetConsoleOutput TerminateInstances",
        "instance/*",
        "what the stages said, and the end of the instance",
    ),
    by_tag("CleanImages", "ec2: DeleteSnapshot DeregisterImage", "image/* snapshot/*", "`tandem image clean`"),
    by_name(
        "GiveBakersRole",
        "iam: PassRole",
        ROLES,
        "`--instance-profile` for a gated model: the role of a stack's hosts, or one of its name's kind",
        when={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    ),
    who=(BAKER,),
)
