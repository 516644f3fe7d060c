"""What hosts boot from, and the secrets that they read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from tandem import type_tokens as types
from tandem.errors import UserError
from tandem.ops import lookups
from tandem.ops.aws import code_of
from tandem.ops.doctor.adapters import adapters_fit
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error, ok, unknown, warning
from tandem.ops.kinds import ours
from tandem.ops.kinds.storage import OUR_SECRETS
from tandem.platforms import platform_of
from tandem.tags import PROJECT, PROJECT_TAG, STACK_TAG

RESOLVE = "resolve:ssm:"
CANONICAL = "099720109477"
"""The account that publishes Ubuntu images."""


def machine_image_is_there(examination: Examination) -> Iterator[Finding]:
    """The image exists in the region, may be used, and fits the hosts."""
    settings = examination.settings
    platform = platform_of(settings)
    image_id = platform.machine_image(examination.pins)
    if image_id is None:
        yield ok("nodes start from EKS's newest image of the day, which nothing pins")
        return
    if image_id.startswith(RESOLVE):
        try:
            image_id = _newest(examination, image_id.removeprefix(RESOLVE))
        except ClientError as refused:
            if code_of(refused) != "ParameterNotFound":
                raise
            yield error(
                f"{settings.region} has no public parameter for the machine image",
                value=image_id,
                needed="an image of this region",
                fix="`pulumi config set --path tandem:fleet.machineImageId ami-...`",
            )
            return
    image = _describe(examination, image_id)
    if image is None or image["State"] != "available":
        yield error(
            f"the machine image is not available in {settings.region}",
            value=f"{image_id}: {image['State'] if image else 'not there, or not shared with this account'}",
            needed="an available image; ids differ between regions",
            fix=f"`{platform.pin_command} --update`, or `pulumi config rm --path tandem:fleet.machineImageId`",
        )
        return
    wrong = list(_misfits(examination, image))
    yield from wrong
    if not wrong:
        yield ok(f"the machine image is there: {image['Name']}", value=image_id)
    yield DRIVER_ON[settings.platform](examination, image)


def _newest(examination: Examination, parameter: str) -> str:
    return examination.clients("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]


def _describe(examination: Examination, image_id: str) -> dict[str, Any] | None:
    try:
        images = examination.clients("ec2").describe_images(ImageIds=[image_id], IncludeDeprecated=True)["Images"]
    except ClientError as error:
        if "InvalidAMIID" not in code_of(error):
            raise
        return None
    return images[0] if images else None


def _misfits(examination: Examination, image: dict[str, Any]) -> Iterator[Finding]:
    fleet = examination.settings.fleet
    mend = _pinned_anew(examination)
    if image["Architecture"] != "x86_64" or image.get("Platform") == "windows":
        yield error(
            "the machine image does not run on these hosts",
            value=f"{image['Architecture']} {image.get('Platform', '')}".strip(),
            needed="Linux on x86_64",
            fix=mend,
        )
    sizes = [
        mapping["Ebs"].get("VolumeSize", 0)
        for mapping in image.get("BlockDeviceMappings", ())
        if "Ebs" in mapping and mapping["DeviceName"] == image.get("RootDeviceName")
    ]
    if sizes and sizes[0] > fleet.root_volume_gib:
        yield error(
            "the machine image is larger than the hosts' root volume",
            value=f"{sizes[0]} GiB",
            needed=f"fleet.rootVolumeGib of {sizes[0]} GiB or more; it is {fleet.root_volume_gib}",
            fix=f"`pulumi config set --path tandem:fleet.rootVolumeGib {sizes[0]}`",
        )
    deprecated = image.get("DeprecationTime")
    if deprecated and datetime.fromisoformat(deprecated) <= examination.now:
        yield warning(
            "the machine image is deprecated; its owner may withdraw it at any time",
            value=deprecated,
            needed="a current image",
            fix=mend,
        )
    yield from MISFITS_ON[examination.settings.platform](examination, image)


def _host_misfits(examination: Examination, image: dict[str, Any]) -> Iterator[Finding]:
    if image["OwnerId"] == CANONICAL and "24.04" not in image["Name"]:
        yield error(
            "the machine image is another release of Ubuntu than the pinned driver packages are for",
            value=image["Name"],
            needed="Ubuntu 24.04",
            fix=_pinned_anew(examination),
        )


def _node_misfits(examination: Examination, image: dict[str, Any]) -> Iterator[Finding]:
    version = examination.pins.kubernetes.version
    kubernetes = re.search(r"-(1\.\d\d)-", image["Name"])
    if kubernetes and kubernetes[1] != version:
        yield error(
            "the node image is made for another version of Kubernetes than the cluster has",
            value=image["Name"],
            needed=f"an image for {version}",
            fix=_pinned_anew(examination),
        )


MISFITS_ON = {"ec2": _host_misfits, "eks": _node_misfits}


def _pinned_anew(examination: Examination) -> str:
    return f"`{platform_of(examination.settings).pin_command} --update`"


def _node_driver(examination: Examination, _image: dict[str, Any]) -> Finding:
    """AWS's choice."""
    least = examination.pins.vllm.minimum_driver_branch
    return ok(f"pods refuse a node whose NVIDIA driver is older than branch {least}")


def _host_driver(examination: Examination, image: dict[str, Any]) -> Finding:
    """Pinned on plain Ubuntu, AWS's choice in a Deep Learning image."""
    pins = examination.pins
    least = pins.vllm.minimum_driver_branch
    if image["OwnerId"] == CANONICAL:
        version = pins.nvidia_driver.version or f"newest of {pins.nvidia_driver.branch}"
        return ok("hosts install the pinned NVIDIA driver", value=version)
    told = re.search(r"driver\D{0,20}(\d{3})\.\d+", f"{image['Name']} {image.get('Description', '')}", re.IGNORECASE)
    if told and int(told[1]) < least:
        return error(
            "the machine image carries an NVIDIA driver that is too old for the vLLM image",
            value=told[0],
            needed=f"branch {least} or later (CUDA {pins.vllm.cuda})",
            fix="set machine_image.default to ubuntu in images/pins.toml, or use a later image",
        )
    if told:
        return ok("the machine image carries a driver that fits", value=told[0])
    return unknown(
        "the image does not say which NVIDIA driver it carries; a host checks it when it boots",
        value=image["Name"],
        needed=f"branch {least} or later (CUDA {pins.vllm.cuda})",
        fix="its release notes, or machine_image.default = ubuntu in images/pins.toml",
    )


DRIVER_ON = {"ec2": _host_driver, "eks": _node_driver}


def model_can_be_read(examination: Examination) -> Iterator[Finding]:
    """A gated model needs a token in the stack's settings; hosts fail after 20 minutes of boot without it."""
    settings = examination.settings
    served = [inference for inference, _ in settings.scaled.values()]
    models = (one.model for one in served if one.weights != "s3")
    for model in dict.fromkeys([*models, *settings.served_beside]):
        yield from _can_be_read(examination, model)
    yield from adapters_fit(examination)


def _can_be_read(examination: Examination, model: str) -> Iterator[Finding]:
    settings = examination.settings
    try:
        lookups.model_revision(model, examination.http)
    except UserError as refused:
        problem = refused.problems[0]
        gated = "gated" in problem.wrong
        if gated and settings.hugging_face_token is not None:
            yield ok(f"{model} is gated, and a token is set")
        elif gated or problem.value == "HTTP 404" or problem.value == "HTTP 401":
            yield error(
                f"{model}: {problem.wrong}",
                value="no tandem:huggingFaceToken" if gated else str(problem.value),
                needed="a model that the hosts may read",
                fix=f"accept the terms at https://huggingface.co/{model}, then `pulumi config set --secret "
                "tandem:huggingFaceToken`",
            )
        else:
            yield unknown(
                f"{model}: {problem.wrong}",
                value=str(problem.value),
                needed="an answer of the model hub, whether the model is gated",
                fix="run this where the hub can be reached: HTTPS_PROXY, or HF_ENDPOINT for a mirror",
            )
    else:
        yield ok(f"{model} can be read")


def secrets_are_there(examination: Examination) -> Iterator[Finding]:
    """The stack's secrets, once it is up: a secret that waits for its deletion cannot be read by a new host."""
    pages = (
        examination.clients("secretsmanager")
        .get_paginator("list_secrets")
        .paginate(IncludePlannedDeletion=True, **OUR_SECRETS)
    )
    ours = [secret for secret in pages.search("SecretList[]") if _is_ours(examination, secret)]
    leaving = [secret for secret in ours if secret.get("DeletedDate")]
    live = [secret for secret in ours if not secret.get("DeletedDate")]
    hosts = _is_up(examination)
    if hosts and not live:
        yield error(
            "the stack is up and its secrets are gone; a new host gets no API keys",
            value=", ".join(secret["Name"] for secret in leaving) or "no secret with the stack's tags",
            needed="the secret that the hosts read",
            fix=f"`aws secretsmanager restore-secret --region {examination.region} --secret-id {leaving[0]['Name']}`"
            if leaving
            else "`pulumi refresh`, then `pulumi up`",
        )
    else:
        value = ", ".join(secret["Name"] for secret in live) or "made by the first `pulumi up`"
        yield ok("secrets", value=value)


def _is_up(examination: Examination) -> bool:
    return any(
        ours(examination.clients, examination.stack, type_) for type_ in (types.GROUP, types.CLUSTER, types.NODE_GROUP)
    )


def _is_ours(examination: Examination, secret: dict[str, Any]) -> bool:
    tags = {tag["Key"]: tag["Value"] for tag in secret.get("Tags", ())}
    return tags.get(PROJECT_TAG) == PROJECT and tags.get(STACK_TAG) == examination.stack
