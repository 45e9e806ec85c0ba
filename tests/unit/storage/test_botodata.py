"""The slim data of botocore makes the same client: same operations, shapes and endpoints."""

import boto3
import botocore.session
import pytest

from savedmodel_operator.storage.botodata import slim_loader


def client(slim, **given):
    core = botocore.session.Session()
    if slim:
        core.register_component("data_loader", slim_loader())
    session = boto3.session.Session(botocore_session=core)
    return session.client("s3", aws_access_key_id="a", aws_secret_access_key="b", **given)


def described(made):
    """Operation → names of its input and output members."""
    model = made.meta.service_model
    return {
        name: [
            sorted(shape.members) if shape is not None else None
            for shape in (
                model.operation_model(name).input_shape,
                model.operation_model(name).output_shape,
            )
        ]
        for name in model.operation_names
    }


def test_every_operation_keeps_its_members():
    assert described(client(True, region_name="eu-west-1")) == described(
        client(False, region_name="eu-west-1")
    )


@pytest.mark.parametrize(
    "region", ["us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1", "af-south-1", "x-new-1"]
)
def test_every_region_keeps_its_endpoint(region):
    def url(slim):
        made = client(slim, region_name=region)
        return made.meta.endpoint_url, made.generate_presigned_url(
            "get_object", Params={"Bucket": "models", "Key": "a"}
        ).partition("?")[0]

    assert url(True) == url(False)


def documentation(value):
    """Every text under that key, however deep."""
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = {t for part in below for t in documentation(part)}
    if isinstance(value, dict) and isinstance(value.get("documentation"), str):
        found.add(value["documentation"])
    return found


def test_nothing_is_left_of_the_documentation():
    core = botocore.session.Session()
    core.register_component("data_loader", slim_loader())
    model = core.get_component("data_loader").load_service_model("s3", "service-2")
    assert documentation(model) == {""}
