"""A browser and a site to show it. Asynchronous throughout, so that these tests can share a run with the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from services.chassis.lifecycle import Process
from services.gateway.web.app import pages
from services.gateway.web.server import serve_pages
from tests.e2e.city import NOW, OVERDUE, write_city
from tests.services.gateway.conftest import gateway_at
from tests.services.gateway.script import Script
from xieban.agency import city
from xieban.supervision import Act

CHROMIUM = next(
    (
        found
        for name in (os.environ.get("XIEBAN_CHROMIUM"), "chromium-headless-shell", "chromium", "google-chrome")
        if name and (found := shutil.which(name))
    ),
    None,
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--font-render-hinting=none",
]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[str]:
    """The pages of a city in the middle of its work, on a free port; the address."""
    script = Script()
    write_city(script)
    gateway, database = await gateway_at(tmp_path / "gateway.db", script, now=NOW)
    async with database:
        await gateway.take()
        await gateway.watch.round()
        (found,) = await gateway.supervisions.of_case(OVERDUE)
        await gateway.orders.give(found.supervision.id, Act.ISSUE, by="ZF0012", remark="请说明超期原因并依法处理")
        process = Process()
        async with process.stack:
            app = pages(
                gateway.reading, gateway.supervisions, look=gateway.lookups.timeline, city=city("lanzhou"),
                clock=gateway.clock, sandbox=True,
            )  # fmt: skip
            yield f"http://127.0.0.1:{await serve_pages(process, app, address='127.0.0.1:0')}"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no headless browser here")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> Page:
    """A browser that believes itself in New York: the server alone knows what time it is."""
    context = await browser.new_context(
        viewport={"width": 1366, "height": 768}, locale="zh-CN", timezone_id="America/New_York"
    )
    return await context.new_page()
