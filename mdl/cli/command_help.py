"""What `mdl COMMAND --help` says beside Typer's: last the keys that `--json` prints, and commands to copy."""

from __future__ import annotations

import inspect
import re
from typing import Any

from typer.core import TyperCommand

_KEYS = re.compile(r"\s*(With (?:--dry-run )?--json: .*)", re.DOTALL)
EXAMPLES: dict[str, tuple[str, ...]] = {
    "size": (
        "mdl size my.txt --budget 10min",
        "mdl size my.jsonl --column body --within 1.1",
        "mdl size notes --dry-run",
    ),
    "sweep": (
        "mdl sweep quick",
        "mdl sweep my.yaml --dry-run",
        "mdl sweep my.yaml --backend slurm --partition gpu --gpus 1 --time 4:00:00",
    ),
    "run": ("mdl run size=8x1 source=file:my.txt subset_bytes=100KB steps=500",),
    "suggest": ("mdl suggest runs/quick -o next.yaml", "mdl suggest --run --within 1.15"),
    "report": (
        "mdl report",
        "mdl report runs/quick --cost float32 --format pdf,html",
        "mdl report runs/quick --predict 1GB,10GB --figure-width 84mm",
    ),
    "fit": (
        "mdl fit losses.csv -o law.pdf",
        "mdl fit losses.csv --n params --d tokens --holdout 'C>1e21'",
        "mdl fit runs/quick",
    ),
    "compress": ("mdl compress book.txt", "mdl compress book.txt --model runs/quick --embed-model -o book.mdl"),
    "decompress": ("mdl decompress book.txt.mdl -o book.back",),
    "inspect": ("mdl inspect book.txt.mdl", "mdl inspect runs/quick"),
    "pack": ("mdl pack runs/quick -o quick.mdl", "mdl pack runs/quick --file book.txt --tune-steps 100"),
    "unpack": ("mdl unpack quick.mdl -o data.bin",),
    "baselines": ("mdl baselines book.txt --sizes 100KB,1MB", "mdl baselines book.txt --model runs/quick"),
    "evaluate": ("mdl evaluate ./my-gpt2 book.txt", "mdl evaluate hf:gpt2 book.txt --sizes 1MB --context 512"),
    "generate": (
        "mdl generate --coder gzip --prompt book.txt --length 200",
        "mdl generate --coder runs/quick --prompt book.txt --seed 1 -o more.txt",
    ),
    "status": ("mdl status", "mdl status sweeps/quick.yaml --watch"),
}


class CommandWithExamples(TyperCommand):
    """A command whose docstring may end in the keys of its JSON."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.help, *keys = _KEYS.split(inspect.cleandoc(self.help or ""))[:2]
        self.json_keys = " ".join(keys)
        self.examples = EXAMPLES.get(self.name or "", ())

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Behind the options."""
        if self.json_keys:
            formatter.write_paragraph()
            formatter.write_text(self.json_keys)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
