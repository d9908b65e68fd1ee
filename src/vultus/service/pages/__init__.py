"""The web console: pages for people over the same core as the REST routes.

Pages are rendered on the server and readable without JavaScript. They hold no logic of their own:
every answer comes from :mod:`vultus.service.core` and its neighbours, under the same limits,
scopes, rates and audit log.
"""

from vultus.service.pages.mounting import dress, dressed, mount

__all__ = ["dress", "dressed", "mount"]
