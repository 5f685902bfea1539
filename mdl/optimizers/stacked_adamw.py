"""AdamW on stacked models, each member as if it were alone, with its own factor on the rate.

On the CPU a member's bits do not depend on its companions. So every operation here is one that IEEE 754 defines:
torch's fused AdamW rounds the last few numbers of a tensor otherwise than those before, and which those are depends on
how many members there are (seen at width 12); lerp and addcmul may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class StackedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov & Hutter 2019) over weights (M, …).

    A group has its own `lr`, `weight_decay` (decoupled) and `betas`. `lr_scale` (M,) is each member's factor on every
    rate. A weight needs a gradient at every step. With `capturable` (on CUDA) a step can be recorded in a CUDA graph
    once each group's `lr` is a tensor on the device.
    """

    scales_rates = True

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        lr_scale: Tensor | None = None,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        capturable: bool = False,
        **defaults: Any,
    ) -> None:
        """ValueError for a rate that is not above 0. `defaults`: further keys of groups, and what they are unsaid."""
        if lr <= 0:
            raise ValueError(f"a learning rate is above 0, got {lr}")
        adamw = torch.optim.AdamW(
            [torch.zeros(1)], lr=lr, betas=betas, weight_decay=weight_decay, capturable=capturable
        )
        super().__init__(params, {**adamw.defaults, **defaults, "fused": True})
        self._adamw = adamw  # takes the steps on CUDA, over this optimizer's own groups and state
        self._lr_scale = lr_scale
        self._scaled = lr_scale is not None and bool((lr_scale != 1).any())

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every member; what `closure` gave, if it was."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._step_groups()
        return loss

    def _step_groups(self) -> None:
        self._step_adamw(self.param_groups)

    def _step_adamw(self, groups: list[dict[str, Any]]) -> None:
        """AdamW's step of some of the groups."""
        weights = [w for group in groups for w in group["params"]]
        if not any(w.is_cuda for w in weights):
            for group in groups:
                for weight in group["params"]:
                    self._step_weight(weight, group)
            return
        self._adamw.param_groups, self._adamw.state = groups, self.state
        before = [w.clone() for w in weights] if self._scaled else []
        self._adamw.step()
        for weight, old in zip(weights, before, strict=False):  # AdamW is linear in the rate
            weight.copy_(old + self._factor(weight) * (weight - old))

    def _step_weight(self, weight: Tensor, group: dict[str, Any]) -> None:
        """One weight's step in plain operations, with the state that torch's AdamW keeps."""
        (gradient,), state, (beta1, beta2) = gradients_of([weight]), self.state[weight], group["betas"]
        if not state:
            state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(weight)}
            state["exp_avg_sq"] = torch.zeros_like(weight)
        state["step"] += 1
        n_steps, rate = int(state["step"]), self._rate(weight, group)
        mean = state["exp_avg"].mul_(beta1).add_(gradient * (1 - beta1))
        square = state["exp_avg_sq"].mul_(beta2).add_(gradient * gradient * (1 - beta2))
        size = square.sqrt().div_((1 - beta2**n_steps) ** 0.5).add_(group["eps"])
        if group["weight_decay"]:
            weight.mul_(1 - rate * group["weight_decay"])
        weight.sub_(mean / size * (rate / (1 - beta1**n_steps)))

    def _rate(self, weight: Tensor, group: dict[str, Any]) -> Any:
        """A group's rate for each member (M, 1, …) of the weight's axes; one number on CUDA where it is the same.

        On the CPU it is rounded as if members differed, even where they do not: a companion's factor changes no bit.
        """
        return group["lr"] if weight.is_cuda and not self._scaled else group["lr"] * self._factor(weight)

    def _factor(self, weight: Tensor) -> Tensor:
        scale = weight.new_ones(len(weight)) if self._lr_scale is None else self._lr_scale
        return scale.view(-1, *[1] * (weight.ndim - 1))


def gradients_of(weights: list[Tensor]) -> list[Tensor]:
    """Every weight's gradient; ValueError where one has none."""
    gradients = [w.grad for w in weights if w.grad is not None]
    if len(gradients) < len(weights):
        raise ValueError(
            f"{len(weights) - len(gradients)} of {len(weights)} weights have no gradient; call backward() first"
        )
    return gradients
