"""Keys by commands: requests that an offline root signs; enrolment, rotation, the end of a key, a take-over."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from brakeline.ledger import keyfile
from brakeline.ledger.errors import BrakelineError
from brakeline.node import config
from brakeline.node.commands import app
from brakeline.node.keys.position import AWAITING
from brakeline.node.setup import open_site
from brakeline.node.site import Site
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.oversight import Autonomy
from brakeline.treaty.statements import Enrolment, Inventory, parse_statement
from typer.testing import CliRunner, Result

from tests.node import house, outlogs
from tests.support import cast
from tests.treaty.test_disowned import judged

RUNNER = CliRunner()


class Desk:
    """A folder with a treaty, TLS files, the lab's root key, and the commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.document = house.treaty(house.now_ms() - 20 * house.PERIOD_MS)
        (folder / "treaty.dsse.json").write_bytes(cast.treaty_envelope(self.document).to_dsse_json())
        seed = hashlib.sha256(f"brakeline tests/statement/{cast.LABS[0]}".encode()).digest()
        keyfile.write_key(folder / "root.pem", seed, None)
        house.issue(trustme.CA(), folder / "tls")
        self.terms = ["--treaty", str(folder / "treaty.dsse.json"), "--pin", self.document.digest]
        self.root = ["--root-key", str(folder / "root.pem"), "--record", str(folder / "root-signed.json")]

    def run(self, *words: str) -> Result:
        return RUNNER.invoke(app, [str(word) for word in words])

    def done(self, *words: str) -> dict[str, object]:
        result = self.run(*words, "--format", "json")
        assert result.exit_code == 0, (result.output, result.exception)
        value = json.loads(result.stdout)
        assert isinstance(value, dict)
        return value

    def code(self, *words: str) -> str:
        result = self.run(*words)
        if isinstance(result.exception, BrakelineError):
            return result.exception.code
        assert result.exit_code != 0
        return result.output

    def init(self) -> None:
        self.done(
            *("init", "--dir", self.at("node"), *self.terms, "--site", cast.SITE, "--chips", "cpu-core=2"),
            *("--tls-dir", self.at("tls"), "--guard", self.at("apart/last-signed.json"), "--effective-period", "0"),
        )

    def at(self, name: str) -> str:
        return str(self.folder / name)

    def sign(self, request: str, out: str) -> dict[str, object]:
        return self.done("key", "sign", self.at(request), *self.terms, *self.root, "--out", self.at(out))

    def site(self, name: str = "node") -> Site:
        return open_site(self.folder / name, None, house.now_ms)[1]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def enrolled(desk: Desk) -> None:
    desk.init()
    desk.sign("node/request.dsse.json", "begin.dsse.json")
    desk.done("key", "install", desk.at("begin.dsse.json"), "--dir", desk.at("node"))


def test_a_new_node_asks_and_signs_nothing_until_the_root_has_answered(desk: Desk) -> None:
    desk.init()
    assert desk.done("key", "show", "--dir", desk.at("node"))["held"] == AWAITING
    shown = desk.run("key", "sign", desk.at("node/request.dsse.json"), *desk.terms, *desk.root, "--dry-run")
    assert "would sign" in shown.stdout
    desk.sign("node/request.dsse.json", "begin.dsse.json")
    for _ in range(2):  # a crash in between is mended by doing it again
        desk.done("key", "install", desk.at("begin.dsse.json"), "--dir", desk.at("node"))
    site = desk.site()
    assert [type(s.predicate) for s in house.statements(site)] == [Enrolment, Inventory]
    site.book_period(0)
    site.journal.close()
    shown_now = desk.done("key", "show", "--dir", desk.at("node"))
    assert (shown_now["held"], shown_now["recorded"]) == ("", shown_now["signed"])
    assert "may sign  yes" in desk.run("key", "show", "--dir", desk.at("node")).stdout


def test_a_key_is_replaced_by_request_and_the_old_one_signs_nothing_meanwhile(desk: Desk) -> None:
    enrolled(desk)
    site = desk.site()
    site.book_period(0)
    old = site.keyid
    root_last = f"0:{site.journal.envelopes().__next__().digest}"
    site.journal.close()
    desk.done("key", "rotate", "--dir", desk.at("node"), "--after", root_last, "--out", desk.at("next.dsse.json"))
    held = desk.site()
    assert held.held == AWAITING
    assert held.keyid == old
    held.journal.close()
    desk.sign("next.dsse.json", "replace.dsse.json")
    desk.done("key", "install", desk.at("replace.dsse.json"), "--dir", desk.at("node"))
    site = desk.site()
    assert site.keyid != old
    site.book_period(1)
    everything = outlogs.signed(site)
    assert [dict(e.signatures).keys() for e in everything][-1] == {site.keyid}
    assert "disowned" not in judged(everything)
    site.journal.close()


def test_rotation_is_undone_where_nobody_signed(desk: Desk) -> None:
    enrolled(desk)
    digest = "ab" * 32
    desk.done("key", "rotate", "--dir", desk.at("node"), "--after", f"0:{digest}", "--out", desk.at("next.dsse.json"))
    desk.done("key", "rotate", "--dir", desk.at("node"), "--undo")
    site = desk.site()
    site.book_period(0)
    site.journal.close()


def test_the_root_signs_no_position_twice_and_nothing_that_is_not_a_request(desk: Desk) -> None:
    enrolled(desk)
    site = desk.site()
    digest = "ab" * 32
    ask = ("key", "rotate", "--dir", desk.at("node"), "--after")
    site.journal.close()
    desk.done(*ask, f"0:{digest}", "--out", desk.at("elsewhere.dsse.json"))
    sign = ("key", "sign", desk.at("elsewhere.dsse.json"), *desk.terms)
    out = ("--out", desk.at("out.dsse.json"))
    assert desk.code(*sign, *desk.root, *out) == "enrolment-position"
    keyfile.write_key(Path(desk.at("other.pem")), keyfile.generate(), None)
    assert desk.code(*sign, "--root-key", desk.at("other.pem"), *out) == "enrolment-root"
    order = cast.order(desk.document)
    Path(desk.at("order.dsse.json")).write_bytes(order.to_dsse_json())
    assert desk.code("key", "sign", desk.at("order.dsse.json"), *desk.terms, *desk.root, *out) == "enrolment-other"
    request = Envelope.from_dsse_json(Path(desk.at("elsewhere.dsse.json")).read_bytes())
    asked = parse_statement(request.payload).predicate
    forged = cast.envelope(request.payload, cast.signer("nobody"))
    assert isinstance(asked, Enrolment)
    Path(desk.at("forged.dsse.json")).write_bytes(forged.to_dsse_json())
    assert desk.code("key", "sign", desk.at("forged.dsse.json"), *desk.terms, *desk.root, *out) == "enrolment-proof"
    assert desk.code("key", "install", desk.at("begin.dsse.json"), "--dir", desk.at("node")) == "enrolment-key"
    other = Path(desk.at("order.dsse.json"))
    assert desk.code("key", "install", str(other), "--dir", desk.at("node")) == "enrolment-other"
    assert "is there already" in desk.code(*ask, f"0:{digest}", "--out", desk.at("elsewhere.dsse.json"))


def test_a_key_is_ended_and_what_it_signs_later_is_disowned(desk: Desk) -> None:
    enrolled(desk)
    site = desk.site()
    kept, later = site.book_period(0), site.book_period(1)
    enrolment = next(site.journal.envelopes()).digest
    site.journal.close()
    key = desk.done("key", "show", "--dir", desk.at("node"))["key"]
    ended = ("key", "revoke", "--key", str(key), "--honours", f"{kept.sequence}:{kept.digest}", "--period", "2")
    desk.done(*ended, "--after", f"0:{enrolment}", *desk.terms, *desk.root, "--out", desk.at("end.dsse.json"))
    site = desk.site()
    site.spool(Envelope.from_dsse_json(Path(desk.at("end.dsse.json")).read_bytes()))
    (finding,) = judged(outlogs.signed(site))["disowned"]
    assert later.digest in finding.statements
    assert kept.digest not in finding.statements
    site.journal.close()


def test_a_take_over_by_commands_alone(desk: Desk) -> None:
    enrolled(desk)
    old = desk.site()
    for period in range(3):
        old.book_period(period)
    held = outlogs.signed(old)
    outlogs.logs(desk.folder / "logs", dict.fromkeys(cast.VERIFIERS[:3], held), house.now_ms())
    logs = [word for name in cast.VERIFIERS[:3] for word in ("--log", f"{name}={desk.at('logs')}/{name}")]
    logs += ["--log", f"{cast.VERIFIERS[3]}={desk.at('nowhere')}"]
    asked = desk.done(
        *("takeover", "--dir", desk.at("new"), *desk.terms, "--site", cast.SITE, "--tls-dir", desk.at("tls"), *logs),
        *("--guard", desk.at("apart/new.json"), "--out", desk.at("takeover.dsse.json")),
    )
    assert any("not believed" in str(note) for note in (asked["notes"] if isinstance(asked["notes"], list) else []))
    desk.sign("takeover.dsse.json", "taken.dsse.json")
    done = desk.done("key", "install", desk.at("taken.dsse.json"), "--dir", desk.at("new"))
    assert done["goes_on_after"] == old.journal.head()[0] - 1
    late = old.book_period(3)
    old.journal.close()
    new = desk.site("new")
    mine = new.book_period(3)
    everything = [*outlogs.signed(new), Envelope.from_body(late.body)]
    (finding,) = judged(everything)["disowned"]
    assert late.digest in finding.statements
    assert mine.digest not in finding.statements
    new.journal.close()


def test_a_take_over_reaches_the_logs_through_the_proxy_alone(desk: Desk) -> None:
    """The logs' addresses lead nowhere; the proxy is told them, and answers for them."""
    enrolled(desk)
    old = desk.site()
    old.book_period(0)
    last = old.journal.head()[0] - 1
    outlogs.logs(desk.folder / "logs", dict.fromkeys(cast.VERIFIERS, outlogs.signed(old)), house.now_ms())
    old.journal.close()
    logs = [word for name in cast.VERIFIERS for word in ("--log", f"{name}=http://{name}.invalid")]
    asked: list[str] = []

    class Proxy(SimpleHTTPRequestHandler):
        """Answers what is asked of ``http://VERIFIER.invalid`` with the files of that verifier's log."""

        def translate_path(self, path: str) -> str:
            asked.append(path)
            url = urlsplit(path)
            return str(desk.folder / "logs" / (url.hostname or "").removesuffix(".invalid") / url.path.lstrip("/"))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            way = f"http://127.0.0.1:{server.server_address[1]}"
            command = ("takeover", "--dir", desk.at("new"), *desk.terms, "--site", cast.SITE)
            out = (
                "--tls-dir",
                desk.at("tls"),
                "--out",
                desk.at("takeover.dsse.json"),
                "--guard",
                desk.at("apart/new.json"),
            )
            assert "--proxy: http://host:port" in desk.code(*command, *logs, *out, "--proxy", "socks5://127.0.0.1:1")
            done = desk.done(*command, *logs, *out, "--proxy", way)
        finally:
            server.shutdown()
            thread.join()
    assert f"honours  {last}:" in str(done["notes"])
    assert {urlsplit(path).hostname for path in asked} == {f"{name}.invalid" for name in cast.VERIFIERS}
    settings = config.load(desk.folder / "new" / config.FILE)
    assert settings.egress is not None
    assert settings.egress.proxy == way


@pytest.mark.parametrize(
    "words",
    [
        ("--token", "t"),
        ("--pkcs11-module", "m"),
        ("--pkcs11-module", "m", "--token", "t", "--key-label", "l"),
        ("--pkcs11-module", "m", "--token", "t", "--key-label", "l", "--pin-file", "a", "--pin-env", "B"),
    ],
)
def test_options_of_a_token_are_whole(desk: Desk, words: tuple[str, ...]) -> None:
    said = desk.code(
        *("init", "--dir", desk.at("node"), *desk.terms, "--site", cast.SITE, "--chips", "cpu-core=2"),
        *("--tls-dir", desk.at("tls"), *words),
    )
    assert "--pkcs11-module" in said


JOIN = """site = "{site}"
treaty = "treaty.dsse.json"
pin = "{pin}"
tls = "tls"
root_key = "root.pem"
guard = "apart/last-signed.json"
effective_period = 0
seal = []

[[chips]]
class = "cpu-core"
count = 2

[verifiers]
"verifier.party-a.example" = "127.0.0.1:9"
"""


def test_a_site_is_set_up_from_one_file(desk: Desk) -> None:
    path = Path(desk.at("site.toml"))
    text = JOIN.format(site=cast.SITE, pin=desk.document.digest)
    path.write_text(text.replace('tls = "tls"', "tls = 3").replace("count = 2", "count = -2"))
    told = desk.code("init", "--from", str(path), "--dir", desk.at("node"))
    assert all(part in told for part in ("join-value", "line 4: tls", "line 12: chips.0.count"))
    path.write_text("site = ")
    assert desk.code("init", "--from", str(path), "--dir", desk.at("node")).startswith("join-toml")
    assert desk.code("init", "--from", desk.at("none.toml"), "--dir", desk.at("node")).startswith("join-unreadable")
    assert "--from" in desk.code("init", "--dir", desk.at("node"))
    path.write_text(text)
    made = desk.done("init", "--from", str(path), "--dir", desk.at("node"))
    assert made["site"] == cast.SITE
    assert Path(desk.at("apart/last-signed.json")).exists()
    config, site = open_site(desk.folder / "node", None, house.now_ms)
    assert (config.disclosure.seal, config.verifiers) == ((), {"verifier.party-a.example": "127.0.0.1:9"})
    assert [type(s.predicate) for s in house.statements(site)] == [Enrolment, Inventory]
    site.journal.close()


FIGURES = """period = 1
written_by_models = {numerator = 95, denominator = 100}
reviewed_by_people = {numerator = 4, denominator = 10}
longest_unattended_ms = 57600000
speed_up = {numerator = 12, denominator = 10}
"""


def declared(desk: Desk, figures: str, *words: str) -> tuple[str, ...]:
    Path(desk.at("figures.toml")).write_text(figures)
    return ("key", "autonomy", desk.at("figures.toml"), "--lab", cast.LABS[0], *desk.terms, *desk.root, *words)


def test_figures_of_autonomy_follow_what_the_root_signed_and_are_labelled(desk: Desk) -> None:
    enrolled(desk)
    begun = Envelope.from_dsse_json(Path(desk.at("begin.dsse.json")).read_bytes())
    shown = desk.run(*declared(desk, FIGURES, "--dry-run"))
    assert "self-declared" in shown.stdout
    assert "95/100" in shown.stdout
    made = desk.done(*declared(desk, FIGURES, "--out", desk.at("autonomy.dsse.json")))
    assert made["label"] == "self-declared"
    envelope = Envelope.from_dsse_json(Path(desk.at("autonomy.dsse.json")).read_bytes())
    said = parse_statement(envelope.payload).predicate
    assert isinstance(said, Autonomy)
    assert (said.sequence, said.previous, said.author) == (1, begun.digest, cast.LABS[0])
    assert (made["digest"], said.written_by_models.numerator) == (envelope.digest, 95)
    signed = outlogs.signed(site := desk.site())
    site.journal.close()
    assert "autonomy-tripwire" in judged([*signed, envelope])
    again = ("--after", f"0:{begun.digest}", "--out", desk.at("again.dsse.json"))
    desk.done(*declared(desk, FIGURES, *again))  # the very same statement may be made again, another may not
    assert Path(desk.at("again.dsse.json")).read_bytes() == Path(desk.at("autonomy.dsse.json")).read_bytes()
    other = ("--after", f"0:{begun.digest}", "--out", desk.at("other.dsse.json"))
    assert desk.code(*declared(desk, FIGURES.replace("95", "96"), *other)) == "enrolment-position"
    assert not Path(desk.at("other.dsse.json")).exists()
    assert "is not overwritten" in desk.code(*declared(desk, FIGURES, "--out", desk.at("again.dsse.json")))


def test_figures_of_autonomy_are_refused_with_all_their_lines(desk: Desk) -> None:
    assert "--after" in desk.code(*declared(desk, FIGURES))
    wrong = FIGURES.replace("57600000", '"long"').replace("speed_up", "speedup") + 'author = "x"\n'
    error = desk.run(*declared(desk, wrong)).exception
    assert isinstance(error, BrakelineError)
    assert error.code == "autonomy-value"
    assert all(part in str(error) for part in ("line 4: longest", "line 5: speedup", "line 6: author"))
    assert desk.code(*declared(desk, "period =")) == "autonomy-toml"
    assert desk.code(*declared(desk, "#" * 70_000)) == "autonomy-unreadable"
    Path(desk.at("figures.toml")).unlink()
    words = ("key", "autonomy", desk.at("figures.toml"), "--lab", cast.LABS[0], *desk.terms, *desk.root)
    assert desk.code(*words) == "autonomy-unreadable"
