"""Rows: who makes machine images with `tandem image bake`, and removes old ones."""

from __future__ import annotations

from tandem.ops.rights.identity import ROLES
from tandem.ops.rights.right import BAKER, By, Right


def _row(sid: str, actions: str, on: str, by: By, why: str, **more: object) -> Right:
    row = {"service": "ec2", **more}
    return Right(sid=sid, actions=actions, on=on, by=by, why=why, who=(BAKER,), **row)  # pyright: ignore[reportArgumentType]


ROWS = (
    _row(
        "BakeOn",
        "RunInstances",
        "instance/* volume/*",
        By.REQUEST,
        "the instance and its volume carry tandem's tags from the start",
    ),
    _row(
        "BakeFrom",
        "RunInstances",
        "image/* network-interface/* security-group/* snapshot/* subnet/*",
        By.NOTHING,
        "Ubuntu's image, and a subnet of your choice, which may be the account's default one",
    ),
    _row("BakeOf", "CreateImage", "instance/*", By.TAG, "an image of that instance alone"),
    _row(
        "MakeImages",
        "CreateImage",
        "image/* snapshot/*",
        By.REQUEST,
        "the image and its snapshots carry tandem's tags from the start",
    ),
    _row(
        "TagWhatIsBaked",
        "CreateTags",
        "image/* instance/* snapshot/* volume/*",
        By.REQUEST,
        "tags are given with the call that creates",
        when={"StringEquals": {"ec2:CreateAction": ["CreateImage", "RunInstances"]}},
    ),
    _row(
        "EndBaking",
        "GetConsoleOutput TerminateInstances",
        "instance/*",
        By.TAG,
        "what the stages said, and the end of the instance",
    ),
    _row("CleanImages", "DeleteSnapshot DeregisterImage", "image/* snapshot/*", By.TAG, "`tandem image clean`"),
    _row(
        "GiveBakersRole",
        "PassRole",
        ROLES,
        By.NAME,
        "`--instance-profile` for a gated model: the role of a stack's hosts, or one of its name's kind",
        service="iam",
        when={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    ),
)
