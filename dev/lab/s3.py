"""The S3 server of the development cluster: brought up as a pod, reached as any store would be.

Neighbours: `images` builds versitygw, `cluster` applies the manifest. The operator and the fetcher
use `Store.endpoint`; a program on the host uses `Store.host_endpoint`, which is the Service's
address, routed. Must not upload anything.
"""

from dataclasses import dataclass, replace
from string import Template
from typing import TYPE_CHECKING

from lab import images
from lab.cluster import MANIFESTS, Cluster
from lab.errors import LabError
from lab.instance import Instance, current
from lab.progress import step

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAMESPACE = "storage"
PORT = 7070
REGION = "us-east-1"
#: Of no use anywhere else: the server is reachable from this machine alone and holds test models.
ACCESS_KEY = "development"
SECRET_KEY = "development-only-not-secret"


@dataclass(frozen=True)
class Store:
    """How to reach the server, and as whom."""

    endpoint: str
    host_endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    region: str = REGION

    def client(self) -> "S3Client":
        """A boto3 client for the host. Short timeouts: the server is one hop away."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.host_endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(
                connect_timeout=3,
                read_timeout=30,
                retries={"max_attempts": 2},
                s3={"addressing_style": "path"},
                proxies={},
            ),
        )


def ensure(instance: Instance | None = None) -> Store:
    """The S3 server, started if it is not there, and answering. Raises LabError."""
    instance = instance or current()
    cluster = Cluster(instance)
    image = images.ensure("versitygw", instance)
    with step("starting the S3 server"):
        cluster.apply(manifest(image.reference))
        cluster.wait_rolled_out(NAMESPACE, "s3")
    service = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/services/s3")
    if service is None:
        raise LabError("the Service of the S3 server vanished while it was started")
    address = service["spec"]["clusterIP"]
    name = f"s3.{NAMESPACE}.svc.cluster.local"
    return Store(f"http://{name}:{PORT}", f"http://{address}:{PORT}")


def account(name: str, instance: Instance | None = None, role: str = "user") -> Store:
    """The server as a second account sees it.

    Made on first use, its secret derived from `name`. A "user" owns nothing and is refused
    everywhere, for tests of refusals; an "admin" may all, for tests of keys that are replaced.
    """
    instance = instance or current()
    cluster, main = Cluster(instance), ensure(instance)
    secret = f"{name}-{SECRET_KEY}"
    inside = ["--access", ACCESS_KEY, "--secret", SECRET_KEY]
    admin = ["versitygw", "admin", *inside, "--endpoint-url", f"http://127.0.0.1:{PORT}"]
    in_pod = ["-n", NAMESPACE, "exec", "deploy/s3", "--", *admin]
    if name not in cluster.kubectl(*in_pod, "list-users").split():
        made = ["create-user", "--access", name, "--secret", secret, "--role", role]
        cluster.kubectl(*in_pod, *made)
    return replace(main, access_key=name, secret_key=secret)


def manifest(image: str) -> str:
    """Everything of the server as YAML, for a given image."""
    values = {
        "NAMESPACE": NAMESPACE,
        "IMAGE": image,
        "ACCESS_KEY": ACCESS_KEY,
        "SECRET_KEY": SECRET_KEY,
    }
    return Template((MANIFESTS / "s3.yaml").read_text()).substitute(values)
