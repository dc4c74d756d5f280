"""The ceremony at the command line: keepers on different machines, one file that travels, every step in words and in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.certificates import Authority
from xieban.cli.root import run
from xieban.keys.certificates import fingerprints

PASSPHRASE = "演练 口令 一二三四"


class Machine:
    """A folder at somebody's desk, and the command run in it without a process of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        self._capsys = capsys
        self.passphrase = folder / "passphrase"
        self.passphrase.touch(0o600)
        self.passphrase.write_text(PASSPHRASE + "\n", encoding="utf-8")

    def xieban(self, *arguments: object, code: int = 0) -> tuple[str, str]:
        found = run(["trust", *map(str, arguments)])
        out, err = self._capsys.readouterr()
        assert found == code, out + err
        return out, err

    def json(self, *arguments: object) -> Any:
        return json.loads(self.xieban(*arguments, "--json")[0])

    def key(self, name: str, *, passphrase: bool = False) -> Any:
        how = ("--passphrase-file", self.passphrase) if passphrase else ("--no-passphrase",)
        return self.json("keygen", self.folder / f"{name}.key", *how)["key"]


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    return Machine(tmp_path / "desk", capsys)


def founded(desk: Machine) -> tuple[Path, list[str]]:
    """A signed first list of two nodes under three roots, two of which must sign; and the fingerprints to pin."""
    pins = [desk.key(f"root-{n}")["fingerprint"] for n in (1, 2, 3)]
    roots = [word for n in (1, 2, 3) for word in ("--root", desk.folder / f"root-{n}.pub")]
    desk.xieban("init", desk.folder, "--city", "lanzhou", "--threshold", 2, *roots)
    file = desk.folder / "trust.json"
    for agency in ("police", "court"):
        desk.key(agency)
        desk.xieban("add", file, "--use", "seal", "--agency", agency, "--key", desk.folder / f"{agency}.pub")
    for n in (1, 3):
        desk.xieban("sign", file, "--key", desk.folder / f"root-{n}.key", "--yes")
    return file, pins


def test_keepers_sign_one_after_the_other_and_the_list_is_effective_with_the_last_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keepers = [Machine(tmp_path / f"keeper-{n}", capsys) for n in range(1, 4)]
    pins = [keeper.key("root", passphrase=True)["fingerprint"] for keeper in keepers]
    desk = Machine(tmp_path / "desk", capsys)
    roots = [word for keeper in keepers for word in ("--root", keeper.folder / "root.pub")]
    out, _ = desk.xieban("init", desk.folder, "--city", "lanzhou", "--threshold", 2, *roots)
    assert "草案，签名不足" in out
    assert all(pin in out for pin in pins)
    travelling = desk.folder / "trust.json"
    for keeper, state in zip(keepers, ("draft", "effective"), strict=False):
        here = keeper.folder / "trust.json"
        here.write_bytes(travelling.read_bytes())
        told = keeper.json(
            "sign", here, "--key", keeper.folder / "root.key", "--passphrase-file", keeper.passphrase, "--yes"
        )
        assert told["trust"]["state"] == state
        travelling.write_bytes(here.read_bytes())
    verified = desk.json("verify", travelling, "--threshold", 2, *[word for pin in pins for word in ("--root", pin)])
    assert (verified["verified"], verified["pinned"]) == (True, True)


def test_before_signing_the_keeper_reads_what_the_draft_changes_and_may_decline(
    desk: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = founded(desk)
    desk.key("new")
    old = next(row for row in desk.json("show", file)["trust"]["entries"] if row["agency"] == "police")["keyid"]
    new = desk.folder / "new.pub"
    out, _ = desk.xieban("rotate", file, old, "--key", new, "--index", 40, "--overlap", 10)
    assert "trust-v2.json" in out
    draft = desk.folder / "trust-v2.json"
    monkeypatch.setattr("typer.confirm", lambda question, **options: False)
    out, _ = desk.xieban("sign", draft, "--key", desk.folder / "root-1.key", code=1)
    assert "+ 列入 签名 公安（全机关），40 起" in out
    assert "! 停用 签名 公安（全机关），0 起，至 50 之前" in out
    assert desk.json("show", draft)["trust"]["signatures"] == [{"count": 0, "threshold": 2}]


def test_a_settled_file_is_never_written_to_by_a_draft(desk: Machine) -> None:
    file, _ = founded(desk)
    before = file.read_bytes()
    desk.key("gateway")
    add = ("--use", "seal", "--agency", "gateway", "--key", desk.folder / "gateway.pub")
    _, err = desk.xieban("add", file, *add, code=1)
    assert "--index" in err
    desk.xieban("add", file, *add, "--index", 12)
    assert file.read_bytes() == before
    _, err = desk.xieban("add", file, *add, "--index", 12, code=1)
    assert "trust-v2.json 已经存在" in err
    _, err = desk.xieban("sign", file, "--key", desk.folder / "root-1.key", "--yes", code=1)
    assert "没有待签名的草案" in err


def test_a_compromised_key_is_revoked_from_an_index_in_the_past(desk: Machine) -> None:
    file, pins = founded(desk)
    stolen = next(row for row in desk.json("show", file)["trust"]["entries"] if row["agency"] == "police")["keyid"]
    desk.xieban("revoke", file, stolen, "--reason", "compromised", "--from-index", 25, "--index", 40)
    draft = desk.folder / "trust-v2.json"
    for n in (2, 3):
        desk.xieban("sign", draft, "--key", desk.folder / f"root-{n}.key", "--yes")
    out, _ = desk.xieban("show", draft)
    assert "25 起吊销（泄露）" in out
    at = {index: desk.json("show", draft, "--index", index)["trust"]["entries"] for index in (24, 25)}
    assert [len(at[24]), len(at[25])] == [2, 1]
    words = [word for pin in pins for word in ("--root", pin)]
    assert desk.json("verify", draft, "--threshold", 2, *words)["trust"]["version"] == 2
    desk.xieban("renew", draft, "--index", 60)
    assert desk.json("show", desk.folder / "trust-v3.json")["trust"]["state"] == "draft"


def test_a_stolen_certificate_is_barred_and_the_keepers_read_which_before_they_sign(
    desk: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, pins = founded(desk)
    registrar = Authority.founded(tmp_path / "registrar", name="CA")
    stolen = registrar.issue("spiffe://xieban.lanzhou/police/system") / "certificate.pem"
    out, _ = desk.xieban("bar", file, "--certificate", stolen, "--reason", "compromised", "--index", 40)
    draft = desk.folder / "trust-v2.json"
    row = {"fingerprint": fingerprints(stolen.read_bytes())[0], "reason": "compromised"}
    assert f"! 停用证书 {row['fingerprint']}（泄露）" in out
    monkeypatch.setattr("typer.confirm", lambda question, **options: False)
    out, _ = desk.xieban("sign", draft, "--key", desk.folder / "root-1.key", code=1)
    assert f"! 停用证书 {row['fingerprint']}（泄露）" in out

    other = "0A" * 32
    desk.xieban("bar", draft, "--fingerprint", other, "--reason", "lost")
    assert desk.json("show", file)["trust"]["barred"] == []
    both = sorted([{"fingerprint": other.lower(), "reason": "lost"}, row], key=lambda one: one["fingerprint"])
    assert desk.json("show", draft)["trust"]["barred"] == both
    out, _ = desk.xieban("show", draft)
    assert f"{row['fingerprint']}  泄露" in out
    for n in (1, 2):
        desk.xieban("sign", draft, "--key", desk.folder / f"root-{n}.key", "--yes")
    words = [word for pin in pins for word in ("--root", pin)]
    assert desk.json("verify", draft, "--threshold", 2, *words)["trust"]["barred"] == both
    out, _ = desk.xieban("renew", draft, "--index", 60)
    assert "停用证书" not in out  # what was barred before is no news


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ((), "XB-1001"),
        (("--certificate", "one.pem", "--fingerprint", "0a" * 32), "XB-1001"),
        (("--fingerprint", "0a" * 31), "XB-1001"),
        (("--fingerprint", "zz" * 32), "XB-1001"),
        (("--certificate", "both.pem"), "XB-6001"),
        (("--certificate", "root-1.pub"), "XB-6001"),
        (("--certificate", "missing.pem"), "XB-6001"),
        (("--certificate", "ca.pem"), "XB-3026"),
    ],
)
def test_what_cannot_be_barred_is_refused_with_its_number(desk: Machine, words: tuple[str, ...], number: str) -> None:
    file, _ = founded(desk)
    registrar = Authority.founded(desk.folder / "registrar", name="CA")
    leaf = (registrar.issue("spiffe://xieban.lanzhou/police/system") / "certificate.pem").read_bytes()
    for name, pem in {"one.pem": leaf, "both.pem": leaf + registrar.pem, "ca.pem": registrar.pem}.items():
        (desk.folder / name).write_bytes(pem)
    desk.xieban("add", file, "--use", "ca", "--key", desk.folder / "ca.pem", "--index", 12)
    draft = desk.folder / "trust-v2.json"
    before = draft.read_bytes()
    placed = [desk.folder / word if word.endswith((".pem", ".pub")) else word for word in words]
    _, err = desk.xieban("bar", draft, "--reason", "lost", *placed, code=1)
    assert number in err
    assert draft.read_bytes() == before


def test_another_log_is_founded_and_the_keepers_read_what_it_keeps(desk: Machine) -> None:
    file, _ = founded(desk)
    old, _ = desk.key("log"), desk.key("log-2")
    name = "xieban.lanzhou/log"
    amend = ("--use", "log", "--key", desk.folder / "log.pub", "--name", name, "--index", 0)
    desk.xieban("add", file, *amend)
    second = desk.folder / "trust-v2.json"
    for n in (1, 3):
        desk.xieban("sign", second, "--key", desk.folder / f"root-{n}.key", "--yes")
    desk.xieban("revoke", second, old["keyid"], "--reason", "lost", "--index", 500)
    draft = desk.folder / "trust-v3.json"
    new = ("--use", "log", "--key", desk.folder / "log-2.pub", "--name", f"{name}-2")
    _, refused = desk.xieban("add", draft, *new, code=1)
    assert "XB-3026" in refused, "another name founds a log, and says what it keeps"
    _, refused = desk.xieban("add", draft, *new, "--keeps", 501, code=1)
    assert "XB-3026" in refused
    told, _ = desk.xieban("add", draft, *new, "--keeps", 400)
    assert f"+ 列入 日志 {name}-2（另行设立，保留前 400 条），500 起" in told
    shown = desk.json("show", draft)["trust"]["entries"]
    assert [one.get("keeps") for one in shown if one["use"] == "log"].count(400) == 1
    assert [one for one in shown if "keeps" in one and one["name"] != f"{name}-2"] == []
    seal = ("--use", "seal", "--agency", "court", "--key", desk.folder / "log.pub", "--keeps", 0)
    _, refused = desk.xieban("add", draft, *seal, code=1)
    assert "--keeps" in refused


def test_a_root_is_rotated_with_both_quorums(desk: Machine) -> None:
    file, _ = founded(desk)
    desk.key("root-4")
    old = desk.json("show", file)["trust"]["roots"][0]["keyid"]
    desk.xieban("rotate", file, old, "--key", desk.folder / "root-4.pub", "--index", 40)
    draft = desk.folder / "trust-v2.json"
    counts = []
    for n in (4, 1, 2, 3):
        told = desk.json("sign", draft, "--key", desk.folder / f"root-{n}.key", "--yes")["trust"]
        counts.append((told["state"], *(quorum["count"] for quorum in told["signatures"])))
        if told["state"] == "effective":
            break
    assert counts[0] == ("draft", 1, 0)
    assert counts[-1][0] == "effective"
    assert all(count >= 2 for count in counts[-1][1:])


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (("--use", "king", "--key", "police.pub"), "XB-1001"),
        (("--use", "seal", "--key", "police.pub"), "XB-1001"),
        (("--use", "seal", "--agency", "army", "--key", "fresh.pub"), "XB-1001"),
        (("--use", "seal", "--agency", "police", "--office", "999999", "--key", "fresh.pub"), "XB-3026"),
        (("--use", "officer", "--agency", "police", "--role", "handler", "--holder", "张三", "--key", "fresh.pub"), "XB-1001"),
        (("--use", "ca", "--agency", "police", "--key", "fresh.pub"), "XB-1001"),
        (("--use", "ca", "--key", "fresh.pub"), "XB-6001"),
        (("--use", "seal", "--agency", "police", "--key", "fresh.key"), "XB-3025"),
        (("--use", "seal", "--agency", "court", "--key", "police.pub"), "XB-3026"),
        (("--use", "seal", "--agency", "court", "--key", "missing.pub"), "XB-3025"),
    ],
)  # fmt: skip
def test_what_cannot_be_listed_is_refused_with_its_number(desk: Machine, words: tuple[str, ...], number: str) -> None:
    file, _ = founded(desk)
    desk.key("fresh")
    placed = [desk.folder / word if word.endswith((".pub", ".key")) else word for word in words]
    _, err = desk.xieban("add", file, *placed, "--index", 12, code=1)
    assert number in err
    assert not (desk.folder / "trust-v2.json").exists()


def test_verify_says_why_not_with_exit_code_1(desk: Machine) -> None:
    file, pins = founded(desk)
    words = [word for pin in pins for word in ("--root", pin)]
    desk.xieban("verify", file, "--threshold", 2, *words)
    for arguments, number in (
        ((file, *words), "XB-3026"),
        ((file, "--threshold", 2, "--root", "0" * 64), "XB-3026"),
        ((desk.folder / "police.pub",), "XB-3006"),
        ((desk.folder / "missing.json",), "XB-6001"),
    ):
        _, err = desk.xieban("verify", *arguments, code=1)
        assert number in err
    out, _ = desk.xieban("verify", file)
    assert "尚未与保管人核对" in out
    damaged = bytearray(file.read_bytes())
    damaged[100] ^= 1
    file.write_bytes(damaged)
    out, _ = desk.xieban("verify", file, "--json", code=1)
    assert json.loads(out)["verified"] is False


def test_a_root_key_that_others_can_read_signs_nothing(desk: Machine) -> None:
    file, _ = founded(desk)
    (desk.folder / "root-2.key").chmod(0o644)
    desk.key("gateway")
    desk.xieban(
        "add", file, "--use", "seal", "--agency", "gateway", "--key", desk.folder / "gateway.pub", "--index", 12
    )
    draft = desk.folder / "trust-v2.json"
    _, err = desk.xieban("sign", draft, "--key", desk.folder / "root-2.key", "--yes", code=1)
    assert "XB-3024" in err
    assert "644" in err


def test_the_passphrase_is_asked_for_when_no_file_has_it(desk: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def prompt(text: str, **options: Any) -> str:
        assert options["hide_input"]
        asked.append(text)
        return PASSPHRASE

    monkeypatch.setattr("typer.prompt", prompt)
    desk.xieban("keygen", desk.folder / "root.key")
    desk.xieban("init", desk.folder, "--city", "lanzhou", "--threshold", 1, "--root", desk.folder / "root.pub")
    desk.xieban("sign", desk.folder / "trust.json", "--key", desk.folder / "root.key", "--yes")
    assert asked == ["root.key 的新口令", "root.key 的口令"]


def test_a_drill_makes_all_roots_on_one_machine(desk: Machine) -> None:
    told = desk.json("init", desk.folder, "--city", "lanzhou", "--no-passphrase", "--algorithm", "sm2+sm3")["trust"]
    assert [root["algorithm"] for root in told["roots"]] == ["sm2+sm3"] * 5
    assert told["signatures"] == [{"count": 0, "threshold": 3}]
