"""The workbench as a page, and as one file: a delegation moves a term and sees the six answers change.

:mod:`~brakeline.explorer.page.desk` computes (designs in, answers out), :mod:`~brakeline.explorer.page.charts` says how
a table is drawn, :mod:`~brakeline.explorer.page.app` serves both with the static files beside it, and
:mod:`~brakeline.explorer.page.report` writes the file that a delegation takes home. Nothing here answers a question:
that is :mod:`brakeline.explorer.answers`.
"""
