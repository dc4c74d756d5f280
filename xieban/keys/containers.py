"""The standard containers of keys: SubjectPublicKeyInfo, PKCS#8, and PKCS#8 encrypted with scrypt and AES-256 (PBES2).

`cryptography` writes PKCS#8 with 2,048 rounds of PBKDF2 and knows no SM2, so both algorithms are put into the same containers here;
`openssl` reads and writes them too. What must not go in: files.
"""

from __future__ import annotations

import os
from typing import Annotated, Final, TypeVar

from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.x509 import ObjectIdentifier

from xieban.errors import Reason, failure
from xieban.keys.algorithm import ALGORITHMS, AlgorithmName, PrivateKey, PublicKey, algorithm

SCRYPT: Final = (2**14, 8, 5)
"""Cost, block size, lanes. A larger cost with fewer lanes is as strong, but over what `openssl` grants itself memory for."""
MAX_WORK: Final = 2**20
"""Cost × block size × lanes that a reader puts up with."""

_EC: Final = ObjectIdentifier("1.2.840.10045.2.1")
_PBES2: Final = ObjectIdentifier("1.2.840.113549.1.5.13")
_SCRYPT: Final = ObjectIdentifier("1.3.6.1.4.1.11591.4.11")
_AES256_CBC: Final = ObjectIdentifier("2.16.840.1.101.3.4.1.42")
_T = TypeVar("_T")


@asn1.sequence
class _Kind:
    """AlgorithmIdentifier: with a curve as its parameter for SM2, without one for Ed25519."""

    oid: ObjectIdentifier
    curve: ObjectIdentifier | None


@asn1.sequence
class _Public:
    kind: _Kind
    key: asn1.BitString


@asn1.sequence
class _Private:
    version: int
    kind: _Kind
    key: bytes


@asn1.sequence
class _EcPrivate:
    version: int
    key: bytes
    public: Annotated[asn1.BitString, asn1.Explicit(1)]


@asn1.sequence
class _ScryptParameters:
    salt: bytes
    cost: int
    block: int
    lanes: int
    length: int | None


@asn1.sequence
class _Derivation:
    oid: ObjectIdentifier
    parameters: _ScryptParameters


@asn1.sequence
class _Encryption:
    oid: ObjectIdentifier
    iv: bytes


@asn1.sequence
class _Scheme:
    derivation: _Derivation
    encryption: _Encryption


@asn1.sequence
class _SchemeKind:
    oid: ObjectIdentifier
    scheme: _Scheme


@asn1.sequence
class _Encrypted:
    kind: _SchemeKind
    data: bytes


def public_to_der(key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo."""
    point = key.raw if key.name == "ed25519+sha256" else b"\x04" + key.raw
    return asn1.encode_der(_Public(kind=_kind(key.name), key=asn1.BitString(data=point, padding_bits=0)))


def public_from_der(der: bytes) -> PublicKey:
    """Errors: KEY_MALFORMED."""
    value = _decoded(_Public, der)
    name, point = _name(value.kind), value.key.as_bytes()
    if name == "sm2+sm3":
        if point[:1] != b"\x04":
            raise failure(Reason.KEY_MALFORMED, algorithm=name)
        point = point[1:]
    return algorithm(name).public(point)


def private_to_der(key: PrivateKey) -> bytes:
    """PKCS#8, not encrypted."""
    if key.public.name == "ed25519+sha256":
        inner = asn1.encode_der(key.raw)
    else:
        point = asn1.BitString(data=b"\x04" + key.public.raw, padding_bits=0)
        inner = asn1.encode_der(_EcPrivate(version=1, key=key.raw, public=point))
    return asn1.encode_der(_Private(version=0, kind=_kind(key.public.name), key=inner))


def private_from_der(der: bytes) -> PrivateKey:
    """Errors: KEY_MALFORMED, ALGORITHM_MISSING."""
    value = _decoded(_Private, der)
    name = _name(value.kind)
    if name == "ed25519+sha256":
        return algorithm(name).private(_decoded(bytes, value.key), b"")
    pair = _decoded(_EcPrivate, value.key)
    return algorithm(name).private(pair.key, pair.public.as_bytes()[1:])


def encrypted(der: bytes, *, passphrase: str, work: tuple[int, int, int] = SCRYPT) -> bytes:
    """EncryptedPrivateKeyInfo around `der`. `work`: scrypt's cost, block size and lanes."""
    salt, iv = os.urandom(16), os.urandom(16)
    parameters = _ScryptParameters(salt=salt, cost=work[0], block=work[1], lanes=work[2], length=None)
    padder = padding.PKCS7(128).padder()
    encryptor = _cipher(parameters, iv, passphrase).encryptor()
    data = encryptor.update(padder.update(der) + padder.finalize()) + encryptor.finalize()
    scheme = _Scheme(
        derivation=_Derivation(oid=_SCRYPT, parameters=parameters), encryption=_Encryption(oid=_AES256_CBC, iv=iv)
    )
    return asn1.encode_der(_Encrypted(kind=_SchemeKind(oid=_PBES2, scheme=scheme), data=data))


def decrypted(der: bytes, *, passphrase: str) -> bytes:
    """What `encrypted` was given. Errors: ValueError for another passphrase or another container."""
    value = asn1.decode_der(_Encrypted, der)
    scheme = value.kind.scheme
    parameters, encryption = scheme.derivation.parameters, scheme.encryption
    kinds = (value.kind.oid, scheme.derivation.oid, encryption.oid)
    if kinds != (_PBES2, _SCRYPT, _AES256_CBC) or not value.data or len(value.data) % 16:
        raise ValueError("not a container of this kind")
    if not 1 < parameters.cost * parameters.block * parameters.lanes <= MAX_WORK or len(encryption.iv) != 16:
        raise ValueError("parameters out of bounds")
    decryptor = _cipher(parameters, encryption.iv, passphrase).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(value.data) + decryptor.finalize()) + unpadder.finalize()


def _cipher(parameters: _ScryptParameters, iv: bytes, passphrase: str) -> Cipher[modes.CBC]:
    kdf = Scrypt(salt=parameters.salt, length=32, n=parameters.cost, r=parameters.block, p=parameters.lanes)
    return Cipher(algorithms.AES256(kdf.derive(passphrase.encode())), modes.CBC(iv))


def _kind(name: AlgorithmName) -> _Kind:
    curve = ObjectIdentifier(algorithm(name).curve)
    return _Kind(oid=curve, curve=None) if name == "ed25519+sha256" else _Kind(oid=_EC, curve=curve)


def _name(kind: _Kind) -> AlgorithmName:
    for name in ALGORITHMS:
        known = _kind(name)
        if (known.oid, known.curve) == (kind.oid, kind.curve):
            return name
    raise failure(Reason.KEY_MALFORMED, algorithm="、".join(ALGORITHMS))


def _decoded(shape: type[_T], der: bytes) -> _T:
    try:
        return asn1.decode_der(shape, der)
    except ValueError as error:
        raise failure(Reason.KEY_MALFORMED, algorithm="、".join(ALGORITHMS)) from error
