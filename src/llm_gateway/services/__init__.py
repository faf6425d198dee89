"""The rooms. Adding a service means one module here, one line in `SERVICES`."""
