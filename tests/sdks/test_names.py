"""Names and parameters of other houses, as the shipped catalogue has them: what programs order works with address and key changed."""

import base64
from typing import Any

import httpx
import pytest
import replicate
from openai import OpenAI

from models.catalogue.entries import STANDARD_FILE, Entry, read_file
from tests.sdks.fal_program import library
from tests.sdks.house import SdkHouse
from tests.support import eventually, one, rows

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

SHIPPED = {name: entry for entry in read_file(STANDARD_FILE).models for name in entry.aliases}
# What each dialect calls most, by the words of its own programs.
OPENAI = [name for name in SHIPPED if "/" not in name]  # and dall-e-2 and dall-e-3, which are ids
FAL = [name for name in SHIPPED if name.startswith("fal-ai/")]
REPLICATE = [name for name in SHIPPED if "/" in name and not name.startswith("fal-ai/")]


def test_twenty_names_of_each_house_are_there() -> None:
    assert min(len(OPENAI) + 2, len(FAL), len(REPLICATE)) >= 20
    assert len(set(SHIPPED)) == len(OPENAI) + len(FAL) + len(REPLICATE)


def smallest(entry: Entry) -> dict[str, Any]:
    """An input that is soon made."""
    needed: dict[str, Any] = dict.fromkeys(entry.input_schema["required"], "A harbour.")
    short = {"duration": 1, "seconds": 4} if entry.kind == "video" else {}
    return needed | {name: value for name, value in short.items() if name in entry.input_schema["properties"]}


def test_each_model_behind_a_name_makes_what_it_says(house: SdkHouse) -> None:
    _, key = house.key(credits=100_000)
    models = {entry.id: (name, entry) for name, entry in SHIPPED.items()}
    with httpx.Client(base_url=house.system.url, headers={"authorization": f"Bearer {key}"}, timeout=60) as http:
        for name, entry in models.values():
            made = http.post("/v1/jobs", json={"model": entry.id, "input": smallest(entry)})
            assert made.status_code == 201, (name, made.text)
        eventually(lambda: rows("select 1 from jobs where ended is null") == [], seconds=100)
        ended = {job["model"]: job for job in http.get("/v1/jobs", params={"limit": 50}).json()["data"]}
    kinds = {"image": "image/", "video": "video/mp4", "speech": "audio/wav", "text": "text/plain"}
    for model_id, (_, entry) in models.items():
        job = ended[model_id]
        assert job["status"] == "succeeded", (model_id, job["error"])
        assert job["outputs"][0]["media_type"].startswith(kinds[entry.kind]), model_id


def test_replicates_programs_get_a_list_or_one_as_they_expect(house: SdkHouse) -> None:
    client = replicate.Client(api_token=house.key()[1], base_url=f"{house.url}/compat/replicate")
    try:
        given = {"prompt": "a harbour", "aspect_ratio": "16:9", "go_fast": True, "output_quality": 80}
        drawn = client.run("black-forest-labs/flux-dev", input={**given, "num_outputs": 2, "megapixels": "1"})
        assert [each.read()[8:12] for each in drawn] == [b"WEBP"] * 2  # type: ignore[union-attr]  # a list
        single = client.run(
            "black-forest-labs/flux-1.1-pro", input={**given, "safety_tolerance": 2, "prompt_upsampling": True}
        )
        assert single.read()[:3] == b"\xff\xd8\xff"  # type: ignore[union-attr]  # a file
        film = client.run("google/veo-3", input={"prompt": "a harbour", "duration": 1, "generate_audio": True})
        assert film.read()[4:8] == b"ftyp"  # type: ignore[union-attr]  # a file
        made = client.predictions.list().results[-1]
        assert made.input == {**given, "num_outputs": 2, "megapixels": "1"} | {"output_format": "webp"}
        width, height = one("select width, height from assets where job_id = %s limit 1", made.id)
        assert abs(width / height - 16 / 9) < 0.05
        schema = client.models.get("black-forest-labs/flux-1.1-pro").latest_version.openapi_schema  # type: ignore[union-attr]  # it has one
        assert schema["components"]["schemas"]["Output"]["type"] == "string"
        assert "aspect_ratio" in schema["components"]["schemas"]["Input"]["properties"]
        with pytest.raises(replicate.exceptions.ReplicateError) as refused:
            client.run("black-forest-labs/flux-dev", input={"prompt": "x", "num_outputs": 9})
        assert "num_outputs" in str(refused.value)
    finally:
        client._client.close()


def test_fals_programs_order_by_their_parameters(house: SdkHouse) -> None:
    with library(house) as fal:
        client = fal.SyncClient(key=house.key()[1])
        given = {
            "prompt": "a harbour",
            "image_size": "portrait_16_9",
            "num_images": 2,
            "enable_safety_checker": True,
            "seed": 7,
        }
        drawn = client.subscribe("fal-ai/flux/schnell", {**given, "num_inference_steps": 4})
        assert [each["content_type"] for each in drawn["images"]] == ["image/jpeg"] * 2
        assert abs(drawn["images"][0]["height"] / drawn["images"][0]["width"] - 16 / 9) < 0.05
        exact = client.run(
            "fal-ai/fast-sdxl", {"prompt": "x", "image_size": {"width": 320, "height": 192}, "output_format": "png"}
        )
        assert (exact["images"][0]["width"], exact["images"][0]["height"], exact.get("seed")) == (320, 192, None)
        film = client.run("fal-ai/veo3", {"prompt": "a harbour", "duration": "1s", "aspect_ratio": "16:9"})
        assert film["video"]["content_type"] == "video/mp4"
        said = client.run("fal-ai/kokoro/american-english", {"prompt": "Hello there", "voice": "af_heart"})
        assert said["audio"]["content_type"] == "audio/wav"
        assert client.run("fal-ai/any-llm", {"prompt": "Why is the sea salt?", "model": "openai/gpt-4o"})["output"]
        with pytest.raises(fal.FalClientHTTPError) as refused:
            client.run("fal-ai/flux/schnell", {"prompt": "x", "image_size": "enormous"})
        assert refused.value.message[0]["loc"] == ["body", "image_size"]


def test_openais_programs_order_by_their_names(house: SdkHouse) -> None:
    with OpenAI(api_key=house.key()[1], base_url=f"{house.url}/compat/openai/v1") as client:
        drawn = client.images.generate(model="gpt-image-1", prompt="a harbour", size="1024x1024", quality="low", n=1)
        assert base64.b64decode((drawn.data or [])[0].b64_json or "")[:4] == b"\x89PNG"
        talk = [{"role": "user", "content": "Why is the sea salt?"}]
        assert client.chat.completions.create(model="gpt-4o-mini", messages=talk).choices[0].message.content  # type: ignore[arg-type]  # plain dicts
        assert client.responses.create(model="gpt-5", input="Why is the sea salt?").output_text
        spoken = client.audio.speech.create(model="tts-1", voice="nova", input="Hello", response_format="wav")
        assert spoken.read()[:4] == b"RIFF"
        film = client.videos.create_and_poll(
            model="sora-2", prompt="a harbour", seconds="4", size="1280x720", poll_interval_ms=300
        )
        assert (film.status, film.seconds, film.size) == ("completed", "4", "640x360")  # the size of what sketch draws
        assert {"gpt-image-1", "gpt-4o", "sora-2", "tts-1"} <= {each.id for each in client.models.list()}
