"""From records of measurements to critical model sizes, figures and a report.

Reads the JSON that a sweep leaves on disk, or anyone's CSV; needs neither `mdl` nor torch. `table` loads, `cost` prices
parameters, `rates` and `critical` compute, `study` joins them, `who_wins` sets codes side by side, `figures` draws,
`document` words, `report` typesets.
"""

from __future__ import annotations


class AnalysisError(Exception):
    """Bad input. The command line prints the message alone, in one line, and exits with 2."""
