from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from blipvid.core.errors import CheckpointError
from blipvid.models.checkpoints import fetch, load_into, read_state
from tests.models.tiny import tiny_answerer, tiny_retriever, tiny_spec


class Opener:
    """Something a pickle would run on loading."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return print, ("opened",)


def test_official_and_plain_files(tmp_path: Path) -> None:
    state = tiny_retriever(tmp_path).state_dict()
    torch.save({"model": state, "epoch": 3}, tmp_path / "a.pth")
    torch.save(dict(state), tmp_path / "b.pt")
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "c.safetensors")
    for name in ("a.pth", "b.pt", "c.safetensors"):
        read = read_state(tmp_path / name)
        assert all(torch.equal(read[key], state[key]) for key in state)


def test_extra_keys_are_reported_and_wrapping_is_undone(tmp_path: Path) -> None:
    model = tiny_retriever(tmp_path)
    state = {f"module.{key}": value.clone() for key, value in model.state_dict().items()}
    state["module.image_queue"] = torch.zeros(8, 12)
    state["module.visual_encoder_m.norm.bias"] = torch.zeros(24)
    report = load_into(tiny_retriever(tmp_path), state, "file")
    assert set(report.dropped) == {"module.image_queue", "module.visual_encoder_m.norm.bias"}
    assert not report.matched
    assert len(report.renamed) == len(model.state_dict())
    assert "2 dropped" in str(report)


def test_half_precision_files_load_as_fp32(tmp_path: Path) -> None:
    model = tiny_retriever(tmp_path)
    halves = {key: value.half() for key, value in model.state_dict().items()}
    load_into(model, halves, "file")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.itm_head.weight, halves["itm_head.weight"].float())


def test_missing_and_misshapen_keys_are_errors(tmp_path: Path) -> None:
    model = tiny_retriever(tmp_path)
    state = dict(model.state_dict())
    without_head = {key: value for key, value in state.items() if not key.startswith("itm_head")}
    with pytest.raises(CheckpointError, match=r"file: 2 needed keys are missing \(first: itm_head.weight"):
        load_into(model, without_head, "file")
    captioner = {key: value for key, value in state.items() if key.startswith("visual_encoder")}
    captioner["text_decoder.bert.embeddings.word_embeddings.weight"] = torch.zeros(19, 16)
    with pytest.raises(CheckpointError, match="looks like a captioning checkpoint"):
        load_into(model, captioner, "file")
    with pytest.raises(CheckpointError, match=r"itm_head.bias is \(3,\) in the file and \(2,\) by the model file"):
        load_into(model, {**state, "itm_head.bias": torch.zeros(3)}, "file")


def test_position_table_is_resized_and_reported(tmp_path: Path) -> None:
    small, large = tiny_retriever(tmp_path), tiny_retriever(tmp_path, image_size=64)
    report = load_into(large, small.state_dict(), "file")
    assert report.resized == ("visual_encoder.pos_embed",)
    assert large.visual_encoder.pos_embed.shape == (1, 17, 24)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    state = {key: value.contiguous() for key, value in tiny_retriever(tmp_path).state_dict().items()}
    torch.save({"model": state}, path) if suffix == ".pth" else save_file(state, path)
    whole = path.read_bytes()
    for keep in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(CheckpointError, match="damaged or incomplete"):
            read_state(path)


def test_no_object_is_unpickled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": {"x": Opener()}}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError):
        read_state(tmp_path / "evil.pth")
    assert "opened" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [{}, {"model": {}}, {"model": {"x": 3}}, [1, 2], torch.zeros(3)])
def test_files_without_tensors_by_name(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="holds no tensors by name"):
        read_state(tmp_path / "odd.pth")


def test_sources_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        fetch(str(tmp_path / "absent.pth"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"holds none of model.safetensors"):
        fetch(str(tmp_path / "empty"))
    unreachable = "http://127.0.0.1:9/model.pth"
    with pytest.raises(CheckpointError, match=r"cannot be downloaded.*put the file at"):
        fetch(unreachable)
    with pytest.raises(CheckpointError, match="The mirror failed as well"):
        fetch(unreachable, "http://127.0.0.1:9/mirror.pth")


def test_mirror_and_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path))
    (tmp_path / "here.pth").write_bytes(b"x")
    assert fetch("http://127.0.0.1:9/model.pth", str(tmp_path / "here.pth")) == tmp_path / "here.pth"
    cached = tmp_path / "checkpoints" / "127.0.0.1:9" / "model.pth"
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(b"y")
    assert fetch("http://127.0.0.1:9/model.pth") == cached


def test_hub_cache_is_asked_before_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    asked = []

    def download(repository: str, name: str, local_files_only: bool = False) -> str:
        asked.append((name, local_files_only))
        if repository == "cached/repo" and name == "pytorch_model.bin":
            return str(tmp_path / name)
        if local_files_only or repository == "no/network":
            raise LocalEntryNotFoundError("nothing answered")
        raise EntryNotFoundError("404")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert fetch("hf:cached/repo") == tmp_path / "pytorch_model.bin"
    assert asked == [("model.safetensors", True), ("pytorch_model.bin", True)]
    with pytest.raises(CheckpointError, match="the hub cannot be reached"):
        fetch("hf:no/network")
    with pytest.raises(CheckpointError, match="holds none of"):
        fetch("hf:empty/repo")


def test_a_model_file_with_too_few_layers_is_an_error(tmp_path: Path) -> None:
    state = tiny_retriever(tmp_path).state_dict()
    for tower in ("vision", "text"):
        sizes = getattr(tiny_spec(tmp_path), tower)
        shallow = tiny_retriever(tmp_path, **{tower: sizes.model_copy(update={"depth": 1})})
        with pytest.raises(CheckpointError, match="more layers than the model file says"):
            load_into(shallow, state, "file")


WORDS, BIAS = "text_decoder.bert.embeddings.word_embeddings.weight", "text_decoder.cls.predictions.bias"
WORDS_AGAIN = "text_decoder.cls.predictions.decoder.weight"
BIAS_AGAIN = "text_decoder.cls.predictions.decoder.bias"


@pytest.mark.parametrize("names", [(WORDS, BIAS), (WORDS_AGAIN, BIAS_AGAIN), (WORDS, BIAS, WORDS_AGAIN, BIAS_AGAIN)])
def test_shared_tensors_load_under_either_name_or_both(tmp_path: Path, names: tuple[str, ...]) -> None:
    model = tiny_answerer(tmp_path)
    state = dict(model.state_dict())
    words, bias = state.pop(WORDS), torch.randn(len(state.pop(BIAS)))
    shared = {WORDS: words, WORDS_AGAIN: words.clone(), BIAS: bias, BIAS_AGAIN: bias.clone()}
    report = load_into(model, state | {name: shared[name] for name in names}, "file")
    assert torch.equal(model.text_decoder.bert.embeddings.word_embeddings.weight, words)
    assert torch.equal(model.text_decoder.cls.predictions.bias, bias)
    assert set(report.tied) == {WORDS_AGAIN, BIAS_AGAIN} & set(names)
    assert not report.dropped


def test_shared_tensors_that_differ_are_an_error(tmp_path: Path) -> None:
    model = tiny_answerer(tmp_path)
    state = dict(model.state_dict())
    with pytest.raises(CheckpointError, match="differ, but BLIP shares them"):
        load_into(model, {**state, WORDS_AGAIN: state[WORDS] + 1}, "file")


def test_a_retrieval_checkpoint_answers_no_questions(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="looks like a retrieval checkpoint"):
        load_into(tiny_answerer(tmp_path), tiny_retriever(tmp_path).state_dict(), "file")
