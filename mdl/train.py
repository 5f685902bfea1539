"""Lightning trains a cohort: all subset sizes and seeds of one model shape, stacked, each as if it were alone.

Shape letters as in `mdl.model`: M members, B windows, T bytes, V = 256.
"""

from __future__ import annotations

import hashlib
import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from pytorch_lightning.loggers import Logger
from torch import Tensor

from mdl import stopping
from mdl.errors import MdlError
from mdl.files import write_atomically
from mdl.measure import window_bits
from mdl.model import Parts, StackedTransformer
from mdl.online import OnlineOrder
from mdl.order import WindowOrder
from mdl.recording import RecordedStep
from mdl.shapes import VOCABULARY, Shape

Progress = Callable[[int], None]  # called with the number of steps done


class Gatherable(Protocol):
    """The part of a corpus that training needs."""

    def gather(self, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.uint8]:
        """Rows (n, length) of bytes from the given offsets."""
        ...

    def read(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        """Bytes [start, end)."""
        ...


@dataclass(frozen=True)
class Member:
    """What is a member's own."""

    seed: int
    subset_bytes: int
    lr_scale: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """What all members of a cohort share; units and ranges in `mdl.config.TrainConfig`."""

    steps: int
    batch_windows: int
    learning_rate: float
    weight_decay: float
    clip_norm: float
    warmup_steps: int
    decay_start: float
    final_lr_fraction: float
    evaluate_every: int
    online: bool = False  # one pass, each window predicted before it is learned from (`mdl.online`)

    def lr_factor(self, step: int) -> float:
        """Learning rate at a step over its peak: linear warm-up, flat, linear decay."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        decay_steps = self.steps * (1 - self.decay_start)
        done = max(0.0, step - self.steps * self.decay_start) / decay_steps if decay_steps else 0.0
        return warm * (1 - (1 - self.final_lr_fraction) * min(1.0, done))


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
        self, shape: Shape, members: Sequence[Member], recipe: Recipe, heldout_windows: npt.NDArray[np.uint8]
    ) -> None:
        """`heldout_windows` (n, T) is the sample by which each member's best snapshot is chosen."""
        super().__init__()
        self.members, self.recipe, self.heldout_windows = tuple(members), recipe, heldout_windows
        self.model = StackedTransformer(shape, [member.seed for member in members])
        M = len(members)
        self.register_buffer("first_bad_step", torch.full((M,), -1))
        self.register_buffer("best_bits", torch.full((M,), torch.inf, dtype=torch.float64))
        self.register_buffer("best_step", torch.zeros(M, dtype=torch.long))
        self.register_buffer("_nats_since_look", torch.zeros(M))
        self.register_buffer("_lr_scale", torch.tensor([m.lr_scale for m in members]), persistent=False)
        # Nats (steps, M) of the windows that a step predicts; with online training alone.
        self.register_buffer("online_nats", torch.zeros(recipe.steps * recipe.online, M, dtype=torch.float64))
        self.register_buffer("_steps_done", torch.zeros((), dtype=torch.long), persistent=False)
        for name, weight in self.model.named_parameters():
            self.register_buffer(f"best_{name}", weight.detach().clone())
        self.on_cuda = False
        self._parts = Parts()
        self._resident: Tensor | None = None  # the corpus on the device, as far as any member reads
        self._recorded: RecordedStep | None = None
        self.curve: list[tuple[int, list[float]]] = []  # (step, held-out sample's bits a member)

    def prepare(self, machine: Machine, source: Gatherable) -> None:
        """Compile and, on CUDA, put the corpus beside the model where a quarter of the free memory holds it."""
        self.on_cuda = machine.accelerator == "cuda"
        if machine.compiled:
            # One process trains many cohorts: without this the ninth graph of a part would silently run uncompiled.
            torch.compiler.reset()
            self._parts = Parts().compiled()
        n_bytes = max(member.subset_bytes for member in self.members)
        if self.recipe.online or (self.on_cuda and n_bytes < torch.cuda.mem_get_info()[0] / 4):
            device = "cuda" if self.on_cuda else "cpu"
            self._resident = torch.from_numpy(np.array(source.read(0, n_bytes))).to(device)
            self._in_window = torch.arange(self.model.shape.context_bytes, device=device)

    @property
    def resident(self) -> bool:
        """Does the corpus lie on the device?"""
        return self._resident is not None

    def training_step(self, batch: Tensor) -> Tensor | None:
        """One step's loss; on CUDA the whole step, done, and nothing for Lightning to differentiate.

        `batch`: windows (M, B, T); where the corpus lies on the device their starts (M, B); online starts and from
        which byte on each window is coded (2, M, B).
        """
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
        """The sum over members of their mean nats: each member's gradient is then its own."""
        nats = self.model.nats(self._windows(batch), self._parts)
        per_member = nats.flatten(1).mean(dim=1)
        with torch.no_grad():
            self._nats_since_look += per_member.detach()
            fresh = ~torch.isfinite(per_member) & (self.first_bad_step < 0)
            self.first_bad_step.copy_(torch.where(fresh, self._steps_done, self.first_bad_step))
            if self.recipe.online:
                coded = nats.detach() * (self._in_window >= batch[1][:, :, None])
                self.online_nats.index_copy_(0, self._steps_done.view(1), coded.double().sum(dim=(1, 2))[None])
            self._steps_done += 1
        return per_member.sum()

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
        optimizers = self.trainer.optimizers
        return optimizers[0]

    def on_train_start(self) -> None:
        """A resumed run counts on; a recorded step reads its learning rate from the device."""
        self._steps_done.fill_(self.global_step)
        if self.on_cuda:
            self._recorded = RecordedStep(self._whole_step)
            for group in self._optimizer().param_groups:
                group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32).to(self.device)

    def on_train_end(self) -> None:
        """What was recorded holds memory that measuring needs."""
        self._recorded = self._resident = None

    def configure_optimizers(self) -> Any:
        """AdamW, decay on matrices only; the schedule moves every step."""
        weights = list(self.model.parameters())
        groups = [
            {"params": [w for w in weights if w.ndim == 3], "weight_decay": self.recipe.weight_decay},
            {"params": [w for w in weights if w.ndim < 3], "weight_decay": 0.0},
        ]
        rate = self.recipe.learning_rate
        optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=True, capturable=self.on_cuda)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.recipe.lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_optimizer_step(self, *_: Any) -> None:
        """Clip each member's gradient by its own norm."""
        gradients = [w.grad for w in self.model.parameters() if w.grad is not None]
        squares = torch.zeros_like(self._lr_scale)
        # One by one: a reduction over stacked sums orders them by how many members there are.
        for gradient in gradients:
            squares += gradient.flatten(1).square().sum(dim=1)
        scale = (self.recipe.clip_norm / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))

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
        """AdamW is linear in the learning rate: a member's factor interpolates between old and new weights."""
        if all(member.lr_scale == 1 for member in self.members):
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
        step = self.global_step
        if step % self.recipe.evaluate_every == 0 or step == self.recipe.steps:
            self._look(step)
            if bool((self.first_bad_step >= 0).all()):
                self.trainer.should_stop = True

    def _look(self, step: int) -> None:
        self.model.eval()
        bits = sum_sample_bits(self.model, self.heldout_windows)
        self.model.train()
        better = bits < self.best_bits  # never true for NaN
        self.best_bits = torch.where(better, bits, self.best_bits)
        self.best_step[better] = step
        for name, weight in self.model.named_parameters():
            getattr(self, f"best_{name}")[better] = weight.detach()[better]
        self.curve.append((step, bits.tolist()))
        self._log_members(step, bits)

    def _log_members(self, step: int, bits: Tensor) -> None:
        """Each member's curve goes to its own logger."""
        steps_since = step - (self.curve[-2][0] if len(self.curve) > 1 else 0)
        train = (self._nats_since_look / max(1, steps_since) / np.log(2)).tolist()
        self._nats_since_look.zero_()
        for logger, train_bits, heldout_bits in zip(self.loggers, train, bits.tolist(), strict=False):
            logger.log_metrics(
                {
                    "train/bits_per_byte": train_bits,
                    "heldout/bits_per_byte": heldout_bits / self.heldout_windows.size,
                    "learning_rate": self.recipe.learning_rate * self.recipe.lr_factor(step),
                },
                step=step,
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The curve goes with the weights."""
        checkpoint["curve"] = self.curve

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The curve comes back with the weights."""
        self.curve = [(int(step), list(bits)) for step, bits in checkpoint["curve"]]

    def best_weights(self, index: int) -> dict[str, Tensor]:
        """The weights of the look with the least held-out bits."""
        return {
            name: getattr(self, f"best_{name}")[index].detach().cpu().clone()
            for name, _ in self.model.named_parameters()
        }


def sum_sample_bits(model: StackedTransformer, windows: npt.NDArray[np.uint8]) -> Tensor:
    """Bits (M,) in float64 of the sample's windows (n, T), a few windows a call."""
    rows = max(1, 2**24 // (model.n_members * windows.shape[1] * VOCABULARY * 4))
    parts = [window_bits(model, windows[i : i + rows]).double().sum(dim=(1, 2)) for i in range(0, len(windows), rows)]
    return torch.stack(parts).sum(dim=0)


class CohortBatches:
    """The batches of every step from where the trainer stands (see `training_step`): a resumed run goes on exactly."""

    def __init__(self, module: CohortModule, source: Gatherable) -> None:
        self.module, self.source = module, source
        T, recipe = module.model.shape.context_bytes, module.recipe
        self.online = [
            OnlineOrder(m.seed, m.subset_bytes, T, recipe.batch_windows, recipe.steps)
            for m in module.members
            if recipe.online
        ]
        self.orders = [WindowOrder(m.seed, m.subset_bytes, T, recipe.batch_windows) for m in module.members]

    def __iter__(self) -> Iterator[Tensor]:
        for step in range(self.module.global_step, self.module.recipe.steps):
            yield torch.from_numpy(self._batch(step))

    def _batch(self, step: int) -> npt.NDArray[Any]:
        if self.online:
            return np.array([order.batch(step) for order in self.online]).swapaxes(0, 1)
        starts = np.stack([order.starts(step) for order in self.orders])
        if self.module.resident:
            return starts
        T = self.module.model.shape.context_bytes
        return self.source.gather(starts.reshape(-1), T).reshape(*starts.shape, T)


class CheckpointFile(CheckpointIO):
    """Checkpoints written atomically behind their own SHA-256, and read with `weights_only`: no code hides in them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """All or nothing; a full disk leaves the older checkpoint."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getvalue()
        write_atomically(Path(path), hashlib.sha256(content).digest() + content)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """MdlError for a file whose hash does not fit."""
        stored = Path(path).read_bytes()
        if hashlib.sha256(stored[32:]).digest() != stored[:32]:
            raise MdlError(f"checkpoint {path} is damaged")
        try:
            loaded: dict[str, Any] = torch.load(io.BytesIO(stored[32:]), map_location=map_location, weights_only=True)
        except Exception as error:  # a file that hashes well and still is not ours
            raise MdlError(f"checkpoint {path} cannot be read ({type(error).__name__})") from None
        return loaded

    def remove_checkpoint(self, path: Any) -> None:
        """Forget a finished cohort's state."""
        Path(path).unlink(missing_ok=True)


class Watcher(pl.Callback):
    """After a step, in this order: the look at the held-out sample, the progress, the saving of the cohort's state.

    Lightning calls callbacks before the module's own hook, and a state saved before the look would lack it.
    """

    def __init__(self, path: Path, every_seconds: float, progress: Progress | None) -> None:
        self.path, self.every_seconds, self.progress = path, every_seconds, progress
        self._saved = self._told = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """After every step."""
        assert isinstance(pl_module, CohortModule)  # noqa: S101 - `fit` trains nothing else
        pl_module.after_step()
        now = time.monotonic()
        if self.progress and now - self._told > 0.3:
            self.progress(trainer.global_step)
            self._told = now
        if now - self._saved > self.every_seconds or stopping.requested():
            trainer.save_checkpoint(self.path)
            self._saved = time.monotonic()
        if stopping.requested():
            raise SystemExit(143)


@dataclass(frozen=True)
class Machine:
    """Where and how a cohort runs; recorded, since it can move the last bits of a result."""

    accelerator: str  # "cpu" or "cuda"
    precision: str  # "float32" or "bf16"
    compiled: bool


def resolve_machine(precision: str, compile_choice: str | bool) -> Machine:
    """What `auto` means here: bf16 autocast and torch.compile on a GPU, plain float32 on a CPU."""
    on_gpu = torch.cuda.is_available()
    chosen = ("bf16" if on_gpu else "float32") if precision == "auto" else precision
    return Machine("cuda" if on_gpu else "cpu", chosen, on_gpu if compile_choice == "auto" else bool(compile_choice))


def fit(
    module: CohortModule,
    source: Gatherable,
    machine: Machine,
    checkpoint: Path,
    *,
    checkpoint_seconds: float = 60,
    loggers: Sequence[Logger] = (),
    progress: Progress | None = None,
) -> None:
    """Train to the end, from `checkpoint` where there is a sound one, and leave the end state there."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    module.prepare(machine, source)
    with stopping.training(), warnings.catch_warnings():
        # Lightning's advice is for people who wrote the loop; none of it applies to this one.
        warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric|lightning_utilities")
        trainer = _trainer(module, machine, Watcher(checkpoint, checkpoint_seconds, progress), loggers)
        trainer.fit(
            module,
            train_dataloaders=CohortBatches(module, source),
            ckpt_path=checkpoint if checkpoint.exists() else None,
            weights_only=True,
        )
    if trainer.global_step < module.recipe.steps and not bool((module.first_bad_step >= 0).all()):
        raise MdlError(f"training stopped at step {trainer.global_step} of {module.recipe.steps}")
    trainer.save_checkpoint(checkpoint)


def _trainer(module: CohortModule, machine: Machine, watcher: Watcher, loggers: Sequence[Logger]) -> pl.Trainer:
    return pl.Trainer(
        accelerator="gpu" if machine.accelerator == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if machine.precision == "bf16" else "32-true",
        max_steps=module.recipe.steps,
        max_epochs=-1,
        callbacks=[watcher],
        logger=list(loggers) or False,
        plugins=[CheckpointFile()],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
