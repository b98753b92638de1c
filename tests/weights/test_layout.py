"""Which files are read, and what is said of those that can't be."""

import json
import shutil

import pytest
from conftest import DEMO
from rights import forbidden

from flux_worker.weights import layout
from flux_worker.weights.layout import Unusable, pipeline_class, require_complete, weight_files

VAE = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture
def weights(tmp_path):
    return shutil.copytree(DEMO, tmp_path / "w")


def fault(folder):
    with pytest.raises(Unusable) as caught:
        require_complete(folder)
    return str(caught.value)


def in_shards(folder):
    """Make the transformer one of two shards, of which the index names both."""
    whole = folder / "transformer/diffusion_pytorch_model.safetensors"
    names = [f"{whole.stem}-0000{n}-of-00002.safetensors" for n in (1, 2)]
    whole.rename(whole.with_name(names[0]))
    index = {"weight_map": dict(zip("abc", [*names, names[0]], strict=True))}
    whole.with_name(f"{whole.name}.index.json").write_text(json.dumps(index))
    return names


def test_complete_weights_lack_nothing():
    require_complete(DEMO)


def test_a_missing_shard_is_named(weights):
    first, second = in_shards(weights)
    assert fault(weights) == f"transformer/{second} is missing"
    shutil.copy(weights / "transformer" / first, weights / "transformer" / second)
    require_complete(weights)
    found = weight_files(weights, "transformer")
    assert [file.name for file in found] == [first, second]


def test_other_precisions_are_neither_read_nor_taken_for_the_default_one(weights):
    file = weights / VAE
    for variant in ("fp16", "bf16"):
        shutil.copy(file, file.with_name(f"{file.stem}.{variant}.safetensors"))
        index = file.with_name(f"{file.name}.index.{variant}.json")
        index.write_text('{"weight_map": {"a": "gone.safetensors"}}')
        (file.parent / f"{file.stem}.{variant}.safetensors.index.json").write_text("damaged")
    require_complete(weights)
    assert weight_files(weights, "vae") == [file]
    file.unlink()
    assert fault(weights) == f"{VAE} is missing"


@pytest.mark.parametrize(
    "lost",
    [
        "model_index.json",
        "scheduler/scheduler_config.json",
        *(f"{component}/config.json" for component in layout.WEIGHTS),
    ],
)
def test_a_missing_file_is_named(weights, lost):
    (weights / lost).unlink()
    assert fault(weights) == f"{lost} is missing"


@pytest.mark.parametrize("lost", ["tokenizer/tokenizer.json", "tokenizer_2/tokenizer.json"])
def test_weights_without_a_vocabulary_are_incomplete(weights, lost):
    (weights / lost).unlink()
    assert fault(weights) == f"{lost} is missing"


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "null", "[" * 100_000, "{}", '{"weight_map": 5}', '{"weight_map": {}}'),
        *('{"weight_map": {"a": 1, "b": "c"}}', '{"weight_map": {"a": ["b"]}}'),
        *('{"weight_map": {"a": "../x.safetensors"}}', '{"weight_map": {"a": "x.bin"}}'),
        *('{"weight_map": {"a": "\\u0000.safetensors"}}', '{"weight_map": {"a": null}}'),
    ],
    ids=lambda content: content[:40],
)
def test_an_index_that_names_no_files_is_damaged(weights, content):
    (weights / f"{VAE}.index.json").write_text(content)
    assert fault(weights) == f"{VAE}.index.json is damaged"


def links(file):
    """Whatever may be left in the place of a file."""
    yield lambda: None, "is missing"
    yield lambda: file.symlink_to("gone"), "is missing"
    yield lambda: file.symlink_to(file.name), "can't be read (Too many levels of symbolic links)"
    yield lambda: file.write_bytes(b""), "is empty"
    yield lambda: file.mkdir(), "can't be read (Is a directory)"


@pytest.mark.parametrize("case", range(5))
@pytest.mark.parametrize(
    "name", ["model_index.json", "scheduler/scheduler_config.json", "vae/config.json", VAE]
)
def test_what_is_no_file_is_named_with_the_reason(weights, name, case):
    file = weights / name
    file.unlink()
    make, reason = list(links(file))[case]
    make()
    assert fault(weights) == f"{name} {reason}"


@pytest.mark.parametrize("content", ["{", "[]", "null", "\xff", "[" * 10**5])
@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer_2/tokenizer.json",
        "text_encoder/config.json",
    ],
)
def test_json_that_is_no_object_is_damaged(weights, name, content):
    (weights / name).write_bytes(content.encode("latin-1"))
    assert fault(weights) == f"{name} is damaged"


def test_what_may_not_be_read_is_no_missing_file(weights):
    with forbidden(weights):
        assert fault(weights) == "model_index.json can't be read (Permission denied)"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"_class_name": ["x"]}', "\xff", "[" * 10**5])
def test_an_index_that_names_no_pipeline_is_damaged(weights, content):
    assert pipeline_class(weights) == "FluxPipeline"
    (weights / "model_index.json").write_bytes(content.encode("latin-1"))
    assert pipeline_class(weights) is None
    assert "model_index.json" in fault(weights)


def test_a_single_file_must_be_converted(tmp_path):
    (tmp_path / "tuned.safetensors").write_bytes(b"all in one")
    for path in (tmp_path, tmp_path / "tuned.safetensors"):
        assert fault(path).startswith("tuned.safetensors is a checkpoint in a single file, which")
        assert "from_single_file and save_pretrained" in fault(path)


@pytest.mark.parametrize(
    ("wanted", "parts"),
    [
        ("somebody/flux", ("somebody/flux", None)),
        ("somebody/flux@v1.0", ("somebody/flux", "v1.0")),
        ("somebody/flux@refs/pr/3", ("somebody/flux", "refs/pr/3")),
        ("somebody/flux@", ("somebody/flux@", None)),
        ("@v1", ("@v1", None)),
    ],
)
def test_a_revision_follows_an_at_sign(wanted, parts):
    assert layout.split(wanted) == parts
