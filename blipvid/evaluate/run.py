"""The one door of evaluation: finds the task for a set and asks whether a model can do it, before any decoding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from blipvid.core.errors import CapabilityError
from blipvid.core.protocols import LoadClips, Progress, no_progress
from blipvid.core.settings import TaskSettings
from blipvid.core.types import (
    CaptionSet,
    ChoiceSet,
    DialogSet,
    EvaluationSet,
    PairSet,
    QuestionSet,
    Result,
    RetrievalSet,
    Runtime,
)
from blipvid.evaluate import answering, captioning, choosing, dialogs, judging, retrieval
from blipvid.evaluate.share import ALONE, Share


@dataclass(frozen=True, slots=True)
class Task:
    """What there is to know of a task.

    Attributes:
        name: As in benchmark files.
        evaluate: Does the work; takes set, model, loader, settings, runtime, progress, save_scores, share.
        needs: From the settings to what a model must be, each a choice of protocols.
        advice: What to do with a model that is something else.
    """

    name: str
    evaluate: Callable[..., Result]
    needs: Callable[[Any], Sequence[tuple[type, ...]]]
    advice: str = "Choose a model made for this task (`blipvid models list`)."


TASKS: dict[type, Task] = {
    RetrievalSet: Task("retrieval", retrieval.evaluate_retrieval, retrieval.needs),
    QuestionSet: Task("qa", answering.evaluate_answering, answering.needs),
    ChoiceSet: Task(
        "choice",
        choosing.evaluate_choosing,
        choosing.needs,
        "Choose another model (`blipvid models list`) or another 'choose_by': `rank` takes models that answer "
        "questions, `match` takes retrieval models.",
    ),
    CaptionSet: Task("caption", captioning.evaluate_captioning, captioning.needs),
    PairSet: Task("pairs", judging.evaluate_judging, judging.needs),
    DialogSet: Task("dialog", dialogs.evaluate_dialogs, dialogs.needs),
}


def evaluate(
    items: EvaluationSet,
    model: object,
    load: LoadClips,
    settings: TaskSettings,
    runtime: Runtime,
    progress: Progress = no_progress,
    save_scores: bool = False,
    share: Share = ALONE,
) -> Result:
    """Evaluates a model on a set.

    Args:
        items: The clips and what is asked about them; its type names the task.
        model: Any object with the methods that the task needs.
        load: Decodes clips in order; not called before the model was found able.
        settings: The task's own settings.
        runtime: Where and how fast.
        progress: Told how far the work is.
        save_scores: Whether the result holds dense score matrices.
        share: Which part of the work this process does.

    Returns:
        Metrics, intervals, predictions and what the record keeps.

    Raises:
        CapabilityError: The model lacks a method that the task needs, or nothing evaluates such a set.
        DoneElsewhere: This is one of several processes and not the first, which has the result.
    """
    task = task_for(items, type(model), settings)
    return task.evaluate(items, model, load, settings, runtime, share.counted(progress), save_scores, share)


def task_for(items: EvaluationSet, kind: type, settings: TaskSettings, called: str = "") -> Task:
    """Finds the task for a set and makes sure that a kind of model can do it; no model need be there yet.

    Args:
        items: The set.
        kind: Class of the model.
        settings: The task's own settings.
        called: What messages call the model besides the name of its class.

    Raises:
        CapabilityError: The class lacks a method that the task needs, or nothing evaluates such a set.
    """
    task = TASKS.get(type(items))
    if task is None:
        raise CapabilityError(f"nothing evaluates a {type(items).__name__}; known: {_names(TASKS)}.")
    lacking = [choice for choice in task.needs(settings) if not issubclass(kind, choice)]
    if lacking:
        methods = "; ".join(" or ".join(_lacking(kind, protocol) for protocol in choice) for choice in lacking)
        who = f"{called} ({kind.__name__})" if called else kind.__name__
        raise CapabilityError(f"{who} cannot do the task '{task.name}': it lacks {methods}. {task.advice}")
    return task


def _lacking(kind: type, protocol: type) -> str:
    return ", ".join(name for name in vars(protocol) if not name.startswith("_") and not hasattr(kind, name))


def _names(types: dict[type, Task]) -> str:
    return ", ".join(one.__name__ for one in types)
