"""The JavaScript verifier, run by Node or by a headless Chromium, and what its verdicts are compared by."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Route, async_playwright

from tests.e2e.conftest import CHROMIUM, FLAGS
from tests.library.bundles.tampering import Case
from xieban.verify.verifier import verify

MODULE = Path(__file__).parents[3] / "verifiers" / "xieban_verify.mjs"
NODE = shutil.which("node")
Run = Callable[[list[Case]], Awaitable[list[dict[str, Any]]]]
AT_ONCE = 50

_DRIVER = """
import { createInterface } from "node:readline";
import { verify } from %s;
for await (const line of createInterface({ input: process.stdin })) {
  const { data, pins } = JSON.parse(line);
  console.log(JSON.stringify(await verify(new Uint8Array(Buffer.from(data, "base64")), pins)));
}
"""
_PAGE = """async (cases) => {
  const { verify } = await import("/xieban_verify.mjs");
  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const reports = [];
  for (const { data, pins } of cases) reports.push(JSON.stringify(await verify(bytes(data), pins)));
  return reports;
}"""


def asked(case: Case) -> dict[str, Any]:
    pins = {"roots": sorted(case.pins.roots), "threshold": case.pins.threshold} if case.pins else None
    return {"data": base64.b64encode(case.data).decode(), "pins": pins}


async def by_node(cases: list[Case]) -> list[dict[str, Any]]:
    """Reports of Node."""
    assert NODE is not None
    process = await asyncio.create_subprocess_exec(
        NODE, "--input-type=module", "-e", _DRIVER % json.dumps(MODULE.as_uri()),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate("".join(json.dumps(asked(case)) + "\n" for case in cases).encode())
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.splitlines()]


@asynccontextmanager
async def chromium() -> AsyncIterator[Run]:
    """Reports of a headless Chromium; the page is served from memory."""
    if CHROMIUM is None:
        pytest.skip("no headless browser here")

    async def serve(route: Route) -> None:
        if route.request.url.endswith(".mjs"):
            await route.fulfill(body=MODULE.read_text(encoding="utf-8"), content_type="text/javascript")
        else:
            await route.fulfill(body="<!doctype html><title>verify</title>", content_type="text/html")

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page()
        await page.route("http://localhost/**", serve)
        await page.goto("http://localhost/")

        async def run(cases: list[Case]) -> list[dict[str, Any]]:
            reports: list[dict[str, Any]] = []
            for start in range(0, len(cases), AT_ONCE):
                told = await page.evaluate(_PAGE, [asked(case) for case in cases[start : start + AT_ONCE]])
                reports += [json.loads(one) for one in told]
            return reports

        yield run
        await browser.close()


def by_python(cases: Iterable[Case]) -> list[dict[str, Any]]:
    return [verify(case.data, pins=case.pins).as_json() for case in cases]


def gist(report: dict[str, Any]) -> dict[str, Any]:
    """What two verifiers must agree on: every verdict, every failure's place, every count, and what is shown of the bundle."""
    return {
        "verdict": report["verdict"],
        "checks": [
            (check["check"], check["name"], check["verdict"], sorted({defect["what"] for defect in check["defects"]}))
            for check in report["checks"]
        ],
        "bundle": report["bundle"],
        "statements": report["statements"],
    }


def disagreements(
    cases: list[Case], one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> list[tuple[str, Any, Any]]:
    """(name, what the one says, what the other says) of every bundle on which two verifiers differ."""
    assert len(cases) == len(one) == len(other)
    return [(case.name, gist(a), gist(b)) for case, a, b in zip(cases, one, other, strict=True) if gist(a) != gist(b)]
