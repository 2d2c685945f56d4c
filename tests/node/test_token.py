"""Keys in a real PKCS#11 token: made inside, not extractable, and the node signs through them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trustme
from brakeline.ledger import ed25519
from brakeline.node import config
from brakeline.node.config import KeyPart, PinPart
from brakeline.node.keys.store import FileStore, KeyStore, KeyStoreError, open_store
from brakeline.node.setup import Plan, make_node, open_site
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.register import Register

from tests.node import house
from tests.node.tokens import PIN, make_token, needs_softhsm
from tests.support import cast


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyPart:
    return make_token(tmp_path / "hsm", monkeypatch)


def codes(store: KeyStore) -> str:
    with pytest.raises(KeyStoreError) as error:
        store.signer()
    return error.value.code


# the library's search in a session that has died is closed once more when it is collected, and says so
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@needs_softhsm
def test_a_key_is_made_in_the_token_and_cannot_be_taken_out_of_it(tmp_path: Path, part: KeyPart) -> None:
    import pkcs11
    from pkcs11 import Attribute, ObjectClass

    store = open_store(tmp_path, part, None)
    assert codes(store) == "key-missing"
    first = store.make()
    with pytest.raises(KeyStoreError) as again:
        store.make()
    assert again.value.code == "key-exists"
    message = b"message"
    assert ed25519.verify(first.public_key, message, first.sign(message))
    assert first.sign(message) == first.sign(message)
    assert store.waiting() is None
    second = store.make_next()
    assert store.make_next().public_key == second.public_key != first.public_key
    assert store.signer().public_key == first.public_key
    store.promote()
    store.promote()
    second_signer = store.signer()
    assert second_signer.public_key == second.public_key
    assert ed25519.verify(second.public_key, message, second_signer.sign(message))
    assert store.waiting() is None
    library = pkcs11.lib(str(part.module))
    library.reinitialize()  # as when a token was restarted: every session is gone
    assert ed25519.verify(second.public_key, message, second_signer.sign(message))
    token = library.get_token(token_label=part.token)
    with token.open() as session:
        private = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
        assert len(private) == 2
        for key in private:
            assert (key[Attribute.SENSITIVE], key[Attribute.EXTRACTABLE], key[Attribute.LOCAL]) == (True, False, True)
            assert (key[Attribute.NEVER_EXTRACTABLE], key[Attribute.ALWAYS_SENSITIVE]) == (True, True)
            with pytest.raises(pkcs11.exceptions.PKCS11Error):
                _ = key[Attribute.VALUE]


@needs_softhsm
def test_a_node_signs_through_a_token_and_its_folder_holds_neither_key_nor_pin(tmp_path: Path, part: KeyPart) -> None:
    document = house.treaty(house.now_ms() - 10_000)
    tls = house.issue(trustme.CA(), tmp_path / "issued")
    plan = Plan(cast.SITE, (("cpu-core", 2),), {}, tls, 0, guard=tmp_path / "last.json", key=part)
    root = cast.signer(cast.LABS[0])
    signed = cast.treaty_envelope(document).to_dsse_json()
    site = make_node(tmp_path / "node", plan, signed, document.digest, root, passphrase=None, now_ms=house.now_ms)
    site.journal.close()
    assert list((tmp_path / "node" / "keys").glob("*.pem")) == []
    written = (tmp_path / "node" / config.FILE).read_text()
    assert PIN not in written
    assert config.load(tmp_path / "node" / config.FILE).key == part
    _, site = open_site(tmp_path / "node", None, house.now_ms)
    site.book_period(0)
    register = Register(document)
    for count, item in enumerate(site.journal.envelopes()):
        outcome = admit(register, Envelope.from_body(item.body), now_ms=house.now_ms())
        assert isinstance(outcome, Admitted)
        register.record(outcome.statement, count)
    site.journal.close()


@needs_softhsm
def test_what_is_wrong_with_a_token_has_a_code(tmp_path: Path, part: KeyPart) -> None:
    import pkcs11
    from pkcs11 import Attribute, KeyType
    from pkcs11.util.ec import encode_named_curve_parameters

    wrong: dict[str, list[dict[str, object]]] = {
        "key-token": [{"token": "another"}, {"module": "/nowhere.so"}],
        "key-pin": [{"pin": PinPart(file="/nowhere")}, {"pin": PinPart(env="NO_SUCH_VARIABLE")}],
    }
    for code, changes in wrong.items():
        for change in changes:
            assert codes(open_store(tmp_path, part.model_copy(update=change), None)) == code
    (tmp_path / "wrong-pin").write_text("1111")
    assert codes(open_store(tmp_path, part.model_copy(update={"pin": PinPart(file="wrong-pin")}), None)) == "key-token"
    session = pkcs11.lib(str(part.module)).get_token(token_label=part.token).open(rw=True, user_pin=PIN)
    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("1.3.101.112")}
    loose = {Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False}
    parameters = session.create_domain_parameters(KeyType.EC_EDWARDS, curve, local=True)
    parameters.generate_keypair(store=True, label="site-1", private_template=loose)
    assert codes(open_store(tmp_path, part, None)) == "key-extractable"
    parameters.generate_keypair(store=True, label="site-1", private_template=loose)
    assert codes(open_store(tmp_path, part, None)) == "key-ambiguous"


def test_files_have_the_same_life(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "keys", b"open sesame")
    first = store.make()
    second = store.make_next()
    assert store.make_next().public_key == second.public_key != first.public_key
    assert store.signer().public_key == first.public_key
    store.promote()
    store.promote()
    assert store.signer().public_key == second.public_key
    assert sorted(p.name.split("-")[0] for p in (tmp_path / "keys").iterdir()) == ["retired", "site.pem"]
    assert "encrypted" in str(store)


@pytest.mark.parametrize(
    "value",
    [
        {"store": "pkcs11"},
        {"store": "file", "token": "t"},
        {"store": "pkcs11", "module": "m", "token": "t", "label": "l", "pin": {}},
        {"store": "pkcs11", "module": "m", "token": "t", "label": "l", "pin": {"env": "A", "file": "B"}},
        {"store": "pkcs11", "module": "m", "token": "t", "label": "l", "pin": "1234"},
    ],
)
def test_a_key_part_is_whole_and_never_holds_the_pin(value: object) -> None:
    with pytest.raises(ValueError, match="validation error"):
        KeyPart.model_validate_json(json.dumps(value))
