"""AWS from a host: metadata (IMDSv2), and signed calls.

No SDK: the host must reach Auto Scaling while the package mirror is down, and curl is in the machine image. It does not
sign them: curl 7.81, of Ubuntu 22.04, signs neither a role's token nor the header that S3 asks for.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import sigv4
from host import CONFIG, TIMEOUTS, GiveUp, deadline, left, say, sh, wait, write

T = TypeVar("T")
METADATA = "http://169.254.169.254/latest/"
REGION = CONFIG["region"]
ANSWER = 5  # seconds for one answer of the metadata service
PATIENCE = 60  # seconds that whoever asks waits for one that is not odd, if its own deadline allows
TELLING = 900  # seconds in which the group is told that this host is given up, whatever AWS answers


def _metadata(method: str, path: str, header: str, value: str) -> str:
    headers = {f"X-aws-ec2-metadata-token{header}": value}
    request = urllib.request.Request(METADATA + path, None, headers, method=method)  # noqa: S310  always http
    with urllib.request.urlopen(request, timeout=ANSWER) as answer:  # noqa: S310
        return answer.read().decode()


def metadata(path: str) -> str | None:
    """An item of instance metadata; None when there is none (no spot notice). Any error is an odd answer."""
    token = _metadata("PUT", "api/token", "-ttl-seconds", "60")
    try:
        return _metadata("GET", path, "", token)
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise


def _always(path: str) -> str:
    """An item that every instance has: none is an odd answer, too."""
    if (found := metadata(path)) is None:
        raise LookupError(f"no {path}")
    return found


def surely(look: Callable[[], T]) -> T:
    """What a look at the metadata service finds, taken again after an odd answer.

    In a host's first minutes even a role's credentials are a 404 now and then.
    """
    end = time.monotonic() + min(PATIENCE, left())
    while True:
        try:
            return look()
        except Exception as error:  # no answer, an error's, an empty or a torn one
            if time.monotonic() > end:
                raise RuntimeError(f"metadata service: {error!r}") from None
            time.sleep(1)


def spot_end() -> float | None:
    """When a spot instance is taken back, in seconds since the epoch; None without a notice."""
    notice = metadata("meta-data/spot/instance-action")
    return None if notice is None else datetime.datetime.fromisoformat(json.loads(notice)["time"]).timestamp()


def told_to_go() -> bool:
    """True once this host must go. A rebalance recommendation is the group's to act on: it starts another first."""
    return spot_end() is not None or metadata("meta-data/autoscaling/target-lifecycle-state") == "Terminated"


@functools.cache
def identity() -> dict[str, str]:
    """The instance's own document: instanceId, instanceType."""

    def look() -> dict[str, str]:
        document = json.loads(_always("dynamic/instance-identity/document"))
        return {name: document[name] for name in ("instanceId", "instanceType")}

    return surely(look)


def _credentials() -> list[str]:
    role = "meta-data/iam/security-credentials/"
    keys = json.loads(_always(role + _always(role)))
    return [keys[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")]


def _curl(
    service: str, method: str, url: str, *options: str, body: str = "", region: str = REGION, **headers: str
) -> str:
    """A signed request. Its headers go to curl's standard input, where no list of processes shows them."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    signed = sigv4.signed(surely(_credentials), service, region, method, url, body, headers)
    lines = "\n".join(f'header = "{name}: {value}"' for name, value in signed.items())
    return sh("curl", "-sS", url, "--max-time", "20", "-X", method, *options, "-K", "-", input=lines)


def _call(service: str, body: str, content_type: str, region: str = REGION, **headers: str) -> str:
    """A POST to a service by the name of its endpoint."""
    url = CONFIG["endpoint_url"] or f"https://{service}.{region}.{CONFIG['domain']}"
    options, headers = ("--fail-with-body", "--data-binary", body), {"content_type": content_type, **headers}
    name = service.removeprefix("api.")  # ECR's endpoint has more than its name
    return _curl(name, "POST", url.rstrip("/") + "/", *options, body=body, region=region, **headers)


def download(url: str, file: Path) -> None:
    """An object of S3 into a file.

    Raises:
        GiveUp: there is no such object.
        RuntimeError: it did not come. S3 also answers 403 for what is not there, and for a role of a moment ago.
    """
    write(file, "")
    status = _curl("s3", "GET", url, "-o", str(file), "-w", "%{http_code}")
    if status != "200":
        raise (GiveUp if status == "404" else RuntimeError)(f"{url}: {status} {_tag('Code', file.read_text())}")


def query(service: str, version: str, action: str, **parameters: str) -> str:
    """A call of the query protocol; the answer is XML."""
    body = urllib.parse.urlencode({"Action": action, "Version": version, **parameters})
    return _call(service, body, "application/x-www-form-urlencoded")


def call_json(service: str, target: str, region: str = REGION, **parameters: Any) -> dict[str, Any]:
    """A call of the JSON protocol; what answers nothing answers an empty object."""
    answer = _call(service, json.dumps(parameters), "application/x-amz-json-1.1", region, x_amz_target=target)
    return json.loads(answer or "{}")


def secret(arn: str) -> str:
    """Text of a secret. Never logged: not here, not in an error."""
    return call_json("secretsmanager", "secretsmanager.GetSecretValue", SecretId=arn)["SecretString"]


def autoscaling(action: str, **parameters: str) -> str:
    return query("autoscaling", "2011-01-01", action, **parameters)


def _tag(name: str, text: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>", text)
    return found[1] if found else ""


def membership() -> tuple[str, str]:
    """The state of this host in its group, and the group's name; both are empty without a group."""
    text = autoscaling("DescribeAutoScalingInstances", **{"InstanceIds.member.1": identity()["instanceId"]})
    return _tag("LifecycleState", text), _tag("AutoScalingGroupName", text)


def _act(action: str, parameters: Mapping[str, dict[str, str]]) -> str | None:
    """An action on the hook that holds this host, with parameters by its state; that state, None where none is."""
    state, group = membership()
    if state not in parameters:
        return None
    own = {"AutoScalingGroupName": group, "InstanceId": identity()["instanceId"]}
    autoscaling(action, LifecycleHookName=CONFIG["hooks"][state], **own, **parameters[state])
    return state


def complete(results: Mapping[str, str]) -> str | None:
    """Ends the hook that holds this host, with CONTINUE or ABANDON by its state; that state, None where none does."""
    return _act("CompleteLifecycleAction", {state: {"LifecycleActionResult": how} for state, how in results.items()})


def wait_for(process: subprocess.Popen[Any], held: str) -> int | None:
    """Waits for a process, as long as the deadline allows, and asks the hook of a state for more time meanwhile.

    Returns the exit status; None for a process that did not end.
    """
    while left():
        try:
            return process.wait(min(TIMEOUTS["heartbeat"] / 3, left()))
        except subprocess.TimeoutExpired:
            try:
                _act("RecordLifecycleActionHeartbeat", {held: {}})
            except RuntimeError as error:
                print(error, flush=True)
    return None


def report_unhealthy() -> None:
    """Has the group replace this host."""
    autoscaling("SetInstanceHealth", InstanceId=identity()["instanceId"], HealthStatus="Unhealthy")


def abandon() -> str | None:
    """Has the group replace this host: by its launch hook, or as unhealthy when the hook is over."""
    with deadline(TELLING):
        while True:
            try:
                return complete({"Pending:Wait": "ABANDON"}) or report_unhealthy()
            except RuntimeError as error:
                if not wait(10):
                    return say(f"the group was not told: {error}")


def target(action: str) -> str:
    """RegisterTargets, DeregisterTargets or DescribeTargetHealth of this host; the last tells its state."""
    parameters = {"TargetGroupArn": CONFIG["target_group_arn"], "Targets.member.1.Id": identity()["instanceId"]}
    return _tag("State", query("elasticloadbalancing", "2015-12-01", action, **parameters))
