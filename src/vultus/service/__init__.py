"""The REST service: the verbs of Vultus behind HTTP, on the loopback interface by default.

Needs the extra ``serve``. :func:`create_app` builds the ASGI application from typed settings;
``vultus serve`` runs it.
"""

from vultus.service.app import create_app
from vultus.service.settings import Settings, read_service_settings

__all__ = ["Settings", "create_app", "read_service_settings"]
