"""Where a pretrained model lies, and that it is one: a local folder as it is, a name on the hub downloaded once.

Nothing in it is run: safetensors weights only (pickles are refused), and no code of the model's own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

from mdl.errors import MdlError
from mdl.storage import cache_folder, digest, sha256_of

PREFIX = "hf:"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
)
_READ = ("*.json", "*.safetensors", "*.model", "*.txt")  # what a model is made of; all else is for people
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder that has all that a model needs, and its fingerprints."""

    spec: str  # as given, such as hf:/models/pythia-70m
    folder: Path
    weights: tuple[Path, ...]  # safetensors
    sha256: str  # of the weights: of the one file, or of its shards' hashes

    @property
    def name(self) -> str:
        """For people and file names: the last part of the path or of the hub's name."""
        return re.sub(r"[^\w.-]+", "-", self.spec.removeprefix(PREFIX).rstrip("/").rpartition("/")[2]) or "model"

    @property
    def fingerprint(self) -> str:
        """8 hex of everything that a code length depends on: weights, configuration, tokenizer."""
        read = sorted({path for pattern in _READ for path in self.folder.glob(pattern)} - set(self.weights))
        return digest([self.sha256, *((path.name, sha256_of(path, cache_folder())) for path in read)])

    @property
    def file_bytes(self) -> int:
        """Of the weights as they lie on disk, quantized ones too."""
        return sum(path.stat().st_size for path in self.weights)

    @property
    def weights_dtype(self) -> str:
        """How the numbers are stored, the commonest first, such as "float16" or "bfloat16 + float32"."""
        from safetensors import SafetensorError, safe_open

        n_of: Counter[str] = Counter()
        for path in self.weights:
            try:
                with safe_open(path, framework="np") as stored:
                    slices = [stored.get_slice(name) for name in stored.keys()]  # noqa: SIM118 - not a dict
                    for slice_ in slices:
                        n_of[slice_.get_dtype()] += prod(slice_.get_shape())
            except SafetensorError as error:
                raise MdlError(f"{path} is not a safetensors file ({error}); download it again") from None
        return " + ".join(_DTYPES.get(name, name) for name, _ in n_of.most_common())


def find_checkpoint(spec: str) -> Checkpoint:
    """The checkpoint of hf:FOLDER or hf:NAME (on the hub); MdlError in one line where there is none, or a bad one."""
    name = spec.removeprefix(PREFIX)
    if not name:
        raise MdlError(f"'{spec}' names no model; give hf:FOLDER, or hf:OWNER/NAME on the hub")
    local = Path(name).expanduser()
    folder = local if local.exists() else _download(name)
    if not folder.is_dir():
        beside = (folder.parent / "config.json").is_file()
        way = f"give hf:{folder.parent}" if beside else "give the folder that has config.json and the weights"
        raise MdlError(f"{spec} is not a folder; {way}")
    if not (folder / "config.json").is_file():
        raise MdlError(f"{spec} has no config.json; give a folder as transformers' save_pretrained writes it")
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise MdlError(f"{spec} has no tokenizer ({', '.join(_TOKENIZER_FILES[:3])} …); copy it beside the weights")
    weights = _weights(spec, folder)
    hashes = [sha256_of(path, cache_folder()) for path in weights]
    return Checkpoint(
        spec=spec, folder=folder, weights=weights, sha256=hashes[0] if len(hashes) == 1 else _joint(hashes)
    )


def _joint(hashes: list[str]) -> str:
    import hashlib

    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _weights(spec: str, folder: Path) -> tuple[Path, ...]:
    """model.safetensors, or the shards that its index names."""
    one, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if one.is_file():
        return (one,)
    if not index.is_file():
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        contents = f"only {pickles[0]}, whose format can run code" if pickles else "no weights"
        raise MdlError(f"{spec} has no model.safetensors ({contents}); save it with safe_serialization=True")
    try:
        shards = sorted({str(name) for name in json.loads(index.read_bytes())["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MdlError(f"{index} is not an index of weights; download it again") from None
    missing = [name for name in shards if Path(name).name != name or not (folder / name).is_file()]
    if missing or not shards:
        raise MdlError(f"{spec} lacks {missing[0] if missing else 'weights'}, which its index names; download it again")
    return tuple(folder / name for name in shards)


def _download(name: str) -> Path:
    """What the hub has under a name, or what was downloaded before; one short question, for retries take minutes."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError

    offline = constants.HF_HUB_OFFLINE
    try:
        if not offline:
            huggingface_hub.HfApi().model_info(name, timeout=10)
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(_READ), local_files_only=offline))
    except HFValidationError:
        raise MdlError(f"no model at {name}; give a folder, or a name on the hub as OWNER/NAME") from None
    except Exception as error:  # the hub's client raises dozens of kinds; the user needs the first line
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        if offline:
            reason = "HF_HUB_OFFLINE is set, and it was not downloaded before"
        raise MdlError(
            f"{PREFIX}{name} is neither a folder here nor a model that the hub shows ({reason}); give the path of a "
            "folder with config.json and the weights, or, with a network, OWNER/NAME on the hub"
        ) from None
