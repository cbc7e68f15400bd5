"""The house of the libraries stands: over TLS, under the address that answers name."""

import replicate

from tests.sdks.house import SdkHouse, needs_node


def test_a_library_orders_and_fetches_over_tls(house: SdkHouse) -> None:
    _, key = house.key()
    client = replicate.Client(api_token=key, base_url=f"{house.url}/compat/replicate")
    outputs = client.run("black-forest-labs/flux-schnell", input={"prompt": "a harbour", "seed": 7})
    assert [each.read()[:4] for each in outputs] == [b"\x89PNG"]


@needs_node
def test_an_npm_package_does_the_same(house: SdkHouse) -> None:
    _, key = house.key()
    found = house.run_node(
        """
        import Replicate from "replicate";
        const client = new Replicate({auth: process.env.KEY, baseUrl: `${process.env.URL}/compat/replicate/v1`});
        const [file] = await client.run("headrace/picture", {input: {prompt: "a harbour"}});
        const bytes = new Uint8Array(await (await file.blob()).arrayBuffer());
        console.log(JSON.stringify([...bytes.slice(0, 4)]));
        """,
        KEY=key,
    )
    assert found == [0x89, 0x50, 0x4E, 0x47]
