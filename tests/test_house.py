"""The house: who may import whom, through which doors, and what an import may load."""

import ast
import itertools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TypeVar

import pytest

from tests import ROOT

# A room imports only from the rooms of floors below its own.
FLOORS = [
    ["mdl.errors", "analysis.errors", "analysis.types", "analysis.formatting"],
    ["mdl.units", "mdl.device", "mdl.storage"],
    ["mdl.records", "mdl.entropy"],
    ["mdl.data", "mdl.optimizers", "mdl.plugins", "mdl.mixing", "analysis.records", "analysis.costs"],
    ["mdl.models", "analysis.critical", "analysis.scaling", "analysis.plots"],
    ["mdl.config", "mdl.archives", "mdl.quantization", "analysis.codes"],
    ["mdl.training", "mdl.pretrained", "analysis.study"],
    ["mdl.compressors", "analysis.report", "analysis.next_cells"],
    ["mdl.evaluation", "mdl.generation"],
    ["mdl.sweeps", "analysis.api"],
    ["mdl.sizing"],
    ["mdl.cli"],
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Beyond the floors: `analysis` explains what `mdl` measured, and only two rooms of `mdl` know that it exists.
MEET_ANALYSIS = {"mdl.sizing", "mdl.cli"}
READ_BY_ANALYSIS = {"mdl.records"}
FACADES = {"mdl", "analysis"}
# Of the two packages alone: building a wheel leaves copies of both under build/.
DOORS = sorted(stub for package in FACADES for stub in (ROOT / package).rglob("__init__.pyi"))


@dataclass(frozen=True)
class Arrow:
    """One import: of `name` from `target`, at `where`."""

    user: str
    target: str
    name: str
    where: str


def modules() -> dict[str, Path]:
    found = {}
    for package in ("mdl", "analysis"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(user: str, path: Path, known: dict[str, Path]) -> Iterator[Arrow]:
    """Every import of ours in a file, lazy ones and those for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Arrow(user, a.name, "", where) for a in node.names if a.name.partition(".")[0] in FACADES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in FACADES:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield Arrow(user, whole if whole in known else node.module, alias.name, where)


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


MODULES = modules()
ARROWS = [arrow for user, path in MODULES.items() for arrow in imports_of(user, path, MODULES)]
ROOMS = {room_of(module) for module in MODULES} - FACADES


def exported(room: str) -> set[str]:
    """The names at a room's door."""
    stub = ROOT / room.replace(".", "/") / "__init__.pyi"
    return {
        alias.name
        for node in ast.parse(stub.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_every_room_has_a_floor() -> None:
    assert set(FLOOR_OF) >= ROOMS, f"name the floor of {ROOMS - set(FLOOR_OF)}"
    assert len({room for room in ROOMS if room.startswith("mdl")}) <= 22
    assert len({room for room in ROOMS if room.startswith("analysis")}) <= 14


def test_a_room_imports_only_from_the_floors_below() -> None:
    climbs = [
        f"{arrow.where}: {arrow.user} imports {arrow.target}"
        for arrow in ARROWS
        if room_of(arrow.user) in ROOMS and room_of(arrow.target) in ROOMS
        if room_of(arrow.user) != room_of(arrow.target)
        if FLOOR_OF[room_of(arrow.target)] >= FLOOR_OF[room_of(arrow.user)]
    ]
    assert not climbs, "\n".join(climbs)


def test_analysis_and_mdl_meet_in_the_records_and_in_the_command_line_alone() -> None:
    strangers = [
        f"{arrow.where}: {arrow.user} imports {arrow.target}"
        for arrow in ARROWS
        if (arrow.user.startswith("analysis") and arrow.target.startswith("mdl"))
        if room_of(arrow.target) not in READ_BY_ANALYSIS
    ]
    strangers += [
        f"{arrow.where}: {arrow.user} imports {arrow.target}"
        for arrow in ARROWS
        if (arrow.user.startswith("mdl") and arrow.target.startswith("analysis"))
        if room_of(arrow.user) not in MEET_ANALYSIS
    ]
    assert not strangers, "\n".join(strangers)


def test_other_rooms_import_the_folder_and_what_its_door_exports() -> None:
    past_the_door = []
    for arrow in ARROWS:
        room = room_of(arrow.target)
        is_folder = (ROOT / room.replace(".", "/")).is_dir()
        if room in FACADES or room == room_of(arrow.user) or not is_folder:
            continue
        by_the_door = arrow.target == room or arrow.target == f"{room}.{arrow.name}"
        if not by_the_door or arrow.name not in exported(room):
            past_the_door.append(f"{arrow.where}: {arrow.name} of {arrow.target}")
    assert not past_the_door, "\n".join(past_the_door)


def test_no_two_files_import_each_other_not_even_in_a_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for arrow in ARROWS:
        if arrow.target in MODULES and arrow.target not in (arrow.user, *FACADES):
            graph[arrow.user].add(_file_behind(arrow))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def _file_behind(arrow: Arrow) -> str:
    """The file that a name comes from: a door passes on what its stub says."""
    stub = MODULES[arrow.target].with_suffix(".pyi")
    if not stub.exists():
        return arrow.target
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and arrow.name in {alias.name for alias in node.names}:
            return f"{arrow.target}.{node.module or arrow.name}"
    return arrow.target


@pytest.mark.parametrize("stub", DOORS, ids=lambda path: path.parent.name)
def test_a_door_exports_what_its_files_define(stub: Path) -> None:
    of_package = stub.parent.parent == ROOT  # which has its version besides
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if of_package and isinstance(node, ast.AnnAssign):
            continue
        assert isinstance(node, ast.ImportFrom), "a door only passes on"
        for alias in node.names:
            file = stub.parent / f"{(node.module or alias.name).replace('.', '/')}.py"
            inside = alias.name == file.stem and node.module is None
            assert file.exists() or file.with_suffix("").is_dir(), file
            folder = ".".join(file.with_suffix("").relative_to(ROOT).parts)
            passed_on = of_package and not file.exists() and alias.name in exported(folder)
            assert inside or passed_on or defines(alias.name, file), f"{file} does not define {alias.name}"
            assert node.module is None or not (stub.parent / f"{alias.name}.py").exists(), f"{alias.name} hides a file"


def defines(name: str, file: Path) -> bool:
    tree = ast.parse((file if file.exists() else file.with_suffix("") / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return True
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return True
    return False


SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in MODULES.values()}
KERNELS = ("mdl/models/kernels/", "mdl/mixing/kernels.py")
NUMBER_TABLES = {"mdl/units.py"}
TAKE_ANY_NUMBER = {"format", "pack", "suppress"}  # C's packs, and functions of any number of like values
Node = TypeVar("Node", bound=ast.stmt | ast.expr)


def styled(kind: type[Node]) -> Iterator[tuple[str, Node]]:
    """Where each node of a kind stands, kernels apart."""
    for file, source in SOURCES.items():
        for node in () if file.startswith(KERNELS) else ast.walk(ast.parse(source)):
            if isinstance(node, kind):
                yield f"{file}:{node.lineno}", node


def test_no_call_has_six_values_without_their_names() -> None:
    crowded = [
        f"{where}: {ast.unparse(call.func)}"
        for where, call in styled(ast.Call)
        if sum(not isinstance(value, ast.Starred) for value in call.args) >= 6
        if ast.unparse(call.func).rpartition(".")[2] not in TAKE_ANY_NUMBER
    ]
    assert not crowded, "\n".join(crowded)


def test_dataclasses_of_more_than_three_fields_are_frozen_and_take_names() -> None:
    """The first three at most may be given without, before a `KW_ONLY`."""
    loose = []
    for where, cls in styled(ast.ClassDef):
        decorators = " ".join(map(ast.unparse, cls.decorator_list))
        fields = [ast.unparse(line) for line in cls.body if isinstance(line, ast.AnnAssign)]
        given = [field for field in fields if "init=False" not in field]
        named = "kw_only=True" in decorators or "_: KW_ONLY" in given[:4]
        if "dataclass" in decorators and len(given) > 3 and not (named and "frozen=True" in decorators):
            loose.append(f"{where}: {cls.name}")
    assert not loose, "\n".join(loose)


def test_nothing_is_compared_with_itself_and_no_text_is_multiplied_by_a_truth() -> None:
    """`x != x` for NaN, and `"s" * (n > 1)` for a choice, are riddles: `isnan` and `if` say it."""
    riddles = [
        where
        for where, comparison in styled(ast.Compare)
        if ast.unparse(comparison.left) in map(ast.unparse, comparison.comparators)
    ]
    for where, product in styled(ast.BinOp):
        sides = product.left, product.right
        texts = [side for side in sides if isinstance(side, ast.JoinedStr) or _is_text(side)]
        truths = [side for side in sides if isinstance(side, ast.Compare | ast.BoolOp) or _is_truth(side)]
        if isinstance(product.op, ast.Mult) and texts and truths:
            riddles.append(where)
    assert not riddles, "\n".join(riddles)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_truth(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("bool", "any", "all")


def test_formatting_is_left_out_for_number_tables_and_kernels_alone() -> None:
    left_out = {file for file, source in SOURCES.items() if "# fmt: " in source and not file.startswith(KERNELS)}
    assert left_out <= NUMBER_TABLES


def test_a_file_has_at_most_300_lines() -> None:
    assert not [file for file, source in SOURCES.items() if source.count("\n") > 300]


def loaded_by(module: str) -> set[str]:
    """Modules in a fresh interpreter after importing one."""
    code = f"import sys, {module}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_what_analysis_loads_makes_no_records() -> None:
    """All of its files at once: neither torch nor what trains, and of `mdl` what records alone stand on."""
    every = ", ".join(sorted(module for module in MODULES if module.startswith("analysis")))
    loaded = loaded_by(every)
    assert not {"torch", "pytorch_lightning", "wandb", "pydantic", "datasets"} & loaded
    ours = {room_of(name) for name in loaded if name.startswith("mdl.")}
    assert ours <= {"mdl.records", "mdl.storage", "mdl.errors"}


@pytest.mark.parametrize("module", ["analysis.records.tables", "analysis.report.build", "analysis.report.contents"])
def test_figures_and_typesetting_are_loaded_only_when_used(module: str) -> None:
    assert not loaded_by(module) & {"matplotlib", "seaborn", "scipy", "typst"}


def test_records_are_of_the_standard_library_alone() -> None:
    files = [path for name, path in MODULES.items() if name.startswith(("mdl.records", "mdl.errors"))]
    imported = itertools.chain.from_iterable(
        [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    foreign = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"mdl", "lazy_loader"}
    assert not foreign
