"""What both HTTP services share: problems, admission, health, the line a request, the server."""
