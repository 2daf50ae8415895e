"""Which model is which: names to model files, model files to loaded models."""

from dataclasses import dataclass
from pathlib import Path

import torch

from blipvid.core.config import did_you_mean, read_yaml, validate
from blipvid.core.errors import CheckpointError, ConfigError
from blipvid.core.files import file_sha256
from blipvid.core.places import PACKAGE, definitions
from blipvid.models.answerer import BlipAnswerer
from blipvid.models.blip import BlipModel
from blipvid.models.captioner import BlipCaptioner
from blipvid.models.checkpoints import WEIGHT_FILES, KeyReport, fetch, load_into, read_state
from blipvid.models.dialog_ranker import BlipDialogRanker
from blipvid.models.pair_judge import BlipPairJudge
from blipvid.models.precision import Precision, forbid_tf32
from blipvid.models.pretrained import BlipPretrained
from blipvid.models.retriever import BlipRetriever
from blipvid.models.spec import ModelSpec, Task
from blipvid.models.tokenizer import load_tokenizer

_BUILDERS: dict[Task, type[BlipModel]] = {
    "pretrain": BlipPretrained,
    "retrieval": BlipRetriever,
    "caption": BlipCaptioner,
    "vqa": BlipAnswerer,
    "nlvr": BlipPairJudge,
    "visdial": BlipDialogRanker,
}


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for use, and where it came from.

    Attributes:
        spec: The model file.
        model: In evaluation mode, on its device.
        report: What became of each key of the checkpoint.
        sha256: Of the checkpoint file.
        source: Path of the checkpoint file.
        image_size: Side in pixels of the pictures it takes now.
    """

    spec: ModelSpec
    model: BlipModel
    report: KeyReport
    sha256: str
    source: Path
    image_size: int


def list_models() -> list[str]:
    """Returns the names of the shipped model files, sorted."""
    return sorted(path.stem for path in definitions("configs/models").glob("*.yaml"))


def load_spec(name_or_path: str) -> ModelSpec:
    """Reads a model file.

    Args:
        name_or_path: A shipped name, or the path of a `.yaml` file; paths in the file are relative to it.

    Returns:
        The checked model file, its paths made absolute.

    Raises:
        ConfigError: No such model, or mistakes in the file, all named.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = definitions("configs/models") / f"{name_or_path}.yaml"
        if not path.is_file():
            hint = did_you_mean(name_or_path, list_models())
            raise ConfigError(f"unknown model '{name_or_path}'.{hint} 'blipvid models list' shows all.")
    spec = validate(ModelSpec, read_yaml(path), path)
    return spec.model_copy(
        update={
            "checkpoint": _absolute(spec.checkpoint, path.parent),
            "mirror": _absolute(spec.mirror, path.parent) if spec.mirror else None,
            "vocab": _vocabulary(spec.vocab, path.parent),
        }
    )


def _absolute(source: str, folder: Path) -> str:
    remote = source.startswith(("hf:", "https://", "http://", "shipped:"))
    return source if remote else str((folder / Path(source).expanduser()).resolve())


def _vocabulary(vocab: str, folder: Path) -> str:
    if vocab.startswith("shipped:"):
        return str(PACKAGE / vocab.removeprefix("shipped:"))
    beside = (folder / Path(vocab).expanduser()).resolve()
    return str(beside) if beside.is_file() or beside.suffix == ".txt" else vocab


def model_class(spec: ModelSpec) -> type[BlipModel]:
    """Returns the class that a model file asks for, from which its abilities can be read without any weights."""
    return _BUILDERS[spec.task]


def build(spec: ModelSpec, image_size: int | None = None, drop_path: float = 0.0) -> BlipModel:
    """Builds an untrained model.

    Args:
        spec: The model file.
        image_size: Side in pixels of the pictures, where it differs from the file's.
        drop_path: Stochastic depth of the vision tower; training only.

    Raises:
        CapabilityError: The task needs towers of one width, and these are not.
        ConfigError: The vocabulary cannot be loaded, or does not have the size that the model file states.
    """
    kind = model_class(spec)
    tokenizer = load_tokenizer(spec.vocab)
    stated = spec.text.vocab_size
    if stated not in (None, len(tokenizer), len(tokenizer) - 2):  # with or without [DEC] and [ENC]
        raise ConfigError(
            f"model '{spec.name}': 'text.vocab_size' is {stated}, but vocabulary {spec.vocab} "
            f"has {len(tokenizer)} pieces with [DEC] and [ENC]; mend one of them."
        )
    return kind(spec, tokenizer, image_size, drop_path)


def load_model(
    name_or_path: str, *, device: str = "cpu", precision: str = "fp32", image_size: int | None = None
) -> LoadedModel:
    """Loads a model with its weights.

    Args:
        name_or_path: A shipped name, or the path of a model file.
        device: Torch device.
        precision: `fp32`, `bf16` or `fp16`.
        image_size: Side in pixels of the pictures it shall take; the position table is resized where it differs.

    Returns:
        The model in evaluation mode, and its provenance.

    Raises:
        ConfigError: No such model, or a wrong model file.
        CheckpointError: The weights cannot be fetched, are damaged, are not the ones named, or do not fit.
        CapabilityError: The task needs towers of one width, and these are not.
    """
    spec = load_spec(name_or_path)
    arithmetic = Precision(precision)
    with torch.device("meta"):  # every parameter comes from the file
        model = build(spec, image_size)
    source, sha256 = fetch_weights(spec)
    report = load_into(model, read_state(source), str(source))
    forbid_tf32()
    model.precision = arithmetic
    model.eval().requires_grad_(requires_grad=False).to(device)
    return LoadedModel(spec, model, report, sha256, source, image_size or spec.image_size)


def fetch_weights(spec: ModelSpec) -> tuple[Path, str]:
    """Finds the weights of a model, downloading them once where needed, and checks them.

    Returns:
        Path and sha256 of the file.

    Raises:
        CheckpointError: They cannot be fetched, or are not the ones that the model file names.
    """
    source = fetch(spec.checkpoint, spec.mirror)
    sha256 = file_sha256(source)
    if spec.sha256 and sha256 != spec.sha256 and not _is_mirror(spec, source):
        raise CheckpointError(
            f"{source}: sha256 is {sha256}, but model '{spec.name}' names {spec.sha256}; "
            "the file is damaged or another one, delete it and fetch it again."
        )
    return source, sha256


def _is_mirror(spec: ModelSpec, source: Path) -> bool:
    """The mirror holds the same weights in another layout, so the hash of the first file says nothing about it."""
    return spec.mirror is not None and spec.mirror.startswith("hf:") and source.name in WEIGHT_FILES
