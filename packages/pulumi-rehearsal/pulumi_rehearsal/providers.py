"""The providers `random`, `tls` and `time`: what they make exists only in the state, so it is real here too.

Stands for: the plugins of the providers random, tls and time.
Held by: nothing, the plugins are not to be had here; keys and certificates are the cryptography package's.
"""

from __future__ import annotations

import base64
import calendar
import ipaddress
import random
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pulumi_rehearsal.plugin import Checked, Difference, Provider, ProviderError, Subject, changed_paths
from pulumi_rehearsal.wire import Properties, Secret, unknown


@dataclass(frozen=True)
class Generated:
    """A resource that is made once and then kept in the state.

    Attributes:
        make: outputs from inputs.
        outputs: their names, for previews.
        id: the output that is the id; a constant when no output is.
        secrets: outputs that are secret.
        defaults: inputs that are filled in.
        in_place: inputs that may change without making it anew.
    """

    make: Callable[[Properties], Properties]
    outputs: tuple[str, ...]
    id: str
    secrets: tuple[str, ...] = ()
    defaults: Mapping[str, object] | None = None
    in_place: tuple[str, ...] = ()


def _version(package: str) -> str:
    """Of the program's SDK; a program that has none of it asks for none of these resources."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "0.0.0"


class GeneratedProvider(Provider):
    """Serves a table of generated resources; every change of an input makes a new one."""

    def __init__(self, name: str, package: str, table: Mapping[str, Generated]) -> None:
        self.name = name
        self.version = _version(package)
        self.table = table

    def _row(self, subject: Subject) -> Generated:
        row = self.table.get(subject.type)
        if row is None:
            raise ProviderError(f"{subject.type} is not simulated: add a row for it in pulumi_rehearsal/providers.py")
        return row

    def check(self, subject: Subject, inputs: Properties, old: Properties, seed: bytes) -> Checked:
        del old, seed
        return Checked({**(self._row(subject).defaults or {}), **inputs})

    def diff(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Difference:
        del id, state
        changes = changed_paths(old, new)
        in_place = self._row(subject).in_place
        return Difference(changes, frozenset(path for path in changes if path.partition(".")[0] not in in_place))

    def preview(self, subject: Subject, inputs: Properties, state: Properties | None) -> Properties:
        if state is not None:
            return {**state, **inputs}
        return {**dict.fromkeys(self._row(subject).outputs, unknown), **inputs}

    def create(self, subject: Subject, inputs: Properties) -> tuple[str, Properties]:
        row = self._row(subject)
        made = row.make(inputs)
        state = {**inputs, **{key: Secret(value) if key in row.secrets else value for key, value in made.items()}}
        return str(made.get(row.id, row.id)), state

    def update(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Properties:
        del id, old
        merged = {**state, **new}
        return {key: Secret(value) if key in self._row(subject).secrets else value for key, value in merged.items()}


# -- random

_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
_TEXT_DEFAULTS = {"lower": True, "upper": True, "numeric": True, "special": True}
_ADJECTIVES = ("calm", "clever", "eager", "gentle", "keen", "lucky", "proud", "quiet", "rapid", "sunny")
_ANIMALS = ("badger", "crane", "falcon", "heron", "lynx", "marten", "otter", "puffin", "robin", "salmon")


def _random_text(inputs: Properties) -> Properties:
    kinds = [
        (inputs["lower"], inputs.get("minLower"), string.ascii_lowercase),
        (inputs["upper"], inputs.get("minUpper"), string.ascii_uppercase),
        (inputs["numeric"] and inputs.get("number", True), inputs.get("minNumeric"), string.digits),
        (inputs["special"], inputs.get("minSpecial"), inputs.get("overrideSpecial") or _SPECIAL),
    ]
    alphabet = "".join(characters for wanted, _, characters in kinds if wanted)
    chosen = [secrets.choice(characters) for _, least, characters in kinds for _ in range(int(least or 0))]
    chosen += [secrets.choice(alphabet) for _ in range(inputs["length"] - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    return {"result": "".join(chosen)}


def _random_id(inputs: Properties) -> Properties:
    value, prefix = secrets.token_bytes(inputs["byteLength"]), inputs.get("prefix", "")
    url = base64.urlsafe_b64encode(value).decode().rstrip("=")
    return {
        "hex": prefix + value.hex(),
        "dec": prefix + str(int.from_bytes(value)),
        "b64Std": prefix + base64.b64encode(value).decode(),
        "b64Url": prefix + url,
    }


def _random_pet(inputs: Properties) -> Properties:
    words = [secrets.choice(_ADJECTIVES) for _ in range(inputs["length"] - 1)] + [secrets.choice(_ANIMALS)]
    return {"id": inputs["separator"].join([*([inputs["prefix"]] if inputs.get("prefix") else []), *words])}


def _random_integer(inputs: Properties) -> Properties:
    source = random.Random(inputs["seed"]) if inputs.get("seed") else secrets.SystemRandom()  # noqa: S311
    return {"result": source.randint(inputs["min"], inputs["max"])}


def random_provider() -> GeneratedProvider:
    """`random`; the bcrypt hash of a password is left out."""
    text = Generated(_random_text, ("result",), "result", defaults=_TEXT_DEFAULTS)
    return GeneratedProvider(
        "random",
        "pulumi-random",
        {
            "random:index/randomPassword:RandomPassword": Generated(
                _random_text, ("result",), "none", secrets=("result",), defaults=_TEXT_DEFAULTS
            ),
            "random:index/randomString:RandomString": text,
            "random:index/randomId:RandomId": Generated(_random_id, ("hex", "dec", "b64Std", "b64Url"), "b64Url"),
            "random:index/randomPet:RandomPet": Generated(
                _random_pet, (), "id", defaults={"length": 2, "separator": "-"}
            ),
            "random:index/randomInteger:RandomInteger": Generated(_random_integer, ("result",), "result"),
        },
    )


# -- tls

_CURVES = {"P224": ec.SECP224R1, "P256": ec.SECP256R1, "P384": ec.SECP384R1, "P521": ec.SECP521R1}
_PRIVATE_OUTPUTS = ("privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh")
_PUBLIC_OUTPUTS = ("publicKeyPem", "publicKeyOpenssh", "publicKeyFingerprintSha256")
_KEY_USES = {
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
}
_EXTENDED_USES = {
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
}
_SUBJECT = {
    "commonName": NameOID.COMMON_NAME,
    "country": NameOID.COUNTRY_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
}


def _new_key(inputs: Properties) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    match inputs["algorithm"]:
        case "RSA":
            return rsa.generate_private_key(65537, inputs["rsaBits"])
        case "ECDSA":
            return ec.generate_private_key(_CURVES[inputs["ecdsaCurve"]]())
        case "ED25519":
            return ed25519.Ed25519PrivateKey.generate()
        case other:
            raise ProviderError(f"Invalid Attribute Value Match: algorithm {other!r} is none of RSA, ECDSA, ED25519")


def _private_key(inputs: Properties) -> Properties:
    key = _new_key(inputs)
    public = key.public_key()
    formats, plain = serialization.PrivateFormat, serialization.NoEncryption()
    pem, openssh = serialization.Encoding.PEM, serialization.PublicFormat.OpenSSH
    # Ed25519 has no traditional form
    own = formats.PKCS8 if inputs["algorithm"] == "ED25519" else formats.TraditionalOpenSSL
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    return {
        "privateKeyPem": key.private_bytes(pem, own, plain).decode(),
        "privateKeyPemPkcs8": key.private_bytes(pem, formats.PKCS8, plain).decode(),
        "privateKeyOpenssh": key.private_bytes(pem, formats.OpenSSH, plain).decode(),
        "publicKeyPem": public.public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo).decode(),
        "publicKeyOpenssh": public.public_bytes(serialization.Encoding.OpenSSH, openssh).decode() + "\n",
        "publicKeyFingerprintSha256": base64.b64encode(digest.finalize()).decode(),
    }


def _self_signed(inputs: Properties) -> Properties:
    key = serialization.load_pem_private_key(inputs["privateKeyPem"].encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise ProviderError("privateKeyPem holds a key of a kind that cannot sign a certificate here")
    start = datetime.now(UTC).replace(microsecond=0)
    end = start + timedelta(hours=inputs["validityPeriodHours"])
    subject = inputs.get("subject") or {}
    name = x509.Name([x509.NameAttribute(oid, subject[field]) for field, oid in _SUBJECT.items() if subject.get(field)])
    builder = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(bool(inputs.get("isCaCertificate")), None), critical=True)
    )
    uses = inputs["allowedUses"]
    flags = {flag: use in uses for use, flag in _KEY_USES.items()} | {"encipher_only": False, "decipher_only": False}
    builder = builder.add_extension(x509.KeyUsage(**flags), critical=True)
    if extended := [_EXTENDED_USES[use] for use in uses if use in _EXTENDED_USES]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    alternatives: list[x509.GeneralName] = [x509.DNSName(dns) for dns in inputs.get("dnsNames") or []]
    alternatives += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in inputs.get("ipAddresses") or []]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(key, algorithm)
    return {
        "certPem": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "keyAlgorithm": {rsa.RSAPrivateKey: "RSA", ec.EllipticCurvePrivateKey: "ECDSA"}.get(type(key), "ECDSA"),
        "validityStartTime": _rfc3339(start),
        "validityEndTime": _rfc3339(end),
        "readyForRenewal": False,
    }


def tls_provider() -> GeneratedProvider:
    """`tls`: keys and self-signed certificates, made by the cryptography package."""
    return GeneratedProvider(
        "tls",
        "pulumi-tls",
        {
            "tls:index/privateKey:PrivateKey": Generated(
                _private_key,
                (*_PRIVATE_OUTPUTS, *_PUBLIC_OUTPUTS),
                "publicKeyFingerprintSha256",
                secrets=_PRIVATE_OUTPUTS,
                defaults={"rsaBits": 2048, "ecdsaCurve": "P224"},
            ),
            "tls:index/selfSignedCert:SelfSignedCert": Generated(
                _self_signed,
                ("certPem", "keyAlgorithm", "validityStartTime", "validityEndTime", "readyForRenewal"),
                "validityStartTime",
                secrets=("privateKeyPem",),
                in_place=("earlyRenewalHours",),
            ),
        },
    )


# -- time

_MOMENT_OUTPUTS = ("rfc3339", "year", "month", "day", "hour", "minute", "second", "unix")


def _rfc3339(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _moment(at: datetime) -> Properties:
    fields = {name: getattr(at, name) for name in ("year", "month", "day", "hour", "minute", "second")}
    return {"rfc3339": _rfc3339(at), **fields, "unix": int(at.timestamp())}


def _static(inputs: Properties) -> Properties:
    given = inputs.get("rfc3339")
    return _moment(datetime.fromisoformat(given).astimezone(UTC) if given else datetime.now(UTC))


def _offset(inputs: Properties) -> Properties:
    base = inputs.get("baseRfc3339")
    at = datetime.fromisoformat(base).astimezone(UTC) if base else datetime.now(UTC)
    months = at.month - 1 + int(inputs.get("offsetMonths") or 0)
    year, month = at.year + int(inputs.get("offsetYears") or 0) + months // 12, months % 12 + 1
    at = at.replace(year=year, month=month, day=min(at.day, calendar.monthrange(year, month)[1]))
    units = {unit.lower(): int(inputs.get(f"offset{unit}") or 0) for unit in ("Days", "Hours", "Minutes", "Seconds")}
    return {"baseRfc3339": base or _rfc3339(datetime.now(UTC)), **_moment(at + timedelta(**units))}


def time_provider() -> GeneratedProvider:
    """`time`: a moment that is kept from the first `up` on, and one at a distance from another."""
    return GeneratedProvider(
        "time",
        "pulumiverse-time",
        {
            "time:index/static:Static": Generated(_static, _MOMENT_OUTPUTS, "rfc3339"),
            "time:index/offset:Offset": Generated(_offset, (*_MOMENT_OUTPUTS, "baseRfc3339"), "rfc3339"),
        },
    )
