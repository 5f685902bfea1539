"""A record says by what it was made."""

from __future__ import annotations

from mdl import __version__
from mdl.records import provenance_now


def test_the_version_of_this_package_is_told_though_pip_calls_it_otherwise() -> None:
    made = provenance_now(
        device="",
        n_threads=1,
        precision="float32",
        command="mdl",
        training_seconds=1,
        measuring_seconds=1,
        cohort_size=1,
    )
    assert made.versions["mdl"] == __version__
    assert "mdl-critical-size" not in made.versions
