"""A study's figures, as notebooks have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from analysis.study import Study as Explained

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Plots:
    """Figures of a study. Each takes `ax` (None: new axes) and `group` (needed where there are several).

    They compute nothing, leave rcParams alone, and draw nothing outside axes that were given.

    Raises
    ------
    AnalysisError
        By each method, for a group that is not there, or for none where there are several.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> figure, (left, right) = plt.subplots(1, 2)
    >>> plot = analysis.load(RECORDS).study().plot
    >>> plot.adjusted_rate(ax=left) is left and plot.critical_size(ax=right) is right
    True
    """

    def __init__(self, explained: Explained, only_group: Callable[[str | None], str]) -> None:
        self._explained, self._only_group = explained, only_group

    def adjusted_rate(self, *, ax: Axes | None = None, group: str | None = None) -> Axes:
        """Adjusted rate against model size, one curve per dataset size; stars mark critical sizes.

        Parameters
        ----------
        ax
            The axes to draw into; None: new ones.
        group
            Which group; None where there is one alone.

        Returns
        -------
        matplotlib.axes.Axes
            `ax`, or the new ones.

        Examples
        --------
        >>> analysis.load(RECORDS).study().plot.adjusted_rate().get_xlabel()
        'model size N, parameters'
        """
        from analysis.plots import plot_adjusted_rate

        rates, critical, between = self._of(group, "rates", "critical", "between")
        return plot_adjusted_rate(rates, critical, between, ax=ax)

    def raw_rate(self, *, ax: Axes | None = None, group: str | None = None) -> Axes:
        """Code over raw bytes against model size, parameters not counted.

        Parameters
        ----------
        ax
            The axes to draw into; None: new ones.
        group
            Which group; None where there is one alone.

        Returns
        -------
        matplotlib.axes.Axes
            `ax`, or the new ones.

        Examples
        --------
        >>> analysis.load(RECORDS).study().plot.raw_rate().get_xlabel()
        'model size N, parameters'
        """
        from analysis.plots import plot_raw_rate

        rates, critical = self._of(group, "rates", "critical")
        return plot_raw_rate(rates, critical, ax=ax)

    def heldout_rate(self, *, ax: Axes | None = None, group: str | None = None) -> Axes:
        """The rate of bytes that no subset contains, against model size.

        Parameters
        ----------
        ax
            The axes to draw into; None: new ones.
        group
            Which group; None where there is one alone.

        Returns
        -------
        matplotlib.axes.Axes
            `ax`, or the new ones.

        Examples
        --------
        >>> analysis.load(RECORDS).study().plot.heldout_rate().get_xlabel()
        'model size N, parameters'
        """
        from analysis.plots import plot_heldout_rate

        (rates,) = self._of(group, "rates")
        return plot_heldout_rate(rates, ax=ax)

    def critical_size(self, *, ax: Axes | None = None, group: str | None = None) -> Axes:
        """Critical model size against dataset size, with its law and, where there are replicates, intervals.

        Parameters
        ----------
        ax
            The axes to draw into; None: new ones.
        group
            Which group; None where there is one alone.

        Returns
        -------
        matplotlib.axes.Axes
            `ax`, or the new ones.

        Examples
        --------
        >>> analysis.load(RECORDS).study().plot.critical_size().get_xlabel()
        'dataset size D, bytes'
        """
        from analysis.plots import plot_critical_size
        from analysis.study import law_line

        critical, predictions = self._of(group, "critical", "predictions")
        law = law_line(self._explained.laws[self._only_group(group)], critical)
        return plot_critical_size(critical, law, None, predictions, ax=ax)

    def _of(self, group: str | None, *names: str) -> list[pd.DataFrame]:
        chosen = self._only_group(group)
        frames = [getattr(self._explained, name) for name in names]
        return [frame[frame["group"] == chosen] for frame in frames]
