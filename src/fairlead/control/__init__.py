"""Control: the only one that touches the store. ``house`` opens everything; the other files are its loops."""
