"""Jobs: durable calls of a model. Each that was accepted ends in exactly one final status."""
