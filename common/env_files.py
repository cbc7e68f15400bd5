"""The files that settings are read from, besides the environment."""

import os
from pathlib import Path

# Where `headrace up` and `headrace demo` keep what is theirs.
STATE = Path(os.environ.get("HEADRACE_STATE") or ".headrace")
# Processes that `headrace up` starts run in another folder than it; HEADRACE_FOLDER tells them in which it was started.
OWN_FILE = Path(os.environ.get("HEADRACE_FOLDER") or "") / ".env"
ENV_FILES = (STATE / "env", OWN_FILE)
