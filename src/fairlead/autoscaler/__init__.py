"""How many replicas a version shall have, and who gets the cores: pure, so that control and the simulator share it."""
