"""A real browser and a real login: headless Chromium, and an api-server that asks for a password."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import sync_playwright

from local.lifecycle import _answers
from local.supervision import end, wait_for
from tests.conftest import PROJECT, free_ports
from tests.support import http

USER, PASSWORD = "analyst", "correct horse battery staple"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium():
    """Yields Playwright's browser; skips the test where there is no Chromium on the machine."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        pytest.skip("there is no Chromium on this machine; install it (on Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def server_with_login(stack, folder: Path):
    """Yields the URL of another api-server of the same Airflow, which knows one viewer."""
    [port] = free_ports(1)
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps({USER: PASSWORD}))
    url = f"http://127.0.0.1:{port}"
    env = stack.environment() | {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
    }
    command = [str(Path(sys.executable).parent / "airflow"), "api-server", "--workers", "1"]
    with (folder / "api-server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT, env=env, stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(f"{url}/api/v2/monitor/health"), 90, "the api-server with a login", 0.5)
        yield url
    finally:
        end([*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)])


def sign_in(page, url, where="/"):
    page.goto(url + where)
    page.fill("input[name=username]", USER)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(lambda now: "/auth/login" not in now)


def token(url):
    answer = http.post(f"{url}/auth/token", json={"username": USER, "password": PASSWORD})
    return answer.raise_for_status().json()["access_token"]


def keep(page, name):
    """Keeps a screenshot where ECOMMERCE_SCREENSHOTS says, for a person to look at."""
    if folder := os.environ.get("ECOMMERCE_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")
