"""`tandem image`: makes machine images with driver, toolkit and container image in them, and removes old ones."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from tandem import pins
from tandem.errors import UserError
from tandem.host.render import render_bake_user_data
from tandem.ops import image as images
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.commands.render import stack_config
from tandem.ops.options import DEFAULT_STACK, AsJson, ProfileName, RegionName, StackName, print_json, stack_settings
from tandem.ops.pin import replace_file
from tandem.ops.screen import Screen
from tandem.tags import MODEL_TAG, PROJECT, PROJECT_TAG

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Machine images of your own: bake, list, clean.")


@app.command()
def bake(
    stack: StackName = DEFAULT_STACK,
    region: RegionName = None,
    profile: ProfileName = None,
    weights: Annotated[bool, typer.Option("--weights", help="Put the stack's model into the image, too.")] = False,
    instance_type: Annotated[
        str | None, typer.Option(help="Bake on this type; by default the fleet's first.", show_default=False)
    ] = None,
    subnet: Annotated[
        str | None, typer.Option(metavar="SUBNET", help="With a way to the internet; a default subnet otherwise.")
    ] = None,
    instance_profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="May read the Hugging Face token; for gated models' weights.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a machine image in which hosts find driver, toolkit and container image.

    Starts one GPU instance for 10 to 30 minutes, runs the hosts' own first stages on it, makes the image, and ends the
    instance. The id is written to images/pins.toml; the next `pulumi up` starts hosts from it.

    Exit status: 0 it is made and pinned, 2 a mistake, a stage that failed, or AWS refused.

    Examples: `tandem image bake prod-ec2`, `tandem image bake prod-ec2 --weights --subnet subnet-0123456789abcdef0`.
    """
    settings = stack_settings(stack, region)
    chosen = instance_type or settings.fleet.instance_types[0]
    if chosen not in settings.fleet.instance_types:
        raise UserError.of(
            key="--instance-type",
            wrong="is not one that this stack's hosts are written for",
            value=chosen,
            allowed=", ".join(settings.fleet.instance_types),
        )
    known = pins.load()
    now = datetime.now(UTC)
    request = images.Bake(
        source_image=known.machine_image_id(settings.region, "ubuntu"),
        instance_type=chosen,
        user_data=render_bake_user_data(stack_config(stack), weights=weights),
        volume_gib=settings.fleet.root_volume_gib,
        tags={
            PROJECT_TAG: PROJECT,
            "tandem:driver": known.nvidia_driver.version or str(known.nvidia_driver.branch),
            "tandem:image": known.vllm.reference,
            MODEL_TAG: settings.inference.model if weights else "none",
        },
        subnet_id=subnet,
        instance_profile=instance_profile,
    )
    ec2 = aws_clients(settings.region, profile)("ec2")
    console = Screen(stderr=True)
    with console.status("baking") as status, user_errors("image bake"):
        made = images.bake(ec2, request, f"tandem-{now:%Y-%m-%d-%H%M%S}", status.update)
    path = pins.pins_path()
    replace_file(path, images.pinned(path.read_text(encoding="utf-8"), settings.region, made, now.date()))
    if as_json:
        print_json({"image": made, "region": settings.region, "pinnedIn": str(path)})
    else:
        Screen().print(f"{made} is pinned in {path}; `pulumi up --stack {stack}` starts hosts from it")


@app.command(name="list")
def show(
    stack: StackName = DEFAULT_STACK, region: RegionName = None, profile: ProfileName = None, as_json: AsJson = False
) -> None:
    """List the machine images that were baked in a region, newest first.

    Exit status: 0, or 2 where AWS did not tell.
    """
    settings = stack_settings(stack, region)
    with user_errors("image list"):
        found = images.own_images(aws_clients(settings.region, profile)("ec2"))
    if as_json:
        print_json({"images": [asdict(row) for row in found]})
        return
    for row in found:
        Screen().print(f"{row.id}  {row.name}  {row.created}  {' '.join(row.snapshots)}")
    if not found:
        Screen().print(f"No image of your own in {settings.region}.")


@app.command()
def clean(
    stack: StackName = DEFAULT_STACK,
    region: RegionName = None,
    profile: ProfileName = None,
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest stay.")] = 2,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this they are only listed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove old baked images and their snapshots; those that pins or launch templates name stay.

    Exit status: 0, or 2 where AWS refused.

    Examples: `tandem image clean prod-ec2`, `tandem image clean prod-ec2 --keep 1 --yes`.
    """
    settings, console = stack_settings(stack, region), Screen(stderr=as_json)
    ec2 = aws_clients(settings.region, profile)("ec2")
    with user_errors("image clean"):
        in_use = images.images_in_use(ec2) | {pins.load().machine_image_id(settings.region)}
        old = images.old_images(images.own_images(ec2), keep, in_use)
        for row in old:
            if yes:
                images.remove(ec2, row)
            console.print(f"{'removed' if yes else 'would remove'} {row.id} {row.name} ({row.created})")
    if as_json:
        print_json({"old": [asdict(row) for row in old], "removed": yes})
    elif not old:
        console.print("nothing to remove")
    elif not yes:
        console.print("Nothing was changed. With --yes they go.")
