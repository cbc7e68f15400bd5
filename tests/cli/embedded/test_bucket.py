"""SeaweedFS makes its bucket itself, and on a busy machine it has not: whoever waits for it does."""

import boto3
import pytest
from botocore.exceptions import ClientError

from cli.embedded import seaweed
from common.settings import settings


@pytest.mark.usefixtures("stack")
def test_a_bucket_that_was_not_made_is_made_and_asked_for_again() -> None:
    chosen = settings()
    key, secret = chosen.s3_access_key_id, chosen.s3_secret_access_key
    assert chosen.s3_endpoint_url
    assert key
    assert secret
    put = seaweed.probe(chosen.s3_endpoint_url, key, secret.get_secret_value(), "never-made")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        put()
    put()
    client = boto3.client(
        "s3", endpoint_url=chosen.s3_endpoint_url, aws_access_key_id=key,
        aws_secret_access_key=secret.get_secret_value(), region_name="us-east-1",
    )  # fmt: skip
    client.delete_object(Bucket="never-made", Key=".ready")
    client.delete_bucket(Bucket="never-made")
