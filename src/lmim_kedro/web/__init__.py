"""A web page to drop crops on."""
