"""AdamW, and learning rates as pure functions of the step."""

import math

import torch
from torch import nn

from blipvid.train.recipe import Optimiser, Schedule


def build_optimiser(module: nn.Module, settings: Optimiser) -> torch.optim.AdamW:
    """Returns fused AdamW over all trainable parameters, biases and norms included.

    Source: salesforce/BLIP train_retrieval.py (default eps, weight decay on everything).
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trainable, settings.lr, settings.betas, weight_decay=settings.weight_decay, fused=True)


def learning_rate(step: int, steps: int, epoch_steps: float, peak: float, schedule: Schedule) -> float:
    """Returns the learning rate of one step.

    Args:
        step: From 0.
        steps: Steps of the whole training.
        epoch_steps: Steps of one epoch.
        peak: Highest learning rate.
        schedule: Its course.

    Returns:
        The learning rate, constant inside an epoch where the schedule goes by epochs, rising linearly in the warm-up.

    Source: salesforce/BLIP utils.py (`cosine_lr_schedule`, `warmup_lr_schedule`, `step_lr_schedule`).
    """
    by_epoch = schedule.per == "epoch"
    # parity: where rates go by epochs, warm-up ends with the first one, finished or not (tests/train/test_optim.py)
    if step < (min(schedule.warmup_steps, epoch_steps) if by_epoch else schedule.warmup_steps):
        return schedule.warmup_lr + (peak - schedule.warmup_lr) * step / schedule.warmup_steps
    unit = epoch_steps if by_epoch else 1
    done, all_units = math.floor(step / unit), math.ceil(steps / unit)
    if schedule.kind == "cosine":
        return (peak - schedule.min_lr) * 0.5 * (1.0 + math.cos(math.pi * done / all_units)) + schedule.min_lr
    if schedule.kind == "step":
        return max(schedule.min_lr, peak * schedule.decay**done)
    return peak
