"""Children of the platform: started, recorded on disk, watched, adopted, stopped, and restarted with back-off."""

from fairlead.supervisor.adopt import adopt, adopt_all
from fairlead.supervisor.child import Child, Exit
from fairlead.supervisor.lock import HomeLock
from fairlead.supervisor.process import Program, Record, forget, read_records, start, start_aside, watch
from fairlead.supervisor.restarts import CrashLoop, Restart, decide

__all__ = [
    "Child",
    "CrashLoop",
    "Exit",
    "HomeLock",
    "Program",
    "Record",
    "Restart",
    "adopt",
    "adopt_all",
    "decide",
    "forget",
    "read_records",
    "start",
    "start_aside",
    "watch",
]
