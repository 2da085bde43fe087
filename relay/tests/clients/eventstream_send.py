"""A Django project with django-eventstream: sends events as its views do.

Reads JSON from standard input: {"redis": {"host": …, "port": …}, "events": [[channel, type, data], …]}.
"""

import json
import sys

import django
from django.conf import settings

order = json.load(sys.stdin)
settings.configure(EVENTSTREAM_REDIS=order["redis"], INSTALLED_APPS=["django_eventstream"])
django.setup()

from django_eventstream import send_event  # noqa: E402 (it reads the settings when it is imported)

for channel, kind, data in order["events"]:
    send_event(channel, kind, data, async_publish=False)
