"""Buckets for tests: in production they are made beforehand, and by the local servers when they start."""

from botocore.exceptions import ClientError

from storage.s3 import Storage


def make_bucket(store: Storage) -> None:
    """Make a storage's bucket if it is missing."""
    try:
        store._client.head_bucket(Bucket=store._bucket)
    except ClientError:
        store._client.create_bucket(Bucket=store._bucket)
