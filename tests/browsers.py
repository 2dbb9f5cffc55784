"""Browsers without a window, for tests of what a reviewer sees. The page drives itself and sends back what it found."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SECONDS_TO_END: Final = 10
# Nothing but the page is loaded, a movie may play though nobody has clicked, and no frame waits for a screen (Chromium
# has the like, but then draws without a pause and has no time left to decode).
_FIREFOX_PREFERENCES: Final = """\
user_pref("app.normandy.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("layout.frame_rate", 0);
user_pref("media.autoplay.default", 0);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
"""


@dataclass(frozen=True)
class Browser:
    """A browser that is installed here.

    Attributes:
        name: `"chromium"` or `"firefox"`.
        program: its absolute path.
    """

    name: str
    program: Path

    @property
    def version(self) -> str:
        """As the browser prints it."""
        told = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True)
        return told.stdout.strip()

    @contextmanager
    def opened(self, url: str) -> Iterator[OpenBrowser]:
        """The browser with a page open and a profile of its own; ended with all its children."""
        with tempfile.TemporaryDirectory(prefix="rushes-browser-", ignore_cleanup_errors=True) as folder:
            profile = Path(folder) / "profile"
            profile.mkdir()
            (profile / "user.js").write_text(_FIREFOX_PREFERENCES)
            log = Path(folder) / "log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [self.program, *self._arguments(profile), url],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=os.environ | {"HOME": folder, "MOZ_CRASHREPORTER_DISABLE": "1"},
                    start_new_session=True,
                )
            try:
                yield OpenBrowser(process, log)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(_SECONDS_TO_END)

    def _arguments(self, profile: Path) -> list[str]:
        if self.name == "firefox":
            return ["--headless", "--no-remote", "--profile", str(profile)]
        sandbox = ["--no-sandbox"] if os.getuid() == 0 else []  # Chromium refuses to confine itself as root
        return [
            "--headless",
            *sandbox,
            f"--user-data-dir={profile}",
            "--autoplay-policy=no-user-gesture-required",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
        ]


@dataclass(frozen=True)
class OpenBrowser:
    """A browser that runs."""

    process: subprocess.Popen[bytes]
    log: Path

    def complaint(self) -> str | None:
        """None while it runs, or else how it ended and what it said last."""
        code = self.process.poll()
        return None if code is None else f"ended with code {code}: {self.said()}"

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]


def find_browsers() -> list[Browser]:
    """Those of Chromium and Firefox that are on the PATH."""
    programs = {"chromium": ("chromium", "chromium-browser", "google-chrome"), "firefox": ("firefox-esr", "firefox")}
    found = []
    for name, candidates in programs.items():
        program = next((path for candidate in candidates if (path := shutil.which(candidate))), None)
        if program is not None:
            found.append(Browser(name, Path(program)))
    return found
