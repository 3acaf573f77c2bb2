"""Grafana's dashboards as code: `make documents` writes them into the folder `dashboards`."""
