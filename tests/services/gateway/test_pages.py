"""The pages as HTML: what they say, what they never say, and how they fail."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from services.gateway.web.app import pages
from tests.e2e.city import NOW, OVERDUE, WHOLE_ROAD, write_city
from tests.services.gateway.conftest import Gateway
from tests.services.gateway.script import at, clock
from xieban.agency import city
from xieban.marshal import moment


@pytest.fixture
async def site(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    write_city(gateway.script)
    gateway.clock.advance(moment(at(NOW)))
    await gateway.take()
    await gateway.watch.round()
    app = pages(
        gateway.reading,
        gateway.supervisions,
        look=gateway.lookups.timeline,
        city=city("lanzhou"),
        clock=gateway.clock,
        sandbox=True,
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_the_overview_shows_counts_that_agree_with_its_lists(site: httpx.AsyncClient) -> None:
    html, _, over = (await site.get("/")).text.partition('<h2 id="late">')
    overdue, running, flight = (int(n) for n in re.findall(r"</span><b>(\d+)</b>", html)[:3])
    assert html.count("xb-left xb-overdue") == overdue > 0
    assert f"共 {running} 项" in html or html.count("xb-left") == overdue + running
    assert html.count('aria-label="发往"') == flight > 0
    assert "模拟时钟" in html
    assert "本页不显示证据内容" in over
    assert '<meta http-equiv="refresh" content="15">' in html
    assert f"另有超期办结 {over.count('xb-left xb-overdue')}" in html
    assert "最近变化的案件" in over


async def test_a_case_shows_its_lanes_limits_receipts_and_log(site: httpx.AsyncClient) -> None:
    html = (await site.get(f"/cases/{WHOLE_ROAD}?purpose=routine")).text
    assert html.count('class="xb-arrow ') == 10
    assert html.count("xb-span-") == 11
    for text in ("退回补充侦查", "刑诉172、检规351", "期限起算", "如期办结", "在押 1 人", "2026-01-05 09:10"):
        assert text in html
    assert "超期 3天10小时" in (await site.get(f"/cases/{OVERDUE}?purpose=routine")).text


async def test_a_case_shows_the_ledger_of_each_limit_with_how_its_date_comes_about(site: httpx.AsyncClient) -> None:
    html = (await site.get(f"/cases/{OVERDUE}?purpose=routine")).text
    (section,) = re.findall(r'<section [^>]*"ledger">.*?</section>', html, re.DOTALL)
    assert section.count("<details") == 3
    for text in (
        "期限台账",
        "起算 收到",
        "流转 1",
        "兰州市安宁区人民检察院",
        "计入",
        "推算过程",
        "刑诉172",
        "期满：2026-06-06",
        "逾期后果",
    ):
        assert text in section


async def test_registrations_extensions_and_refusals_are_shown_with_their_document_and_number(
    site: httpx.AsyncClient, gateway: Gateway
) -> None:
    case = "A6201020000002026060099"
    transfer = gateway.script.send(case, "prosecution_transfer", "police", "procuratorate", "2026-05-20 09:00")
    gateway.script.settle(transfer, "procuratorate", "police", "2026-05-20 09:00")
    for by in ("procuratorate", "upper_court"):
        extended = clock(
            "extend", "prosecution_review", "2026-06-09 09:00", by=by, kind="add", days=15, document="兰检延〔2026〕3号"
        )
        gateway.script.register(case, "procuratorate", "2026-06-09 10:00", extended)
    elsewhere = clock("stop", "inv_custody", "2026-06-09 09:00", document="")
    meeting = clock("start", "lawyer_meeting", "2026-06-09 09:00", document="")
    gateway.script.register(case, "police", "2026-06-09 10:00", elsewhere, meeting)
    await gateway.take()
    html = (await site.get(f"/cases/{case}?purpose=routine")).text
    for text in ("延长 15日（人民检察院）", "延长 15日（上一级人民法院）", "兰检延〔2026〕3号", "XB-4005 延长没有计入",
                 "没有对应期限的事项", "已登记", "中共兰州市委政法委员会", "看守所"):  # fmt: skip
        assert text in html
    assert (await site.get("/")).status_code == 200


async def test_the_overview_says_red_and_yellow_in_words_and_signs(site: httpx.AsyncClient) -> None:
    html = (await site.get("/")).text
    assert re.search(r'xb-left xb-urgent"><span aria-hidden="true">▲</span> 红 剩余 \d+', html)
    assert re.search(r'xb-left xb-soon"><span aria-hidden="true">◆</span> 黄 剩余 \d+天', html)
    assert "超期羁押风险" in html


async def test_the_list_of_cases_links_every_case(site: httpx.AsyncClient, gateway: Gateway) -> None:
    html = (await site.get("/cases")).text
    assert len(set(re.findall(r'href="/cases/(A\w+)"', html))) == (await gateway.reading.summary()).cases


async def test_every_answer_carries_the_security_headers_and_no_inline_style_or_script(site: httpx.AsyncClient) -> None:
    for path in ("/", "/cases", f"/cases/{WHOLE_ROAD}?purpose=routine", "/nowhere", "/static/xieban.css"):
        answer = await site.get(path)
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == ("no-cache" if "static" in path else "no-store")
        assert not re.search(r'<script|style="|<style|https?://(?!www\.w3\.org)', answer.text)


@pytest.mark.parametrize(
    ("path", "status", "number"),
    [
        ("/cases/A6201999?purpose=routine", 404, "XB-2009"),
        ("/cases/%3Cscript%3E", 400, "XB-1001"),
        ("/nowhere", 404, "XB-5008"),
        ("/cases?from=rubbish", 400, "XB-1001"),
    ],
)
async def test_errors_have_four_parts_and_a_number(
    site: httpx.AsyncClient, path: str, status: int, number: str
) -> None:
    answer = await site.get(path)
    assert answer.status_code == status
    for part in ("发生", "原因", "办法", "编号", number):
        assert part in answer.text


async def test_a_defect_is_told_without_its_particulars(site: httpx.AsyncClient, gateway: Gateway) -> None:
    await gateway.database.close()
    answer = await site.get("/")
    assert (answer.status_code, "XB-5999" in answer.text, "Traceback" in answer.text) == (500, True, False)
    assert answer.headers["cache-control"] == "no-store"


async def test_what_a_statement_says_is_escaped(site: httpx.AsyncClient, gateway: Gateway) -> None:
    gateway.script.send("A6207777", "<b>x</b>", "police", "procuratorate", NOW, outcome="<i>")
    await gateway.take()
    html = (await site.get("/cases/A6207777?purpose=routine")).text
    assert "<b>x</b>" not in html
    assert "<i>" not in html
    assert "&lt;b&gt;x" in html


async def test_style_sheet_keeps_to_what_the_oldest_supported_browser_knows(site: httpx.AsyncClient) -> None:
    css = re.sub(r"/\*.*?\*/", "", (await site.get("/static/xieban.css")).text, flags=re.DOTALL)
    for word in (":has(", "color-mix", "@layer", "@container", "&:", "text-wrap"):
        assert word not in css
    assert len(css.encode()) < 20_000
