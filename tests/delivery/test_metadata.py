"""What a file says about how it was made, and what it doesn't."""

from conftest import DEMO, request

from flux_worker import __version__
from flux_worker.contract.catalog import DEV, KONTEXT
from flux_worker.contract.request import ImageRequest
from flux_worker.delivery import metadata
from flux_worker.settings import Settings


def parameters(asked, **settings):
    return metadata.parameters(asked, metadata.maker(Settings(**settings)))


def test_a_file_names_what_made_it():
    assert parameters(request(negative_prompt="blue")) == {
        "prompt": "a red circle",
        "negative_prompt": "blue",
        "true_cfg_scale": 2.0,
        "width": 256,
        "height": 256,
        "num_inference_steps": 1,
        "guidance": 7.5,
        "seed": 7,
        "model": "FLUX.1-dev",
        "worker": __version__,
    }


def test_what_was_not_given_is_not_named():
    assert "negative_prompt" not in parameters(request())


def test_of_a_picture_no_more_is_named_than_that_there_was_one():
    address = "https://example.com/private.png?key=secret"
    said = parameters(request(image=address, mask_image=address, strength=0.5))
    assert (said["task"], said["strength"]) == ("inpainting", 0.5)
    assert "example.com" not in str(said)
    kontext = ImageRequest.parse({"prompt": "x", "image": address}, KONTEXT)[0]
    said = parameters(kontext)
    assert said["task"] == "editing"
    assert "strength" not in said


def test_loras_are_named_without_a_urls_query():
    loras = [
        {"path": "https://example.com/a.safetensors?token=secret#x", "scale": 0.5},
        {"path": "https://example.com/b.safetensors#secret"},
        {"path": "owner/name@v1/what?.safetensors"},
        {"path": "moon", "scale": -1},
    ]
    assert parameters(request(loras=loras))["loras"] == [
        {"path": "https://example.com/a.safetensors", "scale": 0.5},
        {"path": "https://example.com/b.safetensors", "scale": 1.0},
        {"path": "owner/name@v1/what?.safetensors", "scale": 1.0},
        {"path": "moon", "scale": -1.0},
    ]
    assert "loras" not in parameters(request(loras=[]))


def test_a_new_field_of_the_request_does_not_get_into_files_by_itself():
    class Larger(ImageRequest):
        reference: str = "data:image/png;base64,secret"

    asked = Larger.parse({"prompt": "x"}, DEV)[0]
    assert "secret" in asked.reference
    assert "secret" not in str(parameters(asked))


def test_a_fine_tune_is_named_by_its_repository_or_its_folder(tmp_path):
    def model(**settings):
        return parameters(request(), **settings)["model"]

    assert model(flux_model="schnell") == "FLUX.1-schnell"
    assert model(model_path="somebody/flux-tuned") == "somebody/flux-tuned"
    assert model(model_path=str(DEMO)) == "demo"
    assert model(model_path=f"{DEMO}/") == "demo"
    assert model(model_path="/") == "FLUX.1-dev"
    snapshot = tmp_path / "models--somebody--flux-tuned" / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    assert model(model_path=str(snapshot)) == "somebody/flux-tuned"
