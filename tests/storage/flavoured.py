"""S3 as others serve it: a stretch of network in front of moto that holds us to what each of them takes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.storage.between import Between, _Handler
from tests.storage.scripted import serving


@dataclass
class Flavour(Between):
    """What this S3 insists on.

    prefix: it lives under a path; old: newer checksums are refused (older MinIO, R2, Ceph); anonymous: signatures are;
    region: that it is signed for; unlisted: the credentials may not list, so that what is not there is forbidden.
    """

    prefix: str = ""
    old: bool = False
    anonymous: bool = False
    region: str = ""
    unlisted: bool = False
    refused: list[str] = field(default_factory=list)

    def why_not(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Why a request is refused."""
        given = {name.lower(): value for name, value in headers.items()}
        signed = given.get("authorization", "") or (path if "X-Amz-Signature" in path else "")
        if not path.startswith(f"{self.prefix}/"):
            return 404, "NoSuchBucket"
        if self.old and (
            any(name.startswith(("x-amz-checksum", "x-amz-sdk-checksum", "x-amz-trailer")) for name in given)
            or "aws-chunked" in given.get("content-encoding", "")
            or given.get("x-amz-content-sha256", "").startswith("STREAMING")
        ):
            return 501, "NotImplemented"
        if self.anonymous and signed:
            return 403, "AccessDenied"
        if self.region and f"/{self.region}/s3/" not in signed.replace("%2F", "/"):
            return 400, "AuthorizationHeaderMalformed"
        listing = method in {"GET", "HEAD"} and path.partition("?")[0].strip("/").count("/") == 0
        return (403, "AccessDenied") if self.unlisted and listing else None


class _Flavoured(_Handler):
    between: Flavour

    def carry(self) -> None:
        flavour = self.between
        refusal = flavour.why_not(self.command, self.path, self.headers)
        if refusal is not None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            flavour.refused.append(f"{self.command} {self.path}: {refusal[1]}")
            self._answer(refusal[0], {}, f"<Error><Code>{refusal[1]}</Code></Error>".encode())
            return
        self.path = self.path[len(flavour.prefix) :]
        if flavour.anonymous:  # moto lets nobody in without a word on who it is
            self.headers["Authorization"] = "AWS anybody:unsigned"
        super().carry()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        if self.between.unlisted and status == 404:
            status, headers, body = 403, {}, b"<Error><Code>AccessDenied</Code></Error>"
        super()._answer(status, headers, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = carry  # noqa: N815 - the server's names


@contextmanager
def flavoured(target: str, **flavour: str | bool) -> Iterator[Flavour]:
    """An S3 of this flavour, for the time of a block; `url` is its endpoint."""
    with serving() as (server, url):
        made = Flavour(f"{url}{flavour.get('prefix', '')}", target, **flavour)
        server.RequestHandlerClass = type("Handler", (_Flavoured,), {"between": made})
        try:
            yield made
        finally:
            made.be("away")
