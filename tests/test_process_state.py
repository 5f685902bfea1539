"""A call leaves its process as it found it."""

import ast

from tests import ROOT

# What a call may leave behind in its process, and why.
LEFT_BEHIND = {
    "mdl/plugins/loading.py": "a module, once imported, is the process's own; those that it starts load it too",
    "mdl/quantization/spread_work.py": "the number of threads, put back at once; a process to copy, which ends with it",
}
SETTERS = {"os.environ.update", "os.environ.setdefault", "os.environ.pop", "os.putenv"}


def test_no_module_holds_state_that_outlives_a_call_and_none_changes_the_environment() -> None:
    """Neither a `global`, an empty container of a module's own, nor a variable of the environment that is set."""
    found = set()
    for file in [path for package in ("mdl", "analysis") for path in (ROOT / package).rglob("*.py")]:
        tree = ast.parse(file.read_text())
        kept = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign) and _is_empty(node.value)]
        if kept or any(isinstance(node, ast.Global) or _sets_environment(node) for node in ast.walk(tree)):
            found.add(file.relative_to(ROOT).as_posix())
    assert found == LEFT_BEHIND.keys()


def _is_empty(value: ast.expr | None) -> bool:
    """A list, dict or set that something is to be put into."""
    return value is not None and ast.unparse(value) in ("{}", "[]", "set()", "dict()", "list()")


def _sets_environment(node: ast.AST) -> bool:
    """Assigns to os.environ or an item of it, deletes one, or calls what does."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in SETTERS
    targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else []
    targets = [node.target] if isinstance(node, ast.AugAssign) else targets
    return any(ast.unparse(target).startswith("os.environ") for target in targets)
