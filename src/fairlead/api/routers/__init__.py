"""One file per noun; each parses, asks a room, and shows a view."""
