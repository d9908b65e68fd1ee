"""Routers, one for each thing that the service works on."""
