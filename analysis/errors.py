"""The one error a user may meet: what is wrong, what was found, how to mend it, in one line."""

from __future__ import annotations


class AnalysisError(Exception):
    """Bad input. The command line prints the message alone, in one line, and exits with 2.

    Examples
    --------
    >>> try:
    ...     analysis.load(RECORDS).study(cost="flaot16")
    ... except analysis.AnalysisError as error:
    ...     print("did you mean 'float16'?" in str(error))
    True
    """
