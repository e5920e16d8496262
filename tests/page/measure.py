"""What the page and the metrics cost: first paint with 100 finished runs and 10 parties, the page's share of the coordinator's
processor time, and the speed of a training in spans with a scrape each second beside spans without. Prints figures, and fails
where one is beyond its limit."""

import statistics
import sys
import threading
import time
from pathlib import Path

from browser import WIDE, open_browser, resize
from federation import Federation

PAIRS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 20
# The median of first contentful paint, the page's part of the coordinator's processor time, the lower end of the ratio of speeds.
PAINT_MS, PAGE_PERCENT, LEAST_RATIO = 200, 1, 0.97
beyond = []


def limit(text, within):
    """Prints a figure; one that is not within its limit ends the script once all are measured."""
    print(text if within else f"{text}: BEYOND THE LIMIT")
    if not within:
        beyond.append(text)


def processor_seconds(process):
    """Processor seconds of a process, and of its thread that answers whoever asks."""
    def of(stat):
        fields = stat.read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    tasks = Path(f"/proc/{process.pid}/task")
    own = sum(of(task / "stat") for task in tasks.iterdir() if (task / "comm").read_text().strip() == "monitor")
    return of(Path(f"/proc/{process.pid}/stat")), own


def paints(federation):
    driver = open_browser()
    resize(driver, WIDE)
    first, whole = [], []
    for _ in range(10):
        driver.get(federation.url())
        while not driver.execute_script("return document.querySelectorAll('#runs tbody tr').length >= 100"):
            time.sleep(0.01)
        first.append(driver.execute_script(
            "return performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        # The list of runs is the last thing that the page asks for.
        whole.append(driver.execute_script(
            "return performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/history'))[0].responseEnd"))
    median = statistics.median(first)
    limit(f"first contentful paint, 10 loads: median {median:.0f} ms ({PAINT_MS} ms allowed), most {max(first):.0f} ms",
          median < PAINT_MS)
    print(f"last answer that the page waits for: median {statistics.median(whole):.0f} ms, most {max(whole):.0f} ms")
    before = processor_seconds(federation.processes["coordinator"])
    time.sleep(SECONDS)
    after = processor_seconds(federation.processes["coordinator"])
    all_s, own_s = after[0] - before[0], after[1] - before[1]
    share, of_coordinator = 100 * own_s / SECONDS, 100 * own_s / max(all_s, 0.01)
    limit(f"one page open for {SECONDS:.0f} s: {own_s:.2f} s of processor time, {share:.2f} % of that time, "
          f"{of_coordinator:.2f} % of the coordinator's {all_s:.2f} s ({PAGE_PERCENT} % allowed)", of_coordinator < PAGE_PERCENT)
    driver.quit()


def steps_per_second(federation, scraped):
    """Steps of a training in a span of time, in which each side's metrics are asked for once a second, or not."""
    ended = threading.Event()

    def scrape():
        while not ended.wait(1):
            for name in federation.processes:
                federation.page(name, "/metrics")

    scraper = threading.Thread(target=scrape)
    if scraped:
        scraper.start()
    began, before = time.monotonic(), federation.status()["steps"]
    time.sleep(SECONDS)
    rate = (federation.status()["steps"] - before) / (time.monotonic() - began)
    ended.set()
    if scraped:
        scraper.join()
    return rate


def main():
    with Federation(parties=10, runs=100) as federation:
        federation.start_all()
        federation.event("epoch", 20)
        federation.drain()
        paints(federation)
    ratios = []
    with Federation(parties=2) as federation:
        federation.start_all()
        federation.event("epoch", 20)
        federation.drain()
        for pair in range(PAIRS):
            # The order changes, so that a machine that grows slow counts for neither.
            order = [True, False] if pair % 2 else [False, True]
            rates = {scraped: steps_per_second(federation, scraped) for scraped in order}
            ratios.append(rates[True] / rates[False])
            print(f"pair {pair + 1}: {rates[True]:.1f} steps/s with a scrape each second, {rates[False]:.1f} without: {ratios[-1]:.3f}")
    if len(ratios) > 1:
        mean, deviation = statistics.mean(ratios), statistics.stdev(ratios)
        # Student's t for 95 %, two-sided.
        t = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}.get(len(ratios), 2.1)
        half = t * deviation / len(ratios) ** 0.5
        limit(f"ratio with a scrape each second: {mean:.3f}, 95 % interval {mean - half:.3f} (at least {LEAST_RATIO}) to "
              f"{mean + half:.3f}", mean - half >= LEAST_RATIO)
    if beyond:
        sys.exit(f"{len(beyond)} figures are beyond their limits")


main()
