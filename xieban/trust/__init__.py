"""The trust list of a city: who holds which key, and since when and until when it counts. Format and ceremony: docs/trust.md.

    lists       one version, closed and canonical
    succession  what the next version may change
    chain       the file: all versions under the signatures of the roots
    amend       drafting and signing the next version
    witnessing  whom to believe about the log
    lineage     logs that were founded one after another

Pure: files are read by whoever calls, and time and log index are arguments.
"""

from xieban.trust.amend import Issue, add, bar, begin, pinned, renew, revoke, rotate, rotate_root, sign
from xieban.trust.chain import Chain, Pins, Quorum, Signed, parse, spell
from xieban.trust.lineage import Founding, Lineage, lineage
from xieban.trust.lists import Authority, Barred, Entry, Log, Officer, Revocation, Root, Seal, TrustList, Witness
from xieban.trust.witnessing import log_keys, log_name, policy, witness_name

__all__ = [
    "Authority",
    "Barred",
    "Chain",
    "Entry",
    "Founding",
    "Issue",
    "Lineage",
    "Log",
    "Officer",
    "Pins",
    "Quorum",
    "Revocation",
    "Root",
    "Seal",
    "Signed",
    "TrustList",
    "Witness",
    "add",
    "bar",
    "begin",
    "lineage",
    "log_keys",
    "log_name",
    "parse",
    "pinned",
    "policy",
    "renew",
    "revoke",
    "rotate",
    "rotate_root",
    "sign",
    "spell",
    "witness_name",
]
