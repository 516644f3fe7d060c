"""The AWS that a played instance finds, as far as a host calls it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

from pulumi_rehearsal.aws_wire import Call, Refused, received
from rehearsal.host.handler import Handler

API_KEY = "test-api-key-0123456789abcdef"
HUB_TOKEN = "hf_test_token_0123456789abcdef"  # noqa: S105
SIGNED = "AWS4-HMAC-SHA256 Credential=ASIATEST/"
REMOTE_WRITE = "/workspaces/ws-1/api/v1/remote_write"
"""Of a workspace of Amazon Managed Prometheus."""
STATUSES = {"SlowDown": 503, "InternalError": 500}
"""Of errors that every operation of S3 may answer, and so no model has
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)."""

TARGET_REASONS = {
    "unused": "Target.NotRegistered",
    "draining": "Target.DeregistrationInProgress",
}


class Aws(Handler):
    """Secrets Manager, Auto Scaling, Elastic Load Balancing, CloudWatch Logs, S3 and a workspace at one address.

    A request that botocore would not have sent is refused; an answer is made of botocore's model of it.

    Stands for: Secrets Manager, Auto Scaling, Elastic Load Balancing, CloudWatch and its logs; hosts' objects in S3;
        Amazon Managed Prometheus, whose signatures tests look at.
    Held by: tests/rehearsal/host/test_aws.py::test_the_sdk_is_answered_as_its_models_say,
        tests/rehearsal/host/test_aws.py::test_s3_answers_as_motos_does
    """

    def do_GET(self) -> None:
        """An object of S3 for the hosts' role, which may not list: what is absent is a 403."""
        authorization = self.headers.get("Authorization", "")
        if not (authorization.startswith(SIGNED) and "/s3/aws4_request" in authorization):
            return self.answer(403, "")
        bucket, _, key = urlsplit(self.path).path.lstrip("/").partition("/")
        call = Call("s3", "GetObject", "us-east-1", {"Bucket": bucket, "Key": key})
        self.cloud.record(call.operation, dict(call.params))
        refused = self.cloud.refused.get(call.operation)
        if self.cloud.busy.get(call.operation):
            self.cloud.busy[call.operation] -= 1
            refused = ("SlowDown", "Please reduce your request rate.")
        data = self.cloud.objects.get(f"{bucket}/{key}")
        if data and not refused:
            return self.answer(200, data, "application/x-bzip2")
        code, message = refused or ("AccessDenied", "Access Denied")
        status, headers, content = call.answer(Refused(code, message))
        return self.answer(STATUSES.get(code, status), content, headers["Content-Type"])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == REMOTE_WRITE:
            self.cloud.written.append(({name.lower(): value for name, value in self.headers.items()}, body))
            return self.answer(204, "")
        with self.cloud.lock:
            self.cloud.bodies.append(body)
        if not self.headers.get("Authorization", "").startswith(SIGNED):
            return self.answer(403, "")
        if body.startswith(b"Action=PutMetricData&"):  # of a protocol that botocore's model does not have any more
            self.cloud.record("PutMetricData", _form(body))
            return self.answer(200, "<PutMetricDataResponse/>", "text/xml")
        call = received(self, body)
        if call is None:
            return self.answer(400, "")
        try:
            check(call, body)
            self.cloud.record(call.operation, dict(call.params))
            result: Any = self.result(call)
        except Refused as refusal:
            result = refusal
        status, headers, content = call.answer(result)
        return self.answer(status, content, headers.pop("Content-Type", "text/xml"))

    def result(self, call: Call) -> dict[str, Any]:
        """What AWS answers; what it does to the instance is done.

        Raises:
            Refused: what AWS would refuse.
        """
        cloud, member, params = self.cloud, self.cloud.member, call.params
        if call.operation in cloud.refused:
            raise Refused(*cloud.refused[call.operation])
        match call.operation:
            case "GetSecretValue":
                arn = params["SecretId"]
                return {"ARN": arn, "Name": arn.rpartition(":")[2], "SecretString": cloud.secret(arn)}
            case "DescribeAutoScalingInstances":
                return {"AutoScalingInstances": [self.described(name) for name in params["InstanceIds"]]}
            case "DescribeTargetHealth":
                return {"TargetHealthDescriptions": [self.target_health(row) for row in params["Targets"]]}
            case "CompleteLifecycleAction":
                member.complete(params["InstanceId"], params["LifecycleActionResult"])
            case "RecordLifecycleActionHeartbeat":
                member.heartbeat(params["InstanceId"])
            case "SetInstanceHealth":
                member.unhealthy()
            case "RegisterTargets":
                member.register()
            case "DeregisterTargets":
                member.deregister()
            case "CreateLogStream" | "CreateLogGroup" | "PutLogEvents":
                pass
            case _:
                raise Refused("InvalidAction", f"{call.action} is not played here")
        return {}

    def described(self, instance: str) -> dict[str, Any]:
        return {
            "InstanceId": instance,
            "InstanceType": "g6.12xlarge",
            "AutoScalingGroupName": "fleet",
            "AvailabilityZone": "us-east-1a",
            "LifecycleState": self.cloud.member.settle(),
            "HealthStatus": "HEALTHY",
            "ProtectedFromScaleIn": False,
        }

    def target_health(self, row: dict[str, Any]) -> dict[str, Any]:
        self.cloud.member.settle()
        state = self.cloud.member.target
        reason = {"Reason": TARGET_REASONS[state]} if state in TARGET_REASONS else {}
        return {"Target": row, "HealthCheckPort": "8080", "TargetHealth": {"State": state, **reason}}


def check(call: Call, body: bytes) -> None:
    """Compares a request with botocore's model, and with what botocore itself would send for the same parameters.

    Raises:
        Refused: a parameter is missing, unknown or not allowed.
    """
    report = ParamValidator().validate(call.params, call.model.input_shape)
    if report.has_errors():
        raise Refused("ValidationError", report.generate_report())
    protocol = call.model.service_model.metadata["protocol"]
    sent = create_serializer(protocol).serialize_to_request(call.params, call.model)["body"]
    given = _form(body) if protocol == "query" else json.loads(body or b"{}")
    wanted = sent if protocol == "query" else json.loads(sent)
    if given != wanted:
        raise Refused("MalformedQueryString", f"{sorted(given)} is not {sorted(wanted)}")


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode()))
