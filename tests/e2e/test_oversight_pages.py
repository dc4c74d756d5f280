"""The oversight pages in a real browser: laid out, linked, readable, and silent towards everybody else."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, Request

from tests.e2e.city import OVERDUE, WHOLE_ROAD
from xieban.notice import SCOPE

pytestmark = pytest.mark.e2e
PATHS = (
    "/",
    "/cases",
    f"/cases/{WHOLE_ROAD}?purpose=routine",
    f"/cases/{OVERDUE}?purpose=routine",
    f"/cases/{OVERDUE}",
    "/supervisions",
    "/nowhere",
)
CONTRAST = """() => {
  const light = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!colour.startsWith('rgba') || !colour.endsWith(', 0)')) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const faint = [];
  for (const element of document.querySelectorAll('body *:not(svg):not(svg *)')) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(element.className + ':' + element.textContent.trim().slice(0, 20));
  }
  return faint;
}"""


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_fits_its_window_is_legible_and_asks_nobody_else(page: Page, site: str, path: str) -> None:
    requests: list[str] = []
    complaints: list[str] = []

    def asked(request: Request) -> None:
        requests.append(request.url)

    page.on("request", asked)
    page.on("console", lambda message: complaints.append(message.text))
    await page.goto(site + path)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 1366
    assert await page.evaluate(CONTRAST) == []
    assert {url for url in requests if not url.startswith(site)} == set()
    # The browser itself remarks on a page that is not there; a blocked style or script would be a complaint too.
    assert [text for text in complaints if "404" not in text] == []
    assert await page.locator("h1").count() == 1


async def test_one_comes_from_the_overview_to_a_case_and_from_an_arrow_to_its_handoff(page: Page, site: str) -> None:
    await page.goto(site)
    await page.get_by_role("link", name=OVERDUE).first.click()
    await page.wait_for_url(f"**/cases/{OVERDUE}")
    await page.get_by_label("来信来访").check()
    await page.get_by_role("button", name="查看").click()
    await page.wait_for_url(f"**/cases/{OVERDUE}?purpose=petition*")
    assert "来信来访 · 监督页面" in await page.locator(".xb-head-case").inner_text()
    assert "超期 3天10小时" in await page.locator(".xb-big").inner_text()
    await page.locator("svg a.xb-arrow").nth(1).click()
    assert page.url.endswith("#h2")
    assert await page.locator("tr:target b").inner_text() == "要求提供法庭审判所需证据"


async def test_one_comes_from_the_list_of_supervisions_to_every_step_of_one_and_can_change_nothing(
    page: Page, site: str
) -> None:
    await page.goto(site)
    await page.get_by_role("navigation", name="页面").get_by_role("link", name="督办").click()
    await page.wait_for_url("**/supervisions")
    assert await page.locator(".xb-nav [aria-current=page]").inner_text() == "督办"
    row = page.locator("tbody tr", has_text=OVERDUE).first
    assert "已发出" in await row.inner_text()
    assert "2026-06-15 24:00" in await row.inner_text()  # three working days after 10 June, a Wednesday
    await row.get_by_role("link", name="督办").click()
    await page.wait_for_url(f"**/cases/{OVERDUE}?purpose=supervision#supervision-*")
    steps = page.locator("article:target table tbody tr")
    assert await steps.count() == 2
    assert "请说明超期原因并依法处理" in await steps.nth(1).inner_text()
    assert SCOPE in await page.locator("main").inner_text()
    assert await page.locator("form, button, input").count() == 0


async def test_times_are_those_of_beijing_whatever_the_browser_believes(page: Page, site: str) -> None:
    await page.goto(f"{site}/cases/{WHOLE_ROAD}?purpose=routine")
    assert await page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone") == "America/New_York"
    assert "模拟时钟 2026-06-10 10:00" in await page.locator(".xb-clock").inner_text()
    assert "2026-01-05 09:00" in await page.locator("#h1").inner_text()


async def test_arrows_and_bars_keep_inside_the_picture_and_labels_apart(page: Page, site: str) -> None:
    await page.goto(f"{site}/cases/{WHOLE_ROAD}?purpose=routine")
    boxes = await page.evaluate(
        """() => [...document.querySelectorAll('svg .xb-label')].map(text => {
             const box = text.getBBox(); return [box.x, box.y, box.x + box.width, box.y + box.height]; })"""
    )
    width = float((await page.locator("svg.xb-lanes").get_attribute("viewBox") or "").split()[2])
    assert len(boxes) == 11
    assert all(box[0] >= 0 and box[2] <= width + 1 for box in boxes)
    apart = [
        a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        for index, a in enumerate(boxes)
        for b in boxes[index + 1 :]
    ]
    assert all(apart)


async def test_a_page_prints_on_paper_without_its_navigation(page: Page, site: str) -> None:
    await page.goto(f"{site}/cases/{OVERDUE}?purpose=routine")
    await page.emulate_media(media="print")
    assert not await page.locator(".xb-nav").is_visible()
    paper = await page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) in (1, 2, 3)


async def test_the_keyboard_reaches_the_content_first(page: Page, site: str) -> None:
    await page.goto(site)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "跳到正文"
