"""How a test fails."""

import time


class Failed(Exception):
    """What was expected and did not happen."""


def fail(text):
    raise Failed(text)


def wait_until(limit_s, what, holds, otherwise=lambda: ""):
    """Waits until something holds; how long that took in seconds."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > limit_s:
            fail(f"waited {limit_s} s for {what}: {otherwise()}")
        time.sleep(0.05)
    return time.monotonic() - began
