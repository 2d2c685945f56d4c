"""The report as one self-contained page: no script, no network, no font from elsewhere; prints as it reads.

What a delegate needs stands on the first screen: who is accused of what, what could not be checked, how fresh the logs
are and how many agree. Then what an engineer drills into (:mod:`brakeline.audit.page`). Every figure is the report's
(:mod:`brakeline.audit.report`) or the detail's (:mod:`brakeline.audit.detail`).
"""

from __future__ import annotations

from brakeline.audit.detail import Detail
from brakeline.audit.page import books, conduct, first, found, orders, recompute, sealed
from brakeline.audit.page.parts import document, section
from brakeline.audit.report import AuditReport

_CONTENTS = (
    ("levels", "Levels"),
    ("verdict", "Verdict"),
    ("found", "Findings"),
    ("books", "Books"),
    ("lineages", "Lineages"),
    ("orders", "Orders"),
    ("conduct", "Verifiers"),
    ("docket", "Docket"),
    ("recompute", "Recompute"),
)


def render(
    report: AuditReport, detail: Detail | None = None, *, title: str = "Audit of a treaty's logs", command: str = ""
) -> str:
    """Return the page.

    Args:
        report: the audit's values.
        detail: books, lineages, orders and logs; without it (an unreadable treaty) those sections are left out.
        title: of the page.
        command: the command line that reproduces the report, shown as given.
    """
    what = ("books", "lineages", "orders", "conduct")
    links = "".join(
        f'<a href="#{name}">{text}</a>' for name, text in _CONTENTS if detail is not None or name not in what
    )
    body = [
        f"<header>{first.head(report, title)}{first.facts(report, detail)}</header>",
        section("levels", "Three questions, three answers; none stands for another", first.levels(report)),
        f'<nav aria-label="Contents">{links}</nav><main>',
        conduct.lists(report),
        found.findings(report),
    ]
    if detail is not None:
        body += [
            books.books(report, detail),
            books.lineages(detail),
            orders.orders(detail),
            conduct.conduct(report, detail),
        ]
    body += [sealed.sealed(report), found.docket(report), recompute.recompute(report, command), "</main>"]
    return document(title, body)
