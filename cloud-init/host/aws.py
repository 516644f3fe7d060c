"""AWS from a host: metadata (IMDSv2), and signed calls.

No SDK: the host must reach Auto Scaling while the package mirror is down, and curl is in the machine image. It does not
sign them: curl 7.81, of Ubuntu 22.04, signs neither a role's token nor the header that S3 asks for.
"""

import datetime
import functools
import hashlib
import hmac
import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from host import CONFIG, TIMEOUTS, GiveUp, deadline, left, say, sh, wait, write

METADATA = "http://169.254.169.254/latest/"
REGION = CONFIG["region"]
ANSWER = 5  # seconds for one answer of the metadata service
PATIENCE = 60  # seconds that whoever asks waits for one that is not odd, if its own deadline allows
TELLING = 900  # seconds in which the group is told that this host is given up, whatever AWS answers


def _metadata(method, path, header, value):
    headers = {f"X-aws-ec2-metadata-token{header}": value}
    request = urllib.request.Request(METADATA + path, None, headers, method=method)  # noqa: S310  always http
    with urllib.request.urlopen(request, timeout=ANSWER) as answer:  # noqa: S310
        return answer.read().decode()


def metadata(path):
    """An item of instance metadata; None when there is none (no spot notice). Any error is an odd answer."""
    token = _metadata("PUT", "api/token", "-ttl-seconds", "60")
    try:
        return _metadata("GET", path, "", token)
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise


def surely(look):
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


def spot_end():
    """When a spot instance is taken back, in seconds since the epoch; None without a notice."""
    notice = metadata("meta-data/spot/instance-action")
    return None if notice is None else datetime.datetime.fromisoformat(json.loads(notice)["time"]).timestamp()


def told_to_go():
    """True once this host must go. A rebalance recommendation is the group's to act on: it starts another first."""
    return spot_end() is not None or metadata("meta-data/autoscaling/target-lifecycle-state") == "Terminated"


@functools.cache
def identity():
    """The instance's own document: instanceId, instanceType."""

    def look():
        document = json.loads(metadata("dynamic/instance-identity/document"))
        return {name: document[name] for name in ("instanceId", "instanceType")}

    return surely(look)


def _credentials():
    role = "meta-data/iam/security-credentials/"
    keys = json.loads(metadata(role + metadata(role)))
    return [keys[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")]


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def _signed(service, region, method, url, body, headers):
    """A request's headers, all of them signed: AWS's Signature Version 4
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)."""
    key, secret, token = surely(_credentials)
    now, address = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), urllib.parse.urlsplit(url)
    headers |= {"host": address.netloc, "x-amz-content-sha256": _sha256(body), "x-amz-date": now}
    headers |= {"x-amz-security-token": token}
    names, scope = sorted(headers), [now[:8], region, service, "aws4_request"]
    lines = [method, address.path, address.query, *(f"{name}:{headers[name]}" for name in names), "", ";".join(names)]
    text = ["AWS4-HMAC-SHA256", now, "/".join(scope), _sha256("\n".join([*lines, headers["x-amz-content-sha256"]]))]
    signature = f"AWS4{secret}".encode()
    for word in (*scope, "\n".join(text)):
        signature = hmac.digest(signature, word.encode(), "sha256")
    credential = f"Credential={key}/{text[2]}, SignedHeaders={lines[-1]}, Signature={signature.hex()}"
    return headers | {"Authorization": f"{text[0]} {credential}"}


def _curl(service, method, url, *options, body="", region=REGION, **headers):
    """A signed request. Its headers go to curl's standard input, where no list of processes shows them."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    signed = _signed(service, region, method, url, body, headers)
    lines = "\n".join(f'header = "{name}: {value}"' for name, value in signed.items())
    return sh("curl", "-sS", url, "--max-time", "20", "-X", method, *options, "-K", "-", input=lines)


def _call(service, body, content_type, region=REGION, **headers):
    """A POST to a service by the name of its endpoint."""
    url = CONFIG["endpoint_url"] or f"https://{service}.{region}.{CONFIG['domain']}"
    options, headers = ("--fail-with-body", "--data-binary", body), {"content_type": content_type, **headers}
    name = service.removeprefix("api.")  # ECR's endpoint has more than its name
    return _curl(name, "POST", url.rstrip("/") + "/", *options, body=body, region=region, **headers)


def download(url, file):
    """An object of S3 into a file.

    Raises:
        GiveUp: there is no such object.
        RuntimeError: it did not come. S3 also answers 403 for what is not there, and for a role of a moment ago.
    """
    write(file, "")
    status = _curl("s3", "GET", url, "-o", str(file), "-w", "%{http_code}")
    if status != "200":
        raise (GiveUp if status == "404" else RuntimeError)(f"{url}: {status} {_tag('Code', file.read_text())}")


def query(service, version, action, **parameters):
    """A call of the query protocol; the answer is XML."""
    body = urllib.parse.urlencode({"Action": action, "Version": version, **parameters})
    return _call(service, body, "application/x-www-form-urlencoded")


def call_json(service, target, region=REGION, **parameters):
    """A call of the JSON protocol."""
    answer = _call(service, json.dumps(parameters), "application/x-amz-json-1.1", region, x_amz_target=target)
    return json.loads(answer)


def secret(arn):
    """Text of a secret. Never logged: not here, not in an error."""
    return call_json("secretsmanager", "secretsmanager.GetSecretValue", SecretId=arn)["SecretString"]


def autoscaling(action, **parameters):
    return query("autoscaling", "2011-01-01", action, **parameters)


def _tag(name, text):
    found = re.search(f"<{name}>(.*?)</{name}>", text)
    return found[1] if found else ""


def membership():
    """The state of this host in its group, and the group's name; both are empty without a group."""
    text = autoscaling("DescribeAutoScalingInstances", **{"InstanceIds.member.1": identity()["instanceId"]})
    return _tag("LifecycleState", text), _tag("AutoScalingGroupName", text)


def _act(action, parameters):
    """An action on the hook that holds this host, with parameters by its state; that state, None where none is."""
    state, group = membership()
    if state not in parameters:
        return None
    own = {"AutoScalingGroupName": group, "InstanceId": identity()["instanceId"]}
    autoscaling(action, LifecycleHookName=CONFIG["hooks"][state], **own, **parameters[state])
    return state


def complete(results):
    """Ends the hook that holds this host, with CONTINUE or ABANDON by its state; that state, None where none does."""
    return _act("CompleteLifecycleAction", {state: {"LifecycleActionResult": how} for state, how in results.items()})


def wait_for(process, held):
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


def report_unhealthy():
    """Has the group replace this host."""
    autoscaling("SetInstanceHealth", InstanceId=identity()["instanceId"], HealthStatus="Unhealthy")


def abandon():
    """Has the group replace this host: by its launch hook, or as unhealthy when the hook is over."""
    with deadline(TELLING):
        while True:
            try:
                return complete({"Pending:Wait": "ABANDON"}) or report_unhealthy()
            except RuntimeError as error:
                if not wait(10):
                    return say(f"the group was not told: {error}")


def target(action):
    """RegisterTargets, DeregisterTargets or DescribeTargetHealth of this host; the last tells its state."""
    parameters = {"TargetGroupArn": CONFIG["target_group_arn"], "Targets.member.1.Id": identity()["instanceId"]}
    return _tag("State", query("elasticloadbalancing", "2015-12-01", action, **parameters))
