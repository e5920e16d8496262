"""Looks at the pages of a running federation in headless Chromium, as people do: live, wide and narrow, light and dark, by
keyboard. With a folder as its argument it leaves pictures there."""

import json
import subprocess
import sys
import time
from pathlib import Path

from axe_core_python.selenium import Axe
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from browser import NARROW, WIDE, asked_hosts, open_browser, prefer, resize, shoot
from federation import ROLES, Federation

failures = []


def check(holds, what):
    print(("ok    " if holds else "FAILS ") + what)
    if not holds:
        failures.append(what)


def text(driver, selector):
    return driver.execute_script("return document.querySelector(arguments[0]).textContent", selector)


def wait_for(holds, what, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return check(True, what)
        time.sleep(0.1)
    return check(False, what)


def figures(driver, section):
    # At once, since the page draws itself anew each second.
    pairs = driver.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]} dl div`)].map((one) => [...one.children].map((part) => part.textContent))",
        section,
    )
    return dict(pairs)


def follows_the_process(driver):
    driver.execute_script("window.untouched = true")
    before, steps = text(driver, "#progress-text"), figures(driver, "figures")["steps of the run"]
    wait_for(lambda: text(driver, "#progress-text") != before, "the page follows the training")
    wait_for(lambda: figures(driver, "figures")["steps of the run"] != steps, "its figures follow, too")
    line = driver.find_element(By.CSS_SELECTOR, "#loss polyline.first").get_attribute("points")
    wait_for(
        lambda: driver.find_element(By.CSS_SELECTOR, "#loss polyline.first").get_attribute("points") != line,
        "its curves follow, too",
    )
    check(driver.execute_script("return window.untouched === true"), "nobody has loaded it again")


def has_no_sideways_scroll(driver, who):
    for size in (WIDE, NARROW):
        resize(driver, size)
        time.sleep(0.3)
        # A scroll bar takes some of the width.
        wide, room = driver.execute_script(
            "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
        )
        check(wide <= room, f"{who}: {size[0]} pixels hold all of it, {wide} of {room}")


def is_accessible(driver, who):
    for size in (WIDE, NARROW):
        resize(driver, size)
        for scheme in ("light", "dark"):
            prefer(driver, scheme)
            time.sleep(0.3)
            violations = Axe().run(driver)["violations"]
            for violation in violations:
                print(violation["id"], violation["help"], [node["html"][:200] for node in violation["nodes"]][:3])
            check(not violations, f"{who}: axe finds nothing at {size[0]} pixels, {scheme}")
            colour = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
            light = sum(int(part) for part in colour.strip("rgb()").split(",")) > 3 * 128
            check(light == (scheme == "light"), f"{who}: {scheme} is {colour}")


def keyboard_reaches_all(driver):
    resize(driver, WIDE)
    reached = []
    body = driver.find_element(By.TAG_NAME, "body")
    for _ in range(12):
        body.send_keys(Keys.TAB)
        active = driver.switch_to.active_element
        reached.append(active.get_attribute("aria-label") or active.text)
        body = active
        outline = driver.execute_script("return getComputedStyle(arguments[0]).outlineStyle", active)
        if active.tag_name != "body":
            check(outline == "solid", f"the focus on {reached[-1]!r} is seen")
    for wanted in ("Finished runs", "metrics", "status", "history"):
        check(wanted in reached, f"the tabulator key reaches {wanted!r}")


def tells_the_truth(driver, federation):
    federation.halt(federation.names[-1])
    status = federation.status()
    time.sleep(2.5)
    shown = figures(driver, "figures")
    for name, key in [
        ("steps of the run", "steps"), ("bytes from parties in the run", "received_bytes"), ("bytes to parties in the run", "sent_bytes")
    ]:
        check(shown[name] == f"{status['run'][key]:,}", f"{name} are those of the status")
    rows = driver.execute_script(
        "return [...document.querySelectorAll('#parties tbody tr')].map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    check(len(rows) == len(federation.names), "each party has a row")
    for cells in rows:
        party = status["parties"][cells[0]]
        check(cells[1] == "connected" and cells[2] == party["address"], f"{cells[0]} is there, at {cells[2]}")
        planned = f"{party['run_released_bits']:,} of {party['planned_bits']:,}"
        check(cells[8] == planned, f"{cells[0]} has released {cells[8]} bits")
        share = 100 * party["answer_seconds"] / status["step_seconds"]
        check(f"({share:.0f} %)" in cells[4], f"all wait for {cells[0]}: {cells[4]}")
    loss = status["epochs"]["train_loss"]
    check(f"training loss {loss:.4f}" in text(driver, "#progress-text"), "the loss is that of the status")
    federation.go_on(federation.names[-1])


def predict(federation, count):
    """Predictions of the first records; how many of them were flagged, as the client hears it."""
    ids, out = federation.folder / "ids.csv", federation.folder / "out.csv"
    ids.write_text("id\n" + "".join(f"r{record}\n" for record in range(count)), encoding="utf-8")
    command = [ROLES, "coordinator", "predict", "--server", f"http://{federation.address}", "--input", ids, "--out", out]
    subprocess.run(command, check=True, capture_output=True)
    return sum(line.endswith(",yes") for line in out.read_text(encoding="utf-8").splitlines())


def serves(driver):
    """A federation that has trained and serves: flags, predictions, and its run among the finished ones."""
    with Federation(parties=2, epochs=6, detectors=True) as federation:
        federation.start_all("train-and-serve")
        federation.event("finished")
        for _ in federation.names:
            federation.event("joined")
        federation.drain()
        flagged = predict(federation, 300)
        driver.get(federation.url())
        wait_for(lambda: text(driver, "#phase") == "serving, all parties are connected", "the page says that all are connected")
        wait_for(lambda: text(driver, "#flags-text").startswith(f"{flagged} of 300 checked"), f"it shows {flagged} flags")
        check(figures(driver, "figures")["records flagged"] == str(flagged), "so do its figures")
        summary = json.loads((federation.folder / "coordinator-state/summary.json").read_text(encoding="utf-8"))
        row = text(driver, "#runs tbody tr")
        check(f"AUC {summary['test']['auc']:.4f}" in row, f"the run is listed with its summary's AUC: {row}")
        has_no_sideways_scroll(driver, "serving")
        is_accessible(driver, "serving")


def main():
    pictures = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with Federation(parties=3, runs=12) as federation:
        federation.start_all()
        federation.event("epoch", 60)
        federation.drain()
        driver = open_browser()
        try:
            resize(driver, WIDE)
            driver.get(federation.url())
            wait_for(lambda: text(driver, "#phase") == "training", "the coordinator's page says that it trains")
            wait_for(lambda: driver.find_elements(By.CSS_SELECTOR, "#runs tbody tr"), "finished runs are listed")
            check(len(driver.find_elements(By.CSS_SELECTOR, "#runs tbody tr")) == 12, "all of them")
            check(len(driver.find_elements(By.CSS_SELECTOR, "#balance figure")) == 3, "a picture of each party's bits")
            check("run started" in text(driver, "#audit"), "the audit trail's end is there")
            follows_the_process(driver)
            tells_the_truth(driver, federation)
            keyboard_reaches_all(driver)
            look(driver, "coordinator", pictures)
            driver.get(federation.url("bank"))
            wait_for(lambda: text(driver, "#side") == "bank", "a party's page is its own")
            wait_for(lambda: figures(driver, "released").get("codes released"), "it says what left")
            check("of 20,000,000 bits" in text(driver, "#budget"), "and what is left of the budget")
            check("Encode" in figures(driver, "requests"), "and what the coordinator asked for")
            check("No alarm" in text(driver, "#gradients-text"), "and what its gradient monitor has seen")
            check(not driver.find_element(By.ID, "parties").is_displayed(), "and nothing of other parties")
            look(driver, "party", pictures)
            own = {federation.pages["coordinator"], federation.pages["bank"]}
            hosts = asked_hosts(driver)
            check(hosts <= own, f"no request leaves the host: {sorted(hosts)}")
            errors = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
            check(not errors, f"no error in the browser's log: {errors}")
            federation.processes["bank"].terminate()
            wait_for(lambda: text(driver, "#phase") == "the process does not answer", "an end is told")
            serves(driver)
        finally:
            driver.quit()
    if failures:
        sys.exit("failed: " + "; ".join(failures))


def look(driver, who, pictures):
    prefer(driver, "light")
    has_no_sideways_scroll(driver, who)
    is_accessible(driver, who)
    if pictures:
        driver.execute_script("document.activeElement.blur()")
        for size in (WIDE, NARROW):
            for scheme in ("light", "dark"):
                resize(driver, size)
                prefer(driver, scheme)
                time.sleep(1.2)
                shoot(driver, pictures / f"page-{who}-{size[0]}-{scheme}.png")
    resize(driver, WIDE)
    prefer(driver, "light")


main()
