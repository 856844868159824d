"""Registers the page "E-commerce" in the navigation of Airflow's UI."""

from __future__ import annotations

import base64
import os
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

# Orange, because Airflow puts the icon on a light and, when chosen, on a dark ground.
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#d97706" stroke-width="1.8" '
    'stroke-linecap="round" stroke-linejoin="round"><path d="M5 20V11M11 20V4M17 20v-7M2 20h19"/></svg>'
)
ICON = f"data:image/svg+xml;base64,{base64.b64encode(_SVG.encode()).decode()}"


class EcommercePage(AirflowPlugin):
    name = "ecommerce"
    external_views = [  # noqa: RUF012  # Airflow reads a list
        {
            "name": "E-commerce",
            # Behind a proxy Airflow may live under a path of its own.
            "href": f"{urlsplit(conf.get('api', 'base_url', fallback='')).path.rstrip('/')}/ecommerce/",
            "destination": "nav",
            "url_route": "ecommerce",
            "nav_top_level": True,
            "icon": ICON,
        }
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        # Only the api-server asks for it; the scheduler and the tasks load plugins too, and need no web application.
        from ecommerce_elt.page.app import PREFIX, app

        return [{"app": app, "url_prefix": PREFIX, "name": "E-commerce"}]

    @property
    def fastapi_root_middlewares(self) -> list[dict[str, Any]]:
        """Refuses requests under other names than ECOMMERCE_API_HOSTS has, with commas between them; without it, none.

        Where nobody logs in, a web page could have a name of its own resolve to the server. The setting is read here alone,
        because the api-server has to start where the settings of the lake are wrong, too.
        """
        hosts = [host.strip() for host in os.environ.get("ECOMMERCE_API_HOSTS", "").split(",") if host.strip()]
        if not hosts:
            return []
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        options = {"allowed_hosts": hosts, "www_redirect": False}
        return [{"name": "hosts", "middleware": TrustedHostMiddleware, "args": [], "kwargs": options}]
