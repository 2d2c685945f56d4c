"""``node.toml``: what an operator sets. Numbers of the treaty are not here; they come from the treaty.

    site = "lab-1.party-a.example/site-1"
    pin = "5f3c..."                      # digest of the treaty, as your government published it

    [tls]
    folder = "tls"                       # holds tls.pem, tls.key, ca.pem; relative to this file

    [[chips]]
    class = "cpu-core"                   # the first class is the one that process meters meter
    serials = "serials/cpu-core.txt"     # one a line; leave out for chips without serial numbers
    utilisation = {numerator = 3, denominator = 10}   # measured; leave out when it was not

    [key]                                # leave out for keys/site.pem, encrypted where BRAKELINE_PASSPHRASE was set
    store = "pkcs11"
    module = "/usr/lib/softhsm/libsofthsm2.so"
    token = "brakeline"                  # the token's label
    label = "site-1"                     # the key's
    pin = {env = "BRAKELINE_PIN"}        # or {file = "/run/secrets/pin"}; the PIN itself never stands here

    [guard]                              # what was signed last; without it the node asks all verifiers at every start
    path = "/mnt/other-disk/last-signed.json"
    ask = "doubt"                        # "always": ask at every start all the same

    [verifiers]                          # only where an address differs from the treaty's (a proxy)
    "verifier.party-b.example" = "10.0.0.2:7443"

    [books]
    slots = 4                            # into how many slots a period is cut for the chip x slot table
    settle_ms = 3000                     # how long to wait for meters that are away before a period is booked

    [accelerators]                       # counters of the boards of the first class; leave out where there are none
    meter = "dcgm"                       # or "nvml": the boards of this machine
    sources = ["http://10.0.0.7:9400/metrics"]   # of dcgm: exporters' addresses, or files with their text
    every_ms = 10000                     # how often they are read

    [raw]                                # raw counters that books committed to, compressed, one file a period
    keep_days = 400                      # how long; never less than the treaty may still ask for them
    max_mib = 20480                      # beyond this the oldest go, as far as the treaty lets them

    [disclosure]                         # leave out to seal all that the treaty lets a site seal
    seal = ["/predicate/lines/*/joules"] # these only; [] for nothing

    [metrics]
    listen = "127.0.0.1:9464"            # Prometheus scrapes http://127.0.0.1:9464/metrics; leave out for none

    [egress]
    proxy = "http://proxy.example:3128"  # an HTTP proxy that lets CONNECT through; TLS stays end to end

Paths are relative to the folder of the file.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self, TypeVar

from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.quantities import Rational
from brakeline.treaty.statements import SiteName
from brakeline.treaty.toml_lines import locate
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError, model_validator

FILE = "node.toml"


class ConfigError(BrakelineError):
    """``node.toml`` has a mistake (codes ``config-*``)."""


_Model = TypeVar("_Model", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TlsPart(_Part):
    """``[tls]``: the folder with tls.pem, tls.key and ca.pem."""

    folder: StrictStr = "tls"


class Ratio(_Part):
    """A measured share of the dense peak."""

    numerator: Annotated[StrictInt, Field(ge=0)]
    denominator: Annotated[StrictInt, Field(ge=1)]


class ChipsPart(_Part):
    """``[[chips]]``: a class of chips, their serials, and how much of the peak they were measured to use."""

    chip_class: Annotated[StrictStr, Field(alias="class")]
    serials: StrictStr | None = None
    utilisation: Ratio | None = None


class BooksPart(_Part):
    """``[books]``: slots of the table; how long to wait for absent meters (ms)."""

    slots: Annotated[StrictInt, Field(ge=1, le=96)] = 4
    settle_ms: Annotated[StrictInt, Field(ge=0)] = 3000


class AcceleratorsPart(_Part):
    """``[accelerators]``: which meter reads the boards of the first class, where, and how often (ms)."""

    meter: Literal["nvml", "dcgm"]
    sources: tuple[StrictStr, ...] = ()
    every_ms: Annotated[StrictInt, Field(ge=1_000, le=600_000)] = 10_000

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.sources) is not (self.meter == "dcgm"):
            raise ValueError("sources of a dcgm meter, and of no other")
        return self


class RawPart(_Part):
    """``[raw]``: for how long raw counters that were committed to are kept, and how much of the disk they may take."""

    keep_days: Annotated[StrictInt, Field(ge=1, le=36_500)] = 400
    max_mib: Annotated[StrictInt, Field(ge=1)] = 20_480


class DisclosurePart(_Part):
    """``[disclosure]``: patterns of what is sealed, None for everything that the treaty lets a site seal."""

    seal: tuple[StrictStr, ...] | None = None


class MetricsPart(_Part):
    """``[metrics]``: where figures for Prometheus are served; port 0 takes a free one, which the ready line names."""

    listen: Annotated[StrictStr, Field(pattern=r"^[^\s/]+:[0-9]{1,5}$")]


class EgressPart(_Part):
    """``[egress]``: the one way out of a site whose firewall closes all others."""

    proxy: Annotated[StrictStr, Field(pattern=r"^http://[^\s/@]+:[0-9]{1,5}$")]


class PinPart(_Part):
    """Where the PIN of a token is read: a file (relative to node.toml) or a variable of the environment."""

    file: StrictStr | None = None
    env: StrictStr | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("one of file and env")
        return self


class KeyPart(_Part):
    """``[key]``: where the site's key lives."""

    store: Literal["file", "pkcs11"] = "file"
    module: StrictStr | None = None
    token: StrictStr | None = None
    label: StrictStr | None = None
    pin: PinPart | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = [value is not None for value in (self.module, self.token, self.label, self.pin)]
        if not all(given) if self.store == "pkcs11" else any(given):
            raise ValueError("module, token, label and pin of a pkcs11 store, and of no other")
        return self


class GuardPart(_Part):
    """``[guard]``: the record of what was signed last, and whether to ask the verifiers even where it agrees."""

    path: StrictStr
    ask: Literal["doubt", "always"] = "doubt"


class NodeConfig(_Part):
    """The whole file."""

    site: SiteName
    pin: Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")]
    tls: TlsPart = TlsPart()
    chips: tuple[ChipsPart, ...] = ()
    books: BooksPart = BooksPart()
    accelerators: AcceleratorsPart | None = None
    raw: RawPart = RawPart()
    disclosure: DisclosurePart = DisclosurePart()
    metrics: MetricsPart | None = None
    egress: EgressPart | None = None
    key: KeyPart = KeyPart()
    guard: GuardPart | None = None
    verifiers: dict[StrictStr, Annotated[StrictStr, Field(pattern=r"^[^\s/]+:[0-9]{1,5}$")]] = {}

    def utilisation(self) -> dict[str, Rational]:
        """Return class -> measured utilisation, where there is one."""
        return {
            c.chip_class: Rational(c.utilisation.numerator, c.utilisation.denominator)
            for c in self.chips
            if c.utilisation
        }

    def serials(self, folder: Path) -> dict[str, tuple[str, ...]]:
        """Read the serial numbers (``config-serials`` when a file cannot be read)."""
        found: dict[str, tuple[str, ...]] = {}
        for chips in self.chips:
            if chips.serials is not None:
                found[chips.chip_class] = read_serials(folder / chips.serials)
        return found


def read_serials(path: Path) -> tuple[str, ...]:
    """Return the serial numbers of a file, one a line, in byte order (``config-serials``)."""
    try:
        names = tuple(sorted((line.strip() for line in path.read_text().splitlines() if line.strip()), key=str.encode))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            code="config-serials",
            message="serial numbers cannot be read",
            found=f"{path}: {error}",
            expected="a text file",
        ) from None
    if len(set(names)) != len(names):
        raise ConfigError(
            code="config-serials", message="a serial number stands twice", expected="each chip once", found=str(path)
        )
    return names


def load(path: Path) -> NodeConfig:
    """Read ``node.toml``.

    Raises:
        ConfigError: ``config-unreadable``, ``config-toml`` (with line), ``config-value`` (with line where it is found).
    """
    return read_toml(path, NodeConfig, CODES, "brakeline.node.config", fix="brakeline node init --dir DIR ...")


class Codes(NamedTuple):
    """The codes of a file that cannot be read, that is not TOML, and whose members are wrong."""

    unreadable: str
    toml: str
    value: str


CODES = Codes("config-unreadable", "config-toml", "config-value")


def read_toml(path: Path, model: type[_Model], codes: Codes, example: str, *, fix: str = "") -> _Model:
    """Read a TOML file as *model*.

    Args:
        path: the file.
        model: what is in it.
        codes: of its mistakes.
        example: the module whose docstring shows one.
        fix: what to do where there is no such file.

    Raises:
        ConfigError: one of *codes*; ``value`` tells every mistake, each with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            code=codes.unreadable,
            message=f"{path.name} cannot be read",
            expected=str(path),
            found=str(error.strerror),
            fix=fix,
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            code=codes.toml, message=f"{path.name} is not TOML", expected="TOML 1.0 in UTF-8", found=str(error)
        ) from None
    try:
        return model.model_validate(value, by_alias=True)
    except ValidationError as error:
        raise _mistakes(path.name, text, error, codes, example) from None


def _mistakes(name: str, text: str, error: ValidationError, codes: Codes, example: str) -> ConfigError:
    """Return every mistake as one error, each with its line; expected and found are those of the first."""
    lines = locate(text)
    told = [
        f"line {lines.of(tuple(item['loc']))}: {'.'.join(map(str, item['loc']))}: {item['msg']}"
        for item in error.errors(include_url=False)
    ]
    first = error.errors(include_url=False)[0]
    return ConfigError(
        code=codes.value,
        message=f"{name}, " + "; ".join(told),
        expected=first["msg"],
        found=repr(first.get("input"))[:80],
        fix=f"see the example in the docstring of {example}",
    )
