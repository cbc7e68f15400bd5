"""`python -m cli.check_migrations`: migrations run up, down and up again, and the schema is what the code says."""

import os
import sys

from cli.embedded.servers import servers
from common.scratch import scratch_folder
from common.settings import settings
from models.schema import migrations


def main() -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL"):
        os.environ.pop(name, None)  # never somebody's real database: this takes the schema down
    # Only PostgreSQL is needed; the other two are told to be elsewhere.
    os.environ |= {"REDIS_URL": "redis://127.0.0.1:1/0", "S3_ENDPOINT_URL": "http://127.0.0.1:1"}
    with scratch_folder() as folder, servers(folder) as addresses:
        os.environ["DATABASE_URL"] = addresses.database_url
        settings.cache_clear()
        for step in (migrations.upgrade, migrations.downgrade, migrations.upgrade):
            step()
        found = migrations.differences()
    if found:
        sys.exit("the schema differs from the code:\n" + "\n".join(str(each) for each in found))
    print("migrations: up, down, up; the schema is what the code says")


if __name__ == "__main__":
    main()
