"""Each file is listed once, under its real name where it has one, whatever links lead to it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdl.data.sources.file_listing import files_under, once
from mdl.errors import MdlError


def made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def listed(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in files_under(folder)]


def test_files_are_sorted_by_the_parts_of_their_paths_without_hidden_ones(tmp_path: Path) -> None:
    made(tmp_path, "b.txt", "a/z.txt", "a.txt", "a-b/c", ".hidden", ".git/x", "a/.y/z")
    assert listed(tmp_path) == ["a/z.txt", "a-b/c", "a.txt", "b.txt"]


def test_a_folder_that_lies_in_a_hidden_one_is_listed(tmp_path: Path) -> None:
    made(tmp_path, ".cache/data/a")
    assert listed(tmp_path / ".cache" / "data") == ["a"]


def test_links_to_folders_are_followed_each_folder_once(tmp_path: Path) -> None:
    """A link to the folder itself, to one above, to one beside; one chain of links; two that lead to each other."""
    folder = tmp_path / "data"
    made(tmp_path, "data/v1/a.txt", "data/v1/deep/b.txt", "elsewhere/sub/c.txt")
    (folder / "latest").symlink_to("v1")
    (folder / "again").symlink_to("latest")
    (folder / "v1" / "loop").symlink_to(".")
    (folder / "v1" / "up").symlink_to(folder)
    (folder / "out").symlink_to(tmp_path / "elsewhere")
    (folder / "aside").symlink_to(tmp_path / "elsewhere")
    (folder / "x").symlink_to("y")
    (folder / "y").symlink_to("x")
    assert listed(folder) == ["aside/sub/c.txt", "v1/a.txt", "v1/deep/b.txt"]


def test_a_file_keeps_its_real_name_and_of_hard_links_the_first(tmp_path: Path) -> None:
    made(tmp_path, "m.txt", "n/o.txt", "same.txt")
    (tmp_path / "a.txt").symlink_to("m.txt")
    os.link(tmp_path / "m.txt", tmp_path / "z.txt")
    (tmp_path / "same.txt").write_text("m.txt")  # equal bytes are another file
    assert listed(tmp_path) == ["m.txt", "n/o.txt", "same.txt"]


def test_a_linked_file_from_outside_is_listed_under_the_link(tmp_path: Path) -> None:
    """As in a snapshot folder of a model hub, where every file is a link to a blob."""
    made(tmp_path, "blobs/6f", "snapshot/x/real.txt")
    (tmp_path / "snapshot" / "book.txt").symlink_to("../blobs/6f")
    assert listed(tmp_path / "snapshot") == ["book.txt", "x/real.txt"]


def test_what_is_no_file_is_not_listed(tmp_path: Path) -> None:
    """A pipe, a link that leads nowhere, a link to a device, a link through a file."""
    made(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    for name, target in (("gone", "nowhere"), ("null", "/dev/null"), ("through", "a/b")):
        (tmp_path / name).symlink_to(target)
    assert listed(tmp_path) == ["a"]


def test_of_a_globs_paths_each_file_stays_once(tmp_path: Path) -> None:
    """A recursive glob runs through a link to its own folder some forty times."""
    made(tmp_path, "a.txt", "b/a.txt")
    (tmp_path / "b" / "loop").symlink_to(".")
    paths = [tmp_path / "b" / Path(*["loop"] * i) / "a.txt" for i in range(40)]
    assert once([*reversed(paths), tmp_path / "a.txt", tmp_path / "b"]) == [tmp_path / "a.txt", tmp_path / "b/a.txt"]


def test_a_folder_named_through_a_link_is_listed_like_the_folder(tmp_path: Path) -> None:
    made(tmp_path, "real/m.txt")
    (tmp_path / "real" / "a.txt").symlink_to("m.txt")
    (tmp_path / "link").symlink_to("real")
    assert listed(tmp_path / "link") == listed(tmp_path / "real") == ["m.txt"]


def test_a_folder_that_may_not_be_read_is_one_line() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        closed = Path(folder) / "closed"
        closed.mkdir()
        Path(folder).chmod(0o755)
        user = os.geteuid()
        try:
            for mode, what in ((0, f"the folder {closed}"), (0o444, f"{closed}/a")):
                closed.chmod(0o755)
                made(closed, "a")
                closed.chmod(mode)
                if user == 0:
                    os.seteuid(65534)  # nothing is unreadable for root
                with pytest.raises(MdlError, match=rf"^cannot read {what}: Permission denied$"):
                    files_under(Path(folder))
                os.seteuid(user)
        finally:
            os.seteuid(user)
            closed.chmod(0o755)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8), st.sets(st.integers(0, 5), max_size=6))
def test_however_folders_link_each_file_is_listed_once(links: list[tuple[int, int]], full: set[int]) -> None:
    """Six folders in a chain, files in some, links between any two: the real names come out, and nothing else."""
    with tempfile.TemporaryDirectory() as root:
        folders = [Path(root, *map(str, range(i))) for i in range(6)]
        folders[-1].mkdir(parents=True)
        for i in full:
            (folders[i] / "file").touch()
        for n, (where, to) in enumerate(links):
            (folders[where] / f"!{n}").symlink_to(folders[to])
        assert set(files_under(Path(root))) == {folders[i] / "file" for i in full}
