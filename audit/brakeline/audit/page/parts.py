"""The parts of a page: escaping, tables, cards, the document with its style and its content security policy."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from html import escape

from brakeline.treaty.findings import Severity

MAX_TEXT = 600
"""Characters of a text from a log that are shown; the JSON has it whole."""

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)

_STYLE = """
:root{--ink:#1b1b1b;--soft:#555;--line:#cfcfcf;--pale:#f5f5f3;--bad:#a3161a;--open:#7a4d00;--calm:#1f4e79}
*{box-sizing:border-box}
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:#fff;max-width:76rem;margin:0 auto;
padding:1rem 1.4rem}
h1{font-size:1.5rem;line-height:1.2;margin:0 0 .15rem}
h2{font-size:1.2rem;margin:2.2rem 0 .5rem;border-bottom:2px solid var(--ink)}
h3{font-size:1rem;margin:1.3rem 0 .35rem}p{margin:.35rem 0}ul{margin:.35rem 0;padding-left:1.2rem}
a{color:var(--calm)}nav{font-size:.9rem;margin:.8rem 0 0}nav a{margin-right:1rem}
.wide{overflow-x:auto;margin:.5rem 0}table{border-collapse:collapse;width:100%;font-size:.88rem}
caption{text-align:left;color:var(--soft);padding:.2rem 0;font-size:.88rem}
th,td{text-align:left;vertical-align:top;padding:.28rem .7rem .28rem 0;border-bottom:1px solid var(--line)}
th{font-weight:600}code{font-size:.85em;overflow-wrap:anywhere}td,li,p,summary,.fact{overflow-wrap:anywhere}
.soft{color:var(--soft)}td.num,th.num{text-align:right;padding-right:1.3rem}td.num,.id{white-space:nowrap}
.verdict{font-size:1.05rem}.who{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.facts{display:grid;grid-template-columns:repeat(3,1fr);gap:.9rem;margin:.7rem 0}
.fact{border:1px solid var(--line);border-top:.4rem solid var(--tone);padding:.6rem .8rem;background:#fff}
.fact h2{font-size:1.15rem;line-height:1.25;margin:0 0 .3rem;border:0;color:var(--tone)}
.fact ul{list-style:none;padding:0;margin:.3rem 0}.fact li{padding:.24rem 0;border-top:1px solid var(--line)}
.fact p{margin:.3rem 0}.fact b{display:block;font-size:1.1rem;color:var(--tone)}
.fact li b{display:inline;font-size:1em;color:inherit}.fact li b.who{display:block}
.good,.calm{--tone:var(--calm)}.bad{--tone:var(--bad)}.open{--tone:var(--open)}
.levels .fact{background:var(--pale);border-top-width:1px;border-left:.4rem solid var(--tone)}
.levels{margin:.5rem 0}.levels h3{margin:0;font-size:1rem}.levels p{font-size:.9rem}
.tag{display:inline-block;font-size:.78rem;font-weight:700;padding:0 .4rem;border:1.5px solid;border-radius:.2rem;
white-space:nowrap}
.referral{color:var(--bad)}.discrepancy{color:var(--open)}.note{color:var(--calm)}
.finding{border-left:.3rem solid var(--tone);padding:.1rem 0 .1rem .8rem;margin:.8rem 0}
.finding .what{font-size:1.02rem}.pair{display:flex;flex-wrap:wrap;gap:1.4rem}.pair>*{flex:1 1 26rem;min-width:0}
summary{cursor:pointer;color:var(--calm)}figure{margin:.6rem 0}figcaption{font-size:.9rem;color:var(--soft)}
svg{max-width:100%;height:auto}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--pale);padding:.5rem .7rem;font-size:.85rem}
@media(max-width:60rem){.facts{grid-template-columns:1fr}}
@page{margin:14mm}
@media print{body{margin:0;padding:0;max-width:none;font-size:10pt}nav{display:none}
a{color:inherit;text-decoration:none}
h2,h3,caption,summary{break-after:avoid}tr,.fact,.finding,figure{break-inside:avoid}.wide{overflow:visible}
thead{display:table-header-group}
.facts{grid-template-columns:repeat(3,1fr)}details::details-content{content-visibility:visible;display:block}}
"""


def esc(text: object, limit: int = MAX_TEXT) -> str:
    r"""Return *text* for HTML: nothing in it is markup, nothing that cannot be seen acts unseen, long ones are cut.

    >>> esc("<b>a\u202eb</b>"), esc("abcdef", limit=3)
    ('&lt;b&gt;a\\u202eb&lt;/b&gt;', 'abc…')
    """
    plain = str(text)
    if len(plain) > limit:
        plain = plain[:limit] + "…"
    return escape(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", plain))


def number(value: int | None) -> str:
    r"""Return a number with its digits grouped, or a dash.

    >>> number(1234567), number(None)
    ('1\u202f234\u202f567', '-')
    """
    return "-" if value is None else f"{value:,}".replace(",", "\u202f")


def many(count: int, one: str, more: str = "") -> str:
    """Return *count* with its noun.

    >>> many(1, "log"), many(2, "log"), many(0, "discrepancy", "discrepancies")
    ('1 log', '2 logs', '0 discrepancies')
    """
    return f"{number(count)} {one if count == 1 else more or one + 's'}"


def tag(severity: str, count: int = 1) -> str:
    """Return the mark of a severity: word and form, so that it does not rest on colour."""
    form = {Severity.REFERRAL: "■", Severity.DISCREPANCY: "▲", Severity.NOTE: "●"}
    known = next((item for item in Severity if item.value == severity), Severity.NOTE)
    times = f" \u00d7{count}" if count > 1 else ""
    return f'<span class="tag {known.value}">{form[known]} {esc(severity.upper(), 20)}{times}</span>'


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", numbers: Iterable[int] = ()
) -> str:
    """Return a table; *headings* and *caption* are plain text, cells are HTML; columns *numbers* stand to the right."""
    right = set(numbers)
    mark = [' class="num"' if at in right else "" for at in range(len(headings))]
    head = "".join(f'<th scope="col"{mark[at]}>{escape(text)}</th>' for at, text in enumerate(headings))
    body = "".join(f"<tr>{''.join(f'<td{mark[at]}>{cell}</td>' for at, cell in enumerate(row))}</tr>" for row in rows)
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def section(name: str, title: str, *body: str) -> str:
    """Return a section with an anchor."""
    return f'<section><h2 id="{escape(name)}">{escape(title)}</h2>{"".join(body)}</section>'


def fold(title: str, *body: str) -> str:
    """Return what is shown on demand (and in print)."""
    return f"<details><summary>{escape(title)}</summary>{''.join(body)}</details>"


def card(tone: str, head: str, text: str) -> str:
    """Return a card for the top of a page; *tone* is good, bad or open, *head* and *text* are plain text."""
    return f'<div class="fact {tone}"><b>{esc(head)}</b>{esc(text)}</div>'


def document(title: str, body: Iterable[str], *, style: str = "") -> str:
    """Return a whole page of *body* (HTML), with the house's style and *style* after it.

    The policy allows the page's own style sheet, by its hash, and nothing else: no script, image, font or address.
    """
    sheet = _STYLE + style
    hashed = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
        f"<title>{esc(title)}</title><style>{sheet}</style>"
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'
