"""The revisions that are read off file names are those of the migrations."""

from alembic.script import ScriptDirectory

from fairlead.store import migrate


def test_file_names_tell_the_revisions() -> None:
    scripts = ScriptDirectory(str(migrate.FOLDER))

    assert migrate.revisions() == tuple(reversed([script.revision for script in scripts.walk_revisions()]))
    assert migrate.head() == scripts.get_current_head()
