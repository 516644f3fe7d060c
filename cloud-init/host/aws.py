"""AWS from a host: metadata (IMDSv2), and calls that curl signs.

No SDK: the host must reach Auto Scaling while the package mirror is down, and curl is in the machine image.
"""

import functools
import json
import re
import urllib.error
import urllib.parse
import urllib.request

from host import CONFIG, sh

METADATA = "http://169.254.169.254/latest/"


def _metadata(method, path, header, value):
    headers = {f"X-aws-ec2-metadata-token{header}": value}
    request = urllib.request.Request(METADATA + path, None, headers, method=method)  # noqa: S310  always http
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        return answer.read().decode()


def metadata(path):
    """An item of instance metadata; None when there is none (no spot notice)."""
    try:
        return _metadata("GET", path, "", _metadata("PUT", "api/token", "-ttl-seconds", "60"))
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise


@functools.cache
def identity():
    """The instance's own document: instanceId, instanceType, region."""
    return json.loads(metadata("dynamic/instance-identity/document"))


def _call(service, *arguments):
    """A signed POST. Credentials go to curl's standard input, where no list of processes shows them."""
    role = "meta-data/iam/security-credentials/"
    keys = json.loads(metadata(role + metadata(role)))
    region = CONFIG["region"]
    return sh(
        *("curl", "-sS", "--fail-with-body", "--max-time", "20", "--aws-sigv4", f"aws:amz:{region}:{service}"),
        *("-K", "-", *arguments),
        CONFIG["endpoint_url"] or f"https://{service}.{region}.{CONFIG['domain']}/",
        input=f'user="{keys["AccessKeyId"]}:{keys["SecretAccessKey"]}"\nheader="X-Amz-Security-Token: {keys["Token"]}"',
    )


def query(service, version, action, **parameters):
    """A call of the query protocol; the answer is XML."""
    return _call(service, "-d", urllib.parse.urlencode({"Action": action, "Version": version, **parameters}))


def secret(arn):
    """Text of a secret. Never logged: not here, not in an error."""
    headers = ("-H", "Content-Type: application/x-amz-json-1.1", "-H", "X-Amz-Target: secretsmanager.GetSecretValue")
    return json.loads(_call("secretsmanager", *headers, "-d", json.dumps({"SecretId": arn})))["SecretString"]


def autoscaling(action, **parameters):
    return query("autoscaling", "2011-01-01", action, **parameters)


def _tag(name, text):
    found = re.search(f"<{name}>(.*?)</{name}>", text)
    return found[1] if found else ""


def _hook():
    """The lifecycle hook that holds this host, or None."""
    instance = identity()["instanceId"]
    text = autoscaling("DescribeAutoScalingInstances", **{"InstanceIds.member.1": instance})
    name = CONFIG["hooks"].get(_tag("LifecycleState", text))
    group = _tag("AutoScalingGroupName", text)
    return name and {"AutoScalingGroupName": group, "LifecycleHookName": name, "InstanceId": instance}


def complete(result):
    """Ends the hook that holds this host, with CONTINUE or ABANDON; None where none does."""
    hook = _hook()
    return hook and autoscaling("CompleteLifecycleAction", LifecycleActionResult=result, **hook)


def heartbeat():
    """Asks the hook that holds this host for more time."""
    if hook := _hook():
        autoscaling("RecordLifecycleActionHeartbeat", **hook)


def report_unhealthy():
    """Has the group replace this host."""
    autoscaling("SetInstanceHealth", InstanceId=identity()["instanceId"], HealthStatus="Unhealthy")


def target(action):
    """RegisterTargets, DeregisterTargets or DescribeTargetHealth of this host; the last tells its state."""
    parameters = {"TargetGroupArn": CONFIG["target_group_arn"], "Targets.member.1.Id": identity()["instanceId"]}
    return _tag("State", query("elasticloadbalancing", "2015-12-01", action, **parameters))
