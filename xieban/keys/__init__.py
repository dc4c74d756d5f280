"""Keys and the algorithms they belong to. A key is of one algorithm for ever; nothing that is signed ever names one.

`ed25519+sha256` is built in. `sm2+sm3` needs the extra `sm`; without it such keys can be listed and compared but neither sign nor verify.
What must not go in: whose a key is and when it counts, which the trust list says.
"""

from xieban.keys.algorithm import (
    ALGORITHMS,
    DEFAULT,
    AlgorithmName,
    PrivateKey,
    PublicKey,
    algorithm,
    fingerprint,
    keyid,
)

__all__ = [
    "ALGORITHMS",
    "DEFAULT",
    "AlgorithmName",
    "PrivateKey",
    "PublicKey",
    "algorithm",
    "fingerprint",
    "keyid",
]
