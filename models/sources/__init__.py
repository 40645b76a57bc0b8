"""Where molecules come from, by name; how texts become tables is known to `data`."""
