"""HTML pages that need no network: the report on a dataset result, and the comparison of two models.

In: a dataset result or a comparison. Out: HTML. Imports analysis and plots.
"""

from resprobe.report.pages import comparison_page, report

__all__ = ["comparison_page", "report"]
