"""What an architecture is to training, measuring and coding, and the registry of all that are known.

An architecture tells what a shape costs without torch, and makes stacked models of it (`StackedModel`). What else it
has is optional: kernels, coded weights, the exact passes of archives. What lacks a part is trained and measured all the
same, and says what it lacks, in one line, where that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from mdl.errors import MdlError, UnknownNameError
from mdl.models.shape import ARCHITECTURE_NAME, NAME_FORM, TRANSFORMER, Shape
from mdl.records import Registry

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from mdl.models.stacked_model import StackedModel


@dataclass(frozen=True, kw_only=True)
class FastParts:
    """Optional: compiled functions or fused kernels in place of the plain ones, on a GPU."""

    training: Callable[[Shape, dtype | None], Any]
    """For products in a type of 16 bits; None: in float32."""
    measuring: Callable[[Shape, int, bool], Any]
    """For so many bytes to measure; are products in float16? None: the plain functions."""


@dataclass(frozen=True)
class CodedMatrix:
    """A matrix of every layer, of so many widths; its name there ends in _0, _1, …"""

    name: str
    rows: int
    columns: int
    _: KW_ONLY
    gain: str | None = None
    """The norm's gain before it, which a coded matrix takes in."""


@dataclass(frozen=True)
class CodedMatrices:
    """Optional: what `mdl.quantization` has to know of weights; `embedding` and `start` are one more matrix."""

    layer: tuple[CodedMatrix, ...]
    vectors: Callable[[Shape], dict[str, int]]
    """Names and sizes of all that is neither a matrix nor a gain, in the order of the format."""


@dataclass(frozen=True, kw_only=True)
class ExactPasses:
    """Optional: the float64 passes of archives. They agree to a hundredth of `mdl.entropy.EPSILON`."""

    parallel: Callable[[Any, Tensor, int | None], Tensor]
    """Of a one-member float64 model and windows (B, T), all bytes known: logits (B, T, V), or of the last so many."""
    stepwise: Callable[[Any, int, int], Any]
    """Of a model, n windows and their length: a `mdl.models.Stepped`."""
    decoding_flops_per_byte: Callable[[Shape], float] | None = None
    """Where decoding takes far more than encoding, what it takes; files that would take too long are refused."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a shape costs, and how stacked models of it are made."""

    count_params: Callable[[Shape], dict[str, int]]
    """Parameters by group, without their total."""
    forward_flops_per_byte: Callable[[Shape], float]
    """Floating point operations to predict one byte of a full window."""
    training_bytes: Callable[[Shape, int], int]
    """Estimated memory of training one member on so many windows a step."""
    weight_shapes: Callable[[Shape], Mapping[str, tuple[int, ...]]]
    """Of one member by name, in the order of files, told without making any."""
    count_weights: Callable[[Shape], int]
    """How many they are, told without listing them: a forged file may name any depth."""
    make: Callable[[Shape, Sequence[int]], StackedModel]
    """Stacked models before training, one a seed, which with the shape alone decides a member's weights."""
    stack: Callable[[Shape, Sequence[Mapping[str, Tensor]]], StackedModel]
    """Stacked models of the weights of given members."""
    check: Callable[[Shape], None] = lambda _: None
    """MdlError for a shape that this architecture does not have."""
    n_blocks: int = 1
    """Versions of its layers' arithmetic; a later recipe than there are takes the last."""
    reads_tokens: bool = False
    """Does it take vocabularies of more than bytes?"""
    coded: CodedMatrices | None = None
    fast_parts: FastParts | None = None
    exact: ExactPasses | None = None
    own_module: Callable[[Shape], Any] | None = None
    """Of an architecture of a user's own its module (`mdl.models.own_module`), which is tried for peeking."""


ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture", {TRANSFORMER: "mdl.models.transformer_architecture", "mingru": "mdl.models.mingru_architecture"}
)


def add_architecture(name: str, architecture: Architecture) -> None:
    """Add one under its name; MdlError for a name that is taken or cannot be part of a run's."""
    if not ARCHITECTURE_NAME.fullmatch(name):
        raise MdlError(f"an architecture's name is of {NAME_FORM}; got '{name}'")
    ARCHITECTURES.register(name, architecture)


def architecture_of(shape: Shape) -> Architecture:
    """A shape's; MdlError where it is not registered here."""
    return architecture_named(shape.architecture)


def architecture_named(name: str) -> Architecture:
    """The one of that name; MdlError naming the nearest where it is not registered here."""
    return ARCHITECTURES[name]


def plugin_of(shape: Shape) -> str | None:
    """SHA-256 of the plugin that registered a shape's architecture; None for what comes along."""
    return ARCHITECTURES.plugin_of(shape.architecture)


def require_plugin(shape: Shape, told: str | None, what: str) -> None:
    """MdlError where the plugin that a file tells of is not loaded, or another one; `what` the file is, in words."""
    if told and shape.architecture not in ARCHITECTURES:
        raise UnknownNameError(
            f"{what}: unknown architecture '{shape.architecture}' of plugin {told[:12]}…; name that with --plugin FILE"
        )
    loaded = plugin_of(shape)
    if told and loaded and told != loaded:
        raise MdlError(
            f"{what} was made with the architecture '{shape.architecture}' of plugin {told[:12]}…, and that of the "
            f"plugin loaded is {loaded[:12]}…: it is another one, or was edited; name the one it was made with"
        )


def check_shape(shape: Shape) -> None:
    """MdlError for a shape that its architecture does not have."""
    architecture_of(shape).check(shape)


def count_params(shape: Shape) -> dict[str, int]:
    """Parameters by group, and their `total`. What is tied is counted once."""
    groups = architecture_of(shape).count_params(shape)
    return {**groups, "total": sum(groups.values())}


def count_weights(shape: Shape) -> int:
    """How many tensors a member has, told without listing them."""
    return architecture_of(shape).count_weights(shape)


def weight_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of one member, told without making any: a forged file may name any size."""
    return dict(architecture_of(shape).weight_shapes(shape))


def forward_flops_per_byte(shape: Shape) -> float:
    """Floating point operations to predict one byte (or token) of a full window, the head included."""
    return architecture_of(shape).forward_flops_per_byte(shape)


def training_bytes(shape: Shape, batch_windows: int) -> int:
    """Estimated memory of training one member, bytes."""
    return architecture_of(shape).training_bytes(shape, batch_windows)


def usual_training_bytes(shape: Shape, batch_windows: int, n_params: int) -> int:
    """Of a residual model of so many parameters: six copies of the weights (gradient, two moments, best, a look) and,

    for every byte of a batch, some 24 float32 activations a width and layer and three copies of the logits.
    """
    n_positions = batch_windows * shape.context_tokens
    activations = n_positions * (24 * shape.width * shape.depth + 3 * shape.vocabulary)
    return 4 * (6 * n_params + activations)


def make_models(shape: Shape, seeds: Sequence[int]) -> StackedModel:
    """Stacked models before training, a member a seed."""
    return architecture_of(shape).make(shape, seeds)


def stack(shape: Shape, members: Sequence[Mapping[str, Tensor]]) -> StackedModel:
    """A stacked model of given members' weights (see `StackedModel.member`)."""
    return architecture_of(shape).stack(shape, members)


def require_exact(shape: Shape, what: str) -> ExactPasses:
    """The float64 passes of a shape's architecture; MdlError saying that `what`, in the plural, need them."""
    exact = architecture_of(shape).exact
    if exact is None:
        raise MdlError(
            f"{what} need float64 passes, which the architecture '{shape.architecture}' does not have; it can be "
            f"trained and measured (mdl sweep, mdl baselines --model)"
        )
    return exact


def require_coded(shape: Shape, what: str = "packed files and prices of coded weights") -> CodedMatrices:
    """What coding a shape's weights has to know; MdlError saying that `what` need it where there is nothing."""
    coded = architecture_of(shape).coded
    if coded is None:
        raise MdlError(
            f"{what} need coded weights, which the architecture '{shape.architecture}' does not have; its parameters "
            "are counted at any fixed price (mdl report --cost)"
        )
    return coded
