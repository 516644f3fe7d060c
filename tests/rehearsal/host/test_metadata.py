"""The played metadata service, read by the clients that read the real one."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from botocore.utils import InstanceMetadataFetcher, InstanceMetadataRegionFetcher

from rehearsal.host.cloud import Cloud
from rehearsal.host.handler import listening
from rehearsal.host.metadata import CREDENTIALS, ROLE, TORN, Metadata


@pytest.fixture
def service() -> Iterator[tuple[Cloud, str]]:
    cloud = Cloud()
    with listening(Metadata, cloud=cloud) as port:
        yield cloud, f"http://127.0.0.1:{port}/"


def fetcher(url: str, attempts: int = 1) -> InstanceMetadataFetcher:
    config = {"ec2_metadata_service_endpoint": url, "ec2_metadata_v1_disabled": True}
    return InstanceMetadataFetcher(timeout=1, num_attempts=attempts, base_url=url, config=config)


def test_the_sdks_own_client_reads_it(service: tuple[Cloud, str]) -> None:
    _, url = service
    found = fetcher(url).retrieve_iam_role_credentials()
    assert found["role_name"] == "tandem-host"
    assert (found["access_key"], found["secret_key"], found["token"]) == (
        CREDENTIALS["AccessKeyId"], CREDENTIALS["SecretAccessKey"], CREDENTIALS["Token"],
    )  # fmt: skip
    region = InstanceMetadataRegionFetcher(
        base_url=url, timeout=1, num_attempts=1, config={"ec2_metadata_v1_disabled": True}
    )
    assert region.retrieve_region() == "us-east-1"


@pytest.mark.parametrize("odd", [404, 500, "", TORN, "{}", None])
def test_odd_answers_are_odd_to_the_sdk_and_then_over(service: tuple[Cloud, str], odd: int | str | None) -> None:
    cloud, url = service
    cloud.odd_answers = {ROLE + "tandem-host": [odd]}
    client = fetcher(url)
    assert client.retrieve_iam_role_credentials() == {}
    assert client.retrieve_iam_role_credentials()["role_name"] == "tandem-host"


def test_it_wants_a_session() -> None:
    with listening(Metadata, cloud=Cloud()) as port, pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/latest/meta-data/instance-id")


def test_the_target_state_follows_the_member(service: tuple[Cloud, str]) -> None:
    cloud, url = service
    path = "meta-data/autoscaling/target-lifecycle-state"
    assert read(url, path) == "InService"
    cloud.member.terminate()
    assert read(url, path) == "Terminated"


def read(url: str, path: str) -> str:
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    put = urllib.request.Request(f"{url}latest/api/token", headers=headers, method="PUT")
    with urllib.request.urlopen(put) as answer:
        token = answer.read().decode()
    request = urllib.request.Request(f"{url}latest/{path}", headers={"X-aws-ec2-metadata-token": token})
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()
