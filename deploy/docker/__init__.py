"""What containers need beside the services: their secrets, their health check, the demo."""
