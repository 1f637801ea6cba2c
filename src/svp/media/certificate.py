"""The certificate that signs the provenance of a video: the user's own, or one made on this computer at first use."""

from __future__ import annotations

import datetime
import io
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from svp.errors import InputError

if TYPE_CHECKING:
    import c2pa
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

CHAIN_VARIABLE, KEY_VARIABLE = "SVP_CERTIFICATE", "SVP_KEY"
OTHERWISE = "or write the video without: --no-provenance"
LOCAL_NAME: Final = "Made locally by svp, unverified"  # whoever reads it must not take it for a person or a company
LOCAL_ORGANISATION: Final = "svp (locally made certificate, identity unverified)"
LOCAL_YEARS: Final = 30  # without a time stamp of an authority a signature is valid as long as its certificate


@dataclass(frozen=True)
class Certificate:
    """Files to sign with.

    Attributes:
        chain: PEM, the signer's certificate first, then those that vouch for it.
        key: PEM, its private key, without a password.
    """

    chain: Path
    key: Path

    def signer(self) -> c2pa.Signer:
        """What signs for C2PA; no time-stamp authority is asked, so that nothing leaves this computer.

        Raises:
            InputError: the files cannot be read, or do not belong together.
        """
        c2pa = load_c2pa()
        chain, key = self._read()
        try:
            return c2pa.Signer.from_info(c2pa.C2paSignerInfo(self._algorithm(chain, key), chain, key, None))
        except c2pa.C2paError as error:
            raise self.unusable(error) from error

    def check(self) -> None:
        """Sign a picture of one pixel: what is wrong with a certificate is told before a video is made.

        Raises:
            InputError: C2PA does not accept it.
        """
        from PIL import Image

        from svp.media.provenance import sign  # which signs with objects of this class

        picture = io.BytesIO()
        Image.new("L", (1, 1)).save(picture, "PNG")
        picture.seek(0)
        sign(picture, io.BytesIO(), "image/png", {}, self)

    def unusable(self, error: object) -> InputError:
        """The error for a certificate that C2PA rejects."""
        return InputError(
            f"{self.chain}: cannot sign ({error}); give a certificate for digital signatures, issued for e-mail "
            f"protection or C2PA, whose chain ends before its root, {OTHERWISE}"
        )

    def _read(self) -> tuple[bytes, bytes]:
        contents = []
        for path, what in ((self.chain, "certificate"), (self.key, "key")):
            try:
                contents.append(path.read_bytes())
            except OSError as error:
                raise InputError(
                    f"{path}: cannot be read ({error.strerror}); give the {what} as a PEM file, {OTHERWISE}"
                ) from error
        return contents[0], contents[1]

    def _algorithm(self, chain: bytes, key: bytes) -> str:
        """C2PA's name of the signature that a key makes; the key must be that of the first certificate."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificates

        try:
            private = load_pem_private_key(key, password=None)
        except TypeError as error:
            raise InputError(
                f"{self.key}: has a password; write it without: openssl pkey -in {self.key} -out plain.pem"
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            remedy = self._remedy(f"give the one of {self.chain}")
            raise InputError(f"{self.key}: no private key in PEM; {remedy}, {OTHERWISE}") from error
        try:
            signer = load_pem_x509_certificates(chain)[0]
            public = signer.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            remedy = self._remedy("give the chain")
            raise InputError(f"{self.chain}: no certificates in PEM of a known kind; {remedy}, {OTHERWISE}") from error
        if public != private.public_key():
            remedy = self._remedy("give that one")
            raise InputError(f"{self.key}: is not the key of the first certificate in {self.chain}; {remedy}")
        if signer.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
            raise InputError(f"{self.chain}: expired on {signer.not_valid_after_utc:%Y-%m-%d}; renew it, {OTHERWISE}")
        return _algorithm_of(private, self.key)

    def _remedy(self, of_given: str) -> str:
        """What to do about damaged files: of this computer's own nobody has others."""
        folder = _own_folder()
        return f"delete {folder}, another is made" if self.chain.parent == folder else of_given


def find_certificate(chain: Path | None = None, key: Path | None = None) -> Certificate:
    """The certificate given, else the one that $SVP_CERTIFICATE and $SVP_KEY name, else this computer's own.

    Raises:
        InputError: one of the two files is missing, or the own one cannot be made.
    """
    return given_certificate(chain, key) or local_certificate()


def given_certificate(chain: Path | None = None, key: Path | None = None) -> Certificate | None:
    """The certificate given, else the one that $SVP_CERTIFICATE and $SVP_KEY name; None where neither is.

    Raises:
        InputError: one of the two files is missing.
    """
    for certificate, private, names in (
        (chain, key, ("--certificate", "--key")),
        (_variable(CHAIN_VARIABLE), _variable(KEY_VARIABLE), (f"${CHAIN_VARIABLE}", f"${KEY_VARIABLE}")),
    ):
        if certificate is not None and private is not None:
            return Certificate(certificate.resolve(), private.resolve())  # workers may have another current folder
        if certificate is not None or private is not None:
            given, missing = names if certificate is not None else reversed(names)
            raise InputError(f"{given} {certificate or private}: needs {missing} too, the other half of the signature")
    return None


def local_certificate() -> Certificate:
    """This computer's own certificate, made when it is first needed; its key can be read by its user alone.

    Raises:
        InputError: it cannot be kept.
    """
    if (kept := kept_certificate()) is not None:
        return kept
    folder = _own_folder()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".certificate.", dir=folder.parent))  # of mode 700
        try:
            chain, key = make_certificate()
            with open(partial / "key.pem", "wb", opener=_private) as file:
                file.write(key)
            (partial / "chain.pem").write_bytes(chain)
            try:
                partial.rename(folder)
            except OSError:  # another process was faster
                if kept_certificate() is None:
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise _not_kept(folder, error) from error
    return _files_of(folder)


def _not_kept(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"{folder}: the certificate of this computer cannot be kept there ({error.strerror}); set SVP_DATA to a "
        f"folder of your own, give --certificate and --key, {OTHERWISE}"
    )


def kept_certificate() -> Certificate | None:
    """This computer's own certificate where one was made before."""
    folder = _own_folder()
    own = _files_of(folder)
    try:
        return own if own.chain.is_file() and own.key.is_file() else None
    except OSError as error:
        raise _not_kept(folder, error) from error


def make_certificate(name: str = LOCAL_NAME, organisation: str = LOCAL_ORGANISATION) -> tuple[bytes, bytes]:
    """A chain of two certificates and the key of the first, PEM; by default they say that nobody verified them.

    The key of the second one, which vouches for the first, is thrown away: it vouches for nothing else.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def named(common: str) -> x509.Name:
        names = ((x509.NameOID.ORGANIZATION_NAME, organisation), (x509.NameOID.COMMON_NAME, common))
        return x509.Name([x509.NameAttribute(kind, text) for kind, text in names])

    now = datetime.datetime.now(datetime.UTC)
    issuer_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def certificate(common: str, public: ec.EllipticCurvePublicKey, issues: bool) -> x509.Certificate:
        usage = dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
                *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
            ),
            False,
        ) | {"key_cert_sign" if issues else "digital_signature": True}
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(common))
            .issuer_name(named(f"{name} (issuer)"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))  # clocks of other computers differ
            .not_valid_after(now + datetime.timedelta(days=365 * LOCAL_YEARS))
            .add_extension(x509.BasicConstraints(ca=issues, path_length=0 if issues else None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        if not issues:
            purposes = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])  # which C2PA asks for
            builder = builder.add_extension(purposes, critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    own = certificate(name, key.public_key(), False)
    issuer = certificate(f"{name} (issuer)", issuer_key.public_key(), True)
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return own.public_bytes(pem) + issuer.public_bytes(pem), private


def data_dir() -> Path:
    """Where what belongs to the user is kept: $SVP_DATA, else ~/.local/share/svp."""
    given = os.environ.get("SVP_DATA")
    return Path(given or Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "svp").expanduser()


def load_c2pa():  # type: ignore[no-untyped-def]  # a module, imported late
    """The library that writes and reads C2PA.

    Raises:
        InputError: it is not installed, or not for this computer.
    """
    try:
        import c2pa
    except (ImportError, OSError, RuntimeError) as error:
        raise InputError(
            f"provenance: c2pa-python cannot be loaded ({error}); pip install c2pa-python, {OTHERWISE}"
        ) from error
    return c2pa


def _algorithm_of(key: PrivateKeyTypes, path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in curves:
        return curves[key.curve.name]
    raise InputError(f"{path}: C2PA does not know this kind of key; use P-256, P-384, P-521, RSA or Ed25519")


def _own_folder() -> Path:
    return data_dir() / "certificate"


def _files_of(folder: Path) -> Certificate:
    return Certificate(folder / "chain.pem", folder / "key.pem")


def _variable(name: str) -> Path | None:
    return Path(os.environ[name]) if os.environ.get(name) else None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
