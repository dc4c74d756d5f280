"""The restore drill, exactly as docs/operations.md tells it: another person, an empty folder, and nothing but the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from services.stack.processes import ROOT
from tests.system.rig import PS, main_road, whole_city
from tests.world import RULEBOOKS, Node
from xieban.handoff import State


def block(name: str) -> str:
    """The commands of one step."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```sh {name}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(found)


def shell(folder: Path) -> Callable[..., str]:
    """Runs a step in which /srv/xieban is another folder, with the commands as they are installed; `given` are what a person fills in."""
    programs = {"xieban-node": "-m services.admin", "xieban": "-c 'from xieban.cli import main; main()'"}
    for name, program in programs.items():
        command = folder / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" {program} "$@"\n')
        command.chmod(0o755)
    secret = folder / "passphrase"
    secret.touch(mode=0o600)
    secret.write_text("a long enough passphrase\n")

    def run(step: str, home: Path, **given: object) -> str:
        told = step.replace("/srv/xieban", str(home)).replace("/backup", str(folder / "backup"))
        told = told.replace("/etc/xieban/passphrase", str(secret))
        env = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"} | {k: str(v) for k, v in given.items()}
        done = subprocess.run(["sh", "-e", "-c", told], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


async def test_a_node_comes_back_from_its_backup_by_the_page_alone_and_works_on(tmp_path: Path) -> None:
    run = shell(tmp_path)
    async with whole_city(tmp_path) as city:
        case = city.new_case()
        await main_road(city, case)
        await city.quiet()
        assert "没有发现问题" in run(block("backup"), city.home.folder)

        await city.node(PS).stop()
        empty = tmp_path / "elsewhere"
        said = run(block("restore"), empty)
        assert "没有发现问题" in said
        assert "缺少密钥" not in said

        restored = Node(replace(city.home, folder=empty), PS, RULEBOOKS[PS])
        restored.client = city.node(PS).client
        await restored.start()
        try:
            sent = await restored.client.send(city.draft("arrest_request", case=city.new_case()))
            await city.arrive(city.procuratorate, sent.eid)
            await city.procuratorate.accept(sent.eid)
            await city.settle(restored.client, sent.eid, State.ACCEPTED)
            assert len((await restored.client.list(case_id=case))[0]) == 3
        finally:
            await restored.stop()
