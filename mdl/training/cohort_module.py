"""A cohort as Lightning sees it: all subset sizes and seeds of one model shape, stacked, each as if it were alone.

Shape letters as in `mdl.models.transformer`: M members, B windows, T bytes, V = 256.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor

from mdl.config import Recipe
from mdl.data import Gatherable
from mdl.device import Machine
from mdl.models import Shape, architecture_of, make_models, measuring_parts
from mdl.training.cuda_graph import RecordedStep
from mdl.training.data_parallel import ALONE
from mdl.training.members import Member
from mdl.training.optimizer import recipe_optimizer
from mdl.training.rounded_weights import Rounded
from mdl.training.sample_bits import sum_sample_bits


class CohortModule(pl.LightningModule):
    """M stacked models with everything that is a member's own kept apart: order, clip, rate, best snapshot, log."""

    first_bad_step: Tensor
    best_bits: Tensor
    best_step: Tensor
    _nats_since_look: Tensor
    _lr_scale: Tensor
    _steps_done: Tensor
    _in_window: Tensor
    online_nats: Tensor

    def __init__(
        self,
        shape: Shape,
        members: Sequence[Member],
        recipe: Recipe,
        heldout_windows: npt.NDArray[Any],
        sample_bytes: Sequence[int] | None = None,
    ) -> None:
        """The models before their first step.

        `heldout_windows` (n, T), or (M, n, T) each member's own, is the sample that chooses best snapshots;
        `sample_bytes` (M,) is how many bytes that is, where it is of tokens.
        """
        super().__init__()
        self.members, self.recipe, self.heldout_windows = tuple(members), recipe, heldout_windows
        self.sample_bytes = tuple(sample_bytes or [heldout_windows.size] * len(members))
        self.model = make_models(shape, [member.seed for member in members])
        self.rounded = Rounded(self.model, members, recipe)
        M = len(members)
        self.register_buffer("first_bad_step", torch.full((M,), -1))
        self.register_buffer("best_bits", torch.full((M,), torch.inf, dtype=torch.float64))
        self.register_buffer("best_step", torch.zeros(M, dtype=torch.long))
        self.register_buffer("_nats_since_look", torch.zeros(M))
        self.register_buffer("_lr_scale", torch.tensor([m.lr_scale for m in members]), persistent=False)
        # Nats (steps, M) of the windows that a step predicts; with online training alone.
        n_coded = recipe.steps if recipe.online else 0
        self.register_buffer("online_nats", torch.zeros(n_coded, M, dtype=torch.float64))
        self.register_buffer("_steps_done", torch.zeros((), dtype=torch.long), persistent=False)
        for name, weight in self.model.weights().items():
            self.register_buffer(f"best_{name}", weight.detach().clone())
        self.on_cuda = False
        self.ranks = ALONE  # where a cohort is too large for one device
        self._parts: Any = None  # kernels, or what is compiled
        self._resident: Tensor | None = None  # the corpus on the device, as far as any member reads
        self._recorded: RecordedStep | None = None
        self.curve: list[tuple[int, list[float]]] = []  # (step, held-out sample's bits a member)
        self._trained_bits: dict[int, list[float]] = {}  # of looks: a member's bits a byte in training since the last
        self._began, self._seconds_before = time.monotonic(), 0.0
        self._branchings: list[tuple[int, float]] = []  # of the trunk that this is or was: steps and seconds
        self._kept: list[str] | None = None  # members of a trunk that others have left (`checkpoint.keep_members`)

    def prepare(self, machine: Machine, source: Gatherable) -> None:
        """Compile and, on CUDA, put the corpus beside the model where a quarter of the free memory holds it."""
        self.on_cuda = machine.accelerator == "cuda"
        fast = architecture_of(self.model.shape).fast_parts
        if machine.compiled and fast:
            fused = self.on_cuda and machine.precision == "bf16"
            self._parts = fast.training(self.model.shape, torch.bfloat16 if fused else None)
        self.rounded.read(source)
        n_bytes = max(member.first + member.subset_length for member in self.members)
        if self.recipe.online or (self.on_cuda and n_bytes < torch.cuda.mem_get_info()[0] / 4):
            device = "cuda" if self.on_cuda else "cpu"
            self._resident = torch.from_numpy(np.array(source.read(0, n_bytes))).to(device)
            self._in_window = torch.arange(self.model.shape.context_tokens, device=device)

    @property
    def seconds(self) -> float:
        """Since the first step, of all processes that trained it."""
        return self._seconds_before + time.monotonic() - self._began

    @property
    def shared(self) -> tuple[int, float]:
        """Steps and seconds up to where the budget before this one branched off the trunk."""
        return self._branchings[-2] if len(self._branchings) > 1 else (0, 0.0)

    def branches_here(self) -> None:
        """A budget branches off the state that is saved next; a resumed trunk says it again."""
        if not self._branchings or self._branchings[-1][0] < self.global_step:
            self._branchings.append((self.global_step, self.seconds))

    @property
    def resident(self) -> bool:
        """Does the corpus lie on the device?"""
        return self._resident is not None

    def training_step(self, batch: Tensor) -> Tensor | None:
        """One step's loss; on CUDA the whole step, done, and nothing for Lightning to differentiate.

        `batch`: windows (M, B, T); where the corpus lies on the device their starts (M, B); online starts and from
        which byte on each window is coded (2, M, B).
        """
        if self.rounded.begin_step(self.global_step) and self._recorded:
            self._recorded = RecordedStep(self._whole_step)  # from here on another one
        if self._recorded is None:
            return self._loss(batch)
        self._recorded(batch)
        return None

    def _windows(self, batch: Tensor) -> Tensor:
        """Windows (M, B, T)."""
        if self._resident is None:
            return batch
        starts = batch[0] if self.recipe.online else batch
        return self._resident[starts[:, :, None] + self._in_window]

    def _loss(self, batch: Tensor) -> Tensor:
        """The sum over members of their mean nats, and of what their weights take: each one's gradient is its own."""
        self.model.begin_step(self.global_step, [member.seed for member in self.members])
        with self.rounded.weights() as price:
            nats = self.model.nats(self._windows(batch), self._parts)
        per_member = nats.flatten(1).mean(dim=1)
        with torch.no_grad():
            shown = self.ranks.mean(per_member.detach())
            self._nats_since_look += shown
            fresh = ~torch.isfinite(shown) & (self.first_bad_step < 0)
            self.first_bad_step.copy_(torch.where(fresh, self._steps_done, self.first_bad_step))
            if self.recipe.online:
                coded = nats.detach() * (self._in_window >= batch[1][:, :, None])
                member_nats = self.ranks.sum(coded.double().sum(dim=(1, 2)))
                self.online_nats.index_copy_(0, self._steps_done.view(1), member_nats[None])
            self._steps_done += 1
        return (per_member + price).sum()

    def _whole_step(self, batch: Tensor) -> None:
        """What Lightning does around `training_step`, in one piece that can be recorded."""
        optimizer = self._optimizer()
        optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch)
        with torch.autocast(self.device.type, enabled=False):  # Lightning's is for the loss alone
            loss.backward()  # type: ignore[no-untyped-call]
            self.on_before_optimizer_step()
            self._scaled_step(optimizer.step)

    def _optimizer(self) -> torch.optim.Optimizer:
        return self.trainer.optimizers[0]

    def on_train_start(self) -> None:
        """A resumed run counts on, and a branch by its own schedule; a recorded step reads its rate from the device."""
        self._steps_done.fill_(self.global_step)
        for step, bits in self.curve:
            self._log_members(step, bits)
        self.ranks.take_first(weight.data for weight in self.model.parameters())
        recorded = self.on_cuda and self.model.recordable
        for group in self._optimizer().param_groups:
            rate = float(group["initial_lr"]) * self.recipe.lr_factor(self.global_step)
            group["lr"] = torch.tensor(rate).to(self.device) if recorded else rate
            if "capturable" in group:  # a checkpoint may come from another kind of machine
                group["capturable"] = self.on_cuda
        if recorded:
            self._recorded = RecordedStep(self._whole_step)

    def let_go(self) -> None:
        """What was recorded holds memory that measuring needs, and sums that NCCL would wait for before it ends."""
        self._recorded = self._resident = None

    def configure_optimizers(self) -> Any:
        """The recipe's; the schedule moves every step."""
        optimizer = recipe_optimizer(self.model, self.recipe, lr_scale=self._lr_scale, capturable=self.on_cuda)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.recipe.lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_optimizer_step(self, *_: Any) -> None:
        """Average gradients over ranks, clip each member's by its own norm, and move what its rounding has learned."""
        for weight in self.model.parameters():
            if weight.requires_grad and weight.grad is None:  # this step's loss did not use it
                weight.grad = torch.zeros_like(weight)
        gradients = [w.grad for w in self.model.parameters() if w.grad is not None]
        self.ranks.average(gradients)
        squares = torch.zeros_like(self._lr_scale)
        # One by one: a reduction over stacked sums orders them by how many members there are.
        for gradient in gradients:
            squares += gradient.reshape(len(gradient), -1).square().sum(dim=1)
        scale = (self.recipe.clip_norm / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))
        self.rounded.step(self._optimizer().param_groups[0], self.ranks.mean)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """As Lightning does it, but for members of another learning rate; a recorded step has done it all."""
        if self._recorded is not None and optimizer_closure:
            optimizer_closure()
            return
        self._scaled_step(
            lambda: super(CohortModule, self).optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        )

    def _scaled_step(self, step: Callable[[], Any]) -> None:
        """Where the optimizer knows no factors, a member's interpolates between old and new weights.

        AdamW is linear in the learning rate.
        """
        if getattr(self._optimizer(), "scales_rates", False) or all(member.lr_scale == 1 for member in self.members):
            step()
            return
        before = [weight.detach().clone() for weight in self.model.parameters()]
        step()
        with torch.no_grad():
            for weight, old in zip(self.model.parameters(), before, strict=True):
                scale = self._lr_scale.view(-1, *[1] * (weight.ndim - 1))
                # Where the factor is 1 the step stays as it is, to the bit: whatever its companions' are.
                weight.copy_(torch.where(scale == 1, weight, old + scale * (weight - old)))

    def after_step(self) -> None:
        """Look at the held-out sample now and then, and at the end; stop when nobody is left to train."""
        if self.global_step % self.recipe.evaluate_every == 0 or self.global_step == self.recipe.steps:
            self.trainer.should_stop |= not self._look(self.global_step)

    def _look(self, step: int) -> bool:
        """Is anybody left to train?"""
        self.model.eval()
        with self.rounded.weights():
            parts = measuring_parts(self.model, self.heldout_windows.size)
            bits = sum_sample_bits(self.model, self.heldout_windows, parts)
        self.model.train()
        better = (bits < self.best_bits) & self.rounded.may_be_best(step)  # never true for NaN
        self.best_bits = torch.where(better, bits, self.best_bits)
        self.best_step = torch.where(better, step, self.best_step)
        for name, weight in self.model.weights().items():
            best = getattr(self, f"best_{name}")
            best.copy_(torch.where(better.view(-1, *[1] * (weight.ndim - 1)), weight.detach(), best))
        steps_since = step - (self.curve[-1][0] if self.curve else 0)
        trained = self._nats_since_look / max(1, steps_since) / np.log(2)
        # In one transfer: who reads one of the device's numbers waits for all that it was given.
        told = torch.stack([bits, trained.double(), self.first_bad_step.double()]).tolist()
        self._nats_since_look.zero_()
        self.curve.append((step, told[0]))
        self._trained_bits[step] = told[1]
        self._log_members(step, told[0])
        return any(first_bad < 0 for first_bad in told[2])

    def _log_members(self, step: int, bits: Sequence[float]) -> None:
        """Each member's curve goes to its own logger; one that starts now is told what a checkpoint brought, too."""
        held = [amount / n_bytes for amount, n_bytes in zip(bits, self.sample_bytes, strict=True)]
        train = self._trained_bits.get(step, [float("nan")] * len(held))  # of an older checkpoint
        for logger, train_bits, heldout_bits in zip(self.loggers, train, held, strict=False):
            logger.log_metrics(
                {
                    "train/bits_per_byte": train_bits,
                    "heldout/bits_per_byte": heldout_bits,
                    "learning_rate": self.recipe.learning_rate * self.recipe.lr_factor(step),
                },
                step=step,
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The curve goes with the weights, and so does what they took, and how many steps they were to take."""
        checkpoint["curve"] = self.curve
        checkpoint["trained_bits"] = self._trained_bits
        checkpoint["seconds"] = self.seconds
        checkpoint["branchings"] = self._branchings
        checkpoint["steps"] = self.recipe.steps
        checkpoint["kept"] = self._kept

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The curve comes back with the weights; an older checkpoint has nothing else."""
        self.curve = [(int(step), list(bits)) for step, bits in checkpoint["curve"]]
        self._trained_bits = dict(checkpoint.get("trained_bits", {}))
        self._seconds_before = float(checkpoint.get("seconds", 0.0))
        self._kept = checkpoint.get("kept")
        self._branchings = [(int(step), float(seconds)) for step, seconds in checkpoint.get("branchings", [])]

    def best_weights(self, index: int) -> dict[str, Tensor]:
        """The weights of the look with the least held-out bits."""
        return {
            self.model.name_in_files(name): getattr(self, f"best_{name}")[index].detach().cpu().clone()
            for name in self.model.weights()
        }
