"""Records of what was asked for and what came of it: SQL, one writer, migrations."""
