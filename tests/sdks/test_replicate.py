"""Replicate's library for Python, unmodified, over TLS: what its programs call, and how that ends."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import replicate
from replicate.exceptions import ModelError, ReplicateError
from replicate.prediction import Prediction

from tests.files import picture
from tests.sdks.house import SdkHouse
from tests.support import eventually, one

TEXT_SCHEMA = {
    "type": "object", "additionalProperties": False, "properties": {"prompt": {"type": "string"}},
}  # fmt: skip
WITH_PICTURE = {
    "type": "object", "additionalProperties": False,
    "properties": {"prompt": {"type": "string", "default": "x"}, "image": {"type": "string", "format": "image"}},
}  # fmt: skip
SAYING = {"prompt": "Why is the sea salt, and who has put the salt into it? Say it in a few words."}


@pytest.fixture(scope="module", autouse=True)
def models(house: SdkHouse) -> None:
    """A text that takes its time, and a model that takes a picture."""
    house.offer(
        "slow-text", kind="text", input_schema=TEXT_SCHEMA,
        routes=[{"provider": "sketch", "model": "text", "options": {"delay_seconds": 1.0}}],
    )  # fmt: skip
    house.offer("moved", input_schema=WITH_PICTURE)


class Programs:
    """Clients of a house, closed in the end."""

    def __init__(self, house: SdkHouse) -> None:
        self._house, self._made = house, list[replicate.Client]()

    def __call__(self, key: str) -> replicate.Client:
        made = replicate.Client(api_token=key, base_url=f"{self._house.url}/compat/replicate")
        self._made.append(made)
        return made

    def close(self) -> None:
        for each in self._made:
            each._client.close()


@pytest.fixture
def programs(house: SdkHouse) -> Iterator[Programs]:
    made = Programs(house)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its programs look twice a second; tests have less time."""
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.05")


@pytest.fixture
def client(house: SdkHouse, programs: Programs) -> replicate.Client:
    return programs(house.key()[1])


def test_pictures_come_by_model_version_deployment_and_name(house: SdkHouse, client: replicate.Client) -> None:
    version = client.models.get("headrace/picture").latest_version
    assert version is not None
    asked = {"prompt": "a harbour", "seed": 3}
    for reference in (
        "headrace/picture",
        "black-forest-labs/flux-schnell",
        f"headrace/picture:{version.id}",
        version.id,
    ):
        outputs = client.run(reference, input=asked) if "/" in reference else client.run(version, input=asked)
        assert [each.read()[:4] for each in outputs] == [b"\x89PNG"], reference
    made = [
        client.predictions.create(version=version.id, input=asked),
        client.predictions.create(version="headrace/picture", input=asked),
        client.predictions.create(version=f"headrace/picture:{version.id}", input=asked),
        client.predictions.create(model="headrace/picture", input=asked),
        client.predictions.create(deployment="headrace/picture", input=asked),
        client.deployments.predictions.create("headrace/picture", input=asked),
    ]
    for each in made:
        assert (each.status, each.output, each.model, each.version) == (
            "starting",
            None,
            "headrace/picture",
            version.id,
        )
        each.wait()
        assert each.status == "succeeded"
        assert each.progress is not None
        assert (each.progress.percentage, each.progress.current, each.progress.total) == (1.0, 100, 100)
    waited = client.predictions.create(version=version.id, input=asked, wait=True)
    assert waited.status == "succeeded"
    assert waited.output[0].startswith(f"{house.url}/files/")
    assert httpx.get(waited.output[0]).status_code == 200
    assert "stream" not in (waited.urls or {})
    with pytest.raises(ReplicateError, match="does not support streaming"):
        next(client.stream("headrace/picture", input=asked))


def test_texts_are_streamed_iterated_and_whole(client: replicate.Client) -> None:
    eventually(lambda: _is_there(client, "headrace/slow-text"), what="the new model")
    whole = "".join(client.run("headrace/text", input=SAYING))
    assert len(whole) > 20
    version = client.models.get("headrace/text").latest_version
    assert version is not None
    assert "".join(client.run(f"headrace/text:{version.id}", input=SAYING)) == whole
    assert "".join(client.run(f"headrace/text:{version.id}", input=SAYING, wait=False)) == whole
    events = list(client.stream("headrace/slow-text", input=SAYING))
    assert [each.event.value for each in events][-1] == "done"
    assert len(events) > 1, "nothing was written before the end"
    assert "".join(map(str, events)) == whole
    prediction = client.predictions.create(model="headrace/text", input=SAYING)
    prediction.wait()
    again = list(prediction.stream())
    assert ["".join(map(str, again)), again[-1].event.value] == [whole, "done"]
    assert prediction.output == [whole]


def _is_there(client: replicate.Client, name: str) -> bool:
    try:
        return client.models.get(name).name != ""
    except ReplicateError:
        return False


def test_failures_refusals_and_cancels_are_what_its_programs_know(
    house: SdkHouse, client: replicate.Client, programs: Programs
) -> None:
    with pytest.raises(ModelError) as failed:
        client.run("headrace/broken", input={})
    assert failed.value.prediction.status == "failed"
    assert failed.value.prediction.error
    assert failed.value.prediction.output is None
    refused = (
        (lambda: client.run("headrace/picture", input={"nonsense": 1}), 422, "nonsense"),
        (lambda: client.run("headrace/nothing", input={}), 404, "headrace/nothing"),
        (lambda: client.predictions.create(version="0" * 64, input={}), 422, "version"),
        (lambda: client.predictions.get("nothing"), 404, "nothing"),
        (lambda: programs("r8_nobody").run("headrace/picture", input={}), 401, "not valid"),
        (lambda: programs(house.key(credits=0)[1]).run("headrace/picture", input={}), 402, "credits"),
        (client.collections.list, 404, ""),
        (client.trainings.list, 404, ""),
        (client.deployments.list, 404, ""),
    )
    for call, status, said in refused:
        with pytest.raises(ReplicateError) as error:
            call()
        assert error.value.status == status
        assert said in (error.value.detail or ""), error.value.detail
    slow = client.predictions.create(model="headrace/slow", input={})
    slow.cancel()
    slow.wait()
    assert (slow.status, slow.output, slow.error) == ("canceled", None, None)
    slow.cancel()  # one that is over answers as it is
    assert slow.status == "canceled"
    done = client.predictions.create(model="headrace/picture", input={})
    done.wait()
    assert client.predictions.cancel(done.id).status == "succeeded"


def test_a_job_that_outlasts_the_wait_is_waited_for(client: replicate.Client) -> None:
    version = client.models.get("headrace/slow").latest_version
    assert version is not None
    early = client.predictions.create(version=version, input={}, wait=2)
    assert (early.status, early.output) == ("starting", None)
    early.wait()
    assert early.status == "succeeded"
    at_once = client.predictions.create(version="headrace/slow", input={}, wait=1)
    assert at_once.status == "starting"
    outputs = client.run("headrace/slow", input={}, wait=2)
    assert [each.read()[:4] for each in outputs] == [b"\x89PNG"]


def test_lists_are_paged_by_whole_addresses(house: SdkHouse, client: replicate.Client) -> None:
    made = [client.predictions.create(model="headrace/picture", input={"seed": each}).id for each in range(5)]
    assert [each.id for each in client.predictions.list()] == made[::-1]
    first = client.predictions.list(f"{house.url}/compat/replicate/v1/predictions?limit=2")
    found, page = [each.id for each in first], first
    while page.next:
        assert page.next.startswith(f"{house.url}/compat/replicate/v1/predictions?")
        page = client.predictions.list(page.next)
        found += [each.id for each in page]
    assert found == made[::-1]
    models = client.models.list()
    names = {each.name for each in models}
    while models.next:
        models = client.models.list(models.next)
        names |= {each.name for each in models}
    assert names >= {"picture", "text", "sketch-image"}
    assert [each.name for each in client.models.search("flux schnell")][:2]


def test_files_are_sent_named_looked_at_and_deleted(house: SdkHouse, client: replicate.Client, tmp_path: Path) -> None:
    path = tmp_path / "boat.png"
    path.write_bytes(picture(size=(64, 64)))
    sent = client.files.create(path, metadata={"of": "a boat"})
    assert (sent.name, sent.content_type, sent.size, sent.metadata) == (
        "boat.png", "image/png", path.stat().st_size, {"of": "a boat"},
    )  # fmt: skip
    assert client.files.get(sent.id) == sent
    assert [each.id for each in client.files.list()] == [sent.id]
    eventually(lambda: _is_there(client, "headrace/moved"), what="the new model")
    for given in (io.BytesIO(picture(size=(32, 32))), path, sent.urls["get"]):
        prediction = client.predictions.create(version="headrace/moved", input={"image": given})
        assert (client.predictions.get(prediction.id).input or {})["image"].startswith("file_")
    as_text = client.predictions.create(
        version="headrace/moved", input={"image": io.BytesIO(picture(size=(32, 32)))}, file_encoding_strategy="base64"
    )
    assert (as_text.input or {})["image"].startswith("file_")
    first = client.run("headrace/picture", input={"prompt": "a harbour"})[0]
    again = client.run(
        "headrace/moved", input={"image": first.url}
    )  # what the one has brought is what the other is given
    assert [each.read()[:4] for each in again] == [b"\x89PNG"]
    assert client.files.delete(sent.id) is True
    with pytest.raises(ReplicateError) as gone:
        client.files.get(sent.id)
    assert gone.value.status == 404
    with pytest.raises(ReplicateError) as unknown:
        client.run("headrace/moved", input={"image": sent.urls["get"]})
    assert (unknown.value.status, "image" in (unknown.value.detail or "")) == (404, True)


def test_what_stands_beside_the_models(house: SdkHouse, client: replicate.Client) -> None:
    account = client.accounts.current()
    assert (account.type, bool(account.username)) == ("user", True)
    assert [each.sku for each in client.hardware.list()] == ["headrace"]
    assert client.webhooks.default.secret().key.startswith("whsec_")
    found = client.models.get("black-forest-labs/flux-schnell")
    assert (found.owner, found.name, found.visibility) == ("black-forest-labs", "flux-schnell", "public")
    versions = list(found.versions.list())
    assert [each.id for each in versions] == [found.latest_version.id]  # type: ignore[union-attr]  # the model of the house has a version
    schemas = found.versions.get(versions[0].id).openapi_schema["components"]["schemas"]
    assert schemas["Input"]["properties"]["prompt"]["type"] == "string"
    assert schemas["Output"]["items"] == {"type": "string", "format": "uri"}
    with pytest.raises(ReplicateError) as old:
        found.versions.get("f" * 64)
    assert old.value.status == 404


def test_the_same_without_blocking(client: replicate.Client) -> None:
    async def program(client: replicate.Client) -> tuple[list[bytes], str, str, Prediction]:
        outputs = await client.async_run("headrace/picture", input={"seed": 4})
        pictures = [(await each.aread())[:4] for each in outputs]
        whole = "".join(await client.async_run("headrace/text", input=SAYING))
        streamed = "".join([str(event) async for event in await client.async_stream("headrace/text", input=SAYING)])
        assert streamed == whole
        prediction = await client.predictions.async_create(model="headrace/slow", input={})
        await prediction.async_cancel()
        await prediction.async_wait()
        page = await client.predictions.async_list()
        assert page.results[0].id == prediction.id
        with pytest.raises(ModelError):
            await client.async_run("headrace/broken", input={})
        sent = await client.files.async_create(io.BytesIO(picture(size=(16, 16))))
        assert (await client.files.async_get(sent.id)).size == sent.size
        assert await client.files.async_delete(sent.id)
        await client._async_client.aclose()
        return pictures, whole, streamed, prediction

    pictures, whole, _, prediction = asyncio.run(program(client))
    assert (pictures, bool(whole), prediction.status) == ([b"\x89PNG"], True, "canceled")
    assert one("select ended from jobs where id = %s", prediction.id) == ("canceled",)
