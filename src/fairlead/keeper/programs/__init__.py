"""The platform's own programs on this machine: Envoy, nats-server, control."""
