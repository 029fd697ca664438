"""Models, their versions and aliases: what was pushed, what is ready, what answers."""
