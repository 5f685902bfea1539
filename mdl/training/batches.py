"""What a cohort reads at every step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mdl.data import Gatherable, OnlineOrder, WindowOrder

if TYPE_CHECKING:
    from mdl.training.cohort_module import CohortModule


class CohortBatches:
    """The batches of every step from where the trainer stands (see `training_step`): a resumed run goes on exactly."""

    def __init__(self, module: CohortModule, source: Gatherable) -> None:
        self.module, self.source = module, source
        T, recipe = module.model.shape.context_tokens, module.recipe
        self.online = [
            OnlineOrder(m.seed, m.subset_length, T, recipe.batch_windows, recipe.steps)
            for m in module.members
            if recipe.online
        ]
        self.orders = [WindowOrder(m.seed, m.subset_length, T, recipe.batch_windows) for m in module.members]

    def __iter__(self) -> Iterator[Tensor]:
        for step in range(self.module.global_step, self.module.recipe.steps):
            yield torch.from_numpy(self._batch(step))

    def _batch(self, step: int) -> npt.NDArray[Any]:
        share, members = self.module.ranks.share, self.module.members
        if self.online:
            batch = np.array([order.batch(step) for order in self.online]).swapaxes(0, 1)
            batch[0] += np.array([[member.first] for member in members])
            return share(batch)
        starts = share(np.stack([m.first + order.starts(step) for m, order in zip(members, self.orders, strict=True)]))
        if self.module.resident:
            return starts
        T = self.module.model.shape.context_tokens
        return self.source.gather(starts.reshape(-1), T).reshape(*starts.shape, T)
