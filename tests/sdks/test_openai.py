"""OpenAI's library for Python against a running system: what it sends, and what it makes of our answers."""

import asyncio
import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.files import picture
from tests.sdks.house import TEXT_SCHEMA, SdkHouse
from tests.support import eventually, rows

pytestmark = pytest.mark.filterwarnings(
    "ignore:The Sora API:DeprecationWarning",  # its library warns of the end of OpenAI's own
    "ignore:deprecated:DeprecationWarning",
)
Ordered = Callable[..., list[Any]]
PNG = b"\x89PNG"
WAV = b"RIFF"


@pytest.fixture
def theirs(house: SdkHouse) -> tuple[UUID, str]:
    """An account for one test, and its key."""
    return house.key()


@pytest.fixture
def client(house: SdkHouse, theirs: tuple[UUID, str]) -> Iterator[OpenAI]:
    """The library as a program makes it: an address and a key."""
    with OpenAI(api_key=theirs[1], base_url=f"{house.url}/compat/openai/v1") as made:
        yield made


@pytest.fixture
def ordered(theirs: tuple[UUID, str]) -> Ordered:
    """What a column of the account's jobs holds, in the order of their making."""
    account_id = theirs[0]
    return lambda what="id": [
        each for (each,) in rows(f"select {what} from jobs where account_id = %s order by id", account_id)
    ]


def test_pictures_come_as_bytes_or_as_addresses(client: OpenAI, house: SdkHouse, ordered: Ordered) -> None:
    made = client.images.generate(
        model="sketch-image", prompt="a harbour", n=2, size="256x128", quality="high", user="u"
    )
    assert [base64.b64decode(each.b64_json or "")[:4] for each in made.data or []] == [PNG, PNG]
    assert (made.size, made.output_format, [each.url for each in made.data or []]) == ("256x128", "png", [None, None])
    linked = client.images.generate(
        model="sketch-image", prompt="a harbour", response_format="url", output_format="webp", extra_body={"seed": 7}
    )
    assert (linked.data or [])[0].url.startswith(f"{house.url}/files/")  # type: ignore[union-attr]  # it is there
    assert linked.output_format == "webp"
    assert ordered("input->>'seed'")[-1] == "7"


def test_what_cannot_be_made_is_refused_by_its_name(client: OpenAI, ordered: Ordered) -> None:
    given: dict[str, object]
    for given, param in (
        ({"n": 99}, "n"), ({"size": "1x1"}, "size"), ({"size": "huge"}, "size"), ({"output_format": "svg"}, "output_format"),
        ({"response_format": "jpeg"}, "response_format"), ({"prompt": ""}, "prompt"), ({"model": "sketch-video"}, "model"),
        ({"background": "transparent"}, "background"), ({"extra_body": {"seed": -1}}, "seed"),
    ):  # fmt: skip
        with pytest.raises(openai.BadRequestError) as refused:
            client.images.generate(**{"model": "sketch-image", "prompt": "a harbour", **given})  # type: ignore[call-overload]  # wrong on purpose
        assert (refused.value.param, refused.value.type, ordered()) == (param, "invalid_request_error", [])


def test_refusals_are_the_errors_that_programs_know(client: OpenAI, house: SdkHouse) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.images.generate(model="nothing", prompt="a harbour")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError) as stranger:
        client.with_options(api_key="hr_nobody").models.list()
    assert (stranger.value.code, bool(stranger.value.request_id)) == ("invalid_api_key", True)
    _, poor = house.key(credits=0)
    with pytest.raises(openai.APIStatusError) as unpaid:
        client.with_options(api_key=poor).images.generate(model="sketch-image", prompt="a harbour")
    assert (unpaid.value.status_code, unpaid.value.type, unpaid.value.code) == (
        402,
        "insufficient_quota",
        "insufficient_quota",
    )
    assert unpaid.value.response.headers["x-should-retry"] == "false"
    for ask in (
        lambda: client.embeddings.create(model="x", input="y"),
        lambda: client.images.create_variation(image=picture()),
        lambda: client.models.retrieve("nothing"),
    ):
        with pytest.raises(openai.NotFoundError) as nothing:
            ask()
        assert nothing.value.code


def test_a_job_that_fails_is_one_job_and_says_why(client: OpenAI, ordered: Ordered) -> None:
    with pytest.raises(openai.InternalServerError) as failed:
        client.images.generate(model="broken", prompt="a harbour")
    assert failed.value.status_code == 502
    assert isinstance(failed.value.body, dict)
    assert [failed.value.body["job_id"]] == ordered("id::text")


def test_an_impatient_program_gets_one_job_for_three_posts(
    client: OpenAI, house: SdkHouse, theirs: tuple[UUID, str], ordered: Ordered
) -> None:
    seen = []
    hurried = client.with_options(timeout=1.0)
    original = hurried._client.send
    hurried._client.send = lambda *a, **k: (seen.append(1), original(*a, **k))[1]  # type: ignore[method-assign]  # counts
    with pytest.raises(openai.APITimeoutError):
        hurried.images.generate(model="slow", prompt="a harbour")
    [job_id] = ordered()
    assert (len(seen), rows("select count(*) from reservations where job_id = %s", job_id)) == (3, [(1,)])
    lost = "select 1 from idempotency_keys where account_id = %s and lost_at is not null"
    eventually(lambda: rows(lost, theirs[0]) != [])
    again = client.with_options(max_retries=0).images.generate(model="slow", prompt="a harbour")
    assert again.data
    assert ordered() == [job_id]
    assert house.provider_starts(job_id) == 1


def test_a_streamed_picture_is_complete_at_once(client: OpenAI) -> None:
    events = list(client.images.generate(model="slow", prompt="a harbour", stream=True, partial_images=2))
    assert [each.type for each in events] == ["image_generation.completed"]
    assert base64.b64decode(events[0].b64_json)[:4] == PNG
    with pytest.raises(openai.APIError) as failed:
        list(client.images.generate(model="broken", prompt="a harbour", stream=True))
    assert failed.value.code == "sketch_permanent"


EDITED = {
    "type": "object", "additionalProperties": False, "required": ["prompt", "image"],
    "properties": {
        "prompt": {"type": "string"}, "image": {"type": "string", "format": "image"},
        "count": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
    },
}  # fmt: skip


def test_pictures_are_edited(client: OpenAI, house: SdkHouse, theirs: tuple[UUID, str], ordered: Ordered) -> None:
    house.offer("editor", input_schema=EDITED)
    house_picture = picture(size=(64, 64))
    made = client.images.edit(model="editor", image=("a.png", io.BytesIO(house_picture)), prompt="bluer", n=2)
    assert len(made.data or []) == 2
    one_listed = client.images.edit(model="editor", image=[("a.png", house_picture)], prompt="bluer", n=1)
    assert len(one_listed.data or []) == 1
    assert {each[:4] for each in ordered("input->>'image'")} == {"file"}
    assert rows("select count(*) from uploads where account_id = %s", theirs[0]) == [(1,)]
    for given, param in (
        ({"image": [house_picture, house_picture]}, "image"), ({"image": house_picture, "mask": house_picture}, "mask"),
        ({"image": b"no picture"}, "image"), ({"image": house_picture, "size": "64x64"}, "size"),
    ):  # fmt: skip
        with pytest.raises(openai.BadRequestError) as refused:
            client.images.edit(model="editor", prompt="bluer", **given)  # type: ignore[call-overload]  # wrong on purpose
        assert refused.value.param == param


def test_a_video_from_its_order_to_its_bytes(client: OpenAI, house: SdkHouse) -> None:
    house.offer("film", kind="video", routes=[{"provider": "sketch", "model": "video"}], input_schema=FILM)
    done = client.videos.create_and_poll(model="film", prompt="a harbour", seconds="5", poll_interval_ms=300)
    assert (done.status, done.progress, done.seconds, done.error) == ("completed", 100, "5", None)
    assert client.videos.download_content(done.id).read()[4:8] == b"ftyp"
    assert client.videos.retrieve(done.id).completed_at is not None
    with pytest.raises(openai.BadRequestError):
        client.videos.download_content(done.id, variant="spritesheet")
    second = client.videos.create(model="film", prompt="two", input_reference=("a.png", picture(size=(64, 64))))
    assert second.status in ("queued", "in_progress")
    third = client.videos.create(model="film", prompt="three")
    assert [each.id for each in client.videos.list(limit=1)] == [third.id, second.id, done.id]
    assert [each.id for each in client.videos.list(limit=2, order="asc")] == [done.id, second.id, third.id]
    assert client.videos.delete(done.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(done.id)
    assert len(list(client.videos.list())) == 2
    for given, param in (({"seconds": "7"}, "seconds"), ({"size": "720x1280"}, "size")):
        with pytest.raises(openai.BadRequestError) as refused:
            client.videos.create(model="film", prompt="a harbour", **given)  # type: ignore[arg-type]  # wrong on purpose
        assert refused.value.param == param


FILM = {
    "type": "object", "additionalProperties": False, "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string"}, "duration_seconds": {"type": "integer", "enum": [5, 10], "default": 5},
        "image": {"type": "string", "format": "image"},
    },
}  # fmt: skip


def test_a_video_that_fails_ends_the_poll(client: OpenAI, house: SdkHouse) -> None:
    house.offer(
        "fails",
        kind="video",
        input_schema=FILM,
        routes=[{"provider": "sketch", "model": "video", "options": {"fail": "permanent"}}],
    )
    done = client.videos.create_and_poll(model="fails", prompt="a harbour", poll_interval_ms=100)
    assert done.status == "failed"
    assert done.error
    assert done.error.code == "sketch_permanent"


def test_speech_is_bytes_of_its_true_format(client: OpenAI, ordered: Ordered) -> None:
    for given in ({}, {"response_format": "wav", "speed": 1.5}, {"voice": {"id": "en"}}):
        spoken = client.audio.speech.create(
            **{"model": "sketch-speech", "input": "Hello there", "voice": "alloy", **given}
        )  # type: ignore[arg-type]  # several
        assert (spoken.read()[:4], spoken.response.headers["content-type"]) == (WAV, "audio/wav")
    assert ordered("(input->>'speed')::int") == [165, 248, 165]
    for wrong, param in (
        ({"response_format": "mp3"}, "response_format"),
        ({"voice": "Nobody?"}, "voice"),
        ({"speed": 9}, "speed"),
        ({"input": ""}, "input"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            client.audio.speech.create(**{"model": "sketch-speech", "input": "Hello", "voice": "alloy", **wrong})  # type: ignore[arg-type]  # wrong on purpose
        assert refused.value.param == param
    with client.audio.speech.with_streaming_response.create(
        model="sketch-speech", input="Hello", voice="en", stream_format="sse"
    ) as streamed:
        text = streamed.read().decode()
    assert "speech.audio.delta" in text
    assert "speech.audio.done" in text


def test_models_have_all_their_names(client: OpenAI) -> None:
    names = {each.id for each in client.models.list()}
    assert {"picture", "black-forest-labs/flux-schnell", "sketch-text"} <= names
    assert client.models.retrieve("black-forest-labs/flux-schnell").owned_by == "black-forest-labs"


def test_the_asynchronous_library_does_the_same(house: SdkHouse) -> None:
    _, key = house.key()

    async def ask() -> list[object]:
        async with AsyncOpenAI(api_key=key, base_url=f"{house.url}/compat/openai/v1") as client:
            made = await asyncio.gather(
                *(client.images.generate(model="picture", prompt="the same", response_format="url") for _ in range(3))
            )
            return [(each.data or [])[0].url for each in made]

    assert len(set(asyncio.run(ask()))) == 3  # equal orders whose connections are open are as many jobs


def test_a_conversation_is_answered_whole_or_as_it_is_written(client: OpenAI, ordered: Ordered) -> None:
    talk = [
        {"role": "system", "content": "Be short"},
        {"role": "user", "content": [{"type": "text", "text": "Why is the sea salt?"}]},
    ]
    whole = client.chat.completions.create(model="sketch-text", messages=talk, max_completion_tokens=50, seed=3)  # type: ignore[arg-type]  # plain dicts
    said = whole.choices[0].message.content
    assert (bool(said), whole.choices[0].finish_reason, whole.id[:9]) == (True, "stop", "chatcmpl-")
    assert whole.usage
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
    [given] = ordered("input")
    assert (given["system"], given["prompt"], given["max_tokens"]) == ("Be short", "Why is the sea salt?", 50)
    chunks = list(
        client.chat.completions.create(
            model="sketch-text", messages=talk, max_tokens=50, seed=3, stream=True, stream_options={"include_usage": True}  # type: ignore[arg-type]  # plain dicts
        )
    )  # fmt: skip
    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == said
    assert len({each.id for each in chunks}) == 1
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "stop"
    assert chunks[-1].usage == whole.usage
    assert len(chunks) > 3  # not the whole of it at its end alone
    for wrong, param in (
        ({"messages": []}, "messages"), ({"n": 2}, "n"), ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"), ({"max_tokens": 99999}, "max_tokens"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages"), ({"model": "picture"}, "model"),
    ):  # fmt: skip
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(**{"model": "sketch-text", "messages": talk, **wrong})  # type: ignore[call-overload]  # wrong on purpose
        assert refused.value.param == param


def test_responses_come_whole_streamed_and_in_the_background(client: OpenAI) -> None:
    whole = client.responses.create(model="sketch-text", input="Why is the sea salt?", instructions="Be short")
    assert whole.output_text
    assert whole.usage
    with client.responses.stream(model="sketch-text", input="Why is the sea salt?", instructions="Be short") as stream:
        deltas = [each.delta for each in stream if each.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == whole.output_text
    kept = client.responses.create(
        model="sketch-text", input=[{"role": "user", "content": "And the lake?"}], background=True
    )
    assert kept.status in ("queued", "in_progress", "completed")
    eventually(lambda: client.responses.retrieve(kept.id).status == "completed")
    assert client.responses.retrieve(kept.id).output_text
    client.responses.delete(kept.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="sketch-text", input="x", previous_response_id=kept.id)


def test_texts_that_fail_say_so_in_each_way(client: OpenAI, house: SdkHouse, ordered: Ordered) -> None:
    house.offer(
        "mute",
        kind="text",
        input_schema=TEXT_SCHEMA,
        routes=[{"provider": "sketch", "model": "text", "options": {"fail": "permanent"}}],
    )
    talk = [{"role": "user", "content": "Hello"}]
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="mute", messages=talk)  # type: ignore[arg-type]  # plain dicts
    with pytest.raises(openai.APIError) as failed:
        list(client.chat.completions.create(model="mute", messages=talk, stream=True))  # type: ignore[arg-type]  # plain dicts
    assert failed.value.code == "sketch_permanent"
    last = list(client.responses.create(model="mute", input="Hello", stream=True))[-1]
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert len(ordered()) == 3


def lines(*bodies: dict[str, object], url: str = "/v1/images/generations") -> bytes:
    """A batch's file."""
    return b"\n".join(
        json.dumps({"custom_id": f"c{at}", "method": "POST", "url": url, "body": body}).encode()
        for at, body in enumerate(bodies, 1)
    )


def test_a_batch_from_its_file_to_its_results(client: OpenAI, ordered: Ordered) -> None:
    sent = client.files.create(
        file=("in.jsonl", lines({"model": "picture", "prompt": "one"}, {"model": "picture", "n": 99}, {"model": "broken", "prompt": "three"})),
        purpose="batch",
    )  # fmt: skip
    assert (sent.filename, sent.purpose, sent.status) == ("in.jsonl", "batch", "processed")
    made = client.batches.create(
        input_file_id=sent.id, endpoint="/v1/images/generations", completion_window="24h", metadata={"of": "a test"}
    )
    assert (made.status, made.request_counts.total if made.request_counts else 0) == ("in_progress", 3)
    eventually(lambda: client.batches.retrieve(made.id).status == "completed")
    done = client.batches.retrieve(made.id)
    assert (done.endpoint, done.input_file_id, done.metadata) == ("/v1/images/generations", sent.id, {"of": "a test"})
    assert done.request_counts
    assert (done.request_counts.completed, done.request_counts.failed) == (1, 2)
    assert set(ordered("queue")) == {"batch"}
    (brought,) = map(json.loads, client.files.content(done.output_file_id or "").text.splitlines())
    assert (brought["custom_id"], brought["response"]["status_code"]) == ("c1", 200)
    assert brought["response"]["body"]["data"][0]["url"].startswith("https://")
    wrong = [json.loads(each) for each in client.files.content(done.error_file_id or "").text.splitlines()]
    assert [(each["custom_id"], each["response"]["status_code"]) for each in wrong] == [("c2", 400), ("c3", 502)]
    assert wrong[0]["response"]["body"]["error"]["param"] == "n"
    assert [each.id for each in client.batches.list()] == [made.id]
    assert client.files.retrieve(done.output_file_id or "").purpose == "batch_output"


def test_a_batch_of_texts_and_one_that_is_called_off(client: OpenAI) -> None:
    talk = {"model": "sketch-text", "messages": [{"role": "user", "content": "Why is the sea salt?"}]}
    sent = client.files.create(file=("in.jsonl", lines(talk, talk, url="/v1/chat/completions")), purpose="batch")
    made = client.batches.create(input_file_id=sent.id, endpoint="/v1/chat/completions", completion_window="24h")
    eventually(lambda: client.batches.retrieve(made.id).status == "completed")
    text = client.files.content(client.batches.retrieve(made.id).output_file_id or "").text
    assert all(json.loads(each)["response"]["body"]["choices"][0]["message"]["content"] for each in text.splitlines())
    slow = client.files.create(
        file=("in.jsonl", lines(*[{"model": "slow", "prompt": str(at)} for at in range(6)])), purpose="batch"
    )
    other = client.batches.create(input_file_id=slow.id, endpoint="/v1/images/generations", completion_window="24h")
    assert client.batches.cancel(other.id).status in ("cancelling", "cancelled")
    eventually(lambda: client.batches.retrieve(other.id).status == "cancelled")
    assert [each.id for each in client.batches.list(limit=1)] == [other.id, made.id]


def test_a_batch_that_is_none_orders_nothing(client: OpenAI, ordered: Ordered) -> None:
    twice = lines({"model": "picture", "prompt": "one"}).replace(b"}}", b"}}\n", 1) * 2
    for content, endpoint, param in (
        (twice, "/v1/images/generations", "custom_id"), (b"no json", "/v1/images/generations", "line 1"),
        (lines({"model": "picture"}), "/v1/chat/completions", "line 1"), (lines({"model": "picture", "n": 99}), "/v1/images/generations", "line 1"),
        (lines({}), "/v1/embeddings", "endpoint"),
    ):  # fmt: skip
        sent = client.files.create(file=("in.jsonl", content), purpose="batch")
        with pytest.raises(openai.BadRequestError) as refused:
            client.batches.create(input_file_id=sent.id, endpoint=endpoint, completion_window="24h")  # type: ignore[arg-type]  # wrong on purpose
        assert (refused.value.param, ordered()) == (param, [])


def test_files_are_sent_listed_read_and_deleted(client: OpenAI, house: SdkHouse) -> None:
    house.offer("editor", input_schema=EDITED)
    content = picture()
    sent = [client.files.create(file=(f"{at}.png", content), purpose="vision") for at in range(3)]
    assert (sent[0].filename, sent[0].purpose, sent[0].bytes) == ("0.png", "vision", len(content))
    assert [each.id for each in client.files.list(limit=2)] == [each.id for each in reversed(sent)]
    assert [each.id for each in client.files.list(order="asc", purpose="vision")] == [each.id for each in sent]
    assert list(client.files.list(purpose="batch")) == []
    assert client.files.content(sent[0].id).read() == content
    assert client.files.delete(sent[0].id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(sent[0].id)
    for given, param in (({"file": b"no picture"}, "file"), ({"purpose": "fine-tune"}, "purpose")):
        with pytest.raises(openai.BadRequestError) as refused:
            client.files.create(**{"file": content, "purpose": "vision", **given})  # type: ignore[arg-type]  # wrong on purpose
        assert refused.value.param == param
