"""Views in a browser, opened and scrolled: what benchmarks/page.py measures."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from installed import Installed
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from fairlead import web

FIRST_S = 60.0
WATCH = """
window.told = { first: null, long: [] }
new PerformanceObserver((list) => { for (const one of list.getEntries()) told.long.push(one.duration) })
  .observe({ type: 'longtask', buffered: true })
const watcher = new MutationObserver(() => {
  if (!document.querySelector('[role=listitem] a')) return
  watcher.disconnect()
  requestAnimationFrame(() => setTimeout(() => { told.first = performance.now() }))
})
watcher.observe(document, { childList: true, subtree: true })
"""
LOADED = """() => {
  const parts = performance.getEntriesByType('resource')
  const script = parts.filter((one) => /\\.js$/.test(new URL(one.name).pathname))
  const answers = parts.filter((one) => one.name.includes('/api/v1/models?') || one.name.includes('/api/v1/devices?'))
  return {
    script: script.reduce((sum, one) => sum + one.encodedBodySize, 0),
    answer_ms: answers.length ? answers[0].responseEnd - answers[0].requestStart : null,
    answer: answers.length ? answers[0].encodedBodySize : 0,
    elements: document.querySelectorAll('*').length,
  }
}"""
SCROLL = """async ([step, most, every]) => {
  told.long.length = 0
  window.scrollTo(0, 0)
  await new Promise((done) => setTimeout(done, 500))
  const frames = []
  let blank = 0
  let elements = 0
  let last = await new Promise(requestAnimationFrame)
  const end = () => Math.min(most, document.documentElement.scrollHeight - window.innerHeight - 1)
  for (let at = 0; window.scrollY < end() && at < 20000; at += 1) {
    if (at % every === 0) window.scrollBy(0, step)
    const now = await new Promise(requestAnimationFrame)
    frames.push(now - last)
    last = now
    if (at % 10 === 0) {
      elements = Math.max(elements, document.querySelectorAll('*').length)
      const middle = document.elementFromPoint(window.innerWidth * 0.6, window.innerHeight / 2)
      if (!middle || !middle.closest('[role=listitem], [role=presentation]')) blank += 1
    }
  }
  return { frames, long: told.long.slice(), reached: window.scrollY, elements, blank }
}"""


@dataclass
class Opened:
    """One view, opened once."""

    first_ms: float
    thread_ms: float
    """Processor time of the page's main thread until then."""
    script_kb: float
    """Compressed, as it came."""
    answer_ms: float
    answer_kb: float
    long_ms: list[float]


@dataclass
class Scrolled:
    """One list from end to end."""

    frames_ms: list[float]
    long_ms: list[float]
    thread_ms: float
    pixels: float
    elements: int
    blank: int
    """Of the frames that were looked at, those with no row in the middle of the window."""

    @property
    def over_50(self) -> int:
        return sum(1 for one in self.frames_ms if one > 50)

    @property
    def dropped(self) -> int:
        return sum(max(0, round(one * 60 / 1000) - 1) for one in self.frames_ms)


@dataclass
class Asked:
    """One list, asked for without a page."""

    waited_ms: float
    control_ms: float
    size_kb: float
    whole_ms: float
    """Until the last page of it was there."""


@contextmanager
def chromium() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None or not web.is_built():
        raise FileNotFoundError("there is no Chromium (apt-get install chromium), or no page (make web)")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def signed_in(browser: Browser, url: str, user: str, password: str) -> BrowserContext:
    """Return a new browser, its cache empty, of somebody who is signed in."""
    context = browser.new_context(base_url=url, viewport={"width": 1280, "height": 900})
    form: dict[str, str | float | bool] = {"user": user, "password": password, "next": "/healthz"}
    answer = context.request.post("/sign-in", form=form, headers={"Origin": url}, max_redirects=0)
    if answer.status not in (200, 303):
        raise ConnectionError(f"signing in answered {answer.status}")
    context.add_init_script(WATCH)
    return context


def opened(page: Page, path: str) -> Opened:
    """Open a view and return what it took until its first rows were drawn."""
    metrics = _metrics(page)
    page.goto(path, wait_until="commit")
    end = time.monotonic() + FIRST_S
    while not page.evaluate("window.told && told.first"):  # not wait_for_function: the page's policy lets no text run
        if time.monotonic() > end:
            raise TimeoutError(f"{path}: no rows within {FIRST_S:g} s")
        time.sleep(0.1)
    thread = _thread_ms(metrics)
    told = page.evaluate("told")
    found = page.evaluate(LOADED)
    metrics.detach()
    answer_ms = float(found["answer_ms"] or 0)
    return Opened(told["first"], thread, found["script"] / 1000, answer_ms, found["answer"] / 1000, told["long"])


def scrolled(page: Page, step: int, most: float, every: int) -> Scrolled:
    """Scroll the list that ``page`` shows by ``step`` px in each ``every``-th frame, up to ``most`` px."""
    metrics = _metrics(page)
    before = _thread_ms(metrics)
    found = page.evaluate(SCROLL, [step, most, every])
    thread = _thread_ms(metrics) - before
    metrics.detach()
    return Scrolled(found["frames"], found["long"], thread, found["reached"], found["elements"], found["blank"])


def _metrics(page: Page) -> CDPSession:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    return session


def _thread_ms(session: CDPSession) -> float:
    told = session.send("Performance.getMetrics")["metrics"]
    return 1000 * next(float(one["value"]) for one in told if one["name"] == "TaskDuration")


def asked(platform: Installed, path: str, rounds: int) -> Asked:
    """Ask for a list some times; return the medians."""
    control = next(pid for pid, name in platform.processes().items() if name == "control")
    waited, used, whole, size = [], [], [], 0
    for _ in range(rounds):
        before, began = sum(psutil.Process(control).cpu_times()[:2]), time.perf_counter()
        answer = platform.ask("GET", path, headers={"Accept-Encoding": "gzip"})
        waited.append(1000 * answer.seconds)
        used.append(1000 * (sum(psutil.Process(control).cpu_times()[:2]) - before))
        size = len(answer.body)
        following = _next(platform, path)
        while following:
            following = _next(platform, f"{path}&after={following}")
        whole.append(1000 * (time.perf_counter() - began))
    return Asked(statistics.median(waited), min(used), size / 1000, statistics.median(whole))


def _next(platform: Installed, path: str) -> str | None:
    found = json.loads(platform.ask("GET", path).body)
    return found.get("next") if "limit=" in path else None
