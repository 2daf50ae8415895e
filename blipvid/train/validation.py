"""Measures a model while it is trained, by the benchmarks and the code that measure finished models."""

import json
from functools import partial
from pathlib import Path

from blipvid.core.errors import ConfigError
from blipvid.core.files import replacing
from blipvid.core.types import EvaluationSet, Runtime
from blipvid.data.sets import load_set
from blipvid.data.spec import load_benchmark
from blipvid.evaluate.run import evaluate, task_for
from blipvid.media.loader import load_clips
from blipvid.models.blip import BlipModel
from blipvid.models.convert import convert
from blipvid.models.spec import ModelSpec
from blipvid.train import recipe

BEST = "best"
SCORE = "score.json"


class Validator:
    """Runs one benchmark on the model as it is, and keeps the best one.

    Args:
        settings: The validation part of the recipe.
        spec: Sizes of the model.
        kind: Its class.
        folder: Of the run; the best model so far is in `best`.
        data_root: Folder below which the benchmark's data lie, or None.

    Raises:
        BlipvidError: The benchmark or its data cannot be had, or the model cannot do it.
    """

    def __init__(
        self,
        settings: recipe.Validation,
        spec: ModelSpec,
        kind: type[BlipModel],
        folder: Path,
        data_root: Path | None = None,
    ) -> None:
        self.settings, self.spec, self.folder = settings, spec, folder / BEST
        self.benchmark = load_benchmark(settings.benchmark)
        if self.benchmark.frames.size != spec.image_size:
            raise ConfigError(
                f"benchmark '{self.benchmark.name}' shows frames of {self.benchmark.frames.size} px, and model "
                f"'{spec.name}' is trained on {spec.image_size} px; key 'validation.benchmark' of the recipe."
            )
        self.data_root = data_root
        self.items = load_set(self.benchmark, data_root, settings.limit).items
        task_for(self.items, kind, self.benchmark.settings, f"model '{spec.name}'")

    def rehearse(self, model: BlipModel) -> None:
        """Measures the untrained model on two clips, so that what is wrong shows before time is spent.

        Raises:
            BlipvidError: Whatever is wrong; see `__call__`.
        """
        training, few = model.training, load_set(self.benchmark, self.data_root, 2).items
        self._measure(model.eval(), few)
        model.train(training)

    def __call__(self, model: BlipModel, step: int) -> dict[str, float]:
        """Returns the metrics of a model in evaluation mode.

        Raises:
            ConfigError: The metric that decides is not among them.
        """
        metrics = self._measure(model, self.items)
        self._keep_best(model, metrics[self.settings.metric], step)
        return metrics

    def _measure(self, model: BlipModel, items: EvaluationSet) -> dict[str, float]:
        load = partial(load_clips, settings=self.benchmark.frames, workers=1)
        runtime = Runtime(device=str(model.device))
        metrics = dict(evaluate(items, model, load, self.benchmark.settings, runtime).metrics)
        if self.settings.metric not in metrics:
            raise ConfigError(
                f"benchmark '{self.benchmark.name}' gives no '{self.settings.metric}' but {', '.join(metrics)}; key "
                "'validation.metric' of the recipe."
            )
        return {name: float(value) for name, value in metrics.items()}

    def _keep_best(self, model: BlipModel, score: float, step: int) -> None:
        path = self.folder / SCORE
        if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["score"] >= score:
            return
        convert(model, self.spec, "blipvid", self.folder, self.spec.image_size)
        with replacing(path) as temporary:
            found = {"step": step, "metric": self.settings.metric, "score": score}
            temporary.write_text(json.dumps(found) + "\n", encoding="utf-8")
